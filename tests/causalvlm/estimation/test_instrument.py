"""Instrumented effects against linearmodels, against slow code and against worlds whose answers are known."""

import numpy as np
import pandas as pd
import pytest
from linearmodels.iv import IV2SLS, IVGMMCUE
from scipy.stats import binom, chi2
from sklearn.linear_model import LinearRegression

from causalvlm.errors import InputError, OverlapError
from causalvlm.estimation.anderson_rubin import Moments
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.two_stage_least_squares import two_stage_least_squares
from causalvlm.graphs.graph import CausalGraph
from causalvlm.identification.estimands import Instrument
from causalvlm.identification.identify import identify
from causalvlm.refutation.refute import refute

PLAIN, GIVEN_W = Instrument("X", "Y", "Z"), Instrument("X", "Y", "Z", ("W",))
FALSE_ALARM_RATE = 1e-3


def linear_table(rows: int, rng: np.random.Generator, *, first=1.0, exclusion=0.0, spread=0.0) -> pd.DataFrame:
    """X has the effect 2; the hidden U adds 3 / (first^2 + 2) to the slope of least squares."""
    w, u, v, e = rng.normal(size=(4, rows))
    z = 0.5 * w + rng.normal(size=rows)
    x = first * z + w + u + v
    y = 2 * x + w + 3 * u + exclusion * z + e * (1 + spread * np.abs(z))
    return pd.DataFrame({"W": w, "U": u, "Z": z, "X": x, "Y": y})


def binary_table(rows: int, rng: np.random.Generator, *, exclusion=0.0) -> pd.DataFrame:
    """Six in ten follow the instrument and gain 1 + W / 2; those who always take it gain 4, those who never do, 0."""
    w = rng.normal(size=rows)
    z = (rng.random(rows) < 1 / (1 + np.exp(-w))).astype(int)
    kind = rng.choice(3, rows, p=[0.6, 0.2, 0.2])
    x = np.choose(kind, [z, 1, 0])
    gain = np.choose(kind, [1 + w / 2, 4.0, 0.0])
    y = gain * x + w + kind + exclusion * z + rng.normal(size=rows)
    return pd.DataFrame({"W": w, "Z": z, "X": x, "Y": y, "K": kind})


def estimate(table, estimand=GIVEN_W, seed=0, **settings):
    return estimate_effect(table, estimand, rng=np.random.default_rng(seed), **settings)


@pytest.mark.parametrize("columns", [1, 2])
def test_slope_error_and_strength_are_those_of_linearmodels(columns):
    rng = np.random.default_rng(1)
    table = linear_table(700, rng, spread=1.0)
    z = np.column_stack([table.Z, table.Z**2 + rng.normal(size=700)])[:, :columns]
    covariates = table[["W"]].to_numpy()
    found = two_stage_least_squares(z, table.X.to_numpy(), table.Y.to_numpy(), covariates=covariates)
    given = np.hstack([np.ones((700, 1)), covariates])
    theirs = IV2SLS(table.Y, given, table.X, z).fit(cov_type="robust")
    first = theirs.first_stage.diagnostics
    assert found.value == pytest.approx(theirs.params["X"], rel=1e-9)
    assert found.error == pytest.approx(theirs.std_errors["X"], rel=1e-9)
    assert found.share == pytest.approx(first["partial.rsquared"]["X"], rel=1e-9)
    if columns == 1:
        assert found.effective_f == pytest.approx(first["f.stat"]["X"], rel=1e-9)
    else:
        continuously_updated = IVGMMCUE(table.Y, given, table.X, z).fit()
        assert found.moments.p_one_slope() == pytest.approx(continuously_updated.j_stat.pval, abs=0.01)


def test_the_interval_is_where_a_quadratic_says():
    table = linear_table(300, np.random.default_rng(0), first=0.4, spread=1.0)
    z, x, y = (column - column.mean() for column in (table.Z, table.X, table.Y))
    effect = estimate(table, PLAIN)
    limit = chi2.ppf(0.95, 1)
    a, b, c = (  # (sum z (y - b x))^2 <= limit sum z^2 (y - b x)^2
        (z @ x) ** 2 - limit * ((z * x) @ (z * x)),
        -2 * (z @ x) * (z @ y) + 2 * limit * ((z * x) @ (z * y)),
        (z @ y) ** 2 - limit * ((z * y) @ (z * y)),
    )
    assert [effect.low, effect.high] == pytest.approx(sorted(np.roots([a, b, c])), rel=1e-8)
    assert effect.high - effect.value != pytest.approx(effect.value - effect.low, rel=0.05)


