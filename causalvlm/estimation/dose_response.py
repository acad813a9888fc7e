"""Back door for a continuous treatment without a shape assumed: a doubly robust curve of means."""

import numpy as np
from jaxtyping import Float

from causalvlm.estimation.cross_fitting import folds
from causalvlm.estimation.curve import DoseCurve
from causalvlm.estimation.dose_curves import DoseResponse, fit_of, project, responses
from causalvlm.estimation.fit import Fit
from causalvlm.estimation.learners import NO_LEARNERS, Learners
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sampling import EVEN, Sampling
from causalvlm.estimation.spread import from_influence
from causalvlm.estimation.treatment_law import law_of, near_of, supported


def dose_response(
    adjustment: Float[np.ndarray, "rows _"],
    treatment: Float[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
    *,
    settings: Float[np.ndarray, " _"],
    rng: np.random.Generator,
    learners: Learners = NO_LEARNERS,
    sampling: Sampling = EVEN,
) -> DoseResponse:
    """The doubly robust curve; `dose_curves` has the formula.

    Args:
        adjustment: Z, possibly with no column.
        treatment: X, continuous.
        outcome: Y.
        settings: doses whose support is measured.
        rng: splits the rows into folds.
        learners: regressors of one's own, of the outcome given (X, Z) and of the treatment given Z.
        sampling: clusters and weights of the rows.

    Raises:
        OverlapError: if there are too few rows to cross-fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(2000, 1))
        >>> x = z[:, 0] + rng.normal(size=2000)
        >>> y = np.sin(x) + z[:, 0] + 0.5 * rng.normal(size=2000)
        >>> found = dose_response(z, x, y, settings=np.array([0.0, 1.0]), rng=rng)
        >>> bool(abs(found.curve.contrast(1.0, 0.0).value - np.sin(1.0)) < 0.2)
        True
    """
    assigned = folds(np.zeros(len(outcome), dtype=np.int64), rng=rng, sampling=sampling)
    law = law_of(treatment, adjustment, assigned, sampling, learners.treatment)
    near = near_of(law)
    mu = responses(adjustment, treatment, outcome, assigned, sampling, learners.outcome)
    found = project(law, outcome, mu, assigned)
    spread, support = from_influence(found.influence, sampling), supported(treatment, near.size)
    return DoseResponse(
        DoseCurve(found.basis, found.coefficients, spread, support),
        found.influence,
        np.array([near.size(dose) for dose in settings]),
        np.array([near.share(dose) for dose in settings]),
        (*law.notes, *mu.judged.notes("model of the outcome"), *near.notes(settings)),
    )


def run(problem: Problem, *, rng: np.random.Generator) -> Fit:
    """The curve on a problem with a numeric outcome and a continuous treatment.

    Raises:
        OverlapError: if too few rows stand behind a setting.

    Example:
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import BackDoor
        >>> from causalvlm.worlds.linear import LinearWorld
        >>> rng = np.random.default_rng(0)
        >>> problem = read_problem(LinearWorld().sample(1000, rng=rng), BackDoor("X", "Y", ("U",)))
        >>> run(problem, rng=rng).means.shape
        (2, 1)
    """
    found = dose_response(
        problem.covariates,
        problem.arms.doses(),
        problem.outcome,
        settings=problem.arms.settings[:, 0],
        rng=rng,
        learners=problem.learners,
        sampling=problem.sampling,
    )
    return fit_of(found, problem)
