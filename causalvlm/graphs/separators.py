"""Smallest separating sets: the moral graph of a causal graph, and vertex cuts by maximum flow."""

from collections.abc import Iterable, Mapping, Set

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from causalvlm.graphs.graph import CausalGraph

Node = str | tuple[str, ...]
"""A node of a moral graph: a name, the pair that a bidirected edge joins, or ``(name,)``, the family of a node."""


def moral_graph(graph: CausalGraph, nodes: Set[str]) -> dict[Node, list[Node]]:
    """Join the causes of every ancestor of `nodes`; a bidirected edge is a cause without a name.

    Given a set of these ancestors, two nodes are d-separated in the graph if and only if the set separates them
    here (Lauritzen, Dawid, Larsen, Leimer, "Independence properties of directed Markov fields", 1990). A node and its
    causes are joined through one more node, their family, which is never in a set: n causes take n edges instead of
    n (n - 1) / 2, and the same sets separate.

    Returns:
        The neighbours of every node.

    Example:
        >>> moral = moral_graph(CausalGraph("X -> C <- Y; C -> Z"), {"C"})
        >>> sorted(moral[("C",)]), moral["X"]
        (['C', 'X', 'Y'], [('C',), ('X',)])
    """
    ancestors = graph.ancestors(nodes)
    moral: dict[Node, list[Node]] = {node: [] for node in graph.nodes if node in ancestors}
    for node in list(moral):
        family: list[Node] = [node]
        for arrow, other in graph.links[str(node)]:
            if arrow == "<-":
                family.append(other)
            elif arrow == "<->" and other in ancestors:
                family.append((min(str(node), other), max(str(node), other)))
        moral[(str(node),)] = family
        for member in family:
            moral.setdefault(member, []).append((str(node),))
    return moral


def smallest_cut(
    graph: Mapping[Node, Iterable[Node]], source: str, target: str, allowed: Set[str]
) -> frozenset[str] | None:
    """Find the smallest set of `allowed` nodes that every path passes, the one nearest `target`; or None.

    Each node becomes an edge from its entry to its exit, with capacity 1 where it may be cut. A node is in the cut of
    the maximum flow that lies nearest the target where its exit still leads there and its entry does not.

    Args:
        graph: the nodes that each node leads to.
        source: where the paths start.
        target: where they end.
        allowed: nodes that may be cut.

    Example:
        >>> chain = {"X": ["S1"], "S1": ["S2"], "S2": ["Y"], "Y": []}
        >>> smallest_cut(chain, "X", "Y", {"S1", "S2"})
        frozenset({'S2'})
        >>> print(smallest_cut(chain, "X", "Y", set()))
        None
    """
    entry = {node: index for index, node in enumerate(graph)}
    size, unbounded = len(entry), len(allowed) + 1
    edges = np.array(
        [(entry[node], size + entry[node]) for node in graph]
        + [(size + entry[left], entry[right]) for left, others in graph.items() for right in others]
    )
    capacity = np.full(len(edges), unbounded, dtype=np.int32)
    capacity[[entry[node] for node in allowed if node in entry]] = 1
    network = csr_array((capacity, edges.T), shape=(2 * size, 2 * size))
    # The source's own edge is a part of every path, so that no flow exceeds its capacity.
    found = maximum_flow(network, entry[source], entry[target])
    if found.flow_value == unbounded:
        return None
    rest = (network - found.flow).tocsr()
    rest.eliminate_zeros()
    leads_there = set(breadth_first_order(rest.T.tocsr(), entry[target], return_predecessors=False).tolist())
    return frozenset(
        node
        for node in allowed
        if node in entry and entry[node] not in leads_there and size + entry[node] in leads_there
    )


def smallest_separator(graph: CausalGraph, left: str, right: str, *, allowed: Set[str]) -> frozenset[str] | None:
    """Find a smallest set of `allowed` nodes given which two nodes are d-separated, the one nearest `right`; or None.

    If any set separates them, one of their ancestors does (van der Zander, Liskiewicz, Textor, Artificial Intelligence
    270, 2019).

    Args:
        graph: the causal graph.
        left: a node.
        right: another node.
        allowed: nodes that may be in the set, neither of the two among them.

    Example:
        >>> graph = CausalGraph("X -> S -> Y; Z -> {X S}")
        >>> sorted(smallest_separator(graph, "X", "Y", allowed={"S", "Z"}))
        ['S']
        >>> print(smallest_separator(graph, "X", "S", allowed={"Y", "Z"}))
        None
    """
    moral = moral_graph(graph, {left, right})
    return smallest_cut(moral, left, right, {node for node in allowed if node in moral})
