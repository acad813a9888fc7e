"""What the claims say: choices by the data, refusals, and one clear error for every mistake, its values shown."""

import numpy as np
import pandas as pd
import pytest

from causalvlm.errors import InputError, OverlapError
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.guards import FEWEST_EFFECTIVE_ROWS
from causalvlm.estimation.spread import Draws, Gaussian
from causalvlm.identification.estimands import BackDoor, FrontDoor
from causalvlm.worlds.discrete import Dials, draw_world, independent_outcomes, smoking
from causalvlm.worlds.embedding import EmbeddingWorld
from causalvlm.worlds.linear import LinearWorld

FRONT, BACK = FrontDoor("X", "Y", ("S",)), BackDoor("X", "Y", ("U",))
TABLE = smoking().sample(2000, rng=np.random.default_rng(0))


def estimate(table=TABLE, estimand=FRONT, seed=0, **settings):
    return estimate_effect(table, estimand, rng=np.random.default_rng(seed), **settings)


@pytest.mark.parametrize(
    ("world", "estimand", "expected"),
    [
        (smoking(), FRONT, "plug-in"),
        (LinearWorld(), FRONT, "two-stage"),
        (EmbeddingWorld(dim=2), FRONT, "one-step"),
        (smoking(), BackDoor("X", "Y", ()), "plug-in"),
        (LinearWorld(), BACK, "partially-linear"),
        (EmbeddingWorld(dim=2), BACK, "aipw"),
    ],
)
def test_the_data_choose_the_estimator_and_the_result_says_so(world, estimand, expected):
    columns = world.columns if isinstance(world, EmbeddingWorld) and estimand is FRONT else None
    effect = estimate(world.sample(500, rng=np.random.default_rng(0)), estimand, columns=columns)
    assert effect.estimator == expected


@pytest.mark.parametrize(
    ("table", "settings", "words"),
    [
        (TABLE.iloc[:0], {}, ["must have rows", "received none"]),
        (TABLE.drop(columns="S"), {}, ["no column 'S'", "Columns: C, U, X, Y"]),
        (TABLE.assign(X=1), {}, ["'X' must take at least two levels", "received (1,) in all 2000 rows"]),
        (
            TABLE.assign(S=TABLE.S.astype(float).where(TABLE.index != 5)),
            {},
            ["'S'", "received 1 in 2000 rows", "row 5"],
        ),
        (TABLE.assign(Y=np.where(TABLE.Y == 1, np.inf, 0.0)), {}, ["'Y'", "no missing or infinite"]),
        (
            TABLE.assign(Y=np.where(TABLE.Y == 1, "yes", "no")),
            {},
            ["'Y' must be numeric", "'no'", "astype('category')"],
        ),
        (TABLE, {"treated": 7}, ["levels of 'X'", "received 7, which no row has", "Levels: 0, 1"]),
        (TABLE, {"control": "never"}, ["received 'never'"]),
        (TABLE, {"treated": 1, "control": 1}, ["must differ", "received 1 for both"]),
        (TABLE, {"estimator": "aipw"}, ["plug-in, two-stage, one-step", "front-door", "received 'aipw'"]),
        (TABLE, {"estimator": "frontdoor.linear_regression"}, ["received 'frontdoor.linear_regression'"]),
        (TABLE, {"columns": {"M": ["S"]}}, ["map nodes of the estimand", "received 'M'", "Nodes: X, Y, S"]),
        (TABLE, {"columns": {"S": ["S", "U"], "X": ["U"]}}, ["one part", "'U' in two"]),
        (TABLE, {"columns": {"Y": ["Y", "U"]}}, ["one column each", "received 2 for 'Y'"]),
        (TABLE.assign(S=[[0]] * 2000), {}, ["'S' must hold numbers or text", "received list"]),
        (pd.concat([TABLE, TABLE[["S"]]], axis=1), {}, ["unique", "'S' 2 times"]),
        (TABLE.assign(Y=TABLE.Y.astype("category")), {"estimator": "two-stage"}, ["needs the estimator 'plug-in'"]),
        (LinearWorld().sample(99, rng=np.random.default_rng(0)), {"treated": "high"}, ["numbers", "received 'high'"]),
        (
            LinearWorld().sample(99, rng=np.random.default_rng(0)),
            {"estimator": "plug-in"},
            ["few levels", "continuous"],
        ),
    ],
)
def test_every_mistake_has_one_clear_error(table, settings, words):
    with pytest.raises(InputError) as caught:
        estimate(table, **settings)
    for word in words:
        assert word in str(caught.value)


