"""Diagnoses of planted factors: found where they are, not found where they are not, not mistaken for the class mix."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.diagnosis.levels import Answers, diagnose_level
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.intervals import CONFIDENCE

NAMES = ("cat", "cow", "dog")


def planted(rng, *, rows=240, seen=0.0, cost=0.0, mix=0.0, easy=0.0):
    """A table whose factor is decodable as far as `seen` says, and lowers the true class's logit by `cost` at "night".

    `mix` puts the classes unevenly over the levels, `easy` makes the later classes' margins larger, whatever the level.
    """
    label = rng.integers(3, size=rows)
    night = rng.random(rows) < 0.5 + mix * (label - 1)
    features = rng.normal(size=(rows, 6)) + 2 * np.eye(6)[label]
    features[:, 5] += seen * night
    logits = rng.normal(size=(rows, 3)) + (1 + easy * label - cost * night)[:, None] * np.eye(3)[label]
    return EmbeddingTable(features, logits, label, {"light": np.where(night, "night", "day")}, NAMES)


def only(diagnosis):
    (factor,) = diagnosis.factors
    return factor


def night(factor):
    return next(level for level in factor.levels if level.level == "night")


def ask(table, seed=0):
    return only(diagnose(table, reference={"light": "day"}, causes=False, folds=3, rng=np.random.default_rng(seed)))


@pytest.mark.parametrize(("seen", "cost"), [(0.0, 0.0), (3.0, 0.0), (0.0, 2.0), (3.0, 2.0)])
def test_seeing_a_factor_and_paying_for_it_are_told_apart(seen, cost):
    factor = ask(planted(np.random.default_rng(11), rows=400, seen=seen, cost=cost))
    assert factor.probe.decodable == (seen > 0)
    assert factor.moves_margin == (cost > 0)


def test_the_shift_of_the_margin_is_what_was_planted():
    """A loss of 1 in the true logit moves the margin by 1: the rivals' logits know nothing of it."""
    covered, rows = 0, 200
    for seed in range(rows):
        shift = _shifts(planted(np.random.default_rng(seed), rows=60, cost=1.0)).margin_shift
        covered += shift.low <= -1.0 <= shift.high
    assert covered >= binom.ppf(0.001, rows, CONFIDENCE)


@pytest.mark.parametrize(("mix", "easy"), [(0.0, 0.0), (0.4, 3.0)])
def test_false_alarms_also_where_levels_hold_easier_classes(mix, easy):
    """Nine in ten images of the easy class are at night: raw accuracies differ, the comparison by class does not."""
    worlds, alarms, raw = 200, 0, []
    for seed in range(worlds):
        table = planted(np.random.default_rng(seed), rows=120, mix=mix, easy=easy)
        alarms += _shifts(table).margin_shift.p_value < 1 - CONFIDENCE
        dark = table.factors["light"] == "night"
        raw.append(table.correct[dark].mean() - table.correct[~dark].mean())
    assert alarms <= binom.ppf(0.999, worlds, 1 - CONFIDENCE)
    assert (np.mean(raw) > 0.15) == (mix > 0)


def _shifts(table):
    """The comparison alone, without the probe."""
    dark = table.factors["light"] == "night"
    answers = Answers.of(table)
    return diagnose_level("night", answers.where(dark), answers.where(~dark))


def test_many_levels_raise_no_more_false_alarms():
    """Of seven comparisons that hold nothing, one is below 0.05 in 30 % of worlds; the verdict stays below 5 %."""
    template = ask(planted(np.random.default_rng(0), rows=60))
    worlds, alarms, naive = 150, 0, 0
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        answers, hours = Answers.of(planted(rng, rows=240)), rng.integers(8, size=240)
        base = answers.where(hours == 0)
        levels = tuple(diagnose_level(f"hour {hour}", answers.where(hours == hour), base) for hour in range(1, 8))
        alarms += replace(template, levels=levels).moves_margin
        naive += min(level.margin_shift.p_value for level in levels) < 1 - CONFIDENCE
    assert alarms <= binom.ppf(0.999, worlds, 1 - CONFIDENCE) < naive


