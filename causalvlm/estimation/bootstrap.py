"""Bootstrap by counts: resampling n rows of a table of cells is one multinomial draw, whatever n is."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

DRAWS = 2000

CELLS_AT_ONCE = 2**20
"""Cells of all bootstrap tables that are in memory together; one takes some fifty bytes on its way to a mean."""

_ENOUGH_DRAWS = 0.95


def multinomial_tables(
    counts: Float[np.ndarray, "..."], *, rng: np.random.Generator, draws: int = DRAWS
) -> Float[np.ndarray, "_ ..."]:
    """Draw `draws` bootstrap copies of a count table; exactly the row bootstrap of Efron (1979), in cell form.

    Example:
        >>> multinomial_tables(np.array([5.0, 5.0]), rng=np.random.default_rng(0), draws=3).sum(axis=1)
        array([10., 10., 10.])
    """
    occupied = counts > 0
    total = counts.sum()
    tables = np.zeros((draws, *counts.shape))
    tables[:, occupied] = rng.multinomial(int(total), counts[occupied] / total, size=draws)
    return tables


def multinomial_batches(
    counts: Float[np.ndarray, "..."], *, rng: np.random.Generator
) -> Iterator[Float[np.ndarray, "_ ..."]]:
    """The `DRAWS` tables of `multinomial_tables`, the same ones, as many at once as fit into `CELLS_AT_ONCE`.

    Example:
        >>> sum(len(tables) for tables in multinomial_batches(np.ones((9, 9)), rng=np.random.default_rng(0)))
        2000
    """
    at_once = max(CELLS_AT_ONCE // counts.size, 1)
    for start in range(0, DRAWS, at_once):
        yield multinomial_tables(counts, rng=rng, draws=min(at_once, DRAWS - start))


def left_out(kept: int) -> tuple[str, ...]:
    """A sentence if many bootstrap tables could not be used.

    Example:
        >>> left_out(2000), left_out(1000)[0][:41]
        ((), '50% of the bootstrap tables had an empty ')
    """
    if kept >= _ENOUGH_DRAWS * DRAWS:
        return ()
    return (
        f"{1 - kept / DRAWS:.0%} of the bootstrap tables had an empty cell and were left out: some cells hold few "
        "rows, and the interval is too narrow.",
    )
