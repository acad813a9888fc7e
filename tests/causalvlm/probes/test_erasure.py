"""LEACE against its authors' implementation and the definition; what is erased, what stays, and how chance is told."""

import json
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import binom, kstest
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from causalvlm.errors import InputError
from causalvlm.probes.erasure import erase_and_ask, fit_eraser

DIM = 24


def world(rng, *, rows=600, confounded=0.5, seen=2.0, levels=2):
    """Features that show a class along the first axis and a factor along the last; `confounded` of 0.5 is none.

    With three levels the factor needs a second axis.
    """
    labels = rng.integers(2, size=rows)
    level = np.where(rng.random(rows) < confounded, labels, 1 - labels)
    if levels == 3:
        level = rng.integers(3, size=rows)
    features = rng.normal(size=(rows, DIM)) * np.linspace(0.5, 2, DIM)
    features[:, 0] += 4 * labels
    features[:, -1] += seen * level
    features[:, -2] += seen * (level == 2)
    return features, labels, level


def linear(weights):
    """A model whose logits are linear in the features."""
    return lambda features: features @ weights


@pytest.fixture(scope="module")
def authors():
    """The implementation of the paper's authors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("concept_erasure")


@pytest.mark.parametrize("levels", [2, 3])
def test_it_is_the_authors_own(authors, levels):
    features, _, level = world(np.random.default_rng(0), levels=levels)
    one_hot = torch.from_numpy(np.eye(levels)[level])
    theirs = authors.LeaceEraser.fit(
        torch.from_numpy(features), one_hot, shrinkage=False, constrain_cov_trace=False, svd_tol=1e-9
    )
    fresh = np.random.default_rng(1).normal(size=(50, DIM))
    ours = fit_eraser(features, level)
    assert ours.rank == levels - 1
    assert np.abs(ours(fresh) - theirs(torch.from_numpy(fresh)).numpy()).max() < 1e-8


def test_within_classes_it_is_the_authors_own_on_centred_features(authors):
    features, labels, level = world(np.random.default_rng(2), confounded=0.8)
    one_hot = np.eye(2)[level]
    for label in (0, 1):
        rows = labels == label
        one_hot[rows] -= one_hot[rows].mean(axis=0)
    centred = features - np.stack([features[labels == label].mean(axis=0) for label in (0, 1)])[labels]
    theirs = authors.LeaceEraser.fit(
        torch.from_numpy(centred), torch.from_numpy(one_hot), shrinkage=False, constrain_cov_trace=False, svd_tol=1e-9
    )
    fresh, ours = np.random.default_rng(3).normal(size=(50, DIM)), fit_eraser(features, level, labels)
    expected = fresh - (fresh - features.mean(axis=0)) @ (np.eye(DIM) - theirs.P.numpy()).T
    assert np.abs(ours(fresh) - expected).max() < 1e-8


@pytest.mark.parametrize("shrink", [False, True])
@pytest.mark.parametrize("levels", [2, 3])
def test_no_linear_trace_is_left(levels, shrink):
    features, _, level = world(np.random.default_rng(4), levels=levels)
    erased = fit_eraser(features, level, shrink=shrink)(features)
    one_hot = np.eye(levels)[level] - np.eye(levels)[level].mean(axis=0)
    assert np.abs(one_hot.T @ erased).max() / len(features) < 1e-10
    majority = np.bincount(level).max() / len(level)
    for probe in (LogisticRegression(C=1e3, max_iter=5000), RidgeClassifier(alpha=1e-6)):
        assert probe.fit(features, level).score(features, level) > majority + 0.1
        assert probe.fit(erased, level).score(erased, level) == pytest.approx(majority, abs=0.01)


def test_no_affine_map_that_erases_moves_less():
    """The orthogonal projection away from the difference of means erases too, and moves features more."""
    features, _, level = world(np.random.default_rng(5))
    mixing = np.random.default_rng(6).normal(size=(DIM, DIM))
    features = features @ mixing
    erased = fit_eraser(features, level)(features)
    apart = features[level == 1].mean(axis=0) - features[level == 0].mean(axis=0)
    apart /= np.linalg.norm(apart)
    projected = features - np.outer((features - features.mean(axis=0)) @ apart, apart)
    assert ((erased - features) ** 2).sum() < 0.9 * ((projected - features) ** 2).sum()


def test_within_classes_a_confounded_factor_does_not_take_the_class_with_it():
    features, labels, level = world(np.random.default_rng(7), rows=2000, confounded=0.95)
    probe = LogisticRegression(max_iter=2000)

    def accuracy(erased, target):
        return probe.fit(erased[::2], target[::2]).score(erased[1::2], target[1::2])

    plain, within = fit_eraser(features, level)(features), fit_eraser(features, level, labels)(features)
    assert accuracy(features, labels) > 0.97
    assert accuracy(plain, labels) < 0.75
    assert accuracy(within, labels) > 0.97
    for label in (0, 1):
        rows = labels == label
        centred = np.eye(2)[level[rows]] - np.eye(2)[level[rows]].mean(axis=0)
        assert np.abs(centred.T @ fit_eraser(features[rows], level[rows])(features[rows])).max() < 1e-6
    pooled = np.eye(2)[level] - np.stack([np.eye(2)[level[labels == label]].mean(axis=0) for label in (0, 1)])[labels]
    assert np.abs(pooled.T @ within).max() / len(within) < 1e-10


def test_a_factor_that_the_model_reads_is_told_from_one_that_it_does_not():
    features, labels, level = world(np.random.default_rng(8), rows=800, seen=6.0)
    reads, ignores = np.zeros((DIM, 2)), np.zeros((DIM, 2))
    reads[0], ignores[0] = (-1, 1), (-1, 1)
    reads[-1] = (-1, 1)
    used = erase_and_ask(linear(reads), features, labels, level, factor="light", rng=0, draws=99)
    unused = erase_and_ask(linear(ignores), features, labels, level, rng=0, draws=99)
    assert (used.factor, used.n, used.rank) == ("light", 800, 1)
    assert used.p_value == 0.01
    assert used.change > 2 * used.random_change.high
    assert used.flips.low > used.random_flips.high
    assert unused.p_value > 0.2
    assert json.loads(json.dumps(used.to_record()))["p_value"] == 0.01


def test_where_the_features_know_nothing_p_values_are_uniform():
    weights = np.random.default_rng(9).normal(size=(DIM, 2))
    p_values = []
    for seed in range(150):
        features, labels, level = world(np.random.default_rng(seed), rows=100, seen=0.0, confounded=0.8)
        p_values.append(erase_and_ask(linear(weights), features, labels, level, rng=seed, draws=19).p_value)
    alarms = sum(value <= 0.05 for value in p_values)
    assert binom.ppf(0.001, 150, 0.05) <= alarms <= binom.ppf(0.999, 150, 0.05)
    jitter = np.random.default_rng(10).random(150) / 20  # p-values of 19 draws lie on a grid
    assert kstest(np.array(p_values) - jitter, "uniform").pvalue > 0.001


def test_images_are_erased_by_what_was_fitted_on_others():
    """What was fitted on all images would leave no covariance with the factor at all."""
    features, labels, level = world(np.random.default_rng(11), rows=300)
    seen = []

    def spy(erased):
        seen.append(np.array(erased))
        return erased[:, :2]

    erase_and_ask(spy, features, labels, level, rng=0, draws=1)
    assert (seen[0] == features).all()
    pooled = np.eye(2)[level] - np.stack([np.eye(2)[level[labels == label]].mean(axis=0) for label in (0, 1)])[labels]
    before, after = (np.abs(pooled.T @ shown).max() / len(features) for shown in seen[:2])
    assert 1e-3 < after < before / 3


def test_only_so_many_images_are_used_and_a_seed_repeats_them():
    features, labels, level = world(np.random.default_rng(12))
    first, again = (
        erase_and_ask(linear(np.eye(DIM)[:, :2]), features, labels, level, rng=3, draws=5, most=100) for _ in "ab"
    )
    assert first == again
    assert first.n == 100


def test_a_factor_that_is_the_class_has_no_answer_and_mistakes_are_named():
    features, labels, level = world(np.random.default_rng(13), rows=60)
    model = linear(np.eye(DIM)[:, :2])
    assert erase_and_ask(model, features, labels, labels, rng=0) is None
    with pytest.raises(InputError, match="received 60, 60 and 59 rows"):
        erase_and_ask(model, features, labels, level[1:], rng=0)
    with pytest.raises(InputError, match="at least two levels"):
        erase_and_ask(model, features, labels, np.zeros(60), rng=0)
