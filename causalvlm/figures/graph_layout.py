"""Where to draw the nodes of a causal graph: causes left of effects, the effect in question on the middle line."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean
from typing import Literal

from causalvlm.graphs.graph import CausalGraph, Edge

Point = tuple[float, float]
Seat = str | tuple[Edge, int]
"""What takes a place in a layer: a node, or an edge that passes through the layer."""

_SWEEPS = 6
_SLACK = 0.5


@dataclass(frozen=True)
class Layout:
    """Positions in units of the distance between neighbours.

    Attributes:
        nodes: where each node stands; x grows from causes to effects.
        bends: the points between its ends that a directed edge passes, to go around other nodes.

    Example:
        >>> lay_out(CausalGraph("X -> S -> Y; X -> Y"), "X", "Y").bends["X", "Y"]
        ((1.0, -1.0),)
    """

    nodes: Mapping[str, Point]
    bends: Mapping[Edge, tuple[Point, ...]]


@dataclass(frozen=True)
class _Layer:
    """The seats of one layer, in three groups from top to bottom."""

    above: list[Seat] = field(default_factory=list[Seat])
    middle: list[Seat] = field(default_factory=list[Seat])
    below: list[Seat] = field(default_factory=list[Seat])


def lay_out(graph: CausalGraph, treatment: str | None = None, outcome: str | None = None) -> Layout:
    """Place treatment, mediators and outcome on the middle line, other causes above, other effects below.

    Where no treatment or no outcome is named, an end of a longest path of observed nodes takes its place.

    Every node stands right of its causes, and an edge that passes a layer takes a seat in it, so that it runs around
    the nodes there (Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system structures",
    IEEE Transactions on Systems, Man, and Cybernetics 11, 1981).

    Example:
        >>> lay_out(CausalGraph("C -> X -> S -> Y"), "X", "Y").nodes
        {'C': (0.0, 0.0), 'X': (1.0, 0.0), 'S': (2.0, 0.0), 'Y': (3.0, 0.0)}
    """
    column, (first, last) = _columns(graph), _ends(graph)
    treatment, outcome = treatment or first, outcome or last
    chains = {edge: _chain(edge, column) for edge in graph.directed}
    height = _heights(_seat(graph, treatment, outcome, column, chains), list(chains.values()))
    return Layout(
        nodes={node: (float(column[node]), height[node]) for node in graph.topological_order},
        bends={
            edge: tuple((float(column[edge[0]] + step), height[seat]) for step, seat in enumerate(chain[1:-1], 1))
            for edge, chain in chains.items()
        },
    )


def _ends(graph: CausalGraph) -> tuple[str, str]:
    """Start and end of a longest directed path of observed nodes, if there are any."""
    among = set(graph.observed or graph.nodes)
    longest: dict[str, tuple[str, ...]] = {}
    for node in filter(among.__contains__, graph.topological_order):
        before = max((longest[cause] for cause in graph.parents(node) if cause in among), key=len, default=())
        longest[node] = (*before, node)
    path = max(longest.values(), key=len)
    return path[0], path[-1]


def _columns(graph: CausalGraph) -> dict[str, int]:
    columns: dict[str, int] = {}
    for node in graph.topological_order:
        columns[node] = max((columns[cause] + 1 for cause in graph.parents(node)), default=0)
    for node in graph.topological_order:  # a cause without causes moves next to its first effect
        if graph.children(node) and not graph.parents(node):
            columns[node] = min(columns[effect] for effect in graph.children(node)) - 1
    return columns


def _chain(edge: Edge, column: Mapping[str, int]) -> list[Seat]:
    between = range(column[edge[0]] + 1, column[edge[1]])
    return [edge[0], *((edge, step) for step in between), edge[1]]


def _seat(
    graph: CausalGraph, treatment: str, outcome: str, column: Mapping[str, int], chains: Mapping[Edge, list[Seat]]
) -> dict[int, _Layer]:
    effects = graph.descendants(treatment)
    middle = (effects & graph.ancestors(outcome)) | {treatment, outcome}
    layers: dict[int, _Layer] = defaultdict(_Layer)
    for node in graph.nodes:
        layer = layers[column[node]]
        group = layer.middle if node in middle else layer.below if node in effects else layer.above
        group.append(node)
    for edge, chain in chains.items():
        for step, seat in enumerate(chain[1:-1], column[edge[0]] + 1):
            (layers[step].below if edge[0] in effects else layers[step].above).append(seat)
    return layers


def _heights(layers: Mapping[int, _Layer], chains: list[list[Seat]]) -> dict[Seat, float]:
    """Move every seat towards the mean of its neighbours, one unit apart within a layer."""
    neighbours: dict[Seat, list[Seat]] = defaultdict(list)
    for left, right in (pair for chain in chains for pair in pairwise(chain)):
        neighbours[left].append(right)
        neighbours[right].append(left)
    height: dict[Seat, float] = defaultdict(float)
    for sweep in range(_SWEEPS):
        for step in sorted(layers, reverse=bool(sweep % 2)):
            layer = layers[step]
            wish = {
                seat: fmean([height[other] for other in neighbours[seat]] or [height[seat]])
                for seat in (*layer.above, *layer.middle, *layer.below)
            }
            edge = (len(layer.middle) - 1) / 2
            for rank, seat in enumerate(_sorted(layer.middle, wish)):
                height[seat] = rank - edge
            nearest = edge + 1 if layer.middle else 0.0
            _stack(_sorted(layer.above, wish), wish, height, nearest, 1)
            _stack(_sorted(layer.below, wish)[::-1], wish, height, -edge - 1, -1)
    return height


def _stack(
    seats: list[Seat], wish: Mapping[Seat, float], height: dict[Seat, float], nearest: float, away: Literal[1, -1]
) -> None:
    """Seat a group outwards from the middle: near its wish, one unit apart, never far from the closest stacking."""
    free = nearest
    for rank, seat in enumerate(seats):
        farthest = max(free * away, nearest * away + rank + _SLACK)
        height[seat] = away * min(max(wish[seat] * away, free * away), farthest)
        free = height[seat] + away


def _sorted(seats: list[Seat], wish: Mapping[Seat, float]) -> list[Seat]:
    return sorted(seats, key=lambda seat: (wish[seat], str(seat)))
