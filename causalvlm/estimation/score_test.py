"""A score test of what a linear model leaves out, and the pseudo-inverse that it and the models share."""

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh
from scipy.special import chdtrc

from causalvlm.estimation.sampling import EVEN, Sampling

_NEGLIGIBLE = 1e-9


def pseudo_inverse(
    gram: Float[np.ndarray, "_ _"], scale: Float[np.ndarray, " _"] | None = None
) -> Float[np.ndarray, "_ _"]:
    """Inverse of a Gram matrix on the directions that carry more than a rounding error of `scale`.

    Args:
        gram: positive semidefinite.
        scale: a variance for each column; by default the diagonal.

    Example:
        >>> pseudo_inverse(np.ones((2, 2)))
        array([[0.25, 0.25],
               [0.25, 0.25]])
    """
    variance = np.diag(gram) if scale is None else scale
    deviation = np.sqrt(np.where(variance > np.finfo(float).tiny, variance, np.inf))  # constants drop out
    values, vectors = eigh(gram / np.outer(deviation, deviation))
    kept = values > _NEGLIGIBLE
    basis = vectors[:, kept] / deviation[:, None]
    return (basis / values[kept]) @ basis.T


def score_test(
    added: Float[np.ndarray, "rows _"],
    base: Float[np.ndarray, "rows _"],
    residual: Float[np.ndarray, " rows"],
    sampling: Sampling = EVEN,
) -> float:
    """p-value of no slope on the added columns, robust to unequal variances (Wooldridge 1991, procedure 3.1).

    With clusters the scores are added up within each; about as many columns as clusters then test nothing, for the
    statistic cannot be larger than their number.

    Args:
        added: what the model may have left out; columns that the base already has do not count.
        base: what it has.
        residual: of its least-squares fit.
        sampling: clusters and weights of the rows.

    Example:
        >>> x, noise = np.random.default_rng(0).normal(size=(2, 500, 1))
        >>> line = np.hstack([np.ones((500, 1)), x])
        >>> y = x[:, 0] + x[:, 0] ** 2 + noise[:, 0]
        >>> score_test(x**2, line, y - line @ np.linalg.lstsq(line, y, rcond=None)[0]) < 0.001
        True
    """
    rows = len(residual)
    inverse = pseudo_inverse(sampling.cross(base, base) / rows)
    beyond = added - base @ (inverse @ (sampling.cross(base, added) / rows))
    beyond = beyond[:, beyond.var(0) > _NEGLIGIBLE * (added**2).mean(0)]
    if not beyond.shape[1]:
        return 1.0
    scores = sampling.totals(beyond * residual[:, None])
    spread = scores.T @ scores
    inverse = pseudo_inverse(spread)
    total = scores.sum(0)
    return float(chdtrc(round(np.trace(spread @ inverse)), total @ inverse @ total))
