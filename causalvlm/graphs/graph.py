"""Causal graphs: directed acyclic graphs whose confounders may be hidden."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from reprlib import repr as short

from causalvlm.errors import InputError
from causalvlm.graphs.paths import CausalPath, Link, all_paths, reachable, shortest_open_path
from causalvlm.graphs.text import parse_text, quote, require_few_edges

Edge = tuple[str, str]

_LONGEST_REPR = 400
"""Characters of the short text form in a `repr`, beyond which nodes and edges are counted instead."""

_MOST_DRAWN = 60
"""Nodes that a notebook shows as a drawing; of more, nobody could read the names."""


@dataclass(frozen=True, init=False, repr=False)
class CausalGraph:
    """A directed acyclic graph with hidden confounders, as latent nodes or as bidirected edges.

    Two graphs are equal when they have the same nodes, edges and latent nodes, in whatever order they were
    written. Graphs never change: every operation returns another graph.

    Attributes:
        nodes: all nodes, sorted.
        directed: (cause, effect) pairs, sorted.
        bidirected: pairs that share a hidden cause which has no name, each sorted, sorted.
        latent: the nodes that are never observed.

    Example:
        >>> graph = CausalGraph("X -> S -> Y; G_i -> X; G_i -> Y; latent G_i")
        >>> graph.observed
        ('S', 'X', 'Y')
        >>> print(graph.open_path("X", "Y", given="S"))
        X <- G_i -> Y
        >>> graph == CausalGraph([("X", "S"), ("S", "Y"), ("G_i", "X"), ("G_i", "Y")], latent=["G_i"])
        True
    """

    nodes: tuple[str, ...]
    directed: tuple[Edge, ...]
    bidirected: tuple[Edge, ...]
    latent: frozenset[str]

    def __init__(
        self,
        edges: str | Iterable[Edge] = (),
        *,
        bidirected: Iterable[Edge] = (),
        latent: Iterable[str] = (),
        nodes: Iterable[str] = (),
    ) -> None:
        """Build a graph from its short text form or from its edges.

        Args:
            edges: ``"X -> S -> Y; X <-> Y; latent U"``, or (cause, effect) pairs.
            bidirected: pairs that share a hidden cause, in addition to those of the text.
            latent: nodes that are never observed, in addition to those of the text.
            nodes: nodes without edges.

        Raises:
            InputError: a cycle, a self loop, a latent name that is no node, a name that is no text, or too many edges.
        """
        if isinstance(edges, str):
            parts = parse_text(edges)
            edges, nodes = parts.directed, [*parts.nodes, *nodes]
            bidirected, latent = [*parts.bidirected, *bidirected], [*parts.latent, *latent]
        directed, hidden = _pairs(edges), {(min(pair), max(pair)) for pair in _pairs(bidirected)}
        require_few_edges(len(directed) + len(hidden))
        names = _names([*_names(nodes), *(node for pair in directed | hidden for node in pair)])
        object.__setattr__(self, "nodes", tuple(sorted(set(names))))
        object.__setattr__(self, "directed", tuple(sorted(directed)))
        object.__setattr__(self, "bidirected", tuple(sorted(hidden)))
        object.__setattr__(self, "latent", self.known(_names(latent), "a latent node"))
        self.topological_order  # noqa: B018  # a cycle is refused here, where the graph is made

    def __str__(self) -> str:
        """The short text form, which `CausalGraph` reads back."""
        linked = {node for pair in (*self.directed, *self.bidirected) for node in pair}
        statements = [f"{quote(cause)} -> {quote(effect)}" for cause, effect in self.directed]
        statements += [f"{quote(left)} <-> {quote(right)}" for left, right in self.bidirected]
        statements += [quote(node) for node in self.nodes if node not in linked]
        if self.latent:
            statements.append(f"latent {' '.join(map(quote, sorted(self.latent)))}")
        return "; ".join(statements)

    def __repr__(self) -> str:
        text = str(self)
        if len(text) <= _LONGEST_REPR:
            return f"CausalGraph({text!r})"
        edges = len(self.directed) + len(self.bidirected)
        return f"<CausalGraph of {len(self.nodes)} nodes, {len(self.latent)} latent, and {edges} edges>"

    def _repr_svg_(self) -> str | None:
        """What notebooks show in place of the text."""
        if not 0 < len(self.nodes) <= _MOST_DRAWN:
            return None
        from causalvlm.figures.graph import draw_graph
        from causalvlm.figures.style import to_svg

        return to_svg(draw_graph(self))

    @property
    def observed(self) -> tuple[str, ...]:
        """The nodes that are not latent, sorted."""
        return tuple(node for node in self.nodes if node not in self.latent)

    @cached_property
    def links(self) -> Mapping[str, tuple[Link, ...]]:
        """The edges at each node, seen from that node."""
        links: dict[str, list[Link]] = {node: [] for node in self.nodes}
        for cause, effect in self.directed:
            links[cause].append(Link("->", effect))
            links[effect].append(Link("<-", cause))
        for left, right in self.bidirected:
            links[left].append(Link("<->", right))
            links[right].append(Link("<->", left))
        return {node: tuple(found) for node, found in links.items()}

    @cached_property
    def topological_order(self) -> tuple[str, ...]:
        """All nodes, causes before effects."""
        causes: dict[str, list[str]] = {node: [] for node in self.nodes}
        for cause, effect in self.directed:
            causes[effect].append(cause)
        try:
            return tuple(TopologicalSorter(causes).static_order())
        except CycleError as error:
            cycle = " -> ".join(error.args[1])
            raise InputError(
                f"a causal graph must have no cycle; received {cycle}. Remove one of these edges, or write "
                "<-> where two nodes share a hidden cause."
            ) from None

    def parents(self, node: str) -> tuple[str, ...]:
        """The direct causes of `node`, sorted.

        Example:
            >>> CausalGraph("X -> Y <- C").parents("Y")
            ('C', 'X')
        """
        self.known([node], "node")
        return tuple(sorted(other for arrow, other in self.links[node] if arrow == "<-"))

    def children(self, node: str) -> tuple[str, ...]:
        """The direct effects of `node`, sorted.

        Example:
            >>> CausalGraph("X -> Y <- C").children("X")
            ('Y',)
        """
        self.known([node], "node")
        return tuple(sorted(other for arrow, other in self.links[node] if arrow == "->"))

    def ancestors(self, nodes: str | Collection[str]) -> frozenset[str]:
        """All causes of `nodes`, direct or not; the nodes themselves count as their own ancestors.

        Example:
            >>> sorted(CausalGraph("U -> X -> S -> Y").ancestors("S"))
            ['S', 'U', 'X']
        """
        return self._closure(nodes, "<-")

    def descendants(self, nodes: str | Collection[str]) -> frozenset[str]:
        """All effects of `nodes`, direct or not; the nodes themselves count as their own descendants.

        Example:
            >>> sorted(CausalGraph("U -> X -> S -> Y").descendants("S"))
            ['S', 'Y']
        """
        return self._closure(nodes, "->")

    def _closure(self, nodes: str | Collection[str], along: str) -> frozenset[str]:
        found = set(self.known(nodes, "node"))
        stack = list(found)
        while stack:
            for arrow, other in self.links[stack.pop()]:
                if arrow == along and other not in found:
                    found.add(other)
                    stack.append(other)
        return frozenset(found)

    def do(self, *nodes: str) -> "CausalGraph":
        """Surgery: the graph after `nodes` are set from outside, so that nothing else causes them.

        Example:
            >>> print(CausalGraph("G_i -> X -> S -> Y; X <-> Y").do("X"))
            S -> Y; X -> S; G_i
        """
        cut = self.known(nodes, "node")
        return self._with(
            directed=(edge for edge in self.directed if edge[1] not in cut),
            bidirected=(edge for edge in self.bidirected if cut.isdisjoint(edge)),
        )

    def without_effects(self, *nodes: str) -> "CausalGraph":
        """The graph without the edges out of `nodes`; what still reaches them comes through a back door.

        Example:
            >>> print(CausalGraph("G_i -> X -> S -> Y; X <-> Y").without_effects("X"))
            G_i -> X; S -> Y; X <-> Y
        """
        cut = self.known(nodes, "node")
        return self._with(directed=(edge for edge in self.directed if edge[0] not in cut))

    def without_edge(self, left: str, arrow: str, right: str) -> "CausalGraph":
        """The graph without one edge, written as ``left -> right`` or ``left <-> right``.

        Example:
            >>> print(CausalGraph("X -> S -> Y; X <-> Y").without_edge("X", "<->", "Y"))
            S -> Y; X -> S
        """
        edge = (left, right) if arrow == "->" else (min(left, right), max(left, right))
        if edge not in {"->": self.directed, "<->": self.bidirected}.get(arrow, ()):
            raise InputError(
                f"the edge to remove must be in the graph; received {left} {arrow} {right}. The graph is: {self}."
            )
        if arrow == "->":
            return self._with(directed=(other for other in self.directed if other != edge))
        return self._with(bidirected=(other for other in self.bidirected if other != edge))

    def hide(self, *nodes: str) -> "CausalGraph":
        """The graph in which `nodes` are latent too.

        Example:
            >>> CausalGraph("G_i -> X -> Y").hide("G_i").observed
            ('X', 'Y')
        """
        return self._with(latent=self.latent | self.known(nodes, "node"))

    def observe(self, *nodes: str) -> "CausalGraph":
        """The graph in which `nodes` are observed.

        Example:
            >>> CausalGraph("G_i -> X -> Y; latent G_i").observe("G_i").observed
            ('G_i', 'X', 'Y')
        """
        return self._with(latent=self.latent - self.known(nodes, "node"))

    def observe_only(self, *nodes: str) -> "CausalGraph":
        """The graph in which exactly `nodes` are observed, whatever was latent before.

        Example:
            >>> CausalGraph("G_i -> X -> Y; latent Y").observe_only("X", "Y").latent
            frozenset({'G_i'})
        """
        return self._with(latent=frozenset(self.nodes) - self.known(nodes, "an observed node"))

    def _with(
        self,
        *,
        directed: Iterable[Edge] | None = None,
        bidirected: Iterable[Edge] | None = None,
        latent: Iterable[str] | None = None,
    ) -> "CausalGraph":
        """The same nodes with fewer edges or other latent nodes: what was checked and sorted stays so."""
        graph = object.__new__(CausalGraph)
        object.__setattr__(graph, "nodes", self.nodes)
        object.__setattr__(graph, "directed", self.directed if directed is None else tuple(directed))
        object.__setattr__(graph, "bidirected", self.bidirected if bidirected is None else tuple(bidirected))
        object.__setattr__(graph, "latent", self.latent if latent is None else frozenset(latent))
        return graph

    def paths(self, source: str, target: str) -> Iterator[CausalPath]:
        """List every path between two nodes, open or not; there may be exponentially many.

        Example:
            >>> for path in CausalGraph("X -> S -> Y; X <-> Y").paths("X", "Y"):
            ...     print(path)
            X -> S -> Y
            X <-> Y
        """
        self.known([source, target], "node")
        return all_paths(self.links, source, target)

    def open_path(
        self, source: str | Collection[str], target: str | Collection[str], *, given: str | Collection[str] = ()
    ) -> CausalPath | None:
        """Find a shortest path that carries association between two sets of nodes, or None.

        Raises:
            InputError: an unknown node, or sets that overlap.

        Example:
            >>> graph = CausalGraph("X -> C <- Y")
            >>> print(graph.open_path("X", "Y"), "|", graph.open_path("X", "Y", given="C"))
            None | X -> C <- Y
        """
        sources, targets, known = (self.known(nodes, "node") for nodes in (source, target, given))
        for one, other in ((sources, targets), (sources, known), (targets, known)):
            if one & other:
                raise InputError(
                    "source, target and given must not share a node; received "
                    f"{', '.join(sorted(one & other))} twice. Leave it out of one of them."
                )
        return shortest_open_path(self.links, sources, targets, given=known, openers=self.ancestors(known))

    def d_separated(
        self, source: str | Collection[str], target: str | Collection[str], *, given: str | Collection[str] = ()
    ) -> bool:
        """Tell whether the graph implies that source and target are independent given `given`.

        Example:
            >>> graph = CausalGraph("X -> S -> Y")
            >>> graph.d_separated("X", "Y"), graph.d_separated("X", "Y", given="S")
            (False, True)
        """
        return self.open_path(source, target, given=given) is None

    def d_connected(self, source: str | Collection[str], *, given: Collection[str] = ()) -> set[str]:
        """List the nodes that depend on `source` given `given`, in time linear in the edges.

        Example:
            >>> sorted(CausalGraph("X -> S -> Y; C -> Y").d_connected("X", given={"Y"}))
            ['C', 'S']
        """
        known = self.known(given, "node")
        return reachable(self.links, self.known(source, "node"), given=known, openers=self.ancestors(known))

    def known(self, nodes: str | Iterable[str], role: str) -> frozenset[str]:
        """Return `nodes` as a set, after checking that each is a node of the graph; `role` names them.

        Raises:
            InputError: naming the unknown node and the nearest names.

        Example:
            >>> CausalGraph("Label -> Image").known("Lable", "treatment")
            Traceback (most recent call last):
            ...
            cdc.errors.InputError: treatment must be a node of the graph; received 'Lable'.
            Did you mean 'Label'? Nodes: Image, Label.
        """
        listed = list(nodes) if isinstance(nodes, Iterable) and not isinstance(nodes, str) else [nodes]
        for name in sorted((name for name in listed if not isinstance(name, str) or name not in self.links), key=str):
            near = difflib.get_close_matches(str(name), self.nodes, n=1) or [
                node for node in self.nodes if node.lower() == str(name).lower()
            ]
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"{role} must be a node of the graph; received {name!r}.{guess} Nodes: {', '.join(self.nodes)}."
            )
        return frozenset(listed)


def require_graph(graph: object) -> CausalGraph:
    """Return `graph`, after checking that it is one.

    Raises:
        InputError: for anything else, such as the text of a graph.

    Example:
        >>> require_graph("X -> Y")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: graph must be a CausalGraph; received 'X -> Y'. Write CausalGraph("X -> S -> Y; ...
    """
    if not isinstance(graph, CausalGraph):
        raise InputError(
            f'graph must be a CausalGraph; received {short(graph)}. Write CausalGraph("X -> S -> Y; X <-> Y").'
        )
    return graph


def _pairs(edges: Iterable[object]) -> set[Edge]:
    pairs: set[Edge] = set()
    for edge in edges:
        match edge:
            case (str(left), str(right)) if left != right:
                pairs.add((left, right))
            case (str(left), str(_)):
                raise InputError(
                    f"an edge must join two different nodes; received {left!r} joined to itself. Remove this self loop."
                )
            case _:
                raise InputError(f"an edge must be a pair of names; received {edge!r}. Write ('X', 'Y') for X -> Y.")
    return pairs


def _names(names: str | Iterable[object]) -> list[str]:
    found: list[str] = []
    for name in [names] if isinstance(names, str) else names:
        if not isinstance(name, str) or not name.strip() or set(name) & {'"', "\n"}:
            raise InputError(
                f"a node's name must be text without double quotes or line ends; received {name!r}. "
                "Rename the node, in the graph and in the table."
            )
        found.append(name)
    return found
