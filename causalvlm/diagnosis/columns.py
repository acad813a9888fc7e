"""The factors that a diagnosis asks about: labelled ones, and those measured from the pixels of the images."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Int, Shaped

from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.probes.cuts import cut_levels
from causalvlm.probes.overlay import Overlay, find_overlays
from causalvlm.probes.pixels import MEASURES, measure_pixels
from causalvlm.probes.sampling import PROBED_IMAGES, sample_rows

FEWEST_IMAGES = 20
"""Different images that a level of a measured factor must have; smaller ones are merged."""

MARK = "recurring mark"
ABOUT_MARK = "whether the image has the edges that at least a quarter of the images of its size share [ours]"

Origin = Literal["label", "pixels", "concept", "cluster"]
"""Where the levels of a factor come from: with the images, from their pixels, from the model's answers to texts, or
from groups among its embeddings."""


@dataclass(frozen=True, eq=False)
class FactorColumn:
    """One factor.

    Attributes:
        levels: of every image.
        source: whether it came with the images or was measured.
        about: what was measured, with unit and source.
        probed: rows that its probe reads; None for all of them.
        values: what was measured of every image; None for a labelled factor.
        reliability: how far other wordings, or other images, would give the same levels, at most 1; None for what is
            labelled or measured.
    """

    levels: Shaped[np.ndarray, " rows"]
    source: Origin = "label"
    about: str = ""
    probed: Int[np.ndarray, " _"] | None = None
    values: Shaped[np.ndarray, " rows"] | None = None
    reliability: float | None = None


@dataclass(frozen=True, eq=False)
class Columns:
    """Factors of a table.

    Attributes:
        table: the images that have all of them.
        factors: by name.
        left_out: measured factors that cannot be asked about, each with the reason.
        overlays: recurring marks that were found among the images.
    """

    table: EmbeddingTable
    factors: Mapping[str, FactorColumn]
    left_out: tuple[tuple[str, str], ...] = ()
    overlays: tuple[Overlay, ...] = ()


def join_columns(first: Columns, *others: Columns) -> Columns:
    """The factors of several, all of them of the first one's images."""
    factors = {name: column for one in (first, *others) for name, column in one.factors.items()}
    left_out = tuple(item for one in (first, *others) for item in one.left_out)
    return replace(first, factors=factors, left_out=left_out)


def labelled_columns(table: EmbeddingTable) -> Columns:
    """The factors that came with the images."""
    return Columns(table, {name: FactorColumn(levels) for name, levels in table.factors.items()})


def pixel_columns(
    table: EmbeddingTable, *, folds: int, rng: np.random.Generator, progress: str | None = None
) -> Columns:
    """The factors that came with the images and, after them, those measured from their pixels.

    A measured factor that is named as a labelled one is called "... (pixels)".

    Args:
        table: its images are read again.
        folds: of the probes, which no level may have fewer images than.
        rng: draws the images that the probes read.
        progress: label of a progress bar, shown on a terminal.

    Raises:
        InputError: if the table names no files, or none of them can be read.
    """
    if not table.files:
        raise InputError(
            "pixels must be read from image files; received a table whose rows come from no file. Name the files of "
            "the table, or give it a labelled factor and pass pixels=False."
        )
    measured = measure_pixels(table.files, progress=progress)
    table = table.take(np.array(measured.kept), unreadable=measured.unreadable)
    looking = progress and "looking for a recurring mark"
    overlays = find_overlays(table.files, sizes=measured.sizes, progress=looking)
    values = {**measured.columns, MARK: np.where(overlays.shows, "yes", "no")}
    images, fewest = table.images, max(FEWEST_IMAGES, folds)
    factors, left_out = dict(labelled_columns(table).factors), dict[str, str]()
    for name, column in values.items():
        absent = MEASURES[name].absent if name in MEASURES else ""
        levels = cut_levels(column, images, fewest=fewest, absent=absent)
        free = f"{name} (pixels)" if name in table.factors else name
        if (levels == levels[0]).all():
            left_out[free] = _why(column, levels[0])
        else:
            about = MEASURES[name].about if name in MEASURES else ABOUT_MARK
            probed = sample_rows(levels, images, most=PROBED_IMAGES, fewest=fewest, rng=rng)
            factors[free] = FactorColumn(levels, "pixels", about, probed, column)
    return Columns(table, factors, tuple(left_out.items()), overlays.found)


def _why(values: Shaped[np.ndarray, " rows"], level: str) -> str:
    several = len(np.unique(values, equal_nan=values.dtype.kind == "f")) > 1
    return f"fewer than {FEWEST_IMAGES} images differ from the others" if several else f"{level} in every image"


def choose_reference(table: EmbeddingTable, column: FactorColumn) -> str:
    """The level to compare the others with: the middle one of three thirds, else the largest.

    Among equally large ones it is the most accurate.
    """
    levels = [str(level) for level in np.unique(column.levels)]
    if column.source == "pixels" and "middle" in levels:
        return "middle"
    at: dict[str, Int[np.ndarray, " _"]] = {level: np.flatnonzero(column.levels == level) for level in levels}
    return max(levels, key=lambda level: (len(at[level]), table.correct[at[level]].mean()))
