"""DoWhy's estimators on our estimands: equal where both compute the same, refused where DoWhy is silently wrong."""

import re

import numpy as np
import pandas as pd
import pytest

from causalvlm import (
    BackDoor,
    CausalGraph,
    FrontDoor,
    InputError,
    estimate_effect,
    estimate_with_dowhy,
    to_dowhy,
    to_dowhy_estimand,
)
from causalvlm.worlds.discrete import smoking
from causalvlm.worlds.embedding import CovariateWorld
from causalvlm.worlds.linear import LinearWorld

FRONT, BACK = FrontDoor("X", "Y", ("S",)), BackDoor("X", "Y", ("C",))


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def linear():
    """X -> S -> Y with a hidden cause: the effect is 3."""
    return LinearWorld().sample(4000, rng=rng())


@pytest.fixture
def confounded():
    """C -> {X Y}, X binary, one step of X adds 2; C in levels, so that strata are exact."""
    gen, rows = rng(), 20_000
    c = gen.integers(0, 3, rows).astype(float)
    x = (gen.random(rows) < 0.2 + 0.3 * c).astype(int)
    return pd.DataFrame({"C": c, "X": x, "Y": 2.0 * x + 1.5 * c + gen.normal(size=rows)})


def ours(table, estimand, estimator):
    return estimate_effect(table, estimand, rng=rng(), estimator=estimator)


def test_two_stages_are_the_same_two_stages(linear):
    estimate = estimate_with_dowhy(linear, FRONT)
    assert estimate.method == "two-stage"
    assert (estimate.low, estimate.high) == (None, None)
    assert estimate.value == pytest.approx(ours(linear, FRONT, "two-stage").value, rel=1e-9)
    assert estimate.value == pytest.approx(3.0, abs=0.2)


def test_covariates_that_dowhy_cannot_find_it_can_use():
    table, estimand = CovariateWorld().sample(4000, rng=rng()), FrontDoor("X", "Y", ("S",), ("C",))
    value = estimate_with_dowhy(table, estimand).value
    assert value == pytest.approx(ours(table, estimand, "two-stage").value, rel=1e-9)
    assert value == pytest.approx(1.0, abs=0.2)


def test_a_discrete_front_door_within_monte_carlo_error():
    table = smoking().sample(200_000, rng=rng())
    effect = ours(table, FRONT, "plug-in")
    assert effect.low < estimate_with_dowhy(table, FRONT).value < effect.high
    assert effect.low < 0.045 < effect.high


def test_linear_regression_is_outcome_regression_and_its_interval_covers(confounded):
    continuous = confounded.assign(C=confounded.C + rng(1).normal(size=len(confounded)))
    estimate = estimate_with_dowhy(continuous, BACK)
    assert estimate.method == "linear-regression"
    adjusted = np.column_stack([np.ones(len(continuous)), continuous.X, continuous.C])
    assert estimate.value == pytest.approx(np.linalg.lstsq(adjusted, continuous.Y, rcond=None)[0][1])
    estimate = estimate_with_dowhy(confounded, BACK)
    effect = ours(confounded, BACK, "outcome-regression")
    assert effect.low < estimate.value < effect.high
    assert estimate.low < 2.0 < estimate.high
    assert estimate.high - estimate.low == pytest.approx(effect.high - effect.low, rel=0.1)


def test_weights_agree_with_ours(confounded):
    estimate = estimate_with_dowhy(confounded, BACK, method="propensity-weighting")
    effect = ours(confounded, BACK, "ipw")
    assert estimate.value == pytest.approx(effect.value, abs=0.25 * (effect.high - effect.low))
    assert estimate.value == pytest.approx(2.0, abs=0.1)
    assert estimate.low is None


@pytest.mark.filterwarnings("ignore")  # DoWhy's own warnings
def test_weights_are_not_clipped():
    """In a tenth of the rows one in fifty is treated; with DoWhy's limit of 0.05 they would count for too little."""
    gen, rows = rng(), 40_000
    c = (gen.random(rows) < 0.5).astype(int)
    x = (gen.random(rows) < np.where(c == 1, 0.02, 0.5)).astype(int)
    table = pd.DataFrame({"C": c, "X": x, "Y": 2.0 * x * c + 3.0 * c})
    unclipped = estimate_with_dowhy(table, BACK, method="propensity-weighting").value
    model = to_dowhy(CausalGraph("C -> {X Y}; X -> Y"), treatment="X", outcome="Y", table=table)
    clipped = model.estimate_effect(
        to_dowhy_estimand(BACK), method_name="backdoor.propensity_score_weighting", effect_modifiers=[]
    ).value
    assert unclipped == pytest.approx(1.0, abs=0.05)
    assert clipped < 0.5


