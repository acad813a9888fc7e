"""Figures of the demonstration: accuracy by regime, and true beside estimated effects."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from causalvlm.demo.results import DemoEffect, Outcome, RegimeAccuracy
from causalvlm.demo.settings import CONTROL, MENDED, MODEL
from causalvlm.figures.style import tidy_axes
from causalvlm.intervals import Estimate
from causalvlm.phrases import INTERVAL, spoken

WIDTH = 6.4
"""Inches: narrow, so that the lettering stays legible on a phone."""

_BLUE, _RED, _GREEN = "#0072B2", "#D55E00", "#009E73"
_MODELS = {MODEL: (_RED, "o", -0.2), MENDED: (_GREEN, "D", 0.0), CONTROL: (_BLUE, "s", 0.2)}
"""Colour, marker and place within a row."""


def draw_regimes(regimes: Sequence[RegimeAccuracy]) -> Figure:
    """Accuracy in each regime: the model, the model with CDC, and the model trained without confounding."""
    rows = list(dict.fromkeys(entry.regime for entry in regimes))
    figure, axes = _open(0.75 * len(rows) + 1.4)
    for entry in regimes:
        colour, marker, offset = _MODELS[entry.model]
        row = rows.index(entry.regime)
        _draw_range(axes, row + offset, entry.accuracy, colour, marker, entry.model if row == 0 else None)
        axes.annotate(
            f"{100 * entry.accuracy.value:.0f}", (100 * entry.accuracy.high, row + offset), (4, 0), color=colour,
            textcoords="offset points", fontsize=8, va="center",
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    tidy_axes(
        axes, "Where the surroundings change, the model fails", f"right answers in per cent, {INTERVAL} intervals"
    )
    figure.legend(frameon=False, fontsize=8.5, loc="outside lower center", ncols=3, handletextpad=0.4)
    return figure


def draw_effects(effects: Sequence[DemoEffect], outcome: Outcome) -> Figure:
    """True, adjusted and naive effects of every factor on one outcome."""
    chosen = [effect for effect in effects if effect.outcome == outcome]
    figure, axes = _open(0.72 * len(chosen) + 1.5)
    axes.axvline(0, color="black", linewidth=0.8)
    for row, effect in enumerate(chosen):
        _draw_range(axes, row - 0.18, effect.true, _GREEN, "D", "true, by re-rendering" if row == 0 else None)
        _draw_range(axes, row + 0.02, effect.estimate, _BLUE, "o", "estimated, back door" if row == 0 else None)
        naive = 100 * effect.naive
        axes.plot([naive], [row + 0.22], "x", color=_RED, markersize=7, markeredgewidth=2,
                  label="naive difference" if row == 0 else None)  # fmt: skip
    names = [f"{spoken(effect.factor)}\n{effect.control} → {effect.treated}" for effect in chosen]
    axes.set_yticks(range(len(chosen)), names)
    axes.set_ylim(len(chosen) - 0.45, -0.55)
    title = "Effect on right answers" if outcome == "right" else "Pull towards what pre-training shows there"
    tidy_axes(axes, title, f"percentage points, {INTERVAL} intervals")
    figure.legend(frameon=False, fontsize=8.5, loc="outside lower center", ncols=3, handletextpad=0.4)
    return figure


def _open(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), dpi=150, layout="constrained")
    return figure, figure.subplots()


def _draw_range(axes: Axes, row: float, estimate: Estimate, colour: str, marker: str, label: str | None) -> None:
    axes.plot([100 * estimate.low, 100 * estimate.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot([100 * estimate.value], [row], color=colour, marker=marker, markersize=6, linestyle="none", label=label)
