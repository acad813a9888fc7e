"""Pictures of Picto's data sets drawn again, as they are or with a factor set: counterfactuals of the files on disk."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from causalvlm.errors import InputError
from causalvlm.worlds.picto.datasets import (
    PREFIX,
    SIZE,
    Plan,
    _draw,  # pyright: ignore[reportPrivateUsage] - its file is part of what the pictures' checksum covers
    plan_dataset,
)
from causalvlm.worlds.picto.scm import PictoSample


@dataclass(frozen=True, eq=False)
class Drawing:
    """The pictures of a data set as the noise that they were drawn from, in the order of their files.

    Attributes:
        plan: what the data set consists of.
    """

    plan: Plan

    @cached_property
    def parts(self) -> tuple[PictoSample, ...]:
        """One sample for every split and intervention; the files are numbered through them."""
        return tuple(sample for _, sample in _draw(self.plan))

    @property
    def factors(self) -> tuple[str, ...]:
        """Factors that can be set without changing what the class is; the concept of a task is not among them."""
        return tuple(name for name in self.plan.factors if name != "concept")

    def picture(self, file: Path, do: Mapping[str, str] | None = None) -> Image.Image:
        """The picture of a file, drawn again with the same noise.

        Args:
            file: of the data set; the number that its name is tells which picture it is.
            do: levels that are set; without, the pixels are those of the file.

        Raises:
            InputError: if the name is no number of a picture of the data set, or a factor or level is unknown.

        Example:
            >>> drawing = Drawing(plan_dataset("mammals"))
            >>> drawing.picture(Path("train/badger/00000.png"), {"background": "striped"}).size
            (64, 64)
        """
        sizes = np.cumsum([len(part) for part in self.parts])
        if not file.stem.isdigit() or int(file.stem) >= sizes[-1]:
            raise InputError(
                f"a file of {PREFIX}{self.plan.name} must be named by a number below {sizes[-1]}; received {file}. "
                "Take the files from the data set."
            )
        number = int(file.stem)
        place = int(np.searchsorted(sizes, number, side="right"))
        part = self.parts[place]
        row = number - int(sizes[place]) + len(part)
        sample = replace(part, noise=part.noise[row : row + 1]).intervene(do or {})
        return Image.fromarray(sample.render(size=SIZE)[0].permute(1, 2, 0).numpy())

    def drew(self, file: Path) -> bool:
        """Whether a file holds the pixels that are drawn for it.

        Example:
            >>> Drawing(plan_dataset("mammals")).drew(Path("no/such/00000.png"))
            False
        """
        if not file.exists():
            return False
        with Image.open(file) as image:
            return bool(np.array_equal(np.asarray(image.convert("RGB")), np.asarray(self.picture(file))))


@cache
def load_drawing(name: str) -> Drawing:
    """The drawing of ``picto/<name>``: a few numbers per picture, kept in memory.

    Raises:
        InputError: if there is no such data set.

    Example:
        >>> load_drawing("picto/backdrops").factors[:3]
        ('style', 'tint', 'scale')
    """
    return Drawing(plan_dataset(name.removeprefix(PREFIX)))
