"""Verdicts: what one attempt to refute an effect found, and the limits that every judge applies."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Literal

from scipy.special import ndtr

from causalvlm.markup import html_table
from causalvlm.multiplicity import holm

if TYPE_CHECKING:
    import pandas as pd

FALSE_ALARM_RATE = 0.01
"""That any test of a whole call of `refute` fails an innocent effect, whatever the number of tests."""

UNDERSTATED = 1.1
"""Standard errors may be a tenth too small before a test takes note: they are estimates from one table."""

WEAKEST_ROBUSTNESS = 0.02
"""An effect is fragile if a latent cause of 2 per cent of the residual variance at both ends could make it zero."""

Outcome = Literal["passed", "failed", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """What one attempt to refute an effect found.

    Attributes:
        name: which attempt.
        outcome: "passed", "failed", or "inconclusive" where the data cannot tell.
        statistic: the number that decided, in the unit that `reason` names; None if nothing could be computed.
        reason: one or two sentences with the numbers.
        p_value: where the attempt is a test, its p-value times what it costs to make all tests of the call together
            (Holm 1979): below `FALSE_ALARM_RATE` it failed. None for the others.

    Example:
        >>> Verdict("overlap", "passed", 0.4, "effective rows 40 %").passed
        True
    """

    name: str
    outcome: Outcome
    statistic: float | None
    reason: str
    p_value: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the effect withstood."""
        return self.outcome == "passed"

    def to_record(self) -> dict[str, object]:
        """Plain data for JSON.

        Example:
            >>> Verdict("overlap", "passed", 0.4, "effective rows 40 %").to_record()["outcome"]
            'passed'
        """
        return asdict(self)


class Verdicts(tuple[Verdict, ...]):
    """What all attempts found: a tuple of verdicts that people can read.

    Example:
        >>> Verdicts([Verdict("overlap", "passed", 0.4, "effective rows 40 %")])
        passed  overlap: effective rows 40 %
    """

    __slots__ = ()

    def __repr__(self) -> str:
        width = max((len(verdict.outcome) for verdict in self), default=0)
        return "\n".join(f"{one.outcome:{width}}  {one.name}: {one.reason}" for one in self) or "Verdicts()"

    def _repr_html_(self) -> str:
        rows = [(verdict.outcome, verdict.name, verdict.reason) for verdict in self]
        return html_table(rows, header=("outcome", "attempt", "what it found"))

    def to_frame(self) -> "pd.DataFrame":
        """The verdicts as a table, a row each.

        Example:
            >>> Verdicts([Verdict("overlap", "passed", 0.4, "effective rows 40 %")]).to_frame().columns.tolist()
            ['name', 'outcome', 'statistic', 'reason', 'p_value']
        """
        import pandas as pd

        columns = [field.name for field in fields(Verdict)]
        return pd.DataFrame([verdict.to_record() for verdict in self], columns=columns)


@dataclass(frozen=True)
class Trial:
    """A test that was made; whether it fails depends on the others that are made with it.

    Attributes:
        name: which attempt.
        statistic: the number that decided.
        p_value: of that number if nothing is wrong.
        reason: a sentence with the numbers, without its full stop.
        charge: how the sentence goes on if it fails.

    Example:
        >>> Trial("subset", 0.4, 0.7, "halves differ by 0.40 standard errors", "they disagree").p_value
        0.7
    """

    name: str
    statistic: float
    p_value: float
    reason: str
    charge: str


Found = Verdict | Trial
"""What a judge returns: a test awaits the others."""


def settle(found: Sequence[Found]) -> Verdicts:
    """Decide all tests of a call together, so that a false alarm in any of them has one rate.

    Example:
        >>> tests = [Trial("one", 3.0, 0.003, "a", "b"), Trial("two", 0.0, 1.0, "a", "b")]
        >>> [(verdict.outcome, verdict.reason) for verdict in settle(tests)]
        [('failed', 'a: b.'), ('passed', 'a.')]
    """
    adjusted = holm({place: one.p_value for place, one in enumerate(found) if isinstance(one, Trial)})
    return Verdicts(
        _decided(one, adjusted[place]) if isinstance(one, Trial) else one for place, one in enumerate(found)
    )


def _decided(trial: Trial, p_value: float) -> Verdict:
    if p_value < FALSE_ALARM_RATE:
        return Verdict(trial.name, "failed", trial.statistic, f"{trial.reason}: {trial.charge}.", p_value)
    return Verdict(trial.name, "passed", trial.statistic, f"{trial.reason}.", p_value)


def p_of_score(score: float) -> float:
    """Two-sided p-value of a score that is normal if nothing is wrong, its standard error perhaps a little too small.

    Example:
        >>> round(p_of_score(1.96 * UNDERSTATED), 3)
        0.05
    """
    return float(2 * ndtr(-abs(score) / UNDERSTATED))
