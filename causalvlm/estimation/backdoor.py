"""Back-door estimators: outcome regression, inverse propensity weighting, and the doubly robust AIPW."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from causalvlm.estimation.nuisance import (
    FitClasses,
    cross_fit_classes,
    folds,
    frequencies,
    least_squares,
    logistic,
    splits,
)
from causalvlm.estimation.overlap import Overlap, kish, pair_auc

_QUADRATIC_COLUMNS = 12  # up to so many, squares and products are tried; with more columns, firmer penalties are
_ROWS_PER_COLUMN = 5
_VARIANCES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
_RIDGES = (0.0, 10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True)
class Adjusted:
    """Do-means by adjustment.

    Attributes:
        means: E[Y | do(level)] for each treatment level.
        influence: influence function of each mean.

    Example:
        >>> Adjusted(np.zeros(2), np.zeros((4, 2))).means
        array([0., 0.])
    """

    means: Float[np.ndarray, " _"]
    influence: Float[np.ndarray, "rows _"]


@dataclass(frozen=True)
class Propensity:
    """Held-out probabilities of each treatment level given the adjustment set.

    Attributes:
        probabilities: one column per level.
        assigned: the fold that each row was held out in.
        overlap: effective sample sizes of the inverse probabilities, AUC of the treatment from the adjustment set.

    Example:
        >>> Propensity(np.full((2, 2), 0.5), np.zeros(2, dtype=int), Overlap(0.5, np.ones(2), np.ones(2))).overlap.auc
        0.5
    """

    probabilities: Float[np.ndarray, "rows _"]
    assigned: Int[np.ndarray, " rows"]
    overlap: Overlap


def fit_propensity(
    adjustment: Float[np.ndarray, "rows _"],
    treatment: Int[np.ndarray, " rows"],
    *,
    pair: tuple[int, int],
    rng: np.random.Generator,
) -> Propensity:
    """Cross-fit P(X | Z) by logistic regression, with squares and products or with a firmer penalty if that is better.

    Firmer penalties are for wide sets, such as a label with fifty levels: there an unpenalised fit is so sure of
    chance that its weights explode where the overlap is good.

    The effective size of a level is Kish's, of the weights 1 / P(a | Z) of its rows. Rows that could never get
    the level have no weight that it could see: those show in the AUC.

    Raises:
        OverlapError: if a level has too few rows to cross-fit.

    Example:
        >>> x = np.tile([0, 1], 50)
        >>> fit_propensity(np.zeros((100, 0)), x, pair=(1, 0), rng=np.random.default_rng(0)).overlap.sizes
        array([50., 50.])
    """
    assigned = folds(treatment, rng=rng)
    candidates: list[FitClasses] = [frequencies]
    if adjustment.shape[1]:
        narrow = adjustment.shape[1] <= _QUADRATIC_COLUMNS
        candidates = [logistic(1), logistic(2)] if narrow else [logistic(1, variance=prior) for prior in _VARIANCES]
    fitted = cross_fit_classes(candidates, lambda _: lambda rows: adjustment[rows], treatment, assigned).predictions
    own = treatment[:, None] == np.arange(fitted.shape[1])
    sizes = np.array([kish(1 / fitted[own[:, arm], arm]) for arm in range(fitted.shape[1])])
    return Propensity(fitted, assigned, Overlap(pair_auc(fitted, treatment, pair), sizes, sizes / own.sum(0)))


def outcome_regression(
    adjustment: Float[np.ndarray, "rows _"], treatment: Int[np.ndarray, " rows"], outcome: Float[np.ndarray, " rows"]
) -> Adjusted:
    """E[Y | do(a)] = mean over all rows of a linear regression fitted on the rows of level a (g-formula, Robins 1986).

    Correct if E[Y | a, Z] is linear in Z for each level. The influence function carries the estimated slopes.

    Example:
        >>> z, x = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1])
        >>> outcome_regression(z, x, 2.0 * z[:, 0] + x).means
        array([3., 4.])
    """
    design = np.hstack([np.ones((len(outcome), 1)), adjustment])
    centre = design.mean(0)
    means, columns = [], []
    for arm in range(int(treatment.max()) + 1):
        own = treatment == arm
        inverse = np.linalg.pinv(design[own].T @ design[own] / len(outcome))
        slopes = inverse @ (design[own].T @ outcome[own] / len(outcome))
        residual = np.where(own, outcome - design @ slopes, 0.0)
        means.append(centre @ slopes)
        columns.append(design @ slopes - means[-1] + residual * (design @ (inverse @ centre)))
    return Adjusted(np.array(means), np.column_stack(columns))


@dataclass(frozen=True)
class Line:
    """Means along a linear response to a continuous treatment.

    Attributes:
        means: E[Y | do(setting)].
        influence: influence function of each mean.
        tolerance: share of the treatment's variance that the adjustment set leaves over.

    Example:
        >>> Line(np.zeros(2), np.zeros((4, 2)), 1.0).tolerance
        1.0
    """

    means: Float[np.ndarray, " _"]
    influence: Float[np.ndarray, "rows _"]
    tolerance: float


def linear_response(
    adjustment: Float[np.ndarray, "rows _"],
    treatment: Float[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
    *,
    settings: Float[np.ndarray, " _"],
) -> Line:
    """E[Y | do(x)] = E[Y] + slope (x - E[X]), the slope that of Y on X given Z by least squares.

    Correct if E[Y | x, Z] is linear; standard errors allow for unequal variances (White 1980).

    Example:
        >>> z = np.array([[0.0], [1.0], [0.0], [1.0]])
        >>> x = np.array([0.0, 1.0, 2.0, 4.0])
        >>> linear_response(z, x, 2 * x + z[:, 0], settings=np.array([0.0, 1.0])).means
        array([0.5, 2.5])
    """
    design = np.hstack([np.ones((len(outcome), 1)), adjustment])
    own = treatment - design @ np.linalg.lstsq(design, treatment, rcond=None)[0]
    variance = own.var()
    slope = (own * outcome).mean() / variance
    partial = outcome - slope * treatment
    residual = partial - design @ np.linalg.lstsq(design, partial, rcond=None)[0]
    distance = settings - treatment.mean()
    centred = outcome - outcome.mean() - slope * (treatment - treatment.mean())
    influence = centred[:, None] + (own * residual / variance)[:, None] * distance
    return Line(outcome.mean() + slope * distance, influence, float(variance / treatment.var()))


def inverse_propensity(
    adjustment: Float[np.ndarray, "rows _"],
    treatment: Int[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
) -> Adjusted:
    """Weighted means with weights 1 / P(a | Z) normalised within the level (Hajek 1971), P a logistic regression.

    The regression is fitted on all rows, and the influence function is projected off its scores, because fitted
    weights are more precise than known ones (Hirano, Imbens, Ridder 2003).

    Example:
        >>> x, z = np.array([0, 0, 1, 1]), np.zeros((4, 0))
        >>> inverse_propensity(z, x, np.array([1.0, 2.0, 3.0, 4.0])).means
        array([1.5, 3.5])
    """
    arms = int(treatment.max()) + 1
    fit = logistic(1) if adjustment.shape[1] else frequencies
    propensity = fit(adjustment, treatment, arms)(adjustment)
    own = treatment[:, None] == np.arange(arms)
    weights = own / propensity
    weights = weights / weights.mean(0)
    means = (weights * outcome[:, None]).mean(0)
    influence = weights * (outcome[:, None] - means)
    design = np.hstack([np.ones((len(outcome), 1)), adjustment])
    scores = np.hstack([design * (own[:, [arm]] - propensity[:, [arm]]) for arm in range(1, arms)])
    influence = influence - scores @ np.linalg.lstsq(scores, influence, rcond=None)[0]
    return Adjusted(means, influence)


def augmented(
    propensity: Propensity,
    adjustment: Float[np.ndarray, "rows _"],
    treatment: Int[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
) -> Adjusted:
    """AIPW with cross-fitting: consistent if either the propensity or the outcome regression is right.

    mean of mu_a(Z) + 1(X = a) / P(a | Z) (Y - mu_a(Z)) (Robins, Rotnitzky, Zhao 1994; Chernozhukov et al. 2018).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(4000, 1))
        >>> x = (z[:, 0] + rng.normal(size=4000) > 0).astype(int)
        >>> fit = augmented(fit_propensity(z, x, pair=(1, 0), rng=rng), z, x, x + z[:, 0])
        >>> (fit.means[1] - fit.means[0]).round(1)
        np.float64(1.0)
    """
    arms = propensity.probabilities.shape[1]
    smallest = np.bincount(treatment).min()
    width = adjustment.shape[1]
    candidates = [least_squares(1)]
    if 0 < width <= _QUADRATIC_COLUMNS and smallest >= _ROWS_PER_COLUMN * width**2:
        candidates = [*candidates, least_squares(2)]
    if width > _QUADRATIC_COLUMNS:
        candidates = [least_squares(1, ridge=ridge) for ridge in _RIDGES]
    fitted = np.empty((len(candidates), len(outcome), arms))
    for train, held in splits(propensity.assigned):
        for arm in range(arms):
            rows = train[treatment[train] == arm]
            for place, regress in enumerate(candidates):
                predict = regress(adjustment[rows], outcome[rows, None])
                fitted[place, held, arm] = predict(adjustment[held])[:, 0]
    every = np.arange(len(outcome))
    mu = fitted[((fitted[:, every, treatment] - outcome) ** 2).mean(1).argmin()]
    weights = (treatment[:, None] == np.arange(arms)) / propensity.probabilities
    weights = weights / weights.mean(0)
    uncentred = mu + weights * (outcome[:, None] - mu)
    means = uncentred.mean(0)
    return Adjusted(means, uncentred - means)
