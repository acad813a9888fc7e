"""Causal graphs from and to networkx, and what the attributes of nodes and edges say in its formats."""

from collections.abc import Iterable, Mapping

import networkx as nx

from causalvlm.errors import InputError
from causalvlm.graphs.graph import CausalGraph, Edge
from causalvlm.graphs.text import GraphParts

_TRUE = {"1", "true", "yes"}
_FALSE = {"0", "false", "no"}


def to_networkx(graph: CausalGraph) -> "nx.DiGraph[str]":
    """Convert to networkx; every bidirected edge becomes a latent node, so that DoWhy takes the result too.

    Latent nodes carry ``latent=True`` and DoWhy's ``observed="no"``; those that stand for a bidirected edge
    carry ``bidirected=True`` as well, by which `from_networkx` knows them, and the names of the two nodes as theirs.

    Example:
        >>> converted = to_networkx(CausalGraph("X -> Y; X <-> Y"))
        >>> sorted(converted.edges)
        [('U(X, Y)', 'X'), ('U(X, Y)', 'Y'), ('X', 'Y')]
        >>> converted.nodes["U(X, Y)"]
        {'latent': True, 'observed': 'no', 'bidirected': True}
    """
    converted: nx.DiGraph[str] = nx.DiGraph()
    for node in graph.nodes:
        converted.add_node(node, **({"latent": True, "observed": "no"} if node in graph.latent else {}))
    converted.add_edges_from(graph.directed)
    for left, right in graph.bidirected:
        hidden = f"U({left}, {right})"
        while hidden in graph.nodes:  # a node of that name is another one
            hidden += "'"
        converted.add_node(hidden, latent=True, observed="no", bidirected=True)
        converted.add_edges_from([(hidden, left), (hidden, right)])
    return converted


def from_networkx(graph: "nx.DiGraph[object]") -> CausalGraph:
    """Convert from networkx; node names become text.

    A node is latent where it has ``latent=True`` or DoWhy's ``observed="no"``; an edge with ``dir="both"`` is
    bidirected.

    Raises:
        InputError: an undirected graph, or what `CausalGraph` refuses.

    Example:
        >>> import networkx as nx
        >>> graph = nx.DiGraph([("U", "X"), ("U", "Y"), ("X", "Y")])
        >>> graph.add_node("U", observed="no")
        >>> from_networkx(graph)
        CausalGraph('U -> X; U -> Y; X -> Y; latent U')
    """
    if not isinstance(graph, nx.DiGraph):
        raise InputError(
            f"a causal graph must be a networkx DiGraph; received a {type(graph).__name__}. "
            "Give every edge its direction."
        )
    folded = {node for node, attributes in graph.nodes(data=True) if _says(attributes, "bidirected", _TRUE)}
    parts = GraphParts(bidirected=[_two_effects(graph, node) for node in folded])
    for node, attributes in graph.nodes(data=True):
        if node not in folded:
            parts.nodes.append(str(node))
            parts.latent += [str(node)] * is_latent(attributes)
    edges = ((cause, effect, data) for cause, effect, data in graph.edges(data=True) if cause not in folded)
    add_edges(parts, edges)
    return assemble(parts)


def _two_effects(graph: "nx.DiGraph[object]", node: object) -> Edge:
    effects, causes = [str(effect) for effect in graph.successors(node)], [*graph.predecessors(node)]
    if len(effects) != 2 or causes:
        raise InputError(
            "a node with bidirected=True must have two effects and no cause; received "
            f"{str(node)!r} with {len(effects)} and {len(causes)}. Mark it with latent=True instead."
        )
    return effects[0], effects[1]


def add_edges(parts: GraphParts, edges: Iterable[tuple[object, object, Mapping[str, object]]]) -> None:
    """Add (cause, effect, attributes) to `parts`; the attribute ``dir`` is graphviz's: forward, back or both.

    Raises:
        InputError: another direction.

    Example:
        >>> parts = GraphParts()
        >>> add_edges(parts, [("X", "Y", {"dir": "both"}), ("S", "X", {"dir": "back"})])
        >>> parts.directed, parts.bidirected
        ([('X', 'S')], [('X', 'Y')])
    """
    for cause, effect, attributes in edges:
        edge: Edge = (str(cause), str(effect))
        match str(attributes.get("dir", "forward")).strip('"'):
            case "forward":
                parts.join(edge[:1], edge[1:])
            case "both":
                parts.join(edge[:1], edge[1:], hidden=True)
            case "back":
                parts.join(edge[1:], edge[:1])
            case other:
                raise InputError(
                    f"dir must be forward, back or both; received {other!r} on {edge[0]} -> {edge[1]}. "
                    "Give the edge its direction."
                )


def is_latent(attributes: Mapping[str, object]) -> bool:
    """Tell whether a node's attributes say that it is never observed.

    Example:
        >>> is_latent({"observed": "no"}), is_latent({"latent": "true"}), is_latent({})
        (True, True, False)
    """
    return _says(attributes, "latent", _TRUE) or _says(attributes, "observed", _FALSE)


def _says(attributes: Mapping[str, object], key: str, answers: set[str]) -> bool:
    return str(attributes.get(key)).strip('"').lower() in answers


def assemble(parts: GraphParts) -> CausalGraph:
    """Make a graph of its parts, which are checked here.

    Example:
        >>> assemble(GraphParts(directed=[("X", "Y")], latent=["X"]))
        CausalGraph('X -> Y; latent X')
    """
    return CausalGraph(parts.directed, bidirected=parts.bidirected, latent=parts.latent, nodes=parts.nodes)
