"""The plug-in of general formulas, on a napkin whose truth is an exact sum."""

import json

import numpy as np
import pandas as pd
import pytest

from causalvlm import BackDoor, CausalGraph, FrontDoor, InputError, OverlapError, estimate_effect, identify, refute
from causalvlm.cli.main import run
from causalvlm.estimation.functional import functional_influence
from causalvlm.estimation.problem import read_problem
from causalvlm.estimation.spread import from_influence

NAPKIN = "W -> Z -> X -> Y; W <-> X; W <-> Y"
FORMULA = identify(CausalGraph(NAPKIN), treatment="X", outcome="Y")


class Napkin:
    """W -> Z -> X -> Y with hidden causes U of W and X, V of W and Y; all binary."""

    u, v = 0.5, 0.4

    @staticmethod
    def w(u, v):
        return 0.1 + 0.2 * u + 0.6 * v

    @staticmethod
    def z(w):
        return 0.15 + 0.7 * w

    @staticmethod
    def x(u, z):
        return 0.1 + 0.3 * u + 0.5 * z

    @staticmethod
    def y(v, x):
        return 0.1 + 0.6 * v + 0.2 * x

    def truth(self):
        """E[Y | do(X = 1)] - E[Y | do(X = 0)]: V is as it was."""
        means = [(1 - self.v) * self.y(0, x) + self.v * self.y(1, x) for x in (0, 1)]
        return means[1] - means[0]

    def sample(self, rows, *, rng):
        u, v = rng.random(rows) < self.u, rng.random(rows) < self.v
        w = rng.random(rows) < self.w(u, v)
        z = rng.random(rows) < self.z(w)
        x = rng.random(rows) < self.x(u, z)
        y = rng.random(rows) < self.y(v, x)
        return pd.DataFrame({"W": w, "Z": z, "X": x, "Y": y}).astype(int)


@pytest.fixture(scope="module")
def table():
    return Napkin().sample(5000, rng=np.random.default_rng(0))


def test_the_formula_word_by_word(table):
    """sum_w P(x, y | w, z) P(w) / sum_w P(x | w, z) P(w) by the frequencies, averaged over P(z | x)."""
    expected = {}
    for x in (0, 1):
        at_z = []
        for z in (0, 1):
            parts = [(len(rows) / len(table), rows[z == rows.Z]) for _, rows in table.groupby("W")]
            above = sum(share * (rows.X.eq(x) & rows.Y.eq(1)).mean() for share, rows in parts)
            below = sum(share * rows.X.eq(x).mean() for share, rows in parts)
            at_z.append(above / below * (table.Z[x == table.X] == z).mean())
        expected[x] = sum(at_z)
    effect = estimate_effect(table, FORMULA, rng=np.random.default_rng(0))
    assert effect.estimator == "plug-in"
    assert effect.do_means == pytest.approx(expected, abs=1e-12)
    assert effect.low < Napkin().truth() < effect.high
    assert effect.auc is None
    assert 30 < effect.effective_sample_size < len(table)
    by_association = table.Y[table.X == 1].mean() - table.Y[table.X == 0].mean()
    assert abs(effect.value - Napkin().truth()) < abs(by_association - Napkin().truth())


def test_a_formula_agrees_with_the_doors_where_they_serve(table):
    front = table.rename(columns={"Z": "S"}).drop(columns="W")
    for text, door in (
        ("X -> S -> Y; X <-> Y", FrontDoor("X", "Y", ("S",))),
        ("S -> {X Y}; X -> Y", BackDoor("X", "Y", ("S",))),
    ):
        formula = identify(CausalGraph(text), treatment="X", outcome="Y", strategy="general")
        ours, theirs = (estimate_effect(front, e, rng=np.random.default_rng(0)) for e in (formula, door))
        assert ours.do_means == pytest.approx(theirs.do_means, abs=1e-12)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_influence_functions_agree_with_the_bootstrap_and_sum_to_zero(table):
    problem = read_problem(table, FORMULA)
    fit = functional_influence(problem, FORMULA)
    np.testing.assert_allclose(fit.influence.mean(0), 0.0, atol=1e-12)
    effect = estimate_effect(table, FORMULA, rng=np.random.default_rng(0))
    weights = np.array([-1.0, 1.0])
    assert from_influence(fit.influence).standard_error(weights) == pytest.approx(effect.standard_error, rel=0.1)
    front = read_problem(table, FrontDoor("X", "Y", ("Z",)))
    formula = identify(CausalGraph("X -> Z -> Y; X <-> Y"), treatment="X", outcome="Y", strategy="general")
    from causalvlm.estimation import plug_in

    expected = plug_in.run_analytic(front).influence
    np.testing.assert_allclose(functional_influence(read_problem(table, formula), formula).influence, expected)


