"""Baselines of a probe: what colours and an untrained network read, and what a probe learns by heart."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binom
from torch import nn

from causalvlm.errors import InputError
from causalvlm.probes import baselines
from causalvlm.probes.baselines import (
    compare_baselines,
    draw_control,
    find_types,
    fit_selectivity,
    measure_baselines,
)
from causalvlm.probes.linear import fit_probe

ROWS = 120


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Noise in two tints, with stripes across or down: the first is a matter of colour, the second is not."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    tint, stripes = rng.integers(2, size=ROWS), rng.integers(2, size=ROWS)
    for row in range(ROWS):
        pixels = rng.normal(120, 30, size=(48, 48, 3))
        pixels[..., 2 * tint[row]] += 60
        wave = 60 * np.sign(np.sin(np.arange(48) + rng.uniform(0, 6)))
        pixels += wave[None, :, None] if stripes[row] else wave[:, None, None]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{row:03d}.png")
    files = sorted(folder.iterdir())
    return files, np.array(["red", "blue"])[tint], np.array(["across", "down"])[stripes], measure_baselines(files)


def test_colours_read_colours_and_an_untrained_network_reads_patterns(pictures):
    _, tint, stripes, found = pictures
    embedding, label = np.random.default_rng(1).normal(size=(ROWS, 5)), np.zeros(ROWS, dtype=int)
    of_tint = {one.name: one for one in compare_baselines(embedding, tint, label, found.values, rng=0)}
    of_stripes = {one.name: one for one in compare_baselines(embedding, stripes, label, found.values, rng=0)}
    assert of_tint["colours"].bits.low > 0.5
    assert of_tint["colours"].beyond.high < -0.5
    assert of_stripes["colours"].bits.low < 0.1
    assert of_stripes["untrained network"].accuracy.low > 0.8
    assert json.loads(json.dumps(of_tint["colours"].to_record()))["about"].startswith("square roots")


def test_a_baseline_of_the_embedding_itself_leaves_nothing_beyond_it_and_is_the_probe():
    rng = np.random.default_rng(2)
    level = rng.choice(["a", "b", "c"], size=200)
    features, label = rng.normal(size=(200, 4)) + (level == "a")[:, None], rng.integers(3, size=200)
    (same,) = compare_baselines(features, level, label, {"itself": features}, rng=3)
    probe = fit_probe(features, level, label, rng=3)
    assert same.beyond.value == 0.0
    assert same.bits == probe.bits
    assert same.accuracy == probe.accuracy


def test_what_is_read_of_a_picture_is_the_slow_one(pictures):
    files, _, _, found = pictures
    pixels = np.asarray(Image.open(files[7]).convert("RGB"))
    slow = np.zeros((4, 4, 4))
    for red, green, blue in pixels.reshape(-1, 3) // 64:
        slow[red, green, blue] += 1
    np.testing.assert_allclose(found.values["colours"][7], np.sqrt(slow.ravel() / slow.sum()), atol=1e-12)
    layers: list[nn.Module] = []
    for weight in baselines._weights():
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, stride=2, padding=1, bias=False)
        layer.weight = nn.Parameter(weight)
        layers += [layer, nn.ReLU()]
    small = np.asarray(Image.open(files[7]).convert("RGB").resize((64, 64)), dtype=np.float32)
    with torch.no_grad():
        last = nn.Sequential(*layers)(torch.from_numpy(small / 127.5 - 1).permute(2, 0, 1)[None])[0].numpy()
    means = found.values["untrained network"][7][:256]
    np.testing.assert_allclose(means, last.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)


def test_files_that_cannot_be_read_are_left_out_and_named(pictures, tmp_path):
    files = pictures[0]
    found = measure_baselines([files[0], tmp_path / "missing.png", files[1]])
    assert found.kept == (0, 2)
    assert found.unreadable[0][1] == "there is no such file"
    with pytest.raises(InputError, match="received 1 files and can read none"):
        measure_baselines([tmp_path / "missing.png"])
    with pytest.raises(InputError, match=r"one row per image \(120\); 'colours' has 3"):
        compare_baselines(
            np.zeros((120, 2)), pictures[1], np.zeros(120, dtype=int), {"colours": np.ones((3, 2))}, rng=0
        )


def looks(rng, *, rows=300, dim=6, factor=True):
    """Images of four looks a class; the factor shows in a feature of its own, or not at all."""
    label, look = rng.integers(2, size=rows), rng.integers(4, size=rows)
    level = rng.integers(2, size=rows)
    features = rng.normal(size=(rows, dim))
    features[:, :4] += 6 * np.eye(4)[look]
    features[:, 4] += 4 * level * factor
    return features, np.array(["off", "on"])[level], label


def test_a_factor_of_its_own_is_selective_and_one_that_is_not_there_is_not():
    found = fit_selectivity(*looks(np.random.default_rng(4)), rng=0)
    assert found.accuracy > 0.95
    assert found.selectivity.low > 0.1
    assert found.selectivity.value == pytest.approx(found.accuracy - found.control)
    assert fit_selectivity(*looks(np.random.default_rng(5), factor=False), rng=0).selectivity.high < 0.1


def test_a_probe_learns_types_by_heart_that_iid_labels_would_hide():
    """Levels fixed by type are read beyond chance; fresh ones for every image are not."""
    features, level, label = looks(np.random.default_rng(6), factor=False)
    assert fit_selectivity(features, level, label, rng=0).control > 0.6
    rng = np.random.default_rng(7)
    fresh = fit_probe(features, rng.permutation(level), label, rng=rng)
    assert fresh.accuracy.low < 0.5


def test_an_arbitrary_level_for_every_type_is_rarely_selective():
    worlds, alarms = 6, 0
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        features, level, label = looks(rng, rows=160, factor=False)
        types = find_types(features, label, rng=rng)
        control = draw_control((level == "on").astype(int), types, rng=rng)
        alarms += fit_selectivity(features, np.array(["a", "b"])[control], label, folds=3, rng=rng).selectivity.low > 0
    assert alarms <= binom.ppf(0.999, worlds, 0.1)


def test_types_lie_within_classes_and_controls_keep_the_frequencies():
    rng = np.random.default_rng(8)
    features, _, label = looks(rng, rows=600)
    types = find_types(features, label, rng=rng)
    assert all(len(np.unique(label[types == one])) == 1 for one in np.unique(types))
    assert 20 <= len(np.unique(types)) <= 30
    codes = np.repeat([0, 1, 2], [500, 80, 20])
    for _ in range(20):
        control = draw_control(codes, types, rng=rng)
        assert all(len(np.unique(control[types == one])) == 1 for one in np.unique(types))
        shares = np.bincount(control, minlength=3) / 600
        assert shares.min() > 0
        np.testing.assert_allclose(shares, [5 / 6, 2 / 15, 1 / 30], atol=0.12)


def test_too_few_types_are_named():
    rng = np.random.default_rng(9)
    with pytest.raises(InputError, match=r"at least as many types of images as there are levels \(3\); received 1"):
        fit_selectivity(rng.normal(size=(30, 3)), np.tile(["a", "b", "c"], 10), np.zeros(30, dtype=int), rng=0)
