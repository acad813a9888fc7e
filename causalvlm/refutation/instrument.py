"""What the data may say against an instrument: columns that contradict each other, and the instrumental inequality."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr

from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sample import Levels, is_discrete, joint_levels
from causalvlm.estimation.two_stage_least_squares import amounts, two_stage_least_squares
from causalvlm.refutation.case import Case
from causalvlm.refutation.verdict import Found, Trial, Verdict


@dataclass(frozen=True)
class Inequality:
    """How far a sum of probabilities that no instrument can bring above one lies above it.

    Attributes:
        excess: the sum less one.
        p_value: of its being at most one, corrected for the number of sums.

    Example:
        >>> Inequality(-0.2, 1.0).excess
        -0.2
    """

    excess: float
    p_value: float


def instrumental_inequality(counts: Float[np.ndarray, "_ _ _"]) -> Inequality:
    """Test P(x, y | z) summed over y, at the z that makes each largest, at most 1 for every x (Pearl, UAI 1995).

    Each choice of a z for every y is a sum of independent shares, one for each z, whose variance is known; the p-value
    is that of the choice that stands out most for the largest sum, times the number of all choices.

    Args:
        counts: rows with each z, x and y, in this order; each z occurs.

    Example:
        >>> counts = np.array([[[90.0, 0.0], [10.0, 0.0]], [[0.0, 90.0], [0.0, 10.0]]])
        >>> found = instrumental_inequality(counts)  # where x = 0, y is z
        >>> round(found.excess, 1), found.p_value < 1e-6
        (0.8, True)
    """
    sizes = counts.sum((1, 2))
    shares = counts / sizes[:, None, None]
    instruments, treatments, outcomes = counts.shape
    worst = Inequality(-1.0, 1.0)
    tests = treatments * float(instruments) ** outcomes
    for share in shares.swapaxes(0, 1):
        chosen = np.arange(instruments)[:, None] == share.argmax(0)
        parts = (share * chosen).sum(1)
        excess = float(parts.sum() - 1)
        likely = (sizes * parts + 1) / (sizes + 2)  # a share of 0 or 1 in few rows is not certain
        error = float(np.sqrt((likely * (1 - likely) / sizes).sum()))
        found = Inequality(excess, min(float(ndtr(-excess / error)) * tests, 1.0))
        worst = min(worst, found, key=lambda one: (one.p_value, -one.excess))
    return worst


def judge(case: Case) -> tuple[Found, ...]:
    """Hansen's J where an instrument has several columns; the instrumental inequality where all columns are discrete.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import Instrument
        >>> from causalvlm.refutation.case import open_case
        >>> rng = np.random.default_rng(0)
        >>> z, u = rng.integers(0, 2, (2, 2000))
        >>> x = np.where(rng.random(2000) < 0.5, z, u)
        >>> table = pd.DataFrame({"Z": z, "X": x, "Y": np.where(rng.random(2000) < 0.5, x, u)})
        >>> effect = estimate_effect(table, Instrument("X", "Y", "Z"), rng=rng)
        >>> [(found.name, found.p_value > 0.01) for found in judge(open_case(effect, table, rng=rng))]
        [('instrumental inequality', True)]
    """
    problem = case.problem
    if not problem.roles.instruments:
        return ()
    return (*_columns(problem), *_inequality(problem))


def _columns(problem: Problem) -> tuple[Trial, ...]:
    count = problem.instrument.shape[1]
    if count == 1:
        return ()
    treatment, _ = amounts(problem)
    columns = problem.instrument, treatment, problem.outcome
    found = two_stage_least_squares(*columns, covariates=problem.covariates, sampling=problem.sampling)
    p_value = found.moments.p_one_slope()
    name, reason = "several instruments", f"one slope for all {count} columns of the instrument has p = {p_value:.2g}"
    charge = "some are no instruments, or the effect differs between units"
    return (Trial(name, p_value, p_value, f"{reason} (Hansen's J)", charge),)


def _inequality(problem: Problem) -> tuple[Found, ...]:
    columns = _discrete(problem)
    if columns is None:
        return ()
    if not problem.sampling.even:
        reason = "is tested on counts of independent rows, which clusters and weighted rows are not."
        return (Verdict("instrumental inequality", "inconclusive", None, reason),)
    strata = problem.strata
    worst, tried = Inequality(-1.0, 1.0), 0
    for stratum in range(len(strata.labels)):
        chosen = strata.codes == stratum
        counts = _counts([(column.codes[chosen], len(column.labels)) for column in columns])
        if counts.shape[0] < 2:
            continue
        found, tried = instrumental_inequality(counts), tried + 1
        worst = min(worst, found, key=lambda one: (one.p_value, -one.excess))
    if not tried:
        return ()
    name, p_value = "instrumental inequality", min(worst.p_value * tried, 1.0)
    reason = f"P(x, y | z) at the z that suits each y adds up to {1 + worst.excess:.3f} at most, p = {p_value:.2g}"
    return (Trial(name, worst.excess, p_value, reason, "no instrument may exceed 1"),)


def _discrete(problem: Problem) -> tuple[Levels, Levels, Levels] | None:
    """Instrument, treatment and outcome as levels, where all of them and the covariates are few."""
    outcome = problem.counted_outcome
    names = (*problem.roles.instruments, *problem.roles.covariates)
    if (
        problem.arms.levels is None
        or not isinstance(outcome, Levels)
        or not all(is_discrete(problem.table, name) for name in names)
    ):
        return None
    return joint_levels(problem.table, problem.roles.instruments), problem.arms.levels, outcome


def _counts(columns: list[tuple[Int[np.ndarray, " _"], int]]) -> Float[np.ndarray, "_ _ _"]:
    """Rows with each combination; levels of the first that do not occur are left out."""
    shape = tuple(size for _, size in columns)
    place = np.ravel_multi_index([codes for codes, _ in columns], shape)
    counts = np.bincount(place, minlength=int(np.prod(shape))).reshape(shape).astype(float)
    return counts[counts.sum((1, 2)) > 0]
