"""The ladder of a factor: decodable, used, confounded with the class, effect identified, survives refutation.

Each rung is "yes", "no" or "unknown", with the reason. "No" is a finding too: it is said where an interval lies within
what is negligible, never because a test found nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from scipy.special import ndtr

from causalvlm.diagnosis.evidence import Evidence
from causalvlm.diagnosis.interventions import Intervention
from causalvlm.intervals import Estimate, Shift, Z, widened
from causalvlm.multiplicity import FALSE_ALARM_RATE
from causalvlm.phrases import difference, percent, percents

NEGLIGIBLE_BITS = 0.02
"""Share of a factor's entropy below which what the embedding tells of it is nothing [ours]."""

NEGLIGIBLE_SHARE = 0.02
"""Share of images below which changed answers, or a difference in accuracy, is nothing [ours]."""

NEGLIGIBLE_V = 0.1
"""Cramér's V below which a factor does not go with the class: a small effect by Cohen's convention (1988)."""

CONTRADICTION = 0.01
"""Two estimates of one effect contradict each other below this p-value [ours]."""

HOW = {
    "back-door": "with the class and what else is listed held fixed",
    "edited": "in the same images, edited",
    "re-rendered": "in the same pictures, drawn again",
}
"""Where the effect comes from, in words."""

Answer = Literal["yes", "no", "unknown"]
Light = Literal["red", "amber", "green", "unknown"]

LIGHTS: tuple[Light, ...] = ("red", "amber", "green", "unknown")
"""From what must be mended to what is not known."""

OWN_VIEWS = ("concept", "cluster")
"""Factors that are functions of the embedding: what goes with them is a lead, and no cause."""

RUNGS = ("decodable", "used", "confounded", "identified", "survives")
"""The rungs in order, as JSON has them."""


@dataclass(frozen=True)
class Rung:
    """One rung.

    Attributes:
        answer: "yes", "no" or "unknown".
        reason: a clause with the numbers.

    Example:
        >>> Rung("no", "0 of 200 answers change").answer
        'no'
    """

    answer: Answer
    reason: str


@dataclass(frozen=True)
class StatedEffect:
    """The effect that is reported of a factor: by setting it where it can be set, else from images as they are.

    Attributes:
        value: share of right answers at `level` minus that at `reference`.
        low: lower end of the 95 per cent interval, which allows for the choice among the levels.
        high: upper end.
        how: "re-rendered", "edited" or "back-door".
        level: what is compared.
        reference: with what.
        certain: whether it is certainly not zero, among all factors and levels.
    """

    value: float
    low: float
    high: float
    how: str
    level: str
    reference: str
    certain: bool

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Ladder:
    """Where a factor stands.

    Attributes:
        rungs: by name, in the order of `RUNGS`.
        effect: on being right; None where there is no number.
        light: red where the factor certainly moves accuracy, by an estimate above what is negligible, and is not only
            the model's own view; green where it certainly does not; amber where it is used, or goes with the class and
            could mislead; else unknown.
        sentence: what to make of it.
    """

    rungs: Mapping[str, Rung]
    effect: StatedEffect | None
    light: Light
    sentence: str

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON: each rung's answer under its own name, and the reasons together."""
        return {
            **{name: rung.answer for name, rung in self.rungs.items()},
            "effect": self.effect.to_record() if self.effect else None,
            "reason": self.sentence,
            "reasons": {name: rung.reason for name, rung in self.rungs.items()},
            "light": self.light,
        }


def climb(evidence: Evidence) -> Ladder:
    """The ladder of one factor from all that is known of it."""
    stated = state_effect(evidence)
    rungs = {
        "decodable": _decodable(evidence),
        "used": _used(evidence),
        "confounded": _confounded(evidence),
        "identified": _identified(evidence),
        "survives": _survives(evidence, stated),
    }
    light = _light(rungs, stated, own=evidence.source in OWN_VIEWS)
    return Ladder(rungs, stated, light, _sentence(rungs, stated, light))


def state_effect(evidence: Evidence) -> StatedEffect | None:
    """The effect to report: the level that moves accuracy most, by setting it where that was done."""
    if evidence.interventions:
        certain = evidence.costing
        most = max(certain or evidence.interventions, key=lambda one: abs(one.accuracy.value))
        shift, how = widened(most.accuracy, len(evidence.interventions)), most.how
        level, reference = most.level, most.reference
        return StatedEffect(shift.value, shift.low, shift.high, how, level, reference, bool(certain))
    effect = evidence.effect
    if effect is None or effect.shift is None or effect.treated is None:
        return None
    shift = effect.shift
    return StatedEffect(shift.value, shift.low, shift.high, "back-door", effect.treated, effect.control, effect.certain)


def _decodable(evidence: Evidence) -> Rung:
    if evidence.source in OWN_VIEWS:
        return Rung("unknown", "its levels are read off the embedding itself, so that decoding them says nothing")
    bits, entropy = evidence.probe.bits, evidence.probe.entropy_bits
    told = f"a probe reads {bits.value:.2f} of {entropy:.2f} bits"
    if bits.value > 0 and evidence.adjusted.bits < FALSE_ALARM_RATE:
        return Rung("yes", told)
    if bits.high < NEGLIGIBLE_BITS * entropy:
        return Rung("no", f"{told}, at most {max(0.0, bits.high):.2f}")
    return Rung("unknown", f"{told}, and could read up to {bits.high:.2f}")


