"""Two-stage least squares: the slope of the outcome on the part of the treatment that the instrument moves.

b = x.y / x.X, where X, Y and Z are freed of the covariates and x is the fit of X on Z (Theil 1953; Basmann,
Econometrica 25, 1957). Variances are robust to unequal spreads (White, Econometrica 50, 1982), the interval is Anderson
and Rubin's. With an effect that differs between units, b is a weighted mean of effects that the instrument chooses
(Angrist, Imbens, JASA 90, 1995).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from causalvlm.errors import InputError, OverlapError
from causalvlm.estimation.anderson_rubin import Moments, slope_interval
from causalvlm.estimation.fit import Fit
from causalvlm.estimation.nuisance import standardiser
from causalvlm.estimation.overlap import kish
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sample import is_nominal, numbers
from causalvlm.estimation.sampling import EVEN, Sampling
from causalvlm.estimation.score_test import pseudo_inverse
from causalvlm.estimation.spread import OnLine, from_influence

_NEGLIGIBLE = 1e-9
_BENT_COLUMNS = 6
_ALPHA = 0.01


@dataclass(frozen=True)
class Slope:
    """An instrumented slope.

    Attributes:
        value: b.
        influence: influence function of b.
        error: its standard error.
        residual: Y - b X, freed of the covariates.
        moments: products of the instruments, made orthogonal and freed of the covariates, with residual and treatment.
        effective_f: strength of the first stage; with one instrument its robust F (Montiel Olea, Pflueger 2013).
        share: of the treatment's variance within the covariates, what the instruments move.

    Example:
        >>> z, u, noise = np.random.default_rng(0).normal(size=(3, 5000))
        >>> x = z + u
        >>> found = two_stage_least_squares(z[:, None], x, 2 * x + 3 * u + noise, covariates=np.zeros((5000, 0)))
        >>> round(found.value, 1)  # least squares has 3.5
        2.0
    """

    value: float
    influence: Float[np.ndarray, " rows"]
    error: float
    residual: Float[np.ndarray, " rows"]
    moments: Moments
    effective_f: float
    share: float


def two_stage_least_squares(
    instruments: Float[np.ndarray, "rows _"],
    treatment: Float[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
    *,
    covariates: Float[np.ndarray, "rows _"],
    sampling: Sampling = EVEN,
) -> Slope:
    """Estimate the slope of Y on X by the instruments, within the covariates, which act along lines.

    Raises:
        InputError: if there are no more clusters than instruments.
        OverlapError: if the covariates determine the instruments or the treatment, or these have nothing in common.

    Example:
        >>> z, w, u, noise = np.random.default_rng(0).normal(size=(4, 50_000))
        >>> x, z = z + w + u, z + w
        >>> found = two_stage_least_squares(z[:, None], x, x + w + u + noise, covariates=w[:, None])
        >>> round(found.value, 1), round(found.share, 1)
        (1.0, 0.5)
    """
    rows = len(outcome)
    if sampling.count is not None and sampling.count <= instruments.shape[1]:
        raise InputError(
            f"there must be more clusters than columns of the instrument; received {sampling.count} and "
            f"{instruments.shape[1]}. Use finer clusters, or fewer columns."
        )
    given = sampling.root(np.hstack([np.ones((rows, 1)), covariates]))
    inverse = pseudo_inverse(given.T @ given / rows)
    both, moving = sampling.root(np.column_stack([treatment, outcome])), sampling.root(instruments)
    own_x, own_y = (both - given @ (inverse @ (given.T @ both / rows))).T
    basis = _orthogonal(moving - given @ (inverse @ (given.T @ moving / rows)), instruments.std(0))
    moved = basis @ (basis.T @ own_x)
    if not moved @ moved > _NEGLIGIBLE**2 * (treatment @ treatment):
        raise OverlapError(
            "instrument and treatment must vary together within the covariates; received none of that. Use another "
            "instrument, or fewer covariates.",
            effective_sample_size=0.0,
        )
    value = float(moved @ own_y / (moved @ own_x))
    residual, left = own_y - value * own_x, own_x - moved
    influence = moved * residual / (moved @ own_x / rows)
    influence = influence if sampling.weights is None else influence / sampling.weights  # which enter it in any case
    error = sampling.error(influence)
    noise = float((sampling.sums(basis * left[:, None]) ** 2).sum())
    step = max(error, _NEGLIGIBLE * float(own_y.std() / own_x.std()))
    return Slope(
        value,
        influence,
        error,
        residual,
        _moments(basis, residual, own_x, step, sampling),
        float(moved @ moved) / max(noise, np.finfo(float).tiny),
        float(moved @ moved / (own_x @ own_x)),
    )


def run(problem: Problem, *, rng: np.random.Generator) -> Fit:
    """Two-stage least squares on a problem with a numeric outcome and a treatment that is a number or has two levels.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import Instrument
        >>> z, u, noise = np.random.default_rng(0).normal(size=(3, 5000))
        >>> table = pd.DataFrame({"Z": z, "X": z + u, "Y": 2 * (z + u) + 3 * u + noise})
        >>> run(read_problem(table, Instrument("X", "Y", "Z")), rng=np.random.default_rng(0)).means.shape
        (2, 1)
    """
    del rng
    outcome, arms, sampling = problem.outcome, problem.arms, problem.sampling
    treatment, settings = amounts(problem)
    columns = problem.instrument, treatment, outcome
    found = two_stage_least_squares(*columns, covariates=problem.covariates, sampling=sampling)
    ends, notes = slope_interval(found.value, found.error, found.moments, found.effective_f)
    middle, dose = sampling.mean(outcome), sampling.mean(treatment)
    distance = settings - dose
    common = outcome - middle - found.value * (treatment - dose)
    influence = common[:, None] + found.influence[:, None] * distance
    return Fit(
        (middle + found.value * distance)[:, None],
        OnLine(from_influence(influence, sampling).covariance, settings, ends, sampling.count),
        found.share * kish(sampling.weigh(np.ones(problem.rows))),
        found.share,
        None,
        notes=(*notes, *_line_notes(problem, found), *arms.extrapolations()),
        influence=influence,
    )


def amounts(problem: Problem) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " _"]]:
    """The treatment as a number in each row, and at each of its settings: levels that are numbers are amounts here.

    Raises:
        InputError: if it has more than two levels, and these are no numbers.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import Instrument
        >>> table = pd.DataFrame({"Z": range(6), "X": [0, 1, 5] * 2, "Y": range(6)})
        >>> amounts(read_problem(table, Instrument("X", "Y", "Z")))[1]
        array([0., 1., 5.])
    """
    arms, name = problem.arms, problem.roles.treatment
    if arms.levels is None:
        return arms.doses(), arms.settings[:, 0]
    if len(arms.labels) == 2 and is_nominal(problem.table, name):
        return arms.levels.codes.astype(float), np.array([0.0, 1.0])
    return numbers(problem.table, name), arms.levels.numbers()


def _orthogonal(columns: Float[np.ndarray, "rows _"], scale: Float[np.ndarray, " _"]) -> Float[np.ndarray, "rows _"]:
    """An orthonormal basis of the columns; those that carry no more than a rounding error of `scale` drop out."""
    varying = scale > 0
    scaled = columns[:, varying] / scale[varying] / np.sqrt(len(columns))
    basis, sizes, _ = np.linalg.svd(scaled, full_matrices=False)
    return basis[:, sizes > np.sqrt(_NEGLIGIBLE)]


def _moments(
    basis: Float[np.ndarray, "rows _"],
    residual: Float[np.ndarray, " rows"],
    own_x: Float[np.ndarray, " rows"],
    step: float,
    sampling: Sampling,
) -> Moments:
    """Of columns that the roots of the weights are in."""
    sums = sampling.sums(basis * residual[:, None]), sampling.sums(basis * own_x[:, None])
    return Moments(*sums, step, sampling.count)


def _line_notes(problem: Problem, found: Slope) -> tuple[str, ...]:
    """Test the line: bends of instrument and covariates, and their products, must be instruments too."""
    columns = np.hstack([problem.instrument, problem.covariates])
    if columns.shape[1] > _BENT_COLUMNS:
        return ()
    scaled = standardiser(columns)(columns)
    first, second = np.triu_indices(columns.shape[1])
    root = problem.sampling.root
    given = root(np.hstack([np.ones((problem.rows, 1)), problem.covariates]))
    inverse = pseudo_inverse(given.T @ given / problem.rows)
    added = root(np.hstack([problem.instrument, scaled[:, first] * scaled[:, second]]))
    basis = _orthogonal(added - given @ (inverse @ (given.T @ added / problem.rows)), added.std(0))
    treatment = root(amounts(problem)[0])
    own_x = treatment - given @ (inverse @ (given.T @ treatment / problem.rows))
    p = _moments(basis, found.residual, own_x, found.moments.step, problem.sampling).p_one_slope()
    if p >= _ALPHA:
        return ()
    return (
        "two-stage-least-squares assumes that treatment and covariates act along lines, alike in every unit; bends and "
        f"products of instrument and covariates reject it (p = {p:.2g}): the interval may miss the effect. Where "
        "treatment and instrument have two levels, 'local-effect' does not assume it.",
    )
