"""Back door by outcome regression: a linear model per treatment level, or one line for a continuous treatment."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from causalvlm.estimation.arm_means import cross_fit_arms, separate
from causalvlm.estimation.cross_fitting import Candidates, folds
from causalvlm.estimation.fit import Fit, from_overlap, from_tolerance
from causalvlm.estimation.nuisance import least_squares
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.propensity import Adjusted, propensity_of
from causalvlm.estimation.sampling import EVEN, Sampling


def outcome_regression(
    adjustment: Float[np.ndarray, "rows _"],
    treatment: Int[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
    sampling: Sampling = EVEN,
) -> Adjusted:
    """E[Y | do(a)] = mean over all rows of a linear regression fitted on the rows of level a (g-formula, Robins 1986).

    Correct if E[Y | a, Z] is linear in Z for each level. The influence function carries the estimated slopes.

    Example:
        >>> z, x = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1])
        >>> outcome_regression(z, x, 2.0 * z[:, 0] + x).means
        array([3., 4.])
    """
    design = np.hstack([np.ones((len(outcome), 1)), adjustment])
    centre, weighted = sampling.mean(design), sampling.weigh(design)
    means, columns = [], []
    for arm in range(int(treatment.max()) + 1):
        own = treatment == arm
        inverse = np.linalg.pinv(weighted[own].T @ design[own] / len(outcome))
        slopes = inverse @ (weighted[own].T @ outcome[own] / len(outcome))
        residual = np.where(own, outcome - design @ slopes, 0.0)
        means.append(centre @ slopes)
        columns.append(design @ slopes - means[-1] + residual * (design @ (inverse @ centre)))
    return Adjusted(np.array(means), np.column_stack(columns))


@dataclass(frozen=True)
class Line:
    """Means along a linear response to a continuous treatment.

    Attributes:
        means: E[Y | do(setting)].
        influence: influence function of each mean.
        tolerance: share of the treatment's variance that the adjustment set leaves over.

    Example:
        >>> Line(np.zeros(2), np.zeros((4, 2)), 1.0).tolerance
        1.0
    """

    means: Float[np.ndarray, " _"]
    influence: Float[np.ndarray, "rows _"]
    tolerance: float


def linear_response(
    adjustment: Float[np.ndarray, "rows _"],
    treatment: Float[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
    *,
    settings: Float[np.ndarray, " _"],
    sampling: Sampling = EVEN,
) -> Line:
    """E[Y | do(x)] = E[Y] + slope (x - E[X]), the slope that of Y on X given Z by least squares.

    Correct if E[Y | x, Z] is linear; standard errors allow for unequal variances (White 1980).

    Example:
        >>> z = np.array([[0.0], [1.0], [0.0], [1.0]])
        >>> x = np.array([0.0, 1.0, 2.0, 4.0])
        >>> linear_response(z, x, 2 * x + z[:, 0], settings=np.array([0.0, 1.0])).means
        array([0.5, 2.5])
    """
    design = np.hstack([np.ones((len(outcome), 1)), adjustment])
    heavy = sampling.root(design)
    own = treatment - design @ np.linalg.lstsq(heavy, sampling.root(treatment), rcond=None)[0]
    variance = sampling.variance(own)
    slope = sampling.mean(own * outcome) / variance
    partial = outcome - slope * treatment
    residual = partial - design @ np.linalg.lstsq(heavy, sampling.root(partial), rcond=None)[0]
    middle, dose = sampling.mean(outcome), sampling.mean(treatment)
    distance = settings - dose
    centred = outcome - middle - slope * (treatment - dose)
    influence = centred[:, None] + (own * residual / variance)[:, None] * distance
    return Line(middle + slope * distance, influence, float(variance / sampling.variance(treatment)))


def run(problem: Problem, *, rng: np.random.Generator) -> Fit:
    """Outcome regression on a problem with a numeric outcome; the treatment may be continuous.

    Example:
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import BackDoor
        >>> from causalvlm.worlds.embedding import EmbeddingWorld
        >>> rng = np.random.default_rng(0)
        >>> table = EmbeddingWorld(dim=2).sample(400, rng=rng)
        >>> run(read_problem(table, BackDoor("X", "Y", ("U",))), rng=rng).means.shape
        (2, 1)
    """
    arms, adjustment, outcome, sampling = problem.arms, problem.covariates, problem.outcome, problem.sampling
    plane = Candidates([separate(least_squares(1))])
    if arms.levels is None:
        doses, settings = arms.design[:, 0], arms.settings[:, 0]
        line = linear_response(adjustment, doses, outcome, settings=settings, sampling=sampling)
        together = np.zeros(problem.rows, dtype=np.int64)
        assigned = folds(together, rng=rng, sampling=sampling)
        features = np.hstack([arms.design, adjustment])
        own = cross_fit_arms(plane, features, together, outcome, assigned, sampling)
        notes = own.notes("line through treatment and covariates", "Use 'partially-linear' or 'dose-response'.")
        notes = (*notes, *arms.extrapolations())
        return from_tolerance(line.means, line.influence, line.tolerance, auc=None, notes=notes, sampling=sampling)
    propensity = propensity_of(problem, rng=rng)
    fitted = outcome_regression(adjustment, problem.codes, outcome, sampling)
    own = cross_fit_arms(plane, adjustment, problem.codes, outcome, propensity.assigned, sampling)
    notes = own.notes("line in each level", "Use 'aipw', which has curves.")
    return from_overlap(fitted.means, fitted.influence, propensity.overlap, arms.pair, notes, sampling=sampling)
