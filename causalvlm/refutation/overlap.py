"""Overlap of the treatment levels in a vector, decoded by the probe that a doubly robust estimator would use."""

import numpy as np
from jaxtyping import Float, Int

from causalvlm.estimation.nuisance import cross_fit_classes, discriminant, folds
from causalvlm.estimation.overlap import Overlap, kish, pair_auc


def decoded(
    features: Float[np.ndarray, "rows _"],
    treatment: Int[np.ndarray, " rows"],
    *,
    pair: tuple[int, int],
    rng: np.random.Generator,
) -> Overlap:
    """Effective sample size of the weights p(s | a) / p(s | X) by Bayes' rule from a cross-fitted discriminant.

    Raises:
        OverlapError: if a level has too few rows to cross-fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = np.tile([0, 1], 500)
        >>> found = decoded(rng.normal(size=(1000, 2)), x, pair=(1, 0), rng=rng)
        >>> bool(found.shares.min() > 0.9)
        True
    """
    probe = cross_fit_classes(
        [discriminant], lambda _: lambda rows: features[rows], treatment, folds(treatment, rng=rng)
    ).predictions
    odds = probe / np.bincount(treatment)
    ratio = odds / odds[np.arange(len(treatment)), treatment][:, None]
    sizes = np.array([kish(column) for column in ratio.T])
    return Overlap(pair_auc(probe, treatment, pair), sizes, sizes / len(treatment))
