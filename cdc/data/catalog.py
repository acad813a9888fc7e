"""The data sets that are known by name, and the one way to load any data set."""

import difflib
import os
from pathlib import Path

from cdc.data.dataset import DEFAULT_TEMPLATE, ImageDataset
from cdc.data.folder import parse_levels, read_folder
from cdc.data.layouts import AircraftLists, CatalogEntry, ClassFolders, SplitFile, WordNetFolders, find
from cdc.data.listing import Listing, to_dataset
from cdc.data.table import attach_factors, read_table
from cdc.errors import InputError

DATA_VARIABLE = "CAUSALVLM_DATA"
"""Environment variable with the folder that the data sets of the catalog lie in."""


_CALTECH_FOLDERS = ClassFolders(
    renames={"airplanes": "airplane", "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike"},
    ignored=frozenset({"BACKGROUND_Google", "Faces_easy"}),
)
_EUROSAT_FOLDERS = ClassFolders(
    renames={
        "AnnualCrop": "Annual Crop Land",
        "HerbaceousVegetation": "Herbaceous Vegetation Land",
        "Highway": "Highway or Road",
        "Industrial": "Industrial Buildings",
        "Pasture": "Pasture Land",
        "PermanentCrop": "Permanent Crop Land",
        "Residential": "Residential Buildings",
        "SeaLake": "Sea or Lake",
    }
)

# Folders, split files, templates and sizes: Zhou et al., CoOp (IJCV 2022), its appendix and DATASETS.md. The second
# folder names are those of another common arrangement of the same files.
CATALOG: dict[str, CatalogEntry] = {
    "caltech101": CatalogEntry(
        ("caltech-101", "Caltech101"),
        "101_ObjectCategories",
        SplitFile("split_zhou_Caltech101.json", (4128, 1649, 2465), _CALTECH_FOLDERS),
    ),
    "oxford_pets": CatalogEntry(
        ("oxford_pets", "OxfordPets"),
        "images",
        SplitFile("split_zhou_OxfordPets.json", (2944, 736, 3669)),
        "a photo of a {}, a type of pet.",
    ),
    "stanford_cars": CatalogEntry(
        ("stanford_cars", "StanfordCars"), "", SplitFile("split_zhou_StanfordCars.json", (6509, 1635, 8041))
    ),
    "oxford_flowers": CatalogEntry(
        ("oxford_flowers", "Flower102"),
        "jpg",
        SplitFile("split_zhou_OxfordFlowers.json", (4093, 1633, 2463)),
        "a photo of a {}, a type of flower.",
    ),
    "food101": CatalogEntry(
        ("food-101", "Food101"),
        "images",
        SplitFile("split_zhou_Food101.json", (50500, 20200, 30300), ClassFolders()),
        "a photo of {}, a type of food.",
    ),
    "fgvc_aircraft": CatalogEntry(
        ("fgvc_aircraft",), "images", AircraftLists(), "a photo of a {}, a type of aircraft."
    ),
    "sun397": CatalogEntry(("sun397", "SUN397"), "SUN397", SplitFile("split_zhou_SUN397.json", (15880, 3970, 19850))),
    "dtd": CatalogEntry(
        ("dtd", "DTD"),
        "images",
        SplitFile("split_zhou_DescribableTextures.json", (2820, 1128, 1692), ClassFolders()),
        "{} texture.",
    ),
    "eurosat": CatalogEntry(
        ("eurosat",),
        "2750",
        SplitFile("split_zhou_EuroSAT.json", (13500, 5400, 8100), _EUROSAT_FOLDERS),
        "a centered satellite photo of {}.",
    ),
    "ucf101": CatalogEntry(
        ("ucf101", "UCF101"),
        "UCF-101-midframes",
        SplitFile("split_zhou_UCF101.json", (7639, 1898, 3783)),
        "a photo of a person doing {}.",
    ),
    "imagenet": CatalogEntry(("imagenet",), "images", WordNetFolders("images/train", "images/val")),
    "imagenetv2": CatalogEntry(
        ("imagenetv2",),
        "imagenetv2-matched-frequency-format-val",
        WordNetFolders(None, "imagenetv2-matched-frequency-format-val", numbered=True),
    ),
    "imagenet_sketch": CatalogEntry(("imagenet-sketch",), "images", WordNetFolders(None, "images")),
    "imagenet_a": CatalogEntry(("imagenet-adversarial",), "imagenet-a", WordNetFolders(None, "imagenet-a")),
    "imagenet_r": CatalogEntry(("imagenet-rendition",), "imagenet-r", WordNetFolders(None, "imagenet-r")),
    "pacs": CatalogEntry(("pacs", "PACS"), "", ClassFolders(levels="domain/class")),
}


