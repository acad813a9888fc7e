"""Sensitivity of direct and indirect effects, beside worlds whose hidden causes are known."""

import numpy as np
import pandas as pd
import pytest

import causalvlm
from causalvlm.identification.estimands import BackDoor, Mediation


def part_of(part, at=()):
    return Mediation("X", "Y", ("S",), ("C",), part, at)


PARTS = [("indirect", (), 2.7), ("direct", (), 3.0), ("controlled", (0.5,), 3.35)]


def world(rows, *, seed=0, of_s=0.0, of_x=0.0, of_y=0.0):
    """Y = (2 + 0.7 X) S + 3 X + C + noise, S = X + 0.5 C + noise, and a hidden V."""
    rng = np.random.default_rng(seed)
    v, c = rng.normal(size=(2, rows))
    x = (c + of_x * v + rng.logistic(size=rows) > 0).astype(int)
    s = x + 0.5 * c + of_s * v + rng.normal(size=rows)
    y = (2 + 0.7 * x) * s + 3 * x + c + of_y * v + rng.normal(size=rows)
    return pd.DataFrame({"X": x, "S": s, "C": c, "Y": y}), v


def share(response, cause, *given):
    """Partial R^2, from residuals."""
    design = np.column_stack([np.ones(len(cause)), *given])
    left = [one - design @ np.linalg.lstsq(design, one, rcond=None)[0] for one in (response, cause)]
    return float(np.corrcoef(*left)[0, 1] ** 2)


def level(table, v, arm):
    own = table.X.eq(arm).to_numpy()
    return share(table.S[own], v[own], table.C[own]), share(table.Y[own], v[own], table.S[own], table.C[own])


def analysed(table, part, at=()):
    effect = causalvlm.estimate_effect(table, part_of(part, at), rng=0)
    return effect, causalvlm.sensitivity(effect, table).scenarios


@pytest.mark.parametrize(("part", "at", "truth"), PARTS)
def test_a_hidden_cause_of_mediator_and_outcome_does_what_is_said(part, at, truth):
    """The lines of the levels differ, and the bound is met all the same."""
    table, v = world(200_000, of_s=0.8, of_y=1.5)
    effect, (between, _) = analysed(table, part, at)
    assert abs(effect.value - truth) == pytest.approx(between.bias(*level(table, v, 1)), abs=0.03)
    assert not effect.low <= truth <= effect.high


@pytest.mark.parametrize(("part", "at", "truth"), PARTS)
def test_the_interval_at_the_true_strengths_holds_the_truth(part, at, truth):
    held = []
    for seed in range(20):
        table, v = world(1500, seed=seed, of_s=0.8, of_y=1.5)
        _, (between, _) = analysed(table, part, at)
        low, high = between.interval(*map(max, level(table, v, 0), level(table, v, 1)))
        held.append(low <= truth <= high)
    assert sum(held) >= 17


def test_a_hidden_cause_of_all_three_bounds_an_indirect_effect():
    table, v = world(200_000, of_x=1.0, of_s=0.6, of_y=1.0)
    effect, (_, every) = analysed(table, "indirect")
    of_s, of_y = (max(found) for found in zip(level(table, v, 0), level(table, v, 1), strict=True))
    of_s = max(of_s, share(table.S, v, table.X, table.C))
    low, high = every.interval(share(table.X, v, table.C), of_s, of_y)
    assert not effect.low <= 2.7 <= effect.high
    assert low <= 2.7 <= high


def test_a_hidden_cause_of_treatment_and_outcome_bounds_a_direct_effect():
    table, v = world(200_000, of_x=1.0, of_y=1.0)
    effect, (_, past) = analysed(table, "direct")
    low, high = past.interval(share(table.X, v, table.S, table.C), share(table.Y, v, table.X, table.S, table.C))
    assert not effect.low <= 3.0 <= effect.high
    assert low <= 3.0 <= high


def test_a_total_effect_is_that_of_the_back_door():
    table, _ = world(2000)
    total = causalvlm.estimate_effect(table, part_of("total"), rng=0)
    whole = causalvlm.estimate_effect(table, BackDoor("X", "Y", ("C",)), rng=0, estimator="outcome-regression")
    found, expected = (causalvlm.sensitivity(effect, table).scenarios for effect in (total, whole))
    assert len(found) == 1
    assert found[0].bias(0.1, 0.2) == pytest.approx(expected[0].bias(0.1, 0.2))


def test_what_the_interval_allows_without_a_hidden_cause_is_the_interval():
    table, _ = world(2000)
    for part, at, _ in PARTS:
        effect, scenarios = analysed(table, part, at)
        for scenario in scenarios:
            assert scenario.interval(0.0) == pytest.approx((effect.low, effect.high))
            assert 0 < scenario.breakdown_of_interval < scenario.breakdown < 1
            assert set(scenario.benchmarks) == {"C"}


def test_weights_stand_for_repeated_rows():
    table, _ = world(1000)
    counts = np.random.default_rng(1).integers(1, 4, 1000)
    weighted = table.assign(w=counts.astype(float))
    repeated = table.loc[np.repeat(table.index, counts)].reset_index(drop=True)
    for part, at, _ in PARTS:
        one = causalvlm.estimate_effect(weighted, part_of(part, at), rng=0, weights="w")
        two = causalvlm.estimate_effect(repeated, part_of(part, at), rng=0)
        assert one.value == pytest.approx(two.value)
        found, expected = (
            [scenario.bias(0.1) for scenario in causalvlm.sensitivity(effect, rows).scenarios]
            for effect, rows in ((one, weighted), (two, repeated))
        )
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("part", "at", "truth"), PARTS)
def test_the_verdict_names_the_breakdown_point(part, at, truth):
    table, _ = world(2000)
    effect = causalvlm.estimate_effect(table, part_of(part, at), rng=0)
    found = {verdict.name: verdict for verdict in causalvlm.refute(effect, table, rng=0, repeats=2)}
    assert effect.low <= truth <= effect.high
    assert found["robustness"].outcome == "passed"
    assert found["robustness"].statistic == causalvlm.sensitivity(effect, table).weakest.breakdown


def test_a_mediator_in_levels():
    """Nothing but counts: the columns of S are indicators."""
    table, _ = world(4000)
    counted = table.assign(S=pd.cut(table.S, [-np.inf, 0, 1, np.inf], labels=False), C=(table.C > 0).astype(int))
    effect, scenarios = analysed(counted, "indirect")
    assert effect.estimator == "plug-in"
    assert all(0 < scenario.breakdown < 1 for scenario in scenarios)


def test_a_mediator_that_the_treatment_leaves_alone():
    """There is no effect to bend, and no number that is none."""
    rng = np.random.default_rng(0)
    half = pd.DataFrame({"S": rng.normal(size=200), "C": rng.normal(size=200)})
    table = pd.concat([half.assign(X=0), half.assign(X=1)], ignore_index=True)
    table["Y"] = table.S + table.X + rng.normal(size=400)
    effect, scenarios = analysed(table, "direct")
    assert scenarios[0].bias(0.5) == pytest.approx(0.0, abs=1e-9)
    assert scenarios[0].interval(0.5) == pytest.approx((effect.low, effect.high), rel=1e-6)
