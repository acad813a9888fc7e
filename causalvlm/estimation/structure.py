"""What a nuisance function has left in its residuals: the check that every fit has to stand."""

import numpy as np
from jaxtyping import Float, Int

from causalvlm.estimation.dictionary import dictionary
from causalvlm.estimation.nuisance import least_squares

_PENALTY = 0.3  # per row, on standardised columns: what is left are directions that some hundred rows can tell

Matrix = Float[np.ndarray, "rows _"]


def structure_left(
    features: Matrix,
    residuals: Matrix,
    groups: Int[np.ndarray, " rows"],
    assigned: Int[np.ndarray, " rows"],
) -> float:
    """How clearly residuals can still be predicted, in standard errors; above 3 the model has left something.

    A ridge regression on bends and bumps of the features learns from the residuals of every other fold what is left,
    and its predictions are multiplied with the residuals of the other rows. The products have mean zero, or below
    because models lean a little towards the rows that they have seen, if E[residual | features] = 0 in each group; else
    their mean is above. [ours: a test of conditional moments whose direction is learnt on rows of its own]

    Args:
        features: what the nuisance function was given.
        residuals: outcome minus held-out prediction, or indicators of the classes minus their probabilities.
        groups: something of its own may be left in each; zeros for one group.
        assigned: fold of each row; its residual must come from a model of the other folds.

    Returns:
        The mean of the products over its standard error; minus infinity without features, or with too few rows to say.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, noise = rng.normal(size=(2, 1000, 1))
        >>> folds, one = np.arange(1000) % 5, np.zeros(1000, dtype=int)
        >>> structure_left(x, noise, one, folds) < 3 < structure_left(x, noise + x**2, one, folds)
        True
    """
    if not features.shape[1]:
        return -np.inf
    products: list[np.ndarray] = []
    train = assigned % 2 == 0
    for group in range(int(groups.max()) + 1):
        own, other = np.flatnonzero(train & (groups == group)), np.flatnonzero(~train & (groups == group))
        if len(own) < 2 * features.shape[1] or not len(other):
            continue
        expand = dictionary(features[own])
        found = least_squares(1, ridge=_PENALTY * len(own))(expand(features[own]), residuals[own])
        products.append((found(expand(features[other])) * residuals[other]).sum(1))
    joined = np.concatenate(products) if products else np.zeros(0)
    if len(joined) < 2 or joined.std() == 0:
        return -np.inf
    return float(joined.mean() / joined.std() * np.sqrt(len(joined)))
