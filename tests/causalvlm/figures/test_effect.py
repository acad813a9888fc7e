"""Effects as figures: every number that is drawn is the effect's own."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from causalvlm import BackDoor, draw_effect, estimate_effect


@pytest.fixture
def axes():
    yield plt.figure().add_subplot()
    plt.close("all")


def categorical():
    rng = np.random.default_rng(0)
    background = rng.choice(["grass", "sand", "$water"], size=600)
    answer = pd.Categorical(np.where(rng.random(600) < 0.3 + 0.3 * (background == "sand"), "dog", "cat"))
    table = pd.DataFrame({"background": background, "answer": answer})
    return estimate_effect(table, BackDoor("background", "answer", ()), rng=rng, treated="sand")


def dose(estimator):
    rng = np.random.default_rng(0)
    z = rng.normal(size=1000)
    x = 0.8 * z + rng.normal(size=1000)
    table = pd.DataFrame({"X": x, "Z": z, "Y": np.sin(x) + z + rng.normal(size=1000)})
    return estimate_effect(table, BackDoor("X", "Y", ("Z",)), rng=rng, estimator=estimator), x


def test_levels_are_rows_with_their_means_and_intervals(axes):
    effect = categorical()
    assert effect.plot(axes) is axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"do(background={level})" for level in effect.do_means
    ]
    bars, points = axes.lines[::2], axes.lines[1::2]
    assert [point.get_xdata()[0] for point in points] == list(effect.do_means.values())
    draws = effect.spread.values[:, 1::2]  # the probability of the last class at each level
    for place, bar in enumerate(bars):
        assert np.allclose(bar.get_xdata(), np.quantile(draws[:, place], [0.025, 0.975]))
    assert len({point.get_marker() for point in points}) == 3  # treated, control and any other, without colour
    assert axes.get_xlabel() == "P(answer=dog | do(background)), 95 % intervals"
    axes.figure.draw_without_rendering()  # a dollar sign is no formula


@pytest.mark.parametrize("estimator", ["dose-response", "partially-linear"])
def test_a_dose_has_its_curve_with_band_and_observed_doses(axes, estimator):
    effect, doses = dose(estimator)
    draw_effect(effect, axes)
    curve, *settings = axes.lines
    band = effect.curve.at()
    assert np.array_equal(curve.get_xydata(), np.column_stack([band.doses, band.means]))
    assert (curve.get_xdata()[0], curve.get_xdata()[-1]) == pytest.approx(effect.curve.support)
    assert [tuple(point.get_xydata()[0]) for point in settings] == [(at, effect.do_means[at]) for at in (0.0, 1.0)]
    filled, ticks = axes.collections
    edges = filled.get_paths()[0].vertices[:, 1]
    assert (edges.min(), edges.max()) == (band.band_low.min(), band.band_high.max())
    observed = [segment[0, 0] for segment in ticks.get_segments()]
    assert np.allclose(observed, np.percentile(doses, range(101)))


def test_without_axes_a_figure_is_opened_that_notebooks_show():
    axes = categorical().plot()
    assert isinstance(axes, Axes)
    assert axes.figure.number in plt.get_fignums()
    plt.close(axes.figure)
