"""A non-linear probe against what no plane tells apart, against what a plane does, and against nothing."""

import numpy as np
import pytest
from scipy.stats import binom

from causalvlm.errors import InputError
from causalvlm.probes import nonlinear
from causalvlm.probes.linear import fit_probe
from causalvlm.probes.nonlinear import fit_nonlinear


def corners(rng, *, rows=800, dim=10):
    """The level is whether two features have the same sign: each alone, and any plane, tells nothing."""
    features = rng.normal(size=(rows, dim))
    features[:, :2] *= 3
    return features, np.where(features[:, 0] * features[:, 1] > 0, "same", "other"), rng.integers(3, size=rows)


def slope(rng, *, rows=600, dim=10):
    features = rng.normal(size=(rows, dim))
    return (
        features,
        np.where(features[:, 0] + 0.7 * rng.normal(size=rows) > 0, "up", "down"),
        rng.integers(3, size=rows),
    )


def test_what_no_plane_tells_apart_is_found():
    columns = corners(np.random.default_rng(0))
    found = fit_nonlinear(*columns, name="corner", rng=0)
    assert found.bends
    assert found.linear.value < 0.05
    assert found.beyond.value > 0.3
    assert found.accuracy.low > 0.75
    assert found.beyond.value == pytest.approx(found.nonlinear.value - found.linear.value)
    assert found.to_record()["beyond"]["low"] == found.beyond.low


def test_the_linear_part_is_the_linear_probe():
    columns = slope(np.random.default_rng(1))
    found, probe = fit_nonlinear(*columns, rng=5), fit_probe(*columns, rng=5)
    assert found.linear.value == pytest.approx(probe.bits.value, abs=1e-9)
    assert found.n == probe.n


def test_what_a_plane_tells_leaves_nothing_beyond_it_and_loses_nothing():
    worlds, alarms, beyond = 8, 0, []
    for seed in range(worlds):
        found = fit_nonlinear(*slope(np.random.default_rng(seed), rows=240), folds=3, rng=seed)
        alarms += found.bends
        beyond.append(found.beyond.value)
    assert alarms <= binom.ppf(0.999, worlds, 0.025)
    assert -0.05 < np.mean(beyond) < 0.01


def test_a_factor_that_is_not_there_is_not_bent_into_one():
    worlds, alarms = 8, 0
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        columns = rng.normal(size=(200, 6)), rng.choice(["a", "b", "c"], size=200), rng.integers(2, size=200)
        alarms += fit_nonlinear(*columns, folds=3, rng=rng).bends
    assert alarms <= binom.ppf(0.999, worlds, 0.025)


def test_no_image_helps_to_predict_itself(monkeypatch):
    """The levels of one fold are turned round: its own predictions, of the linear part and of both, stay."""
    seen = []
    original = nonlinear._add_kernel

    def record(features, codes, assigned, linear, inputs):
        for changed in (codes, np.where(assigned == 0, 1 - codes, codes)):
            fit = nonlinear.cross_fit(features, changed, np.zeros_like(codes), assigned)
            seen.append(original(features, changed, assigned, fit, inputs)[assigned == 0])
        return original(features, codes, assigned, linear, inputs)

    monkeypatch.setattr(nonlinear, "_add_kernel", record)
    fit_nonlinear(*corners(np.random.default_rng(2), rows=300), folds=3, rng=0)
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-9)


def test_many_images_are_drawn_from_and_groups_count(monkeypatch):
    monkeypatch.setattr(nonlinear, "PROBED_IMAGES", 200)
    columns = corners(np.random.default_rng(3), rows=600)
    assert 195 <= fit_nonlinear(*columns, folds=3, rng=0).n <= 205
    monkeypatch.setattr(nonlinear, "PROBED_IMAGES", 5000)
    plain = fit_nonlinear(*columns, folds=3, rng=0)
    grouped = fit_nonlinear(*columns, folds=3, rng=0, groups=np.arange(600) // 20)
    assert grouped.beyond.p_value != plain.beyond.p_value


def test_mistakes_are_named():
    features, _, label = slope(np.random.default_rng(4), rows=60)
    with pytest.raises(InputError, match="'tilt' has only 'up'"):
        fit_nonlinear(features, np.full(60, "up"), label, name="tilt", rng=0)
