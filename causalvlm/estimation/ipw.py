"""Back door by inverse propensity weighting."""

import numpy as np
from jaxtyping import Float, Int

from causalvlm.estimation.cross_fitting import Candidates, FitClasses, cross_fit_classes
from causalvlm.estimation.fit import Fit, from_overlap
from causalvlm.estimation.nuisance import frequencies, logistic
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.propensity import Adjusted, propensity_of
from causalvlm.estimation.sampling import EVEN, Sampling


def inverse_propensity(
    adjustment: Float[np.ndarray, "rows _"],
    treatment: Int[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
    sampling: Sampling = EVEN,
) -> Adjusted:
    """Weighted means with weights 1 / P(a | Z) normalised within the level (Hajek 1971), P a logistic regression.

    The regression is fitted on all rows, and the influence function is projected off its scores, because fitted
    weights are more precise than known ones (Hirano, Imbens, Ridder 2003).

    Example:
        >>> x, z = np.array([0, 0, 1, 1]), np.zeros((4, 0))
        >>> inverse_propensity(z, x, np.array([1.0, 2.0, 3.0, 4.0])).means
        array([1.5, 3.5])
    """
    arms = int(treatment.max()) + 1
    propensity = _model(adjustment.shape[1])(adjustment, treatment, arms, sampling.weights)(adjustment)
    own = treatment[:, None] == np.arange(arms)
    weights = own / propensity
    weights = weights / sampling.mean(weights)
    means = sampling.mean(weights * outcome[:, None])
    influence = weights * (outcome[:, None] - means)
    design = np.hstack([np.ones((len(outcome), 1)), adjustment])
    scores = np.hstack([design * (own[:, [arm]] - propensity[:, [arm]]) for arm in range(1, arms)])
    influence = influence - scores @ np.linalg.lstsq(sampling.root(scores), sampling.root(influence), rcond=None)[0]
    return Adjusted(means, influence)


def _model(width: int) -> FitClasses:
    return logistic(1) if width else frequencies


def run(problem: Problem, *, rng: np.random.Generator) -> Fit:
    """Inverse propensity weighting on a problem with a treatment of few levels and a numeric outcome.

    Example:
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import BackDoor
        >>> from causalvlm.worlds.embedding import EmbeddingWorld
        >>> rng = np.random.default_rng(0)
        >>> table = EmbeddingWorld(dim=2).sample(400, rng=rng)
        >>> run(read_problem(table, BackDoor("X", "Y", ("U",))), rng=rng).means.shape
        (2, 1)
    """
    propensity, sampling = propensity_of(problem, rng=rng), problem.sampling
    fitted = inverse_propensity(problem.covariates, problem.codes, problem.outcome, sampling)
    plain = Candidates([_model(problem.covariates.shape[1])])
    own = cross_fit_classes(plain, problem.covariates, problem.codes, propensity.assigned, sampling=sampling)
    notes = own.notes("logistic regression of the treatment", "Use 'aipw', which has others.")
    numbers = fitted.means, fitted.influence, propensity.overlap, problem.arms.pair, notes
    return from_overlap(*numbers, sampling=sampling)