def _used(evidence: Evidence) -> Rung:
    if evidence.interventions:
        return _used_when_set(evidence)
    erasure = evidence.erasure
    if erasure is None:
        return Rung("unknown", "it cannot be set in these images, and the model's embeddings cannot be changed either")
    told = f"erasing its {erasure.rank} directions changes {percent(erasure.flips.value)} of answers"
    certain = evidence.adjusted.erasure is not None and evidence.adjusted.erasure < FALSE_ALARM_RATE
    if certain and erasure.flips.low > NEGLIGIBLE_SHARE:
        return Rung("yes", f"{told}, random ones {percent(erasure.random_flips.value)}")
    return Rung("unknown", f"{told}, random ones {percent(erasure.random_flips.value)}; other traces of it may be used")


def _used_when_set(evidence: Evidence) -> Rung:
    certain = evidence.changing
    most = max(certain or evidence.interventions, key=lambda one: one.flips.value)
    told = f"{_set(most)} changes {percent(most.flips.value)} of {most.n} answers ({percents(most.flips)})"
    if certain:
        return Rung("yes", told)
    if max(one.flips.high for one in evidence.interventions) < NEGLIGIBLE_SHARE:
        return Rung("no", told)
    return Rung("unknown", f"{told}, which may be nothing")


def _set(one: Intervention) -> str:
    verb = "drawing the picture again" if one.how == "re-rendered" else "editing the image"
    return f"{verb} from {one.reference!r} to {one.level!r}"


def _confounded(evidence: Evidence) -> Rung:
    found = evidence.association
    size, low, high = (number or 0.0 for number in (found.size, found.low, found.high))
    told = f"Cramér's V with the class {size:.2f} ({low:.2f} to {high:.2f})"
    if evidence.adjusted.association < FALSE_ALARM_RATE and size >= NEGLIGIBLE_V:
        return Rung("yes", told)
    return Rung("no" if high < NEGLIGIBLE_V else "unknown", told)


def _identified(evidence: Evidence) -> Rung:
    if evidence.interventions:
        return Rung("yes", f"it was set in the images ({evidence.interventions[0].how}), all else equal")
    effect = evidence.effect
    if effect is None:
        return Rung("unknown", "it was not asked")
    if effect.shift is None:
        return Rung("no", effect.refusal)
    return Rung("yes", f"by {effect.formula}, if the graph holds")


def _survives(evidence: Evidence, stated: StatedEffect | None) -> Rung:
    effect = evidence.effect
    observed = effect.shift if effect else None
    if effect is None or stated is None:
        return Rung("unknown", "there is no effect to refute")
    if evidence.interventions:
        return _agrees(evidence, effect.treated or "", observed)
    if effect.failed:
        return Rung("no", f"failed: {', '.join(effect.failed)}")
    if not effect.certain:
        return Rung("unknown", "no effect is certain that could be refuted")
    passed = sum(one.outcome == "passed" for one in effect.verdicts or ())
    return Rung("yes", f"withstood all {passed} attempts that the data allow")


def _agrees(evidence: Evidence, level: str, observed: Shift | None) -> Rung:
    """Whether setting the factor and adjusting for the others agree, where both say something of one level."""
    at_level = [one for one in evidence.interventions if one.level == level]
    if observed is None or not at_level:
        return Rung("unknown", "images as they are do not say what setting it should give")
    made = at_level[0].accuracy
    gap = made.value - observed.value
    error = math.hypot(*((one.high - one.low) / (2 * Z) for one in (made, observed)))
    p_value = float(2 * ndtr(-abs(gap) / error)) if error > 0 else float(gap == 0)
    told = (
        f"set to {level!r} accuracy moves by {_points(made)} points, as estimated from images as they are "
        f"by {_points(observed)}"
    )
    return Rung("no" if p_value < CONTRADICTION else "yes", told)


def _points(shift: Shift | Estimate) -> str:
    return f"{100 * shift.value:+.0f}".replace("-", "\N{MINUS SIGN}")


def _light(rungs: Mapping[str, Rung], stated: StatedEffect | None, *, own: bool) -> Light:
    if (
        stated
        and not own
        and stated.certain
        and rungs["survives"].answer != "no"
        and abs(stated.value) > NEGLIGIBLE_SHARE
    ):
        return "red"
    if stated and max(abs(stated.low), abs(stated.high)) <= NEGLIGIBLE_SHARE and rungs["used"].answer != "yes":
        return "green"
    if rungs["used"].answer == "no":
        return "green"
    misleading = rungs["decodable"].answer == rungs["confounded"].answer == "yes"
    return "amber" if misleading or rungs["used"].answer == "yes" or (stated and stated.certain) else "unknown"


def _sentence(rungs: Mapping[str, Rung], stated: StatedEffect | None, light: Light) -> str:
    if stated is None:
        refused = rungs["identified"]
        return f"What it does to the answers is not known: {refused.reason}"
    shift = Estimate(stated.value, stated.low, stated.high)
    said = difference(shift, unit="points", scale=100)
    claim = f"At {stated.level!r} accuracy is {said} than at {stated.reference!r}, {HOW[stated.how]}"
    if stated.certain and rungs["survives"].answer == "no":
        return f"{claim}; but that is contradicted: {rungs['survives'].reason}."
    if stated.certain:
        return f"{claim}."
    return f"{claim}: nothing certain." if light != "green" else f"{claim}: it makes no difference that matters."
