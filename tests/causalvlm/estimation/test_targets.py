"""Targets of nuisance functions: combinations are the best of their kind, calibration undoes what they shrink."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from causalvlm.estimation.targets import Classes, Mean, monotone


def _own(found):
    return found[:, :, 0]


def test_shares_of_means_minimise_what_the_mixture_loses() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=500)
    tried = np.stack([y + rng.normal(size=500), y + rng.normal(size=500), rng.normal(size=500)])[:, :, None]
    shares = Mean(y, np.zeros(500, dtype=int), _own).combine(tried, np.arange(500))
    grid = [(a, b, 1 - a - b) for a in np.linspace(0, 1, 51) for b in np.linspace(0, 1 - a, 51)]
    losses = [((np.tensordot(one, tried, 1)[:, 0] - y) ** 2).mean() for one in grid]
    assert ((np.tensordot(shares, tried, 1)[:, 0] - y) ** 2).mean() <= min(losses) + 1e-9


def test_the_right_probabilities_get_the_weight() -> None:
    codes = np.random.default_rng(0).integers(0, 2, 500)
    right = np.where(codes[:, None] == [0, 1], 0.8, 0.2)
    flat, wrong = np.full((500, 2), 0.5), 1 - right
    assert Classes(codes).combine(np.stack([flat, right, wrong]), np.arange(500)).round(2)[1] > 0.95


@pytest.mark.parametrize("weighted", [False, True])
def test_shares_of_classes_are_the_likeliest(weighted) -> None:
    rng = np.random.default_rng(1)
    codes, each = rng.integers(0, 2, 800), rng.uniform(0.5, 3.0, 800)
    tried = np.stack([np.column_stack([1 - p, p]) for p in expit(codes + rng.normal(size=(4, 800)) - 0.5)])
    weights = each if weighted else None
    shares = Classes(codes).combine(tried, np.arange(800), weights)
    likely = tried[:, np.arange(800), codes]

    def loss(free):  # softmax keeps the shares on the simplex
        mixed = np.exp(free) / np.exp(free).sum()
        return -np.average(np.log(mixed @ likely), weights=weights)

    best = minimize(loss, np.zeros(4), method="BFGS").fun
    assert -np.average(np.log(shares @ likely), weights=weights) == pytest.approx(best, abs=1e-5)
    assert shares.sum() == pytest.approx(1.0)


def test_probabilities_that_are_too_unsure_are_stretched() -> None:
    rng = np.random.default_rng(2)
    score = rng.normal(size=20_000) * 1.5
    codes = (rng.random(20_000) < expit(score)).astype(int)
    lame = np.column_stack([expit(-score / 2), expit(score / 2)])
    found = Classes(codes).calibrate(lame, np.arange(20_000) % 5, bend=True)
    assert np.abs(found[:, 1] - expit(score)).max() < 0.03
    assert found.sum(1) == pytest.approx(np.ones(20_000))


def test_two_levels_that_were_blurred_are_told_apart_again() -> None:
    """A propensity that jumps, predicted by a curve: no stretch makes a jump of it, a monotone function does."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=20_000)
    truth = np.where(z > 0, 0.8, 0.2)
    codes = (rng.random(20_000) < truth).astype(int)
    blurred = expit(2 * z) * 0.6 + 0.2
    found = Classes(codes).calibrate(np.column_stack([1 - blurred, blurred]), np.arange(20_000) % 5, bend=True)
    assert ((found[:, 1] - truth) ** 2).mean() < ((blurred - truth) ** 2).mean() / 10


def test_three_classes_stay_probabilities() -> None:
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 3, 3000)
    found = Classes(codes).calibrate(rng.dirichlet(np.ones(3), 3000), np.arange(3000) % 5, bend=True)
    assert found.sum(1) == pytest.approx(np.ones(3000))
    assert found.min() > 0
    assert np.abs(found - 1 / 3).mean() < 0.05  # noise decides next to nothing


def test_a_mean_is_bent_in_the_levels_where_that_loses_less() -> None:
    rng = np.random.default_rng(5)
    z, x = rng.normal(size=6000), rng.integers(0, 2, 6000)
    outcome = np.where(x == 1, np.sign(z) * 2, z) + rng.normal(size=6000)
    every = np.arange(6000)
    target = Mean(outcome, x, lambda found: found[:, every, x])
    line = np.column_stack([z, z])
    found = target.calibrate(line, every % 5, bend=True)
    assert (found[:, 0] == z).all()
    assert np.abs(found[np.abs(z) > 0.1, 1] - 2 * np.sign(z[np.abs(z) > 0.1])).mean() < 0.15


def test_predictions_with_averages_beside_them_stay() -> None:
    outcome = np.arange(40.0)
    target = Mean(outcome, np.zeros(40, dtype=int), _own)
    beside = np.column_stack([outcome / 2, outcome])
    assert target.calibrate(beside, np.arange(40) % 5, bend=True) is beside


def test_a_row_is_not_calibrated_by_itself() -> None:
    rng = np.random.default_rng(6)
    predicted, observed, assigned = rng.normal(size=200), rng.normal(size=200), np.arange(200) % 5
    every = np.ones(200, dtype=bool)
    before = monotone(predicted, observed, every, assigned)
    after = monotone(predicted, np.where(assigned == 2, 1e6, observed), every, assigned)
    assert (before[assigned == 2] == after[assigned == 2]).all()
    assert (before[assigned != 2] != after[assigned != 2]).any()


def test_weights_stand_for_repeated_rows() -> None:
    rng = np.random.default_rng(7)
    score = rng.normal(size=300)
    codes, assigned = (rng.random(300) < expit(score)).astype(int), np.arange(300) % 5
    lame = np.column_stack([expit(-score / 2), expit(score / 2)])
    counts = rng.integers(1, 4, 300)
    rows = np.repeat(np.arange(300), counts)
    weighted = Classes(codes).calibrate(lame, assigned, counts.astype(float), bend=True)
    repeated = Classes(codes[rows]).calibrate(lame[rows], assigned[rows], bend=True)
    assert logit(weighted[rows, 1]) == pytest.approx(logit(repeated[:, 1]), abs=1e-3)
