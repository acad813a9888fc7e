"""Figures of the demonstration: accuracy by regime, what factors do, true beside estimated effects, base to new."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from causalvlm.demo.results import Adaptation, DemoEffect, Outcome, RegimeAccuracy
from causalvlm.demo.settings import CONTROL, MODEL
from causalvlm.diagnosis.result import Diagnosis, FactorDiagnosis
from causalvlm.figures.style import draw_interval, mark_percent, tidy_axes
from causalvlm.intervals import Estimate
from causalvlm.phrases import INTERVAL, spoken

WIDTH = 6.4
"""Inches: narrow, so that the lettering stays legible on a phone."""

_BLUE, _RED, _GREEN, _INK, _PALE = "#0072B2", "#D55E00", "#009E73", "#333333", "#888888"
_MODELS = {MODEL: (_BLUE, "o"), CONTROL: (_RED, "s")}


def draw_regimes(regimes: Sequence[RegimeAccuracy]) -> Figure:
    """Zero-shot accuracy of both models in each regime."""
    figure, axes = _open(0.45 * len(regimes) + 1.2)
    for row, entry in enumerate(regimes):
        colour, marker = _MODELS[entry.model]
        draw_interval(axes, row, entry.accuracy, colour=colour, marker=marker)
    axes.set_yticks(range(len(regimes)), [f"{entry.model}, {entry.regime}" for entry in regimes])
    axes.set_ylim(len(regimes) - 0.4, -0.7)
    tidy_axes(axes, "Zero-shot accuracy by regime", f"right answers, {INTERVAL} intervals")
    mark_percent(axes)
    return figure


def draw_factors(diagnosis: Diagnosis) -> Figure:
    """How well a probe reads each factor, beside guessing the commonest level."""
    factors = sorted(diagnosis.factors, key=lambda factor: factor.probe.majority - factor.probe.accuracy.value)
    figure, axes = _open(0.42 * len(factors) + 1.3)
    for row, factor in enumerate(factors):
        probe = factor.probe
        draw_interval(axes, row, probe.accuracy, colour=_BLUE, marker="o")
        label = "always the commonest level" if row == 0 else None
        axes.plot([probe.majority], [row], "|", color=_INK, markersize=13, markeredgewidth=2, label=label)
    axes.set_yticks(range(len(factors)), [spoken(factor.factor) for factor in factors])
    axes.set_ylim(len(factors) - 0.4, -0.7)
    tidy_axes(axes, "What a linear probe reads from the embedding", "pictures whose level is read right")
    mark_percent(axes)
    axes.plot([], [], "o-", color=_BLUE, label="probe")
    figure.legend(frameon=False, fontsize=8.5, loc="outside lower center", ncols=2, handletextpad=0.4)
    return figure


def draw_levels(factors: Sequence[FactorDiagnosis]) -> Figure:
    """Accuracy at each level of some factors, the reference first."""
    sizes = [len(factor.levels) for factor in factors]
    figure = Figure(figsize=(WIDTH, 0.3 * sum(sizes) + 0.95 * len(factors)), dpi=150, layout="constrained")
    panels = figure.subplots(len(factors), 1, height_ratios=[size + 1.0 for size in sizes], squeeze=False)[:, 0]
    for axes, factor in zip(panels, factors, strict=True):
        for row, level in enumerate(factor.levels):
            colour, marker = (_INK, "D") if row == 0 else (_BLUE, "o")
            draw_interval(axes, row, level.accuracy, colour=colour, marker=marker)
        axes.set_yticks(range(len(factor.levels)), [level.level for level in factor.levels])
        axes.set_ylim(len(factor.levels) - 0.4, -0.8)
        tidy_axes(axes, f"{spoken(factor.factor)} (reference: {factor.reference})", "")
        mark_percent(axes)
    panels[-1].set_xlabel(f"right answers, {INTERVAL} intervals", fontsize=8.5)
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


def draw_base_to_new(adaptation: Adaptation) -> Figure:
    """Accuracy on base and new classes before and after."""
    figure, axes = _open(2.3)
    before, after = adaptation.zero_shot, adaptation.adapted
    rows = (
        ("base classes", before.base, after.base), ("new classes", before.new, after.new),
        ("harmonic mean", before.harmonic_mean, after.harmonic_mean),
    )  # fmt: skip
    for row, (_, old, new) in enumerate(rows):
        axes.annotate("", (100 * new, row), (100 * old, row), arrowprops={"arrowstyle": "-", "color": _PALE})
        axes.plot([100 * old], [row], "o", color=_INK, label="zero-shot" if row == 0 else None)
        axes.plot([100 * new], [row], "s", color=_GREEN, label="CDC" if row == 0 else None)
    axes.set_yticks(range(3), [name for name, *_ in rows])
    axes.set_ylim(2.5, -0.5)
    tidy_axes(axes, "Base to new", "per cent; the axis does not begin at zero")
    values = np.array([row[1:] for row in rows]) * 100
    axes.set_xlim(values.min() - 5, values.max() + 5)
    axes.legend(frameon=False, fontsize=8.5, ncols=2, loc="upper right", bbox_to_anchor=(1.0, 1.22))
    return figure


def _open(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), dpi=150, layout="constrained")
    return figure, figure.subplots()


def _draw_range(axes: Axes, row: float, estimate: Estimate, colour: str, marker: str, label: str | None) -> None:
    axes.plot([100 * estimate.low, 100 * estimate.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot([100 * estimate.value], [row], color=colour, marker=marker, markersize=6, linestyle="none", label=label)
