"""What a front door implies where an observed column moves the treatment and nothing else: an equality that data test.

Let Z act on X alone, Z -> X -> S -> Y with X <-> Y. Then E[Y | do(s)] = sum_x' p(x' | z) E[Y | s, x', z] is one
function of s whatever z is (the constraint of Verma, Pearl, UAI 1990; Tian, Pearl, UAI 2002), although Y depends on Z
given X and S. A direct path X -> Y, a hidden cause of S and Y, or one of Z and Y, makes it move with z: full mediation
and the second stage, which leave no trace in X, S and Y alone, are tested here. As S is independent of Z given X,

    theta = sum_s p(s) sum_x' p(x') E[V | s, x'],   V = (Y - mu) (Z - E Z),   mu the same sum of Y,

is the covariance of Z and the outcome under do(S) at random, and zero. It is the front-door mean of V, averaged over
the levels of the treatment: the estimator of the effect gives it and its influence function, with the same nuisance
functions of treatment and mediator [ours].
"""

import numpy as np
from jaxtyping import Float

from causalvlm.errors import OverlapError
from causalvlm.estimation.estimators import ESTIMATORS, choose
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sample import matrix
from causalvlm.identification.estimands import FrontDoor
from causalvlm.refutation.case import Case
from causalvlm.refutation.verdict import Found, Trial, Verdict, p_of_score


def judge(case: Case) -> tuple[Found, ...]:
    """A test for each column that is said to move the treatment alone.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.refutation.case import open_case
        >>> rng = np.random.default_rng(0)
        >>> z, u, e = rng.normal(size=(3, 1000))
        >>> x = (z + u > 0).astype(int)
        >>> table = pd.DataFrame({"Z": z, "X": x, "S": x + e, "Y": x + e + u})
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> judge(open_case(effect, table, rng=rng, instruments=["Z"]))[0].p_value > 0.01
        True
    """
    return tuple(_judged(case, name) for name in case.instruments)


def _judged(case: Case, name: str) -> Found:
    title, problem = f"equality implied by {name}", case.problem
    if problem.arms.levels is None or problem.categorical or not problem.roles.mediators:
        return Verdict(
            title, "inconclusive", None, "needs a treatment with few levels, a mediator and a numeric outcome."
        )
    try:
        scores = np.array([score(problem, column, rng=case.rng) for column in matrix(problem.table, [name]).T])
    except OverlapError as error:
        return Verdict(title, "inconclusive", None, f"not estimable: {error}")
    worst = float(scores[np.abs(scores).argmax()])
    estimand = case.effect.estimand
    s, y = ", ".join(estimand.mediators if isinstance(estimand, FrontDoor) else ()), estimand.outcome
    reason = f"with {s} drawn at random, {y} and {name} go together by {worst:.2f} standard errors of their covariance"
    charge = f"the treatment acts past {s}, something hidden joins {s} and {y}, or {name} moves more than the treatment"
    return Trial(title, worst, min(len(scores) * p_of_score(worst), 1.0), reason, charge)


def score(problem: Problem, mover: Float[np.ndarray, " rows"], *, rng: np.random.Generator) -> float:
    """Theta of the module's docstring, in standard errors.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> rng = np.random.default_rng(0)
        >>> z, u, e = rng.normal(size=(3, 1000))
        >>> x = (z + u > 0).astype(int)
        >>> table = pd.DataFrame({"X": x, "S": x + e, "Y": x + e + u + x})  # the last x goes past S
        >>> score(read_problem(table, FrontDoor("X", "Y", ("S",))), z, rng=rng) > 3
        True
    """
    estimator, sampling = ESTIMATORS[choose(problem)], problem.sampling
    shares = sampling.mean((problem.codes[:, None] == np.arange(len(problem.arms.labels))).astype(float))
    centre = float(shares @ estimator.influence(problem, rng=rng).means[:, 0])
    found = estimator.influence(problem.answering((problem.outcome - centre) * (mover - sampling.mean(mover))), rng=rng)
    if found.influence is None:
        raise ValueError("a front-door estimator of levels has influence functions")
    means = found.means[:, 0]
    theta = float(shares @ means)
    error = sampling.widened(sampling.error(found.influence @ shares + means[problem.codes] - theta))
    return theta / error if error > 0 else 0.0
