"""A problem reads every column once, says what kind of data it is, and can be put to another table."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from causalvlm.errors import InputError
from causalvlm.estimation import problem as reading
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
