"""Associations of levels against scipy, statsmodels and simulation."""

import numpy as np
import pytest
from scipy.stats import binom, chi2_contingency
from statsmodels.stats.contingency_tables import StratifiedTable

from causalvlm.diagnosis.association import associate, associate_within
from causalvlm.errors import InputError


def count(a, b, where=slice(None)):
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a[where], b[where]), 1)
    return table


def test_without_strata_it_is_pearsons_test():
    rng = np.random.default_rng(0)
    a = rng.integers(3, size=200)
    b = (a * rng.integers(2, size=200) + rng.integers(3, size=200)) % 4
    expected = chi2_contingency(count(a, b), correction=False)
    found, one_stratum = associate(a, b), associate_within(a, b, np.zeros(200, int))
    assert found.freedom == expected.dof == one_stratum.freedom
    assert found.statistic == pytest.approx(expected.statistic * 199 / 200)
    assert one_stratum.statistic == pytest.approx(found.statistic)
    assert one_stratum.size is None


def test_of_two_by_two_tables_it_is_that_of_mantel_and_haenszel():
    rng = np.random.default_rng(1)
    strata, a = rng.integers(5, size=300), rng.integers(2, size=300)
    b = np.where(rng.random(300) < 0.2, a, rng.integers(2, size=300))
    expected = StratifiedTable([count(a, b, strata == one) for one in range(5)]).test_null_odds()
    found = associate_within(a, b, strata)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue)


def test_what_a_common_cause_explains_is_no_association_within_it():
    """150 small strata: the rate of false alarms is the nominal one, and without strata nearly always one is raised."""
    draws, within, without = 300, 0, 0
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        cause = rng.integers(150, size=600)
        a, b = (rng.random(600) < 0.1 + 0.8 * (cause % 2)).astype(int), (rng.random(600) < cause / 150).astype(int)
        b = np.where(cause % 2, b, 2)
        within += associate_within(a, b, cause).p_value < 0.05
        without += associate(a, b).p_value < 0.05
    assert binom.ppf(0.001, draws, 0.05) <= within <= binom.ppf(0.999, draws, 0.05)
    assert without == draws


def test_the_interval_of_the_size_covers_it():
    share = np.array([[0.3, 0.1], [0.2, 0.4]])
    expected = np.outer(share.sum(1), share.sum(0))
    truth = np.sqrt(((share - expected) ** 2 / expected).sum())
    covered = 0
    for seed in range(300):
        cells = np.random.default_rng(seed).choice(4, p=share.ravel(), size=150)
        found = associate(cells // 2, cells % 2)
        covered += found.low <= truth <= found.high
    assert covered >= 0.93 * 300


def test_what_cannot_be_told_is_not_told():
    alike, other = np.zeros(10, int), np.arange(10) % 2
    assert associate(alike, other).p_value == 1.0
    assert associate_within(other, other, np.arange(10)).freedom == 0
    with pytest.raises(InputError, match="at most 2500 combinations of levels; received 60 and 60"):
        associate_within(np.arange(60), np.arange(60), np.zeros(60, int))
