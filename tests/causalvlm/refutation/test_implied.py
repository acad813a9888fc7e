"""The equality that a front door implies: the sum of its definition, its size and power, and what it does not take."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from causalvlm.errors import InputError
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.problem import read_problem
from causalvlm.identification.estimands import BackDoor, FrontDoor
from causalvlm.refutation.implied import score
from causalvlm.refutation.refute import refute
from causalvlm.refutation.verdict import p_of_score

FRONT = FrontDoor("X", "Y", ("S",))
FALSE_ALARM_RATE = 1e-3


def counted(rng, rows, direct=0.0, second=0.0):
    z, u, v = rng.integers(0, 2, size=(3, rows))
    x = (rng.random(rows) < 0.1 + 0.4 * z + 0.4 * u).astype(int)
    s = (rng.random(rows) < 0.1 + 0.4 * x + 0.4 * second * v).astype(int)
    y = s + u + direct * x + 2 * second * v + 0.5 * rng.normal(size=rows)
    return pd.DataFrame({"Z": z, "X": x, "S": s, "Y": y})


def found(table, column="Z"):
    return score(read_problem(table, FRONT), table[column].to_numpy(dtype=float), rng=np.random.default_rng(0))


def test_it_is_the_sum_of_its_definition():
    table = counted(np.random.default_rng(0), 4000, direct=0.3)
    shares = table.X.value_counts(normalize=True)
    law = table.S.value_counts(normalize=True)

    def mean(values):
        return sum(law[s] * shares[x] * values[(x == table.X) & (s == table.S)].mean() for x in (0, 1) for s in (0, 1))

    theta = mean((table.Y - mean(table.Y)) * (table.Z - table.Z.mean()))
    rng = np.random.default_rng(1)
    again = []
    for _ in range(150):  # against the bootstrap of the whole sum
        other = table.iloc[rng.integers(0, len(table), len(table))].reset_index(drop=True)
        table, kept = other, table
        shares, law = (column.value_counts(normalize=True) for column in (table.X, table.S))
        again.append(mean((table.Y - mean(table.Y)) * (table.Z - table.Z.mean())))
        table = kept
    assert found(table) == pytest.approx(theta / np.std(again), rel=0.2)


BROKEN = [(0.0, 0.0), (0.3, 0.0), (0.0, 1.0)]


def test_size_and_power():
    runs = [[found(counted(np.random.default_rng(seed), 4000, *broken)) for seed in range(40)] for broken in BROKEN]
    failed = [sum(p_of_score(one) < 0.05 for one in scores) for scores in runs]
    assert failed[0] <= binom.ppf(1 - FALSE_ALARM_RATE, 40, 0.05)
    assert min(failed[1:]) >= 20


def test_refute_says_what_it_found():
    rng = np.random.default_rng(0)
    table = counted(rng, 6000, direct=0.5)
    effect = estimate_effect(table, FRONT, rng=0)
    verdicts = {one.name: one for one in refute(effect, table, rng=0, instruments=["Z"], repeats=1)}
    assert verdicts["equality implied by Z"].outcome == "failed"
    assert "the treatment acts past S" in verdicts["equality implied by Z"].reason
    assert "the equality implied by Z" in verdicts["untestable"].reason
    clean = counted(rng, 6000)
    judged = refute(estimate_effect(clean, FRONT, rng=0), clean, rng=0, instruments=["Z"], repeats=1)
    assert not [one.name for one in judged if one.outcome == "failed"]


def test_what_it_cannot_judge_stays_open_and_what_it_does_not_take_is_refused():
    table = counted(np.random.default_rng(0), 1000)
    amounts = table.assign(X=table.X + np.random.default_rng(1).normal(size=1000))
    verdicts = refute(estimate_effect(amounts, FRONT, rng=0), amounts, rng=0, instruments=["Z"], repeats=1)
    assert "needs a treatment with few levels" in next(v.reason for v in verdicts if v.name == "equality implied by Z")
    effect = estimate_effect(table, FRONT, rng=0)
    with pytest.raises(InputError, match=r"play no other part; received 'S'"):
        refute(effect, table, rng=0, instruments=["S"])
    back = estimate_effect(table, BackDoor("X", "Y", ("Z",)), rng=0)
    with pytest.raises(InputError, match="are for a front door"):
        refute(back, table, rng=0, instruments=["S"])
