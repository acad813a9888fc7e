"""Estimates where the effect is known to be nothing: permuted treatment, mediator or instrument, dummy outcome.

A placebo tests the estimator and its standard error on these very data, not the assumptions of the graph: that is what
over-identification, leak and sensitivity are for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import chdtrc
from scipy.stats import binom

from causalvlm.errors import OverlapError
from causalvlm.estimation.effect import estimate_contrast
from causalvlm.estimation.problem import Problem
from causalvlm.intervals import CONFIDENCE
from causalvlm.refutation.case import Case
from causalvlm.refutation.verdict import UNDERSTATED, Found, Trial, Verdict, p_of_score

Estimate = Callable[[Problem], tuple[float, float]]
"""Value and standard error of the effect in another problem of the same columns."""


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

    def p_bias(self) -> float:
        """P-value of the bias."""
        return p_of_score(self.bias())

    def p_scatter(self) -> float:
        """P-value of the sum of squared scores (chi-squared): small if the standard errors are too small by far."""
        scores = self.scores() / UNDERSTATED
        return float(chdtrc(len(scores), scores @ scores))


def placebos(
    problem: Problem, estimate: Estimate, *, rng: np.random.Generator, repeats: int
) -> dict[str, Placebos | OverlapError]:
    """Re-estimate with a column cut off from the others, each attempt `repeats` times or until it is refused.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import BackDoor
        >>> problem = read_problem(pd.DataFrame({"X": [0, 1, 0, 1], "Y": [0.0, 1.0, 0.0, 1.0]}), BackDoor("X", "Y", ()))
        >>> gap = lambda p: (p.outcome @ (2.0 * p.codes - 1) / 2, 1.0)
        >>> found = placebos(problem, gap, rng=np.random.default_rng(0), repeats=3)
        >>> list(found), found["dummy outcome"].values.shape
        (['permuted treatment', 'dummy outcome'], (3,))
    """
    results: dict[str, list[tuple[float, float]]] = {}
    refused: dict[str, OverlapError] = {}
    for _ in range(repeats):
        for name, altered in _altered(problem, rng):
            if name in refused:
                continue
            try:
                results.setdefault(name, []).append(estimate(altered))
            except OverlapError as error:
                refused[name] = error
    return {name: refused.get(name) or Placebos(*np.array(found).T) for name, found in results.items()}


def _altered(problem: Problem, rng: np.random.Generator) -> Iterator[tuple[str, Problem]]:
    """Problems without an effect. One that differs from the problem before it in the outcome alone costs the less.

    The mediator is cut off by moving all that is beside it, as the treatment has been already. The dummy outcome of a
    front door is shuffled within the treatment's levels: it stays as associated with the treatment as it was, and no
    longer answers to the mediator, so that all of its association is confounding and its effect nothing.
    """
    parts = problem.roles
    if not parts.instruments:
        order = _order(problem, rng)
        moved = problem.reordered([parts.treatment], order)
        yield "permuted treatment", moved
        if problem.through_mediators:
            yield "permuted mediator", moved.reordered([*parts.covariates, parts.outcome], order)
    strata = problem.codes if problem.front_door and problem.arms.levels is not None else np.zeros(problem.rows)
    yield "dummy outcome", problem.reordered([parts.outcome], _order(problem, rng, strata))


def _order(
    problem: Problem, rng: np.random.Generator, strata: Shaped[np.ndarray, " rows"] | None = None
) -> Int[np.ndarray, " rows"]:
    """The row that each row takes something from: any, or one of its stratum; or whole clusters change places.

    Rows shuffled within clusters would leave the means of these where they were, and with them an effect. Clusters
    change places within a stratum if none lies in two: else all of them, and the dummy outcome of a front door is no
    longer associated with the treatment.
    """
    if problem.sampling.codes is not None:
        kept = strata is not None and problem.sampling.constant(strata)
        return problem.sampling.shuffled(within=strata if kept else None, rng=rng)
    if strata is None:
        return rng.permutation(problem.rows)
    within = np.empty(problem.rows, dtype=np.int64)
    within[np.argsort(strata, kind="stable")] = np.lexsort((rng.random(problem.rows), strata))
    return within


def judge(case: Case) -> tuple[Found, ...]:
    """Permuted treatment, permuted mediator where there is one, and dummy outcome; an instrument is permuted instead.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.refutation.case import open_case
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> table = smoking().sample(5000, rng=rng)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> [found.name for found in judge(open_case(effect, table, rng=rng, repeats=2))]
        ['permuted treatment', 'permuted mediator', 'dummy outcome']
    """
    found = placebos(case.problem, case.estimate, rng=case.rng, repeats=case.repeats)
    first = (_permuted_instrument(case),) if case.problem.roles.instruments else ()
    return *first, *(_judged(name, one) for name, one in found.items())


def _permuted_instrument(case: Case) -> Trial:
    """A permuted instrument moves nothing: the estimator must refuse, or its interval must hold zero."""
    claims, refusals = 0, 0
    for _ in range(case.repeats):
        altered = case.problem.reordered(case.problem.roles.instruments, _order(case.problem, case.rng))
        try:
            found = estimate_contrast(altered, case.effect.estimator, rng=case.rng)
        except OverlapError:
            refusals += 1
            continue
        claims += not found.low <= 0.0 <= found.high
    chance = float(binom.sf(claims - 1, case.repeats, 1 - CONFIDENCE))
    reason = (
        f"of {case.repeats} permuted instruments {refusals} are refused as weak, and {claims} seem to show an effect"
    )
    return Trial("permuted instrument", float(claims), chance, reason, "the estimator finds one where there is none")


def _judged(name: str, found: Placebos | OverlapError) -> Found:
    """Bias and scatter, twice the smaller p-value; a problem that the estimator refuses leaves the matter open."""
    if isinstance(found, OverlapError):
        return Verdict(name, "inconclusive", None, f"not estimable on the altered table: {found}")
    bias, scatter = found.p_bias(), found.p_scatter()
    reason = f"{len(found.values)} estimates that should be zero: bias {found.bias():.2f} standard errors"
    charge = "the estimator finds an effect where there is none"
    if scatter < bias:
        reason += f", scatter p = {scatter:.2g}"
        charge = "they scatter more than their standard errors say"
    return Trial(name, found.bias(), min(2 * min(bias, scatter), 1.0), reason, charge)
