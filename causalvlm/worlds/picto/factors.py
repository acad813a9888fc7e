"""The factors that a Picto picture is composed from, and their levels."""

import difflib
from collections.abc import Mapping

from causalvlm.errors import InputError

FACTORS: Mapping[str, tuple[str, ...]] = {
    "style": ("colour", "grey", "line", "silhouette", "inverted"),
    "background": ("plain", "striped", "dotted", "checked", "gradient", "wavy", "ringed", "speckled"),
    "background_colour": ("white", "yellow", "green", "blue", "pink", "grey", "orange", "purple"),
    "tint": ("none", "warm", "cool", "dark"),
    "scale": ("large", "medium", "small"),
    "rotation": ("upright", "tilted left", "tilted right", "upside down"),
    "position": ("centre", "left", "right", "top", "bottom"),
    "clutter": ("none", "some", "much"),
    "quality": ("sharp", "blurred", "noisy"),
}
"""Task-irrelevant factors (G_i) with their levels, in the order of their integer codes."""


def level_code(factor: str, level: str) -> int:
    """Integer code of a level.

    Raises:
        InputError: if there is no such factor or level.

    Example:
        >>> level_code("background", "striped")
        1
        >>> level_code("background", "stripy")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: background must be one of plain, striped, ...; received 'stripy'. Did you mean
        'striped'?
    """
    if factor not in FACTORS:
        raise InputError(
            f"a Picto factor must be one of {', '.join(FACTORS)}; received {factor!r}.{_hint(factor, FACTORS)}"
        )
    levels = FACTORS[factor]
    if level not in levels:
        raise InputError(f"{factor} must be one of {', '.join(levels)}; received {level!r}.{_hint(level, levels)}")
    return levels.index(level)


def _hint(received: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(received, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
