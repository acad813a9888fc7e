"""Paths through a graph with directed and bidirected edges, and which of them are open.

A walk is open given a set Z when each of its colliders is in Z or has a descendant in Z and none of its
other inner nodes is in Z (Pearl, Causality 2009, definition 1.2.3; for bidirected edges Richardson 2003,
"Markov properties for acyclic directed mixed graphs", section 2.1, where it is called m-separation).
"""

from collections import deque
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Literal, NamedTuple

from causalvlm.graphs.text import quote

Arrow = Literal["->", "<-", "<->"]


class Link(NamedTuple):
    """One end of an edge, seen from the node that owns it: ``owner arrow other``."""

    arrow: Arrow
    other: str


Links = Mapping[str, tuple[Link, ...]]
"""The edges at each node."""


@dataclass(frozen=True)
class CausalPath:
    """A path: nodes, and the arrows between them.

    Attributes:
        nodes: the nodes in order, each once.
        arrows: one arrow fewer than nodes.

    Example:
        >>> str(CausalPath(("X", "G_i", "Y"), ("<-", "->")))
        'X <- G_i -> Y'
    """

    nodes: tuple[str, ...]
    arrows: tuple[Arrow, ...]

    def __str__(self) -> str:
        rest = (f" {arrow} {quote(node)}" for arrow, node in zip(self.arrows, self.nodes[1:], strict=True))
        return quote(self.nodes[0]) + "".join(rest)

    def is_open(self, given: Set[str], openers: Set[str]) -> bool:
        """Tell whether the path carries association once `given` is known; `openers` open colliders.

        Args:
            given: the nodes that are known.
            openers: `given` and its ancestors.

        Example:
            >>> collider = CausalPath(("X", "C", "Y"), ("->", "<-"))
            >>> collider.is_open(set(), set()), collider.is_open({"C"}, {"C"})
            (False, True)
        """
        return all(
            _passes(node, before != "<-", after, given, openers)
            for node, before, after in zip(self.nodes[1:-1], self.arrows, self.arrows[1:], strict=False)
        )


def _passes(node: str, arrived_by_head: bool, leaving: Arrow, given: Set[str], openers: Set[str]) -> bool:
    collider = arrived_by_head and leaving != "->"
    return node in openers if collider else node not in given


def shortest_open_path(
    links: Links, sources: Set[str], targets: Set[str], *, given: Set[str], openers: Set[str]
) -> CausalPath | None:
    """Find a shortest open path from any source to any target, in time linear in the edges.

    The search runs over (node, arrived by an arrowhead?). A shortest open walk visits no node twice: of two
    visits one can always be cut out, so what it returns is a path.

    Example:
        >>> links = {"X": (Link("->", "S"),), "S": (Link("<-", "X"), Link("->", "Y")), "Y": (Link("<-", "S"),)}
        >>> print(shortest_open_path(links, {"X"}, {"Y"}, given=set(), openers=set()))
        X -> S -> Y
        >>> print(shortest_open_path(links, {"X"}, {"Y"}, given={"S"}, openers={"S"}))
        None
    """
    came_from: dict[tuple[str, bool], tuple[tuple[str, bool], Arrow]] = {}
    for state, previous, arrow in _open_steps(links, sources, given, openers):
        came_from[state] = (previous, arrow)
        if state[0] in targets:
            return _trace(state, came_from)
    return None


def reachable(links: Links, sources: Set[str], *, given: Set[str], openers: Set[str]) -> set[str]:
    """List every node at the end of an open path from a source, sources left out.

    Example:
        >>> links = {"X": (Link("->", "S"),), "S": (Link("<-", "X"), Link("->", "Y")), "Y": (Link("<-", "S"),)}
        >>> sorted(reachable(links, {"X"}, given=set(), openers=set()))
        ['S', 'Y']
    """
    found = {state[0] for state, _, _ in _open_steps(links, sources, given, openers)}
    return found - sources - given


def _open_steps(
    links: Links, sources: Set[str], given: Set[str], openers: Set[str]
) -> Iterator[tuple[tuple[str, bool], tuple[str, bool], Arrow]]:
    """Walk breadth first; yield each new state with the state and the arrow it was reached by."""
    queue = deque((source, False) for source in sorted(sources))
    seen = set(queue)
    while queue:
        node, by_head = queue.popleft()
        for arrow, other in links[node]:
            state = (other, arrow != "<-")
            if state in seen or not _passes(node, by_head, arrow, given, openers):
                continue
            seen.add(state)
            yield state, (node, by_head), arrow
            queue.append(state)


def _trace(state: tuple[str, bool], came_from: Mapping[tuple[str, bool], tuple[tuple[str, bool], Arrow]]) -> CausalPath:
    nodes, arrows = [state[0]], list[Arrow]()
    while state in came_from:
        state, arrow = came_from[state]
        nodes.append(state[0])
        arrows.append(arrow)
    return CausalPath(tuple(reversed(nodes)), tuple(reversed(arrows)))


def all_paths(links: Links, source: str, target: str) -> Iterator[CausalPath]:
    """List every path between two nodes, open or not; there may be exponentially many.

    Example:
        >>> links = {"X": (Link("->", "S"),), "S": (Link("<-", "X"), Link("->", "Y")), "Y": (Link("<-", "S"),)}
        >>> [str(path) for path in all_paths(links, "X", "Y")]
        ['X -> S -> Y']
    """
    stack: list[CausalPath] = [CausalPath((source,), ())]
    while stack:
        path = stack.pop()
        if path.nodes[-1] == target:
            yield path
            continue
        for arrow, other in reversed(links[path.nodes[-1]]):
            if other not in path.nodes:
                stack.append(CausalPath((*path.nodes, other), (*path.arrows, arrow)))
