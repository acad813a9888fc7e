"""A small algebra of observed distributions: conditional probabilities, their products, sums and quotients.

Expressions are built by `product`, `summed` and `quotient`, which simplify by three rules alone: the chain rule
P(a | b) P(c | a, b) = P(a, c | b), what a sum does not involve stands before it, and a distribution sums to one.

A sum binds its variables: in P(S | X) sum_{X} P(Y | X, S) P(X) the first X is another than the second.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

Names = frozenset[str]


@dataclass(frozen=True)
class Probability:
    """P(variables | given) in the observed distribution.

    Attributes:
        variables: at least one.
        given: none of the variables.

    Example:
        >>> sorted(Probability(("Y",), ("X",)).free)
        ['X', 'Y']
    """

    variables: tuple[str, ...]
    given: tuple[str, ...] = ()

    @cached_property
    def free(self) -> Names:
        """The variables that its value depends on."""
        return Names(self.variables + self.given)

    @property
    def names(self) -> Names:
        """Every variable in it, bound ones too."""
        return self.free


@dataclass(frozen=True)
class Product:
    """A product of `factors`, none of them a product; an empty one is 1.

    Example:
        >>> sorted(Product((Probability(("Y",), ("X",)), Probability(("C",)))).free)
        ['C', 'X', 'Y']
    """

    factors: "tuple[Probability | Sum | Quotient, ...]"

    @cached_property
    def free(self) -> Names:
        """The variables that its value depends on."""
        return Names().union(*(factor.free for factor in self.factors))

    @cached_property
    def names(self) -> Names:
        """Every variable in it, bound ones too."""
        return Names().union(*(factor.names for factor in self.factors))


@dataclass(frozen=True)
class Sum:
    """The sum of `term` over all values of the variables `over`, on each of which the term depends.

    Example:
        >>> sorted(Sum(("C",), Product((Probability(("Y",), ("X", "C")), Probability(("C",))))).free)
        ['X', 'Y']
    """

    over: tuple[str, ...]
    term: "Expression"

    @cached_property
    def free(self) -> Names:
        """The variables that its value depends on."""
        return self.term.free - set(self.over)

    @property
    def names(self) -> Names:
        """Every variable in it, bound ones too."""
        return self.term.names


@dataclass(frozen=True)
class Quotient:
    """`numerator` over `denominator`.

    Example:
        >>> sorted(Quotient(Probability(("X", "Y")), Probability(("X",))).free)
        ['X', 'Y']
    """

    numerator: "Expression"
    denominator: "Expression"

    @cached_property
    def free(self) -> Names:
        """The variables that its value depends on."""
        return self.numerator.free | self.denominator.free

    @cached_property
    def names(self) -> Names:
        """Every variable in it, bound ones too."""
        return self.numerator.names | self.denominator.names


Factor = Probability | Sum | Quotient
Expression = Factor | Product
"""What `notation` prints and `evaluation` computes."""


def product(expressions: Iterable[Expression]) -> Expression:
    """Multiply, join what the chain rule joins, and cancel numerators against equal denominators.

    Example:
        >>> product([Probability(("C",)), Probability(("X",), ("C",))])
        Probability(variables=('C', 'X'), given=())
    """
    return _product(_chained(_cancelled([factor for each in expressions for factor in _factors(each)]), Names()))


def summed(over: Iterable[str], expression: Expression) -> Expression:
    """Sum over variables, each of which is a value of some distribution in the expression.

    Example:
        >>> joint = product([Probability(("C",)), Probability(("X",), ("C",)), Probability(("Y",), ("C", "X"))])
        >>> summed(["C"], joint)
        Probability(variables=('X', 'Y'), given=())
        >>> summed(["C"], Product((Probability(("C",)), Probability(("Y",), ("X",)))))
        Probability(variables=('Y',), given=('X',))
    """
    wanted, factors = dict.fromkeys(name for name in over if name in expression.free), _factors(expression)
    while True:
        factors = _chained(factors, frozenset(wanted))
        simpler = {name: rest for name in wanted if (rest := _marginal(name, factors)) is not None}
        if not simpler:
            break
        name, factors = simpler.popitem()
        del wanted[name]
    parts: list[Expression] = [factor for factor in factors if factor.free.isdisjoint(wanted)]
    inner = [factor for factor in factors if not factor.free.isdisjoint(wanted)]
    for block in _blocks(inner, frozenset(wanted)):
        term = _product(block)
        parts.append(Sum(tuple(name for name in wanted if name in term.free), term))
    return product(parts)


def quotient(numerator: Expression, denominator: Expression) -> Expression:
    """Divide; equal factors cancel, and P(a, b | c) / P(a | c) is P(b | a, c).

    Example:
        >>> quotient(Probability(("X", "Y"), ("C",)), Probability(("X",), ("C",)))
        Probability(variables=('Y',), given=('C', 'X'))
    """
    above, below = _factors(numerator), list[Factor]()
    for factor in _factors(denominator):
        if factor in above:
            above.remove(factor)
        else:
            below.append(factor)
    match above, below:
        case [Probability() as joint], [Probability() as part] if set(part.variables) < set(joint.variables) and (
            set(part.given) == set(joint.given)
        ):
            rest = tuple(name for name in joint.variables if name not in part.variables)
            return Probability(rest, joint.given + part.variables)
        case _, []:
            return _product(above)
        case _:
            return Quotient(_product(above), _product(below))


def _factors(expression: Expression) -> list[Factor]:
    return list(expression.factors) if isinstance(expression, Product) else [expression]


def _product(factors: Sequence[Factor]) -> Expression:
    return factors[0] if len(factors) == 1 else Product(tuple(factors))


def _cancelled(factors: list[Factor]) -> list[Factor]:
    """Strike out what is below one factor and in or above another, as in the quotients of a district's nodes."""
    for place, one in enumerate(factors):
        for other_place, other in enumerate(factors):
            if place == other_place or not isinstance(one, Quotient):
                continue
            above = _factors(other.numerator if isinstance(other, Quotient) else other)
            below = _factors(one.denominator)
            shared = next((factor for factor in below if factor in above), None)
            if shared is None:
                continue
            above.remove(shared)
            below.remove(shared)
            new = {place: quotient(one.numerator, _product(below)), other_place: _product(above)}
            if isinstance(other, Quotient):
                new[other_place] = quotient(new[other_place], other.denominator)
            return _cancelled([f for at, old in enumerate(factors) for f in _factors(new.get(at, old))])
    return factors


