"""Pre-training: resumed as if it had never been stopped, the same tokenizer in every process, mistakes in one line."""

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

import cdc

SCRIPT = Path(__file__).parents[2] / "analyses" / "pretrain_picto.py"
QUICK = ["--pictures", "64", "--batch", "8", "--device", "cpu"]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a fresh module, with a checkpoint every third of the eight steps."""
    spec = importlib.util.spec_from_file_location("pretrain_picto", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "pretrain_picto", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 3)
    return module


def stop_after(steps: int, script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run be killed when it has done so many steps."""
    step, done = script.train_step, []

    def stopping(*arguments: object) -> float:
        if len(done) == steps:
            raise KeyboardInterrupt
        done.append(1)
        return step(*arguments)

    monkeypatch.setattr(script, "train_step", stopping)


def tokenizer_hash(script: ModuleType) -> str:
    return hashlib.sha256(script.make_tokenizer().backend_tokenizer.to_str().encode()).hexdigest()


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.main(["--out", str(tmp_path / "whole"), *QUICK])
    with monkeypatch.context() as patch:
        stop_after(5, script, patch)
        with pytest.raises(KeyboardInterrupt):
            script.main(["--out", str(tmp_path / "stopped"), *QUICK])
    assert not (tmp_path / "stopped" / "open_clip_model.safetensors").exists()
    # Another process might number the vocabulary otherwise; a run must go on with the one that it began with.
    monkeypatch.setattr(script, "make_tokenizer", lambda: pytest.fail("a second tokenizer was made"))
    script.main(["--out", str(tmp_path / "stopped"), *QUICK])
    whole, stopped = (torch.load(tmp_path / name / "checkpoint.pt") for name in ("whole", "stopped"))
    assert whole["state"]["losses"] == stopped["state"]["losses"]
    assert [step for step, _ in whole["state"]["losses"]] == [3, 6, 8]
    for name, weight in whole["model"].items():
        assert torch.equal(weight, stopped["model"][name]), name
    for name in ("open_clip_model.safetensors", "tokenizer.json", "open_clip_config.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes(), name


def test_what_it_writes_is_a_backbone_in_half_precision(script: ModuleType, tmp_path: Path) -> None:
    script.main(["--out", str(tmp_path / "model"), "--pictures", "8", "--batch", "8", "--device", "cpu"])
    assert cdc.load_backbone(str(tmp_path / "model")).dim == 192
    weights = load_file(tmp_path / "model" / "open_clip_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float16}
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    assert (record["step"], record["pictures"], record["strength"]) == (1, 8, 0.9)


def test_the_tokenizer_is_the_same_in_every_process(script: ModuleType) -> None:
    command = (
        "import importlib.util, hashlib, sys; "
        f"spec = importlib.util.spec_from_file_location('pretrain', {str(SCRIPT)!r}); "
        "module = importlib.util.module_from_spec(spec); sys.modules['pretrain'] = module; "
        "spec.loader.exec_module(module); "
        "print(hashlib.sha256(module.make_tokenizer().backend_tokenizer.to_str().encode()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert tokenizer_hash(script) == tokenizer_hash(script) == done.stdout.strip()


@pytest.mark.parametrize("name", ["picto", "picto-unconfounded"])
def test_the_bundled_tokenizers_are_its_own_up_to_numbering(name: str, script: ModuleType) -> None:
    folder = Path(cdc.__file__).parent / "backbones" / "weights" / name
    bundled = json.loads((folder / "tokenizer.json").read_text())["model"]
    made = json.loads(script.make_tokenizer().backend_tokenizer.to_str())["model"]
    assert set(made["vocab"]) == set(bundled["vocab"])
    assert sorted(made["merges"]) == sorted(bundled["merges"])


def test_a_checkpoint_of_other_settings_is_refused(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.main(["--out", str(tmp_path), *QUICK])
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(SystemExit) as exit_:
        script.main(["--out", str(tmp_path), *QUICK, "--seed", "1"])
    assert exit_.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "must belong to the same settings; it has {" in message
    assert "'seed': 0}, received" in message
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strength", "1.5"], "strength must be from 0 (no confounding) to 1; received 1.5"),
        (["--strength", "-0.1"], "strength must be from 0 (no confounding) to 1; received -0.1"),
        (["--pictures", "7", "--batch", "8"], "at least one batch; received 7 pictures in batches of 8"),
        (["--batch", "0"], "at least one batch; received 1200000 pictures in batches of 0"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    arguments: list[str], message: str, script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        script.main(["--out", str(tmp_path / "model"), *arguments])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
