"""Folds of whole groups, and intervals that know of groups, against scikit-learn, statsmodels and planted videos."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import binom
from sklearn.model_selection import StratifiedGroupKFold

from causalvlm.errors import InputError
from causalvlm.intervals import clustered_share, clustered_shift
from causalvlm.probes.folds import assign_folds, join_groups
from causalvlm.probes.linear import fit_probe


def videos(rng, *, number=40, frames=10, strength=0.0, dim=8):
    """Frames of a video look alike and share their level; the level shows in the pixels as `strength` says."""
    level, label = rng.integers(2, size=number), rng.integers(3, size=number)
    level[:8] = np.tile([0, 1], 4)
    look = rng.normal(size=(number, dim)) + strength * level[:, None]
    video = np.repeat(np.arange(number), frames)
    features = look[video] + 0.1 * rng.normal(size=(number * frames, dim))
    return features, np.array(["day", "night"])[level[video]], label[video], video


def unevenness(fold, strata):
    counts = np.zeros((5, strata.max() + 1))
    np.add.at(counts, (fold, strata), 1)
    return (counts**2 / counts.sum(axis=0)).sum()


@pytest.mark.parametrize("seed", range(3))
def test_groups_stay_whole_and_are_dealt_as_evenly_as_scikit_learn_does(seed):
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(90), rng.integers(1, 12, size=90))
    codes = (rng.random(90) < 0.3).astype(int)[group] ^ (rng.random(len(group)) < 0.1)
    labels = rng.integers(4, size=90)[group]
    features = rng.normal(size=(len(group), 3))
    fold = assign_folds(features, codes, labels, folds=5, rng=rng, groups=group.astype(str))
    assert all(len(np.unique(fold[group == one])) == 1 for one in range(90))
    reference = np.empty_like(fold)
    strata = codes * 4 + labels
    for number, (_, rows) in enumerate(StratifiedGroupKFold(5).split(features, strata, group)):
        reference[rows] = number
    assert unevenness(fold, strata) <= 1.02 * unevenness(reference, strata)
    assert unevenness(fold, codes) <= 1.02 * unevenness(reference, codes)


def test_groups_of_one_image_are_dealt_as_images_are():
    rng = np.random.default_rng(0)
    codes, labels = rng.integers(3, size=200), rng.integers(4, size=200)
    fold = assign_folds(rng.normal(size=(200, 2)), codes, labels, folds=5, rng=rng, groups=np.arange(200))
    for code in range(3):
        assert np.ptp(np.bincount(fold[codes == code], minlength=5)) <= 1


def test_groups_that_share_an_image_are_joined_however_long_the_chain():
    groups = np.array(["a", "a", "b", "b", "c", "d"])
    joined = join_groups(np.array([0, 1, 1, 2, 2, 3]), groups)
    assert len(np.unique(joined[:5])) == 1
    assert joined[5] != joined[0]


def test_frames_of_one_video_are_no_evidence():
    """A random level per video: the probe knows the videos by heart, unless they are kept out as a whole."""
    fooled, alarms, worlds = 0, 0, 20
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        features, level, label, video = videos(rng)
        fooled += fit_probe(features, level, label, folds=3, rng=rng).decodable
        found = fit_probe(features, level, label, folds=3, rng=rng, groups=video)
        assert found.groups == 40
        alarms += found.decodable + found.decodable_given_class
    assert fooled >= 0.6 * worlds
    assert alarms <= binom.ppf(0.999, 2 * worlds, 0.025)


def test_what_the_videos_do_show_is_found():
    rng = np.random.default_rng(1)
    features, level, label, video = videos(rng, number=80, strength=1.5)
    found = fit_probe(features, level, label, rng=rng, groups=video)
    assert found.decodable
    plain = fit_probe(features, level, label, rng=rng)
    assert plain.groups is None
    for name in ("accuracy", "balanced_accuracy", "bits"):
        ours, narrow = getattr(found, name), getattr(plain, name)
        assert ours.high - ours.low > narrow.high - narrow.low
    assert found.to_record()["groups"] == 80


def test_the_mean_by_groups_is_that_of_statsmodels():
    rng = np.random.default_rng(2)
    group = rng.integers(12, size=100)
    values = rng.normal(size=100) + rng.normal(size=12)[group] + 0.4
    ours = clustered_shift(values, group)
    reference = sm.OLS(values, np.ones(100)).fit(cov_type="cluster", cov_kwds={"groups": group}, use_t=True)
    assert ours.value == pytest.approx(reference.params[0])
    assert (ours.low, ours.high) == (
        pytest.approx(reference.conf_int()[0, 0]),
        pytest.approx(reference.conf_int()[0, 1]),
    )
    assert ours.p_value == pytest.approx(reference.pvalues[0])


def test_shares_by_groups_cover():
    worlds, covered = 400, 0
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(30), 8)
        right = (rng.random(240) < np.clip(0.7 + 0.25 * rng.choice([-1, 1], size=30)[group], 0, 1)).astype(float)
        estimate = clustered_share(right, np.arange(240) % 2, group)
        covered += not estimate.excludes(0.7)
    assert covered >= binom.ppf(0.001, worlds, 0.93)


def test_alike_images_are_worth_as_many_as_there_are_groups():
    share = clustered_share(np.ones(60), np.zeros(60, dtype=int), np.arange(60) // 10)
    assert share.low == pytest.approx(0.61, abs=0.005)  # Wilson, 6 of 6


def test_mistakes_are_named():
    rng = np.random.default_rng(3)
    features, level, label, video = videos(rng)
    with pytest.raises(InputError, match="groups must have one row per image; received 399 rows for 400"):
        fit_probe(features, level, label, rng=rng, groups=video[1:])
    lone = np.where(level == "night", 1000, video)
    with pytest.raises(InputError, match=r"'light' has 1 at level 'night'\. Merge"):
        fit_probe(features, level, label, name="light", rng=rng, groups=lone)
