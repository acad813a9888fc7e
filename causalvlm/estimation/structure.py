"""What a nuisance function has left in its residuals: the check that every fit has to stand."""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr, ndtri, stdtr

from causalvlm.estimation.dictionary import dictionary
from causalvlm.estimation.nuisance import least_squares
from causalvlm.estimation.sampling import EVEN, Sampling, Weights, weighed

_PENALTY = 0.3  # per row, on standardised columns: what is left are directions that some hundred rows can tell

_MOST_ROWS = 50_000
"""Of each half of a group: what so many rows cannot tell moves no estimate, and more would not fit into memory."""

Matrix = Float[np.ndarray, "rows _"]


def structure_left(
    features: Matrix,
    residuals: Matrix,
    groups: Int[np.ndarray, " rows"],
    assigned: Int[np.ndarray, " rows"],
    sampling: Sampling = EVEN,
) -> float:
    """How clearly residuals can still be predicted, in standard errors; above 3 the model has left something.

    From the residuals of every other fold two regressions on bends and bumps of the features learn what is left: one on
    all of them with a ridge, one on the single best, which sees what one feature of many does. Their predictions are
    multiplied with the residuals of the other rows. The products have mean zero, or below because models lean a
    little towards the rows that they have seen, if E[residual | features] = 0 in each group; else their mean is above.
    [ours: a test of conditional moments whose direction is learnt on rows of its own]

    Args:
        features: what the nuisance function was given.
        residuals: outcome minus held-out prediction, or indicators of the classes minus their probabilities.
        groups: something of its own may be left in each; zeros for one group.
        assigned: fold of each row; its residual must come from a model of the other folds.
        sampling: clusters, whose products are added up before their mean is judged, and weights of the rows.

    Returns:
        The mean of the products over its standard error, the larger of the two; minus infinity without features, or
        with too few rows to say.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, noise = rng.normal(size=(2, 1000, 1))
        >>> folds, one = np.arange(1000) % 5, np.zeros(1000, dtype=int)
        >>> structure_left(x, noise, one, folds) < 3 < structure_left(x, noise + x**2, one, folds)
        True
    """
    if not features.shape[1]:
        return -np.inf
    products: list[np.ndarray] = []  # axes row, regression
    judged: list[np.ndarray] = []  # the rows of these products
    train = assigned % 2 == 0
    for group in range(int(groups.max()) + 1):
        own, other = (_some(np.flatnonzero(half & (groups == group))) for half in (train, ~train))
        if len(own) < 2 * features.shape[1] or not len(other):
            continue
        seen = features[own]
        expand = dictionary(seen)
        design, unseen = expand(seen), expand(features[other])
        weights = sampling.at(own)
        every = least_squares(1, ridge=_PENALTY * len(own))(design, residuals[own], weights)(unseen)
        one = _best_column(design, residuals[own], weights)
        products.append(np.stack([(found * residuals[other]).sum(1) for found in (every, unseen @ one)], axis=1))
        judged.append(other)
    joined = np.concatenate(products) if products else np.zeros((0, 2))
    if products and not sampling.even:
        joined = sampling.take(np.concatenate(judged)).totals(joined)
    spread = joined.std(0) if len(joined) > 1 else np.zeros(2)
    scores = joined.mean(0)[spread > 0] / spread[spread > 0] * np.sqrt(len(joined)) if spread.any() else []
    left = float(max(scores, default=-np.inf))
    if sampling.count is None or not np.isfinite(left):
        return left
    return float(-ndtri(stdtr(len(joined) - 1, -left)))  # as far out as a normal score would be


def p_of_left(left: float) -> float:
    """P-value of what is left, the larger of two normal scores (Bonferroni).

    Example:
        >>> round(p_of_left(1.96), 3), p_of_left(-1.0)
        (0.05, 1.0)
    """
    return min(2 * float(ndtr(-left)), 1.0)


def _some(rows: Int[np.ndarray, " _"]) -> Int[np.ndarray, " _"]:
    """Rows evenly spread over all, `_MOST_ROWS` of them or a little more."""
    return rows[:: max(len(rows) // _MOST_ROWS, 1)]


def _best_column(design: Matrix, residuals: Matrix, weights: Weights) -> Float[np.ndarray, "_ _"]:
    """Slopes that are zero but for the column that goes best with each residual."""
    together = design.T @ weighed(residuals, weights) / len(design)
    best = np.abs(together).argmax(0), np.arange(residuals.shape[1])
    slopes = np.zeros_like(together)
    slopes[best] = together[best]
    return slopes
