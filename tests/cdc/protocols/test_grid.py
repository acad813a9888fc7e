"""The grid: killed and resumed to the byte, parallel as sequential, and whatever goes wrong stays where it is."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import cdc
from cdc.files import in_use
from cdc.methods.coop import CoOp
from cdc.protocols import grid, runs

METHODS = ("zero-shot", "coop", "cdc")
SEEDS = (1, 2, 3)
TABLES = ("table.md", "table.csv", "table.tex")
TRAINING = cdc.TrainingConfig(epochs=3)
SETTINGS = cdc.FitSettings(cache=None)

GRID = """
import os, sys
package, data, backbone, out = sys.argv[1:]
sys.path.insert(0, package)
import torch
import cdc

torch.set_num_threads(max(1, os.cpu_count() // 2))
ways = {"shots": 4, "training": cdc.TrainingConfig(epochs=3), "settings": cdc.FitSettings(cache=None), "workers": 1}
cdc.run_protocol("base-to-new", [cdc.load_dataset(data)], ["zero-shot", "coop", "cdc"], backbone, out=out, **ways)
"""

OWN_METHODS = """
import os, signal
from dataclasses import dataclass
from typing import ClassVar
import cdc
from cdc.methods.zero_shot import ZeroShot

@dataclass(frozen=True)
class FailingConfig:
    name: ClassVar[str] = "failing"

def fail(backbone, config, task):
    raise ValueError("no\\nluck")

@dataclass(frozen=True)
class DyingConfig:
    name: ClassVar[str] = "dying"

def die(backbone, config, task):
    if task.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    fail(backbone, config, task)

cdc.register_method(FailingConfig, fail, help="fails")
cdc.register_method(DyingConfig, die, help="dies")
"""


@pytest.fixture(scope="module")
def dataset(colour_folder) -> cdc.ImageDataset:
    return cdc.load_dataset(colour_folder)


@pytest.fixture(scope="module")
def whole(dataset, tiny_clip_folder, tmp_path_factory) -> Path:
    """A grid that nothing disturbed, run after run in one process."""
    out = tmp_path_factory.mktemp("whole")
    run(dataset, tiny_clip_folder, out, workers=1)
    return out


@pytest.fixture
def own_methods(tmp_path, monkeypatch):
    (tmp_path / "own_methods_for_grid.py").write_text(OWN_METHODS)
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(cdc.METHODS)
    import own_methods_for_grid

    yield own_methods_for_grid
    cdc.METHODS.clear()
    cdc.METHODS.update(before)
    del sys.modules["own_methods_for_grid"]


@pytest.fixture(scope="module", autouse=True)
def threads_of_a_worker():
    """Everywhere as many as each of two workers has: sums on another number of threads round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, os.cpu_count() // 2))
    yield
    torch.set_num_threads(before)


def run(dataset, backbone, out, **changed) -> cdc.ProtocolResult:
    ways = {"seeds": SEEDS, "shots": 4, "training": TRAINING, "settings": SETTINGS} | changed
    methods = ways.pop("methods", METHODS)
    return cdc.run_protocol("base-to-new", [dataset], methods, str(backbone), out=out, **ways)


def run_loaded(dataset, backbone, out) -> cdc.ProtocolResult:
    """One run in this process."""
    ways = {"seeds": (1,), "shots": 4, "training": TRAINING, "settings": SETTINGS}
    return cdc.run_protocol("base-to-new", [dataset], ["coop"], backbone, out=out, **ways)


def assert_same_tables(first: Path, second: Path):
    for name in TABLES:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name

    def timeless(folder: Path) -> list[dict]:
        records = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
        return [{k: v for k, v in record.items() if k not in ("seconds", "peak_memory")} for record in records]

    assert timeless(first) == timeless(second)


def test_killed_twice_and_resumed_writes_the_same_tables(dataset, colour_folder, tiny_clip_folder, whole, tmp_path):
    script = tmp_path / "grid.py"
    script.write_text(GRID)
    out = tmp_path / "out"
    for finished in (2, 5):
        place = [str(Path(cdc.__file__).parent.parent), str(colour_folder), str(tiny_clip_folder), str(out)]
        process = subprocess.Popen([sys.executable, script, *place], stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.glob("runs/*.json"))) < finished:
            time.sleep(0.005)
        process.kill()
        process.wait()
    kept = {file: file.stat().st_mtime_ns for file in out.glob("runs/*.json")}
    assert kept
    assert not (out / "table.md").exists(), "the grid was over before it was killed"
    run(dataset, tiny_clip_folder, out, workers=1)
    assert_same_tables(out, whole)
    assert {file: file.stat().st_mtime_ns for file in kept} == kept, "a finished run was run again"
    assert list(out.glob("checkpoints/*.safetensors")) == []


def test_parallel_equals_sequential_and_one_that_dies_stops_no_other(
    dataset, tiny_clip_folder, whole, tmp_path, own_methods, capfd
):
    methods = {
        "dying": own_methods.DyingConfig(),
        "failing": own_methods.FailingConfig(),
        **{name: cdc.method_config(name) for name in METHODS},
    }
    out = tmp_path / "out"
    result = run(dataset, tiny_clip_folder, out, workers=2, methods=methods)
    died = "its process was ended by SIGKILL, perhaps for want of memory: try fewer workers"
    assert {item.run: item.reason for item in result.failed} == {
        f"{name} on {dataset.name}, seed {seed}": died if (name, seed) == ("dying", 1) else "ValueError: no luck"
        for name in ("dying", "failing")
        for seed in SEEDS
    }
    lines = capfd.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith("base-to-new ")]) == 15
    assert any("failing on" in line and line.endswith("failed: ValueError: no luck") for line in lines)
    text = (out / "table.md").read_text()
    assert f"| failing on {dataset.name}, seed 1 | ValueError: no luck |" in text
    again = run(dataset, tiny_clip_folder, out, workers=1)
    assert again.failed == ()
    assert_same_tables(out, whole)


