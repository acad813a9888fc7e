"""Verdicts: what one attempt to refute an effect found, and the limits that every judge applies."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from causalvlm.markup import html_table

if TYPE_CHECKING:
    import pandas as pd

LARGEST_SCORE = 3.0
"""A refuter fails beyond three standard errors: a false alarm in 370 tests of an innocent effect."""

FALSE_ALARM_RATE = 0.0027
"""The same, as a probability: every p-value below it fails."""

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

    Example:
        >>> Verdict("overlap", "passed", 0.4, "effective rows 40 %").passed
        True
    """

    name: str
    outcome: Outcome
    statistic: float | None
    reason: str

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
        return {"name": self.name, "outcome": self.outcome, "statistic": self.statistic, "reason": self.reason}


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
            ['name', 'outcome', 'statistic', 'reason']
        """
        import pandas as pd

        columns = ["name", "outcome", "statistic", "reason"]
        return pd.DataFrame([verdict.to_record() for verdict in self], columns=columns)
