"""What a causal graph says of its observed nodes alone: who causes whom, and who shares hidden causes."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property

from causalvlm.graphs.graph import CausalGraph

Names = frozenset[str]


@dataclass(frozen=True)
class Projection:
    """The latent projection of a graph (Verma, Pearl, "Equivalence and synthesis of causal models", UAI 1990).

    Attributes:
        order: the observed nodes, causes before effects.
        causes: of each node the observed nodes that cause it, directly or through latent nodes alone.
        shared: of each hidden cause the observed nodes that it causes in that way, where they are two or more.

    Example:
        >>> projection = project(CausalGraph("X -> M -> Y; U -> {X Y}; latent M U"))
        >>> projection.order, projection.causes["Y"]
        (('X', 'Y'), frozenset({'X'}))
        >>> [sorted(nodes) for nodes in projection.shared]
        [['X', 'Y']]
    """

    order: tuple[str, ...]
    causes: Mapping[str, Names]
    shared: tuple[Names, ...]

    @cached_property
    def _ties(self) -> Mapping[str, list[Names]]:
        ties: dict[str, list[Names]] = {node: [] for node in self.order}
        for nodes in self.shared:
            for node in nodes:
                ties[node].append(nodes)
        return ties

    def ancestors(self, nodes: Set[str], within: Set[str]) -> Names:
        """The causes of `nodes` in the graph of the nodes `within`, direct or not; the nodes themselves among them.

        Example:
            >>> chain = project(CausalGraph("A -> B -> C"))
            >>> sorted(chain.ancestors({"C"}, {"A", "B", "C"})), sorted(chain.ancestors({"C"}, {"A", "C"}))
            (['A', 'B', 'C'], ['C'])
        """
        found = set(nodes)
        stack = list(found)
        while stack:
            fresh = (self.causes[stack.pop()] & within) - found
            found |= fresh
            stack.extend(fresh)
        return frozenset(found)

    def district(self, nodes: Set[str], within: Set[str]) -> Names:
        """The nodes `within` that hidden causes join to `nodes`, one to the next: their c-component (Tian, Pearl 2002).

        Example:
            >>> chain = project(CausalGraph("A -> D; A <-> B <-> C"))
            >>> sorted(chain.district({"A"}, set("ABCD"))), sorted(chain.district({"A"}, set("ACD")))
            (['A', 'B', 'C'], ['A'])
        """
        found = set(nodes)
        stack, met = list(found), set[int]()
        while stack:
            for group in self._ties[stack.pop()]:
                if id(group) not in met:
                    met.add(id(group))
                    fresh = (group & within) - found
                    found |= fresh
                    stack.extend(fresh)
        return frozenset(found)

    def districts(self, within: Set[str]) -> tuple[Names, ...]:
        """The nodes `within` in their districts, in the order of their first nodes.

        Example:
            >>> [sorted(nodes) for nodes in project(CausalGraph("A -> B -> C; A <-> C")).districts(set("ABC"))]
            [['A', 'C'], ['B']]
        """
        found: list[Names] = []
        placed: set[str] = set()
        for node in self.order:
            if node in within and node not in placed:
                found.append(self.district({node}, within))
                placed |= found[-1]
        return tuple(found)


def project(graph: CausalGraph) -> Projection:
    """Leave the latent nodes out of `graph`.

    Example:
        >>> [sorted(nodes) for nodes in project(CausalGraph("U -> V -> {X Y}; U <-> Z; latent U V")).shared]
        [['X', 'Y', 'Z'], ['X', 'Y']]
    """
    reached = {node: frozenset([node]) for node in graph.observed}
    causes: dict[str, Names] = {}
    for node in graph.topological_order:
        direct = (other for arrow, other in graph.links[node] if arrow == "<-")
        causes[node] = Names().union(*(causes[other] if other in graph.latent else {other} for other in direct))
    for node in reversed(graph.topological_order):
        if node in graph.latent:
            effects = (other for arrow, other in graph.links[node] if arrow == "->")
            reached[node] = Names().union(*(reached[other] for other in effects))
    hidden = [reached[left] | reached[right] for left, right in graph.bidirected]
    hidden += [reached[node] for node in graph.topological_order if node in graph.latent]
    return Projection(
        tuple(node for node in graph.topological_order if node not in graph.latent),
        {node: causes[node] for node in graph.observed},
        tuple(nodes for nodes in dict.fromkeys(hidden) if len(nodes) > 1),
    )
