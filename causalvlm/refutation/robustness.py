"""How strong a violation must be to explain an effect away: the breakdown point of `sensitivity`, judged."""

from causalvlm.errors import InputError
from causalvlm.estimation.sensitivity import sensitivity_of
from causalvlm.refutation.case import Case
from causalvlm.refutation.verdict import WEAKEST_ROBUSTNESS, Verdict

_NAME = "robustness"


def judge(case: Case) -> tuple[Verdict, ...]:
    """Whether a hidden cause of little strength could cancel the effect, if there is an effect to explain away.

    Example:
        >>> import numpy as np
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.refutation.case import open_case
        >>> from causalvlm.worlds.linear import LinearWorld
        >>> rng = np.random.default_rng(0)
        >>> table = LinearWorld().sample(1000, rng=rng)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> judge(open_case(effect, table, rng=rng))[0].outcome
        'passed'
    """
    if case.problem.door == "general" or case.problem.instrument.shape[1] > 1:
        return ()  # no pair of regressions stands for it
    if case.effect.low <= 0.0 <= case.effect.high:
        return (Verdict(_NAME, "inconclusive", None, "the interval holds zero: there is no effect to explain away."),)
    try:
        found = sensitivity_of(case.effect, case.problem)
    except InputError:
        return (Verdict(_NAME, "inconclusive", None, "needs a numeric outcome."),)
    value = found.weakest.breakdown
    outcome = "failed" if value < WEAKEST_ROBUSTNESS else "passed"
    return (Verdict(_NAME, outcome, value, f"{found.text()} (linear model)."),)
