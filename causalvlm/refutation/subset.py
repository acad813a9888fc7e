"""Halves of the table: their estimates differ by sampling alone, and on average they say what the whole says."""

import numpy as np
import pandas as pd

from causalvlm.errors import OverlapError
from causalvlm.refutation.case import Case
from causalvlm.refutation.placebos import Estimate, Placebos
from causalvlm.refutation.verdict import LARGEST_SCORE, Verdict


def halves(table: pd.DataFrame, estimate: Estimate, *, rng: np.random.Generator, repeats: int) -> Placebos:
    """Differences between the estimates of random halves, and between their mean and the estimate of the whole.

    Halves differ by sampling alone, so their difference is nothing within its standard error. The mean of two halves
    equals the whole unless the estimator changes with the number of rows; the whole's standard error is the yardstick.

    Example:
        >>> table = pd.DataFrame({"Y": [0.0, 1.0, 2.0, 3.0]})
        >>> halves(table, lambda t: (t.Y.mean(), 1.0), rng=np.random.default_rng(0), repeats=1).values[1]
        np.float64(0.0)
    """
    whole, whole_error = estimate(table)
    middle = len(table) // 2
    values, errors = [], []
    for _ in range(repeats):
        order = rng.permutation(len(table))
        (one, one_error), (two, two_error) = (
            estimate(table.iloc[part].reset_index(drop=True)) for part in (order[:middle], order[middle:])
        )
        values += [one - two, (one + two) / 2 - whole]
        errors += [float(np.hypot(one_error, two_error)), whole_error]
    return Placebos(np.array(values), np.array(errors))


def judge(case: Case) -> tuple[Verdict, ...]:
    """The worst of the halves; halves of one table are dependent, so each is judged by itself.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.refutation.case import open_case
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> table = smoking().sample(5000, rng=rng)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> judge(open_case(effect, table, rng=rng))[0].outcome
        'passed'
    """
    try:
        found = halves(case.problem.table, case.estimate, rng=case.rng, repeats=max(case.repeats // 3, 1))
    except OverlapError as error:
        return (Verdict("subset", "inconclusive", None, f"not estimable on the altered table: {error}"),)
    worst = float(np.abs(found.scores()).max())
    limit = LARGEST_SCORE + np.log10(len(found.values))
    reason = f"halves differ by at most {worst:.2f} standard errors; limit {limit:.2f}."
    return (Verdict("subset", "passed" if worst <= limit else "failed", worst, reason),)
