"""What no data can show: the assumptions that stay assumptions whatever the other verdicts are."""

from causalvlm.refutation.case import Case
from causalvlm.refutation.verdict import Verdict


def judge(case: Case) -> tuple[Verdict, ...]:
    """One line, always inconclusive, with what was nevertheless tested of them, or could be.

    A front door of one mediator binds the law of its columns by no equation: a direct path, or a hidden cause of S and
    Y, makes of it another law that some front door has too.

    Example:
        >>> import numpy as np
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.refutation.case import open_case
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> table = smoking().sample(5000, rng=rng)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> judge(open_case(effect, table, rng=rng))[0].reason[:59]
        'no data can show that all of the effect of X on Y passes th'
    """
    estimand, parts = case.effect.estimand, case.problem.roles
    if parts.functional:
        assumed = "that the graph lacks no arrow and no hidden cause"
    elif parts.front_door:
        mediators = ", ".join(getattr(estimand, "mediators", ()))
        assumed = (
            f"that all of the effect of {estimand.treatment} on {estimand.outcome} passes through {mediators}, and "
            f"that nothing hidden joins {mediators} to {estimand.outcome} or {estimand.treatment}"
        )
    else:
        assumed = f"that nothing hidden joins {estimand.treatment} and {estimand.outcome} given the adjustment set"
    tests = [f"the leak from {name}" for name in case.suspects if parts.front_door]
    tests += ["the agreement with the other route"] * (case.alternative is not None)
    tested = f"tested of it: {', '.join(tests)}" if tests else "a suspect or another route would test some of it"
    return (Verdict("untestable", "inconclusive", None, f"no data can show {assumed}; {tested}."),)
