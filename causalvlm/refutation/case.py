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
        instruments: observed columns that are said to move the treatment and nothing else, of a front door.

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
    instruments: tuple[str, ...] = ()

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
    instruments: Sequence[str] = (),
) -> Case:
    """Read once what the judges share; the arguments are those of `refute`.

    Raises:
        InputError: if a column is missing, `repeats` is less than one, or an instrument plays another part.

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
    check_columns(table, [*suspects, *instruments])
    check_fixable(table, [*suspects, *instruments])
    _require_instruments(problem, instruments)
    return Case(effect, problem, rng, alternative, tuple(suspects), repeats, tuple(instruments))


def _require_instruments(problem: Problem, instruments: Sequence[str]) -> None:
    if instruments and not problem.front_door:
        raise InputError(
            f"instruments= are for a front door, which implies something about them; received {instruments[0]!r} for "
            f"the {problem.door} effect. Leave it out."
        )
    used = [name for name in instruments if name in problem.roles.all()]
    if used:
        raise InputError(
            f"instruments= must be columns that play no other part; received {used[0]!r}. Name columns that move the "
            "treatment and nothing else."
        )
