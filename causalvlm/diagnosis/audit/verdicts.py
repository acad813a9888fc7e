"""Verdicts of an audit: "valid", "violated" or "cannot tell", settled together so that a false alarm has one rate."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeVar

from causalvlm.intervals import Shift
from causalvlm.multiplicity import FALSE_ALARM_RATE, holm

Verdict = Literal["valid", "violated", "cannot tell"]

MEANING: Mapping[Verdict, str] = {
    "violated": "the p-value, corrected for all tests of the audit (Holm 1979), is below 5 %",
    "valid": (
        "the 95 % interval lies within what is negligible, and a violation of twice that size, planted in these "
        "images, was found"
    ),
    "cannot tell": "neither",
}
"""What each verdict means, wherever it is the verdict of a test; overlap has limits of its own."""

NEGLIGIBLE_BITS = 0.05
"""Below so many bits a path is negligible: two levels whose means are half a standard deviation apart. [ours]"""

NEGLIGIBLE_SHIFT = 0.2
"""Below so many standard deviations a movement is negligible: a small effect (Cohen, 1988, section 2.2.3)."""


@dataclass(frozen=True)
class Finding:
    """What one question of an audit found.

    Attributes:
        verdict: see `MEANING`.
        value: the number that was asked for, in `unit`; None if nothing could be measured, as are its ends.
        low: lower end of its 95 per cent interval, of this number alone.
        high: upper end.
        p_value: corrected for all tests of the audit; None where the verdict follows limits instead.
        unit: of the value.
        measured: what the value is.
        reason: why this verdict.

    Example:
        >>> Finding("valid", 0.0, -0.01, 0.02, 1.0, "bits", "what X says beyond S", "nothing was found").verdict
        'valid'
    """

    verdict: Verdict
    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    unit: str
    measured: str
    reason: str

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Measured:
    """A number that awaits its verdict, which depends on the others that are settled with it.

    Attributes:
        shift: value, interval and p-value of "nothing"; None if nothing could be measured.
        negligible: what the whole interval must stay below to count as nothing.
        unit: of both.
        measured: what the number is.
        harm: what a violation means, in a sentence.
        fine: what it means that nothing is there, in a sentence.
        unknown: why nothing could be measured, or what to do if the data do not tell.
        sensitive: whether a violation of twice the negligible size would have been seen.
        provable: whether what is certain must be a violation; where it may be something else too, nobody can tell.
    """

    shift: Shift | None
    negligible: float
    unit: str
    measured: str
    harm: str
    fine: str
    unknown: str
    sensitive: bool = True
    provable: bool = True


Key = tuple[str | int, ...]
"""Where a number stands in an audit, such as ``("leaks", "background", "template", 2)``."""


def settle(measured: Mapping[Key, Measured]) -> dict[Key, Finding]:
    """Give all numbers of an audit their verdicts, together.

    Example:
        >>> def bits(value, p_value):
        ...     shift = Shift(value, value - 0.02, value + 0.02, p_value)
        ...     return Measured(shift, 0.05, "bits", "bits", "A path is open.", "No path.", "More images would tell.")
        >>> found = settle({("one",): bits(0.3, 1e-9), ("two",): bits(0.0, 0.5), ("three",): bits(0.04, 0.03)})
        >>> [finding.verdict for finding in found.values()]
        ['violated', 'valid', 'cannot tell']
    """
    adjusted = holm({key: one.shift.p_value for key, one in measured.items() if one.shift is not None})
    return {key: _decided(one, adjusted.get(key)) for key, one in measured.items()}


def _decided(one: Measured, p_value: float | None) -> Finding:
    shift = one.shift
    if shift is None or p_value is None:
        return Finding("cannot tell", None, None, None, None, one.unit, one.measured, one.unknown)
    verdict, reason = _judged(one, shift, p_value)
    return Finding(verdict, shift.value, shift.low, shift.high, p_value, one.unit, one.measured, reason)


def _judged(one: Measured, shift: Shift, p_value: float) -> tuple[Verdict, str]:
    if p_value < FALSE_ALARM_RATE and not one.provable:
        return "cannot tell", one.harm
    if p_value < FALSE_ALARM_RATE:
        little = f" It is little: less than {one.negligible:g} {one.unit}." if shift.high < one.negligible else ""
        return "violated", one.harm + little
    if shift.high >= one.negligible:
        return "cannot tell", (
            f"The interval reaches to {shift.high:.2g} {one.unit}, where below {one.negligible:g} would be negligible, "
            f"and nothing is certain. {one.unknown}"
        )
    if not one.sensitive:
        return "cannot tell", (
            f"Nothing was found, but {2 * one.negligible:g} {one.unit} planted in these images were not found either. "
            f"{one.unknown}"
        )
    return "valid", one.fine


Item = TypeVar("Item")


def weakest(shifts: Sequence[tuple[Item, Shift]]) -> tuple[Item, Shift]:
    """The link for which there is least evidence: a chain is certain only if each of its links is.

    Its p-value is that of the chain (Berger, Technometrics 1982: intersection-union test).

    Args:
        shifts: the links with their names; the first of equals is taken.

    Example:
        >>> weakest([("a", Shift(1.0, 0.5, 1.5, 0.01)), ("b", Shift(0.1, -0.5, 0.7, 0.4))])[0]
        'b'
    """
    return max(shifts, key=lambda link: link[1].p_value)