def test_the_interval_of_several_columns_is_where_a_fine_grid_says():
    rng = np.random.default_rng(3)
    z, noise = rng.normal(size=(400, 3)), rng.normal(size=(400, 1))
    residual, treatment = z * noise, z * (z @ np.array([[0.3], [0.2], [0.1]]) + noise)
    low, high = Moments(residual, treatment, step=0.1).interval()
    grid = np.linspace(-1, 1, 4001)
    kept = []
    for slope in grid:
        products = residual - slope * treatment
        mean = products.sum(0)
        kept.append(mean @ np.linalg.solve(products.T @ products, mean) <= chi2.ppf(0.95, 3))
    assert [low, high] == pytest.approx([grid[kept][0], grid[kept][-1]], abs=1e-3)


def test_means_lie_on_the_line_and_levels_that_are_numbers_are_amounts():
    table = linear_table(2000, np.random.default_rng(0))
    table = table.assign(X=table.X.round().clip(-3, 3).astype(int))
    table = table.assign(Y=2 * table.X + table.U)
    effect = estimate(table, treated=2, control=0)
    assert effect.do_means[2] - effect.do_means[1] == pytest.approx(effect.do_means[1] - effect.do_means[0])
    assert effect.value == pytest.approx(2 * effect.contrast(1, 0).value)
    assert effect.contrast(1, 0).low == pytest.approx(effect.low / 2)
    centre = sum(effect.do_means[level] * (level == table.X).mean() for level in effect.do_means)
    assert centre == pytest.approx(table.Y.mean())
    with pytest.raises(InputError, match="must be numeric here"):
        estimate(table.assign(X=pd.cut(table.X, [-4, -1, 1, 4], labels=["low", "middle", "high"])))


def test_any_two_doses_have_an_interval_of_the_same_kind():
    effect = estimate(linear_table(500, np.random.default_rng(0), first=0.3))
    wide = effect.contrast(1.5, -0.5)
    assert (wide.low, wide.high) == pytest.approx((2 * effect.low, 2 * effect.high))


def test_text_levels_and_exact_tables():
    table = linear_table(400, np.random.default_rng(0))
    words = table.assign(X=np.where(table.X > 0, "yes", "no"))
    assert estimate(words).do_means.keys() == {"no", "yes"}
    exact = estimate(table.assign(Y=3 * table.X))
    assert [exact.value, exact.low, exact.high] == pytest.approx([3.0] * 3)


def test_a_weak_instrument_is_refused_and_a_poor_one_is_warned_of():
    refused = linear_table(300, np.random.default_rng(0), first=0.0)
    with pytest.raises(OverlapError, match=r"the instrument must move the treatment.*F of 0\.\d+.*Use a stronger"):
        estimate(refused)
    effect = estimate(linear_table(300, np.random.default_rng(1), first=0.2))
    assert any("the instrument is weak (effective first-stage F" in warning for warning in effect.warnings)
    assert effect.low < 2.0 < effect.high


def test_what_cannot_be_an_instrument_in_a_table():
    table = linear_table(300, np.random.default_rng(0))
    with pytest.raises(InputError, match="the instrument must vary"):
        estimate(table.assign(Z=1.0))
    with pytest.raises(OverlapError, match="must vary together within the covariates"):
        estimate(table.assign(Z=table.W))
    levels = table.assign(X=(table.X > 0).astype(int))
    with pytest.raises(InputError, match="two levels each; received 2 in 'X', 300 in 'Z'"):
        estimate(levels, estimator="local-effect")


def test_contradicting_columns_have_an_interval_with_a_warning_and_a_failing_test():
    rng = np.random.default_rng(0)
    table = linear_table(1000, rng)
    table = table.assign(Z2=rng.normal(size=1000))
    table = table.assign(X=table.X + table.Z2, Y=table.Y + 2 * table.Z2 + table.Z2)
    effect = estimate(table, columns={"Z": ["Z", "Z2"]})
    assert any("no one slope suits all 2 columns" in warning for warning in effect.warnings)
    verdicts = {one.name: one.outcome for one in refute(effect, table, rng=rng, repeats=2)}
    assert verdicts["several instruments"] == "failed"
    good = table.assign(Y=table.Y - table.Z2)
    verdicts = {one.name: one.outcome for one in refute(estimate(good, columns={"Z": ["Z", "Z2"]}), good, rng=rng)}
    assert verdicts["several instruments"] == "passed"
    assert "robustness" not in verdicts


