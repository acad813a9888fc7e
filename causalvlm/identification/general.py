"""The complete algorithm: what it does not identify, no function of the observed distribution is.

P(y | do(x)) = sum_{D without y} prod_i Q[D_i], where D are the ancestors of the outcome once the treatment is taken
out, and D_i their districts, the nodes that hidden causes join (Tian, Pearl, "A general identification condition for
causal effects", AAAI 2002). Q[D_i], the distribution of D_i when all else is set, is sought from the observed
distribution by two moves in turn: leave out what causes none of D_i, and keep the district of D_i. Where neither move
leaves out more, the nodes that are left and D_i are a hedge, and the effect is not identified (Shpitser, Pearl,
"Identification of joint interventional distributions in recursive semi-Markovian causal models", AAAI 2006). Both moves
are fixings in the sense of Richardson, Evans, Robins, Shpitser, "Nested Markov properties for acyclic directed mixed
graphs", Annals of Statistics 51, 2023.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from causalvlm.graphs.projection import Projection, project
from causalvlm.identification.adjustment import Names, Question
from causalvlm.identification.estimands import Functional
from causalvlm.identification.expressions import Expression, Probability, product, quotient, summed

Kernel = Mapping[str, Expression]
"""The distribution of a district when all else is set: of each node given those before it, causes first."""


@dataclass(frozen=True)
class Hedge:
    """Why an effect is not identified: two models agree on all that is observed, and not on the effect.

    Attributes:
        larger: nodes that hidden causes join, the treatment among them, all ancestors of the smaller set.
        smaller: those of them that hidden causes join without the treatment; ancestors of the outcome.

    Example:
        >>> from causalvlm.graphs.graph import CausalGraph
        >>> hedge = find_hedge(Question(CausalGraph("X -> Y; X <-> Y"), "X", "Y"))
        >>> sorted(hedge.larger), sorted(hedge.smaller)
        (['X', 'Y'], ['Y'])
    """

    larger: Names
    smaller: Names

    def __str__(self) -> str:
        """The hedge in words."""
        larger, smaller = (", ".join(sorted(nodes)) for nodes in (self.larger, self.smaller))
        return (
            f"hidden causes join {{{larger}}}, all of them ancestors of {{{smaller}}}, and these among themselves, so "
            "that two worlds which differ in the effect can look alike (a hedge)"
        )


@dataclass(frozen=True)
class _Move:
    """The ancestors of a district among the nodes that were left, and their district that holds it."""

    ancestors: Names
    district: Names


def find_hedge(question: Question) -> Hedge | None:
    """Find why the effect is not identified; None where it is.

    Raises:
        TooMuchEffortError: in a graph that is too large.

    Example:
        >>> from causalvlm.graphs.graph import CausalGraph
        >>> print(find_hedge(Question(CausalGraph("X -> S -> Y; X <-> Y"), "X", "Y")))
        None
    """
    projection = project(question.graph)
    everything = projection.ancestors({question.outcome}, set(projection.order))
    around = {node: nodes for nodes in projection.districts(everything) for node in nodes}
    for district in _targets(question, projection):
        if around[min(district)] != district:
            found = _moves(question, projection, district)
            if isinstance(found, Hedge):
                return found
    return None


def find_functional(question: Question) -> Functional:
    """Find the formula of an effect that no hedge keeps from being identified.

    Raises:
        ValueError: if there is a hedge.
        TooMuchEffortError: in a graph that is too large.

    Example:
        >>> from causalvlm.graphs.graph import CausalGraph
        >>> napkin = CausalGraph("W -> Z -> X -> Y; W <-> X; W <-> Y")
        >>> print(find_functional(Question(napkin, "X", "Y")).text())
        P(Y | do(X)) = [sum_{W} P(X, Y | W, Z) P(W)] / [sum_{W} P(X | W, Z) P(W)], for any Z
    """
    projection = project(question.graph)
    factors: dict[str, Expression] = {}
    for district in _targets(question, projection):
        moves = _moves(question, projection, district)
        if isinstance(moves, Hedge):
            raise ValueError(f"there must be no hedge; received a question with one: {moves}. Ask find_hedge first.")
        factors |= _kernel(question, projection, moves)
    ordered = [node for node in projection.order if node in factors]
    expression = summed(
        (node for node in ordered if node != question.outcome), product(factors[node] for node in ordered)
    )
    everything = projection.ancestors({question.outcome}, set(projection.order))
    groups = tuple(tuple(sorted(nodes)) for nodes in projection.districts(everything))
    return Functional(question.treatment, question.outcome, expression, groups)


def _targets(question: Question, projection: Projection) -> tuple[Names, ...]:
    """The districts whose distributions make up that of the outcome once the treatment is set."""
    question.effort.spend(question.graph)
    others = set(projection.order) - {question.treatment}
    return projection.districts(projection.ancestors({question.outcome}, others))


def _moves(question: Question, projection: Projection, district: Names) -> list[_Move] | Hedge:
    moves: list[_Move] = []
    left = frozenset(projection.order)
    while left != district:
        question.effort.spend(question.graph)
        ancestors = projection.ancestors(district, left)
        if ancestors == left and moves:
            return Hedge(left, district)
        left = projection.district(district, ancestors)
        moves.append(_Move(ancestors, left))
    return moves


def _kernel(question: Question, projection: Projection, moves: Sequence[_Move]) -> Kernel:
    """Follow the moves, from the observed distribution on."""
    kernel: Kernel = {}
    for place, move in enumerate(moves):
        question.effort.spend(question.graph)
        before = [node for node in projection.order if node in move.ancestors]
        if place == 0:
            kernel = {node: _given_district(projection, before, node) for node in before if node in move.district}
        else:
            gone = [node for node in kernel if node not in move.ancestors]
            kernel = {node: _conditional(kernel, node, gone) for node in kernel if node in move.district}
    return kernel


def _given_district(projection: Projection, before: Sequence[str], node: str) -> Probability:
    """P(node | all nodes before it), which depends on their part of its district and on the causes of both alone."""
    earlier = before[: before.index(node) + 1]
    district = projection.district({node}, set(earlier))
    needed = district.union(*(projection.causes[other] for other in district)) - {node}
    return Probability((node,), tuple(other for other in earlier if other in needed))


def _conditional(kernel: Kernel, node: str, gone: Sequence[str]) -> Expression:
    """The distribution of `node` given what comes before it, when the nodes `gone` are summed out of the kernel."""
    nodes = list(kernel)
    before = {other: kernel[other] for other in nodes[: nodes.index(node)]}
    over = frozenset(gone) & before.keys()
    linked, met = {node}, kernel[node].free & over
    while fresh := [other for other in before if other not in linked and kernel[other].free & met]:
        linked.update(fresh)
        met = met.union(*(kernel[other].free & over for other in fresh))
    if not met:
        return kernel[node]
    block = {other: kernel[other] for other in nodes if other in linked}
    numerator = _sum_out(met, block)
    del block[node]
    return quotient(numerator, _sum_out(met, block))


def _sum_out(over: Names, kernel: Kernel) -> Expression:
    """Sum over nodes, the last first: a distribution that nothing after it depends on sums to one."""
    left = dict(kernel)
    for node in reversed(list(kernel)):
        if node in over and not any(node in other.free for name, other in left.items() if name != node):
            del left[node]
    return summed((node for node in left if node in over), product(left.values()))
