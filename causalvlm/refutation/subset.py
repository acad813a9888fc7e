"""Halves of the table: their estimates differ by sampling alone, and on average they say what the whole says."""

import numpy as np
from jaxtyping import Int

from causalvlm.errors import OverlapError
from causalvlm.estimation.problem import Problem
from causalvlm.refutation.case import Case
from causalvlm.refutation.placebos import Estimate, Placebos
from causalvlm.refutation.verdict import Found, Trial, Verdict, p_of_score


def halves(
    problem: Problem, estimate: Estimate, whole: tuple[float, float], *, rng: np.random.Generator, repeats: int
) -> Placebos:
    """Differences between the estimates of random halves, and between their mean and the estimate of the whole.

    Halves differ by sampling alone, so their difference is nothing within its standard error. The mean of two halves
    equals the whole unless the estimator changes with the number of rows; the whole's standard error is the yardstick.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import BackDoor
        >>> table = pd.DataFrame({"X": [0, 1] * 40, "Y": range(80)})
        >>> problem = read_problem(table, BackDoor("X", "Y", ()))
        >>> mean = lambda p: (p.outcome.mean(), 1.0)
        >>> halves(problem, mean, (39.5, 1.0), rng=np.random.default_rng(0), repeats=1).values[1]
        np.float64(0.0)
    """
    value, error = whole
    values, errors = [], []
    for _ in range(repeats):
        (one, one_error), (two, two_error) = (
            estimate(problem.on(problem.table.iloc[part].reset_index(drop=True))) for part in _halves(problem, rng)
        )
        values += [one - two, (one + two) / 2 - value]
        errors += [float(np.hypot(one_error, two_error)), error]
    return Placebos(np.array(values), np.array(errors))


def _halves(problem: Problem, rng: np.random.Generator) -> tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]:
    """Positions of the rows of either half; a cluster is in one of them."""
    codes, count = problem.sampling.codes, problem.sampling.count
    if codes is None or count is None:
        order = rng.permutation(problem.rows)
        return order[: problem.rows // 2], order[problem.rows // 2 :]
    first = (rng.permutation(count) < count // 2)[codes]
    return np.flatnonzero(first), np.flatnonzero(~first)


def judge(case: Case) -> tuple[Found, ...]:
    """The worst of the halves; those of one table are dependent, so its p-value is times their number (Bonferroni).

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.refutation.case import open_case
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> table = smoking().sample(5000, rng=rng)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> judge(open_case(effect, table, rng=rng))[0].p_value
        1.0
    """
    whole = case.effect.value, case.problem.sampling.widened(case.effect.standard_error)
    try:
        found = halves(case.problem, case.estimate, whole, rng=case.rng, repeats=max(case.repeats // 3, 1))
    except OverlapError as error:
        return (Verdict("subset", "inconclusive", None, f"not estimable on the altered table: {error}"),)
    worst = float(np.abs(found.scores()).max())
    p_value = min(len(found.values) * p_of_score(worst), 1.0)
    reason = (
        f"random halves differ from each other, or in the mean from the whole, by at most {worst:.2f} standard errors"
    )
    return (Trial("subset", worst, p_value, reason, "the estimate depends on which or how many rows there are"),)
