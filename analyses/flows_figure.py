"""The two flows of the architecture page as a picture: how images become a prediction, and how they become a claim.

Run:    python analyses/flows_figure.py            (a second; --smoke draws and writes nothing)
Expect: docs/figures/flows.png, with every room that it names in the tree
"""

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from causalvlm.figures.style import to_bytes
from cdc.files import write_bytes

FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "flows.png"
WIDTH, HEIGHT = 1.72, 0.78
VALUE, WORK = "#FFFFFF", "#DCEBF7"


@dataclass(frozen=True)
class Box:
    """A value, or a piece of work, and the room that it lives in.

    Attributes:
        x: of its centre.
        y: of its centre.
        text: what it is.
        room: where it lives, relative to the package; empty for what the user brings.
        colour: values are white, work is blue.
    """

    x: float
    y: float
    text: str
    room: str = ""
    colour: str = VALUE


CDC = {
    "images": Box(0, 3, "images", "data"),
    "views": Box(2.2, 3, "augmented views", "images", WORK),
    "image tower": Box(4.4, 3, "frozen image tower\n(cached)", "images, backbones", WORK),
    "names": Box(0, 1.7, "class names", "data"),
    "prompts": Box(2.2, 1.7, "templates and\nlearned contexts", "prompts", WORK),
    "text tower": Box(4.4, 1.7, "frozen text tower\n(prefix shared)", "prompts, backbones", WORK),
    "classifier": Box(6.6, 2.35, "method.classifier\n(class_names)", "methods", WORK),
    "opinions": Box(8.8, 2.35, "opinions of the\ntemplates: S", "beliefs"),
    "prediction": Box(11.0, 2.35, "Prediction\nbelief, uncertainty", "beliefs"),
    "adapter": Box(6.6, 0.9, "train -> Adapter", "training, adapter", WORK),
    "scores": Box(11.0, 0.9, "Scores, tables", "evaluation, protocols"),
}
CDC_ARROWS = (
    "images > views > image tower > classifier > opinions > prediction > scores",
    "names > prompts > text tower > classifier",
    "adapter > classifier",
)
CAUSAL = {
    "data": Box(0, 2.9, "images, factors", "datasets"),
    "model": Box(0, 1.8, "backbone or Adapter", "adaptation"),
    "table": Box(2.2, 2.35, "EmbeddingTable", "embeddings"),
    "probes": Box(4.4, 2.35, "what is decodable?", "probes", WORK),
    "diagnosis": Box(6.6, 2.35, "what moves with it?\nDiagnosis", "diagnosis", WORK),
    "report": Box(8.8, 2.35, "report, figures", "report, figures"),
    "graph": Box(2.2, 0, "CausalGraph", "graphs"),
    "identify": Box(4.4, 0, "identify -> estimand", "identification", WORK),
    "rows": Box(4.4, 1.1, "data frame"),
    "effect": Box(6.6, 0.55, "estimate_effect\n-> Effect", "estimation", WORK),
    "verdicts": Box(8.8, 0.55, "refute -> Verdicts", "refutation", WORK),
}
CAUSAL_ARROWS = (
    "data > table > probes > diagnosis > report",
    "model > table",
    "graph > identify > effect > verdicts",
    "rows > effect",
)


def draw_flow(axes: Axes, title: str, boxes: dict[str, Box], arrows: tuple[str, ...]) -> None:
    """One flow: boxes, and an arrow from each to the next in every chain."""
    for box in boxes.values():
        corner = (box.x - WIDTH / 2, box.y - HEIGHT / 2)
        style = {"facecolor": box.colour, "edgecolor": "#333333", "linewidth": 0.9}
        axes.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle="round,pad=0.02,rounding_size=0.1", **style))
        axes.text(box.x, box.y + 0.08, box.text, ha="center", va="center", fontsize=7.4)
        axes.text(box.x, box.y - HEIGHT / 2 + 0.09, box.room, ha="center", va="center", fontsize=5.6, color="#0072B2")
    for chain in arrows:
        for one, other in pairwise(chain.split(" > ")):
            start, end = boxes[one], boxes[other]
            level = start.x == end.x
            side = 1 if end.y > start.y else -1
            first = (start.x, start.y + side * HEIGHT / 2) if level else (start.x + WIDTH / 2, start.y)
            last = (end.x, end.y - side * HEIGHT / 2) if level else (end.x - WIDTH / 2, end.y)
            axes.add_patch(
                FancyArrowPatch(first, last, arrowstyle="-|>", mutation_scale=9, color="#555555", linewidth=0.9)
            )
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold")
    axes.set_xlim(-1.05, 12.05)
    axes.set_ylim(min(box.y for box in boxes.values()) - 0.6, max(box.y for box in boxes.values()) + 0.6)
    axes.set_aspect("equal")
    axes.axis("off")


def draw() -> Figure:
    """Both flows, one above the other."""
    figure = Figure(figsize=(9.5, 5.7), dpi=160, layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=[3.3, 4.1])
    draw_flow(top, "cdc: from images and class names to a prediction", CDC, CDC_ARROWS)
    draw_flow(
        bottom,
        "causalvlm: from images to what goes wrong with them; from a graph and data to a claim that was tested",
        CAUSAL,
        CAUSAL_ARROWS,
    )
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="draw, write nothing")
    content = to_bytes(draw())
    if not parser.parse_args().smoke:
        write_bytes(FIGURE, content)
