"""Bounds against brute force and closed forms; what leaks, differs or overlaps against textbook tests."""

import numpy as np
import pytest
import statsmodels.api as sm

from causalvlm.errors import InputError
from causalvlm.estimation.effect import estimate_effect
from causalvlm.identification.estimands import FrontDoor
from causalvlm.refutation.bounds import bounds, second_stage_bounds
from causalvlm.refutation.leak import leak
from causalvlm.refutation.over_identification import difference
from causalvlm.refutation.overlap import probed
from causalvlm.worlds.discrete import Dials, draw_world
from causalvlm.worlds.embedding import EmbeddingWorld

FRONT = FrontDoor("X", "Y", ("S",))


@pytest.mark.parametrize("seed", range(4))
def test_bounds_hold_the_truth_when_their_assumption_fails(seed):
    world = draw_world(Dials(second_stage=1.5), rng=np.random.default_rng(seed))
    found = second_stage_bounds(world.observed()[0])
    truth = world.truth(1)[1] - world.truth(0)[1]
    assert found.low - 1e-9 <= truth <= found.high + 1e-9
    assert found.high - found.low <= 1 + 1e-9


def test_bounds_are_of_the_table_and_of_binary_columns_only():
    world, rng = draw_world(Dials(), rng=np.random.default_rng(1)), np.random.default_rng(0)
    table = world.sample(200_000, rng=rng)
    effect, swapped = (estimate_effect(table, FRONT, rng=rng, treated=high, control=1 - high) for high in (1, 0))
    known, found, other = second_stage_bounds(world.observed()[0]), bounds(effect, table), bounds(swapped, table)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.01)
    assert (other.low, other.high) == pytest.approx((-found.high, -found.low))
    wide = EmbeddingWorld(dim=2).sample(300, rng=rng)
    with pytest.raises(InputError, match="binary mediator and an outcome of 0 and 1"):
        bounds(estimate_effect(wide, FRONT, rng=rng, columns=EmbeddingWorld(dim=2).columns), wide)


def test_bounds_without_the_second_stage_hold_and_are_reached():
    """Models drawn over response types, X independent of the mediator's type: none lies outside, some at the ends."""
    slack = []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        p_x, types = rng.dirichlet(np.ones(2)), rng.dirichlet(np.full(4, 0.3))
        given = rng.dirichlet(np.full(4, 0.1), size=(2, 4))  # P(outcome type | x, mediator type)
        joint, truth = np.zeros((2, 2, 2)), 0.0
        for x, u, v in np.ndindex(2, 4, 4):
            weight = p_x[x] * types[u] * given[x, u, v]
            s = [u >> 1 & 1, u & 1]
            y = [v >> 1 & 1, v & 1]
            joint[x, s[x], y[s[x]]] += weight
            truth += weight * (y[s[1]] - y[s[0]])
        found = second_stage_bounds(joint)
        assert found.low - 1e-7 <= truth <= found.high + 1e-7
        slack.append(min(truth - found.low, found.high - truth))
    assert min(slack) < 0.01


def test_the_leak_test_is_the_f_test():
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, 300))
    s = np.column_stack([x + 0.2 * g + rng.normal(size=300), rng.normal(size=300)])
    given = np.column_stack([np.ones(300), x])
    found = leak(g, s, given)
    large, small = sm.OLS(g, np.hstack([given, s])).fit(), sm.OLS(g, given).fit()
    assert found.p_value == pytest.approx(large.compare_f_test(small)[1])
    assert found.share == pytest.approx(1 - large.ssr / small.ssr)


def test_a_suspect_that_the_treatment_determines_tells_nothing():
    x = np.arange(50.0)
    given = np.column_stack([np.ones(50), x])
    assert leak(3 * x, np.random.default_rng(0).normal(size=(50, 1)), given).p_value == 1.0


def test_the_difference_allows_for_correlation():
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(2, 400))
    found = difference(1.0, 1.0, shared + 0.1 * own, shared)
    assert found.standard_error == pytest.approx(0.1 / 20, rel=0.1)
    assert found.score() == 0.0


def test_overlap_of_two_gaussian_clouds_in_closed_form():
    """Kish's share of weights that are 1 on one half and a density ratio with E[w^2] = exp(d^2) on the other."""
    world = EmbeddingWorld(dim=2, separation=1.0, confounding=0.0)
    table = world.sample(40_000, rng=np.random.default_rng(0))
    found = probed(table[["S0", "S1"]].to_numpy(), table.X.to_numpy(), pair=(1, 0), rng=np.random.default_rng(1))
    np.testing.assert_allclose(found.shares, 2 / (1 + np.e), rtol=0.08)
    assert found.auc == pytest.approx(world.auc(), abs=0.01)
