"""Estimates where the effect is known to be nothing: permuted treatment, permuted mediator, dummy outcome.

A placebo tests the estimator and its standard error on these very data, not the assumptions of the graph: that is what
over-identification, leak and sensitivity are for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import chdtrc

from causalvlm.errors import OverlapError
from causalvlm.refutation.case import Case
from causalvlm.refutation.verdict import FALSE_ALARM_RATE, LARGEST_SCORE, Verdict

Estimate = Callable[[pd.DataFrame], tuple[float, float]]
"""Value and standard error of the effect on another table of the same columns."""


@dataclass(frozen=True)
class Placebos:
    """Estimates that should be zero.

    Attributes:
        values: one estimate per repetition.
        standard_errors: the standard error that the estimator claims for each.

    Example:
        >>> Placebos(np.array([0.1, -0.1]), np.array([0.1, 0.1])).bias()
        0.0
    """

    values: Float[np.ndarray, " _"]
    standard_errors: Float[np.ndarray, " _"]

    def scores(self) -> Float[np.ndarray, " _"]:
        """Estimates in standard errors; an exact zero scores zero."""
        safe = np.maximum(self.standard_errors, np.finfo(float).tiny)
        return np.where(self.values == 0.0, 0.0, self.values / safe)

    def bias(self) -> float:
        """Mean score times the root of the number of repetitions: standard normal if the effect is nothing."""
        return float(self.scores().mean() * np.sqrt(len(self.values)))

    def p_calibrated(self) -> float:
        """P-value of the sum of squared scores (chi-squared): small if the standard errors are too small."""
        scores = self.scores()
        return float(chdtrc(len(scores), scores @ scores))


def permuted(
    table: pd.DataFrame, columns: Sequence[str], estimate: Estimate, *, rng: np.random.Generator, repeats: int
) -> Placebos:
    """Re-estimate with `columns` shuffled together over the rows, which cuts them off from all others.

    Example:
        >>> table = pd.DataFrame({"X": [0, 1, 0, 1], "Y": [0.0, 1.0, 0.0, 1.0]})
        >>> gap = lambda t: (t.Y[t.X == 1].mean() - t.Y[t.X == 0].mean(), 1.0)
        >>> permuted(table, ["X"], gap, rng=np.random.default_rng(0), repeats=2).values.shape
        (2,)
    """
    results = [estimate(_replaced(table, columns, rng.permutation(len(table)))) for _ in range(repeats)]
    return Placebos(*np.array(results).T)


def dummy_outcome(
    table: pd.DataFrame,
    outcome: str,
    strata: Int[np.ndarray, " rows"],
    estimate: Estimate,
    *,
    rng: np.random.Generator,
    repeats: int,
) -> Placebos:
    """Re-estimate with the outcome shuffled within `strata`.

    For a front door the strata are the treatment's levels: the outcome stays as associated with the treatment as it
    was, and no longer answers to the mediator, so that all of its association is confounding and its effect nothing.

    Example:
        >>> table = pd.DataFrame({"X": [0, 1, 0, 1], "Y": [0.0, 1.0, 0.0, 1.0]})
        >>> gap = lambda t: (t.Y[t.X == 1].mean() - t.Y[t.X == 0].mean(), 1.0)
        >>> dummy_outcome(table, "Y", table.X.to_numpy(), gap, rng=np.random.default_rng(0), repeats=2).values
        array([1., 1.])
    """
    grouped = np.argsort(strata, kind="stable")
    results: list[tuple[float, float]] = []
    for _ in range(repeats):
        order = np.empty(len(strata), dtype=np.int64)
        order[grouped] = np.lexsort((rng.random(len(strata)), strata))
        results.append(estimate(_replaced(table, [outcome], order)))
    return Placebos(*np.array(results).T)


def _replaced(table: pd.DataFrame, columns: Sequence[str], order: Int[np.ndarray, " rows"]) -> pd.DataFrame:
    """A copy with `columns` taken from the rows `order`; every other column is as it was."""
    shuffled = table[list(columns)].take(order).set_axis(table.index)
    return table.assign(**{name: shuffled[name] for name in columns})


def judge(case: Case) -> tuple[Verdict, ...]:
    """Permuted treatment, permuted mediator where there is one, and dummy outcome.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.refutation.case import open_case
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> table = smoking().sample(5000, rng=rng)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> [verdict.name for verdict in judge(open_case(effect, table, rng=rng, repeats=2))]
        ['permuted treatment', 'permuted mediator', 'dummy outcome']
    """
    problem, rng, repeats = case.problem, case.rng, case.repeats
    table, parts = problem.table, problem.roles
    one_stratum = np.zeros(problem.rows, dtype=np.int64)
    strata = problem.codes if problem.front_door and problem.arms.levels is not None else one_stratum

    def shuffled(columns: Sequence[str]) -> Callable[[], Placebos]:
        return lambda: permuted(table, columns, case.estimate, rng=rng, repeats=repeats)

    attempts = {"permuted treatment": shuffled([parts.treatment])}
    if parts.mediators:
        attempts["permuted mediator"] = shuffled(parts.mediators)
    attempts["dummy outcome"] = lambda: dummy_outcome(
        table, parts.outcome, strata, case.estimate, rng=rng, repeats=repeats
    )
    return tuple(_verdict(name, attempt) for name, attempt in attempts.items())


def _verdict(name: str, attempt: Callable[[], Placebos]) -> Verdict:
    """Bias, then scatter; a table that the estimator refuses leaves the matter open."""
    try:
        found = attempt()
    except OverlapError as error:
        return Verdict(name, "inconclusive", None, f"not estimable on the altered table: {error}")
    bias, calibrated = found.bias(), found.p_calibrated()
    summary = f"{len(found.values)} estimates that should be zero: bias {bias:.2f} standard errors"
    if abs(bias) > LARGEST_SCORE:
        return Verdict(name, "failed", bias, f"{summary}; the estimator finds an effect where there is none.")
    if calibrated < FALSE_ALARM_RATE:
        reason = f"{summary}, but they scatter more than their standard errors say (p = {calibrated:.1g})."
        return Verdict(name, "failed", bias, reason)
    return Verdict(name, "passed", bias, f"{summary}.")
