"""Corrected p-values against statsmodels, and the rate of false alarms over many factors."""

import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.multitest import multipletests

from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.multiplicity import FALSE_ALARM_RATE, holm


@pytest.mark.parametrize("seed", range(20))
def test_holm_is_that_of_statsmodels(seed):
    p_values = np.random.default_rng(seed).random(1 + seed) ** 4
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(list(holm(dict(enumerate(p_values.tolist()))).values()), expected)


def test_nothing_asked_is_nothing_answered():
    assert holm({}) == {}


def test_many_factors_that_do_nothing_are_rarely_accused():
    """Eight factors of three levels each: uncorrected, over half of the diagnoses would accuse one of them."""
    worlds, alarms, uncorrected = 24, np.zeros(2), 0
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        label = np.arange(60) % 2
        factors = {f"factor {k}": rng.permutation(np.repeat(["a", "b", "c"], 20)) for k in range(8)}
        logits = rng.normal(size=(60, 2)) + np.eye(2)[label]
        found = diagnose(
            EmbeddingTable(rng.normal(size=(60, 2)), logits, label, factors, ("cat", "dog")), causes=False, folds=3
        )
        alarms += [any(one.decodable for one in found.factors), any(one.moves_margin for one in found.factors)]
        shifts = [level.margin_shift for one in found.factors for level in one.levels if level.margin_shift]
        uncorrected += min(shift.p_value for shift in shifts) < FALSE_ALARM_RATE
    assert (alarms <= binom.ppf(0.999, worlds, FALSE_ALARM_RATE)).all()
    assert uncorrected > worlds / 3
