"""What the back-door estimators share: do-means by adjustment, and the propensity with the overlap that it shows."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from causalvlm.estimation.check import Note
from causalvlm.estimation.cross_fitting import Candidates, cross_fit_classes, folds
from causalvlm.estimation.flexible import CLASSES, SLOW_CLASSES
from causalvlm.estimation.learners import NO_LEARNERS, Learners, classification
from causalvlm.estimation.nuisance import QUADRATIC_COLUMNS, FitClasses, frequencies, logistic
from causalvlm.estimation.overlap import Overlap, kish, pair_auc
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sampling import EVEN, Sampling

_VARIANCES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)


@dataclass(frozen=True)
class Adjusted:
    """Do-means by adjustment.

    Attributes:
        means: E[Y | do(level)] for each treatment level.
        influence: influence function of each mean.
        notes: what a reader of the numbers must know.

    Example:
        >>> Adjusted(np.zeros(2), np.zeros((4, 2))).means
        array([0., 0.])
    """

    means: Float[np.ndarray, " _"]
    influence: Float[np.ndarray, "rows _"]
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Propensity:
    """Held-out probabilities of each treatment level given the adjustment set.

    Attributes:
        probabilities: one column per level.
        assigned: the fold that each row was held out in.
        overlap: effective sample sizes of the inverse probabilities, AUC of the treatment from the adjustment set.
        notes: what a reader of the numbers must know.
        slow: weight of slow learners in it.

    Example:
        >>> Propensity(np.full((2, 2), 0.5), np.zeros(2, dtype=int), Overlap(0.5, np.ones(2), np.ones(2))).overlap.auc
        0.5
    """

    probabilities: Float[np.ndarray, "rows _"]
    assigned: Int[np.ndarray, " rows"]
    overlap: Overlap
    notes: tuple[Note, ...] = ()
    slow: float = 0.0


def fit_propensity(
    adjustment: Float[np.ndarray, "rows _"],
    treatment: Int[np.ndarray, " rows"],
    *,
    pair: tuple[int, int],
    rng: np.random.Generator,
    learners: Learners = NO_LEARNERS,
    sampling: Sampling = EVEN,
) -> Propensity:
    """Cross-fit P(X | Z) by logistic regression, with squares and products or with a firmer penalty if that is better.

    Firmer penalties are for wide sets, such as a label with fifty levels: there an unpenalised fit is so sure of
    chance that its weights explode where the overlap is good.

    The effective size of a level is Kish's, of the weights 1 / P(a | Z) of its rows. Rows that could never get
    the level have no weight that it could see: those show in the AUC.

    Raises:
        OverlapError: if a level has too few rows to cross-fit.

    Example:
        >>> x = np.tile([0, 1], 50)
        >>> fit_propensity(np.zeros((100, 0)), x, pair=(1, 0), rng=np.random.default_rng(0)).overlap.sizes
        array([50., 50.])
    """
    assigned, models = folds(treatment, rng=rng, sampling=sampling), classifiers(adjustment.shape[1], learners)
    judged = cross_fit_classes(models, adjustment, treatment, assigned, sampling=sampling)
    fitted = judged.predictions
    own = treatment[:, None] == np.arange(fitted.shape[1])
    inverse = sampling.weigh(1 / fitted)
    sizes = np.array([kish(inverse[own[:, arm], arm]) for arm in range(fitted.shape[1])])
    return Propensity(
        fitted,
        assigned,
        Overlap(pair_auc(fitted, treatment, pair, sampling), sizes, sizes / own.sum(0)),
        judged.notes("propensity"),
        judged.slow,
    )


def classifiers(width: int, learners: Learners = NO_LEARNERS) -> Candidates[FitClasses]:
    """Candidate models of the treatment given so many covariates, or the one of one's own.

    Example:
        >>> len(classifiers(0).plain), len(classifiers(2).plain)
        (1, 2)
    """
    if not width:
        return Candidates([frequencies])
    if learners.treatment is not None:
        return Candidates([classification(learners.treatment, "treatment_model")])
    if width <= QUADRATIC_COLUMNS:
        return Candidates([logistic(1), logistic(2)], CLASSES, SLOW_CLASSES)
    return Candidates([logistic(1, variance=prior) for prior in _VARIANCES], CLASSES, SLOW_CLASSES)


def propensity_of(problem: Problem, *, rng: np.random.Generator) -> Propensity:
    """The propensity of a back-door problem whose treatment has few levels.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import BackDoor
        >>> problem = read_problem(pd.DataFrame({"X": [0, 1] * 50, "Y": range(100)}), BackDoor("X", "Y", ()))
        >>> propensity_of(problem, rng=np.random.default_rng(0)).probabilities.shape
        (100, 2)
    """
    columns, pair = (problem.covariates, problem.codes), problem.arms.pair
    learners, sampling = problem.learners, problem.sampling
    fit = partial(fit_propensity, *columns, pair=pair, rng=rng, learners=learners, sampling=sampling)
    return problem.once("propensity", fit)
