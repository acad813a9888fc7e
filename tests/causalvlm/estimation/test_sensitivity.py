"""Sensitivity against published numbers, regressions of statsmodels, and worlds whose hidden causes are known."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import binom

import causalvlm
from causalvlm.errors import InputError
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.scenario import Link, Scenario, Slope
from causalvlm.identification.estimands import BackDoor, FrontDoor
from causalvlm.intervals import Z
from causalvlm.worlds.linear import LinearWorld

FRONT = FrontDoor("X", "Y", ("S",))


def robustness_value(score, degrees):
    """Closed form of Cinelli and Hazlett (2020), section 4.2."""
    squared = score**2 / degrees
    return (np.sqrt(squared**2 + 4 * squared) - squared) / 2


def analysed(world, rows, seed, estimand=FRONT, **settings):
    rng = np.random.default_rng(seed)
    table = world.sample(rows, rng=rng)
    effect = estimate_effect(table, estimand, rng=rng, **settings)
    return causalvlm.sensitivity(effect, table), effect, table


def named(found):
    return {scenario.name.split()[-1]: scenario for scenario in found.scenarios}


@pytest.mark.parametrize(("score", "degrees"), [(4.18, 783), (30.0, 500), (2.5, 2000)])
def test_breakdown_points_of_one_slope_are_robustness_values(score, degrees):
    hidden = Scenario(
        "a hidden cause", ("X", "Y"), (Link(Slope(np.sqrt(degrees), degrees), 0, 1),), score, 1.0, 0.0, {}
    )
    assert hidden.breakdown == pytest.approx(robustness_value(score, degrees), rel=1e-6)
    assert hidden.breakdown_of_interval == pytest.approx(robustness_value(score - Z, degrees), rel=1e-6)
    assert robustness_value(4.18, 783) == pytest.approx(0.139, abs=5e-4)  # published for violence in Darfur


def partial_r2(covariance, one, other, given):
    """Share of `one` that `other` explains given variables, from a population covariance."""

    def left(variable, held):
        across = covariance[np.ix_(held, [variable])]
        return (
            covariance[variable, variable] - (across.T @ np.linalg.solve(covariance[np.ix_(held, held)], across)).item()
        )

    return (
        1 - left(one, [*given, other]) / left(one, given)
        if given
        else covariance[one, other] ** 2 / (covariance[one, one] * covariance[other, other])
    )


U, V, W, X, S, Y = range(6)  # of `LinearWorld.covariance`


def true_strengths(world, scenario):
    covariance = world.covariance()
    match scenario:
        case "path":
            inverse = np.linalg.inv(covariance[np.ix_([X, S], [X, S])])
            slopes = np.linalg.solve(covariance[np.ix_([X, S], [X, S])], covariance[[X, S], Y])
            left = covariance[Y, Y] - slopes @ covariance[[X, S], Y]
            worth = world.direct**2 / inverse[0, 0] / left
            return (worth / (1 + worth),)
        case "stage":
            return partial_r2(covariance, S, V, [X]), partial_r2(covariance, Y, V, [S, X])
        case _:
            cause = W if world.first_s else U
            return (
                partial_r2(covariance, X, cause, []),
                partial_r2(covariance, S, cause, [X]),
                partial_r2(covariance, Y, cause, [S, X]),
            )


@pytest.mark.parametrize(
    ("world", "place", "scenario"),
    [
        (LinearWorld(direct=0.7), 0, "path"),
        (LinearWorld(second_s=0.7, second_y=-0.9), 1, "stage"),
        (LinearWorld(first_x=0.8, first_s=-0.7), 2, "leak"),
        (LinearWorld(leak=0.6), 2, "leak"),
        (LinearWorld(leak=-0.4, confounding_y=1.0), 2, "leak"),
    ],
    ids=["direct path", "second stage", "first stage", "leak", "leak downwards"],
)
def test_the_interval_at_the_true_strengths_holds_the_truth(world, place, scenario):
    """The unadjusted interval misses it: the violation is what the adjustment is for."""
    strengths, held, missed = true_strengths(world, scenario), 0, 0
    for seed in range(30):
        found, effect, _ = analysed(world, 2000, seed)
        low, high = found.scenarios[place].interval(*strengths)
        held += low <= world.truth() <= high
        missed += not effect.low <= world.truth() <= effect.high
    assert held >= binom.ppf(0.001, 30, 0.95)
    assert missed >= 24


@pytest.mark.parametrize(
    ("world", "place", "scenario"),
    [
        (LinearWorld(direct=0.7), 0, "path"),
        (LinearWorld(second_s=0.7, second_y=0.9), 1, "stage"),
    ],
    ids=["direct path", "second stage"],
)
def test_the_bias_is_met_where_one_slope_is_bent(world, place, scenario):
    """At the true strengths the bound is the bias itself, in a large sample."""
    found, effect, _ = analysed(world, 400_000, 0)
    bias = found.scenarios[place].bias(*true_strengths(world, scenario))
    assert abs(effect.value - world.truth()) == pytest.approx(bias, rel=0.03)


def test_a_leak_is_bounded_where_the_mediator_is_a_vector():
    """The two biases may point elsewhere than the index: their product is bounded over all directions."""
    rng = np.random.default_rng(0)
    rows = 200_000
    u, noise_x, noise_y = rng.normal(size=(3, rows))
    x = u + noise_x
    s = rng.normal(size=(rows, 2)) + np.column_stack([x, 1.5 * u])
    y = s @ [1.0, 0.0] + 2 * u + noise_y
    table = pd.DataFrame({"X": x, "S0": s[:, 0], "S1": s[:, 1], "Y": y})
    effect = estimate_effect(table, FRONT, rng=rng, columns={"S": ["S0", "S1"]})
    leak = causalvlm.sensitivity(effect, table).scenarios[2]
    of_x = 0.5
    residual = u - x / 2  # U given X
    left = s - np.outer(x, [1.0, 0.75])
    of_s = np.corrcoef(left[:, 1], residual)[0, 1] ** 2
    both = np.column_stack([np.ones(rows), x, s])
    r_y, r_u = (one - both @ np.linalg.lstsq(both, one, rcond=None)[0] for one in (y, u))
    of_y = np.corrcoef(r_y, r_u)[0, 1] ** 2
    low, high = leak.interval(of_x, of_s, of_y)
    assert not effect.low <= 1.0 <= effect.high
    assert low <= 1.0 <= high


def test_a_back_door_is_that_of_ordinary_regression():
    found, effect, table = analysed(
        LinearWorld(), 500, 0, BackDoor("X", "Y", ("U", "S")), estimator="outcome-regression"
    )
    (hidden,) = found.scenarios
    fitted = sm.OLS(table.Y, sm.add_constant(table[["X", "U", "S"]])).fit()
    assert effect.value == pytest.approx(fitted.params.X)
    assert hidden.bias(0.1, 0.2) == pytest.approx(fitted.bse.X * np.sqrt(fitted.df_resid * 0.2 * 0.1 / 0.9))
    assert hidden.breakdown == pytest.approx(robustness_value(fitted.tvalues.X, fitted.df_resid), rel=1e-6)


def test_benchmarks_are_those_of_cinelli_and_hazlett():
    """Their bounds for a confounder once as strong as a covariate, from the partial R^2 of two regressions."""
    found, _, table = analysed(LinearWorld(), 500, 0, BackDoor("X", "Y", ("U", "S")), estimator="outcome-regression")
    of_x = sm.OLS(table.X, sm.add_constant(table[["U", "S"]])).fit()
    of_y = sm.OLS(table.Y, sm.add_constant(table[["X", "U", "S"]])).fit()
    for name in ("U", "S"):
        d, y = (fit.tvalues[name] ** 2 / (fit.tvalues[name] ** 2 + fit.df_resid) for fit in (of_x, of_y))
        shared = d * d / ((1 - d) * (1 - d))
        near, far = found.scenarios[0].benchmarks[name]
        if shared < 1:
            assert near == pytest.approx(min(d / (1 - d), 1), abs=1e-6)
            assert far == pytest.approx(min(((1 + shared**0.5) / (1 - shared) ** 0.5) ** 2 * y / (1 - y), 1), abs=1e-6)


def test_the_record_says_where_each_assumption_breaks():
    found, effect, _ = analysed(LinearWorld(), 1000, 0)
    record = found.to_record()
    assert record["value"] == effect.value
    assert [len(one["ends"]) for one in record["scenarios"]] == [1, 2, 3]
    for scenario in found.scenarios:
        assert 0 < scenario.breakdown_of_interval < scenario.breakdown < 1
        assert scenario.bias(scenario.breakdown) == pytest.approx(abs(effect.value), rel=1e-6)
        low, high = scenario.interval(scenario.breakdown_of_interval)
        assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-6)
        assert scenario.interval(0.0) == pytest.approx((effect.low, effect.high))
    assert found.weakest.name == "a hidden cause that leaks into the mediator"
    assert f"{found.weakest.breakdown:.1%}" in found.text()


def test_mistakes():
    found, effect, table = analysed(LinearWorld(), 500, 0)
    with pytest.raises(InputError, match="shares from 0 to below 1, one for all or for each"):
        found.scenarios[1].bias(0.1, 0.2, 0.3)
    with pytest.raises(InputError, match="shares from 0 to below 1"):
        found.scenarios[1].interval(1.0)
    classes = table.assign(X=table.X > 0, S=table.S > 0, Y=pd.Categorical(table.Y > 0))
    effect = estimate_effect(classes, FRONT, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="sensitivity needs a numeric outcome"):
        causalvlm.sensitivity(effect, classes)
