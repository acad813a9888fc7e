"""Outcome regressions with one column of predictions per treatment level, from models of any kind."""

from collections.abc import Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from causalvlm.estimation.cross_fitting import Candidates, Judged, cross_fit
from causalvlm.estimation.flexible import additive, boosted, smooth, sparse
from causalvlm.estimation.learners import Model, regression
from causalvlm.estimation.nuisance import (
    QUADRATIC_COLUMNS,
    ROWS_PER_COLUMN,
    FitMean,
    Matrix,
    Predict,
    least_squares,
)
from causalvlm.estimation.sampling import EVEN, Sampling, Weights
from causalvlm.estimation.targets import Mean

_RIDGES = (0.0, 10.0, 30.0, 100.0, 300.0)

Codes = Int[np.ndarray, " _"]
Outcome = Float[np.ndarray, " _"]


@runtime_checkable
class FitArms(Protocol):
    """From features, levels, outcomes, the number of levels and weights of the rows to predictions, one per level."""

    def __call__(self, features: Matrix, codes: Codes, outcome: Outcome, arms: int, weights: Weights = None) -> Predict:
        """Fit it."""
        ...


def separate(fit: FitMean) -> FitArms:
    """A model of its own for every level.

    Example:
        >>> from causalvlm.estimation.nuisance import least_squares
        >>> x = np.array([[0.0], [1.0], [0.0], [1.0]])
        >>> predict = separate(least_squares(1))(x, np.array([0, 0, 1, 1]), np.array([0.0, 1.0, 0.0, 5.0]), 2)
        >>> predict(np.array([[1.0]])).round(3)
        array([[1., 5.]])
    """
    return partial(_fit_separate, fit)


def _fit_separate(
    fit: FitMean, features: Matrix, codes: Codes, outcome: Outcome, arms: int, weights: Weights = None
) -> Predict:
    rows = [codes == arm for arm in range(arms)]
    fits = [fit(features[own], outcome[own, None], None if weights is None else weights[own]) for own in rows]
    return lambda values: np.hstack([one(values) for one in fits])


def joint(fit: FitMean) -> FitArms:
    """One model of all rows, which is given 0/1 columns of the levels.

    Example:
        >>> from causalvlm.estimation.nuisance import least_squares
        >>> x = np.array([[0.0], [1.0], [0.0], [1.0]])
        >>> predict = joint(least_squares(1))(x, np.array([0, 0, 1, 1]), np.array([0.0, 1.0, 2.0, 3.0]), 2)
        >>> predict(np.array([[1.0]])).round(3)
        array([[1., 3.]])
    """
    return partial(_fit_joint, fit)


def _fit_joint(
    fit: FitMean, features: Matrix, codes: Codes, outcome: Outcome, arms: int, weights: Weights = None
) -> Predict:
    levels = np.eye(arms)[:, 1:]
    one = fit(np.hstack([features, levels[codes]]), outcome[:, None], weights)

    def predict(values: Matrix) -> Matrix:
        return np.hstack([one(np.hstack([values, np.tile(level, (len(values), 1))])) for level in levels])

    return predict


def cross_fit_arms(
    regressions: Candidates[FitArms],
    features: Matrix,
    treatment: Codes,
    outcome: Outcome,
    assigned: Codes,
    sampling: Sampling = EVEN,
) -> Judged:
    """Out-of-fold predictions of the outcome at every level, by the best candidate or combination.

    Args:
        regressions: candidates.
        features: what is held fixed.
        treatment: the level of each row; zeros for one regression of all rows.
        outcome: Y.
        assigned: fold of each row.
        sampling: clusters and weights of the rows.

    Example:
        >>> from causalvlm.estimation.nuisance import least_squares
        >>> z = np.linspace(0, 1, 40)[:, None]
        >>> one = np.zeros(40, dtype=int)
        >>> line = Candidates([separate(least_squares(1))])
        >>> cross_fit_arms(line, z, one, 3 * z[:, 0], np.arange(40) % 5).predictions[-1].round(3)
        array([3.])
    """
    arms, every = int(treatment.max()) + 1, np.arange(len(outcome))

    def fold(fits: Sequence[FitArms], train: Codes, held: Codes) -> list[Matrix]:
        seen = features[train], treatment[train], outcome[train], arms, sampling.at(train)
        return [fit(*seen)(features[held]) for fit in fits]

    target = Mean(outcome, treatment, lambda mu: mu[:, every, treatment])
    return cross_fit(regressions, fold, target, features, assigned, sampling)


def adjusting(width: int, smallest_arm: int) -> Sequence[FitArms]:
    """Plain regressions on an adjustment set: a line; where the arms are large enough, curves; firmer ones if wide.

    Example:
        >>> len(adjusting(2, 1000)), len(adjusting(2, 10)), len(adjusting(100, 1000))
        (2, 1, 5)
    """
    if width > QUADRATIC_COLUMNS:
        return [separate(least_squares(1, ridge=ridge)) for ridge in _RIDGES]
    curved = width > 0 and smallest_arm >= ROWS_PER_COLUMN * width**2
    return [separate(least_squares(degree)) for degree in ((1, 2) if curved else (1,))]


def candidates(
    plain: Sequence[FitArms], own: Model | None = None, argument: str = "outcome_model"
) -> Candidates[FitArms]:
    """These, and for what they leave the flexible ones: curves and sparse curves of each level, others of all.

    Args:
        plain: cheap regressions.
        own: a regressor of one's own, which takes the place of all of them and is fitted for each level.
        argument: its name in messages.

    Example:
        >>> from causalvlm.estimation.nuisance import least_squares
        >>> len(candidates([joint(least_squares(1))]).flexible)
        4
    """
    if own is not None:
        return Candidates([separate(regression(own, argument))])
    trees = joint(boosted)
    return Candidates(plain, [separate(smooth), separate(sparse), joint(additive), trees], slow=[trees])
