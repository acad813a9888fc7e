"""Clusters against planted ones, against clouds without any, and against slow code."""

import json

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import adjusted_rand_score

from causalvlm.errors import InputError
from causalvlm.probes import clusters
from causalvlm.probes.clusters import FALSE_ALARM_RATE, STABLE, centre_by_class, find_clusters


def planted(rng, *, rows=500, number=3, dim=12, apart=6.0, classes=4):
    """Clusters that every class has in the same proportions, and class means that lie far apart."""
    cluster = rng.choice(number, size=rows, p=np.arange(number, 0, -1) / np.arange(1, number + 1).sum())
    label = rng.integers(classes, size=rows)
    features = rng.normal(size=(rows, dim)) + apart * np.eye(dim)[cluster] + 20 * np.eye(dim)[-1 - label]
    return features, cluster, label


@pytest.mark.parametrize("number", [2, 3, 5])
def test_planted_clusters_are_found_in_their_number(number):
    rng = np.random.default_rng(number)
    features, cluster, label = planted(rng, number=number)
    found = find_clusters(features, label, most=6, rng=rng)
    assert found.number == number
    assert found.reason == ""
    assert found.stability[number] > STABLE
    assert adjusted_rand_score(cluster, found.levels) > 0.95
    assert np.bincount(cluster).argmax() == np.bincount(cluster[found.levels == "cluster 1"]).argmax()


def test_classes_are_no_clusters():
    rng = np.random.default_rng(1)
    features, _, label = planted(rng, apart=0.0)
    assert find_clusters(features, label, most=5, rng=rng).reason != ""
    assert find_clusters(features, np.zeros_like(label), most=5, rng=rng).reason == ""


def test_a_cloud_stretched_in_one_direction_is_split_alike_by_all_halves_but_has_no_clusters():
    """Stability alone would call every one of these worlds clustered."""
    worlds, alarms, stable = 12, 0, 0
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        cloud = rng.normal(size=(240, 8)) * [4, 1, 1, 1, 1, 1, 1, 1]
        found = find_clusters(cloud, np.zeros(240, dtype=int), most=2, rng=rng)
        stable += found.stability[2] >= STABLE
        alarms += found.reason == ""
    assert stable >= worlds / 2
    assert alarms <= binom.ppf(0.999, worlds, FALSE_ALARM_RATE)


def test_a_round_cloud_has_no_stable_clusters():
    rng = np.random.default_rng(2)
    found = find_clusters(rng.normal(size=(300, 10)), rng.integers(3, size=300), most=4, rng=rng)
    assert found.reason.startswith("other images would give other clusters")
    assert found.p_value == 1.0


def test_centring_is_the_slow_one():
    rng = np.random.default_rng(3)
    features, label = rng.normal(size=(50, 4)), rng.integers(7, size=50)
    label[label == 3] = 2  # a class without images
    slow = np.array([row - features[label == own].mean(axis=0) for row, own in zip(features, label, strict=True)])
    np.testing.assert_allclose(centre_by_class(features, label), slow, atol=1e-12)


def test_examples_are_medoids_of_each_class():
    rng = np.random.default_rng(4)
    features, _, label = planted(rng, rows=300)
    found = find_clusters(features, label, most=4, rng=rng)
    centred = centre_by_class(features, label)
    for level, medoids in found.examples.items():
        inside = found.levels == level
        centre = centred[inside].mean(axis=0)
        assert sorted(one.label for one in medoids) == sorted(set(label[inside].tolist()))
        for one in medoids:
            rows = np.flatnonzero(inside & (label == one.label))
            assert one.row == rows[((centred[rows] - centre) ** 2).sum(axis=1).argmin()]
    record = json.loads(json.dumps(found.to_record(), allow_nan=False))
    assert record["examples"]["cluster 1"][0].keys() == {"label", "row"}


def test_images_beyond_those_fitted_are_given_the_nearest_centre(monkeypatch):
    monkeypatch.setattr(clusters, "FITTED_IMAGES", 200)
    rng = np.random.default_rng(5)
    features, cluster, label = planted(rng, rows=2000)
    found = find_clusters(features, label, most=4, rng=rng)
    assert len(found.levels) == 2000
    assert adjusted_rand_score(cluster, found.levels) > 0.95


def test_equal_seeds_give_equal_clusters_and_arguments_stay():
    features, _, label = planted(np.random.default_rng(6), rows=200)
    for column in (features, label):
        column.setflags(write=False)
    first, second = (find_clusters(features, label, most=3, rng=7) for _ in range(2))
    assert first.to_record() == second.to_record()
    np.testing.assert_array_equal(first.levels, second.levels)


def test_mistakes_are_named():
    rng = np.random.default_rng(8)
    with pytest.raises(InputError, match="at least 100 different images; received 30"):
        find_clusters(np.tile(rng.normal(size=(30, 4)), (10, 1)), np.zeros(300, dtype=int), rng=rng)
    with pytest.raises(InputError, match="received most=1"):
        find_clusters(rng.normal(size=(200, 4)), np.zeros(200, dtype=int), most=1, rng=rng)
