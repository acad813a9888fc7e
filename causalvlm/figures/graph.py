"""Causal graphs as figures: what each node does for the estimate, and the path that stays open."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, RegularPolygon
from matplotlib.path import Path
from scipy.interpolate import PchipInterpolator

from causalvlm.errors import InputError
from causalvlm.figures.graph_layout import Point, lay_out
from causalvlm.figures.style import ShownFigure
from causalvlm.graphs.graph import CausalGraph, require_graph
from causalvlm.graphs.latex import latex_name
from causalvlm.graphs.text import parse_text
from causalvlm.identification.estimands import BackDoor, Estimand, FrontDoor, Instrument, Mediation

Curve = Float[np.ndarray, "_ 2"]
"""Points of a line, one a row."""
Role = Literal["treatment", "instrument", "mediator", "outcome", "adjusted for", "latent", "observed"]

_OPEN = "#D55E00"
_INK = "#333333"
_RADIUS = 0.27
_BENDS = (0.6, 0.8, -0.6, -0.8, 1.0, -1.0)
_CURVE_POINTS = 40


@dataclass(frozen=True)
class _Look:
    fill: str
    corners: int  # 0 draws a circle
    turned: float = 0.0
    dashed: bool = False


_LOOKS: dict[Role, _Look] = {
    "treatment": _Look("#56B4E9", 4, turned=np.pi / 4),
    "instrument": _Look("#CC79A7", 5),
    "mediator": _Look("#009E73", 4),
    "outcome": _Look("#E69F00", 8, turned=np.pi / 8),
    "adjusted for": _Look("#F0E442", 6),
    "latent": _Look("white", 0, dashed=True),
    "observed": _Look("#E5E5E5", 0),
}


def draw_graph(
    graph: CausalGraph,
    *,
    treatment: str | None = None,
    outcome: str | None = None,
    estimand: Estimand | None = None,
    open_path: str = "",
) -> Figure:
    """Draw a causal graph: what each node does for the estimate, and the path that stays open.

    Args:
        graph: the graph.
        treatment: a square; by default the estimand's, if there is one.
        outcome: an octagon; likewise.
        estimand: its mediators are diamonds, its covariates hexagons, its instrument is a pentagon.
        open_path: a path such as ``"X <- G_i -> Y"``, drawn thick; `NotIdentifiedError.open_path` is one.

    Returns:
        A figure that belongs to no window; call its ``savefig``.

    Raises:
        InputError: a node or an edge of the path that the graph does not have, or a graph without nodes.

    Example:
        >>> figure = draw_graph(CausalGraph("X -> S -> Y; X <-> Y"), treatment="X", outcome="Y", open_path="X <-> Y")
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['treatment', 'outcome', 'observed', 'shared hidden cause', 'open path']
    """
    if not require_graph(graph).nodes:
        raise InputError("a graph to be drawn must have nodes; received none. Name one: CausalGraph('X -> Y').")
    if estimand:
        treatment, outcome = treatment or estimand.treatment, outcome or estimand.outcome
    graph.known(filter(None, [treatment, outcome]), "treatment or outcome")
    thick = _edges_of(graph, open_path)
    roles: dict[str, Role] = {node: "latent" if node in graph.latent else "observed" for node in graph.nodes}
    roles |= _parts(estimand)
    if treatment:
        roles[treatment] = "treatment"
    if outcome:
        roles[outcome] = "outcome"
    layout = lay_out(graph, treatment, outcome)
    figure = ShownFigure(layout="constrained")
    axes = figure.add_subplot()
    for cause, effect in graph.directed:
        points = [layout.nodes[cause], *layout.bends[cause, effect], layout.nodes[effect]]
        _draw_arrow(axes, _through(points), "-|>", thick=(cause, "->", effect) in thick)
    for left, right in graph.bidirected:
        _draw_arrow(axes, _arc(layout.nodes, left, right), "<|-|>", thick=(left, "<->", right) in thick)
    for node, role in roles.items():
        _draw_node(axes, node, layout.nodes[node], _LOOKS[role])
    _add_legend(figure, set(roles.values()), hidden=bool(graph.bidirected), open_path=bool(thick))
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.autoscale_view()
    width, height = np.diff(axes.get_xlim())[0], np.diff(axes.get_ylim())[0]
    figure.set_size_inches(max(1.1 * width, 5.5), 1.1 * height + 0.7)
    return figure


def _edges_of(graph: CausalGraph, path: str) -> set[tuple[str, str, str]]:
    parts = parse_text(path)
    edges = {(cause, "->", effect) for cause, effect in parts.directed}
    edges |= {(min(pair), "<->", max(pair)) for pair in parts.bidirected}
    present = {(cause, "->", effect) for cause, effect in graph.directed}
    present |= {(left, "<->", right) for left, right in graph.bidirected}
    for left, arrow, right in sorted(edges - present):
        raise InputError(
            f"the open path must follow edges of the graph; received {left} {arrow} {right}. The graph is: {graph}."
        )
    return edges


def _parts(estimand: Estimand | None) -> dict[str, Role]:
    """What the nodes do for the estimate, beside treatment and outcome."""
    parts: dict[str, Role] = {}
    match estimand:
        case FrontDoor() | Mediation():
            covariates = estimand.covariates
            parts.update((node, "mediator") for node in estimand.mediators)
        case BackDoor():
            covariates = estimand.adjustment
        case Instrument():
            covariates = estimand.covariates
            parts[estimand.instrument] = "instrument"
        case _:
            covariates = ()
    parts.update((node, "adjusted for") for node in covariates)
    return parts


def _draw_node(axes: Axes, name: str, at: Point, look: _Look) -> None:
    style = {"facecolor": look.fill, "edgecolor": "black", "linestyle": "--" if look.dashed else "-", "zorder": 3}
    if look.corners:
        radius = _RADIUS * (1.2 if look.corners == 4 else 1.08)
        axes.add_patch(RegularPolygon(at, look.corners, radius=radius, orientation=look.turned, **style))
    else:
        axes.add_patch(Circle(at, _RADIUS, **style))
    label = latex_name(name)
    is_symbol = not label.startswith(r"\mathrm")
    inside = len(name) <= 4 or is_symbol
    side = 0 if inside else (1 if at[1] > 0 else -1)  # most arrows come to a node from the row of the treatment, y = 0
    axes.text(
        at[0],
        at[1] + 1.4 * side * _RADIUS,
        f"${label}$" if is_symbol else name,
        parse_math=is_symbol,
        ha="center",
        va=("top", "center", "bottom")[side + 1],
        fontsize=12 if inside else 9,
        zorder=4,
    )


def _draw_arrow(axes: Axes, curve: Curve, style: str, *, thick: bool) -> None:
    """Draw `curve` between the rims of the nodes at its ends."""
    rim = 1.3 * _RADIUS
    from_start = np.linalg.norm(curve - curve[0], axis=1)
    from_end = np.linalg.norm(curve - curve[-1], axis=1)
    axes.add_patch(
        FancyArrowPatch(
            path=Path(curve[(from_start > rim) & (from_end > rim)]),
            arrowstyle=style,
            mutation_scale=16 if thick else 13,
            linewidth=3.0 if thick else 1.2,
            linestyle="--" if style == "<|-|>" else "-",
            color=_OPEN if thick else _INK,
            zorder=2 if thick else 1,
        )
    )


def _through(points: Sequence[Point]) -> Curve:
    """A smooth curve through points that go from left to right."""
    across, up = np.array(points).T
    fine = np.linspace(across[0], across[-1], _CURVE_POINTS)
    return np.column_stack([fine, PchipInterpolator(across, up)(fine)])


def _arc(nodes: Mapping[str, Point], left: str, right: str) -> Curve:
    """An arc between two nodes, over the straight line if that keeps it clear of the other nodes."""
    first, last = np.array(sorted([nodes[left], nodes[right]], key=lambda point: (point[0], -point[1])))
    others = np.array([at for node, at in nodes.items() if node not in (left, right)]).reshape(-1, 2)
    arcs = [_bow(first, last, bend) for bend in _BENDS]
    room = [np.linalg.norm(arc[:, None] - others, axis=-1).min(initial=np.inf) for arc in arcs]
    return next((arc for arc, gap in zip(arcs, room, strict=True) if gap > 1.5 * _RADIUS), arcs[int(np.argmax(room))])


def _bow(first: Float[np.ndarray, "2"], last: Float[np.ndarray, "2"], bend: float) -> Curve:
    along = last - first
    control = (first + last) / 2 + bend * np.array([-along[1], along[0]])
    t = np.linspace(0, 1, _CURVE_POINTS)[:, None]
    return (1 - t) ** 2 * first + 2 * t * (1 - t) * control + t**2 * last


def _add_legend(figure: Figure, roles: Set[Role], *, hidden: bool, open_path: bool) -> None:
    handles = [
        Line2D(
            [], [], label=role, marker=(look.corners, 0, np.degrees(look.turned)) if look.corners else "o",
            markerfacecolor=look.fill, markeredgecolor="black", markersize=11, linestyle="none",
        )
        for role, look in _LOOKS.items()
        if role in roles
    ]  # fmt: skip
    if hidden:
        handles.append(Line2D([], [], color=_INK, linestyle="--", label="shared hidden cause"))
    if open_path:
        handles.append(Line2D([], [], color=_OPEN, linewidth=3, label="open path"))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=9,
        columnspacing=1.2,
        handletextpad=0.5,
    )