def load_dataset(
    name_or_path: str | Path, *, root: Path | None = None, factors: str | Path | None = None
) -> ImageDataset:
    """Load a data set by its name, from a folder of images, or from a CSV file (see ``docs/data.md``).

    Args:
        name_or_path: a name of `CATALOG` in any spelling of case and hyphens, a folder, or a CSV file; a folder named
            like a data set is reached as ``./caltech101`` or ``caltech101/``.
        root: for a name, the folder that holds the data sets, by default the one named by the environment variable
            CAUSALVLM_DATA, or the current folder if that is not set and the data set lies there; for a CSV file, the
            folder that its files count from.
        factors: a CSV file with a column file and one column per factor, or folder levels such as ``"domain/class"``.

    Raises:
        InputError: if there is no such data set, or the data are not as they must be.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for place in ("dog/1.jpg", "dog/2.jpg", "cat/1.jpg", "cat/2.jpg"):
        ...     (folder / place).parent.mkdir(exist_ok=True)
        ...     _ = (folder / place).write_bytes(b"not read here")
        >>> data = load_dataset(folder)
        >>> data.class_names, len(data.train), len(data.test)
        (('cat', 'dog'), 2, 2)
    """
    pattern, table = _factor_source(factors)
    name = _catalog_name(name_or_path)
    if name is not None:
        entry = CATALOG[name]
        if pattern is not None:
            raise InputError(
                f"folder levels are known for {name}; received factors={pattern!r}. Leave it out, or pass a CSV file."
            )
        listing = find(name, entry, _data_root(name, root))
        template = entry.template
    else:
        path = Path(name_or_path)
        listing = _read_path(path, root, pattern)  # before its name: a link that leads nowhere has none
        name, template = path.resolve().name.removesuffix(".csv"), DEFAULT_TEMPLATE
    if table is not None:
        listing = attach_factors(listing, table)
    return to_dataset(listing, name=name, template=template)


def check_place(name_or_path: str | Path, *, root: Path | None = None) -> None:
    """Raise what `load_dataset` would where nothing has the name, without a look at what is there.

    Raises:
        InputError: if it is no name, folder or CSV file, or a name without a folder of data sets.

    Example:
        >>> check_place(Path())
        >>> check_place("caltech102")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: data must be a folder ... Did you mean 'caltech101'? Known names: caltech101, ...
    """
    name = _catalog_name(name_or_path)
    if name is not None:
        _data_root(name, root)
    elif not Path(name_or_path).exists():
        _read_path(Path(name_or_path), None, None)


def _factor_source(factors: str | Path | None) -> tuple[str | None, Path | None]:
    """Tell folder levels from a CSV file."""
    match factors:
        case None:
            return None, None
        case Path():
            return None, factors
        case str() if factors.lower().endswith(".csv"):
            return None, Path(factors)
        case str():
            return factors, None


def _catalog_name(name_or_path: str | Path) -> str | None:
    """The catalog's spelling of a name; None for a path, as a folder with a slash behind it is."""
    if isinstance(name_or_path, Path) or (name_or_path.endswith("/") and Path(name_or_path).is_dir()):
        return None
    spellings = {_plain(name): name for name in CATALOG}
    return spellings.get(_plain(name_or_path.rstrip("/")))


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _data_root(name: str, root: Path | None) -> Path:
    if root is not None:
        return Path(root)
    if DATA_VARIABLE not in os.environ and any(Path(folder).is_dir() for folder in CATALOG[name].folders):
        return Path()  # it lies here, and nothing else can be meant
    if DATA_VARIABLE not in os.environ:
        raise InputError(
            f"a data set loaded by name needs the folder of the data sets; received {name!r} without one. Pass "
            f"root=..., or set {DATA_VARIABLE}."
        )
    return Path(os.environ[DATA_VARIABLE])


def _read_path(path: Path, root: Path | None, pattern: str | None) -> Listing:
    """List a folder or a CSV file."""
    if path.suffix.lower() == ".csv":
        if pattern is not None:
            raise InputError(f"a CSV file names its factors in columns; received factors={pattern!r}. Leave it out.")
        return read_table(path, root=root)
    _require_folder(path)
    if root is not None:
        raise InputError(
            f"root goes with the name of a data set or with a CSV file; received root={str(root)!r} with the folder "
            f"{str(path)!r}. Leave it out."
        )
    return read_folder(path, levels=parse_levels("class" if pattern is None else pattern))


def _require_folder(path: Path) -> None:
    if not path.is_dir():
        close = difflib.get_close_matches(path.name.lower(), CATALOG, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InputError(
            f"data must be a folder of images, a CSV file or the name of a data set; received {str(path)!r}, which is "
            f"none of these.{hint} Known names: {', '.join(CATALOG)}."
        )
