"""Estimates where the effect is known to be nothing: permuted treatment, permuted mediator, dummy outcome, halves.

A placebo tests the estimator and its standard error on these very data, not the assumptions of the graph: that is what
over-identification, leak and sensitivity are for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import chdtrc

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


def halves(table: pd.DataFrame, estimate: Estimate, *, rng: np.random.Generator, repeats: int) -> Placebos:
    """Differences between the estimates of random halves, and between their mean and the estimate of the whole.

    Halves differ by sampling alone, so their difference is nothing within its standard error. The mean of two halves
    equals the whole unless the estimator changes with the number of rows; the whole's standard error is the yardstick.

    Example:
        >>> table = pd.DataFrame({"Y": [0.0, 1.0, 2.0, 3.0]})
        >>> halves(table, lambda t: (t.Y.mean(), 1.0), rng=np.random.default_rng(0), repeats=1).values[1]
        np.float64(0.0)
    """
    whole, whole_error = estimate(table)
    middle = len(table) // 2
    values, errors = [], []
    for _ in range(repeats):
        order = rng.permutation(len(table))
        (one, one_error), (two, two_error) = (
            estimate(table.iloc[part].reset_index(drop=True)) for part in (order[:middle], order[middle:])
        )
        values += [one - two, (one + two) / 2 - whole]
        errors += [float(np.hypot(one_error, two_error)), whole_error]
    return Placebos(np.array(values), np.array(errors))


def _replaced(table: pd.DataFrame, columns: Sequence[str], order: Int[np.ndarray, " rows"]) -> pd.DataFrame:
    """A copy with `columns` taken from the rows `order`; every other column is as it was."""
    shuffled = table[list(columns)].take(order).set_axis(table.index)
    return table.assign(**{name: shuffled[name] for name in columns})
