"""An effect as a figure: the mean under each level with its interval, or the response to a dose with its band."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.text import Text

from causalvlm.estimation.curve import DoseCurve
from causalvlm.estimation.effect import Effect, say_level
from causalvlm.figures.style import STYLES, draw_interval, tidy_axes
from causalvlm.intervals import Estimate
from causalvlm.phrases import INTERVAL

WIDTH = 6.0
"""Inches of a figure of its own."""

_PALE, _LINE = "#888888", STYLES[1][0]


def draw_effect(effect: Effect, ax: Axes | None = None) -> Axes:
    """Draw E[Y | do(level)] for every level with its interval, or along a continuous treatment with its band.

    The two settings that the value compares are drawn in colour. A curve ends where too few rows stand behind it; the
    ticks below are percentiles of the treatment as it was observed.

    Args:
        effect: what `estimate_effect` returned.
        ax: where to draw; by default a new pyplot figure, which notebooks show.

    Returns:
        The axes, to add to or to save: ``ax.figure.savefig``.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> effect = estimate_effect(smoking().sample(2000, rng=rng), FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> [label.get_text() for label in draw_effect(effect, plt.figure().add_subplot()).get_yticklabels()]
        ['do(X=0)', 'do(X=1)']
    """
    if ax is None:
        height = 3.6 if effect.curve else 1.3 + 0.45 * len(effect.do_means)
        ax = plt.subplots(figsize=(WIDTH, height), dpi=110, layout="constrained")[1]
    if effect.curve:
        _draw_curve(ax, effect, effect.curve)
    else:
        _draw_levels(ax, effect)
    for text in ax.findobj(Text):
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue] - names are text, dollar signs too
    return ax


def _draw_levels(axes: Axes, effect: Effect) -> None:
    treatment = effect.estimand.treatment
    compared = {effect.control: STYLES[2], effect.treated: STYLES[1]}
    classes = 1 if effect.distribution is None else len(effect.distribution[effect.control])
    for row, (level, mean) in enumerate(effect.do_means.items()):
        low, high = effect.spread.interval(mean, np.kron(np.eye(len(effect.do_means))[row], np.eye(classes)[-1]))
        colour, marker = compared.get(level, (_PALE, "o"))
        draw_interval(axes, row, Estimate(mean, low, high), colour=colour, marker=marker, said=f"{mean:.3g}")
    axes.set_ylim(len(effect.do_means) - 0.5, -0.7)
    axes.set_yticks(range(len(effect.do_means)), [f"do({treatment}={level})" for level in effect.do_means])
    tidy_axes(axes, _title(effect), f"{_mean(effect)}, {INTERVAL} intervals")


def _draw_curve(axes: Axes, effect: Effect, curve: DoseCurve) -> None:
    band = curve.at()
    axes.fill_between(
        band.doses, band.band_low, band.band_high, color=_LINE, alpha=0.18, linewidth=0, label=f"{INTERVAL} band"
    )
    axes.plot(band.doses, band.means, color=_LINE, linewidth=2, label="mean")
    for dose, (colour, marker) in ((effect.control, STYLES[2]), (effect.treated, STYLES[1])):
        axes.plot([float(dose)], [effect.do_means[dose]], color=colour, marker=marker, markersize=7, linestyle="none")
    ticks = axes.get_xaxis_transform()
    axes.vlines(curve.observed, 0, 0.035, color=_PALE, linewidth=0.7, transform=ticks, label="observed, percentiles")
    tidy_axes(axes, _title(effect), effect.estimand.treatment)
    axes.grid(axis="y", color="#eeeeee", linewidth=0.8)
    axes.set_ylabel(_mean(effect), fontsize=8.5)
    axes.legend(frameon=False, fontsize=8.5)


def _title(effect: Effect) -> str:
    treated, control = say_level(effect.treated), say_level(effect.control)
    return f"{treated} against {control}: {effect.value:.3g} ({effect.low:.3g} to {effect.high:.3g})"


def _mean(effect: Effect) -> str:
    """What the axis of the means shows."""
    outcome, treatment = effect.estimand.outcome, effect.estimand.treatment
    if effect.distribution is None:
        return f"E[{outcome} | do({treatment})]"
    return f"P({outcome}={[*effect.distribution[effect.control]][-1]} | do({treatment}))"
