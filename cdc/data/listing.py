"""Images as they were found, before they are a data set: labelled, perhaps with a split each."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cdc.data.dataset import DEFAULT_TEMPLATE, Example, ImageDataset, spoken
from cdc.data.splits import divide
from cdc.errors import InputError

Split = Literal["train", "validation", "test"]

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""What folders and tables may call a split, in lower case."""

OWN_SPLIT = "50/20/30 % per class, drawn from the file names; not a published split"


@dataclass(frozen=True)
class Listing:
    """Labelled images below one folder.

    Attributes:
        root: the folder that file names count from.
        class_names: name of every label.
        examples: every image, in the order that the splits will keep.
        splits: the split of every image; None where none is given.
        split_source: where the splits come from, in words.

    Example:
        >>> Listing(Path("pets"), ("cat",), (Example(Path("pets/cat/1.jpg"), 0),)).keys
        ('cat/1.jpg',)
    """

    root: Path
    class_names: tuple[str, ...]
    examples: tuple[Example, ...]
    splits: tuple[Split, ...] | None = None
    split_source: str = OWN_SPLIT

    @property
    def keys(self) -> tuple[str, ...]:
        """Every image's path from the root, the same wherever the data lie."""
        return tuple(relative_name(example.path, self.root) for example in self.examples)


def relative_name(path: Path, root: Path) -> str:
    """`path` as seen from `root`, with forward slashes; symbolic links are not followed.

    Example:
        >>> relative_name(Path("pets/./cat/../dog/1.jpg"), Path("pets"))
        'dog/1.jpg'
    """
    return Path(os.path.relpath(path, root)).as_posix()


def to_dataset(listing: Listing, *, name: str, template: str = DEFAULT_TEMPLATE) -> ImageDataset:
    """Make a data set of a listing, dividing it (`cdc.data.splits.divide`) where it has no split of its own.

    Args:
        listing: the images.
        name: what reports call the data set.
        template: its hand-crafted prompt.

    Raises:
        InputError: if validation or test hold a class that training has not.

    Example:
        >>> files = tuple(Example(Path(f"{i}.jpg"), 0) for i in range(10))
        >>> len(to_dataset(Listing(Path(), ("cat",), files), name="cats").train)
        5
    """
    if listing.splits is None:
        train, validation, test = divide(listing.examples, listing.keys)
    else:
        pairs = list(zip(listing.examples, listing.splits, strict=True))
        train, validation, test = (
            tuple(example for example, split in pairs if split == wanted) for wanted in ("train", "validation", "test")
        )
        _refuse_untrained(listing.class_names, train, validation + test)
    return ImageDataset(
        name=name,
        class_names=listing.class_names,
        train=train,
        validation=validation,
        test=test,
        template=template,
        split_source=listing.split_source,
    )


def refuse_ambiguous_names(class_names: Iterable[str]) -> None:
    """Raise if two class names are one in a prompt: equal but for case, underscores or spaces.

    Example:
        >>> refuse_ambiguous_names(["car_side", "Car Side"])
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: class names must differ by more than case and underscores; received 'car_side' and
        'Car Side'. Merge the two, or rename one.
    """
    seen: dict[str, str] = {}
    for name in class_names:
        key = spoken(name)
        if key in seen:
            raise InputError(
                f"class names must differ by more than case and underscores; received {seen[key]!r} and {name!r}. "
                "Merge the two, or rename one."
            )
        seen[key] = name


def _refuse_untrained(class_names: tuple[str, ...], train: tuple[Example, ...], others: tuple[Example, ...]) -> None:
    """Refuse classes seen only at test: base and new classes are cut from the ones that training knows.

    A data set without any training images is for evaluation only, and passes.
    """
    known = {example.label for example in train}
    unknown = Counter(example.label for example in others if example.label not in known)
    if train and unknown:
        named = ", ".join(f"{class_names[label]!r} ({count} images)" for label, count in sorted(unknown.items()))
        raise InputError(
            f"every class must have training images; validation or test hold classes unknown in training: {named}. "
            "Correct the labels, or add training images."
        )