def test_text_is_levels_where_it_is_adjusted_for(confounded):
    words = confounded.assign(C=np.array(["low", "middle", "high"])[confounded.C.astype(int)])
    dummies = pd.get_dummies(words.C, drop_first=True, dtype=float)
    design = np.column_stack([np.ones(len(words)), words.X, dummies])
    expected = np.linalg.lstsq(design, words.Y, rcond=None)[0][1]
    for kind in ("object", "category", "str"):
        assert estimate_with_dowhy(words.astype({"C": kind}), BACK).value == pytest.approx(expected)


def test_a_contrast_the_other_way_round_has_its_interval_in_order(confounded):
    there, back = (estimate_with_dowhy(confounded, BACK, treated=t, control=c) for t, c in ((1, 0), (0, 1)))
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))
    assert estimate_with_dowhy(confounded, BACK, treated=0.5).value == pytest.approx(there.value / 2)


def test_nothing_of_the_caller_s_changes(confounded):
    """DoWhy writes into its table, believes a column called propensity_score, and draws from the global state."""
    table = confounded.assign(propensity_score=0.5, ips_weight=9.0).set_index(confounded.index[::-1])
    copy, state = table.copy(), np.random.get_state()[1].tolist()  # noqa: NPY002
    for method in ("linear-regression", "propensity-weighting"):
        plain = estimate_with_dowhy(confounded, BACK, method=method)
        assert estimate_with_dowhy(table, BACK, method=method) == plain
    renamed = table.drop(columns="propensity_score").rename(columns={"C": "propensity_score"})
    named = estimate_with_dowhy(renamed, BackDoor("X", "Y", ("propensity_score",)), method="propensity-weighting")
    assert named == plain
    pd.testing.assert_frame_equal(table, copy)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


@pytest.mark.filterwarnings("ignore")  # DoWhy's own warnings
def test_an_estimand_of_ours_in_dowhy_s_own_model(linear, confounded):
    graph = CausalGraph("X -> S -> Y; X <-> Y")
    model = to_dowhy(graph, treatment="X", outcome="Y", table=linear)
    estimand = to_dowhy_estimand(FRONT)
    assert "intercepts" in str(estimand)
    said = model.estimate_effect(estimand, method_name="frontdoor.two_stage_regression").value
    assert said == pytest.approx(estimate_with_dowhy(linear, FRONT).value)
    model = to_dowhy(CausalGraph("C -> {X Y}; X -> Y"), treatment="X", outcome="Y", table=confounded)
    said = model.estimate_effect(to_dowhy_estimand(BACK), method_name="backdoor.linear_regression").value
    assert said == pytest.approx(estimate_with_dowhy(confounded, BACK).value)
    zero = model.estimate_effect(
        to_dowhy_estimand(FrontDoor("X", "Y", ())), method_name="frontdoor.two_stage_regression"
    )
    assert zero.value == 0


@pytest.mark.filterwarnings("ignore")  # DoWhy's own warnings
class TestDefectsOfDoWhy:
    """Each guard stands for a defect of DoWhy 0.14 that is still there; a repair shows here."""

    def said(self, table, estimand, method, **settings):
        graph = CausalGraph("X -> S -> Y; X <-> Y" if "S" in table else "C -> {X Y}; X -> Y")
        model = to_dowhy(graph, treatment="X", outcome="Y", table=table)
        return model.estimate_effect(to_dowhy_estimand(estimand), method_name=method, effect_modifiers=[], **settings)

    def test_a_two_stage_contrast_is_squared(self, linear):
        one, two, back = (
            self.said(linear, FRONT, "frontdoor.two_stage_regression", treatment_value=t, control_value=c).value
            for t, c in ((1, 0), (2, 0), (0, 1))
        )
        assert (two, back) == pytest.approx((4 * one, one))  # 2 and -1 times would be right
        for treated, control in ((2.0, 0.0), (0.0, 1.0)):
            with pytest.raises(
                InputError, match=r"must be 1 for DoWhy's two-stage estimator, which squares it; received"
            ):
                estimate_with_dowhy(linear, FRONT, treated=treated, control=control)
        assert estimate_with_dowhy(linear, FRONT, treated=2.0, control=1.0).value == pytest.approx(one)

    def test_a_setting_between_two_integers_is_cut_off(self, confounded):
        assert self.said(confounded, BACK, "backdoor.linear_regression", treatment_value=0.5).value == 0

    def test_weights_ignore_the_settings(self, confounded):
        method = "backdoor.propensity_score_weighting"
        values = [self.said(confounded, BACK, method, treatment_value=t, control_value=1 - t).value for t in (1, 0)]
        assert values[0] == values[1]
        with pytest.raises(InputError, match=r"treated 1 and control 0, for DoWhy's weights; received treated=0 and"):
            estimate_with_dowhy(confounded, BACK, method="propensity-weighting", treated=0, control=1)

    def test_a_column_of_the_right_name_is_believed(self, confounded):
        import dowhy

        table = confounded.assign(propensity_score=0.5)
        model = dowhy.CausalModel(table, "X", "Y", common_causes=["C"])
        method = "backdoor.propensity_score_weighting"
        said = model.estimate_effect(model.identify_effect(), method_name=method).value
        naive = confounded.Y[confounded.X == 1].mean() - confounded.Y[confounded.X == 0].mean()
        assert said == pytest.approx(naive)
        assert "ips_weight" in table  # of the caller
        assert estimate_with_dowhy(table, BACK, method="propensity-weighting").value < 2.1 < naive

    def test_a_mediator_that_is_the_treatment_has_an_effect(self, linear):
        same = linear.assign(S=linear.X)
        assert self.said(same, FRONT, "frontdoor.two_stage_regression").value != 0
        with pytest.raises(InputError, match=r"none of them given by the others, .*; received rank 2 of 3 columns"):
            estimate_with_dowhy(same, FRONT)

    def test_codes_of_a_mediator_are_amounts(self):
        gen = rng()
        x = gen.integers(0, 2, 20_000)
        s = (gen.random(20_000)[:, None] > np.array([[0.2, 0.8], [0.5, 0.6]])[x]).sum(1)
        table = pd.DataFrame({"X": x, "S": s, "Y": np.array([0.0, 1.0, 0.2])[s]})
        effect = ours(table, FRONT, "plug-in")
        assert not effect.low < self.said(table, FRONT, "frontdoor.two_stage_regression").value < effect.high
        with pytest.raises(InputError, match=r"received 3 values in column 'S'. .* table\.astype\(\{'S': float\}\)"):
            estimate_with_dowhy(table, FRONT)
        assert estimate_with_dowhy(table.astype({"S": float}), FRONT).value is not None


