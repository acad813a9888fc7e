"""The plug-in against the sum written out in loops, and its uncertainty against the row bootstrap."""

import tracemalloc
from itertools import product

import numpy as np
import pandas as pd
import pytest

from causalvlm.estimation import bootstrap, plug_in
from causalvlm.estimation.bootstrap import multinomial_batches, multinomial_tables
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.problem import read_problem
from causalvlm.identification.estimands import BackDoor, FrontDoor
from causalvlm.worlds.discrete import Dials, draw_world, independent_outcomes, smoking, smoking_reversed

FRONT = FrontDoor("X", "Y", ("S",))


def slow_front_door(joint: np.ndarray) -> np.ndarray:
    """sum_c p(c) sum_s p(s | a, c) sum_x p(x | c) p(y | x, s, c) with loops, for joint P(c, x, s, y)."""
    strata, arms, mediators, outcomes = joint.shape
    result = np.zeros((arms, outcomes))
    for a, y, c, s, x in product(range(arms), range(outcomes), range(strata), range(mediators), range(arms)):
        p_c = joint[c].sum()
        p_s = joint[c, a, s].sum() / joint[c, a].sum()
        p_x = joint[c, x].sum() / p_c
        result[a, y] += p_c * p_s * p_x * joint[c, x, s, y] / joint[c, x, s].sum()
    return result


def exact_means(joint: np.ndarray) -> np.ndarray:
    cells = joint.sum(-1)
    return plug_in.front_door_means(cells, joint / cells[..., None])


