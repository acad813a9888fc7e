"""Train a method on cached view features: one loop, killed and resumed without a trace.

Everything random in an epoch comes from a generator seeded by (seed, epoch), so the state at the end of an epoch is
the parameters, the optimizer's tensors and the epoch's number, and a resumed run is bit-equal to one never stopped.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from jaxtyping import Float, Int
from safetensors.torch import load, save
from torch import Tensor, nn

from cdc.errors import InputError
from cdc.files import write_bytes
from cdc.methods.config import TrainingConfig, to_settings
from cdc.methods.model import CDC, CoOp
from cdc.progress import EpochReport

WARM_UP_RATE = 1e-5
"""Constant learning rate of the first epoch (CoOp's published schedule)."""

SEEDS_PER_RUN = 1_000_003
"""Stride between the generator seeds of two runs: no run of fewer epochs shares a stream with another."""


@dataclass(frozen=True, eq=False)
class Shots:
    """Cached features of the training images.

    Attributes:
        values: [images, templates, views, dim], unit length; template m draws from its own views.
        labels: class of each image.
        fingerprint: of the data behind them.
    """

    values: Float[Tensor, "rows templates _ dim"]
    labels: Int[Tensor, " rows"]
    fingerprint: str


def learning_rate_at(epoch: int, config: TrainingConfig) -> float:
    """Learning rate of an epoch counted from 0: one epoch at 1e-5, then a cosine over the epochs.

    lr (1 + cos(pi (e - 2) / E)) / 2 for e = epoch + 1 >= 2, the schedule of CoOp and its successors.

    Example:
        >>> [round(learning_rate_at(e, TrainingConfig(epochs=5, learning_rate=3.5e-3)), 7) for e in range(5)]
        [1e-05, 0.0035, 0.0031658, 0.0022908, 0.0012092]
    """
    if epoch == 0:
        return WARM_UP_RATE
    return config.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / config.epochs)) / 2


def train(
    method: CoOp | CDC,
    shots: Shots,
    config: TrainingConfig,
    *,
    checkpoint: Path | None = None,
    progress: EpochReport | None = None,
) -> tuple[float, ...]:
    """Train `method` in place on cached features.

    Args:
        method: an untrained method; its parameters change.
        shots: features of the training images.
        config: epochs, batch size, optimizer, seed.
        checkpoint: file that is written after every epoch and resumed from if it exists.
        progress: called after every epoch with the number of finished epochs and the mean loss.

    Returns:
        Mean loss of every epoch.

    Raises:
        InputError: if the checkpoint belongs to another run.
    """
    accelerator = Accelerator(cpu=method.contexts.device.type == "cpu")
    optimizer = _optimizer(method, config)
    identity = _identity(method, shots, config)
    losses = _resume(method, optimizer, checkpoint, identity)
    model, stepper = accelerator.prepare(method, optimizer)
    for epoch in range(len(losses), config.epochs):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(epoch, config)
        total = torch.zeros((), device=shots.values.device)  # read once an epoch: reading is a sync on a GPU
        for views, labels in _batches(shots, config, epoch=epoch):
            loss = method.loss(views, labels, progress=epoch / config.epochs)
            stepper.zero_grad()
            accelerator.backward(loss)
            stepper.step()
            total += loss.detach() * len(labels)
        losses.append(float(total) / len(shots.labels))
        if not math.isfinite(losses[-1]):
            raise InputError(
                f"the loss must stay finite; received {losses[-1]} in epoch {epoch + 1}. Lower the learning rate."
            )
        _save(model, optimizer, checkpoint, losses, identity)
        if progress is not None:
            progress(epoch + 1, losses[-1])
    return tuple(losses)


def _batches(shots: Shots, config: TrainingConfig, *, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches; each template sees each image through one of its own views, drawn anew every epoch."""
    generator = torch.Generator().manual_seed(config.seed * SEEDS_PER_RUN + epoch)
    rows, templates, views, _ = shots.values.shape
    order = torch.randperm(rows, generator=generator)
    drawn = torch.randint(views, (rows, templates), generator=generator)
    index = torch.arange(templates)
    for batch in order.split(config.batch_size):
        yield shots.values[batch[:, None], index, drawn[batch]], shots.labels[batch]


def _optimizer(method: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    match config.optimizer:
        case "sgd":
            return torch.optim.SGD(
                method.parameters(), lr=config.learning_rate, momentum=0.9, weight_decay=config.weight_decay
            )
        case "adamw":
            return torch.optim.AdamW(method.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)


def _identity(method: CoOp | CDC, shots: Shots, config: TrainingConfig) -> dict[str, object]:
    """What must be the same for a checkpoint to be resumed."""
    return {
        "method": to_settings(method.config),
        "backbone": method.backbone.fingerprint,
        "training": to_settings(config),
        "data": shots.fingerprint,
    }


def _save(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    checkpoint: Path | None,
    losses: list[float],
    identity: dict[str, object],
) -> None:
    if checkpoint is None:
        return
    tensors = {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items() if value is not None}
    metadata = {"losses": json.dumps(losses), "identity": json.dumps(identity, sort_keys=True)}
    write_bytes(checkpoint, save(tensors, metadata))


def _resume(
    method: nn.Module, optimizer: torch.optim.Optimizer, checkpoint: Path | None, identity: dict[str, object]
) -> list[float]:
    """Load a checkpoint into method and optimizer and return the losses so far; nothing to do if there is none."""
    if checkpoint is None or not checkpoint.exists():
        return []
    content = checkpoint.read_bytes()
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    if metadata["identity"] != json.dumps(identity, sort_keys=True):
        raise InputError(
            f"a checkpoint must come from the same method, settings and data; received {checkpoint}, which does not. "
            "Choose another output folder, or delete that file to start again."
        )
    tensors = load(content)
    method.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            states.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return json.loads(metadata["losses"])
