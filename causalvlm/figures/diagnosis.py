"""One picture per factor: is it decodable, how accurate is the model at each level, and which classes lose margin?"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text

from causalvlm.diagnosis.levels import LevelDiagnosis, largest_loss
from causalvlm.diagnosis.result import Diagnosis, FactorDiagnosis
from causalvlm.figures.style import STYLES, ShownFigure, draw_interval, mark_percent, tidy_axes
from causalvlm.intervals import Estimate

SHOWN_CLASSES = 15
"""Classes in the picture, those that lose most; all of them are in the result."""

SHOWN_MEASURES = 3
"""Measured factors in the picture, those that go with the largest shifts of the margin."""

WIDTH = 9.0
ROW = 0.27
"""Inches: width of the figure, height of one line of it."""


def draw_diagnosis(diagnosis: Diagnosis) -> Figure:
    """Draw the factors of a diagnosis, one below the other: the labelled ones, and a few of those measured.

    Args:
        diagnosis: what `diagnose` returned.

    Returns:
        A figure of its own, without any global state of matplotlib.

    Example:
        >>> import numpy as np
        >>> from causalvlm.diagnosis.diagnose import diagnose
        >>> from causalvlm.embeddings.table import EmbeddingTable
        >>> rng, level = np.random.default_rng(0), np.repeat(["day", "night"], 20)
        >>> table = EmbeddingTable(features=rng.normal(size=(40, 3)), logits=rng.normal(size=(40, 2)),
        ...                        labels=np.tile([0, 1], 20), factors={"light": level}, class_names=("cat", "dog"))
        >>> len(draw_diagnosis(diagnose(table)).subfigs)
        1
    """
    factors = figure_factors(diagnosis)
    heights = [_height(factor) for factor in factors]
    figure = ShownFigure(figsize=(WIDTH, sum(heights)), dpi=130, layout="constrained")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, factor in zip(parts, factors, strict=True):
        _draw_factor(part, factor)
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue] - names are text, dollar signs too
    return figure


def figure_factors(diagnosis: Diagnosis) -> tuple[FactorDiagnosis, ...]:
    """The factors in the picture: every labelled one, and the first `SHOWN_MEASURES` of those measured."""
    labelled = [factor for factor in diagnosis.factors if factor.source == "label"]
    measured = [factor for factor in diagnosis.factors if factor.source != "label"]
    return (*labelled, *measured[:SHOWN_MEASURES])


def _height(factor: FactorDiagnosis) -> float:
    classes = min(SHOWN_CLASSES, len({cell.class_name for cell in factor.cells}))
    return 1.5 + ROW * max(classes, 5.5 + len(_shown(factor)))


def _shown(factor: FactorDiagnosis) -> tuple[LevelDiagnosis, ...]:
    """The reference and the levels that lose most margin, as many as there are styles."""
    return factor.levels[: len(STYLES)]


def _draw_factor(part: SubFigure, factor: FactorDiagnosis) -> None:
    part.suptitle(f"Factor: {factor.factor}", x=0.01, ha="left", fontsize=11, fontweight="bold")
    left, right = part.subfigures(1, 2, width_ratios=[0.95, 1.25], squeeze=False)[0]
    top, bottom = left.subplots(2, 1, height_ratios=[2.2, 0.4 + len(_shown(factor))])
    _draw_probe(top, factor)
    _draw_accuracy(bottom, factor)
    _draw_margins(right.subplots(), factor)


def _draw_probe(axes: Axes, factor: FactorDiagnosis) -> None:
    probe, guess = factor.probe, factor.probe.majority
    draw_interval(axes, 0, probe.accuracy, colour="black", marker="o")
    draw_interval(axes, 1, Estimate(guess, low=guess, high=guess), colour="#888888", marker="|")
    axes.set_ylim(1.4, -0.7)
    axes.set_yticks([0, 1], ["probe", "best guess"])
    tidy_axes(axes, "Is it decodable from the embedding?", "images whose level is named right")
    mark_percent(axes)


def _draw_accuracy(axes: Axes, factor: FactorDiagnosis) -> None:
    levels = _shown(factor)
    for row, (level, (colour, marker)) in enumerate(zip(levels, STYLES, strict=False)):
        draw_interval(axes, row, level.accuracy, colour=colour, marker=marker)
    axes.set_ylim(len(levels) - 0.4, -0.6)
    axes.set_yticks(range(len(levels)), [level.level for level in levels])
    hidden = f" (the reference and the {len(levels) - 1} that lose most)" if len(factor.levels) > len(levels) else ""
    tidy_axes(axes, f"How accurate at each level?{hidden}", "accuracy")
    mark_percent(axes)


def _draw_margins(axes: Axes, factor: FactorDiagnosis) -> None:
    levels = _shown(factor)
    margins = {(cell.class_name, cell.level): cell.margin for cell in factor.cells}
    every = list(dict.fromkeys(cell.class_name for cell in factor.cells))
    losses = {name: largest_loss(cell for cell in factor.cells if cell.class_name == name) for name in every}
    classes = sorted(every, key=lambda name: losses[name])[:SHOWN_CLASSES]
    axes.axvline(0, color="black", linewidth=0.8)
    for row, name in enumerate(classes):
        found = [margins[name, level.level] for level in levels if (name, level.level) in margins]
        axes.plot([min(found), max(found)], [row, row], color="#cccccc", linewidth=1.2, zorder=1)
    for level, (colour, marker) in zip(levels, STYLES, strict=False):
        rows = [row for row, name in enumerate(classes) if (name, level.level) in margins]
        values = [margins[classes[row], level.level] for row in rows]
        label = f" {level.level}"  # matplotlib leaves out labels that start with _
        axes.scatter(values, rows, color=colour, marker=marker, s=34, zorder=2, label=label)
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.set_yticks(range(len(classes)), classes)
    hidden = f" (the {len(classes)} of {len(every)} that lose most)" if len(every) > len(classes) else ""
    tidy_axes(axes, f"Which classes lose margin?{hidden}", "← wrong     mean logit margin     right →")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.13 * 9 / max(9, len(classes))), ncols=3, frameon=False, fontsize=8,
        handletextpad=0.1, columnspacing=1.2,
    )  # fmt: skip
