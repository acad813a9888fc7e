"""The demonstration in plain words. Every sentence is chosen by what was measured, whichever way it came out."""

import math
from collections.abc import Sequence

from causalvlm.demo.results import Adaptation, DemoEffect, DemoResult, Outcome, RefusedEffect, RegimeAccuracy
from causalvlm.demo.settings import CONTROL, MODEL
from causalvlm.diagnosis.result import Diagnosis
from causalvlm.intervals import Estimate, newcombe
from causalvlm.phrases import difference, interval, percent, percents, spoken

OUTCOMES: dict[Outcome, str] = {
    "right": "the prediction is right",
    "drawn": "the prediction names a concept that pre-training shows at the treated level",
}


def tell(result: DemoResult) -> tuple[str, ...]:
    """The whole story, a few sentences per chapter."""
    there, moved = (
        [result.accuracy(model, regime) for model in (MODEL, CONTROL)] for regime in ("pretraining", "shifted")
    )
    return (
        tell_drop(there[0], moved[0], there[1], moved[1]),
        tell_factors(result.diagnosis),
        tell_effects(result.effects, result.refused),
        tell_adaptation(result.adaptation, newcombe(moved[0].accuracy, there[0].accuracy)),
    )


def tell_drop(there: RegimeAccuracy, moved: RegimeAccuracy, control: RegimeAccuracy, twin: RegimeAccuracy) -> str:
    """What moving the concepts costs the model, and what it costs the control.

    Args:
        there: the model where concept and surroundings go together as in pre-training.
        moved: the model where they do not.
        control: the control where they do.
        twin: the control where they do not.
    """
    drop, other = newcombe(moved.accuracy, there.accuracy), newcombe(twin.accuracy, control.accuracy)
    first = (
        f"{there.model} is right on {_share(there.accuracy)} of pictures whose concepts appear as in pre-training, and "
        f"on {_share(moved.accuracy)} where they appear in other surroundings: {_points(drop)}."
    )
    measured = f"{_share(control.accuracy)} and {_share(twin.accuracy)}, {_points(other)}"
    if drop.high >= 0:
        return f"{first} There is no drop to explain here; the control has {measured}."
    if not other.excludes(0.0) or other.low > 0:
        return f"{first} The same model trained without confounding lacks the drop: {measured}."
    less = math.hypot(drop.high - drop.value, other.value - other.low) < other.value - drop.value
    if less:
        return f"{first} The same model trained without confounding loses less: {measured}."
    return f"{first} Trained without confounding it loses as much ({measured}): this drop is not the confounding's."


def tell_factors(diagnosis: Diagnosis) -> str:
    """Which factors can be read from the embedding, and at which the model answers differently."""
    read = [factor for factor in diagnosis.factors if factor.decodable]
    read.sort(key=lambda factor: factor.probe.bits.value / factor.probe.entropy_bits, reverse=True)
    moving = [factor.factor for factor in diagnosis.factors if factor.moves_margin]
    most = f", most of {_list([factor.factor for factor in read[:3]])}" if read else ""
    return (
        f"A linear probe finds something of {len(read)} of {len(diagnosis.factors)} factors in the embedding{most}. "
        f"The margin of the right answer differs, concept by concept, with {_list(moving)}."
    )


def tell_effects(effects: Sequence[DemoEffect], refused: Sequence[RefusedEffect] = ()) -> str:
    """How near the estimates come to the truth, what the largest effect is, and what could not be answered."""
    parts: list[str] = []
    if effects:
        parts.append(_closeness(effects))
        drawn = [effect for effect in effects if effect.outcome == "drawn"]
        if drawn:
            parts.append(_pull(max(drawn, key=lambda effect: abs(effect.true.value))))
    if refused:
        count = "1 question is" if len(refused) == 1 else f"{len(refused)} questions are"
        parts.append(f"{count} refused: too few pictures at either level are alike in all else.")
    return " ".join(parts)


def _closeness(effects: Sequence[DemoEffect]) -> str:
    agree = sum(effect.covered for effect in effects)
    error = sum(abs(effect.estimate.value - effect.true.value) for effect in effects) / len(effects)
    naive = sum(abs(effect.naive - effect.true.value) for effect in effects) / len(effects)
    verdict = "nearer than" if error < naive else "no nearer than"
    return (
        f"Of {len(effects)} effects estimated from observed pictures through the back door, {agree} agree with the "
        f"true effect by re-rendering. They miss it by {100 * error:.1f} points on average, {verdict} the naive "
        f"differences, which miss it by {100 * naive:.1f}."
    )


def _pull(effect: DemoEffect) -> str:
    what = (
        f"Changing {spoken(effect.factor)} from {effect.control} to {effect.treated} and nothing else makes the model "
        f"name a concept that pre-training shows at {effect.treated}"
    )
    if not effect.true.excludes(0.0):
        return f"{what} neither more nor less often for certain ({_points(effect.true)})."
    size = f"{100 * abs(effect.true.value):.0f} points ({interval(100 * effect.true.low, 100 * effect.true.high)})"
    return f"{what} {'more' if effect.true.value > 0 else 'less'} often, by {size}."


def tell_adaptation(adaptation: Adaptation, drop: Estimate) -> str:
    """What CDC gives back of the drop, what that costs at home, and what it does on classes of which it saw nothing.

    Args:
        adaptation: what was measured.
        drop: of the model itself, from pictures as in pre-training to shifted ones; below zero if it is one.
    """
    moved, home = adaptation.regime_shifts["shifted"], adaptation.regime_shifts["pretraining"]
    back = ""
    if moved.low > 0 and drop.high < 0:
        back = f", {100 * moved.value:.1f} of the {-100 * drop.value:.1f} points that the model loses there"
    halves = ", ".join(
        f"on {half} classes {_verb(shift)} ({100 * old:.1f} to {100 * new:.1f} %)"
        for half, shift, old, new in (
            ("base", adaptation.base_shift, adaptation.zero_shot.base, adaptation.adapted.base),
            ("new", adaptation.new_shift, adaptation.zero_shot.new, adaptation.adapted.new),
        )
    )
    return (
        f"CDC, trained on {adaptation.counts['shots']} downstream pictures of each concept, on shifted ones: "
        f"{_points(moved)} named right{back}; on pictures as in pre-training: {_points(home)}. Trained on the base "
        f"classes alone, accuracy {halves}."
    )


def _verb(shift: Estimate) -> str:
    if not shift.excludes(0.0):
        return "does not change for certain"
    return "rises" if shift.value > 0 else "falls"


def _share(estimate: Estimate) -> str:
    return f"{percent(estimate.value)} ({percents(estimate).removesuffix(' %')})"


def _points(shift: Estimate) -> str:
    if shift.excludes(0.0):
        return difference(shift, unit="points", scale=100, words=("fewer", "more"))
    return f"no certain difference ({interval(100 * shift.low, 100 * shift.high)} points)"


def _list(names: Sequence[str]) -> str:
    plain = [spoken(name) for name in names]
    if len(plain) < 2:
        return plain[0] if plain else "none of the factors"
    return f"{', '.join(plain[:-1])} and {plain[-1]}"
