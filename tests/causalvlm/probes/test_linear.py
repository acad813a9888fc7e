"""Probes against scikit-learn, against planted factors, and against factors that are not there."""

import json

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression

from causalvlm.errors import InputError
from causalvlm.probes.linear import LinearProbe, assign_folds, fit_probe
from causalvlm.probes.ridge import cross_fit, fit_all, fit_weights

FALSE_ALARM_RATE = 0.025
"""A factor that is not there is called decodable at most this often: one side of a 95 per cent interval."""


def planted(rng, *, rows=300, dim=6, strength=2.0, classes=3, levels=("fog", "rain", "sun")):
    """Features that carry the class and, as far as `strength` says, the level; class and level are independent."""
    level, label = rng.integers(len(levels), size=rows), rng.integers(classes, size=rows)
    features = rng.normal(size=(rows, dim)) + 2 * np.eye(dim)[label] + strength * np.eye(dim)[-1 - level]
    return features, np.array(levels)[level], label


def test_weights_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    inputs, codes = rng.normal(size=(120, 5)), rng.integers(3, size=120)
    reference = LogisticRegression(C=0.3, fit_intercept=False, tol=1e-10, max_iter=5000).fit(inputs, codes)
    weights = fit_weights(inputs, codes, np.zeros((120, 3)), 0.3, start=np.zeros((5, 3)))
    ours = np.exp(inputs @ weights)
    np.testing.assert_allclose(ours / ours.sum(1, keepdims=True), reference.predict_proba(inputs), atol=1e-3)


def test_offsets_act_as_a_column_with_weight_one():
    rng = np.random.default_rng(2)
    codes = rng.integers(2, size=400)
    # Offsets that are the true log odds leave nothing to explain; without them the same column is used.
    log_odds = 2.0 * (codes * 2 - 1) + rng.normal(size=400) * 2
    offsets = np.column_stack([-log_odds / 2, log_odds / 2])
    column = log_odds[:, None] / log_odds.std()
    with_offsets = fit_weights(column, codes, offsets, 1.0, start=np.zeros((1, 2)))
    without = fit_weights(column, codes, np.zeros((400, 2)), 1.0, start=np.zeros((1, 2)))
    assert abs(with_offsets[0, 1]) < 0.3 < without[0, 1]


def test_every_image_is_predicted_without_it():
    """Changing an image's own level changes nothing in its prediction: its fold saw neither fit nor penalty choice."""
    rng = np.random.default_rng(3)
    features, _, label = planted(rng, rows=90)
    codes, folds, one = label.copy(), np.arange(90) % 3, np.zeros(90, dtype=np.int64)
    before = cross_fit(features, codes, one, folds).probe
    codes[folds == 0] = (codes[folds == 0] + 1) % 3
    after = cross_fit(features, codes, one, folds).probe
    np.testing.assert_array_equal(before[folds == 0], after[folds == 0])
    assert np.abs(before[folds != 0] - after[folds != 0]).max() > 0.01


def test_folds_balance_level_and_class_and_keep_equal_images_together():
    rng = np.random.default_rng(4)
    features, level, label = planted(rng)
    features[200:] = features[:100]
    codes = np.unique(level, return_inverse=True)[1]
    fold = assign_folds(features, codes, label, folds=5, rng=rng)
    np.testing.assert_array_equal(fold[200:], fold[:100])
    first = slice(0, 200)
    for code in range(3):
        counts = np.bincount(fold[first][codes[first] == code], minlength=5)
        assert np.ptp(counts) <= 1
        for name in range(3):
            cell = fold[first][(codes[first] == code) & (label[first] == name)]
            assert np.ptp(np.bincount(cell, minlength=5)) <= 1


