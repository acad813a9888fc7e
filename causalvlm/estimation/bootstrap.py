"""Bootstrap by counts: resampling n rows of a table of cells is one multinomial draw, whatever n is."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from causalvlm.estimation.sampling import Sampling

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
    tables[:, occupied] = rng.multinomial(round(float(total)), counts[occupied] / total, size=draws)
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


def resampled_batches(
    cell: Int[np.ndarray, " rows"], shape: tuple[int, ...], sampling: Sampling, *, rng: np.random.Generator
) -> Iterator[Float[np.ndarray, "_ ..."]]:
    """`DRAWS` tables of weighted rows, from as many clusters, or rows, as there are, drawn with replacement.

    Args:
        cell: the place of each row in a flat table.
        shape: of the table.
        sampling: clusters and weights of the rows; each row is a cluster if there are none.
        rng: draws the clusters.

    Example:
        >>> sampling = Sampling(codes=np.array([0, 0, 1]))
        >>> tables = next(resampled_batches(np.array([0, 1, 1]), (2,), sampling, rng=np.random.default_rng(0)))
        >>> np.unique(tables, axis=0)
        array([[0., 2.],
               [1., 2.],
               [2., 2.]])
    """
    rows, size = len(cell), int(np.prod(shape))
    codes = np.arange(rows) if sampling.codes is None else sampling.codes
    units = sampling.count or rows
    whole = csr_array((sampling.weigh(np.ones(rows)), (codes, cell)), shape=(units, size))
    at_once = max(CELLS_AT_ONCE // max(size, units), 1)
    for start in range(0, DRAWS, at_once):
        times = rng.multinomial(units, np.full(units, 1 / units), size=min(at_once, DRAWS - start))
        yield (times @ whole).reshape(-1, *shape)


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
