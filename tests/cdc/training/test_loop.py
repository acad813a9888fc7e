"""The training loop: it learns, it resumes to the last bit after SIGKILL, and it leaves global randomness alone."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import cdc
from cdc.methods.cdc import CDC, CDCConfig
from cdc.methods.coop import CoOpConfig
from cdc.methods.method import Task
from cdc.methods.registry import build_method
from cdc.methods.schedule import TrainingConfig, learning_rate_at
from cdc.training.loop import train
from cdc.training.shots import FeatureShots

NAMES = ("dog", "cat", "house", "polar bear")
CONFIG = TrainingConfig(epochs=6, batch_size=8, learning_rate=0.05, seed=3)


def make_shots(backbone: cdc.Backbone, *, templates: int, views: int = 3) -> FeatureShots:
    """Noisy copies of shuffled text features: classes that only a changed prompt can match."""
    generator = torch.Generator().manual_seed(0)
    centres = backbone.encode_texts([f"a photo of a {name}." for name in NAMES]).roll(1, 0)
    labels = torch.arange(len(NAMES)).repeat_interleave(6)
    noise = 0.3 * torch.randn(len(labels), templates, views, backbone.dim, generator=generator)
    return FeatureShots(functional.normalize(centres[labels][:, None, None] + noise, dim=-1), labels, "synthetic")


def make_method(backbone: cdc.Backbone, config: CDCConfig | CoOpConfig = CDCConfig(templates=2)) -> CDC:  # noqa: B008
    return build_method(config, backbone, Task(NAMES, "a photo of a {}.", seed=1))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("config", [CDCConfig(templates=2), CoOpConfig()])
def test_training_lowers_the_loss_and_fits_the_shots(tiny_backbone, optimizer, config):
    method = make_method(tiny_backbone, config)
    shots = make_shots(tiny_backbone, templates=method.trains_on.templates)
    rate = 0.05 if optimizer == "sgd" else 0.01

    def accuracy() -> float:
        prediction = method.classifier(NAMES)(shots.values[:, 0, 0])
        return float((prediction.labels == shots.labels).float().mean())

    before = accuracy()
    losses = train(method, shots, replace(CONFIG, optimizer=optimizer, learning_rate=rate, epochs=15))
    assert min(losses) < losses[0]
    assert accuracy() > before


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_resumed_equals_unstopped_to_the_bit(tiny_backbone, tmp_path, optimizer):
    config = replace(CONFIG, optimizer=optimizer)
    shots = make_shots(tiny_backbone, templates=2)
    whole = make_method(tiny_backbone)
    losses = train(whole, shots, config)

    class StopError(Exception):
        pass

    def stop(finished: int, _loss: float) -> None:
        if finished == 3:
            raise StopError

    with pytest.raises(StopError):
        train(make_method(tiny_backbone), shots, config, checkpoint=tmp_path / "c", progress=stop)
    resumed = make_method(tiny_backbone)
    assert train(resumed, shots, config, checkpoint=tmp_path / "c") == losses
    assert torch.equal(resumed.contexts, whole.contexts)


CHILD = """
import sys
from pathlib import Path
import torch, cdc
sys.path.insert(0, {tests!r})
from test_loop import CONFIG, make_method, make_shots, train
folder, checkpoint, out = map(Path, sys.argv[1:])
backbone = cdc.load_backbone(str(folder))
method = make_method(backbone)
import time
shots = make_shots(backbone, templates=2)
train(method, shots, CONFIG, checkpoint=checkpoint, progress=lambda n, loss: time.sleep(0.3))
torch.save(method.contexts.detach(), out)
"""


def test_killed_and_resumed_process_equals_an_unstopped_one(tiny_clip_folder, tmp_path):
    code = CHILD.format(tests=str(Path(__file__).parent))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def command(run: str) -> list[str]:
        return [sys.executable, "-c", code, str(tiny_clip_folder), str(tmp_path / f"{run}.ckpt"), str(tmp_path / run)]

    killed = subprocess.Popen(command("killed"), env=environment)
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed.ckpt").exists():
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed").exists()
    subprocess.run(command("killed"), env=environment, check=True)
    subprocess.run(command("whole"), env=environment, check=True)
    assert torch.equal(torch.load(tmp_path / "killed"), torch.load(tmp_path / "whole"))


def test_a_checkpoint_of_another_run_is_refused(tiny_backbone, tmp_path):
    shots = make_shots(tiny_backbone, templates=2)
    train(make_method(tiny_backbone), shots, CONFIG, checkpoint=tmp_path / "c")
    with pytest.raises(cdc.InputError, match="must come from the same method, settings and data"):
        train(make_method(tiny_backbone), shots, replace(CONFIG, seed=4), checkpoint=tmp_path / "c")
    with pytest.raises(cdc.InputError, match="must come from the same method, settings and data"):
        train(make_method(tiny_backbone), replace(shots, fingerprint="other"), CONFIG, checkpoint=tmp_path / "c")


@pytest.mark.parametrize("damage", ["bit of a tensor", "bit of the header", "cut", "empty", "text", "no checksum"])
def test_a_damaged_checkpoint_is_one_clear_error(tiny_backbone, tmp_path, damage):
    shots, path = make_shots(tiny_backbone, templates=2), tmp_path / "c"
    train(make_method(tiny_backbone), shots, replace(CONFIG, epochs=1), checkpoint=path)
    content = bytearray(path.read_bytes())
    match damage:
        case "bit of a tensor":
            content[-1] ^= 1
        case "bit of the header":
            content[content.index(b'"losses":"[') + len(b'"losses":"[')] ^= 1  # a digit of the loss
        case "cut":
            del content[-10:]
        case "empty":
            content.clear()
        case "text":
            content = bytearray(b"no checkpoint at all")
        case "no checksum":
            content = content.replace(b"sha256", b"sha257")
    path.write_bytes(content)
    with pytest.raises(
        cdc.InputError, match=r"must be as it was saved; .* is damaged. Delete that file to start again"
    ):
        train(make_method(tiny_backbone), shots, replace(CONFIG, epochs=1), checkpoint=path)


def test_seeds_matter_and_repeat(tiny_backbone):
    shots = make_shots(tiny_backbone, templates=2)

    def contexts(seed: int) -> torch.Tensor:
        method = make_method(tiny_backbone)
        train(method, shots, replace(CONFIG, seed=seed))
        return method.contexts.detach()

    assert torch.equal(contexts(1), contexts(1))
    assert not torch.equal(contexts(1), contexts(2))


def test_global_randomness_is_untouched(tiny_backbone):
    before = torch.random.get_rng_state()
    train(make_method(tiny_backbone), make_shots(tiny_backbone, templates=2), replace(CONFIG, epochs=1))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_backbone_stays_frozen(tiny_backbone):
    before = [p.clone() for p in tiny_backbone.image_tower.parameters()]
    method = make_method(tiny_backbone)
    train(method, make_shots(tiny_backbone, templates=2), replace(CONFIG, epochs=1))
    assert [name for name, _ in method.named_parameters()] == ["contexts"]
    assert all(torch.equal(a, b) for a, b in zip(before, tiny_backbone.image_tower.parameters(), strict=True))


def test_schedule_is_the_published_one():
    rates = [learning_rate_at(epoch, TrainingConfig(epochs=5, learning_rate=3.5e-3)) for epoch in range(5)]
    assert rates == pytest.approx([1e-5, 3.5e-3, 3.1658e-3, 2.2908e-3, 1.2092e-3], rel=1e-4)


def test_a_diverging_loss_is_one_clear_error(tiny_backbone):
    shots = make_shots(tiny_backbone, templates=2)
    broken = replace(shots, values=shots.values * float("nan"))
    with pytest.raises(cdc.InputError, match="loss must stay finite; received nan in epoch 1"):
        train(make_method(tiny_backbone), broken, CONFIG)


@pytest.mark.parametrize(("batch_size", "expected"), [(10, 20), (24, 24), (100, 24)])
def test_the_last_batch_is_left_out_where_it_is_neither_whole_nor_the_only_one(
    tiny_backbone, monkeypatch, batch_size, expected
):
    method, rows = make_method(tiny_backbone), []
    loss = method.loss

    def counted(images, labels, *, progress):
        rows.append(len(labels))
        return loss(images, labels, progress=progress)

    monkeypatch.setattr(method, "loss", counted)
    shots = make_shots(tiny_backbone, templates=2)
    train(method, shots, replace(CONFIG, epochs=1, batch_size=batch_size, drop_last=True))
    assert sum(rows) == expected