def test_the_kept_probe_is_scikit_learns_at_the_same_penalty():
    """Levels are equally frequent here, so that the frequencies it starts from are the same for all."""
    rng = np.random.default_rng(5)
    codes = np.tile([0, 1, 2], 80)
    features = (rng.normal(size=(240, 5)) + np.eye(5)[codes]) * [1, 10, 0.1, 3, 1] + [0, 5, 0, -2, 100]
    weights, offset = fit_all(features, codes, 0.1)
    standard = np.column_stack([(features - features.mean(0)) / features.std(0), np.ones(240)])
    reference = LogisticRegression(C=0.1, fit_intercept=False, tol=1e-10, max_iter=5000).fit(standard, codes)
    probe = LinearProbe(("a", "b", "c"), weights, offset)
    np.testing.assert_allclose(probe.probabilities(features), reference.predict_proba(standard), atol=1e-3)


def test_the_kept_probe_reads_new_images_as_well_as_the_result_says():
    rng = np.random.default_rng(6)
    features, level, label = planted(rng, rows=600, strength=1.0)
    found = fit_probe(features, level, label, rng=rng)
    fresh, truth, _ = planted(rng, rows=4000, strength=1.0)
    share = np.mean(np.array(found.probe.predict(fresh)) == truth)
    assert found.accuracy.low - 0.03 < share < found.accuracy.high + 0.03
    assert found.probe.levels == found.levels
    assert "probe" not in found.to_record()
    assert found.probe.weights.shape == (6, 3)


def test_the_kept_probe_stands_where_the_slope_of_its_objective_is_zero():
    """With rare levels and a feature that never varies, standardised here by hand and not in the weights."""
    rng = np.random.default_rng(10)
    codes = np.repeat([0, 1, 2], [150, 60, 20])
    features = np.column_stack([rng.normal(size=(230, 4)) + np.eye(4)[codes], np.full(230, 7.0)]) * [1, 10, 0.1, 3, 1]
    weights, offset = fit_all(features, codes, 0.05)
    centre, spread = features.mean(0), np.append(features[:, :4].std(0), 1.0)
    prior = np.log((np.bincount(codes) + 0.5) / (np.bincount(codes) + 0.5).sum())
    wrong = LinearProbe(("a", "b", "c"), weights, offset).probabilities(features) - np.eye(3)[codes]
    slope = ((features - centre) / spread).T @ wrong + weights * spread[:, None] / 0.05
    slope_of_offset = wrong.sum(0) + (offset + centre @ weights - prior) / 0.05
    np.testing.assert_allclose(slope, 0, atol=0.05)
    np.testing.assert_allclose(slope_of_offset, 0, atol=0.05)
    assert np.abs(weights * spread[:, None] / 0.05).max() > 5