def test_a_bent_effect_is_told():
    table = linear_table(2000, np.random.default_rng(0))
    bent = table.assign(Y=table.Y + table.X**2)
    assert any(
        "assumes that treatment and covariates act along lines" in warning for warning in estimate(bent).warnings
    )
    assert estimate(table).warnings == ()


def test_the_local_effect_and_the_means_of_those_who_follow():
    table = binary_table(20_000, np.random.default_rng(0))
    effect = estimate(table)
    followers = table[table.K == 0]
    assert effect.estimator == "local-effect"
    assert effect.low < 1.0 < effect.high
    assert effect.high - effect.low < 0.3
    assert effect.do_means[0] == pytest.approx(followers.W.mean(), abs=0.1)
    assert effect.do_means[1] == pytest.approx((1 + 1.5 * followers.W).mean(), abs=0.1)
    assert any(
        "on the 6" in warning and "% of units that the instrument moves" in warning for warning in effect.warnings
    )
    assert estimate(table, treated=0, control=1).value == pytest.approx(-effect.value)


def test_without_covariates_the_local_effect_is_the_ratio_of_differences():
    table = binary_table(3000, np.random.default_rng(0))
    table = table.assign(Z=np.random.default_rng(1).permutation(table.Z))
    table = table.assign(X=np.choose(table.K, [table.Z, 1, 0]), Y=table.K + table.X)
    effect, means = estimate(table, PLAIN), table.groupby("Z").mean()
    assert effect.value == pytest.approx((means.Y[1] - means.Y[0]) / (means.X[1] - means.X[0]), abs=1e-3)
    assert effect.value == pytest.approx(estimate(table, PLAIN, estimator="two-stage-least-squares").value, abs=1e-3)


def test_an_instrument_that_the_covariates_give_away_is_refused():
    rng = np.random.default_rng(0)
    table = binary_table(2000, rng)
    with pytest.raises(OverlapError, match="the levels of 'Z' must overlap in the covariates"):
        estimate(table.assign(W=table.Z + 0.01 * rng.normal(size=2000)))


def test_a_regressor_of_ones_own():
    table = binary_table(2000, np.random.default_rng(0))
    found = estimate(table, outcome_model=LinearRegression())
    assert found.low < 1.0 < found.high
    with pytest.raises(InputError, match="local-effect"):
        estimate(table, estimator="two-stage-least-squares", outcome_model=LinearRegression())


def held(tables, estimand, truth, **settings):
    """How often the interval held the truth, and how many tables were answered."""
    hits, answered = 0, 0
    for table in tables:
        try:
            effect = estimate(table, estimand, **settings)
        except OverlapError:
            continue
        answered, hits = answered + 1, hits + (effect.low <= truth <= effect.high)
    return hits, answered


def test_strong_instruments_cover_and_least_squares_does_not():
    rng = np.random.default_rng(0)
    tables = [linear_table(1000, rng, first=0.5, spread=1.0) for _ in range(100)]
    hits, answered = held(tables, GIVEN_W, 2.0)
    assert answered == 100
    assert hits >= binom.ppf(FALSE_ALARM_RATE, 100, 0.95)
    naive = [np.linalg.lstsq(np.column_stack([t.X, t.W, np.ones(1000)]), t.Y, rcond=None)[0][0] for t in tables]
    assert min(naive) > 2.8


def test_weak_instruments_cover_among_all_tables():
    """The set of Anderson and Rubin covers over all tables; where it is endless it holds the truth and is refused."""
    rng = np.random.default_rng(0)
    tables = [linear_table(300, rng, first=0.18) for _ in range(200)]
    hits, answered = held(tables, GIVEN_W, 2.0)
    missed = answered - hits
    assert 40 < answered < 180
    assert missed <= binom.ppf(1 - FALSE_ALARM_RATE, 200, 0.05)


def test_the_local_effect_covers():
    rng = np.random.default_rng(0)
    hits, answered = held([binary_table(800, rng) for _ in range(30)], GIVEN_W, 1.0)
    assert answered == 30
    assert hits >= binom.ppf(FALSE_ALARM_RATE, 30, 0.95)


def test_from_the_graph_to_the_number():
    graph = CausalGraph("W -> {Z X Y}; Z -> X -> Y; U -> {X Y}; latent U")
    estimand = identify(graph, treatment="X", outcome="Y", strategy="instrument")
    assert estimand == GIVEN_W
    effect = estimate(linear_table(2000, np.random.default_rng(0)), estimand)
    assert effect.low < 2.0 < effect.high
    assert effect.to_record()["estimator"] == "two-stage-least-squares"
