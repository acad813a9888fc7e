"""The benchmark on a GPU: its smoke runs on any machine, it takes every method there is, and it can fail."""

import copy
import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
import torch

import cdc
from cdc.methods.registry import Entry

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.py"


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("smoke")
    done = run(folder, "--smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "out" / "gpu_smoke.json").read_text())


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return importlib.import_module("gpu")


def test_the_smoke_measures_and_compares_every_method(smoke):
    assert set(smoke["agreement"]["picto"]) == set(cdc.METHODS)
    assert smoke["agreement"]["picto"]["maple"].keys() == {"fp32", "bf16"}
    assert smoke["agreement"]["picto"]["maple"]["fp32"] == {"logits": 0, "loss": 0, "gradient": 0}
    assert 0 < smoke["agreement"]["picto"]["maple"]["bf16"]["probability"] < smoke["bounds"]["bf16"]
    for speed in smoke["speed"]["picto"].values():
        assert set(speed["steps"]) == set(cdc.METHODS) - {"zero-shot"}
        assert speed["steps"]["cdc"]["seconds"].keys() == {"min", "median", "max"}
        assert min(row["median"] for row in (speed["epoch_seconds"], *speed["predict_ratio"].values())) > 0
    assert smoke["text_encoding"]["fp32"]["dtd"]["seconds"].keys() == {"usual", "ours"}
    assert smoke["failures"] == []
    assert smoke["provenance"]["device"] == "cpu"


def test_a_difference_beyond_its_tolerance_and_a_wait_are_failures(script, smoke):
    broken = copy.deepcopy(smoke)
    broken["agreement"]["picto"]["coop"]["fp32"]["gradient"] = 1.0
    broken["agreement"]["picto"]["coop"]["bf16"]["probability"] = None
    broken["text_encoding"]["fp32"]["dtd"]["features_max_difference"] = 1.0
    broken["speed"]["picto"]["fp32"]["steps"]["coop"]["waits"] = "called a synchronizing CUDA operation"
    found = script.failures(broken)
    assert len(found) == 4
    assert found[0] == "picto, coop, fp32: gradient 1.0 > 0.001"


@dataclass(frozen=True)
class PickyConfig:
    name: ClassVar[str] = "picky"


def refuse(*_: object) -> cdc.Method:
    raise cdc.InputError("towers must be of ivory; received others. Use ivory.")


@pytest.fixture
def only_picky():
    """Zero-shot and a method that refuses all towers, for a while; then all methods, in the order they had."""
    before = dict(cdc.METHODS)
    cdc.METHODS.clear()
    cdc.METHODS.update({"zero-shot": before["zero-shot"], "picky": Entry(PickyConfig, refuse, "refuses")})
    yield
    cdc.METHODS.clear()
    cdc.METHODS.update(before)


@pytest.mark.usefixtures("only_picky")
def test_a_new_method_joins_by_itself_and_a_refusal_is_recorded_with_its_reason(script):
    refused = {"refused": "towers must be of ivory; received others. Use ivory."}
    assert script.steps(cdc.load_backbone("picto"), script.SMOKE) == {"picky": refused}
    assert script.agreement("picto", "cpu", script.SMOKE)["picky"] == refused


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_one_line_says_so(tmp_path):
    done = run(tmp_path)
    assert (done.returncode, done.stdout.count("\n")) == (2, 1)
    assert "needs a CUDA device" in done.stdout


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backbone", ["picto", "photo", "ViT-B-16"])
def test_a_gpu_gives_the_results_of_the_cpu(script, backbone):
    agreement = script.agreement(backbone, "cuda", script.Sizes(classes=8, compared=4))
    assert script.failures({"agreement": {backbone: agreement}, "text_encoding": {}, "speed": {}}) == []
