"""Rehearsals: trained on half of the classes, a method meets the other half and images that were kept from it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cdc.data.dataset import Example, ImageDataset
from cdc.data.splits import select_classes
from cdc.methods.method import HeldOut, Rehearsal, Trainable

FEWEST_CLASSES = 4
"""Fewer classes cannot be halved into two tasks."""

ONE_IN = 4
"""One of this many shots of a class is kept from the training, and a class with fewer keeps none."""


@dataclass(frozen=True)
class Part:
    """What one rehearsal trains on and what it keeps.

    Attributes:
        trained: half of the classes with most of their shots.
        known: the other shots of these classes.
        new: the other half of the classes with all of their shots.
    """

    trained: ImageDataset
    known: ImageDataset
    new: ImageDataset


def plan_rehearsals(shots: ImageDataset, *, seed: int) -> tuple[Part, ...]:
    """Two rehearsals, one on each half of the classes; none where classes or shots are too few.

    Args:
        shots: its training split is the shots.
        seed: of which shots are kept.

    Example:
        >>> images = tuple(Example(Path(f"{label}{n}.png"), label) for label in range(4) for n in range(4))
        >>> data = ImageDataset("letters", ("a", "b", "c", "d"), train=images, validation=(), test=())
        >>> first, second = plan_rehearsals(data, seed=1)
        >>> first.trained.class_names, len(first.trained.train), len(first.known.train), len(first.new.train)
        (('a', 'b'), 6, 2, 8)
    """
    counts = np.bincount([example.label for example in shots.train], minlength=len(shots.class_names))
    if len(shots.class_names) < FEWEST_CLASSES or counts.min() < ONE_IN:
        return ()
    kept = _kept(shots, seed=seed)
    halves = [select_classes(shots, half) for half in ("base", "new")]
    return tuple(
        Part(
            trained=_only(half, lambda example: example.path not in kept),
            known=_only(half, lambda example: example.path in kept),
            new=other,
        )
        for half, other in (halves, reversed(halves))
    )


def rehearse(
    shots: ImageDataset,
    train: Callable[[ImageDataset, int], Trainable],
    see: Callable[[ImageDataset], HeldOut],
    *,
    seed: int,
) -> tuple[Rehearsal, ...]:
    """Train on each half of the classes, and keep what the method was not shown.

    Args:
        shots: its training split is the shots.
        train: from the shots of a rehearsal and its number to the trained method.
        see: from the images of a training split to their features as at test time.
        seed: of which shots are kept.
    """
    return tuple(
        Rehearsal(
            method=train(part.trained, number),
            known=see(part.known),
            new=see(part.new),
        )
        for number, part in enumerate(plan_rehearsals(shots, seed=seed), start=1)
    )


def _kept(shots: ImageDataset, *, seed: int) -> set[Path]:
    rng = np.random.default_rng(seed)
    by_class: list[list[Path]] = [[] for _ in shots.class_names]
    for example in shots.train:
        by_class[example.label].append(example.path)
    kept: set[Path] = set()
    for paths in by_class:
        kept |= {paths[row] for row in rng.permutation(len(paths))[: len(paths) // ONE_IN]}
    return kept


def _only(dataset: ImageDataset, wanted: Callable[[Example], bool]) -> ImageDataset:
    return replace(dataset, train=tuple(filter(wanted, dataset.train)), validation=(), test=())
