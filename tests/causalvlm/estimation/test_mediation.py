"""Natural effects against exact sums, closed forms and statsmodels; refusals, and what is tried against them."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import binom
from statsmodels.stats.mediation import Mediation as TheirMediation

from causalvlm.errors import InputError, NotIdentifiedError, OverlapError
from causalvlm.estimation.effect import estimate_effect
from causalvlm.figures.graph import draw_graph
from causalvlm.graphs.graph import CausalGraph
from causalvlm.identification.estimands import BackDoor, Mediation
from causalvlm.identification.mediation import identify_mediation
from causalvlm.refutation.refute import refute

SIMPLE = CausalGraph("X -> S -> Y; X -> Y")
GIVEN_C = CausalGraph("X -> S -> Y; X -> Y; C -> {X S Y}")
PARTS = ["indirect", "direct", "total"]
FALSE_ALARM_RATE = 1e-3


def binary_table(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    c = rng.integers(0, 2, rows)
    x = (rng.random(rows) < np.where(c == 1, 0.7, 0.3)).astype(int)
    s = (rng.random(rows) < 0.2 + 0.4 * x + 0.2 * c).astype(int)
    y = (rng.random(rows) < 0.1 + 0.2 * x + 0.3 * s + 0.2 * x * s + 0.1 * c).astype(int)
    return pd.DataFrame({"C": c, "X": x, "S": s, "Y": y})


TRUTH = {  # E[Y(1, S(0))] - E[Y(0, S(0))], and what S adds with X set to 1
    "direct": np.mean([0.2 + 0.2 * (0.2 + 0.2 * c) for c in (0, 1)]),
    "indirect": 0.4 * (0.3 + 0.2),
}
TRUTH["total"] = TRUTH["direct"] + TRUTH["indirect"]


def linear_table(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Indirect effect (1 + 1) 0.8 = 1.6 under treatment, direct effect 3 + 0.5 E[S(0)] = 3."""
    c, e, f = rng.normal(size=(3, rows))
    x = (rng.random(rows) < 1 / (1 + np.exp(-c))).astype(int)
    s = 0.8 * x + c + e
    return pd.DataFrame({"C": c, "X": x, "S": s, "Y": (1 + x) * s + 3 * x + c + f})


def ask(part, graph=GIVEN_C, mediators=("S",)):
    return identify_mediation(graph, treatment="X", outcome="Y", mediators=mediators, part=part)


def estimate(table, estimand, seed=0, **settings):
    return estimate_effect(table, estimand, rng=np.random.default_rng(seed), **settings)


def slow(table: pd.DataFrame, a: int, b: int) -> float:
    """E[Y(a, S(b))], summed as it is written."""
    total = 0.0
    for _, stratum in table.groupby("C"):
        law = stratum[b == stratum.X].S.value_counts(normalize=True)
        total += (
            len(stratum)
            / len(table)
            * sum(share * stratum[(a == stratum.X) & (s == stratum.S)].Y.mean() for s, share in law.items())
        )
    return total


@pytest.mark.parametrize("part", PARTS)
def test_discrete_effects_are_the_sums_of_the_definition(part):
    table = binary_table(30_000, np.random.default_rng(1))
    effect = estimate(table, ask(part))
    pairs = {"indirect": [(1, 0), (1, 1)], "direct": [(0, 0), (1, 0)], "total": [(0, 0), (1, 1)]}[part]
    assert list(effect.do_means.values()) == pytest.approx([slow(table, *pair) for pair in pairs], abs=1e-12)
    assert (effect.estimator, effect.estimand.covariates) == ("plug-in", ("C",))
    assert effect.low < TRUTH[part] < effect.high


@pytest.mark.parametrize("part", PARTS)
def test_linear_effects_are_those_of_the_closed_form(part):
    effect = estimate(linear_table(20_000, np.random.default_rng(0)), ask(part))
    truth = {"indirect": 1.6, "direct": 3.0, "total": 4.6}[part]
    assert effect.estimator == "nested-regressions"
    assert effect.warnings == ()
    assert effect.low < truth < effect.high
    assert effect.high - effect.low < 0.3


