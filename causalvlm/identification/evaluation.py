"""The value of an expression in a distribution that is known as a table."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Inexact

from causalvlm.identification.expressions import Expression, Probability, Product, Quotient, Sum

Table = Inexact[np.ndarray, "..."]


def evaluate(
    expression: Expression,
    joint: Table,
    names: Sequence[str],
    *,
    instead: Mapping[Probability, Table] | None = None,
) -> Table:
    """Compute an expression for all values of its variables at once.

    A conditional probability given what never occurs is not a number. It spoils what it enters, unless a probability of
    zero stands before it: what has no weight is not needed.

    Args:
        expression: names variables of the table alone.
        joint: probabilities or counts, the last axes those of `names`; axes before them are further distributions.
        names: the variables, one for each of the last axes of `joint`.
        instead: values of some probabilities, in place of those that the table gives them.

    Returns:
        An array with the axes of `joint`; of length one for the variables that the expression does not depend on.

    Example:
        >>> counts = np.array([[30.0, 10.0], [20.0, 40.0]])
        >>> evaluate(Probability(("Y",), ("X",)), counts, ["X", "Y"])[1].round(3)
        array([0.333, 0.667])
    """
    axes = {name: place - len(names) for place, name in enumerate(names)}
    known: dict[int, Table] = {}  # a part may stand in many places

    def total(kept: Sequence[str]) -> Table:
        return joint.sum(tuple(axes[name] for name in names if name not in kept), keepdims=True)

    def value(part: Expression) -> Table:
        if id(part) not in known:
            known[id(part)] = fresh(part)
        return known[id(part)]

    def fresh(part: Expression) -> Table:
        match part:
            case Probability():
                if instead and part in instead:
                    return instead[part]
                return _over(total(part.variables + part.given), total(part.given))
            case Product():
                return functools.reduce(_times, map(value, part.factors), np.ones((1,) * joint.ndim))
            case Sum():
                return value(part.term).sum(tuple(axes[name] for name in part.over), keepdims=True)
            case Quotient():
                return _over(value(part.numerator), value(part.denominator))

    return value(expression)


def _times(one: Table, other: Table) -> Table:
    return np.where((one == 0) | (other == 0), 0.0, one * other)


def _over(one: Table, other: Table) -> Table:
    undefined = np.full(np.broadcast_shapes(one.shape, other.shape), np.nan, dtype=one.dtype)
    return np.divide(one, other, out=undefined, where=other != 0)
