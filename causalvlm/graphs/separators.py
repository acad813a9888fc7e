"""Smallest separating sets: the moral graph of a causal graph, and vertex cuts by maximum flow."""

from collections.abc import Set
from itertools import combinations

import networkx as nx

from causalvlm.graphs.graph import CausalGraph

Node = str | tuple[str, str]
"""A node of a moral graph: a name, or the pair that a bidirected edge joins."""


def moral_graph(graph: CausalGraph, nodes: Set[str]) -> "nx.Graph[Node]":
    """Join the causes of every ancestor of `nodes`; a bidirected edge is a cause without a name.

    Given a set of these ancestors, two nodes are d-separated in the graph if and only if the set separates them
    here (Lauritzen, Dawid, Larsen, Leimer, "Independence properties of directed Markov fields", 1990).

    Example:
        >>> sorted(map(sorted, moral_graph(CausalGraph("X -> C <- Y; C -> Z"), {"C"}).edges))
        [['C', 'X'], ['C', 'Y'], ['X', 'Y']]
    """
    ancestors = graph.ancestors(nodes)
    moral: nx.Graph[Node] = nx.Graph()
    for node in ancestors:
        family: list[Node] = [node]
        for arrow, other in graph.links[node]:
            if arrow == "<-":
                family.append(other)
            elif arrow == "<->" and other in ancestors:
                family.append((min(node, other), max(node, other)))
        moral.add_node(node)
        moral.add_edges_from(combinations(family, 2))
    return moral


def smallest_cut(graph: "nx.DiGraph[Node]", source: str, target: str, allowed: Set[str]) -> frozenset[str] | None:
    """Find the smallest set of `allowed` nodes that every path passes, the one nearest `target`; or None.

    Each node becomes an edge from its entry to its exit, with capacity 1 where it may be cut; networkx returns
    the cut of a maximum flow that lies nearest the target.

    Example:
        >>> chain = nx.DiGraph([("X", "S1"), ("S1", "S2"), ("S2", "Y")])
        >>> smallest_cut(chain, "X", "Y", {"S1", "S2"})
        frozenset({'S2'})
        >>> print(smallest_cut(chain, "X", "Y", set()))
        None
    """
    network = nx.DiGraph()
    for node in graph:
        network.add_edge((node, "entry"), (node, "exit"), **({"capacity": 1} if node in allowed else {}))
    network.add_edges_from(((left, "exit"), (right, "entry")) for left, right in graph.edges)
    start, end = (source, "exit"), (target, "entry")
    try:
        _, (before, _) = nx.minimum_cut(network, start, end)
    except nx.NetworkXUnbounded:
        return None
    return frozenset(node for node in allowed if (node, "entry") in before and (node, "exit") not in before)