TABLE = pd.DataFrame(
    {"C": [0.1, 0.2, 0.4, 0.3], "X": [0, 1, 0, 1], "S": [0.5, 0.7, 0.1, 0.2], "Y": [1.0, 2.0, 1.5, 0.0]}
)


@pytest.mark.parametrize(
    ("changes", "estimand", "settings", "message"),
    [
        (
            {},
            FRONT,
            {"method": "linear-regression"},
            "one of two-stage for a front-door estimand; received 'linear-reg",
        ),
        ({}, BACK, {"method": "two-stage"}, "one of linear-regression, propensity-weighting for a back-door estimand"),
        ({}, FrontDoor("X", "Y", ("S", "C")), {}, "must have one mediator; received S, C. Use estimate_effect"),
        ({}, FrontDoor("X", "Y", ()), {}, "must have one mediator; received none, as the effect is zero"),
        ({}, BackDoor("X", "Y", ("D",)), {}, "one column for each node of the estimand; received 0 for 'D'"),
        ({"X": list("abab")}, BACK, {}, "column 'X' must hold numbers for DoWhy; received .*, such as 'a'"),
        ({"Y": list("abab")}, BACK, {}, "column 'Y' must hold numbers"),
        ({"S": list("abab")}, FRONT, {}, "column 'S' must hold numbers"),
        ({"X": [0, 1, 2, 3]}, BACK, {}, "integers must be amounts for DoWhy, .* received 4 values in column 'X'"),
        ({"C": [0, 1, 2, 3]}, BACK, {}, "received 4 values in column 'C'"),
        (
            {"C": [0.1, np.nan, 0.3, np.inf]},
            BACK,
            {},
            "'C' must have rows, and no missing or infinite values; received 2",
        ),
        ({}, BACK, {"treated": 1, "control": 1}, "must differ; received treated=1 and control=1"),
        ({"X": [1, 2, 1, 2]}, BACK, {"method": "propensity-weighting"}, r"and the values \[1.0, 2.0\]. Code it so"),
        ({}, BackDoor("X", "Y", ()), {"method": "propensity-weighting"}, "received an empty adjustment"),
        ({"X": [1, 1, 1, 1]}, BACK, {}, "must vary, .* received rank 2 of 3 columns in 4 rows"),
        ({"C": [0, 2.5, 0, 2.5]}, BACK, {}, "received rank 2 of 3 columns"),
        ({"C": ["a", "b", "c", "d"]}, BACK, {}, "received rank 4 of 5 columns in 4 rows"),
    ],
)
def test_each_mistake_is_named(changes, estimand, settings, message):
    with pytest.raises(InputError, match=message):
        estimate_with_dowhy(TABLE.assign(**changes), estimand, **settings)


def test_no_rows_and_two_columns_of_one_name():
    with pytest.raises(InputError, match="'X' must have rows"):
        estimate_with_dowhy(TABLE[:0], BACK)
    with pytest.raises(InputError, match=re.escape("received 2 for 'C'. Add it, or rename the others.")):
        estimate_with_dowhy(pd.concat([TABLE, TABLE[["C"]]], axis=1), BACK)