def test_parts_add_up_and_change_sign_with_the_treatment():
    table = linear_table(2000, np.random.default_rng(0))
    indirect, direct, total = (estimate(table, ask(part)).value for part in PARTS)
    assert indirect + direct == pytest.approx(total)
    assert estimate(table, ask("total"), treated=0, control=1).value == pytest.approx(-total)
    assert estimate(table, ask("indirect"), treated=0, control=1).value != pytest.approx(-indirect, rel=0.1)


def test_statsmodels_says_the_same():
    table = linear_table(400, np.random.default_rng(0)).assign(XS=lambda t: t.X * t.S, XC=lambda t: t.X * t.C)
    outcome = sm.OLS.from_formula("Y ~ X * S + X * C", table)
    mediator = sm.OLS.from_formula("S ~ X * C", table)
    theirs = TheirMediation(outcome, mediator, "X", "S")
    np.random.seed(0)  # noqa: NPY002 - it draws from nothing else
    found = theirs.fit(n_rep=60).summary()
    for part, row in (("indirect", "ACME (treated)"), ("direct", "ADE (control)"), ("total", "Total effect")):
        effect = estimate(table, ask(part))
        assert effect.value == pytest.approx(found.loc[row, "Estimate"], abs=0.1)
        assert effect.standard_error == pytest.approx(
            (found.loc[row, "Upper CI bound"] - found.loc[row, "Lower CI bound"]) / 3.92, rel=0.4
        )


@pytest.mark.parametrize("draw", [binary_table, linear_table])
@pytest.mark.parametrize("part", PARTS)
def test_influence_functions_are_what_a_row_changes(draw, part):
    """A row that is left out moves the mean by its influence over n: the jackknife (Efron 1982)."""
    from causalvlm.estimation.estimators import ESTIMATORS, choose
    from causalvlm.estimation.problem import read_problem

    table = draw(1000, np.random.default_rng(3))

    def fit(rows):
        problem = read_problem(rows, ask(part))
        return ESTIMATORS[choose(problem)].influence(problem, rng=np.random.default_rng(0))

    whole = fit(table)
    for row in (0, 10, 500):
        less = fit(table.drop(index=row).reset_index(drop=True))
        np.testing.assert_allclose(
            (whole.means - less.means)[:, 0] * (len(table) - 1), whole.influence[row], rtol=0.1, atol=0.05
        )


def test_intervals_cover():
    hits = dict.fromkeys(PARTS, 0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        table = linear_table(400, rng)
        for part, truth in (("indirect", 1.6), ("direct", 3.0), ("total", 4.6)):
            effect = estimate(table, ask(part))
            hits[part] += effect.low <= truth <= effect.high
    assert min(hits.values()) >= binom.ppf(FALSE_ALARM_RATE, 60, 0.95)


def test_forgetting_the_covariate_gives_another_answer():
    effect = estimate(binary_table(30_000, np.random.default_rng(0)), ask("indirect", SIMPLE))
    assert effect.low > TRUTH["indirect"]  # confounded upwards


def test_vectors_columns_and_levels():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, 6000)
    s = np.column_stack([x + rng.normal(size=6000), 0.5 * x + rng.normal(size=6000)])
    table = pd.DataFrame({"X": x, "S0": s[:, 0], "S1": s[:, 1], "Y": s.sum(1) + 3 * x + rng.normal(size=6000)})
    effect = estimate(table, ask("indirect", SIMPLE), columns={"S": ["S0", "S1"]})
    assert effect.low < 3.0 < effect.high
    assert effect.contrast(1, 0).low < 1.5 < effect.contrast(1, 0).high
    with pytest.raises(InputError, match="columns= must map nodes of the estimand; received 'T'"):
        estimate(table, ask("indirect", SIMPLE), columns={"S": ["S0"], "T": ["S1"]})
    with pytest.raises(InputError, match="needs a treatment with few levels"):
        estimate(table.assign(X=table.S0, S=table.S1), ask("direct", SIMPLE))


