"""What each factor does to the share of right answers, one line a factor: the figure on a report's first screen."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from causalvlm.diagnosis.ladder import Light, StatedEffect
from causalvlm.diagnosis.result import Diagnosis, FactorDiagnosis
from causalvlm.figures.style import ShownFigure, tidy_axes
from causalvlm.phrases import spoken

COLOURS: dict[Light, str] = {"red": "#B3400E", "amber": "#8A6100", "green": "#00664D", "unknown": "#666666"}
"""Of the lights, dark enough to be read on white."""

MARKERS = {"re-rendered": "o", "edited": "s", "back-door": "D"}
MEANINGS = {"re-rendered": "same pictures, drawn again", "edited": "same images, edited", "back-door": "estimated"}

SHOWN_FACTORS = 12
"""Factors in the figure, those that move accuracy most; all of them are in the table beside it."""

LONGEST_NAME = 60
"""Characters beside a line; what is longer ends in dots, so that there is room for the lines."""


def draw_ladder(diagnosis: Diagnosis) -> Figure:
    """Draw the effect of every factor on being right, in points, with its interval; the largest on top.

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
        >>> len(draw_ladder(diagnose(table)).axes)
        1
    """
    known = [(factor, effect) for factor in diagnosis.factors if (effect := factor.ladder.effect)]
    known.sort(key=lambda one: -abs(one[1].value))
    known = known[:SHOWN_FACTORS]
    figure = ShownFigure(figsize=(6.4, 1.1 + 0.42 * max(1, len(known))), dpi=130, layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="black", linewidth=0.8)
    for row, (factor, effect) in enumerate(known):
        colour = COLOURS[factor.ladder.light]
        ends = [100 * effect.low, 100 * effect.high]
        axes.plot(ends, [row, row], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([100 * effect.value], [row], color=colour, marker=MARKERS[effect.how], markersize=6)
    axes.set_ylim(max(1, len(known)) - 0.4, -0.6)
    axes.set_yticks(range(len(known)), [_name(factor, effect) for factor, effect in known])
    for label, (factor, _) in zip(axes.get_yticklabels(), known, strict=True):
        label.set_color(COLOURS[factor.ladder.light])
    tidy_axes(axes, "", "right answers more or fewer, in points of a hundred")
    used = [how for how in MARKERS if any(effect.how == how for _, effect in known)]
    handles = [
        Line2D([], [], color="#444444", marker=MARKERS[how], linestyle="", label=f" {MEANINGS[how]}") for how in used
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=8)
    else:
        axes.text(0.5, 0.5, "no effect could be told", transform=axes.transAxes, ha="center", va="center")
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue] - names are text, dollar signs too
    return figure


def _name(factor: FactorDiagnosis, effect: StatedEffect) -> str:
    said = f" {spoken(factor.factor)}: {effect.reference} → {effect.level}"
    return said if len(said) <= LONGEST_NAME else f"{said[: LONGEST_NAME - 1]}…"
