"""A continuous treatment: one slope where there is one, a curve where there is none, and a word where either fails."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.linear_model import LinearRegression

from causalvlm.errors import InputError, OverlapError
from causalvlm.estimation.check import warnings_in
from causalvlm.estimation.curve import DoseCurve, line_through
from causalvlm.estimation.dose_response import dose_response
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.learners import Learners
from causalvlm.estimation.partially_linear import partially_linear
from causalvlm.estimation.spread import Gaussian
from causalvlm.identification.estimands import BackDoor, FrontDoor
from causalvlm.refutation.verdict import FALSE_ALARM_RATE
from causalvlm.worlds.linear import LinearWorld

BACK = BackDoor("X", "Y", ("Z",))
ENDS = np.array([0.0, 1.0])


def hidden_curve(rng, rows=1500, bend=0.0):
    """One slope of 1 (and a bend), under a confounder that bends both stages."""
    z = rng.normal(size=rows)
    x = z + 0.5 * z**2 + rng.normal(size=rows)
    return pd.DataFrame({"X": x, "Z": z, "Y": x + bend * x**2 + z + z**2 + rng.normal(size=rows)})


def wave(rng, rows=2000):
    """E[Y | do(x)] = sin(2 x); the slope with Z is not zero, so that no additive model is right."""
    z = rng.normal(size=rows)
    x = 0.7 * z + rng.normal(size=rows)
    y = np.sin(2 * x) * (1 + 0.5 * z) + z * x / 2 + 0.5 * rng.normal(size=rows)
    return pd.DataFrame({"X": x, "Z": z, "Y": y})


def estimate(table, **options):
    return estimate_effect(table, BACK, rng=np.random.default_rng(0), **options)


def covered(draw, truth, name, runs=60):
    found = [estimate(draw(np.random.default_rng(seed)), estimator=name) for seed in range(runs)]
    return sum(one.low < truth < one.high for one in found), found


def test_one_slope_is_covered_where_the_confounder_bends():
    hits, found = covered(hidden_curve, 1.0, "partially-linear")
    assert hits >= binom.ppf(FALSE_ALARM_RATE, 60, 0.95)
    assert sum(bool(one.warnings) for one in found) <= binom.ppf(1 - FALSE_ALARM_RATE, 60, 0.02)
    values = np.array([one.value for one in found])
    assert values.std() == pytest.approx(np.mean([one.standard_error for one in found]), rel=0.3)


def test_one_slope_is_the_slope_of_residuals_on_residuals():
    """Against scikit-learn's regressions on the same folds."""
    table = LinearWorld().sample(600, rng=np.random.default_rng(0))
    z, x, y = table[["U"]].to_numpy(), table.X.to_numpy(), table.Y.to_numpy()
    own = Learners(LinearRegression(), LinearRegression())
    found = partially_linear(z, x, y, settings=ENDS, rng=np.random.default_rng(0), learners=own)
    order = np.argsort(np.random.default_rng(0).random(600))
    assigned = np.empty(600, dtype=int)
    assigned[order] = np.arange(600) % 5
    v, w = np.empty(600), np.empty(600)
    for fold in range(5):
        train, held = assigned != fold, assigned == fold
        for target, kept in ((x, v), (y, w)):
            kept[held] = target[held] - LinearRegression().fit(z[train], target[train]).predict(z[held])
    assert found.slope == pytest.approx(LinearRegression(fit_intercept=False).fit(v[:, None], w).coef_[0], abs=1e-10)


@pytest.mark.parametrize("draw", [wave, lambda rng: hidden_curve(rng, bend=0.2)])
def test_a_slope_that_is_none_is_said(draw):
    effect = estimate(draw(np.random.default_rng(1)))
    assert effect.estimator == "partially-linear"
    assert any(note.startswith("partially-linear assumes one slope") for note in effect.warnings)


def test_the_curve_is_covered_where_no_line_is_right():
    hits, found = covered(wave, np.sin(2), "dose-response", runs=8)
    assert hits >= binom.ppf(FALSE_ALARM_RATE, 8, 0.95)
    assert not any("extrapolates" in note for one in found for note in one.warnings)


def test_any_two_doses_are_compared_and_a_band_holds_the_curve():
    effect = estimate(wave(np.random.default_rng(3), rows=4000), estimator="dose-response")
    found = effect.contrast(0.5, -0.5)
    assert found.low < np.sin(1) - np.sin(-1) < found.high
    band = effect.curve.at(np.linspace(-1.2, 1.2, 25))
    truth = np.sin(2 * band.doses)
    assert ((band.band_low < truth) & (truth < band.band_high)).all()
    assert (band.band_high - band.band_low > band.high - band.low).all()
    assert effect.contrast(1.0, 0.0).value == effect.value


def test_a_dose_without_rows_is_refused():
    table = hidden_curve(np.random.default_rng(0))
    with pytest.raises(OverlapError, match=r"at least 30 effective rows near it; 9 has .* compare doses from"):
        estimate(table, estimator="dose-response", treated=9.0)
    effect = estimate(table, estimator="dose-response")
    with pytest.raises(OverlapError, match="doses must lie where rows are"):
        effect.contrast(50.0, 0.0)
    with pytest.raises(InputError, match="treated and control must be finite numbers"):
        effect.contrast("much", 0.0)


def test_a_dose_that_some_rows_cannot_get_is_named():
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, size=3000) * 1.0
    x = rng.uniform(size=3000) + z  # z = 0 gets doses below 1, z = 1 those above
    found = dose_response(z[:, None], x, x + z + rng.normal(size=3000), settings=np.array([0.5, 1.5]), rng=rng)
    assert sum("could never get the dose" in note for note in warnings_in(found.notes)) == 2


def test_a_line_is_a_curve_too():
    table = LinearWorld().sample(1000, rng=np.random.default_rng(0))
    for estimand in (FrontDoor("X", "Y", ("S",)), BackDoor("X", "Y", ("U",))):
        effect = estimate_effect(table, estimand, rng=np.random.default_rng(0))
        assert effect.contrast(0.5, -1.0).value == pytest.approx(1.5 * effect.value)
        assert effect.contrast(0.5, -1.0).standard_error == pytest.approx(1.5 * effect.standard_error)


def test_the_band_holds_a_gaussian_curve_as_often_as_it_says():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 3)) / 3
    doses, hits = np.linspace(-1, 1, 30), 0
    for _ in range(300):
        curve = DoseCurve(
            lambda d: np.column_stack([d**0, d, d**2]), root @ rng.normal(size=3), Gaussian(root @ root.T), (-1.0, 1.0)
        )
        band = curve.at(doses)
        hits += bool(((band.band_low <= 0) & (band.band_high >= 0)).all())
    assert binom.ppf(FALSE_ALARM_RATE, 300, 0.95) <= hits <= binom.ppf(1 - FALSE_ALARM_RATE, 300, 0.95)


def test_a_line_through_two_means_has_their_covariance():
    line = line_through((1.0, 3.0), np.array([0.0, 4.0]), Gaussian(np.diag([1.0, 2.0])), support=(0.0, 9.0))
    assert line.contrast(3.0, 1.0).standard_error == pytest.approx(np.sqrt(3))