def test_levels_classes_and_renamed_columns(table):
    named = table.assign(X=table.X.map({0: "no", 1: "yes"}), Y=table.Y.map({0: "a", 1: "b"}).astype("category"))
    named = named.rename(columns={"W": "w_column"})
    effect = estimate_effect(named, FORMULA, rng=np.random.default_rng(0), columns={"W": ["w_column"]})
    plain = estimate_effect(table, FORMULA, rng=np.random.default_rng(0))
    assert (effect.treated, effect.value) == ("yes", pytest.approx(plain.value, abs=1e-12))
    assert sum(effect.distribution["yes"].values()) == pytest.approx(1.0)


def test_an_empty_cell_is_refused_and_named(table):
    lacking = table[~((table.W == 1) & (table.Z == 0))]
    with pytest.raises(OverlapError, match="received no row with W=1 and Z=0") as caught:
        estimate_effect(lacking, FORMULA, rng=np.random.default_rng(0))
    assert caught.value.effective_sample_size == 0.0


def test_a_cell_without_weight_may_be_empty(table):
    """Where no row has W = 2, none is needed there; and a level of Z that never meets X = 1 has no say on X = 1."""
    some = table.assign(Z=np.where((table.X == 0) & (table.Y == 1) & (table.index % 3 == 0), 2, table.Z))
    assert not ((some.Z == 2) & (some.X == 1)).any()
    assert np.isfinite(estimate_effect(some, FORMULA, rng=np.random.default_rng(0)).value)


@pytest.mark.parametrize(
    ("change", "columns", "shown"),
    [
        ({"W": np.linspace(0, 1, 5000)}, {}, ["discrete columns", "'W'", "5000 values"]),
        ({"Y": np.linspace(0, 1, 5000)}, {}, ["discrete columns", "'Y'"]),
        ({}, {"W": ["W", "W2"]}, ["one column for each of its nodes X, Y, W, Z", "5 columns"]),
        ({name: np.arange(5000) % 12 for name in "WZY"} | {"W": [f"w{i % 500}" for i in range(5000)]}, {},
         ["at most 100000 cells", "2 x 12 x 500 x 12"]),
    ],
)  # fmt: skip
def test_what_cannot_be_counted_is_refused(table, change, columns, shown):
    with pytest.raises(InputError) as caught:
        estimate_effect(table.assign(W2=table.W, **change), FORMULA, rng=np.random.default_rng(0), columns=columns)
    for words in shown:
        assert words in str(caught.value)


def test_other_estimators_do_not_serve_a_formula(table):
    with pytest.raises(InputError, match="one of plug-in for a general estimand; received 'aipw'"):
        estimate_effect(table, FORMULA, rng=np.random.default_rng(0), estimator="aipw")


def test_refuters_that_apply_pass_and_the_others_say_nothing(table):
    rng = np.random.default_rng(1)
    effect = estimate_effect(table, FORMULA, rng=rng)
    verdicts = {verdict.name: verdict.outcome for verdict in refute(effect, table, rng=rng, suspects=["Z"])}
    assert verdicts == {
        **dict.fromkeys(["permuted treatment", "dummy outcome", "subset", "overlap"], "passed"),
        **dict.fromkeys(["misspecified nuisance", "untestable"], "inconclusive"),
    }


def test_a_formula_and_a_door_are_compared(table):
    """Both hold where S carries the effect; the formula's influence function is what the comparison needs."""
    rng = np.random.default_rng(1)
    formula = identify(CausalGraph("X -> Z -> Y; X <-> Y"), treatment="X", outcome="Y", strategy="general")
    effect = estimate_effect(table, formula, rng=rng)
    verdicts = refute(effect, table, rng=rng, alternative=FrontDoor("X", "Y", ("Z",)), repeats=2)
    assert verdicts[-2].name == "over-identification"
    assert verdicts[-2].outcome == "passed"
    wrong = refute(effect, table, rng=rng, alternative=BackDoor("X", "Y", ()), repeats=2)
    assert wrong[-2].outcome == "failed"


def test_on_the_command_line(table, tmp_path, capsys):
    path, out = tmp_path / "table.csv", tmp_path / "result.json"
    table.to_csv(path, index=False)
    asked = ["--treatment", "X", "--outcome", "Y", "--json", str(out), "--force"]
    assert run(["identify", NAPKIN, *asked]) == 0
    assert "identified by the general algorithm" in capsys.readouterr().out
    assert json.loads(out.read_text())["strategy"] == "general"
    assert run(["estimate", str(path), NAPKIN, *asked, "--refute"]) == 0
    result = json.loads(out.read_text())
    assert result["adjustment"] == ["W", "Z"]
    assert result["low"] < Napkin().truth() < result["high"]
    assert {verdict["name"] for verdict in result["verdicts"]} >= {"permuted treatment", "subset"}
    assert run(["identify", "X -> Y; X <-> Y", *asked]) == 3
    assert json.loads(out.read_text())["hedge"] == [["X", "Y"], ["Y"]]
    assert "hedge:                {X, Y} around {Y}" in capsys.readouterr().out
