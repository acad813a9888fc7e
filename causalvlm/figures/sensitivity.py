"""How an effect and its interval give way as each assumption fails more, and where zero comes within reach."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from causalvlm.estimation.scenario import Scenario, Sensitivity
from causalvlm.figures.style import STYLES, ShownFigure, tidy_axes

_POINTS = 60


def draw_sensitivity(found: Sensitivity) -> Figure:
    """Draw a panel for each scenario: the effects and the interval that a strength allows, to past the breakdown point.

    Observed covariates are marked at the mean of their strengths, with the interval that theirs allow.

    Args:
        found: what `sensitivity` returned.

    Returns:
        A figure of its own, without any global state of matplotlib.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.estimation.sensitivity import sensitivity
        >>> from causalvlm.identification.estimands import BackDoor
        >>> from causalvlm.worlds.linear import LinearWorld
        >>> rng = np.random.default_rng(0)
        >>> table = LinearWorld().sample(400, rng=rng)
        >>> effect = estimate_effect(table, BackDoor("X", "Y", ("U",)), rng=rng)
        >>> len(draw_sensitivity(sensitivity(effect, table)).axes)
        1
    """
    count = len(found.scenarios)
    figure = ShownFigure(figsize=(4.2 * count, 3.4), dpi=130, layout="constrained")
    for axes, scenario in zip(figure.subplots(1, count, squeeze=False)[0], found.scenarios, strict=True):
        _draw_scenario(axes, scenario)
    return figure


def _draw_scenario(axes: Axes, scenario: Scenario) -> None:
    colour, _ = STYLES[1]
    most = min(1.2 * max(scenario.breakdown, 0.02), 0.98)
    strengths = np.linspace(0.0, most, _POINTS)
    bias = np.array([scenario.bias(strength) for strength in strengths])
    low, high = np.array([scenario.interval(strength) for strength in strengths]).T
    axes.fill_between(strengths, low, high, color=colour, alpha=0.15, linewidth=0, label="95 % interval")
    for sign in (-1, 1):
        axes.plot(strengths, scenario.value + sign * bias, color=colour, label="effect" if sign > 0 else None)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.axvline(scenario.breakdown, color="#888888", linestyle=":", linewidth=1.2, label="breakdown point")
    for (name, found), (shade, marker) in zip(scenario.benchmarks.items(), STYLES[2:], strict=False):
        place = float(np.mean(found))
        if place <= most:
            axes.plot([place] * 2, scenario.interval(*found), color=shade, marker=marker, label=f" as strong as {name}")
    tidy_axes(axes, scenario.name, "share explained of " + ",\n".join(scenario.ends))
    axes.xaxis.label.set_fontsize(7)
    axes.legend(loc="upper left", frameon=False, fontsize=7)
