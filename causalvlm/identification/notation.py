"""Expressions of observed distributions as people write them, in plain text and in LaTeX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from causalvlm.graphs.latex import latex_name
from causalvlm.identification.expressions import Expression, Probability, Product, Quotient, Sum


@dataclass(frozen=True)
class Notation:
    """How the parts of an expression are set.

    Attributes:
        latex: in LaTeX math, or else in plain text.

    Example:
        >>> TEXT.write(Quotient(Probability(("X", "Y")), Probability(("X",))), visible=["X", "Y"])
        'P(X, Y) / P(X)'
    """

    latex: bool

    def write(self, expression: Expression, *, visible: Sequence[str]) -> str:
        """Set an expression; a bound variable is primed where its name stands for another one of `visible` already.

        Example:
            >>> total = Sum(("X",), Product((Probability(("X",)), Probability(("Y",), ("X",)))))
            >>> TEXT.write(total, visible=["X"]), TEXT.write(total, visible=[])
            ("sum_{X'} P(Y | X') P(X')", 'sum_{X} P(Y | X) P(X)')
        """
        names = dict.fromkeys([*visible, *sorted(expression.free)])
        return self._write(expression, {name: self._name(name) for name in names})

    def _name(self, name: str) -> str:
        return latex_name(name) if self.latex else name

    def _write(self, expression: Expression, names: Mapping[str, str]) -> str:
        match expression:
            case Probability():
                variables, given = (
                    ", ".join(names[name] for name in each) for each in (expression.variables, expression.given)
                )
                bar = r" \mid " if self.latex else " | "
                return f"P({variables}{bar}{given})" if given else f"P({variables})"
            case Product(factors=()):
                return "1"
            case Product():
                # effects before causes, and sums last, as each reaches to the end
                factors = expression.factors[::-1]
                sums = [factor for factor in factors if isinstance(factor, Sum)]
                *before, last = [*(factor for factor in factors if not isinstance(factor, Sum)), *sums]
                end = self._write(last, names) if sums else self._enclosed(last, names)
                return (r"\, " if self.latex else " ").join(
                    [*(self._enclosed(factor, names) for factor in before), end]
                )
            case Sum():
                inner = dict(names)
                for name in expression.over:
                    inner[name] = self._unused(name, names)
                sign = (r"\sum_{" if self.latex else "sum_{") + ", ".join(inner[name] for name in expression.over) + "}"
                return f"{sign} {self._write(expression.term, inner)}"
            case Quotient():
                above, below = (self._write(each, names) for each in (expression.numerator, expression.denominator))
                if self.latex:
                    return rf"\frac{{{above}}}{{{below}}}"
                above, below = (
                    text if isinstance(each, Probability) or text == "1" else f"[{text}]"
                    for each, text in ((expression.numerator, above), (expression.denominator, below))
                )
                return f"{above} / {below}"

    def _unused(self, name: str, names: Mapping[str, str]) -> str:
        found = self._name(name)
        while found in names.values():
            found += "'"
        return found

    def _enclosed(self, factor: Expression, names: Mapping[str, str]) -> str:
        text = self._write(factor, names)
        if isinstance(factor, Probability) or (self.latex and isinstance(factor, Quotient)):
            return text
        return rf"\left({text}\right)" if self.latex else f"({text})"


TEXT, LATEX = Notation(latex=False), Notation(latex=True)
"""The two ways."""
