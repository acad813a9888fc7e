"""How the data sets of the catalog lie on disk, and how each arrangement is listed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cdc.data.dataset import DEFAULT_TEMPLATE
from cdc.data.folder import parse_levels, read_folder
from cdc.data.listing import Listing
from cdc.data.published import read_aircraft, read_imagenet, read_split_file
from cdc.errors import InputError


@dataclass(frozen=True)
class ClassFolders:
    """Images in class folders, without a published split.

    Attributes:
        levels: what each level of folders names.
        renames: folder name -> class name, where they differ.
        ignored: folders that are left out.
    """

    levels: str = "class"
    renames: Mapping[str, str] = field(default_factory=dict[str, str])
    ignored: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SplitFile:
    """Images listed in a split file of the literature.

    Attributes:
        file: its name, in the data set's folder.
        sizes: images in train, validation and test as published.
        without: how to list the images where the split file is missing; None where that is not possible.
    """

    file: str
    sizes: tuple[int, int, int]
    without: ClassFolders | None = None


@dataclass(frozen=True)
class AircraftLists:
    """FGVC-Aircraft's own lists."""


@dataclass(frozen=True)
class WordNetFolders:
    """ImageNet and its variants (`cdc.data.published.read_imagenet`)."""

    train: str | None
    test: str
    numbered: bool = False


Layout = ClassFolders | SplitFile | AircraftLists | WordNetFolders


@dataclass(frozen=True)
class CatalogEntry:
    """One data set of the catalog.

    Attributes:
        folders: names its folder may have below the data root; the literature's first.
        images: folder of the images inside it; "" for the folder itself.
        layout: how images, labels and splits are found.
        template: its hand-crafted prompt (Zhou et al., CoOp, IJCV 2022).
    """

    folders: tuple[str, ...]
    images: str
    layout: Layout
    template: str = DEFAULT_TEMPLATE


def find(name: str, entry: CatalogEntry, root: Path) -> Listing:
    """List the images of a catalog data set below the data root.

    Args:
        name: what messages call the data set.
        entry: where and how it lies.
        root: the folder that holds the data sets.

    Raises:
        InputError: if its folder or split file is missing, or what is there is damaged.

    Example:
        >>> find("toy", CatalogEntry(("toy",), "images", ClassFolders()), Path("data"))
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: toy must lie in data/toy/images; found no such folder. Unpack it there, or pass another
        root.
    """
    folder = next((root / folder for folder in entry.folders if (root / folder / entry.images).is_dir()), None)
    if folder is None:
        tried = " or ".join(str(root / folder / entry.images) for folder in entry.folders)
        raise InputError(f"{name} must lie in {tried}; found no such folder. Unpack it there, or pass another root.")
    match entry.layout:
        case ClassFolders() as layout:
            return _list_folders(folder / entry.images, layout)
        case SplitFile() as layout:
            return _list_split(name, folder, folder / entry.images, layout)
        case AircraftLists():
            return read_aircraft(folder)
        case WordNetFolders(train, test, numbered):
            return read_imagenet(folder, train=train, test=test, numbered=numbered)


def _list_folders(images: Path, layout: ClassFolders) -> Listing:
    listing = read_folder(images, levels=parse_levels(layout.levels), ignored=layout.ignored)
    return replace(listing, class_names=tuple(layout.renames.get(name, name) for name in listing.class_names))


def _list_split(name: str, folder: Path, images: Path, layout: SplitFile) -> Listing:
    """Follow the split file; without one, divide class folders if that can be done honestly, and say so."""
    path = folder / layout.file
    if path.is_file():
        listing = read_split_file(path, images)
        splits = listing.splits or ()
        sizes = (splits.count("train"), splits.count("validation"), splits.count("test"))
        verdict = "as published" if sizes == layout.sizes else f"NOT the published {layout.sizes}"
        return replace(listing, split_source=f"{listing.split_source}, {verdict}")
    if layout.without is None:
        raise InputError(
            f"{name} needs its split file {layout.file} in {folder}; found none. Fetch it from its publisher, the "
            "authors of CoOp (Zhou et al., IJCV 2022)."
        )
    return _list_folders(images, layout.without)
