"""What every figure has in common: levels told apart, a dot with its interval, quiet axes, one way to a file."""

import io
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from causalvlm.intervals import Estimate

STYLES = (
    ("#444444", "o"), ("#0072B2", "s"), ("#D55E00", "^"), ("#009E73", "D"), ("#CC79A7", "v"), ("#E69F00", "P"),
)  # fmt: skip
"""Colour and marker of the levels, the reference first: Okabe and Ito's palette, told apart without colour too."""


class ShownFigure(Figure):
    """A figure that belongs to no window, and that notebooks show all the same, whatever of pyplot they have loaded."""

    def _repr_svg_(self) -> str:
        return to_svg(self)


def to_svg(figure: Figure) -> str:
    """The figure as notebooks show it: as SVG that is never wider than the page."""
    return to_bytes(figure, "svg").decode().replace("<svg ", '<svg style="max-width:100%;height:auto" ', 1)


def to_bytes(figure: Figure, kind: Literal["png", "pdf", "svg"] = "png", *, dpi: int | None = None) -> bytes:
    """The figure as the content of a file.

    Args:
        figure: what to write.
        kind: format of the file.
        dpi: dots an inch of a PNG; by default the figure's own.

    Example:
        >>> to_bytes(Figure(figsize=(1, 1)))[1:4]
        b'PNG'
    """
    stream = io.BytesIO()
    undated = {"Date": None} if kind == "svg" else None
    with matplotlib.rc_context({"svg.hashsalt": "causalvlm"}):  # the same figure is the same file
        figure.savefig(stream, format=kind, dpi=dpi or "figure", metadata=undated)
    return stream.getvalue()


def draw_interval(
    axes: Axes, row: int, estimate: Estimate, *, colour: str, marker: str, said: str | None = None
) -> None:
    """One row of a dot plot: a number with its interval, written above it as `said`, by default as a share."""
    axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot([estimate.value], [row], color=colour, marker=marker, markersize=6)
    axes.annotate(
        said or f"{estimate.value:.0%}", (estimate.value, row), xytext=(0, 6), textcoords="offset points", ha="center",
        fontsize=8.5, color=colour,
    )  # fmt: skip


def mark_percent(axes: Axes) -> None:
    """An axis from 0 to 100 per cent."""
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks(np.linspace(0, 1, 5), [f"{share:.0%}" for share in np.linspace(0, 1, 5)])


def tidy_axes(axes: Axes, title: str, label: str) -> None:
    """Title, label and quiet lines, as in every figure here."""
    axes.set_title(title, loc="left", fontsize=9.5)
    axes.set_xlabel(label, fontsize=8.5)
    axes.tick_params(labelsize=8.5, length=0)
    axes.grid(axis="x", color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#bbbbbb")
