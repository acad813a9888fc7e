"""The pictures on the first page: the paper's causal graph, and how CDC makes its mediator S of several templates.

Run:    python analyses/overview_figure.py         (a second; --smoke draws and writes nothing)
Expect: docs/figures/overview_graph.png, its edges those of `causalvlm.paper_scm("front_door")` for the label Y, and
        overview_cdc.png: two files, so that a wide page shows them side by side and a narrow one above each other
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

import causalvlm
from causalvlm.figures.style import to_bytes
from cdc.files import write_bytes

FIGURES = Path(__file__).parent.parent / "docs" / "figures"
INK, GREY, MEDIATOR, OPEN = "#222222", "#666666", "#DCEBF7", "#D55E00"
RADIUS = 0.36
PLACES = {"D": (0, 1.5), "G_r": (1.5, 2.4), "G_i": (1.5, 0.6), "X": (2.7, 1.5), "S": (4.1, 1.5), "Y": (5.5, 1.5)}
LABELS = {"G_r": "$G_r$", "G_i": "$G_i$"}
TEMPLATES = 3
"""As many as are drawn one behind the other; how many there are is a setting."""


def draw_graph(axes: Axes) -> None:
    """The graph: dashed circles are never observed, the mediator is blue, the path to be closed is orange."""
    graph = causalvlm.paper_scm("front_door")
    for cause, effect in graph.directed:
        if "Y_hat" in (cause, effect):
            continue
        confounds = (cause, effect) in (("G_i", "X"), ("G_i", "Y"))
        bend = "arc3,rad=0.25" if (cause, effect) == ("G_i", "Y") else "arc3"
        arrow(axes, PLACES[cause], PLACES[effect], bend=bend, colour=OPEN if confounds else INK, gap=18)
    for name, place in PLACES.items():
        line = "--" if name in graph.latent else "-"
        face = MEDIATOR if name == "S" else "white"
        axes.add_patch(Circle(place, RADIUS, facecolor=face, edgecolor=INK, linestyle=line, linewidth=1.1))
        axes.text(*place, LABELS.get(name, f"${name}$"), ha="center", va="center", fontsize=12)
    notes = {
        (0, 0.92): "pre-training\ndata", (1.5, 3.0): "relevant to the task", (1.5, -0.05): "irrelevant",
        (2.7, 2.1): "image", (4.1, 2.1): "what templates\nsay of it", (5.5, 2.1): "label",
    }  # fmt: skip
    for (x, y), text in notes.items():
        below = y < 1.5
        axes.text(x, y, text, ha="center", va="top" if below else "bottom", fontsize=8.5, color=GREY)
    frame(axes, "The paper's graph: S opens the front door", (-0.75, 6.1))


def draw_flow(axes: Axes) -> None:
    """CDC: images and class names, seen through templates that differ, to one prediction with its doubt."""
    card(axes, 0.55, 2.3, "image")
    card(axes, 0.55, 0.7, "class\nnames")
    pile(axes, 2.4, 2.3, "own view:\nimage tower")
    pile(axes, 2.4, 0.7, "own prompt:\ntext tower")
    pile(axes, 4.4, 1.5, "opinion $S_m$:\nbelief, doubt", MEDIATOR)
    card(axes, 6.5, 1.5, "prediction\nand its doubt")
    for start, end in (
        ((1.25, 2.3), (1.65, 2.3)), ((1.25, 0.7), (1.65, 0.7)), ((3.3, 2.3), (3.7, 1.85)), ((3.3, 0.8), (3.7, 1.2)),
        ((5.35, 1.5), (5.75, 1.5)),
    ):  # fmt: skip
        arrow(axes, start, end)
    axes.text(5.5, 0.78, "fused by evidence\n(Dempster, Shafer)", ha="center", va="top", fontsize=8.5, color=GREY)
    axes.text(2.5, 0.02, "towers frozen, prompts learned", ha="center", va="top", fontsize=8.5, color=GREY)
    frame(axes, "CDC: several templates, each an opinion", (-0.35, 7.35))


def pile(axes: Axes, x: float, y: float, text: str, face: str = "white") -> None:
    """As many boxes as templates are drawn, one behind the other, with their text on the first."""
    for behind in reversed(range(TEMPLATES)):
        card(axes, x + 0.1 * behind, y + 0.1 * behind, "" if behind else text, face)


def card(axes: Axes, x: float, y: float, text: str, face: str = "white") -> None:
    """A box with its text."""
    corner = (x - 0.68, y - 0.36)
    shape = FancyBboxPatch(corner, 1.36, 0.72, boxstyle="round,pad=0.02,rounding_size=0.08", facecolor=face)
    shape.set(edgecolor=INK, linewidth=1.0)
    axes.add_patch(shape)
    axes.text(x, y, text, ha="center", va="center", fontsize=9)


def arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], *, bend: str = "arc3", colour: str = INK,
    gap: float = 0,
) -> None:  # fmt: skip
    """An arrow that keeps a gap, in points, to both ends."""
    style = {"arrowstyle": "-|>", "mutation_scale": 11, "linewidth": 1.2, "shrinkA": gap, "shrinkB": gap}
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=bend, color=colour, **style))


def frame(axes: Axes, title: str, width: tuple[float, float]) -> None:
    """Title and limits; no axes."""
    axes.set_title(title, fontsize=11, fontweight="bold", loc="center")
    axes.set_xlim(*width)
    axes.set_ylim(-0.45, 3.3)
    axes.set_aspect("equal")
    axes.axis("off")


def draw(part: Callable[[Axes], None]) -> Figure:
    """One of the two."""
    figure = Figure(figsize=(4.8, 2.7), dpi=200)
    part(figure.add_axes((0, 0, 1, 0.9)))
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="draw, write nothing")
    contents = {"overview_graph.png": to_bytes(draw(draw_graph)), "overview_cdc.png": to_bytes(draw(draw_flow))}
    if not parser.parse_args().smoke:
        for name, content in contents.items():
            write_bytes(FIGURES / name, content)