def test_a_back_door_refuses_front_door_estimators():
    with pytest.raises(InputError, match="for a back-door estimand; received 'two-stage'"):
        estimate(estimand=BackDoor("X", "Y", ()), estimator="two-stage")


def test_an_unused_outcome_for_a_numeric_y():
    with pytest.raises(InputError, match="outcome= is for a categorical outcome; received 'dog'"):
        estimate().contrast(1, 0, outcome="dog")


def test_an_empty_cell_is_named_and_nothing_is_imputed():
    table = pd.DataFrame({"prompt": list("aabb") * 100, "word": list("uvuu") * 100, "right": [0, 1] * 200})
    with pytest.raises(OverlapError) as caught:
        estimate(table, FrontDoor("prompt", "right", ("word",)))
    assert "received no row with prompt='b' and word='v' (0 of 100; 1 empty cells of 4)" in str(caught.value)
    assert caught.value.effective_sample_size == 0.0


def test_a_level_without_rows_can_be_asked_for_by_nobody():
    table = TABLE.assign(X=pd.Categorical(np.where(TABLE.X == 1, "b", "a"), categories=["a", "b", "c"]))
    with pytest.raises(InputError, match="'c', which no row has"):
        estimate(table, treated="c")


def test_a_mediator_that_reveals_the_treatment_is_refused_with_numbers():
    world = EmbeddingWorld(dim=4, separation=6.0)
    table = world.sample(2000, rng=np.random.default_rng(0))
    for estimator in ("one-step", "two-stage"):
        with pytest.raises(OverlapError, match="must overlap in the mediator") as caught:
            estimate(table, columns=world.columns, estimator=estimator)
        assert caught.value.auc > 0.99
    fine = EmbeddingWorld(dim=4)
    assert estimate(fine.sample(2000, rng=np.random.default_rng(0)), columns=fine.columns).warnings == ()


def test_few_rows_are_refused_whatever_the_overlap():
    with pytest.raises(OverlapError, match="effective rows") as caught:
        estimate(draw_world(Dials(), rng=np.random.default_rng(1)).sample(40, rng=np.random.default_rng(0)))
    assert caught.value.effective_sample_size < FEWEST_EFFECTIVE_ROWS


def test_text_from_a_command_line_finds_numbers_and_truth_values():
    assert estimate(treated="0", control="1").value == -estimate().value
    table = TABLE.assign(X=TABLE.X.astype(bool))
    assert estimate(table, treated="True", control="False").value == estimate().value


def test_strings_are_levels():
    names = np.array(["none", "some"])
    table = TABLE.assign(X=names[TABLE.X], S=names[TABLE.S])
    effect = estimate(table)
    assert effect.value == estimate().value
    assert list(effect.do_means) == ["none", "some"]


def test_any_pair_of_levels_has_its_contrast_and_interval():
    world = draw_world(Dials(), rng=np.random.default_rng(0), treatments=3)
    effect = estimate(world.sample(4000, rng=np.random.default_rng(0)))
    assert "3 levels" in effect.warnings[0]
    assert (effect.treated, effect.control) == (2, 0)
    middle = effect.contrast(1, 0)
    assert middle.value == effect.do_means[1] - effect.do_means[0]
    assert middle.low < middle.value < middle.high
    assert effect.contrast(0, 1).low == pytest.approx(-middle.high)
    assert effect.contrast(2, 1).value + middle.value == pytest.approx(effect.value)
    assert effect.contrast(1, 1).value == effect.contrast(1, 1).high == 0.0
    assert effect.standard_error == effect.contrast(2, 0).standard_error


