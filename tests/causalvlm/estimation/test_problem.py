"""A problem reads every column once, says what kind of data it is, and can be put to another table."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from causalvlm.errors import InputError
from causalvlm.estimation import problem as reading
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.estimators import ESTIMATORS
from causalvlm.estimation.problem import read_problem
from causalvlm.estimation.sample import check_columns, joint_levels
from causalvlm.identification.estimands import BackDoor, FrontDoor
from causalvlm.worlds.discrete import Dials, draw_world, smoking
from causalvlm.worlds.embedding import EmbeddingWorld
from causalvlm.worlds.linear import LinearWorld

FRONT = FrontDoor("X", "Y", ("S",))


@pytest.mark.parametrize("name", ["two-stage", "one-step"])
def test_a_column_is_read_once(monkeypatch, name):
    world, read = EmbeddingWorld(dim=3), []
    honest = reading.matrix
    monkeypatch.setattr(reading, "matrix", lambda table, names: read.append(tuple(names)) or honest(table, names))
    problem = read_problem(world.sample(500, rng=np.random.default_rng(0)), FRONT, columns=world.columns)
    for _ in range(2):
        ESTIMATORS[name].fit(problem, rng=np.random.default_rng(0))
    assert sorted(read) == [(), ("S0", "S1", "S2")]


def test_what_an_estimator_does_not_need_is_not_read(monkeypatch):
    problem = read_problem(smoking().sample(500, rng=np.random.default_rng(0)), FRONT)
    monkeypatch.setattr(reading, "matrix", None)
    assert ESTIMATORS["plug-in"].fit(problem, rng=np.random.default_rng(0)).means.shape == (2, 1)


def test_a_problem_is_frozen():
    problem = read_problem(smoking().sample(500, rng=np.random.default_rng(0)), FRONT)
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.table = problem.table.iloc[:1]


@pytest.mark.parametrize("rows", [40, 60, 80, 400])
def test_cells_are_counted_over_the_combinations_that_occur(rows):
    """Against the joint levels of mediator and covariate, as slow code would count them."""
    world = draw_world(Dials(covariate=1.0), rng=np.random.default_rng(4), mediators=3)
    table = world.sample(rows, rng=np.random.default_rng(0))
    problem = read_problem(table, FrontDoor("X", "Y", ("S",), ("C",)))
    cells = 2 * len(joint_levels(table, ["S", "C"]).labels)
    assert problem.data == ("cells" if 5 * cells <= rows else "levels")


def test_the_kinds_of_data():
    rng = np.random.default_rng(0)
    assert read_problem(LinearWorld().sample(200, rng=rng), FRONT).data == "amounts"
    assert read_problem(EmbeddingWorld(dim=2).sample(200, rng=rng), BackDoor("X", "Y", ("U",))).data == "levels"
    assert read_problem(LinearWorld().sample(200, rng=rng), FrontDoor("X", "Y", ())).data == "cells"


def test_another_table_keeps_the_settings_and_must_have_their_levels():
    table = smoking().sample(500, rng=np.random.default_rng(0))
    problem = read_problem(table, FRONT, treated=0, control=1)
    assert problem.on(table.iloc[:100]).arms.pair == (0, 1)
    assert problem.on(table.iloc[:100]).rows == 100
    with pytest.raises(InputError, match="at least two levels"):
        problem.on(table[table.X == 1])


def test_text_is_no_outcome_until_it_is_a_category():
    table = pd.DataFrame({"X": [0, 1] * 20, "S": [0, 1, 1, 0] * 10, "Y": ["no", "yes"] * 20})
    with pytest.raises(InputError, match="must be numeric here"):
        _ = read_problem(table, FRONT).counted_outcome
    assert read_problem(table.assign(Y=table.Y.astype("category")), FRONT).counted_outcome.labels == ("no", "yes")


def test_values_whose_squares_are_infinite_are_refused():
    with pytest.raises(InputError, match=r"column 'Y' must hold numbers of at most 1e\+100; received 1e\+308"):
        check_columns(pd.DataFrame({"Y": [0.0, -1e308]}), ["Y"])


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    x = np.arange(600) % 2
    s, z = x + rng.normal(size=600), rng.normal(size=600)
    return pd.DataFrame({"X": x, "S": s, "Z": z, "Y": s + z})


NO_CONTROL = {
    "a name for every row": [f"img{row}" for row in range(600)],
    "a name for every pair": [f"img{row // 2}" for row in range(600)],
    "dates": pd.date_range("2020-01-01", periods=600),
    "dates as objects": list(pd.date_range("2020-01-01", periods=600).date),
    "months": pd.period_range("1970-01", periods=600, freq="M"),
    "dates as categories": pd.Categorical(pd.to_datetime(["2020-01-01", "2021-01-01"] * 300)),
    "tuples": [(row % 2, 1) for row in range(600)],
    "complex numbers": np.arange(600) + 1j,
    "numbers too small to square": np.arange(600) * 1e-200,
    "numbers that differ by rounding": 1e15 + np.arange(600) / 100,
}


@pytest.mark.parametrize("values", NO_CONTROL.values(), ids=NO_CONTROL.keys())
@pytest.mark.parametrize(("role", "estimand"), [("Z", BackDoor("X", "Y", ("Z",))), ("S", FRONT)])
def test_what_cannot_be_held_fixed_is_refused(table, role, estimand, values):
    with pytest.raises(InputError, match=f"column '{role}' must .*; received "):
        read_problem(table.assign(**{role: values}), estimand)


@pytest.mark.parametrize("name", ["dates", "tuples"])
def test_levels_are_text_or_numbers(table, name):
    with pytest.raises(InputError, match="column 'X' must hold numbers or"):
        read_problem(table.assign(X=NO_CONTROL[name]), FRONT)


def test_intervals_are_levels_with_names(table):
    cut = table.assign(X=pd.cut(table.Z, [-9.0, 0.0, 9.0]))
    assert read_problem(cut, FRONT).arms.labels == ("(-9.0, 0.0]", "(0.0, 9.0]")


def test_constants_and_lonely_levels_are_named(table):
    lonely = table.assign(Z=["many"] * 500 + [f"one{row}" for row in range(100)], C=1.0)
    found = read_problem(lonely, BackDoor("X", "Y", ("Z", "C"))).notes
    assert found[0] == "column 'C' is constant: holding it fixed changes nothing."
    assert found[1].startswith("100 of 600 rows are alone in their level of 'Z'")
    effect = estimate_effect(lonely, BackDoor("X", "Y", ("Z", "C")), rng=np.random.default_rng(0))
    assert effect.warnings[:2] == found


def test_a_mediator_that_does_not_vary_is_refused_and_a_part_of_it_named(table):
    with pytest.raises(InputError, match="the mediator must vary; received one value of S in all 600 rows"):
        read_problem(table.assign(S=1.0), FRONT)
    columns = {"S": ["S", "T"]}
    assert "column 'T' is constant" in read_problem(table.assign(T=1.0), FRONT, columns=columns).notes[0]


@pytest.mark.parametrize("names", [[], "SC"])
def test_columns_are_a_list_with_something_in_it(table, names):
    with pytest.raises(InputError, match=r"columns= must give every node a list .* Write columns=\{'S': \["):
        estimate_effect(table.assign(C=1.0), FRONT, rng=np.random.default_rng(0), columns={"S": names})
