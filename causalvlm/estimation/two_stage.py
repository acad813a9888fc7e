"""Front door with two linear stages for a vector mediator: S on X, then Y on S given X."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from causalvlm.errors import OverlapError
from causalvlm.estimation.check import Check
from causalvlm.estimation.cross_fitting import decoded
from causalvlm.estimation.fit import Fit, from_tolerance
from causalvlm.estimation.nuisance import standardiser
from causalvlm.estimation.overlap import pair_auc
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sampling import EVEN, Sampling
from causalvlm.estimation.score_test import pseudo_inverse, score_test

_FULL_TEST_COLUMNS = 20
_BENT_COLUMNS = 12
_TEST_ROWS = 20_000  # of the test of linearity: evenly spaced rows of a longer table
_PROBE_ROWS = 20_000
_ALPHA = 0.01


@dataclass(frozen=True)
class TwoStage:
    """Do-means of a linear front-door analysis.

    Attributes:
        means: E[Y | do(x)] for each setting.
        influence: influence function of each mean, one row per row of the table.
        second_stage: slope of Y on each mediator column given treatment and covariates.
        tolerance: share of the index b.S's variance that X and C leave over; the second stage rests on it.
        p_first: p-value of the test that S is linear in X and C; small values are a warning.
        p_second: p-value of the test that Y is linear in S, without interaction with X; likewise.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(5000, 1))
        >>> s = 2 * x + rng.normal(size=(5000, 1))
        >>> fit = two_stage(s, x, 3 * s[:, 0], settings=np.array([[0.0], [1.0]]))
        >>> fit.second_stage.round(6)
        array([3.])
    """

    means: Float[np.ndarray, " _"]
    influence: Float[np.ndarray, "rows _"]
    second_stage: Float[np.ndarray, " dim"]
    tolerance: float
    p_first: float
    p_second: float


def two_stage(
    mediator: Float[np.ndarray, "rows dim"],
    treatment: Float[np.ndarray, "rows _"],
    outcome: Float[np.ndarray, " rows"],
    *,
    settings: Float[np.ndarray, "_ _"],
    covariates: Float[np.ndarray, "rows _"] | None = None,
    sampling: Sampling = EVEN,
) -> TwoStage:
    """Estimate E[Y | do(x)] = E[Y] + b . (E_C E[S | x, C] - E[S]), b the slopes of Y on S given X and C.

    With linear stages the front-door sum collapses to this: averaging E[Y | s, x', c] over p(x' | c) and p(c) leaves
    only s to vary. Each setting is evaluated as it is, so that contrasts scale with the distance of the settings.
    Standard errors come from the influence functions of both stages and allow for unequal variances (White 1980).

    Args:
        mediator: S, one column per coordinate.
        treatment: X, one numeric column, or one 0/1 column per level but the first.
        outcome: Y.
        settings: values of the treatment columns at which the mean is wanted, one row per setting.
        covariates: C, or None.
        sampling: clusters and weights of the rows.

    Raises:
        OverlapError: if S does not vary in the direction that X moves it once X and C are held fixed.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> u, noise = rng.normal(size=(2, 20000))
        >>> x = (u + rng.normal(size=20000))[:, None]
        >>> s = x + noise[:, None]
        >>> fit = two_stage(s, x, s[:, 0] + u, settings=np.array([[0.0], [2.0]]))
        >>> (fit.means[1] - fit.means[0]).round(1)  # the confounded slope would give 3.0
        np.float64(2.0)
    """
    rows = len(outcome)
    # Column by column in memory: with two settings a loop along the rows of influence would be one of length two.
    given = np.vstack([np.ones(rows), treatment.T, *([] if covariates is None else [covariates.T])]).T
    centre = sampling.mean(given)
    at = np.tile(centre, (len(settings), 1))
    at[:, 1 : 1 + treatment.shape[1]] = settings

    inverse = pseudo_inverse(sampling.cross(given, given) / rows)
    first = inverse @ (sampling.cross(given, mediator) / rows)
    residual_s = mediator - given @ first
    moved = at @ first  # E_C E[S | x, C], one row per setting

    gram = sampling.cross(residual_s, residual_s) / rows
    inverse_s = pseudo_inverse(gram, scale=sampling.variance(mediator))
    _require_variation(moved - moved.mean(0), inverse_s @ gram)
    second = inverse_s @ (sampling.cross(residual_s, outcome) / rows)
    index = mediator @ second
    partial = outcome - index
    residual_y = partial - given @ (inverse @ (sampling.cross(given, partial) / rows))

    shift = moved - sampling.mean(mediator)
    means = sampling.mean(outcome) + shift @ second
    noise_s = residual_s @ second
    influence = (shift @ inverse_s) @ residual_s.T
    influence *= residual_y
    influence += noise_s * ((at @ inverse) @ given.T)
    common = partial - sampling.mean(partial)
    if covariates is not None:
        common += (covariates - sampling.mean(covariates)) @ (first @ second)[1 + treatment.shape[1] :]
    influence += common
    tolerance = float(sampling.variance(noise_s) / max(sampling.variance(index), np.finfo(float).tiny))
    thin = slice(None, None, max(1, rows // _TEST_ROWS))
    few = sampling if sampling.even else sampling.take(np.arange(rows)[thin])
    p_first = _p_first(given[thin], treatment[thin], index[thin] - noise_s[thin], noise_s[thin], few)
    p_second = _p_second(mediator[thin], given[thin], treatment[thin], residual_y[thin], second, few)
    return TwoStage(means, influence.T, second, tolerance, p_first, p_second)


def run(problem: Problem, *, rng: np.random.Generator) -> Fit:
    """The two-stage estimator on a problem with a numeric outcome; the treatment may be continuous.

    Example:
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.linear import LinearWorld
        >>> rng = np.random.default_rng(0)
        >>> problem = read_problem(LinearWorld().sample(400, rng=rng), FrontDoor("X", "Y", ("S",)))
        >>> run(problem, rng=rng).means.shape
        (2, 1)
    """
    arms, sampling = problem.arms, problem.sampling
    columns = problem.mediator, arms.design, problem.outcome
    fitted = two_stage(*columns, settings=arms.settings, covariates=problem.covariates, sampling=sampling)
    auc = None if arms.levels is None else _probe_auc(problem, rng=rng)
    notes = (*_linearity_notes(fitted), *arms.extrapolations())
    return from_tolerance(fitted.means, fitted.influence, fitted.tolerance, auc=auc, notes=notes, sampling=sampling)


def _linearity_notes(fitted: TwoStage) -> tuple[Check, ...]:
    assumed = {
        "S is linear in X and the covariates": fitted.p_first,
        "Y is linear in S without an S x X interaction": fitted.p_second,
    }
    warning = (
        "two-stage assumes that {}; the test rejects this (p = {:.2g}): the interval may miss the effect. Use "
        "'dose-response' (continuous X), 'plug-in' (discrete S) or 'one-step' (X cut into levels), which do not "
        "assume it."
    )
    return tuple(Check(what, p, warning.format(what, p) if p < _ALPHA else "") for what, p in assumed.items())


def _probe_auc(problem: Problem, *, rng: np.random.Generator) -> float:
    """AUC of the treatment decoded by a cross-fitted discriminant, on at most `_PROBE_ROWS` rows."""
    codes, features, sampling = problem.codes, np.hstack([problem.mediator, problem.covariates]), problem.sampling
    if len(codes) > _PROBE_ROWS:
        chosen = rng.choice(len(codes), _PROBE_ROWS, replace=False)
        codes, features, sampling = codes[chosen], features[chosen], sampling.take(chosen)
    return pair_auc(decoded(features, codes, rng=rng, sampling=sampling), codes, problem.arms.pair, sampling)


def _require_variation(moved: Float[np.ndarray, "_ dim"], projector: Float[np.ndarray, "dim dim"]) -> None:
    """Refuse when X moves S in a direction where S does not vary given X: the second stage is then not estimable."""
    lost = moved - moved @ projector
    if np.abs(lost).max(initial=0.0) > 1e-6 * max(np.abs(moved).max(initial=0.0), np.finfo(float).tiny):
        raise OverlapError(
            "the mediator must vary while the treatment is held fixed; received a mediator that the treatment "
            "determines (no residual variance in the direction that the treatment moves). "
            "Use a coarser treatment, or a mediator with variation of its own.",
            effective_sample_size=0.0,
            auc=1.0,
        )


def _p_first(
    given: Float[np.ndarray, "rows _"],
    treatment: Float[np.ndarray, "rows _"],
    expected: Float[np.ndarray, " rows"],
    noise: Float[np.ndarray, " rows"],
    sampling: Sampling,
) -> float:
    """Score test that the index b.S neither bends in X or C, at their quartiles, nor has products of them.

    Curvature in C matters where C moves X. With many columns the fitted index stands for those of C, as below.
    """
    columns = given[:, 1:] if given.shape[1] <= _BENT_COLUMNS else np.column_stack([treatment, expected])
    columns = standardiser(columns)(columns)
    amounts = columns[:, [len(np.unique(column[:100])) > 2 for column in columns.T]]
    bends = [np.maximum(amounts - knot, 0.0) for knot in np.quantile(amounts, (0.25, 0.5, 0.75), axis=0)]
    first, second = np.triu_indices(columns.shape[1], 1)
    return score_test(np.hstack([*bends, columns[:, first] * columns[:, second]]), given, noise, sampling)


def _p_second(
    mediator: Float[np.ndarray, "rows dim"],
    given: Float[np.ndarray, "rows _"],
    treatment: Float[np.ndarray, "rows _"],
    residual: Float[np.ndarray, " rows"],
    slopes: Float[np.ndarray, " dim"],
    sampling: Sampling,
) -> float:
    """Score test of no S-by-X interaction and no curvature in the index b.S, robust to unequal variances.

    With many coordinates the test reads the fitted index alone (one degree of freedom per column, Tukey 1949), with
    few it reads every product. The robust score form is Wooldridge (1991, J. Econometrics 47, procedure 3.1).
    """
    index = mediator @ slopes
    index = (index - index.mean()) / max(index.std(), np.finfo(float).tiny)
    few = mediator.shape[1] * treatment.shape[1] <= _FULL_TEST_COLUMNS
    parts = mediator if few else index[:, None]
    extra = [column[:, None] * parts for column in treatment.T]
    if few or len(np.unique(index[:100])) > 2:
        extra.append((index**2)[:, None])
    added = np.hstack(extra)
    return score_test(added, np.hstack([given, mediator]), residual, sampling)
