"""The criteria by name, and what the records and formulas of all estimands have in common."""

from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol, runtime_checkable

from causalvlm.graphs.latex import latex_name

Door = Literal["back-door", "front-door", "general", "instrument", "mediation"]
"""The criterion or algorithm by which an effect is identified."""

Strategy = Literal["any", "back-door", "front-door", "general", "instrument"]
"""Which criterion or algorithm is asked for; "any" tries the first three in this order."""


@runtime_checkable
class Written(Protocol):
    """An estimand as its record sees it."""

    strategy: ClassVar[Door]

    def text(self) -> str:
        """Plain text."""
        ...

    def latex(self) -> str:
        """LaTeX math."""
        ...

    def assumptions(self) -> tuple[str, ...]:
        """What must hold in the world."""
        ...


def record(estimand: Written, adjustment: Sequence[str], covariates: Sequence[str]) -> dict[str, object]:
    """What a JSON file says of an estimand; `adjustment` is what its strategy needs, `covariates` what it holds fixed.

    Example:
        >>> from causalvlm.identification.estimands import BackDoor
        >>> list(record(BackDoor("X", "Y", ()), (), ()))
        ['strategy', 'adjustment', 'covariates', 'functional', 'latex', 'reason']
    """
    return {
        "strategy": estimand.strategy,
        "adjustment": list(adjustment),
        "covariates": list(covariates),
        "functional": estimand.text(),
        "latex": estimand.latex(),
        "reason": "; ".join(estimand.assumptions()),
    }


def shown(estimand: Written) -> str:
    r"""What notebooks show: the formula, set by MathJax.

    Example:
        >>> from causalvlm.identification.estimands import BackDoor
        >>> print(shown(BackDoor("X", "Y", ())))
        $P(Y \mid \mathrm{do}(X)) = P(Y \mid X)$
    """
    return f"${estimand.latex()}$"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    Example:
        >>> listed(("A", "B", "C"))
        'A, B and C'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def latex_names(names: Sequence[str]) -> str:
    """Names in a formula.

    Example:
        >>> latex_names(("A", "G_i"))
        'A, G_{i}'
    """
    return ", ".join(latex_name(name) for name in names)
