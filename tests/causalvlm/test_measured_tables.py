"""Numbers in the documents are those of the committed measurements, and the measurements meet the acceptance list."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import causalvlm

ROOT = Path(__file__).parent.parent.parent
COVERAGE, SPEED = ROOT / "analyses" / "results" / "coverage.json", ROOT / "benchmarks" / "results" / "front_door.json"


def script(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem + "_script", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("source", "result", "document"),
    [
        ("analyses/coverage.py", COVERAGE, "docs/acceptance.md"),
        ("benchmarks/front_door.py", SPEED, "docs/front_door.md"),
    ],
)
def test_tables_are_the_ones_that_the_script_writes(source, result, document):
    text = (ROOT / document).read_text()
    inner = text.split(f"<!-- begin: {source} -->\n")[1].split(f"\n<!-- end: {source} -->")[0]
    assert inner == script(ROOT / source).tables(json.loads(result.read_text()))


def test_every_estimator_that_applies_covers():
    rows = json.loads(COVERAGE.read_text())["coverage"]
    assert {row["estimator"] for row in rows} == {
        "plug-in", "one-step", "two-stage", "outcome-regression", "ipw", "aipw",
    }  # fmt: skip
    for row in rows:
        low, high = row["expected"]
        slack = 3 * np.sqrt(0.05 * 0.95 / row["runs"])  # of the measurement itself
        assert low - slack <= row["coverage"] <= high + slack, row


def test_the_two_stage_warned_whenever_it_was_wrong():
    rows = json.loads(COVERAGE.read_text())["coverage"]
    wrong = [row for row in rows if row["expected"][1] <= 0.5]
    assert wrong
    assert all(row["warned"] == 1.0 for row in wrong)


def test_refuters_kept_quiet_on_clean_worlds_and_spoke_on_broken_ones():
    rows = json.loads(COVERAGE.read_text())["refuters"]
    clean = [row for row in rows if row["world"].startswith("clean")]
    assert sum(row["failed"] for row in clean) <= 0.02 * sum(row["runs"] for row in clean)
    broken = [row for row in rows if row["must_fail"]]
    assert len(broken) >= 3
    assert all(row["failed"] >= 0.9 * row["runs"] for row in broken)


def test_speed_goals_were_met():
    found = json.loads(SPEED.read_text())
    assert found["threads"] == 1
    million = [row for row in found["side_by_side"] if row["rows"] == 1_000_000]
    assert len(million) == 2
    assert all(row["ratio"] >= 5 for row in million)
    assert all(row["seconds"] < 0.1 for row in found["bootstrap"])
    wide = next(row for row in found["growth"] if (row["rows"], row["dim"]) == (5000, 64))
    assert wide["one-step"] < 0.5


def test_the_worked_example_is_what_the_library_says():
    text = (ROOT / "docs" / "front_door.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    names: dict[str, object] = {}
    exec(code, names)
    effect = names["effect"]
    assert isinstance(effect, causalvlm.Effect)
    assert effect.value == pytest.approx(0.0450)
    assert effect.low < 0 < effect.high
    for mean in effect.do_means.values():
        assert f"**{mean:.4f}**" in text
    table = names["table"]
    gap = table.Y[table.X == 1].mean() - table.Y[table.X == 0].mean()
    assert f"**{gap:.3f}**" in text