def test_without_its_directions_a_probe_tells_nothing_apart():
    rng = np.random.default_rng(11)
    features, level, label = planted(rng)
    probe = fit_probe(features, level, label, rng=rng).probe
    span = probe.directions()
    assert span.shape == (6, 2)
    np.testing.assert_allclose(span.T @ span, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(np.ptp(probe.probabilities(features - features @ span @ span.T), axis=0), 0, atol=1e-12)
    # Taking out as many directions at random leaves most of it.
    other = np.linalg.qr(rng.normal(size=(6, 2)))[0]
    assert np.ptp(probe.probabilities(features - features @ other @ other.T), axis=0).min() > 0.3


def test_a_probe_is_made_again_from_its_record_and_nobody_can_change_it():
    rng = np.random.default_rng(12)
    weights = rng.normal(size=(4, 2))
    probe = LinearProbe(("day", "night"), weights, np.array([0.3, -0.3]))
    weights[:] = 0
    record = json.loads(json.dumps(probe.to_record(), allow_nan=False))
    again = LinearProbe(tuple(record["levels"]), np.array(record["weights"]), np.array(record["offset"]))
    features = rng.normal(size=(10, 4))
    np.testing.assert_array_equal(probe.logits(features), again.logits(features))
    assert np.ptp(probe.logits(features)) > 0.1
    with pytest.raises(ValueError, match="read-only"):
        probe.weights[0, 0] = 1.0


def test_features_of_another_backbone_are_refused():
    probe = LinearProbe(("day", "night"), np.zeros((4, 2)), np.zeros(2))
    with pytest.raises(InputError, match=r"as those it was fitted on \(4\); received 3 columns\. Embed the images"):
        probe.predict(np.zeros((2, 3)))


def test_a_planted_factor_is_found_and_measured():
    rng = np.random.default_rng(5)
    result = fit_probe(*planted(rng, rows=600, strength=3.0), name="weather", rng=rng)
    assert result.levels == ("fog", "rain", "sun")
    assert result.decodable
    assert result.decodable_given_class
    # Three unit-variance clouds, each three from the origin along an axis of its own: Bayes' rule reads 96.7 %.
    assert result.accuracy.low < 0.967 < result.accuracy.high
    assert result.balanced_accuracy.value == pytest.approx(result.accuracy.value, abs=0.01)
    assert 1.2 < result.bits.value < result.entropy_bits == pytest.approx(np.log2(3), abs=0.01)


def test_a_factor_that_is_not_there_is_rarely_found():
    worlds, alarms, bits = 40, 0, []
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        result = fit_probe(*planted(rng, rows=120, strength=0.0), folds=3, rng=rng)
        alarms += result.decodable + result.decodable_given_class
        bits.append(result.bits.value)
    assert alarms <= binom.ppf(0.999, 2 * worlds, FALSE_ALARM_RATE)
    assert np.mean(bits) < 0.005


def test_a_weak_factor_is_not_mistaken_for_none():
    found = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        found += fit_probe(*planted(rng, rows=400, strength=0.8), folds=3, rng=rng).decodable
    assert found >= 9


def test_what_the_class_gives_away_is_not_credited_to_the_embedding():
    """The level follows the class in nine images of ten, and the features carry the class alone."""
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        features, _, label = planted(rng, rows=200, strength=0.0, classes=2)
        level = np.where(rng.random(200) < 0.9, label, 1 - label).astype(str)
        result = fit_probe(features, level, label, folds=3, rng=rng)
        assert result.decodable
        assert result.class_majority == pytest.approx(0.9, abs=0.08)
        alarms += result.decodable_given_class
    assert alarms <= 2


def test_a_factor_that_is_the_class_leaves_the_question_open():
    rng = np.random.default_rng(6)
    features, _, label = planted(rng)
    result = fit_probe(features, label.astype(str), label, rng=rng)
    assert result.decodable
    assert result.bits_given_class is None
    assert not result.decodable_given_class
    assert result.class_majority == 1.0


def test_rare_levels_do_not_hide_behind_the_majority():
    rng = np.random.default_rng(7)
    level = np.where(np.arange(500) < 450, "common", "rare")
    features = rng.normal(size=(500, 4))
    result = fit_probe(features, level, np.zeros(500, dtype=np.int64), rng=rng)
    assert result.majority == 0.9
    assert result.accuracy.value == pytest.approx(0.9, abs=0.01)
    assert result.balanced_accuracy.value == pytest.approx(0.5, abs=0.05)
    assert not result.decodable


def test_equal_seeds_give_equal_results_and_arguments_stay():
    columns = planted(np.random.default_rng(8), rows=90)
    for column in columns:
        column.setflags(write=False)
    first, second, other = (fit_probe(*columns, folds=3, rng=np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first == second
    assert first.bits != other.bits


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, z, y: (f, np.full(len(z), "sun"), y), "'light' has only 'sun'"),
        (lambda f, z, y: (f, np.r_[["dawn"] * 4, z[4:]], y), "'light' has 4 images at level 'dawn'"),
        (
            lambda f, z, y: (np.r_[f[:1], f[:1], f[:1], f[:1], f[:1], f[5:]], np.r_[["dawn"] * 5, z[5:]], y),
            "has 1 different images at",
        ),
        (lambda f, z, y: (np.where(np.arange(len(f))[:, None] == 7, np.nan, f), z, y), "the first is row 7"),
        (lambda f, z, y: (f, z[1:], y), "received 300, 299 and 300 rows"),
    ],
)
def test_mistakes_are_named(change, message):
    rng = np.random.default_rng(9)
    with pytest.raises(InputError, match=message):
        fit_probe(*change(*planted(rng)), name="light", rng=rng)


def test_two_folds_are_too_few():
    rng = np.random.default_rng(9)
    with pytest.raises(InputError, match="at least 3 folds; received 2"):
        fit_probe(*planted(rng), folds=2, rng=rng)
