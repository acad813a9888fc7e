"""What columns say beyond others: as much as was put in, no more than nothing where nothing was, and nested."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression

from causalvlm.probes.beyond import Beyond, gain, left_over, planted_bits, read_base


def entropy(p):
    return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))


def test_the_bits_are_those_that_were_put_in():
    """Y answers to base and added column; the bits beyond the base are an integral over both normal columns."""
    rng = np.random.default_rng(0)
    base, added = rng.normal(size=(2, 6000, 1))
    codes = (rng.random(6000) < expit(base + 1.5 * added)[:, 0]).astype(int)
    found = read_base(base, codes, np.arange(6000) % 5).beyond(added).bits(codes)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    given_both = expit(nodes[:, None] + 1.5 * nodes)
    truth = weights @ (entropy(given_both @ weights) - entropy(given_both) @ weights)
    assert found.value == pytest.approx(truth, abs=3 * (found.high - found.low) / 4)
    assert found.low > 0


def test_no_more_than_nothing_where_nothing_was():
    """The added columns repeat the base, bent and with noise: linear traces are taken out, the rest says nothing."""
    draws, alarms = 25, 0
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        base = rng.normal(size=(150, 2))
        codes = (rng.random(150) < expit(2 * base[:, 0])).astype(int)
        added = left_over(base @ rng.normal(size=(2, 4)) + rng.normal(size=(150, 4)), base, most=8)
        alarms += read_base(base, codes, np.arange(150) % 3).beyond(added).bits(codes).p_value < 0.05
    assert alarms <= binom.ppf(0.999, draws, 0.05)


def test_the_base_reader_is_a_ridge_regression_of_other_folds():
    """Held-out log-probabilities are near those of scikit-learn at the strongest of many rows, where penalties fade."""
    rng = np.random.default_rng(1)
    base = rng.normal(size=(3000, 3))
    codes = (base[:, :3] + rng.gumbel(size=(3000, 3))).argmax(1)
    assigned = np.arange(3000) % 3
    found = read_base(base, codes, assigned)
    held = assigned == 0
    sklearn = LogisticRegression(C=1.0).fit(base[~held], codes[~held]).predict_log_proba(base[held])
    np.testing.assert_allclose(found.held_out[held], sklearn, atol=0.15)
    offset = found.offsets[0]
    np.testing.assert_allclose(np.exp(offset).sum(1), 1)
    np.testing.assert_array_equal(offset[held], found.held_out[held])
    assert not np.allclose(offset[~held], found.offsets[1][~held])


def test_without_columns_nothing_is_added():
    rng = np.random.default_rng(2)
    codes = rng.integers(2, size=90)
    both = read_base(rng.normal(size=(90, 2)), codes, np.arange(90) % 3).beyond(np.zeros((90, 0)))
    np.testing.assert_array_equal(both.base, both.both)
    assert both.bits(codes).p_value == 1.0


def test_what_the_base_says_linearly_is_not_left_over():
    rng = np.random.default_rng(3)
    base, noise = rng.normal(size=(2, 60, 4))
    left = left_over(base @ rng.normal(size=(4, 4)) + noise, base, most=3)
    assert left.shape == (60, 3)
    assert np.abs(base.T @ left).max() < 1e-9
    assert left.var(0).mean() == pytest.approx(1)
    assert left_over(base @ np.ones((4, 2)), base, most=9).shape == (60, 0)


def test_what_is_planted_is_found_where_rows_are_many_and_not_where_they_are_few():
    found = []
    for rows in (60, 4000):
        rng = np.random.default_rng(4)
        base, added = np.log(np.full((rows, 4), 0.25)), rng.normal(size=(rows, 20))
        found.append(planted_bits(base, added, np.arange(rows) % 5, bits=0.1, rng=rng).value)
    assert found[0] < 0.05 < found[1] < 0.15
    certain = np.log(np.tile([1 - 1e-12, 1e-12], (60, 1)))
    room = planted_bits(certain, np.ones((60, 1)), np.arange(60) % 5, bits=0.1, rng=np.random.default_rng(0))
    assert room.value == 0


def test_a_gain_below_zero_is_no_evidence():
    losses = np.random.default_rng(5).normal(-1, 0.1, size=50)
    assert gain(losses).p_value > 0.999
    assert Beyond(np.zeros((3, 2)), np.zeros((3, 2))).bits(np.zeros(3, int)).value == 0
