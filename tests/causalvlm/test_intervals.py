"""Intervals cover what they should, also in the small cells of a class at a level."""

import numpy as np
import pytest
from scipy.stats import binom, multinomial, ttest_ind
from scipy.stats import t as student

from causalvlm.intervals import (
    balanced_share,
    difference_of_means,
    difference_of_shares,
    mean_interval,
    paired_shares,
    wilson,
)

WORLDS = 600
LEAST_COVERED = int(binom.ppf(0.001, WORLDS, 0.94))
"""Intervals that must cover: of 600 with a coverage of at least 94 per cent, all but 0.1 per cent of the time."""


def test_wilson_is_the_published_interval():
    # Newcombe, Statistics in Medicine 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (count, n), (low, high) in published.items():
        interval = wilson(count / n, n)
        assert (interval.low, interval.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_one_cell_is_plain_wilson_up_to_the_unbiased_variance():
    cell = (np.arange(200) < 120).astype(float)
    assert balanced_share([cell]).low == pytest.approx(wilson(0.6, 199).low)


def test_newcombe_is_the_published_interval():
    # Same journal and year, "Interval estimation for the difference", table II (a), method 10: 56/70 - 48/80.
    ours = difference_of_shares([(np.arange(70) < 56).astype(float)], [(np.arange(80) < 48).astype(float)])
    assert (ours.low, ours.high) == (pytest.approx(0.0524, abs=2e-3), pytest.approx(0.3339, abs=2e-3))


def test_one_cell_is_welch():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=12), rng.normal(size=30) * 3
    ours, reference = difference_of_means([a], [b]), ttest_ind(a, b, equal_var=False)
    assert ours.p_value == pytest.approx(reference.pvalue)
    low, high = reference.confidence_interval()
    assert (ours.low, ours.high) == (pytest.approx(low), pytest.approx(high))


def test_mean_interval_is_students():
    values = np.random.default_rng(0).normal(size=20)
    half = student.ppf(0.975, 19) * values.std(ddof=1) / np.sqrt(20)
    assert mean_interval(values).high == pytest.approx(values.mean() + half)


@pytest.mark.parametrize(("images", "cells"), [(60, 7), (5, 7), (3, 20), (2, 10)])
def test_differences_of_means_cover_in_small_skewed_cells(images, cells):
    rng, covered = np.random.default_rng(1), 0
    for _ in range(WORLDS):
        shift = difference_of_means(
            list(2 * rng.exponential(size=(cells, images))), list(rng.exponential(size=(cells, images)))
        )
        covered += shift.low <= 1.0 <= shift.high
    assert covered >= LEAST_COVERED


@pytest.mark.parametrize(
    ("images", "cells", "share", "other"),
    [(5, 100, 0.95, 0.9), (60, 7, 0.8, 0.31), (60, 7, 0.99, 0.98), (20, 2, 0.9, 0.9)],
)
def test_differences_of_shares_cover_near_the_edges(images, cells, share, other):
    rng, covered = np.random.default_rng(2), 0
    for _ in range(WORLDS):
        treated = list((rng.random((cells, images)) < share).astype(float))
        control = list((rng.random((cells, images)) < other).astype(float))
        difference = difference_of_shares(treated, control)
        covered += not difference.excludes(share - other)
    assert covered >= LEAST_COVERED


def test_cells_weigh_alike_whatever_their_size():
    small, large = np.zeros(2), np.ones(1000)
    assert balanced_share([small, large]).value == 0.5
    assert difference_of_means([small, large], [large, large]).value == -0.5


def test_no_spread_is_no_evidence_against_no_difference():
    same = difference_of_means([np.ones(3)], [np.ones(4)])
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    assert difference_of_shares([np.ones(50)], [np.ones(50)]).low < -0.05


def test_resampling_small_cells_would_cover_less():
    """Why the intervals are Welch's: with three images a cell, the percentile bootstrap misses one world in eight."""
    rng, worlds, covered = np.random.default_rng(3), 200, 0

    def resampled_mean(cells):
        chosen = rng.integers(cells.shape[1], size=(400, *cells.shape))
        return np.take_along_axis(cells[None], chosen, axis=2).mean(axis=(1, 2))

    for _ in range(worlds):
        treated, control = 2 * rng.exponential(size=(20, 3)), rng.exponential(size=(20, 3))
        low, high = np.quantile(resampled_mean(treated) - resampled_mean(control), [0.025, 0.975])
        covered += low <= 1.0 <= high
    assert covered < binom.ppf(0.001, worlds, 0.95)


@pytest.mark.parametrize("n", [12, 40, 200])
@pytest.mark.parametrize(("gain", "loss"), [(0.0, 0.05), (0.1, 0.1), (0.05, 0.3), (0.02, 0.6)])
def test_differences_of_paired_shares_are_covered_and_rarely_claimed_in_vain(n, gain, loss):
    """Exact sums over all outcomes: the images that gain and lose are multinomial."""
    outcomes = [(up, down) for up in range(n + 1) for down in range(n + 1 - up)]
    if n == 200:  # those that hold all but 1e-6 of the probability
        outcomes = [(up, down) for up, down in outcomes if abs(up - n * gain) < 35 and abs(down - n * loss) < 45]
    chances = multinomial.pmf([(up, down, n - up - down) for up, down in outcomes], n, [gain, loss, 1 - gain - loss])
    covered, rejected = 0.0, 0.0
    for (up, down), chance in zip(outcomes, chances, strict=True):
        if chance < 1e-9:
            continue
        after, before = np.arange(n) < up, (np.arange(n) >= up) & (np.arange(n) < up + down)
        shift = paired_shares(after, before)
        assert shift.low <= shift.value <= shift.high
        covered += chance * (shift.low <= gain - loss <= shift.high)
        rejected += chance * (shift.p_value < 0.05)
    assert covered > 0.93
    assert rejected <= 0.05 or gain != loss
