"""Effects from images as they are: confounding by labels is undone, and what cannot be told is refused in words."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from causalvlm.diagnosis.columns import labelled_columns
from causalvlm.diagnosis.effects import STUDIED_IMAGES, estimate_effects
from causalvlm.diagnosis.scm import data_graph
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.graphs.graph import CausalGraph
from causalvlm.intervals import CONFIDENCE

COST = -0.2
"""What night truly does to the share of right answers."""


def columns_of(rng, labels, right, factors):
    """A table that is right where it is said to be."""
    answers = np.eye(2)[np.where(right, labels, 1 - labels)]
    table = EmbeddingTable(rng.normal(size=(len(labels), 2)), answers, labels, factors, ("cat", "dog"))
    return labelled_columns(table)


def confounded(seed, *, rows=400, cost=COST):
    """Being outside costs 0.4 and goes with night: half of what night seems to do is the place's."""
    rng = np.random.default_rng(seed)
    labels, outside = rng.integers(2, size=rows), rng.random(rows) < 0.5
    night = rng.random(rows) < np.where(outside, 0.8, 0.2)
    right = rng.random(rows) < 0.95 - 0.4 * outside + cost * night
    factors = {"light": np.where(night, "night", "day"), "place": np.where(outside, "outside", "inside")}
    return columns_of(rng, labels, right, factors)


def ask(columns, references, *, graph=None, known=None, seed=0):
    known = references if known is None else known
    rng = np.random.default_rng(seed)
    return estimate_effects(columns, graph or data_graph(columns), references, known=known, rng=rng)


def test_what_another_label_does_is_not_put_down_to_a_factor():
    worlds, covered, naive = 40, 0, 0
    for seed in range(worlds):
        columns = confounded(seed)
        found = ask(columns, {"light": "day"})["light"]
        covered += found.shift.low <= COST <= found.shift.high
        night, right = columns.factors["light"].levels == "night", columns.table.correct
        difference = right[night].mean() - right[~night].mean()
        spread = np.sqrt(right[night].var() / night.sum() + right[~night].var() / (~night).sum())
        naive += abs(difference - COST) < 1.96 * spread
    assert (found.treated, found.control, found.n) == ("night", "day", 400)
    assert "place" in found.formula
    assert covered >= binom.ppf(0.001, worlds, CONFIDENCE)
    assert naive < worlds / 4


def test_a_factor_that_does_nothing_is_seldom_certain():
    worlds, alarms, naive = 40, 0, 0
    for seed in range(worlds):
        columns = confounded(seed, cost=0.0)
        alarms += ask(columns, {"light": "day"})["light"].certain
        night, right = columns.factors["light"].levels == "night", columns.table.correct
        naive += right[night].mean() - right[~night].mean() < -0.1
    assert alarms <= binom.ppf(0.999, worlds, 1 - CONFIDENCE)
    assert naive > worlds / 2


def test_many_levels_are_paid_for_by_interval_and_p_value():
    """The level that moves most is chosen among seven: the truth, zero, is held as often as if it were one."""
    worlds, alarms, held = 40, 0, 0
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        labels, hour = rng.integers(2, size=480), rng.integers(8, size=480)
        columns = columns_of(rng, labels, rng.random(480) < 0.7, {"hour": np.array([f"hour {one}" for one in hour])})
        found = ask(columns, {"hour": "hour 0"})["hour"]
        alarms += found.certain
        held += found.shift.low <= 0 <= found.shift.high
        error = (found.shift.high - found.shift.low) / (2 * norm.ppf(1 - 0.025 / 7))
        single = 2 * norm.sf(abs(found.shift.value) / error)
        assert found.shift.p_value == pytest.approx(min(1.0, 7 * single), rel=0.6)
    assert held >= binom.ppf(0.001, worlds, CONFIDENCE)
    assert alarms <= binom.ppf(0.999, worlds, 1 - CONFIDENCE)


def test_where_class_and_factor_coincide_the_effect_is_refused_for_want_of_overlap():
    rng, labels = np.random.default_rng(0), np.tile([0, 1], 100)
    light = np.where(labels == 1, "night", "day")
    found = ask(columns_of(rng, labels, rng.random(200) < 0.8, {"light": light}), {"light": "day"}, known=())["light"]
    assert (found.shift, found.treated, found.verdicts, found.certain, found.adjusted) == (None, None, None, False, 1.0)
    assert "no row with light='night' and Y='cat'" in found.refusal
    assert found.refusal.endswith("collect those rows.")
    record = found.to_record()
    assert (record["value"], record["low"], record["high"], record["adjusted_p_value"]) == (None,) * 4
    assert record["refusal"] == found.refusal


