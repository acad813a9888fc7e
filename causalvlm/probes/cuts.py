"""Measured columns cut into the levels of a factor: thirds of numbers, few values and words as they are."""

import numpy as np
from jaxtyping import Int, Shaped

FEW_VALUES = 5
"""Different numbers, to three digits, up to which each is a level of its own."""


def cut_levels(
    values: Shaped[np.ndarray, " rows"],
    images: Int[np.ndarray, " rows"],
    *,
    fewest: int,
    absent: str = "unknown",
) -> Shaped[np.ndarray, " rows"]:
    """The level of every row of a measured column.

    Numbers count to three digits, so that what a level's name says is exact. Where they take more than `FEW_VALUES`
    values they are cut where the shares below come nearest to 1/3 and 2/3; equal values always share a level, and two
    levels remain where one value is too frequent for three. Levels with too few images are merged, the two smallest
    first, until none is left.

    Args:
        values: numbers, NaN where there is none, or words.
        images: which image each row shows; rows that show the same one count once.
        fewest: different images that a level must have.
        absent: level of the rows without a number.

    Returns:
        Names of levels; one name alone where the rows cannot be told apart well enough.

    Example:
        >>> cut_levels(np.arange(9.0), np.arange(9), fewest=2)[[0, 3, 8]]
        array(['low (< 3)', 'middle', 'high (≥ 6)'], dtype='<U10')
        >>> cut_levels(np.array(["PNG", "JPEG", "JPEG", "JPEG", "GIF"]), np.arange(5), fewest=2)
        array(['GIF or PNG', 'JPEG', 'JPEG', 'JPEG', 'GIF or PNG'], dtype='<U10')
    """
    named = _name_numbers(values, absent) if values.dtype.kind == "f" else values.astype(str)
    levels, codes = np.unique(named, return_inverse=True)
    members: dict[tuple[str, ...], Int[np.ndarray, " _"]] = {
        (str(level),): np.flatnonzero(codes == code) for code, level in enumerate(levels)
    }
    while len(members) > 1:
        small, next_small = sorted(members, key=lambda level: len(np.unique(images[members[level]])))[:2]
        if len(np.unique(images[members[small]])) >= fewest:
            break
        merged = np.concatenate([members.pop(small), members.pop(next_small)])
        members[tuple(sorted(small + next_small))] = merged
    result = np.empty(len(values), dtype=object)
    for names, rows in members.items():
        result[rows] = " or ".join(names)
    return result.astype(str)


def _name_numbers(values: Shaped[np.ndarray, " rows"], absent: str) -> Shaped[np.ndarray, " rows"]:
    known = np.isfinite(values)
    rounded = np.array([float(f"{value:.3g}") for value in values[known]])
    distinct, counts = np.unique(rounded, return_counts=True)
    named = np.full(len(values), absent, dtype=object)
    if len(distinct) <= FEW_VALUES:
        named[known] = [f"{value:g}" for value in rounded]
        return named.astype(str)
    below = np.cumsum(counts)[:-1] / len(rounded)  # share of rows below each of distinct[1:]
    first, last = (distinct[1:][np.abs(below - share).argmin()] for share in (1 / 3, 2 / 3))
    middle = "middle" if first < last else f"high (≥ {last:g})"
    named[known] = np.select([rounded < first, rounded < last], [f"low (< {first:g})", middle], f"high (≥ {last:g})")
    return named.astype(str)
