"""What a fit found when it held its own models beside richer ones: a p-value each, and a warning where it is clear."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """A test that a model leaves nothing that a richer one could predict.

    Attributes:
        model: which model, or which assumption of it.
        p_value: of what is left, if it leaves nothing.
        warning: a sentence or two where something is left; empty where not.

    Example:
        >>> Check("model of the outcome", 0.4, "").p_value
        0.4
    """

    model: str
    p_value: float
    warning: str


Note = str | Check
"""What a reader of a fit's numbers must know: a sentence, or the result of a check."""


def warnings_in(notes: Sequence[Note]) -> tuple[str, ...]:
    """The sentences, and those of the checks that have something to say.

    Example:
        >>> warnings_in(["few rows.", Check("propensity", 0.4, "")])
        ('few rows.',)
    """
    said = [note.warning if isinstance(note, Check) else note for note in notes]
    return tuple(sentence for sentence in said if sentence)


def checks_in(notes: Sequence[Note]) -> tuple[Check, ...]:
    """The checks.

    Example:
        >>> len(checks_in(["few rows.", Check("propensity", 0.4, "")]))
        1
    """
    return tuple(note for note in notes if isinstance(note, Check))
