"""Back door for a continuous treatment by double machine learning: one slope, whatever the covariates do.

Y = theta X + g(Z) + error, X = m(Z) + v: theta is the slope of Y - E[Y | Z] on X - E[X | Z], both cross-fitted
(Robinson, Econometrica 56, 1988; Chernozhukov et al., Econometrics Journal 21, 2018, equation 4.4). Where the effect
bends, or differs with Z, one slope is wrong: held-out residuals are tested for either.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from causalvlm.estimation.arm_means import adjusting, candidates, cross_fit_arms
from causalvlm.estimation.check import Check, Note
from causalvlm.estimation.cross_fitting import LEFT, folds, notes_of_product
from causalvlm.estimation.fit import Fit, from_tolerance
from causalvlm.estimation.learners import NO_LEARNERS, Learners
from causalvlm.estimation.nuisance import QUADRATIC_COLUMNS, least_squares, standardiser
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sampling import EVEN, Sampling
from causalvlm.estimation.score_test import score_test
from causalvlm.estimation.structure import p_of_left, structure_left

_ALPHA = 0.01


@dataclass(frozen=True)
class OneSlope:
    """A partially linear model.

    Attributes:
        slope: theta.
        means: E[Y | do(setting)].
        influence: influence function of each mean.
        tolerance: share of the treatment's variance that the adjustment set leaves over.
        p_one_slope: p-value of the test that the slope is the same at every dose and for every Z.
        left: how clearly held-out residuals can be predicted from X and Z (`structure_left`).
        notes: what a reader of the numbers must know.

    Example:
        >>> OneSlope(1.0, np.zeros(2), np.zeros((4, 2)), 1.0, 0.5, 0.0).p_one_slope
        0.5
    """

    slope: float
    means: Float[np.ndarray, " _"]
    influence: Float[np.ndarray, "rows _"]
    tolerance: float
    p_one_slope: float
    left: float
    notes: tuple[Note, ...] = ()


def partially_linear(
    adjustment: Float[np.ndarray, "rows _"],
    treatment: Float[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
    *,
    settings: Float[np.ndarray, " _"],
    rng: np.random.Generator,
    learners: Learners = NO_LEARNERS,
    sampling: Sampling = EVEN,
) -> OneSlope:
    """E[Y | do(x)] = E[Y] + theta (x - E[X]).

    Args:
        adjustment: Z, possibly with no column.
        treatment: X, continuous.
        outcome: Y.
        settings: doses at which the mean is wanted.
        rng: splits the rows into folds.
        learners: regressors of one's own, of the outcome and of the treatment.
        sampling: clusters and weights of the rows.

    Raises:
        OverlapError: if there are too few rows to cross-fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(2000, 1))
        >>> x = z[:, 0] + 0.5 * z[:, 0] ** 2 + rng.normal(size=2000)
        >>> y = x + np.sin(3 * z[:, 0]) + z[:, 0] ** 2 + rng.normal(size=2000)
        >>> found = partially_linear(z, x, y, settings=np.array([0.0, 1.0]), rng=rng)
        >>> round(found.slope, 1)  # least squares on X and Z has 1.7
        1.0
    """
    together = np.zeros(len(outcome), dtype=np.int64)
    assigned = folds(together, rng=rng, sampling=sampling)
    plain = adjusting(adjustment.shape[1], len(outcome))
    of_treatment = candidates(plain, learners.treatment, "treatment_model")
    of_outcome = candidates(plain, learners.outcome)
    given = cross_fit_arms(of_treatment, adjustment, together, treatment, assigned, sampling)
    expected = cross_fit_arms(of_outcome, adjustment, together, outcome, assigned, sampling)
    own = treatment - given.predictions[:, 0]
    around = outcome - expected.predictions[:, 0]
    heavy = sampling.weigh(own)
    slope = float(heavy @ around / (heavy @ own))
    residual = around - slope * own

    middle, dose = sampling.mean(outcome), sampling.mean(treatment)
    distance = settings - dose
    along = own * residual / (heavy @ own / len(own))
    common = outcome - middle - slope * (treatment - dose)
    features, scaled = np.column_stack([treatment, adjustment]), residual[:, None] / (outcome.std() or 1.0)
    return OneSlope(
        slope,
        middle + slope * distance,
        common[:, None] + along[:, None] * distance,
        float((heavy @ own) / len(own) / sampling.variance(treatment)),
        _p_one_slope(own, residual, adjustment, sampling),
        structure_left(features, scaled, together, assigned, sampling),
        (
            *given.notes("model of the treatment"),
            *expected.notes("model of the outcome"),
            *notes_of_product(given.slow, expected.slow),
        ),
    )


def run(problem: Problem, *, rng: np.random.Generator) -> Fit:
    """The partially linear model on a problem with a numeric outcome and a continuous treatment.

    Example:
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import BackDoor
        >>> from causalvlm.worlds.linear import LinearWorld
        >>> rng = np.random.default_rng(0)
        >>> problem = read_problem(LinearWorld().sample(400, rng=rng), BackDoor("X", "Y", ("U",)))
        >>> run(problem, rng=rng).means.shape
        (2, 1)
    """
    arms = problem.arms
    found = partially_linear(
        problem.covariates,
        arms.doses(),
        problem.outcome,
        settings=arms.settings[:, 0],
        rng=rng,
        learners=problem.learners,
        sampling=problem.sampling,
    )
    notes = (*_slope_notes(found), *found.notes, *arms.extrapolations())
    numbers = found.means, found.influence, found.tolerance
    return from_tolerance(*numbers, auc=None, notes=notes, sampling=problem.sampling)


def _slope_notes(found: OneSlope) -> tuple[Note, ...]:
    warning = (
        "partially-linear assumes one slope, at every dose and for every Z; held-out rows reject it "
        f"(p = {found.p_one_slope:.2g}, structure {found.left:.1f} standard errors): the interval may miss the effect. "
        "Use 'dose-response', which does not assume it."
    )
    rejected = found.p_one_slope < _ALPHA or found.left > LEFT
    p_value = min(2 * min(found.p_one_slope, p_of_left(found.left)), 1.0)
    return (Check("one slope, at every dose and for every Z", p_value, warning if rejected else ""),)


def _p_one_slope(
    own: Float[np.ndarray, " rows"],
    residual: Float[np.ndarray, " rows"],
    adjustment: Float[np.ndarray, "rows _"],
    sampling: Sampling,
) -> float:
    """Score test against a slope that changes with the dose or with Z: residuals times v^2, v^3 and v Z_j.

    v = X - E[X | Z]. The powers are freed of Z, and all of v, so that errors of theta and of the nuisances do not count
    at first order.
    """
    v = own / own.std()
    width = adjustment.shape[1]
    scaled = standardiser(adjustment)(adjustment)
    powers = np.column_stack([v**2, v**3])
    if width:
        lines = least_squares(2 if width <= QUADRATIC_COLUMNS else 1)
        powers = powers - lines(adjustment, powers, sampling.weights)(adjustment)
    added = np.column_stack([powers - sampling.mean(powers), v[:, None] * scaled])
    return score_test(added, v[:, None], residual, sampling)