def test_effects_of_continuous_treatments_scale_with_their_distance():
    table = LinearWorld().sample(2000, rng=np.random.default_rng(0))
    unit = estimate(table)
    for treated, control, factor in ((2, 0, 2.0), (1, -1, 2.0), (0, 3, -3.0)):
        effect = estimate(table, treated=treated, control=control)
        assert effect.value == pytest.approx(factor * unit.value)
        assert effect.standard_error == pytest.approx(abs(factor) * unit.standard_error)
    assert any("lies outside" in warning for warning in estimate(table, treated=99).warnings)


def test_nothing_moves_where_nothing_carries_the_effect():
    effect = estimate(estimand=FrontDoor("X", "Y", (), ("C",)))
    assert effect.value == effect.low == effect.high == 0.0
    assert effect.do_means[0] == pytest.approx(TABLE.Y.mean())
    assert estimate(estimand=FrontDoor("X", "Y", ()), estimator="two-stage").value == 0.0


def test_the_same_seed_gives_the_same_numbers_and_the_table_is_untouched():
    before = TABLE.copy(deep=True)
    assert (estimate().low, estimate().high) == (estimate().low, estimate().high)
    assert estimate(seed=1).low != estimate().low
    pd.testing.assert_frame_equal(TABLE, before)


def test_integer_codes_of_three_levels_are_levels_and_not_amounts():
    world = draw_world(Dials(interaction=0.0), rng=np.random.default_rng(4), mediators=3)
    table = world.sample(20_000, rng=np.random.default_rng(0))
    shuffled = table.assign(S=np.array([2, 0, 1])[table.S])
    for estimator in ("plug-in", "two-stage", "one-step"):
        first, second = (estimate(data, estimator=estimator).value for data in (table, shuffled))
        assert first == pytest.approx(second, abs=2e-3)


def test_intervals_of_known_distributions():
    covariance = np.array([[4.0, 1.0], [1.0, 2.0]])
    gap = np.array([-1.0, 1.0])
    analytic = Gaussian(covariance)
    draws = Draws(np.random.default_rng(0).multivariate_normal([0.0, 0.0], covariance, 200_000))
    assert analytic.standard_error(gap) == pytest.approx(2.0)
    assert draws.standard_error(gap) == pytest.approx(2.0, rel=0.01)
    np.testing.assert_allclose(analytic.interval(1.0, gap), [1 - 3.92, 1 + 3.92], atol=0.01)
    np.testing.assert_allclose(draws.interval(0.0, gap), [-3.92, 3.92], atol=0.05)


def test_a_binary_outcome_of_a_vector_mediator_has_probabilities_as_means():
    rng = np.random.default_rng(0)
    u = rng.normal(size=20_000)
    x = (rng.random(20_000) < 1 / (1 + np.exp(-u))).astype(int)
    s = x + rng.normal(size=20_000)
    y = (rng.random(20_000) < 1 / (1 + np.exp(-(s + u)))).astype(int)
    effect = estimate(pd.DataFrame({"X": x, "S": s, "Y": y}))
    grid = rng.normal(size=(2, 400_000))
    truth = np.mean(1 / (1 + np.exp(-(1 + grid[0] + grid[1])))) - np.mean(1 / (1 + np.exp(-(grid[0] + grid[1]))))
    assert effect.estimator == "one-step"
    assert effect.low < truth < effect.high
    assert all(0 < mean < 1 for mean in effect.do_means.values())


def test_read_only_data_are_enough():
    table = independent_outcomes().sample(2000, rng=np.random.default_rng(0))
    frozen = {name: table[name].to_numpy().copy() for name in table}
    for values in frozen.values():
        values.setflags(write=False)
    assert estimate(pd.DataFrame(frozen, copy=False)).n == 2000
