"""`explain`: an effect in six plain sentences, of which none says more than was measured."""

from collections.abc import Sequence

from causalvlm.estimation.effect import Effect, say_level
from causalvlm.phrases import INTERVAL
from causalvlm.refutation.verdict import Outcome, Verdict


def explain(effect: Effect, verdicts: Sequence[Verdict] = ()) -> str:
    """Say what was asked, what was found, how sure it is, what it rests on, what was tried, and what it does not show.

    Args:
        effect: what `estimate_effect` returned.
        verdicts: what `refute` returned for it.

    Returns:
        Six sentences, one a line.

    Example:
        >>> import numpy as np
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> effect = estimate_effect(smoking().sample(20_000, rng=rng), FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> print(explain(effect))
        Asked was how the mean of Y changes when X is set to 1 rather than to 0, and all else is left as it comes.
        The mean of Y is estimated to be 0.04 units of Y higher: 0.536 under X = 1 and 0.496 under X = 0 (plug-in).
        The 95 % interval, 0.024 to 0.0549 from 20,000 rows, leaves out zero: were there no effect, chance in drawing
        the rows would seldom give such an interval.
        This is the effect only where the world is as the graph says, which the numbers do not prove: full mediation:
        every directed path from X to Y passes through S; first stage: no back-door path from X to S is open; second
        stage: every back-door path from S to Y is blocked by X.
        Nothing was tried against it yet: call refute.
        It does not show what X does to any single row, whether it does the same where data come from elsewhere, or what
        else changes Y.
    """
    sentences = (_asked, _found, _sure, _rests_on)
    return "\n".join([*(say(effect) for say in sentences), _tried(verdicts), _left_open(effect)])


def _subject(effect: Effect) -> str:
    outcome = effect.estimand.outcome
    if effect.distribution is None:
        return f"the mean of {outcome}"
    return f"the probability that {outcome} is {[*effect.distribution[effect.control]][-1]}"


def _asked(effect: Effect) -> str:
    treated, control = say_level(effect.treated), say_level(effect.control)
    return (
        f"Asked was how {_subject(effect)} changes when {effect.estimand.treatment} is set to {treated} rather than to "
        f"{control}, and all else is left as it comes."
    )


def _found(effect: Effect) -> str:
    subject, treatment = _subject(effect), effect.estimand.treatment
    unit = f"units of {effect.estimand.outcome}" if effect.distribution is None else "of probability"
    way = f"{abs(effect.value):.3g} {unit} {'higher' if effect.value > 0 else 'lower'}" if effect.value else "the same"
    means = (
        f"{effect.do_means[level]:.3g} under {treatment} = {say_level(level)}"
        for level in (effect.treated, effect.control)
    )
    return f"T{subject[1:]} is estimated to be {way}: {' and '.join(means)} ({effect.estimator})."


def _sure(effect: Effect) -> str:
    count = len(effect.warnings)
    warned = f"; effect.warnings has {count} {'reason' if count == 1 else 'reasons'} for caution" if count else ""
    if effect.low <= 0 <= effect.high:
        said = "holds zero: no effect at all is not ruled out, nor is it shown"
    else:
        said = "leaves out zero: were there no effect, chance in drawing the rows would seldom give such an interval"
    return f"The {INTERVAL} interval, {effect.low:.3g} to {effect.high:.3g} from {effect.n:,} rows, {said}{warned}."


def _rests_on(effect: Effect) -> str:
    return (
        "This is the effect only where the world is as the graph says, which the numbers do not prove: "
        f"{'; '.join(effect.estimand.assumptions())}."
    )


def _tried(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return "Nothing was tried against it yet: call refute."
    count = len(verdicts)
    found = "; ".join(filter(None, (_named(verdicts, outcome) for outcome in ("failed", "inconclusive", "passed"))))
    outcomes = {verdict.outcome for verdict in verdicts}
    if "failed" in outcomes:
        advice = "until what failed is explained, the number should not be reported as an effect"
    elif "passed" in outcomes:
        advice = "what passed could have failed and did not, which is no proof"
    else:
        advice = "none could tell"
    return f"{count} {'attempt was' if count == 1 else 'attempts were'} made to refute it ({found}): {advice}."


def _named(verdicts: Sequence[Verdict], outcome: Outcome) -> str:
    names = [verdict.name for verdict in verdicts if verdict.outcome == outcome]
    return f"{outcome}: {', '.join(names)}" if names else ""


def _left_open(effect: Effect) -> str:
    treatment, outcome = effect.estimand.treatment, effect.estimand.outcome
    beyond = "how other levels compare" if len(effect.do_means) > 2 else f"what else changes {outcome}"
    if effect.curve:
        low, high = effect.curve.support
        beyond = f"what doses below {low:.3g} or above {high:.3g} do"
    return (
        f"It does not show what {treatment} does to any single row, whether it does the same where data come from "
        f"elsewhere, or {beyond}."
    )
