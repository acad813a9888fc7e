"""Bounds against brute force and closed forms; robustness values against the bias they speak of."""

import numpy as np
import pytest
import statsmodels.api as sm

from causalvlm.refutation.bounds import bounds
from causalvlm.refutation.leak import leak
from causalvlm.refutation.over_identification import difference
from causalvlm.refutation.overlap import probed
from causalvlm.refutation.robustness import Strength, front_door_strength, robustness_value
from causalvlm.worlds.discrete import Dials, draw_world
from causalvlm.worlds.embedding import EmbeddingWorld


@pytest.mark.parametrize("seed", range(5))
def test_without_full_mediation_the_unseen_arm_may_do_anything(seed):
    joint = np.random.default_rng(seed).dirichlet(np.ones(8)).reshape(2, 2, 2)
    p_x = joint.sum((1, 2))
    known = []
    for a in (0, 1):
        p_s = joint[a].sum(1) / p_x[a]
        known.append(sum(p_s[s] * p_x[a] * joint[a, s, 1] / joint[a, s].sum() for s in (0, 1)))
    found = bounds(joint, dropped="full mediation")
    assert found.low == pytest.approx(known[1] - known[0] - (1 - p_x[0]), abs=1e-9)
    assert found.high == pytest.approx(known[1] + (1 - p_x[1]) - known[0], abs=1e-9)


@pytest.mark.parametrize(("dial", "dropped"), [("direct", "full mediation"), ("second_stage", "second stage")], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_bounds_hold_the_truth_when_their_assumption_fails(dial, dropped, seed):
    world = draw_world(Dials(**{dial: 1.5}), rng=np.random.default_rng(seed))
    found = bounds(world.observed()[0], dropped=dropped)
    truth = world.truth(1)[1] - world.truth(0)[1]
    assert found.low - 1e-9 <= truth <= found.high + 1e-9
    assert found.high - found.low <= 1 + 1e-9


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
        found = bounds(joint, dropped="second stage")
        assert found.low - 1e-7 <= truth <= found.high + 1e-7
        slack.append(min(truth - found.low, found.high - truth))
    assert min(slack) < 0.01


def test_the_robustness_value_is_the_strength_that_cancels():
    """A confounder with partial R2 of RV on both sides has bias se * sqrt(df) * RV / sqrt(1 - RV) = |estimate|."""
    for score, degrees in ((4.18, 783), (30.0, 500), (0.5, 2000)):
        value = robustness_value(score, degrees)
        assert np.sqrt(degrees) * value / np.sqrt(1 - value) == pytest.approx(score, rel=1e-9)
    assert robustness_value(4.18, 783) == pytest.approx(0.139, abs=5e-4)  # published for the Darfur example
    assert robustness_value(0.0, 100) == 0.0


def test_a_confounder_of_that_strength_does_cancel():
    rng = np.random.default_rng(0)
    rows = 200_000
    x, s_noise, y_noise = rng.normal(size=(3, rows))
    s = x + s_noise
    y = 0.5 * s + y_noise
    given = np.column_stack([np.ones(rows), x])
    strength = front_door_strength(s[:, None], given, y, np.array([0.0, 1.0]))
    value = Strength(strength.scores[1:], strength.degrees[1:]).robustness()
    # a latent v with these partial R2 of S given X, and of Y given X and S
    own_s = s - given @ np.linalg.lstsq(given, s, rcond=None)[0]
    full = np.column_stack([given, s])
    own_y = y - full @ np.linalg.lstsq(full, y, rcond=None)[0]
    noise = rng.normal(size=rows)
    for column in (own_s, own_y):
        noise = noise - column * (noise @ column) / (column @ column)
    unit = [column / column.std() for column in (own_s, own_y, noise)]
    share_y = value * (1 - value)  # of the part of v that S leaves
    v = np.sqrt(value) * unit[0] + np.sqrt(share_y) * unit[1] + np.sqrt(1 - value - share_y) * unit[2]
    adjusted = np.linalg.lstsq(np.column_stack([full, v]), y, rcond=None)[0][2]
    assert abs(adjusted) < 0.01


def test_stage_scores_are_those_of_two_regressions():
    table = EmbeddingWorld(dim=2).sample(500, rng=np.random.default_rng(0))
    s, x, y = table[["S0"]].to_numpy(), table[["X"]].to_numpy(dtype=float), table.Y.to_numpy()
    given = np.hstack([np.ones((500, 1)), x])
    strength = front_door_strength(s, given, y, np.array([0.0, 1.0]))
    first = sm.OLS(s[:, 0], given).fit()
    second = sm.OLS(y, np.hstack([given, s])).fit()
    sign = np.sign(second.params[2])
    assert strength.scores[0] == pytest.approx(sign * first.tvalues[1])
    assert strength.scores[1] == pytest.approx(np.sign(first.params[1]) * second.tvalues[2])
    assert strength.degrees == (first.df_resid, second.df_resid)


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
