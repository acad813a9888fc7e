"""Read the official or published splits of the data sets that the prompt-learning literature reports on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cdc.data.dataset import Example
from cdc.data.folder import visible_folders
from cdc.data.listing import Listing, Split
from cdc.data.places import is_image
from cdc.errors import InputError

JSON_SPLITS: tuple[tuple[str, Split], ...] = (("train", "train"), ("val", "validation"), ("test", "test"))
"""Keys of a split file, and what they are here."""


@dataclass(frozen=True)
class _Row:
    """One image of a split file."""

    file: str
    label: int
    class_name: str
    split: Split


def read_split_file(path: Path, images: Path) -> Listing:
    """Read a split file of the prompt-learning literature (Zhou et al., CoOp, IJCV 2022).

    It is JSON: ``{"train": [[file, label, class name], ...], "val": [...], "test": [...]}``. The order of the images is
    kept, since the few-shot draw depends on it.

    Args:
        path: the split file.
        images: folder that its file names count from.

    Raises:
        InputError: if the file is no such JSON, its labels do not run from 0, or images are missing.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "1.jpg").write_bytes(b"not read here")
        >>> _ = (folder / "split.json").write_text('{"train": [], "val": [], "test": [["1.jpg", 0, "dog"]]}')
        >>> listing = read_split_file(folder / "split.json", folder)
        >>> listing.class_names, listing.splits
        (('dog',), ('test',))
    """
    rows = _rows(path)
    names = {row.label: row.class_name for row in rows}
    if sorted(names) != list(range(len(names))) or any(row.class_name != names[row.label] for row in rows):
        raise InputError(
            f"a split file must number its classes from 0, with one name each; {path} does not. "
            "Fetch the file again from its publisher."
        )
    examples = tuple(Example(images / row.file, row.label) for row in rows)
    _refuse_missing(examples, path)
    counts = "/".join(str(sum(row.split == split for row in rows)) for _, split in JSON_SPLITS)
    return Listing(
        root=images,
        class_names=tuple(names[label] for label in range(len(names))),
        examples=examples,
        splits=tuple(row.split for row in rows),
        split_source=f"{path.name} ({counts} images)",
    )


def read_aircraft(folder: Path) -> Listing:
    """Read FGVC-Aircraft: its own three lists of images, labels in the order of ``variants.txt``.

    Args:
        folder: holds ``images/``, ``variants.txt`` and ``images_variant_{train,val,test}.txt``.

    Raises:
        InputError: if a list or an image is missing, or a list names an unknown variant.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name, text in {"variants": "707-320", "images_variant_train": "0034309 707-320",
        ...                    "images_variant_val": "", "images_variant_test": ""}.items():
        ...     _ = (folder / f"{name}.txt").write_text(text)
        >>> (folder / "images").mkdir()
        >>> _ = (folder / "images" / "0034309.jpg").write_bytes(b"not read here")
        >>> read_aircraft(folder).examples[0].path.name
        '0034309.jpg'
    """
    class_names = tuple(_lines(folder / "variants.txt"))
    labels = {name: label for label, name in enumerate(class_names)}
    examples: list[Example] = []
    splits: list[Split] = []
    for key, split in JSON_SPLITS:
        path = folder / f"images_variant_{key}.txt"
        for line in _lines(path):
            image, _, name = line.partition(" ")
            if name not in labels:
                raise InputError(f"every variant must be in variants.txt; {path} has {name!r}. Fetch the data again.")
            examples.append(Example(folder / "images" / f"{image}.jpg", labels[name]))
            splits.append(split)
    _refuse_missing(examples, folder / "images_variant_*.txt")
    return Listing(folder, class_names, tuple(examples), tuple(splits), "images_variant_{train,val,test}.txt")


def read_imagenet(folder: Path, *, train: str | None, test: str, numbered: bool = False) -> Listing:
    """Read ImageNet or one of its variants: folders named by WordNet id, class names in ``classnames.txt``.

    Labels follow the sorted ids of the folders that exist, so that ImageNet-A and -R have their own 200 classes. Images
    are sorted, where the literature takes the order of the file system: its ImageNet shots cannot be drawn again.

    Args:
        folder: holds ``classnames.txt``, one ``<wnid> <name>`` a line.
        train: folder of the training images below `folder`; None for a variant that is only for tests.
        test: folder of the test images below `folder`.
        numbered: the folders are called 0, 1, ... by line of ``classnames.txt``, as in ImageNetV2.

    Raises:
        InputError: if a folder or ``classnames.txt`` is missing, or a folder's class has no name.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "images" / "n01440764").mkdir(parents=True)
        >>> _ = (folder / "images" / "n01440764" / "a.JPEG").write_bytes(b"not read here")
        >>> _ = (folder / "classnames.txt").write_text("n01440764 tench")
        >>> read_imagenet(folder, train=None, test="images").class_names
        ('tench',)
    """
    lines = [line.partition(" ") for line in _lines(folder / "classnames.txt")]
    names = {str(number) if numbered else wnid: name for number, (wnid, _, name) in enumerate(lines)}
    present = {path.name for path in visible_folders(folder / test)}
    unknown = sorted(present - set(names))
    if unknown or not present:
        raise InputError(
            f"{folder / test} must hold folders that classnames.txt names; received "
            f"{unknown[0] if unknown else 'no folder'}. Unpack the data again, or complete classnames.txt."
        )
    ids = [identifier for identifier in names if identifier in present]
    if not numbered:
        ids.sort()
    tops: dict[Split, str] = {"test": test} if train is None else {"train": train, "test": test}
    found: list[tuple[Example, Split]] = [
        (Example(path, label), split)
        for split, top in tops.items()
        for label, identifier in enumerate(ids)
        for path in sorted((folder / top / identifier).glob("*"))
        if is_image(path)
    ]
    return Listing(
        root=folder,
        class_names=tuple(names[identifier] for identifier in ids),
        examples=tuple(example for example, _ in found),
        splits=tuple(split for _, split in found),
        split_source=f"folders {', '.join(tops.values())}",
    )


def _rows(path: Path) -> list[_Row]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [
            _Row(str(file), int(label), str(name), split)
            for key, split in JSON_SPLITS
            for file, label, name in content[key]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"a split file must be JSON with the lists train, val and test of [file, label, class name]; {path} is not "
            f"({type(error).__name__}: {error}). Fetch it again from its publisher."
        ) from error


def _refuse_missing(examples: Sequence[Example], source: Path) -> None:
    missing = [example.path for example in examples if not example.path.exists()]
    if missing:
        raise InputError(
            f"every image named by {source} must exist; {len(missing)} of {len(examples)} are missing, first "
            f"{missing[0]}. Complete the images, or unpack them where they belong."
        )


def _lines(path: Path) -> list[str]:
    """Lines of a list file that are not blank."""
    if not path.is_file():
        raise InputError(f"the data set needs {path}; received no such file. Unpack the data set completely.")
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