def test_where_a_graph_does_not_identify_the_effect_it_says_so_and_what_would_help():
    columns = confounded(0)
    graph = CausalGraph("Y -> X; light -> X; place -> X; X -> Y_hat; light <-> Y_hat")
    found = ask(columns, {"light": "day", "place": "inside"}, graph=graph)
    refused = found["light"].refusal
    assert found["light"].shift is None
    assert "the effect of light on Y_hat is not identified" in refused
    assert "light <-> Y_hat stays open" in refused
    assert "would mend it" in refused
    assert "remove Y_hat <-> light" in refused
    assert found["place"].shift is not None


def test_the_graph_decides_what_is_held_fixed():
    """In a graph where the place is no cause of the light, nothing is adjusted, and the naive difference comes out."""
    columns = confounded(0)
    graph = CausalGraph("Y -> X; light -> X; place -> X; X -> Y_hat")
    found = ask(columns, {"light": "day"}, graph=graph)["light"]
    night, right = columns.factors["light"].levels == "night", columns.table.correct
    assert found.shift.value == pytest.approx(right[night].mean() - right[~night].mean(), abs=0.02)


def test_a_level_that_does_not_overlap_is_passed_over_and_named():
    """At dusk there are dogs, none of them right, and one cat: it moves most, but one cat says nothing of cats."""
    rng, labels = np.random.default_rng(0), np.tile([0, 1], 200)
    light = np.where(rng.random(400) < 0.5, "day", "night")
    light = np.where(((labels == 1) & (np.arange(400) % 4 == 1)) | (np.arange(400) == 0), "dusk", light)
    right = (rng.random(400) < np.where(light == "night", 0.7, 0.9)) & (light != "dusk")
    found = ask(columns_of(rng, labels, right, {"light": light}), {"light": "day"})["light"]
    assert found.treated == "night"
    assert abs(found.shift.value - COST) < 0.15
    assert any("'dusk'" in note and "overlap" in note for note in found.warnings)


@pytest.mark.parametrize("right", [True, False])
def test_answers_that_are_all_alike_do_not_crash(right):
    rng, labels = np.random.default_rng(0), np.tile([0, 1], 100)
    light = np.where(rng.random(200) < 0.5, "night", "day")
    found = ask(columns_of(rng, labels, np.full(200, right), {"light": light}), {"light": "day"}, known=())["light"]
    assert not found.certain
    if found.shift:
        assert found.shift.value == pytest.approx(0.0, abs=1e-9)
        assert found.shift.p_value == 1.0
    else:
        assert found.refusal


def test_only_what_is_certain_and_was_not_set_is_refuted():
    columns = confounded(2, rows=600)
    harmless = confounded(2, rows=200, cost=0.0)
    found = ask(columns, {"light": "day"}, known=())["light"]
    assert found.certain
    assert len(found.verdicts) > 2
    assert found.failed == ()
    assert len(found.to_record()["verdicts"]) == len(found.verdicts)
    set_too = ask(columns, {"light": "day"}, known={"light"})["light"]
    assert set_too.certain
    assert set_too.verdicts is None
    assert set_too.shift == found.shift
    uncertain = ask(harmless, {"light": "day"}, known=())["light"]
    assert not uncertain.certain
    assert uncertain.verdicts is None


def test_p_values_are_corrected_for_all_factors_and_progress_is_told():
    columns, steps = confounded(3), []
    rng = np.random.default_rng(0)
    references = {"light": "day", "place": "inside"}
    found = estimate_effects(
        columns, data_graph(columns), references, known=references, rng=rng, advance=lambda: steps.append(1)
    )
    assert len(steps) == 2
    raw = sorted(one.shift.p_value for one in found.values())
    assert sorted(one.adjusted for one in found.values()) == pytest.approx([2 * raw[0], max(2 * raw[0], raw[1])])


def test_a_large_table_is_sampled_with_every_level():
    rng, rows = np.random.default_rng(0), STUDIED_IMAGES + 2000
    labels = rng.integers(2, size=rows)
    night = np.arange(rows) < 100
    right = rng.random(rows) < np.where(night, 0.5, 0.9)
    found = ask(columns_of(rng, labels, right, {"light": np.where(night, "night", "day")}), {"light": "day"})["light"]
    assert found.n <= STUDIED_IMAGES
    assert found.treated == "night"
    assert found.shift.low <= -0.4 <= found.shift.high
