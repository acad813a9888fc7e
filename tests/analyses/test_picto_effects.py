"""The comparison of true and estimated effects in Picto: judged right on made-up runs, resumed, and as committed."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "analyses" / "results" / "picto_effects.json"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("picto_effects", ROOT / "analyses" / "picto_effects.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["picto_effects"] = module
    spec.loader.exec_module(module)
    return module


def made_up(run: int, value: float | None, *, naive: float = 0.0) -> dict[str, object]:
    found: dict[str, object] = {"naive": {"value": naive, "standard_error": 0.1}}
    if value is None:
        found["refusal"] = "too few rows"
    else:
        interval = {"low": value - 0.2, "high": value + 0.2, "standard_error": 0.1, "effective_sample_size": 50.0}
        found |= {"estimate": {"value": value, **interval}, "estimator": "aipw", "warned": False}
    return {"strength": 0.3, "run": run, "estimates": {"tint": found}}


TRUE = {"strength": 0.3, "factor": "tint", "margin": {"value": 1.0, "standard_error": 0.0}}


def test_coverage_bias_and_refusals_are_counted(script):
    rows = [made_up(0, 1.1, naive=2.0), made_up(1, 1.3, naive=2.2), made_up(2, None), made_up(3, 0.9)]
    row = script.summarise(TRUE, rows)
    assert (row["runs"], row["refused"]) == (4, 1)
    assert row["estimate"]["coverage"]["value"] == pytest.approx(2 / 3)
    assert row["estimate"]["bias"]["value"] == pytest.approx(0.1)
    assert row["naive"]["bias"]["value"] == pytest.approx(np.mean([2.0, 2.2, 0.0, 0.0]) - 1)
    assert "estimate" not in script.summarise(TRUE, [made_up(0, None)])


def test_a_killed_run_goes_on_and_other_settings_start_afresh(script, tmp_path):
    path, settings = tmp_path / "runs.jsonl", {"settings": {"pictures": 5}}
    assert script._read(path, settings) == []
    with path.open("a") as lines:
        lines.write(json.dumps(made_up(0, 1.0)) + "\n" + json.dumps(made_up(1, 1.0))[:40])
    assert script._read(path, settings) == [made_up(0, 1.0)]
    assert script._read(path, {"settings": {"pictures": 6}}) == []
    assert script._read(path, settings) == []


def test_what_is_remembered_is_asked_once(script):
    asked = []

    def outcome(sample):
        asked.append(sample)
        return sample.labels * 1.0

    world = script.PictoWorld(("mammals",))
    remembered = script._remembered(outcome)
    seen = world.sample(5, rng=np.random.default_rng(0))
    dark = seen.intervene({"tint": "dark"})
    for sample in (seen, dark, seen, dark, world.sample(5, rng=np.random.default_rng(1))):
        assert (remembered(sample) == sample.labels).all()
    assert len(asked) == 3


def test_the_committed_intervals_hold_the_truth_where_there_is_overlap(script):
    effects = json.loads(RESULT.read_text())["effects"]
    assert len(effects) == len(script.PAIRS) * len(script.STRENGTHS)
    for row in effects:
        if row["strength"] < 0.9:
            assert row["refused"] == 0, row
            assert row["estimate"]["coverage"]["low"] <= 0.95, row
        else:
            assert row["refused"] > 0.5 * row["runs"], row
    style = next(row for row in effects if (row["strength"], row["factor"]) == (0.6, "style"))
    assert style["naive"]["bias"]["low"] > 0
