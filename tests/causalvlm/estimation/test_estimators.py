"""The table of estimators tells the truth, is complete, and is the only place that knows a name."""

import ast
import itertools
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import causalvlm
from causalvlm.cli.main import run
from causalvlm.errors import InputError
from causalvlm.estimation.estimators import ESTIMATORS, Estimator
from causalvlm.estimation.fit import from_tolerance
from causalvlm.estimation.problem import Data
from causalvlm.identification.estimands import BackDoor, FrontDoor
from causalvlm.worlds.discrete import Dials, draw_world
from causalvlm.worlds.linear import LinearWorld

CAUSES = causalvlm.CausalGraph("U -> X; U -> Y; X -> S -> Y")
ESTIMANDS = {
    "front-door": FrontDoor("X", "Y", ("S",)),
    "back-door": BackDoor("X", "Y", ("U",)),
    "general": causalvlm.identify(CAUSES, treatment="X", outcome="Y", strategy="general"),
    "instrument": causalvlm.Instrument("X", "Y", "Z"),
    "mediation": causalvlm.Mediation("X", "Y", ("S",), ("U",), "total"),
}
DISCRETE = draw_world(Dials(), rng=np.random.default_rng(1)).sample(1500, rng=np.random.default_rng(0))
DISCRETE = DISCRETE.assign(Z=np.where(np.random.default_rng(2).random(1500) < 0.8, DISCRETE.X, 1 - DISCRETE.X))
LINEAR = LinearWorld(first=0.8).sample(1500, rng=np.random.default_rng(0))
LINEAR = LINEAR.assign(Z=LINEAR.X + np.random.default_rng(2).normal(size=1500))
SERVED = [(name, door) for name, entry in ESTIMATORS.items() for door in entry.serves]


def estimate(table, door, name=None):
    return causalvlm.estimate_effect(table, ESTIMANDS[door], rng=np.random.default_rng(0), estimator=name)


def suiting(name):
    return LINEAR if ESTIMATORS[name].treatment == "amounts" else DISCRETE


@pytest.mark.parametrize(("name", "door"), SERVED)
def test_every_entry_runs_where_it_serves(name, door):
    table = suiting(name)
    effect = estimate(table, door, name)
    assert effect.estimator == name
    assert effect.low < effect.value < effect.high
    assert effect.low < estimate(table, door).value < effect.high


@pytest.mark.parametrize(("name", "door"), SERVED)
def test_an_entry_takes_a_continuous_treatment_if_and_only_if_it_says_so(name, door):
    if ESTIMATORS[name].treatment == "levels":
        with pytest.raises(InputError, match="needs a treatment with few levels"):
            estimate(LINEAR, door, name)
    else:
        assert estimate(LINEAR, door, name).auc is None
    if ESTIMATORS[name].treatment == "amounts":
        with pytest.raises(InputError, match="needs a continuous treatment; received 2 levels"):
            estimate(DISCRETE, door, name)


@pytest.mark.parametrize(("name", "door"), SERVED)
def test_an_entry_takes_a_categorical_outcome_if_and_only_if_it_says_so(name, door):
    table = suiting(name)
    table = table.assign(Y=(table.Y.mean() < table.Y).astype("category"))
    if ESTIMATORS[name].outcome == "any":
        assert estimate(table, door, name).distribution is not None
    else:
        with pytest.raises(InputError, match="a categorical outcome needs"):
            estimate(table, door, name)


@pytest.mark.parametrize(("name", "door"), SERVED)
def test_every_entry_has_influence_functions_for_a_numeric_outcome(name, door):
    table = suiting(name)
    alternative = ESTIMANDS["back-door" if door == "front-door" else "front-door"]
    effect = estimate(table, door, name)
    last = causalvlm.refute(effect, table, rng=np.random.default_rng(0), alternative=alternative, repeats=1)[-2]
    assert last.name == "over-identification"
    assert last.statistic is not None


