"""Bootstrap by counts: resampling n rows of a table of cells is one multinomial draw, whatever n is."""

import numpy as np
from jaxtyping import Float

DRAWS = 2000

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
