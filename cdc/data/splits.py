"""Draw shots, cut classes into base and new, and divide images that come without a split."""

import hashlib
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from cdc.data.dataset import Example, ImageDataset
from cdc.errors import InputError

VALIDATION_SHOTS = 4
"""At most this many validation images per class go with the shots (Zhou et al., CoOp, IJCV 2022)."""

LARGEST_SEED = 2**32 - 1
"""What every random generator takes, also as a part of another seed."""

TRAIN_SHARE, VALIDATION_SHARE = 0.5, 0.2
"""Shares of a class that CoOp trains on and validates on where a data set has no official split; the rest is test."""


def few_shot(dataset: ImageDataset, *, shots: int, seed: int, allow_fewer: bool = False) -> ImageDataset:
    """Draw `shots` training images per class as the prompt-learning literature does; the test split stays whole.

    Classes are taken in the order in which they first appear in the train list, one draw without replacement each;
    then up to four validation images per class are drawn from the same random stream (protocol of Zhou et al., CoOp,
    IJCV 2022). On a published split file, seeds 1, 2, 3 therefore give the very images behind published numbers.
    Draw before `select_classes`: the stream runs over all classes.

    Args:
        dataset: what to draw from.
        shots: training images per class, at least 1.
        seed: seed of the draw.
        allow_fewer: take all images of a class that has fewer than `shots`, as the literature silently does.

    Raises:
        InputError: if `shots` is below 1, the seed out of bounds, or a class has fewer images, or with `allow_fewer`
            none.

    Example:
        >>> from pathlib import Path
        >>> files = tuple(Example(Path(f"{i}.jpg"), i % 2) for i in range(20))
        >>> drawn = few_shot(ImageDataset("toy", ("a", "b"), files, (), files[:2]), shots=3, seed=1)
        >>> [example.path.stem for example in drawn.train]
        ['4', '2', '8', '3', '15', '17']
    """
    if shots < 1:
        raise InputError(f"shots must be at least 1; received {shots}. Pass shots=16, the usual setting.")
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"seed must be between 0 and {LARGEST_SEED}; received {seed}. Pass seed=1, for example.")
    _refuse_small_classes(dataset, 1 if allow_fewer else shots)
    stream = random.Random(seed)  # the literature's own generator: shots must match theirs
    train = _draw(dataset.train, shots, stream)
    validation = _draw(dataset.validation, min(shots, VALIDATION_SHOTS), stream)
    return replace(dataset, train=train, validation=validation)


def select_classes(dataset: ImageDataset, classes: Literal["base", "new", "all"]) -> ImageDataset:
    """Keep the first half of the labels (base), the second half (new) or all; labels count from 0 again.

    With n classes, base has ceil(n / 2) (protocol of Zhou et al., CoCoOp, CVPR 2022).

    Args:
        dataset: what to cut; train, validation and test are all cut.
        classes: which part to keep.

    Raises:
        InputError: if there is only one class to cut in two.

    Example:
        >>> from pathlib import Path
        >>> files = tuple(Example(Path(f"{i}.jpg"), i) for i in range(3))
        >>> new = select_classes(ImageDataset("toy", ("ant", "bee", "cat"), files, (), files), "new")
        >>> new.class_names, new.test[0].label, new.test[0].path.name
        (('cat',), 0, '2.jpg')
    """
    count = len(dataset.class_names)
    half = (count + 1) // 2
    match classes:
        case "all":
            return dataset
        case "base":
            kept = range(half)
        case "new":
            kept = range(half, count)
    if count < 2:
        raise InputError(f"a base/new split needs at least 2 classes; {dataset.name} has {count}. Pass classes='all'.")

    def cut(examples: Iterable[Example]) -> tuple[Example, ...]:
        return tuple(replace(item, label=item.label - kept.start) for item in examples if item.label in kept)

    return replace(
        dataset,
        class_names=dataset.class_names[kept.start : kept.stop],
        train=cut(dataset.train),
        validation=cut(dataset.validation),
        test=cut(dataset.test),
    )


def divide(
    examples: Sequence[Example], keys: Sequence[str]
) -> tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...]]:
    """Divide images that come without a split into 50 % train, 20 % validation and 30 % test of every class.

    Which image goes where follows from its key alone (SHA-256), not from the order of listing or a random state.
    A class is sorted by factors and hash and then sampled at even steps (systematic sampling; Cochran, Sampling
    Techniques, 1977, chapter 8), so that every combination of factors is divided in the same proportions too.
    A class of two or more images is present in train and in test; a single image goes to test.

    Args:
        examples: all images.
        keys: a name for every image that does not change when the data move, such as its path below the root.

    Returns:
        Train, validation and test, each in the order given.

    Example:
        >>> from pathlib import Path
        >>> files = [Example(Path(f"{i}.jpg"), 0) for i in range(10)]
        >>> [len(part) for part in divide(files, [str(item.path) for item in files])]
        [5, 2, 3]
    """
    hashes = [hashlib.sha256(os.fsencode(key)).hexdigest() for key in keys]
    classes: dict[int, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        classes[example.label].append(index)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for members in classes.values():
        members.sort(key=lambda index: (sorted(examples[index].factors.items()), hashes[index]))
        train, validation = _sizes(len(members))
        chosen, rest = _every(members, train)
        parts[0].extend(chosen)
        for part, chosen in zip(parts[1:], _every(rest, validation), strict=True):
            part.extend(chosen)
    train, validation, test = (tuple(examples[index] for index in sorted(part)) for part in parts)
    return train, validation, test


def _sizes(count: int) -> tuple[int, int]:
    """How many of a class's images go to train and to validation."""
    if count == 1:
        return 0, 0
    train = max(1, round(TRAIN_SHARE * count))
    return train, min(round(VALIDATION_SHARE * count), count - train - 1)


def _every(items: Sequence[int], count: int) -> tuple[list[int], list[int]]:
    """Choose `count` items evenly spaced (systematic sampling), and return them and the rest.

    Any run of neighbours, such as the images of one combination of factors, holds its share to within one item.
    """
    steps = [index * count // len(items) for index in range(len(items) + 1)] if items else [0]
    chosen = [item for item, before, after in zip(items, steps, steps[1:], strict=False) if after > before]
    rest = [item for item, before, after in zip(items, steps, steps[1:], strict=False) if after == before]
    return chosen, rest


def _draw(examples: Iterable[Example], count: int, stream: random.Random) -> tuple[Example, ...]:
    """`count` examples per class, classes in order of first appearance; a smaller class is taken whole, undrawn."""
    by_label: dict[int, list[Example]] = defaultdict(list)
    for example in examples:
        by_label[example.label].append(example)
    return tuple(
        example
        for members in by_label.values()
        for example in (stream.sample(members, count) if len(members) >= count else members)
    )


def _refuse_small_classes(dataset: ImageDataset, needed: int) -> None:
    available = Counter(example.label for example in dataset.train)
    small = [(available[k], name) for k, name in enumerate(dataset.class_names) if available[k] < needed]
    if small:
        count, name = min(small)
        others = f", and {len(small) - 1} more classes are short" if len(small) > 1 else ""
        raise InputError(
            f"every class needs at least {needed} training images; {name!r} has {count}{others}. Lower the shots, add "
            "images, or take what there is with allow_fewer=True."
        )