def _chained(factors: Sequence[Factor], over: Names) -> list[Factor]:
    """P(a | b) P(c | a, b) = P(a, c | b), unless a sum over `over` involves only one of the two."""
    joined = list(factors)
    for place, later in enumerate(joined):
        for other_place, earlier in enumerate(joined):
            if (
                isinstance(later, Probability)
                and isinstance(earlier, Probability)
                and frozenset(later.given) == earlier.free
                and later.free.isdisjoint(over) == earlier.free.isdisjoint(over)
            ):
                joined[place] = Probability(earlier.variables + later.variables, earlier.given)
                del joined[other_place]
                return _chained(joined, over)
    return joined


def _marginal(name: str, factors: Sequence[Factor]) -> list[Factor] | None:
    """The factors summed over `name`, if it is in one factor alone that is a distribution of it or a sum."""
    first, *others = (place for place, factor in enumerate(factors) if name in factor.free)
    match factors[first]:
        case Probability() as found if not others and name in found.variables:
            rest = tuple(other for other in found.variables if other != name)
            simpler: Expression = Probability(rest, found.given) if rest else Product(())
        case Sum() as found if not others:
            simpler = summed([*found.over, name], found.term)
        case _:
            return None
    return [*factors[:first], *_factors(simpler), *factors[first + 1 :]]


def _blocks(factors: Sequence[Factor], over: Set[str]) -> list[list[Factor]]:
    """The factors in groups that no variable of `over` joins."""
    groups: list[tuple[Set[str], list[int]]] = []
    for place, factor in enumerate(factors):
        met = [group for group in groups if group[0] & factor.free & over]
        groups = [group for group in groups if group not in met]
        groups.append((factor.free.union(*(names for names, _ in met)), sum((own for _, own in met), [place])))
    return [[factors[place] for place in sorted(own)] for _, own in groups]


def probabilities(expression: Expression) -> Iterator[Probability]:
    """Every conditional or other probability in an expression, once.

    Example:
        >>> total = Sum(("C",), Product((Probability(("C",)), Probability(("Y",), ("C", "X")))))
        >>> [each.variables for each in probabilities(total)]
        [('C',), ('Y',)]
    """
    stack, met = [expression], dict[Probability, None]()
    while stack:
        match stack.pop():
            case Probability() as found:
                met[found] = None
            case Product() as found:
                stack += reversed(found.factors)
            case Sum() as found:
                stack.append(found.term)
            case Quotient() as found:
                stack += [found.denominator, found.numerator]
    yield from met
