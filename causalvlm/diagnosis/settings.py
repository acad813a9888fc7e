"""How a factor is set in the pictures of a table: measured factors by edits, those of Picto by drawing again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from causalvlm.diagnosis.columns import MARK, Columns, FactorColumn
from causalvlm.probes.edits import SETTERS, Value, set_factor
from causalvlm.probes.overlay import LIFTED_FROM, Overlay, lift_mark
from causalvlm.worlds.picto.datasets import PREFIX
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.redraw import Drawing, load_drawing
from cdc.data.images import UnreadableImageError, read_image

How = Literal["edited", "re-rendered"]
"""Whether a picture was changed after it was taken, or taken again with the factor set and all else as it was."""

DIGITS = 3
"""Digits to which a measured number counts, as in the names of levels."""


@dataclass(frozen=True, eq=False)
class Setting:
    """How one factor is set; one of your own needs no more than this.

    Attributes:
        levels: the levels that it can be set to.
        how: by editing the picture, or by taking it again.
        about: what is changed, in words.
        picture: from the row of a table and a level to the picture of that row with the factor at that level, in RGB;
            None where this picture cannot be brought there. It is called on several threads.

    Example:
        >>> setting = Setting(("day", "night"), "re-rendered", "the lamp on and off",
        ...                   lambda row, level: Image.new("RGB", (8, 8), "white" if level == "day" else "black"))
        >>> setting.picture(0, "night").getpixel((0, 0))
        (0, 0, 0)
    """

    levels: tuple[str, ...]
    how: How
    about: str
    picture: Callable[[int, str], Image.Image | None]


def pixel_settings(columns: Columns) -> dict[str, Setting]:
    """Settings of the measured factors, by name: every level as the middle one of its images has it.

    A level's target is the median of what its images measure, the most frequent word where these are words. An edited
    picture is measured again: unless it has the level that it was meant to have, by the image of the table that
    measures most nearly the same, there is none.

    Args:
        columns: factors as `pixel_columns` measured them.

    Returns:
        Nothing for factors that came with labels, and for those that pixels cannot be brought to.
    """
    settings: dict[str, Setting] = {}
    for name, column in columns.factors.items():
        measure = name.removesuffix(" (pixels)")
        if column.values is None:
            continue
        if measure == MARK:
            settings[name] = _mark_setting(columns, column)
        elif measure in SETTERS:
            settings[name] = _edit_setting(measure, columns.table.files, column.levels, _counted(column.values))
    return settings


def _edit_setting(
    measure: str, files: Sequence[Path], levels: Shaped[np.ndarray, " rows"], values: Shaped[np.ndarray, " rows"]
) -> Setting:
    targets = {str(level): _target(values[levels == level]) for level in np.unique(levels)}

    def picture(row: int, level: str) -> Image.Image | None:
        image = read_or_none(files[row])
        if image is None:
            return None
        edited, found = set_factor(measure, image, now=values[row].item(), target=targets[level], rng=row)
        return edited if _level_of(found, values, levels) == level else None

    return Setting(tuple(targets), "edited", SETTERS[measure].about, picture)


def _mark_setting(columns: Columns, column: FactorColumn) -> Setting:
    """The mark is put on images that show none; it is taken off none."""
    files, marked = columns.table.files, column.levels == "yes"
    stamps = [lift_mark(_showing(files, marked, overlay), overlay) for overlay in columns.overlays]

    def picture(row: int, level: str) -> Image.Image | None:
        image = read_or_none(files[row])
        if image is None or (marked[row] and level == "no"):
            return None
        if marked[row] or level == "no":
            return image
        put = (stamp.put(image) for stamp in stamps)
        return next((stamped for stamped in put if stamped), None)

    about = "the mark as the images that show it have it in common, put on others of their size; it is taken off none"
    return Setting(("no", "yes"), "edited", about, picture)


def picto_settings(name: str, files: Sequence[Path]) -> dict[str, Setting]:
    """Settings of the factors of a Picto data set, by name: its pictures are drawn again with the same noise.

    Args:
        name: of the data set, such as ``"picto/mammals"``; `Source.data` of a table.
        files: of the table's rows.

    Returns:
        Nothing if the name is no Picto data set's, or the first file is not what is drawn for it.

    Raises:
        InputError: if there is no such Picto data set.

    Example:
        >>> picto_settings("pets", ())
        {}
    """
    if not name.startswith(PREFIX) or not files:
        return {}
    drawing = load_drawing(name)
    if not drawing.drew(files[0]):
        return {}
    return {factor: _drawn(drawing, files, factor) for factor in drawing.factors}


def _drawn(drawing: Drawing, files: Sequence[Path], factor: str) -> Setting:
    about = f"the picture drawn again with {factor} set and all else, noise included, as it was"
    return Setting(
        FACTORS[factor], "re-rendered", about, lambda row, level: drawing.picture(files[row], {factor: level})
    )


def read_or_none(path: Path) -> Image.Image | None:
    """The picture of a file; None where it cannot be read.

    Example:
        >>> read_or_none(Path("no/such.png")) is None
        True
    """
    try:
        return read_image(path)
    except UnreadableImageError:
        return None


def _showing(files: Sequence[Path], marked: Shaped[np.ndarray, " rows"], overlay: Overlay) -> list[Path]:
    """As many files as a mark is lifted from, which show it and have the size of its images."""
    shown: list[Path] = []
    for row in np.flatnonzero(marked).tolist():
        image = read_or_none(files[row])
        if image is not None and overlay.is_on(image):
            shown.append(files[row])
        if len(shown) == LIFTED_FROM:
            break
    return shown


def _counted(values: Shaped[np.ndarray, " rows"]) -> Shaped[np.ndarray, " rows"]:
    """Numbers to the digits that count; words as they are."""
    if values.dtype.kind != "f":
        return values
    return np.array([float(f"{value:.{DIGITS}g}") for value in values])


def _target(values: Shaped[np.ndarray, " _"]) -> Value:
    """The middle one of numbers, the most frequent one of words; NaN if there is no number among them."""
    if values.dtype.kind == "f":
        known = values[np.isfinite(values)]
        return float(np.quantile(known, 0.5, method="nearest")) if len(known) else np.nan
    words, counts = np.unique(values, return_counts=True)
    return str(words[counts.argmax()])


def _level_of(found: Value, values: Shaped[np.ndarray, " rows"], levels: Shaped[np.ndarray, " rows"]) -> str | None:
    """The level of the image that measures the same or most nearly so; None for a word that no image has."""
    if isinstance(found, str):
        alike = np.flatnonzero(values == found)
        return str(levels[alike[0]]) if len(alike) else None
    if np.isnan(found):
        alike = np.flatnonzero(np.isnan(values))
        return str(levels[alike[0]]) if len(alike) else None
    return str(levels[np.nanargmin(np.abs(values - found))])
