"""Truths of the worlds against brute force: interventions simulated or summed without the library's own formula."""

from itertools import product

import numpy as np
import pytest

from causalvlm.errors import InputError
from causalvlm.worlds.discrete import (
    Dials,
    DiscreteWorld,
    draw_world,
    from_observed,
    independent_outcomes,
    smoking,
    smoking_reversed,
)
from causalvlm.worlds.embedding import CovariateWorld, EmbeddingWorld
from causalvlm.worlds.linear import LinearWorld

EVERYTHING = Dials(interaction=0.8, leak=0.5, second_stage=0.7, direct=0.4, covariate=0.6)


def contrast(world: DiscreteWorld) -> float:
    return float(world.truth(1)[1] - world.truth(0)[1])


@pytest.mark.parametrize(
    ("world", "low", "high"),
    [
        (smoking(), 0.5025, 0.5475),
        (smoking_reversed(), 0.4975, 0.4525),
        (independent_outcomes(), 0.0575, 0.1850),
    ],
)
def test_published_do_probabilities(world, low, high):
    assert world.truth(0)[1] == pytest.approx(low, abs=1e-12)
    assert world.truth(1)[1] == pytest.approx(high, abs=1e-12)


def test_published_confounded_differences():
    assert smoking().naive(1)[1] - smoking().naive(0)[1] == pytest.approx(-0.755)
    assert independent_outcomes().naive(1)[1] - independent_outcomes().naive(0)[1] == pytest.approx(0.5549, abs=5e-5)


def test_truth_is_the_sum_over_every_history():
    world = draw_world(EVERYTHING, rng=np.random.default_rng(0), treatments=3, mediators=4, outcomes=3)
    strata, latents = world.p_u.shape
    for level in range(3):
        slow = np.zeros(3)
        for c, u, s, y in product(range(strata), range(latents), range(4), range(3)):
            slow[y] += world.p_c[c] * world.p_u[c, u] * world.p_s[c, u, level, s] * world.p_y[c, u, s, level, y]
        np.testing.assert_allclose(world.truth(level), slow, atol=1e-14)


def test_samples_follow_the_joint():
    world = draw_world(EVERYTHING, rng=np.random.default_rng(1))
    table = world.sample(200_000, rng=np.random.default_rng(2))
    shares = table.groupby(list("CUXSY")).size().reindex(
        list(np.ndindex(world.joint().shape)), fill_value=0
    ).to_numpy() / len(table)
    np.testing.assert_allclose(shares, world.joint().ravel(), atol=5e-3)


@pytest.mark.parametrize("dial", ["leak", "second_stage", "direct"])
def test_each_dial_breaks_the_front_door_formula_and_its_absence_does_not(dial):
    def front_door(world: DiscreteWorld) -> float:
        joint = world.observed()[0]
        p_x = joint.sum((1, 2))
        values = [
            sum(
                joint[a, s].sum() / p_x[a] * sum(p_x[x] * joint[x, s, 1] / joint[x, s].sum() for x in (0, 1))
                for s in (0, 1)
            )
            for a in (0, 1)
        ]
        return float(values[1] - values[0])

    clean = draw_world(Dials(), rng=np.random.default_rng(0))
    broken = draw_world(Dials(**{dial: 1.0}), rng=np.random.default_rng(0))
    assert front_door(clean) == pytest.approx(contrast(clean), abs=1e-12)
    assert abs(front_door(broken) - contrast(broken)) > 0.03


def test_a_world_from_observed_frequencies_shows_them():
    joint = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(2, 3, 2)
    np.testing.assert_allclose(from_observed(joint).observed()[0], joint, atol=1e-15)


@pytest.mark.parametrize(("table", "word"), [(np.ones((2, 2)), "axes"), (np.array([0.5, 0.6]), "sum to one")])
def test_impossible_tables_are_refused(table, word):
    good = smoking()
    with pytest.raises(InputError, match=word):
        DiscreteWorld(table, good.p_u, good.p_x, good.p_s, good.p_y)


def test_linear_truth_is_what_an_intervention_does():
    world, rng = LinearWorld(direct=0.5, leak=0.3, second_s=1.0, second_y=0.7), np.random.default_rng(0)
    u, v, e_s, e_y = rng.normal(size=(4, 400_000))

    def mean(x: float) -> float:
        s = world.first * x + world.leak * u + world.second_s * v + e_s
        return float(np.mean(world.second * s + world.confounding_y * u + world.second_y * v + world.direct * x + e_y))

    assert mean(1.0) - mean(0.0) == pytest.approx(world.truth(), abs=1e-9)  # common random numbers cancel exactly


