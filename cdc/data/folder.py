"""List labelled images in folders: class subfolders, nested factor folders, train/val/test folders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cdc.data.dataset import Example
from cdc.data.listing import OWN_SPLIT, SPLIT_NAMES, Listing, Split, refuse_ambiguous_names
from cdc.data.places import IMAGE_SUFFIXES, is_image
from cdc.errors import InputError

CLASS_LEVEL = "class"
"""The level of a folder pattern that names the class; every other level is a factor."""


@dataclass(frozen=True)
class _ClassFolder:
    """One innermost folder, with the names of the levels that lead to it."""

    path: Path
    levels: dict[str, str]
    split: Split | None

    @property
    def class_name(self) -> str:
        return self.levels[CLASS_LEVEL]


def parse_levels(pattern: str) -> tuple[str, ...]:
    """Read a pattern of folder levels such as ``"domain/class"``.

    Raises:
        InputError: if ``class`` does not occur exactly once, or a level is empty or named twice.

    Example:
        >>> parse_levels("domain/class")
        ('domain', 'class')
    """
    levels = tuple(level.strip() for level in pattern.strip("/").split("/"))
    if levels.count(CLASS_LEVEL) != 1 or len(set(levels)) < len(levels) or "" in levels:
        raise InputError(
            "factors must be a CSV file, or folder levels with different names of which exactly one is 'class'; "
            f"received {pattern!r}. Write for example factors='domain/class' for photo/dog/1.jpg."
        )
    return levels


def read_folder(
    root: Path, *, levels: Sequence[str] = (CLASS_LEVEL,), ignored: frozenset[str] = frozenset()
) -> Listing:
    """List the images of a folder.

    Where all visible subfolders are called train, val (valid, validation) or test, they are the splits and the levels
    count from inside them; without a test folder the validation images serve as test. Labels follow the sorted class
    names, capitals first. Hidden files and folders, and files that are no images by their ending, are passed over.

    Args:
        root: the folder.
        levels: what each level of subfolders names: ``class`` once, any factors besides.
        ignored: class folders to leave out.

    Raises:
        InputError: if the folder is missing, a class folder holds no image, two class names are one but for case and
            underscores, or the split folders lack train or test.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for place in ("photo/dog/1.jpg", "sketch/dog/2.jpg", "photo/cat/3.jpg"):
        ...     (root / place).parent.mkdir(parents=True, exist_ok=True)
        ...     _ = (root / place).write_bytes(b"not read here")
        >>> listing = read_folder(root, levels=("domain", "class"))
        >>> listing.class_names, [dict(example.factors) for example in listing.examples]
        (('cat', 'dog'), [{'domain': 'photo'}, {'domain': 'photo'}, {'domain': 'sketch'}])
    """
    if not root.is_dir():
        raise InputError(f"a data folder must exist; received {root}. Correct the path.")
    splits = _split_folders(root)
    tops = list(splits.items()) if splits else [(None, root)]
    folders = [
        folder
        for split, top in tops
        for folder in _descend(top, tuple(levels), {}, split)
        if folder.class_name not in ignored
    ]
    if not folders:
        raise InputError(
            f"a data folder must hold one subfolder of images per class; {root} has no subfolder"
            f"{f' at level {len(levels)}' if len(levels) > 1 else ''}. Sort the images into folders named after their "
            "class, or name them in a CSV file with the columns file and label."
        )
    class_names = tuple(sorted({folder.class_name for folder in folders}))
    refuse_ambiguous_names(class_names)
    labels = {name: label for label, name in enumerate(class_names)}
    folders.sort(key=lambda folder: labels[folder.class_name])
    found: list[tuple[Example, Split | None]] = [
        (Example(path, labels[folder.class_name], _factors(folder)), folder.split)
        for folder in folders
        for path in _images(folder.path, tuple(levels))
    ]
    given: tuple[Split, ...] = tuple(split for _, split in found if split is not None)
    return Listing(
        root=root,
        class_names=class_names,
        examples=tuple(example for example, _ in found),
        splits=given or None,
        split_source=f"folders {', '.join(path.name for path in splits.values())}" if splits else OWN_SPLIT,
    )


def visible_folders(folder: Path) -> list[Path]:
    """Subfolders in order of their names, without hidden ones and what archive tools leave behind.

    Example:
        >>> visible_folders(Path("no/such"))
        []
    """
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))


def _split_folders(root: Path) -> dict[Split, Path]:
    """The folders of the splits, if the subfolders are splits and not classes."""
    folders = visible_folders(root)
    if not folders or any(folder.name.lower() not in SPLIT_NAMES for folder in folders):
        return {}
    splits: dict[Split, Path] = {SPLIT_NAMES[folder.name.lower()]: folder for folder in folders}
    names = ", ".join(folder.name for folder in folders)
    if len(splits) < len(folders):
        raise InputError(f"a split must have one folder; received {names} in {root}. Merge the two of one split.")
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
    if "test" not in splits:
        raise InputError(
            f"split folders must include a test (or val) folder; received {names} in {root}. Add test, or pass "
            f"{folders[0]} itself to have it divided."
        )
    return splits


def _descend(
    folder: Path, levels: tuple[str, ...], names: dict[str, str], split: Split | None
) -> Iterator[_ClassFolder]:
    if not levels:
        yield _ClassFolder(folder, names, split)
        return
    for child in visible_folders(folder):
        yield from _descend(child, levels[1:], {**names, levels[0]: child.name}, split)


def _factors(folder: _ClassFolder) -> dict[str, str]:
    return {level: name for level, name in folder.levels.items() if level != CLASS_LEVEL}


def _images(folder: Path, levels: tuple[str, ...]) -> list[Path]:
    """Image files directly in a class folder, sorted by name; never none."""
    images = sorted(path for path in folder.iterdir() if is_image(path))
    if images:
        return images
    deeper = visible_folders(folder)
    endings = sorted({path.suffix.lower() for path in folder.iterdir() if path.suffix and not path.is_dir()})
    if deeper:
        remedy = (
            f"It holds folders ({', '.join(path.name for path in deeper[:3])}, ...): if a level above the class is a "
            f"factor such as the domain, pass factors='domain/{'/'.join(levels)}'."
        )
    elif endings:
        remedy = f"It holds files ending in {', '.join(endings)}; convert them to one of {_accepted()}."
    else:
        remedy = "Add images or remove the folder."
    raise InputError(f"every class folder must hold at least one image; {folder} holds none. {remedy}")


def _accepted() -> str:
    return " ".join(sorted(IMAGE_SUFFIXES))
