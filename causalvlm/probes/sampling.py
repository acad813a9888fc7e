"""Images drawn for what would take too long on all of them: every level with its share, none twice."""

import numpy as np
from jaxtyping import Int, Shaped

PROBED_IMAGES = 5000
"""Different images that a probe reads; of more, so many are drawn: a dozen probes of all would take an hour."""


def sample_rows(
    levels: Shaped[np.ndarray, " rows"],
    images: Int[np.ndarray, " rows"],
    *,
    most: int,
    fewest: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, " _"] | None:
    """Rows of about `most` different images, each level with its share of them and with at least `fewest`.

    Returns:
        The rows in their order; None, for all of them, where there are no more.

    Example:
        >>> levels = np.repeat(["common", "rare"], [990, 10])
        >>> rows = sample_rows(levels, np.arange(1000), most=100, fewest=5, rng=np.random.default_rng(0))
        >>> len(rows), (levels[rows] == "rare").sum()
        (104, np.int64(5))
    """
    if len(levels) <= most:
        return None
    _, first = np.unique(images, return_index=True)
    chosen: list[Int[np.ndarray, " _"]] = []
    for level in np.unique(levels):
        rows = first[levels[first] == level]
        chosen.append(rng.permutation(rows)[: max(fewest, round(most * np.mean(levels == level)))])
    return np.sort(np.concatenate(chosen))
