"""Controlled direct effects against the equations of worlds, exact sums and closed forms; refusals and refuters."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from causalvlm.cli.main import run
from causalvlm.errors import InputError, NotIdentifiedError, OverlapError
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.estimators import ESTIMATORS, choose
from causalvlm.estimation.problem import read_problem
from causalvlm.graphs.graph import CausalGraph
from causalvlm.identification.estimands import Mediation
from causalvlm.identification.mediation import identify_mediation
from causalvlm.refutation.refute import refute

HIDDEN = CausalGraph("X -> S -> Y; X -> Y; X <-> S; C -> {X S Y}")
FALSE_ALARM_RATE = 1e-3


def binary(rng, rows, do=None):
    """A hidden cause of X and S; with S held at s the effect of X is 0.1 + 0.3 s."""
    u, c = rng.integers(0, 2, size=(2, rows))
    x = (rng.random(rows) < 0.2 + 0.3 * u + 0.3 * c).astype(int)
    s = (rng.random(rows) < 0.1 + 0.3 * x + 0.3 * u + 0.2 * c).astype(int)
    if do is not None:
        x, s = (np.full(rows, value) for value in do)
    y = (rng.random(rows) < 0.1 + 0.1 * x + 0.2 * s + 0.3 * x * s + 0.2 * c).astype(int)
    return pd.DataFrame({"C": c, "X": x, "S": s, "Y": y})


def linear(rng, rows):
    """A hidden cause of X and S; with S held at s the effect of X is 1 + 2 s."""
    u, c = rng.normal(size=(2, rows))
    x = (rng.random(rows) < 1 / (1 + np.exp(-c - u))).astype(int)
    s = 0.8 * x + c + u + rng.normal(size=rows)
    return pd.DataFrame({"C": c, "X": x, "S": s, "Y": x + s + 2 * x * s + c + rng.normal(size=rows)})


def ask(at, graph=HIDDEN):
    return identify_mediation(graph, treatment="X", outcome="Y", mediators=["S"], part="controlled", at={"S": at})


def estimate(table, estimand, **options):
    return estimate_effect(table, estimand, rng=np.random.default_rng(0), **options)


@pytest.mark.parametrize("at", [0, 1])
def test_counted_it_is_the_sum_of_the_definition_and_what_the_equations_give(at):
    table = binary(np.random.default_rng(1), 20_000)
    effect = estimate(table, ask(at))
    slow = [
        sum((c == table.C).mean() * table[(c == table.C) & (x == table.X) & (at == table.S)].Y.mean() for c in (0, 1))
        for x in (0, 1)
    ]
    assert list(effect.do_means.values()) == pytest.approx(slow, abs=1e-12)
    set_to = [binary(np.random.default_rng(2), 400_000, do=(x, at)).Y.mean() for x in (1, 0)]
    assert set_to[0] - set_to[1] == pytest.approx(0.1 + 0.3 * at, abs=0.005)
    assert (effect.estimator, effect.estimand.covariates) == ("plug-in", ("C",))
    assert effect.low < 0.1 + 0.3 * at < effect.high
    assert effect.formula == f"E[Y|do(X=1, S={at})] - E[Y|do(X=0, S={at})]"


def test_lines_are_read_off_where_the_mediator_is_held():
    hits = 0
    for seed in range(30):
        effect = estimate(linear(np.random.default_rng(seed), 400), ask(0.5))
        hits += effect.low <= 2.0 <= effect.high
    assert effect.estimator == "nested-regressions"
    assert hits >= binom.ppf(FALSE_ALARM_RATE, 30, 0.95)


@pytest.mark.parametrize(("draw", "at"), [(binary, 1), (linear, 0.5)])
def test_influence_functions_are_what_a_row_changes(draw, at):
    table = draw(np.random.default_rng(3), 1000)

    def fit(rows):
        problem = read_problem(rows, ask(at))
        return ESTIMATORS[choose(problem)].influence(problem, rng=np.random.default_rng(0))

    whole = fit(table)
    for row in (0, 10, 500):
        less = fit(table.drop(index=row).reset_index(drop=True))
        moved = (whole.means - less.means)[:, 0] * (len(table) - 1)
        np.testing.assert_allclose(moved, whole.influence[row], rtol=0.1, atol=0.05)


def test_it_needs_less_than_natural_effects():
    with pytest.raises(NotIdentifiedError):
        identify_mediation(HIDDEN, treatment="X", outcome="Y", mediators=["S"])
    assert ask(1).covariates == ("C",)
    assert ask(1, CausalGraph("X -> S -> Y; X -> Y; X <-> S")).covariates == ()


@pytest.mark.parametrize(
    ("graph", "path"),
    [
        ("X -> S -> Y; X -> Y; S <-> Y", "S <-> Y"),
        ("X -> S -> Y; X <-> Y", "X <-> Y"),
        ("X -> S -> Y; X -> L; L -> {S Y}", "S <- L -> Y"),
        ("X -> Y; S -> Y; S <-> L; L <-> Y; S -> D; D -> L", "S <-> L <-> Y"),
    ],
)
def test_it_is_refused_where_it_is_not_identified(graph, path):
    if "D ->" in graph:  # given nothing the path is closed at L: it must not be opened by holding an effect of S fixed
        assert ask(1, CausalGraph(graph)).covariates == ()
        return
    with pytest.raises(NotIdentifiedError, match="a controlled direct effect needs") as caught:
        ask(1, CausalGraph(graph))
    assert caught.value.open_path == path


def test_levels_that_cannot_be_held():
    with pytest.raises(InputError, match=r"at= must name a level of each mediator .* received none for the controlled"):
        identify_mediation(HIDDEN, treatment="X", outcome="Y", mediators=["S"], part="controlled")
    with pytest.raises(InputError, match="received S for the total effect"):
        identify_mediation(HIDDEN, treatment="X", outcome="Y", mediators=["S"], part="total", at={"S": 1})
    table = binary(np.random.default_rng(0), 500)
    with pytest.raises(InputError, match="at= must be levels of 'S'; received 7"):
        estimate(table, ask(7))
    with pytest.raises(OverlapError, match=r"received S=40, and .* Hold it in that range"):
        estimate(linear(np.random.default_rng(0), 500), ask(40.0))
    with pytest.raises(InputError, match="must be held at a finite number; received 'much'"):
        estimate(linear(np.random.default_rng(0), 500), ask("much"))
    wide = linear(np.random.default_rng(0), 500).assign(T=0.5)
    with pytest.raises(InputError, match="a mediator that is held must be one column"):
        estimate(wide.assign(T=wide.S + wide.C), ask(0.5), columns={"S": ["S", "T"]})


def test_an_empty_cell_elsewhere_does_no_harm_and_one_where_it_is_held_is_refused():
    table = binary(np.random.default_rng(0), 4000)
    kept = table[(table.S == 1) | (table.X == 0)]  # no row with X = 1 and S = 0
    assert estimate(kept, ask(1)).value == pytest.approx(0.4, abs=0.15)
    with pytest.raises(OverlapError, match="no row with X=1 and S=0"):
        estimate(kept, ask(0))


def test_it_is_written():
    estimand = Mediation("X", "Y_hat", ("S_0", "T"), ("G_i",), "controlled", (1, "high"))
    assert estimand.text() == (
        "E[Y_hat(x, S_0=1, T=high)] - E[Y_hat(x', S_0=1, T=high)] = "
        "sum_{G_i} (E[Y_hat | x, S_0=1, T=high, G_i] - E[Y_hat | x', S_0=1, T=high, G_i]) P(G_i)"
    )
    assert r"E[\hat{Y} \mid x, S_{0}=1" in estimand.latex()
    assert estimand.to_record()["at"] == {"S_0": 1, "T": "high"}
    assert "causes what is given" in estimand.assumptions()[0]
    assert Mediation("X", "Y", ("S",), (), "controlled", (1,)).text().endswith("= E[Y | x, S=1] - E[Y | x', S=1]")


@pytest.mark.parametrize(("draw", "at"), [(binary, 1), (linear, 0.5)])
def test_what_is_tried_against_it(draw, at):
    table = draw(np.random.default_rng(0), 3000)
    verdicts = refute(estimate(table, ask(at)), table, rng=0, repeats=4, alternative=ask(at))
    names = ["permuted treatment", "dummy outcome", "subset", "misspecified nuisance", "overlap", "robustness"]
    assert [verdict.name for verdict in verdicts] == [*names, "over-identification", "untestable"]
    assert not [verdict.name for verdict in verdicts if verdict.outcome == "failed"]
    assert "nothing hidden joins Y to X or S" in verdicts[-1].reason
    other = Mediation("X", "Y", ("S",), ("C",), "controlled", (0,))
    with pytest.raises(
        InputError, match=r"identify the controlled S=.* effect of 'X' on 'Y'; received the controlled S=0"
    ):
        refute(estimate(table, ask(at)), table, rng=0, repeats=1, alternative=other)


def test_the_command_line_asks_for_it(tmp_path, capsys):
    table = tmp_path / "table.csv"
    binary(np.random.default_rng(0), 1000).to_csv(table, index=False)
    question = ["X -> S -> Y; X -> Y; C -> {X S Y}", "--treatment", "X", "--outcome", "Y"]
    part = ["--strategy", "mediation", "--mediator", "S", "--part", "controlled"]
    assert run(["identify", *question, *part, "--at", "S=1"]) == 0
    assert "S=1" in capsys.readouterr().out
    assert run(["estimate", str(table), *question, *part, "--at", "S=1"]) == 0
    assert "E[Y(x, S=1)]" in capsys.readouterr().out
    assert run(["identify", *question, *part, "--at", "S"]) == 2
    assert run(["identify", *question, *part]) == 2
    assert run(["identify", *question, "--at", "S=1"]) == 2
