"""Train a method: one loop, killed and resumed without a trace.

Everything random in an epoch comes from a generator seeded by (seed, epoch), so the state at the end of an epoch is
the parameters and buffers, the optimizer's tensors and the epoch's number, and a resumed run is bit-equal to one never
stopped. Parameters are float32 and the towers run in the backbone's precision; nothing in a step waits for the device.
"""

import math
from dataclasses import asdict
from pathlib import Path

import torch

from cdc.errors import InputError
from cdc.methods.method import Trainable
from cdc.methods.registry import method_record
from cdc.methods.schedule import TrainingConfig, learning_rate_at
from cdc.progress import EpochReport
from cdc.training.checkpoint import resume, save_checkpoint
from cdc.training.shots import FeatureShots, Shots

SEEDS_PER_RUN = 1_000_003
"""Stride between the generator seeds of two runs: no run of fewer epochs shares a stream with another."""


def train(
    method: Trainable,
    shots: Shots,
    config: TrainingConfig,
    *,
    checkpoint: Path | None = None,
    progress: EpochReport | None = None,
) -> tuple[float, ...]:
    """Train `method` in place.

    Args:
        method: an untrained method; its parameters change.
        shots: the training images, as the method asks for them.
        config: epochs, batch size, optimizer, seed.
        checkpoint: file that is written after every epoch and resumed from if it exists.
        progress: called after every epoch with the number of finished epochs and the mean loss.

    Returns:
        Mean loss of every epoch.

    Raises:
        InputError: if the checkpoint belongs to another run, or the loss stops being finite.
    """
    optimizer = _optimizer(method, config)
    identity = {
        "method": method_record(method.config),
        "backbone": method.backbone.identity,
        "training": asdict(config),
        "data": shots.fingerprint,
    }
    if isinstance(shots, FeatureShots):
        method.begin(shots.values)
    losses = resume(checkpoint, method, optimizer, identity) if checkpoint else []
    for epoch in range(len(losses), config.epochs):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(epoch, config)
        generator = torch.Generator().manual_seed(config.seed * SEEDS_PER_RUN + epoch)
        total, rows = torch.zeros((), device=method.backbone.device), 0  # read once an epoch: reading waits for a GPU
        for images, labels in shots.batches(config.batch_size, epoch=epoch, generator=generator):
            if config.drop_last and rows > 0 and len(labels) < config.batch_size:
                continue
            loss = method.loss(images, labels, progress=epoch / config.epochs)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(labels)
            rows += len(labels)
        losses.append(float(total) / rows)
        if not math.isfinite(losses[-1]):
            raise InputError(
                f"the loss must stay finite; received {losses[-1]} in epoch {epoch + 1}. Lower the learning rate."
            )
        method.end_epoch(epoch + 1, config.epochs)
        if checkpoint:
            save_checkpoint(checkpoint, method, optimizer, losses, identity)
        if progress:
            progress(epoch + 1, losses[-1])
    return tuple(losses)


def _optimizer(method: Trainable, config: TrainingConfig) -> torch.optim.Optimizer:
    match config.optimizer:
        case "sgd":
            return torch.optim.SGD(
                method.parameters(), lr=config.learning_rate, momentum=0.9, weight_decay=config.weight_decay
            )
        case "adamw":
            return torch.optim.AdamW(method.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