@pytest.mark.parametrize(
    ("door", "data"),
    [
        ("general", "cells"),
        ("instrument", "levels"),
        ("instrument", "amounts"),
        ("mediation", "cells"),
        ("mediation", "levels"),
        *itertools.product(["front-door", "back-door"], get_args(Data)),
    ],
)
def test_every_kind_of_data_has_one_default_for_each_question(door, data):
    chosen = [entry for entry in ESTIMATORS.values() if door in entry.serves and entry.default_for == data]
    assert len(chosen) == 1


def test_the_command_line_offers_every_entry(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "2000")
    assert run(["estimate", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"<{'|'.join(ESTIMATORS)}>" in text
    for name, entry in ESTIMATORS.items():
        assert f"{name} ({', '.join(entry.serves)}): {entry.about}" in text


def test_no_other_module_compares_a_name():
    """A branch on an estimator's name outside the table would have to be found again for the next estimator."""
    found = []
    for path in Path(causalvlm.__file__).parent.rglob("*.py"):
        if path.name == "dowhy.py":  # it names DoWhy's estimators, one of which is called as one of ours
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare | ast.match_case):
                tested = ast.walk(node.pattern if isinstance(node, ast.match_case) else node)
                names = {part.value for part in tested if isinstance(part, ast.Constant)} & set(ESTIMATORS)
                found += [f"{path.name}: {name}" for name in names]
    assert found == []


def difference_of_means(problem, *, rng):
    """A toy: the naive contrast, with the influence functions of two sample means."""
    del rng
    own = problem.codes[:, None] == np.arange(len(problem.arms.labels))
    means = (own * problem.outcome[:, None]).sum(0) / own.sum(0)
    influence = own / own.mean(0) * (problem.outcome[:, None] - means)
    return from_tolerance(means, influence, 1.0, auc=None)


TOY = Estimator(
    difference_of_means, serves=("back-door",), treatment="levels", outcome="numeric", rows="weights", about="naive"
)


def test_an_entry_is_all_that_a_new_estimator_needs(monkeypatch):
    monkeypatch.setitem(ESTIMATORS, "toy", TOY)
    effect = estimate(DISCRETE, "back-door", "toy")
    groups = DISCRETE.groupby("X").Y.mean()
    assert effect.value == pytest.approx(groups[1] - groups[0])
    verdicts = causalvlm.refute(
        effect, DISCRETE, rng=np.random.default_rng(0), alternative=ESTIMANDS["front-door"], repeats=3
    )
    outcomes = {verdict.name: verdict.outcome for verdict in verdicts}
    assert outcomes["permuted treatment"] == outcomes["subset"] == outcomes["overlap"] == "passed"
    assert outcomes["over-identification"] == "failed"
    with pytest.raises(InputError, match="dose-response, ipw, aipw, toy for a back-door estimand; received 'best'"):
        estimate(DISCRETE, "back-door", "best")
    with pytest.raises(InputError, match="for a front-door estimand; received 'toy'"):
        estimate(DISCRETE, "front-door", "toy")
    with pytest.raises(InputError, match="needs a treatment with few levels"):
        estimate(LINEAR, "back-door", "toy")


def test_an_estimator_without_influence_functions_leaves_over_identification_open(monkeypatch):
    def bootstrapped(problem, *, rng):
        fitted = difference_of_means(problem, rng=rng)
        return type(fitted)(fitted.means, fitted.spread, fitted.effective_sample_size, fitted.share, None)

    entry = Estimator(bootstrapped, ("back-door",), "levels", "numeric", "weights", about="naive, no influence")
    monkeypatch.setitem(ESTIMATORS, "toy", entry)
    effect = estimate(DISCRETE, "back-door", "toy")
    last = causalvlm.refute(
        effect, DISCRETE, rng=np.random.default_rng(0), alternative=ESTIMANDS["front-door"], repeats=1
    )[-2]
    assert (last.outcome, last.statistic) == ("inconclusive", None)
    assert "influence functions" in last.reason
