"""Outcome regressions with one column of predictions per treatment level, from models of any kind."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from causalvlm.estimation.cross_fitting import Candidates
from causalvlm.estimation.flexible import boosted, smooth
from causalvlm.estimation.nuisance import FitMean, Matrix, Predict

Codes = Int[np.ndarray, " _"]
Outcome = Float[np.ndarray, " _"]
FitArms = Callable[[Matrix, Codes, Outcome, int], Predict]
"""From features, levels, outcomes and the number of levels to predictions, a column per level."""


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


def _fit_separate(fit: FitMean, features: Matrix, codes: Codes, outcome: Outcome, arms: int) -> Predict:
    fits = [fit(features[codes == arm], outcome[codes == arm, None]) for arm in range(arms)]
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


def _fit_joint(fit: FitMean, features: Matrix, codes: Codes, outcome: Outcome, arms: int) -> Predict:
    levels = np.eye(arms)[:, 1:]
    one = fit(np.hstack([features, levels[codes]]), outcome[:, None])

    def predict(values: Matrix) -> Matrix:
        return np.hstack([one(np.hstack([values, np.tile(level, (len(values), 1))])) for level in levels])

    return predict


def candidates(plain: Sequence[FitArms]) -> Candidates[FitArms]:
    """These, and for what they leave the flexible regressions: curves of each level, trees of all together.

    Example:
        >>> from causalvlm.estimation.nuisance import least_squares
        >>> len(candidates([joint(least_squares(1))]).flexible)
        2
    """
    return Candidates(plain, [separate(smooth), joint(boosted)])