@pytest.mark.parametrize("world", [smoking(), smoking_reversed(), independent_outcomes()])
def test_exact_from_probability_tables(world):
    means = exact_means(world.observed())
    for level in (0, 1):
        np.testing.assert_allclose(means[level], world.truth(level), atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_exact_on_random_worlds_with_covariate_and_many_levels(seed):
    dials = Dials(covariate=0.5, interaction=0.7)
    world = draw_world(dials, rng=np.random.default_rng(seed), treatments=3, mediators=4, outcomes=3)
    means = exact_means(world.observed())
    np.testing.assert_allclose(means, slow_front_door(world.observed()), atol=1e-12)
    np.testing.assert_allclose(means, [world.truth(level) for level in range(3)], atol=1e-12)


def test_exact_no_longer_when_the_front_door_is_open():
    world = draw_world(Dials(leak=1.0), rng=np.random.default_rng(0))
    assert abs(exact_means(world.observed())[1, 1] - world.truth(1)[1]) > 0.01


def test_the_estimate_is_the_sum_over_the_table_s_frequencies():
    world = draw_world(Dials(covariate=0.5), rng=np.random.default_rng(0), treatments=3, mediators=3)
    table = world.sample(5000, rng=np.random.default_rng(1))
    effect = estimate_effect(table, FrontDoor("X", "Y", ("S",), ("C",)), rng=np.random.default_rng(0))
    counts = np.zeros((2, 3, 3, 2))
    np.add.at(counts, tuple(table[list("CXSY")].to_numpy().T), 1.0)
    np.testing.assert_allclose(list(effect.do_means.values()), slow_front_door(counts / 5000)[:, 1], atol=1e-12)
    assert effect.estimator == "plug-in"


def test_back_door_is_standardisation():
    table = draw_world(Dials(), rng=np.random.default_rng(0)).sample(5000, rng=np.random.default_rng(1))
    effect = estimate_effect(table, BackDoor("X", "Y", ("U",)), rng=np.random.default_rng(0), estimator="plug-in")
    weights = table.U.value_counts(normalize=True)
    rates = table.groupby(["X", "U"]).Y.mean()
    for level in (0, 1):
        slow = sum(weights[u] * rates[level, u] for u in weights.index)
        assert effect.do_means[level] == pytest.approx(slow, abs=1e-12)


def test_a_categorical_outcome_gives_a_distribution_with_an_interval_for_every_class():
    world = draw_world(Dials(), rng=np.random.default_rng(0), outcomes=3)
    table = world.sample(20_000, rng=np.random.default_rng(1))
    names = np.array(["bird", "cat", "dog"])
    table = table.assign(Y=pd.Categorical(names[table.Y]))
    effect = estimate_effect(table, FRONT, rng=np.random.default_rng(0))
    for level in (0, 1):
        np.testing.assert_allclose(list(effect.distribution[level].values()), world.truth(level), atol=0.03)
        assert sum(effect.distribution[level].values()) == pytest.approx(1.0)
    parts = [effect.contrast(1, 0, outcome=name) for name in names]
    assert sum(part.value for part in parts) == pytest.approx(0.0, abs=1e-12)
    for part, truth in zip(parts, world.truth(1) - world.truth(0), strict=True):
        assert part.low < truth < part.high
    assert effect.value == parts[-1].value
    assert "'dog'" in effect.warnings[0]


def test_the_multinomial_bootstrap_is_the_row_bootstrap():
    table = independent_outcomes().sample(800, rng=np.random.default_rng(0))[["X", "S", "Y"]]
    effect = estimate_effect(table, FRONT, rng=np.random.default_rng(1))
    rng, slow = np.random.default_rng(2), []
    for _ in range(250):
        again = table.iloc[rng.integers(0, len(table), len(table))]
        counts = np.zeros((1, 2, 2, 2))
        np.add.at(counts[0], tuple(again.to_numpy().T), 1.0)
        means = slow_front_door(counts / len(table))
        slow.append(means[1, 1] - means[0, 1])
    assert effect.standard_error == pytest.approx(np.std(slow), rel=0.12)


def test_influence_functions_agree_with_the_bootstrap_and_average_to_nothing():
    table = independent_outcomes().sample(3000, rng=np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for estimand in (FRONT, BackDoor("X", "Y", ("U",))):
        problem = read_problem(table, estimand)
        counted, analytic = plug_in.run(problem, rng=rng), plug_in.run_analytic(problem)
        weights = problem.arms.contrast(*problem.arms.pair)
        assert analytic.spread.standard_error(weights) == pytest.approx(counted.spread.standard_error(weights), rel=0.1)
        np.testing.assert_allclose(analytic.influence.mean(0), 0.0, atol=1e-12)
        np.testing.assert_allclose(analytic.means, counted.means, atol=1e-14)


def test_a_continuous_outcome_keeps_its_cells():
    table = smoking().sample(4000, rng=np.random.default_rng(0))
    noise = np.random.default_rng(1).normal(size=4000)
    effect = estimate_effect(table.assign(Y=table.Y + noise), FRONT, rng=np.random.default_rng(0))
    counts = np.zeros((1, 2, 2))
    np.add.at(counts[0], (table.X, table.S), 1.0)
    sums = np.zeros((1, 2, 2))
    np.add.at(sums[0], (table.X, table.S), table.Y + noise)
    means = plug_in.front_door_means(counts, (sums / counts)[..., None])[:, 0]
    assert effect.value == pytest.approx(means[1] - means[0], abs=1e-12)
    assert effect.low < effect.value < effect.high


def test_bootstrap_tables_keep_the_rows_and_leave_empty_cells_empty():
    counts = np.array([[3.0, 0.0], [5.0, 2.0]])
    tables = multinomial_tables(counts, rng=np.random.default_rng(0), draws=500)
    assert (tables.sum((1, 2)) == 10).all()
    assert (tables[:, 0, 1] == 0).all()
    np.testing.assert_allclose(tables.mean(0), counts, atol=0.3)


def test_tables_in_batches_are_the_tables_at_once(monkeypatch):
    counts = np.random.default_rng(0).integers(1, 9, (3, 2, 4)).astype(float)
    whole = multinomial_tables(counts, rng=np.random.default_rng(1))
    monkeypatch.setattr(bootstrap, "CELLS_AT_ONCE", 24 * 300)
    batches = [*multinomial_batches(counts, rng=np.random.default_rng(1))]
    assert [len(batch) for batch in batches] == [300] * 6 + [200]
    assert np.array_equal(np.concatenate(batches), whole)


@pytest.mark.parametrize("nominal", [False, True])
def test_many_cells_take_little_memory(nominal):
    """What all tables at once would take: 2000 of 8640 cells, 138 MB, several times over."""
    rng = np.random.default_rng(0)
    sizes = {"C": 12, "X": 6, "S": 12, "Y": 10}
    table = pd.DataFrame({name: rng.integers(0, size, 100_000) for name, size in sizes.items()})
    table = table.astype({"Y": "category"}) if nominal else table
    tracemalloc.start()
    try:
        estimate_effect(table, FrontDoor("X", "Y", ("S",), ("C",)), rng=rng, estimator="plug-in")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6


def test_rare_cells_are_reported():
    rows = [(0, 0, 0)] * 200 + [(0, 1, 1)] * 200 + [(1, 0, 1)] * 2 + [(1, 1, 1)] * 200
    table = pd.DataFrame(rows, columns=["X", "S", "Y"])
    effect = estimate_effect(table, FRONT, rng=np.random.default_rng(0))
    assert any("bootstrap tables had an empty cell" in warning for warning in effect.warnings)
