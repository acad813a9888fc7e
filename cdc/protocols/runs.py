"""Runs on disk: each is done once, and one that was done with other settings is an error, never a result."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cdc.errors import InputError
from cdc.files import write_json


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over runs (of the population, as in the literature).

    Example:
        >>> Spread.of([0.25, 0.75])
        Spread(mean=0.5, std=0.25)
    """

    mean: float
    std: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Of one score of several runs."""
        return cls(float(np.mean(values)), float(np.std(values)))


def run_once(path: Path, asked: Mapping[str, object], compute: Callable[[], Mapping[str, object]]) -> dict[str, Any]:
    """The record of a run: read from its file, or computed and written.

    Args:
        path: the run's file.
        asked: everything that decides the result, as plain values.
        compute: the run itself, to plain values.

    Returns:
        `asked` and the result in one record.

    Raises:
        InputError: if the file holds a run of other settings.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "run.json"
        >>> run_once(file, {"seed": 1}, lambda: {"accuracy": 0.5}) == run_once(file, {"seed": 1}, lambda: {})
        True
    """
    if not path.exists():
        result = {**asked, **compute()}
        write_json(path, result)
        return result
    found = json.loads(path.read_text())
    for key, value in asked.items():
        if found.get(key) != value:
            raise InputError(
                f"{path} must hold a run of these settings; its {key} is {found.get(key)!r}, not {value!r}. "
                "Choose another output folder, or delete that file."
            )
    return found