def test_curves_are_told_and_no_overlap_is_refused():
    table = linear_table(4000, np.random.default_rng(0))
    bent = estimate(table.assign(Y=table.Y + table.S**2), ask("indirect"))
    assert any("line of the outcome in each level leaves structure" in warning for warning in bent.warnings)
    with pytest.raises(OverlapError, match="the levels of 'X' must overlap in the mediator"):
        estimate(table.assign(S=table.S + 9 * table.X), ask("indirect"))


@pytest.mark.parametrize(
    ("graph", "path"),
    [
        ("X -> S -> Y; X <-> Y", "X <-> Y"),
        ("X -> S -> Y; S <-> Y", "S <-> Y"),
        ("X -> S -> Y; X <-> S", "X <-> S"),
        ("X -> S -> Y; X -> L; L -> {S Y}", "S <- L -> Y"),
    ],
)
def test_they_are_refused_where_they_are_not_identified(graph, path):
    with pytest.raises(NotIdentifiedError, match="natural effects need") as caught:
        ask("indirect", CausalGraph(graph))
    assert caught.value.open_path == path


@pytest.mark.parametrize(
    ("graph", "mediators", "part", "message"),
    [
        (SIMPLE, [], "direct", "mediators must be a list of nodes"),
        (SIMPLE, "S", "direct", "mediators must be a list of nodes; received 'S'"),
        (SIMPLE, ["Q"], "direct", "'Q'"),
        (SIMPLE, ["X"], "direct", "must differ; received X, Y, X"),
        (SIMPLE.hide("S"), ["S"], "direct", "received 'S', which is latent"),
    ],
)
def test_questions_that_cannot_be_asked(graph, mediators, part, message):
    with pytest.raises(InputError, match=message):
        ask(part, graph, mediators)


def test_a_covariate_that_names_its_rows_is_refused():
    table = binary_table(500, np.random.default_rng(0))
    named = table.assign(S=np.random.default_rng(1).normal(size=500), C=[f"img{row}" for row in range(500)])
    with pytest.raises(InputError, match="column 'C' must have levels that recur"):
        estimate(named, ask("indirect"))


def test_names_with_subscripts_are_written():
    estimand = Mediation("X", "Y_hat", ("S_0", "S_1"), ("G_i",), "total")
    assert estimand.text().startswith(
        "E[Y_hat(x, (S_0, S_1)(x))] - E[Y_hat(x', (S_0, S_1)(x'))] = sum_{S_0, S_1, G_i} ("
    )
    assert r"P(S_{0}, S_{1} \mid x', G_{i}))\, P(G_{i})" in estimand.latex()


@pytest.mark.parametrize("draw", [binary_table, linear_table])
@pytest.mark.parametrize("part", PARTS)
def test_what_is_tried_against_them(draw, part):
    table, rng = draw(3000, np.random.default_rng(0)), np.random.default_rng(0)
    alternative = BackDoor("X", "Y", ("C",)) if part == "total" else None
    verdicts = refute(estimate(table, ask(part)), table, rng=rng, alternative=alternative, repeats=4)
    names = ["permuted treatment", *["permuted mediator"] * (part == "indirect"), "dummy outcome", "subset"]
    names += ["misspecified nuisance", "overlap", "robustness"]
    names += [*["over-identification"] * (part == "total"), "untestable"]
    assert [verdict.name for verdict in verdicts] == names
    open_ones = {verdict.name for verdict in verdicts if not verdict.passed}
    assert open_ones == {"untestable", *["misspecified nuisance"] * (draw is binary_table)}


def test_a_part_is_not_compared_with_the_whole():
    table, rng = linear_table(500, np.random.default_rng(0)), np.random.default_rng(0)
    with pytest.raises(InputError, match="identify the direct effect of 'X' on 'Y'; received the total effect"):
        refute(estimate(table, ask("direct")), table, rng=rng, alternative=BackDoor("X", "Y", ("C",)), repeats=1)


def test_the_figure_shows_them():
    figure = draw_graph(GIVEN_C, treatment="X", outcome="Y", estimand=ask("direct"))
    assert {"mediator", "adjusted for"} <= {text.get_text() for text in figure.legends[0].get_texts()}
