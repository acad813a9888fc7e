"""What no data can show: the assumptions that stay assumptions whatever the other verdicts are."""

from causalvlm.identification.estimands import BackDoor, FrontDoor, Functional, Instrument, Mediation
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
    estimand = case.effect.estimand
    x, y = estimand.treatment, estimand.outcome
    match estimand:
        case Functional():
            assumed = "that the graph lacks no arrow and no hidden cause"
        case FrontDoor(mediators=mediators):
            s = ", ".join(mediators)
            assumed = (
                f"that all of the effect of {x} on {y} passes through {s}, and that nothing hidden joins {s} to {y} "
                f"or {x}"
            )
        case Instrument(instrument=z):
            assumed = f"that {z} reaches {y} through {x} alone, and that nothing hidden joins {z} and {y}"
        case Mediation(part="controlled", mediators=mediators):
            assumed = f"that nothing hidden joins {y} to {x} or {', '.join(mediators)}"
        case Mediation(mediators=mediators):
            assumed = f"that nothing hidden joins any two of {x}, {', '.join(mediators)} and {y}"
        case BackDoor():
            assumed = f"that nothing hidden joins {x} and {y} given the adjustment set"
    door = isinstance(estimand, FrontDoor)
    suspected = isinstance(estimand, FrontDoor | Instrument)
    tests = [f"the leak from {name}" for name in case.suspects if suspected]
    tests += [f"the equality implied by {name}" for name in case.instruments]
    tests += ["the agreement with the other route"] * (case.alternative is not None)
    others = (
        "a suspect, another route or a column that moves the treatment alone" if door else "a suspect or another route"
    )
    tested = f"tested of it: {', '.join(tests)}" if tests else f"{others} would test some of it"
    return (Verdict("untestable", "inconclusive", None, f"no data can show {assumed}; {tested}."),)
