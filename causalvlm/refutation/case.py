"""The case against an effect: the effect, the problem that it answered, and what a refuter may use against it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from causalvlm.errors import InputError
from causalvlm.estimation.effect import Effect, estimate_contrast, question_of
from causalvlm.estimation.estimators import ESTIMATORS
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sample import check_columns, check_fixable
from causalvlm.identification.estimands import Estimand

_REPEATS, _REPEATS_OF_MODELS = 10, 4  # models are dear, and a score is as normal as any other


@dataclass(frozen=True)
class Case:
    """What every judge is given.

    Attributes:
        effect: the effect under attack.
        problem: the problem that it answered, its columns read once for all judges.
        rng: for permutations, folds and bootstrap draws.
        alternative: another estimand of the same effect, if there is one.
        suspects: observed columns that may stand for the latent confounder.
        repeats: repetitions of every placebo.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> table = smoking().sample(5000, rng=rng)
        >>> case = open_case(estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng), table, rng=rng)
        >>> case.estimate(case.problem)[0] == case.effect.value
        True
    """

    effect: Effect
    problem: Problem
    rng: np.random.Generator
    alternative: Estimand | None
    suspects: tuple[str, ...]
    repeats: int

    def estimate(self, problem: Problem) -> tuple[float, float]:
        """Value and standard error by the same estimator of another problem; with few clusters as wide as t is."""
        found = estimate_contrast(problem, self.effect.estimator, rng=self.rng)
        return found.value, problem.sampling.widened(found.standard_error)


def open_case(
    effect: Effect,
    table: pd.DataFrame,
    *,
    rng: np.random.Generator,
    alternative: Estimand | None = None,
    suspects: Sequence[str] = (),
    repeats: int | None = None,
) -> Case:
    """Read once what the judges share; the arguments are those of `refute`.

    Raises:
        InputError: if a column is missing, or `repeats` is less than one.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> table = smoking().sample(5000, rng=rng)
        >>> open_case(estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng), table, rng=rng).problem.door
        'front-door'
    """
    if repeats is None:
        repeats = _REPEATS if ESTIMATORS[effect.estimator].counts else _REPEATS_OF_MODELS
    if repeats < 1:
        raise InputError(f"repeats must be at least 1; received {repeats}. A few are enough to see a bias.")
    problem = question_of(effect, table)
    if not ESTIMATORS[effect.estimator].counts:
        problem.read()
    check_columns(table, suspects)
    check_fixable(table, suspects)
    return Case(effect, problem, rng, alternative, tuple(suspects), repeats)
