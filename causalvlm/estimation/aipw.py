"""Back door by AIPW: outcome regression augmented by inverse propensity weights, doubly robust."""

import numpy as np
from jaxtyping import Float, Int

from causalvlm.estimation.arm_means import adjusting, candidates, cross_fit_arms
from causalvlm.estimation.cross_fitting import notes_of_product
from causalvlm.estimation.fit import Fit, from_overlap
from causalvlm.estimation.learners import NO_LEARNERS, Learners
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.propensity import Adjusted, Propensity, propensity_of
from causalvlm.estimation.sampling import EVEN, Sampling


def augmented(
    propensity: Propensity,
    adjustment: Float[np.ndarray, "rows _"],
    treatment: Int[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
    *,
    learners: Learners = NO_LEARNERS,
    sampling: Sampling = EVEN,
) -> Adjusted:
    """AIPW with cross-fitting: consistent if either the propensity or the outcome regression is right.

    mean of mu_a(Z) + 1(X = a) / P(a | Z) (Y - mu_a(Z)) (Robins, Rotnitzky, Zhao 1994; Chernozhukov et al. 2018).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(4000, 1))
        >>> x = (z[:, 0] + rng.normal(size=4000) > 0).astype(int)
        >>> from causalvlm.estimation.propensity import fit_propensity
        >>> fit = augmented(fit_propensity(z, x, pair=(1, 0), rng=rng), z, x, x + z[:, 0])
        >>> (fit.means[1] - fit.means[0]).round(1)
        np.float64(1.0)
    """
    arms = np.arange(propensity.probabilities.shape[1])
    regressions = candidates(adjusting(adjustment.shape[1], int(np.bincount(treatment).min())), learners.outcome)
    judged = cross_fit_arms(regressions, adjustment, treatment, outcome, propensity.assigned, sampling)
    mu = judged.predictions
    weights = (treatment[:, None] == arms) / propensity.probabilities
    weights = weights / sampling.mean(weights)
    uncentred = mu + weights * (outcome[:, None] - mu)
    means = sampling.mean(uncentred)
    notes = *judged.notes("model of the outcome"), *notes_of_product(propensity.slow, judged.slow)
    return Adjusted(means, uncentred - means, (*propensity.notes, *notes))


def run(problem: Problem, *, rng: np.random.Generator) -> Fit:
    """AIPW on a problem with a treatment of few levels and a numeric outcome.

    Example:
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import BackDoor
        >>> from causalvlm.worlds.embedding import EmbeddingWorld
        >>> rng = np.random.default_rng(0)
        >>> table = EmbeddingWorld(dim=2).sample(400, rng=rng)
        >>> run(read_problem(table, BackDoor("X", "Y", ("U",))), rng=rng).means.shape
        (2, 1)
    """
    propensity, columns = propensity_of(problem, rng=rng), (problem.covariates, problem.codes, problem.outcome)
    fitted = augmented(propensity, *columns, learners=problem.learners, sampling=problem.sampling)
    numbers = fitted.means, fitted.influence, propensity.overlap, problem.arms.pair, fitted.notes
    return from_overlap(*numbers, sampling=problem.sampling)
