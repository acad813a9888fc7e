"""A problem reads every column once, says what kind of data it is, and can be put to another table."""

import dataclasses
import json
import subprocess
import sys

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


@pytest.mark.parametrize("values", [["a", 1] * 300, [True, 0] * 300, ["a", 1.5] * 300])
@pytest.mark.parametrize("name", ["X", "Y", "S"])
def test_text_and_numbers_are_not_mixed(table, name, values):
    with pytest.raises(InputError, match=f"column '{name}' must hold numbers or text throughout; received .*, .*"):
        read_problem(table.assign(**{name: pd.Series(values, dtype=object)}), FRONT)


@pytest.mark.parametrize("values", [True, pd.Categorical(["a"] * 600, categories=["a", "b"]), 0.5])
def test_a_treatment_has_two_levels_in_the_rows(table, values):
    with pytest.raises(InputError, match=r"treatment 'X' must take at least two levels; received \("):
        read_problem(table.assign(X=values), FRONT)


@pytest.mark.parametrize("values", [np.inf, pd.array([float("inf")] * 600, dtype="Float64")])
def test_infinity_is_missing(table, values):
    with pytest.raises(InputError, match="column 'Y' must have no missing or infinite values; received 600 in 600"):
        read_problem(table.assign(Y=values), FRONT)


def test_a_table_without_rows_or_with_a_column_twice_is_refused(table):
    with pytest.raises(InputError, match="must have rows; received none"):
        read_problem(table.iloc[:0], FRONT)
    with pytest.raises(InputError, match="column names must be unique; received 'S' 2 times"):
        read_problem(pd.concat([table, table[["S"]]], axis=1), FRONT)


@pytest.mark.parametrize("unit", [1e200, 1e-200])
def test_an_outcome_that_cannot_be_squared_is_refused(table, unit):
    with pytest.raises(InputError, match=r"column 'Y' must .* unit"):
        estimate_effect(table.assign(Y=unit * table.Y), FRONT, rng=np.random.default_rng(0))


MISTAKES = {
    "treated=(1, 2)": "must be levels of 'X'; received (1, 2), which no row has",
    "treated=[1]": "must be levels of 'X'; received [1], which no row has",
    "treated=datetime.date(2020, 1, 1)": "must be levels of 'X'; received datetime.date(2020, 1, 1)",
    "treated=1j": "must be levels of 'X'; received 1j",
    "treated=10**400": "must be levels of 'X'; received 1000",
    "columns={'S': 5}": "must give every node a list of at least one column; received 5 for 'S'",
    "columns={'S': None}": "must give every node a list of at least one column; received None for 'S'",
    "columns=['S']": "columns= must map nodes to lists of columns; received ['S']",
}
"""Arguments of `estimate_effect` that no annotation allows, and what the answer says."""

ASKED = """
import datetime, json, sys
import numpy as np, pandas as pd
from causalvlm import BackDoor, FrontDoor, InputError, estimate_effect

rng = np.random.default_rng(0)
levels = pd.DataFrame({"X": [0, 1] * 50, "S": rng.integers(0, 2, 100), "Y": rng.normal(size=100)})
doses = levels.assign(X=rng.normal(size=100))
estimand = FrontDoor("X", "Y", ("S",))
dose = estimate_effect(doses, BackDoor("X", "Y", ()), rng=rng)

def answer(call):
    try:
        return repr(call())
    except InputError as error:
        return str(error)

said = {text: answer(lambda: eval(f"estimate_effect(levels, estimand, rng=rng, {text})")) for text in sys.argv[1:]}
for given in (1j, (1, 2), datetime.date(2020, 1, 1), float("inf"), float("nan"), 10**400):
    said[f"dose {given!r:.20}"] = answer(lambda: estimate_effect(doses, estimand, rng=rng, treated=given))
    said[f"contrast {given!r:.20}"] = answer(lambda: dose.contrast(given, 0.0))
for table in ([1, 2], {"X": [0, 1]}, levels.X, levels.to_numpy()):
    said[f"table {type(table).__name__}"] = answer(lambda: estimate_effect(table, estimand, rng=rng))
for other in (None, "X"):
    said[f"estimand {other}"] = answer(lambda: estimate_effect(levels, other, rng=rng))
print(json.dumps(said))
"""


def test_arguments_of_a_wrong_type_are_one_clear_error():
    """In a process without the annotations' own checks, which people do not have either."""
    done = subprocess.run([sys.executable, "-c", ASKED, *MISTAKES], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    for text, words in MISTAKES.items():
        assert words in said.pop(text)
    assert {text.split()[0] for text in said} == {"dose", "contrast", "table", "estimand"}
    for text, answer in said.items():
        match text.split()[0]:
            case "dose" | "contrast":
                assert "must be finite numbers, as 'X' is continuous; received " in answer
            case "table":
                assert answer.startswith("the table must be a pandas DataFrame; received a ")
            case _:
                assert answer.startswith("the estimand must be what identify returned; received ")


def test_doses_that_hardly_differ_are_refused(table):
    wide = table.assign(X=1e9 * table.Z)
    with pytest.raises(InputError, match="must differ by 1e-06 of the range of 'X' or more; received 1 and 0 in a"):
        read_problem(wide, FRONT)
    assert read_problem(wide, FRONT, treated=1e9).arms.pair == (1, 0)


@pytest.mark.parametrize("unit", [2.0**-300, 2.0**-40, 1e-9, 1e9, 2.0**40, 2.0**300])
@pytest.mark.parametrize("estimator", ["one-step", "two-stage", "aipw", "ipw", "outcome-regression"])
def test_the_unit_of_what_is_held_fixed_changes_nothing(table, estimator, unit):
    front = estimator in ("one-step", "two-stage")
    estimand, name = (FRONT, "S") if front else (BackDoor("X", "Y", ("Z",)), "Z")
    first, other = (
        estimate_effect(one, estimand, rng=np.random.default_rng(0), estimator=estimator)
        for one in (table, table.assign(**{name: unit * table[name]}))
    )
    assert other.value == pytest.approx(first.value, rel=1e-4)
    assert other.standard_error == pytest.approx(first.standard_error, rel=1e-3)


def test_weights_need_no_covariates(table):
    weighted, plain = (
        estimate_effect(table, BackDoor("X", "Y", ()), rng=np.random.default_rng(0), estimator=name)
        for name in ("ipw", "outcome-regression")
    )
    assert weighted.value == pytest.approx(plain.value)


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
