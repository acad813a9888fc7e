"""The front-door curve of a continuous treatment, in worlds whose truth is a formula."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from causalvlm.errors import InputError, OverlapError
from causalvlm.estimation.effect import estimate_effect
from causalvlm.identification.estimands import FrontDoor
from causalvlm.refutation.refute import refute

FRONT, GIVEN_C = FrontDoor("X", "Y", ("S",)), FrontDoor("X", "Y", ("S",), ("C",))
FALSE_ALARM_RATE = 1e-3


def straight(rng, rows=2000, noise=1.0):
    """E[Y | do(x)] = 0.8 x."""
    u = rng.normal(size=rows)
    x = u + rng.normal(size=rows)
    s = 0.8 * x + noise * rng.normal(size=rows)
    return pd.DataFrame({"X": x, "S": s, "Y": s + u + rng.normal(size=rows)})


def parabola(rng, rows=1000):
    """E[Y | do(x)] = x + 0.6 x^2."""
    u = rng.normal(size=rows)
    x = u + rng.normal(size=rows)
    s = x + 0.6 * x**2 + rng.normal(size=rows)
    return pd.DataFrame({"X": x, "S": s, "Y": s + u + rng.normal(size=rows)})


def swell(rng, rows=1000):
    """E[Y | do(x)] = sin x."""
    u, c = rng.normal(size=(2, rows))
    x = u + 0.7 * c + rng.normal(size=rows)
    s = np.sin(x) + 0.5 * c + 0.3 * c * x + rng.normal(size=rows)
    return pd.DataFrame({"X": x, "C": c, "S": s, "Y": s + u + c + rng.normal(size=rows)})


def curve(table, estimand=FRONT, seed=0, **options):
    return estimate_effect(table, estimand, rng=np.random.default_rng(seed), estimator="dose-response", **options)


def covered(draw, truth, estimand, runs):
    found = [curve(draw(np.random.default_rng(seed)), estimand) for seed in range(runs)]
    return sum(one.low < truth < one.high for one in found), np.mean([one.value for one in found])


def test_a_curved_first_stage_is_covered_where_two_lines_are_not():
    hits, mean = covered(parabola, 1.6, FRONT, runs=3)
    assert hits >= binom.ppf(FALSE_ALARM_RATE, 3, 0.95)
    assert mean == pytest.approx(1.6, abs=0.25)
    lines = estimate_effect(parabola(np.random.default_rng(0)), FRONT, rng=0)
    assert lines.estimator == "two-stage"
    assert lines.high < 1.6
    assert any("Use 'dose-response'" in warning for warning in lines.warnings)


def test_covariates_are_held_fixed():
    hits, mean = covered(swell, np.sin(1), GIVEN_C, runs=2)
    assert hits >= 1
    assert mean == pytest.approx(np.sin(1), abs=0.25)


def test_any_two_doses_are_compared_within_the_support_and_a_band_holds_the_curve():
    effect = curve(straight(np.random.default_rng(0)))
    found = effect.contrast(-1.0, 0.5)
    assert found.low < -1.2 < found.high
    band = effect.curve.at(np.linspace(-1.5, 1.5, 15))
    truth = 0.8 * band.doses
    assert ((band.band_low < truth) & (truth < band.band_high)).all()
    with pytest.raises(OverlapError, match="doses must lie where rows are"):
        effect.contrast(9.0, 0.0)
    with pytest.raises(OverlapError, match="at least 30 effective rows near it"):
        curve(straight(np.random.default_rng(0)), treated=9.0)


def test_lines_give_what_two_stages_give():
    """With lines of the outcome the curve is that of `two-stage` within its standard error, and less sure of it."""
    table = straight(np.random.default_rng(1))
    one, two = curve(table, outcome_model=LinearRegression()), estimate_effect(table, FRONT, rng=0)
    assert abs(one.value - two.value) < 2 * one.standard_error
    assert two.standard_error < one.standard_error


def test_without_a_model_of_the_outcome_the_ratio_finds_the_effect():
    """With a constant in place of E[Y | X, S] all of the curve comes from the weighted residuals."""
    values = [curve(straight(np.random.default_rng(seed)), outcome_model=DummyRegressor()).value for seed in range(3)]
    assert np.mean(values) == pytest.approx(0.8, abs=0.15)


def test_a_mediator_that_repeats_the_treatment_is_refused_and_one_that_nearly_does_is_warned_of():
    with pytest.raises(OverlapError, match=r"50% of such pairs or more must be like a row; received about \d\d%"):
        curve(straight(np.random.default_rng(0), noise=0.1))
    effect = curve(straight(np.random.default_rng(0), noise=0.5))
    assert any("pairs of a mediator and another row's treatment are like no row" in note for note in effect.warnings)
    assert not any("like no row" in note for note in curve(straight(np.random.default_rng(0))).warnings)


def test_weights_and_clusters_are_taken():
    table = straight(np.random.default_rng(0), rows=800)
    doubled = pd.concat([table, table], ignore_index=True).assign(G=np.tile(np.arange(800), 2), W=2.0)
    single, twice = curve(table), curve(doubled, cluster="G", weights="W")
    assert twice.standard_error == pytest.approx(single.standard_error, rel=0.4)
    assert twice.value == pytest.approx(single.value, abs=2 * single.standard_error)


def test_a_model_of_the_treatment_needs_covariates():
    with pytest.raises(InputError, match="treatment_model= predicts the treatment from covariates"):
        curve(straight(np.random.default_rng(0)), treatment_model=LinearRegression())


def test_placebos_find_nothing():
    table = straight(np.random.default_rng(0), rows=600)
    verdicts = refute(curve(table), table, rng=0, repeats=1)
    assert [one.name for one in verdicts if one.outcome == "failed"] == []
    assert {"permuted treatment", "permuted mediator", "dummy outcome"} <= {one.name for one in verdicts}