@pytest.mark.parametrize(
    ("world", "limit"),
    [
        (LinearWorld(), 3.0),
        (LinearWorld(direct=0.7), 3.0),  # bias -0.7
        (LinearWorld(second_s=1.0, second_y=1.0), 2.0 * (1.5 + 1.0 / 2.0)),  # a (b + ds dy / (ds^2 + 1))
        (LinearWorld(first=0.7, second=0.65, confounding_x=0.3, confounding_y=0.2, mediator_noise=0.3), 0.455),
    ],
)
def test_linear_limits_follow_the_bias_formulas(world, limit):
    assert world.front_door_limit() == pytest.approx(limit, abs=1e-12)


def test_the_first_stage_bias_formula():
    world = LinearWorld(first_x=0.5, first_s=0.5)
    v_x = 1 + 1 + 0.25
    s_given_x = 0.25 + 1 - (0.5 * 0.5) ** 2 / v_x
    w_u = -0.5 * world.confounding_x / v_x
    first = world.first + 0.5 * 0.5 / v_x
    second = world.second + world.confounding_y * 0.5 * w_u / s_given_x
    assert world.front_door_limit() == pytest.approx(first * second, abs=1e-12)


def test_linear_samples_have_the_stated_covariance():
    world = LinearWorld(leak=0.4, first_x=0.3, first_s=0.2, second_s=0.5)
    table = world.sample(300_000, rng=np.random.default_rng(0))
    np.testing.assert_allclose(table.cov(), world.covariance(), atol=0.25)


@pytest.mark.parametrize(
    "world",
    [
        EmbeddingWorld(dim=6),
        EmbeddingWorld(dim=6, interaction=1.0, spread=0.5, log_odds=-1.0, effect=1.2),
        EmbeddingWorld(dim=6, curvature=0.3, leak=0.5, direct=0.4),
        EmbeddingWorld(dim=2, curvature=0.2),
    ],
)
def test_embedding_truth_is_what_an_intervention_does(world):
    rng, rows = np.random.default_rng(0), 400_000
    u, noise = rng.normal(size=rows), rng.normal(size=(rows, world.dim))
    factor, leak, other = world.directions[0], world.directions[1], world.directions[-1]

    def mean(x: int) -> float:
        s = (1 + world.spread * x) * noise + world.separation * x * factor + world.leak * u[:, None] * leak
        planted = s @ factor
        y = world.effect / world.separation * planted + world.curvature * planted**2 + world.interaction * u * planted
        return float(np.mean(y + 0.5 * (s @ other) + world.direct * x))

    assert mean(1) - mean(0) == pytest.approx(world.truth(), abs=0.03)


def test_the_embedding_separates_as_stated():
    world = EmbeddingWorld(dim=5, separation=1.5, confounding=0.0)
    table = world.sample(40_000, rng=np.random.default_rng(0))
    score = table[world.columns["S"]].to_numpy() @ world.directions[0]
    treated, control = score[table.X == 1], score[table.X == 0]
    wins = np.mean(rng_pairs(treated) > rng_pairs(control))
    assert wins == pytest.approx(world.auc(), abs=0.01)


def rng_pairs(values: np.ndarray) -> np.ndarray:
    return np.random.default_rng(values.size).choice(values, 100_000)


def test_covariate_world_truth_by_numerical_integration():
    c = (np.arange(100_000) + 0.5) / 100_000
    slow = np.mean(1 / (1 + np.exp(-c)) - 1 / (1 + np.exp(1 - c)))
    assert CovariateWorld(binary=True).truth() == pytest.approx(slow, abs=1e-9)


@pytest.mark.parametrize("settings", [{"dim": 1}, {"separation": 0.0}])
def test_impossible_embeddings_are_refused(settings):
    with pytest.raises(InputError, match="dim must be at least 2"):
        EmbeddingWorld(**settings)


def test_the_same_generator_state_gives_the_same_table():
    for world in (smoking(), LinearWorld(), EmbeddingWorld(dim=3), CovariateWorld()):
        first, second = (world.sample(50, rng=np.random.default_rng(7)) for _ in range(2))
        assert first.equals(second)
