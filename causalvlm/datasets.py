"""`load_dataset`: any data set that `cdc` can load, and those that Picto draws."""

from pathlib import Path

import cdc
from causalvlm.errors import InputError


def load_dataset(
    name_or_path: str | Path, *, root: Path | None = None, factors: str | Path | None = None
) -> cdc.ImageDataset:
    """Load a data set by name, from a folder of class folders, or from a CSV file (see `docs/data.md`).

    Args:
        name_or_path: ``"picto/mammals"``, ``"caltech101"`` and the like, a folder, or a CSV file.
        root: where the folders of named data sets lie; by default the environment variable ``CAUSALVLM_DATA``.
        factors: task-irrelevant factors: a CSV file, or a pattern of folder levels such as ``"domain/class"``.

    Raises:
        InputError: if there is no such data set, it is not laid out as it should be, or Picto is given a root or
            factors.

    Example:
        >>> mammals = load_dataset("picto/mammals")
        >>> len(mammals.class_names), len(mammals.train) // len(mammals.class_names), mammals.factor_names[:2]
        (47, 24, ('style', 'background'))
        >>> load_dataset("no-such-folder")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: ...
    """
    if not is_picto(name_or_path):
        return cdc.load_dataset(name_or_path, root=root, factors=factors)
    for option, received in {"root": root, "factors": factors}.items():
        if received is not None:
            raise InputError(
                f"Picto brings its own pictures and factors; received {option}={str(received)!r} with "
                f"{name_or_path!r}. Leave it out."
            )
    from causalvlm.worlds.picto.datasets import load_picto  # loads torch, which other data sets do without

    return load_picto(str(name_or_path).lower().rstrip("/"))


def is_picto(name_or_path: str | Path) -> bool:
    """Whether a data set of Picto is meant; a folder named so is reached as ``./picto``, like any other name.

    Example:
        >>> is_picto("picto/mammals"), is_picto("./picto"), is_picto(Path("picto"))
        (True, False, False)
    """
    return isinstance(name_or_path, str) and name_or_path.lower().split("/")[0] == "picto"
