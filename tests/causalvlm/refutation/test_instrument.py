"""Refuters of an instrument: each passes a good one, and fails the one that it is made to catch."""

import numpy as np
import pandas as pd
import pytest

from causalvlm.errors import OverlapError
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.estimators import ESTIMATORS
from causalvlm.estimation.fit import from_tolerance
from causalvlm.identification.estimands import BackDoor, Instrument
from causalvlm.refutation.instrument import instrumental_inequality
from causalvlm.refutation.refute import refute

PLAIN = Instrument("X", "Y", "Z")


def linear(rows=1500, seed=0, *, exclusion=0.0, touched=0.0) -> pd.DataFrame:
    """`exclusion` lets Z act on Y past X; `touched` lets the hidden U act on Z."""
    u, v, e, own = np.random.default_rng(seed).normal(size=(4, rows))
    z = own + touched * u
    x = z + u + v
    return pd.DataFrame({"U": u, "Z": z, "X": x, "Y": 2 * x + 3 * u + exclusion * z + e})


def discrete(rows=3000, seed=0, *, exclusion=0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    z, u = rng.integers(0, 2, rows), (rng.random(rows) < 0.2).astype(int)
    x = np.where(rng.random(rows) < 0.4, z, u)
    y = np.where(rng.random(rows) < 0.4, x, u)
    return pd.DataFrame({"U": u, "Z": z, "X": x, "Y": np.where(rng.random(rows) < exclusion, z, y)})


def verdicts(table, seed=0, estimand=PLAIN, estimator=None, repeats=5, **against):
    rng = np.random.default_rng(seed)
    effect = estimate_effect(table, estimand, rng=rng, estimator=estimator)
    return {one.name: one for one in refute(effect, table, rng=rng, repeats=repeats, **against)}


def outcomes(found):
    """Of all but the line that says what no data can show."""
    return {name: one.outcome for name, one in found.items() if name != "untestable"}


def test_a_good_instrument_passes_what_applies_and_nothing_else_speaks():
    found = verdicts(linear(), suspects=["U"], alternative=BackDoor("X", "Y", ("U",)))
    names = ["permuted instrument", "dummy outcome", "subset", "robustness", "leak from U", "over-identification"]
    assert outcomes(found) == {**dict.fromkeys(names, "passed"), "misspecified nuisance": "inconclusive"}
    assert "are refused as weak" in found["permuted instrument"].reason


def test_a_good_binary_instrument_passes_too():
    found = verdicts(discrete(), repeats=3, suspects=["U"])
    names = [
        "permuted instrument", "dummy outcome", "subset", "overlap", "robustness", "leak from U",
        "instrumental inequality", "misspecified nuisance",
    ]  # fmt: skip
    assert outcomes(found) == dict.fromkeys(names, "passed")


def test_an_instrument_that_the_confounder_touches():
    assert verdicts(linear(touched=0.3), suspects=["U"])["leak from U"].outcome == "failed"


def test_an_instrument_that_acts_past_the_treatment():
    found = verdicts(linear(exclusion=1.0), alternative=BackDoor("X", "Y", ("U", "Z")))
    assert found["over-identification"].outcome == "failed"
    assert "or the effect differs between units" in found["over-identification"].reason


def test_the_inequality_catches_a_gross_violation():
    found = verdicts(discrete(exclusion=0.9), repeats=2)
    assert found["instrumental inequality"].outcome == "failed"
    assert found["instrumental inequality"].statistic > 0.2


def test_the_inequality_within_covariates():
    table = discrete(exclusion=0.9, rows=6000).assign(W=np.tile([0, 1], 3000))
    given = Instrument("X", "Y", "Z", ("W",))
    assert verdicts(table, estimand=given, repeats=1)["instrumental inequality"].outcome == "failed"
    fine = discrete(rows=6000).assign(W=np.tile([0, 1], 3000))
    assert verdicts(fine, estimand=given, repeats=1)["instrumental inequality"].outcome == "passed"


def test_the_inequality_is_the_sum_of_the_definition():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 40, (3, 2, 4)).astype(float)
    shares = counts / counts.sum((1, 2), keepdims=True)
    sums = [sum(max(shares[z, x, y] for z in range(3)) for y in range(4)) for x in range(2)]
    found = instrumental_inequality(counts)
    assert min(abs(found.excess + 1 - one) for one in sums) < 1e-12


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_the_inequality_has_its_size_on_the_edge(edge):
    """X follows Z, so that P(x | z) is 0 or 1, and every sum over y is P(y | x): exactly one."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(2000):
        z = rng.integers(0, 3, 300)
        x = np.minimum(z, 1) if edge else rng.integers(0, 2, 300)
        counts = np.zeros((3, 2, 4))
        np.add.at(counts, (z, x, rng.integers(0, 4, 300)), 1.0)
        alarms += instrumental_inequality(counts).p_value < 0.05
    assert alarms < 0.05 * 2000


def credulous(problem, *, rng):
    """An estimator that sees an effect whatever the instrument: least squares."""
    del rng
    x, y = problem.arms.doses(), problem.outcome
    slope = np.cov(x, y)[0, 1] / x.var()
    influence = (x - x.mean()) * (y - y.mean() - slope * (x - x.mean())) / x.var()
    settings = problem.arms.settings[:, 0]
    return from_tolerance(slope * settings, influence[:, None] * settings, 1.0, auc=None)


def test_an_estimator_that_needs_no_instrument_is_caught(monkeypatch):
    entry = ESTIMATORS["two-stage-least-squares"]
    toy = type(entry)(credulous, ("instrument",), "amounts", "numeric", "moved", about="least squares")
    monkeypatch.setitem(ESTIMATORS, "toy", toy)
    found = verdicts(linear(), estimator="toy")
    assert found["permuted instrument"].outcome == "failed"
    assert found["permuted instrument"].statistic == 5


def test_halves_of_a_poor_instrument_leave_the_matter_open():
    rng = np.random.default_rng(0)
    z, u, e = rng.normal(size=(3, 200))
    table = pd.DataFrame({"Z": z, "X": 0.25 * z + u, "Y": u + e})
    try:
        found = verdicts(table, repeats=10)
    except OverlapError:
        pytest.fail("the whole table is to be answered")
    assert found["subset"].outcome == "inconclusive"
