"""The two-stage against ordinary least squares, its standard errors against the bootstrap, its test against both."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.linear_model import LinearRegression

from causalvlm.errors import OverlapError
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.spread import from_influence
from causalvlm.estimation.two_stage import two_stage
from causalvlm.identification.estimands import FrontDoor
from causalvlm.refutation.verdict import FALSE_ALARM_RATE
from causalvlm.worlds.discrete import independent_outcomes, smoking
from causalvlm.worlds.embedding import CovariateWorld, EmbeddingWorld
from causalvlm.worlds.linear import LinearWorld

FRONT = FrontDoor("X", "Y", ("S",))


def arrays(table, mediators, covariates=()):
    return (
        table[list(mediators)].to_numpy(dtype=float),
        table[["X"]].to_numpy(dtype=float),
        table["Y"].to_numpy(dtype=float),
        table[list(covariates)].to_numpy(dtype=float),
    )


def test_it_is_the_product_of_two_regressions():
    world = EmbeddingWorld(dim=5)
    s, x, y, _ = arrays(world.sample(400, rng=np.random.default_rng(0)), world.columns["S"])
    fit = two_stage(s, x, y, settings=np.array([[0.0], [1.0]]))
    first = LinearRegression().fit(x, s).coef_[:, 0]
    second = LinearRegression().fit(np.hstack([s, x]), y).coef_[:5]
    assert fit.means[1] - fit.means[0] == pytest.approx(first @ second, abs=1e-10)
    np.testing.assert_allclose(fit.second_stage, second, atol=1e-10)


def test_means_are_the_front_door_sum_of_the_fitted_lines():
    s, x, y, c = arrays(CovariateWorld().sample(300, rng=np.random.default_rng(0)), ["S"], ["C"])
    fit = two_stage(s, x, y, settings=np.array([[0.0], [1.0]]), covariates=c)
    first = LinearRegression().fit(np.hstack([x, c]), s)
    second = LinearRegression().fit(np.hstack([s, x, c]), y)
    weights = LinearRegression().fit(c, x)  # E[X | C] in place of the sum over x'
    for place, level in enumerate((0.0, 1.0)):
        moved = first.predict(np.hstack([np.full_like(x, level), c]))
        slow = second.predict(np.hstack([moved, weights.predict(c), c])).mean()
        assert fit.means[place] == pytest.approx(slow, abs=1e-10)


@pytest.mark.parametrize("covariates", [(), ("C",)])
def test_standard_errors_match_the_row_bootstrap(covariates):
    table = CovariateWorld().sample(500, rng=np.random.default_rng(0))
    weights, settings = np.array([-1.0, 1.0]), np.array([[0.0], [1.0]])
    s, x, y, c = arrays(table, ["S"], covariates)
    claimed = from_influence(two_stage(s, x, y, settings=settings, covariates=c).influence)
    rng, values = np.random.default_rng(1), []
    for _ in range(250):
        rows = rng.integers(0, len(y), len(y))
        values.append(two_stage(s[rows], x[rows], y[rows], settings=settings, covariates=c[rows]).means)
    values = np.array(values)
    assert claimed.standard_error(weights) == pytest.approx((values @ weights).std(), rel=0.12)
    assert claimed.standard_error(np.array([0.0, 1.0])) == pytest.approx(values[:, 1].std(), rel=0.12)


def test_the_published_linear_process_of_an_estimator_s_own_test():
    world = LinearWorld(first=0.7, second=0.65, confounding_x=0.3, confounding_y=0.2, mediator_noise=0.3)
    effect = estimate_effect(world.sample(50_000, rng=np.random.default_rng(0)), FRONT, rng=np.random.default_rng(0))
    assert world.truth() == pytest.approx(0.455)
    assert effect.low < 0.455 < effect.high
    assert effect.standard_error < 0.02


def test_collinear_columns_change_nothing():
    world = EmbeddingWorld(dim=3)
    s, x, y, _ = arrays(world.sample(500, rng=np.random.default_rng(0)), world.columns["S"])
    settings = np.array([[0.0], [1.0]])
    plain = two_stage(s, x, y, settings=settings)
    doubled = two_stage(np.hstack([s, s[:, :1] + s[:, 1:2], np.ones((500, 1))]), x, y, settings=settings)
    np.testing.assert_allclose(doubled.means, plain.means, atol=1e-8)
    np.testing.assert_allclose(doubled.influence, plain.influence, atol=1e-6)


def test_a_mediator_that_the_treatment_determines_is_refused():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 1))
    with pytest.raises(OverlapError, match="no residual variance"):
        two_stage(2 * x, x, x[:, 0], settings=np.array([[0.0], [1.0]]))


def test_it_warns_where_its_line_is_wrong_and_only_there():
    rng = np.random.default_rng(0)
    crossed = independent_outcomes().sample(5000, rng=rng)
    effect = estimate_effect(crossed, FRONT, rng=rng, estimator="two-stage")
    assert any("two-stage assumes" in warning for warning in effect.warnings)
    assert effect.low > 0.1275  # and it is wrong indeed

    straight = smoking().sample(1000, rng=rng)
    effect = estimate_effect(straight, FRONT, rng=rng, estimator="two-stage")
    assert not any("two-stage assumes" in warning for warning in effect.warnings)


@pytest.mark.parametrize("world", [EmbeddingWorld(dim=30, interaction=1.0), EmbeddingWorld(dim=3, curvature=0.4)])
def test_interaction_and_curvature_are_seen_in_vectors_too(world):
    s, x, y, _ = arrays(world.sample(2000, rng=np.random.default_rng(0)), world.columns["S"])
    assert two_stage(s, x, y, settings=np.array([[0.0], [1.0]])).p_second < 1e-4


@pytest.mark.parametrize("world", [EmbeddingWorld(dim=30, spread=0.5), EmbeddingWorld(dim=3), LinearWorld()])
def test_the_test_of_linearity_keeps_its_level(world):
    mediators = world.columns["S"] if isinstance(world, EmbeddingWorld) else ["S"]
    rejected = 0
    for seed in range(60):
        s, x, y, _ = arrays(world.sample(500, rng=np.random.default_rng(seed)), mediators)
        rejected += two_stage(s, x, y, settings=np.array([[0.0], [1.0]])).p_second < 0.05
    assert rejected <= binom.ppf(1 - FALSE_ALARM_RATE, 60, 0.05)


def _first_stage(curve, rng, rows=1000):
    u, c, noise, e = rng.normal(size=(4, rows))
    x = u + c + rng.normal(size=rows)
    s = x + curve(pd.DataFrame({"X": x, "C": c})).to_numpy() + noise * (0.5 + 0.3 * np.abs(x))
    return pd.DataFrame({"X": x, "C": c, "S": s, "Y": s + u + c + e})


@pytest.mark.parametrize(
    "curve", [lambda t: 0.6 * t.X**2, lambda t: np.sin(2 * t.X), lambda t: t.X * t.C, lambda t: (t.C > 0) * 1.0]
)
def test_a_first_stage_that_is_no_plane_is_said(curve):
    front = FrontDoor("X", "Y", ("S",), ("C",))
    rng = np.random.default_rng(1)
    effect = estimate_effect(_first_stage(curve, rng), front, rng=rng)
    assert any(note.startswith("two-stage assumes that S is linear") for note in effect.warnings)


def test_the_test_of_the_first_stage_keeps_its_level_under_unequal_spread():
    rejected = 0
    for seed in range(100):
        table = _first_stage(lambda t: t.C, np.random.default_rng(seed), rows=600)
        s, x, c, y = (table[[name]].to_numpy() for name in "SXCY")
        rejected += two_stage(s, x, y[:, 0], settings=np.array([[0.0], [1.0]]), covariates=c).p_first < 0.05
    assert rejected <= binom.ppf(1 - FALSE_ALARM_RATE, 100, 0.05)


def test_many_covariates_are_tested_by_their_index():
    rng = np.random.default_rng(0)
    c = rng.normal(size=(3000, 40))
    x = c[:, 0] + rng.normal(size=3000)
    for bend, clean in ((0.0, True), (0.5, False)):
        s = x + c[:, 0] + bend * x**2 + rng.normal(size=3000)
        found = two_stage(s[:, None], x[:, None], s + c[:, 0], settings=np.array([[0.0], [1.0]]), covariates=c)
        assert (found.p_first > 0.01) is clean