def test_shifts_are_plain_differences_averaged_over_classes():
    table = planted(np.random.default_rng(3), cost=0.7, mix=0.2)
    dark = table.factors["light"] == "night"
    found = night(ask(table))
    for scores, shift in ((table.margins, found.margin_shift), (table.correct, found.accuracy_shift)):
        by_class = [
            scores[dark & (table.labels == k)].mean() - scores[~dark & (table.labels == k)].mean() for k in range(3)
        ]
        assert shift.value == pytest.approx(np.mean(by_class))
    assert found.compared == 3


def test_cells_are_plain_means():
    table = planted(np.random.default_rng(4))
    factor = ask(table)
    assert len(factor.cells) == 6
    for cell in factor.cells:
        rows = (table.labels == NAMES.index(cell.class_name)) & (table.factors["light"] == cell.level)
        assert (cell.n, cell.accuracy.value) == (rows.sum(), table.correct[rows].mean())
        assert cell.margin == pytest.approx(table.margins[rows].mean())
        assert (cell.margin_shift is None) == (cell.level == "day")


def test_wrong_labels_against_a_slow_count():
    table = planted(np.random.default_rng(5), cost=2.0)
    dark = table.factors["light"] == "night"
    for wrong in night(ask(table)).wrong_labels:
        label = NAMES.index(wrong.label)
        others = [k for k in range(3) if k != label]

        def share(rows, label=label, others=others):
            return np.mean([(table.predicted[rows & (table.labels == k)] == label).mean() for k in others])

        assert (wrong.share, wrong.reference_share) == (pytest.approx(share(dark)), pytest.approx(share(~dark)))
        assert wrong.share > wrong.reference_share
        taken = dark & (table.labels != label) & (table.predicted == label)
        assert wrong.count == taken.sum()
        assert wrong.mostly_count == np.bincount(table.labels[taken]).max()


def test_levels_without_a_common_class_are_not_compared():
    table = planted(np.random.default_rng(6))
    levels = {"light": np.where(table.labels == 0, "night", "day")}
    apart = EmbeddingTable(table.features, table.logits, table.labels, levels, NAMES)
    factor = ask(apart)
    assert night(factor).margin_shift is None
    assert night(factor).accuracy_shift is None
    assert night(factor).compared == 0
    assert not factor.moves_margin
    assert factor.probe.bits_given_class is None


def test_the_reference_is_the_largest_level_then_the_most_accurate():
    table = planted(np.random.default_rng(7), rows=90, cost=3.0)
    thirds = {"light": np.repeat(["dawn", "day", "night"], [20, 50, 20])}
    assert (
        only(
            diagnose(EmbeddingTable(table.features, table.logits, table.labels, thirds, NAMES), causes=False)
        ).reference
        == "day"
    )
    right = np.argsort(~table.correct, kind="stable")
    equal = np.empty(90, dtype="<U5")
    equal[right] = np.repeat(["night", "day"], 45)
    factor = only(
        diagnose(EmbeddingTable(table.features, table.logits, table.labels, {"light": equal}, NAMES), causes=False)
    )
    assert (factor.reference, factor.levels[0].level) == ("night", "night")


def test_a_diagnosis_is_plain_data_and_repeats_itself():
    table = planted(np.random.default_rng(8), rows=90)
    first, second = diagnose(table, causes=False), diagnose(table, causes=False)
    assert first == second
    assert json.loads(json.dumps(first.to_record()))["factors"][0]["factor"] == "light"
    assert first.n == 90
    assert first.accuracy.value == table.correct.mean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reference": {"lihgt": "day"}}, r"must belong to a factor of the data \(light\); received lihgt"),
        ({"reference": {"light": "dusk"}}, r"one of its levels \(day, night\); received 'dusk'"),
        ({"backbone": "photo"}, "received a backbone beside it"),
        ({"adapter": "folder"}, "received an adapter beside it"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        diagnose(planted(np.random.default_rng(9)), **arguments)


def test_data_without_a_factor_are_refused_with_the_way_to_name_one():
    table = planted(np.random.default_rng(9))
    bare = EmbeddingTable(table.features, table.logits, table.labels, {}, NAMES)
    with pytest.raises(InputError, match=r"received data without any.*domain/class.*factors\.csv.*pixels=True"):
        diagnose(bare, pixels=False)
    with pytest.raises(InputError, match="rows come from no file"):
        diagnose(bare)