def test_a_kill_while_a_run_is_measured_costs_no_training(dataset, tiny_backbone, tmp_path, monkeypatch):
    found = runs.find_protocol("base-to-new")

    def killed(*_):
        raise KeyboardInterrupt

    def trains_again(*_, **__):
        raise AssertionError

    monkeypatch.setattr(runs, "find_protocol", lambda _: replace(found, measure=killed))
    with pytest.raises(KeyboardInterrupt):
        run_loaded(dataset, tiny_backbone, tmp_path)
    assert list(tmp_path.glob("checkpoints/*"))
    monkeypatch.undo()
    monkeypatch.setattr(CoOp, "loss", trains_again)
    result = run_loaded(dataset, tiny_backbone, tmp_path)
    assert (len(result.runs), result.failed) == (1, ())
    assert not list(tmp_path.glob("checkpoints/*"))


def test_a_checkpoint_that_a_kill_left_beside_its_record_goes(dataset, tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "discard", lambda _: None)
    monkeypatch.setattr(grid, "discard", lambda _: None)
    run_loaded(dataset, tiny_backbone, tmp_path)
    assert list(tmp_path.glob("checkpoints/*"))
    monkeypatch.undo()
    run_loaded(dataset, tiny_backbone, tmp_path)
    assert not list(tmp_path.glob("checkpoints/*"))


def test_a_folder_of_other_things_is_refused(dataset, tiny_backbone, tmp_path):
    (tmp_path / "table.md").write_text("a user's own")
    with pytest.raises(cdc.InputError, match=r"must not exist yet; received .*table\.md"):
        run_loaded(dataset, tiny_backbone, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["table.md"]


def test_a_grid_in_use_is_refused(dataset, tiny_backbone, tmp_path):
    with in_use(tmp_path), pytest.raises(cdc.InputError, match="in use by another"):
        run_loaded(dataset, tiny_backbone, tmp_path)


def test_a_run_of_other_settings_is_refused_before_anything_is_run(dataset, tiny_clip_folder, whole, tmp_path):
    with pytest.raises(cdc.InputError, match=r"must hold a run of these settings; its settings.shots is 4, not 2"):
        run(dataset, tiny_clip_folder, whole, shots=2)
    with pytest.raises(cdc.InputError, match=r"its settings.training.epochs is 3, not 4"):
        run(dataset, tiny_clip_folder, whole, training=replace(TRAINING, epochs=4))
    other = replace(dataset, template="a drawing of a {}.")
    with pytest.raises(cdc.InputError, match=rf"its settings.data.{dataset.name} is '\w+', not '\w+'"):
        run(other, tiny_clip_folder, whole)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / f"{dataset.name}-coop-seed_1.json").write_text("{")
    with pytest.raises(cdc.InputError, match=r"must be the record of a run; .* Delete that file"):
        run(dataset, tiny_clip_folder, tmp_path)
    assert len(list(tmp_path.glob("runs/*"))) == 1


def test_a_data_set_that_is_not_there_is_skipped_with_its_reason(dataset, tiny_backbone, tmp_path):
    datasets = [("pets", "no such folder | here"), dataset]
    ways = {"seeds": (1,), "shots": 4, "settings": SETTINGS, "out": tmp_path}
    result = cdc.run_protocol("base-to-new", datasets, ["zero-shot"], tiny_backbone, **ways)
    assert [(item.dataset, item.reason) for item in result.skipped] == [datasets[0]]
    assert "| pets | no such folder \\| here |" in (tmp_path / "table.md").read_text()
    assert len(result.runs) == 1


def test_a_data_set_with_too_few_images_fails_and_is_named(dataset, tiny_backbone, tmp_path):
    ways = {"seeds": (1,), "shots": 99, "training": TRAINING, "settings": SETTINGS, "out": tmp_path}
    result = cdc.run_protocol("base-to-new", [dataset], ["zero-shot", "coop"], tiny_backbone, **ways)
    (failed,) = result.failed
    assert failed.reason.startswith("every class needs at least 99 training images")
    assert [row.method for row in result.table()] == ["zero-shot", "zero-shot"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"protocol": "open-set"}, "protocol must be one of base-to-new, cross-dataset"),
        ({"methods": []}, "methods must be at least one; received none"),
        ({"methods": ["coop", "coop"]}, "methods must have names of their own; received 'coop' more than once"),
        ({"seeds": (1, 1)}, "seeds must have names of their own; received 1 more than once"),
        ({"datasets": []}, "data sets must be at least one"),
        ({"datasets": "twice"}, "data sets must have names of their own"),
        ({"shots": 0}, "shots must be at least 1; received 0"),
        ({"shots": (1, 2)}, "base-to-new takes one number of shots; received 1, 2"),
        ({"reference": "maple"}, "reference must be one of coop; received 'maple'"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"workers": 2}, "a loaded backbone serves one process; received workers=2"),
        ({"methods": {"a b": cdc.CoOpConfig(), "a/b": cdc.CoOpConfig()}}, "runs must have names of their own"),
    ],
)
def test_mistakes(changed, message, dataset, tiny_backbone, tmp_path):
    ways = {"protocol": "base-to-new", "datasets": [dataset], "methods": ["coop"], "backbone": tiny_backbone} | changed
    if ways["datasets"] == "twice":
        ways["datasets"] = [dataset, dataset]
    with pytest.raises(cdc.InputError, match=message):
        cdc.run_protocol(**ways, out=tmp_path)
    assert list(tmp_path.iterdir()) == []
