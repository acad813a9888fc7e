"""Doubly robust one-step front door with cross-fitting, for vector and embedding mediators.

The efficient influence function of E[Y | do(a)] (Fulcher, Shpitser, Marealle, Tchetgen Tchetgen, JRSS-B 82, 2020,
theorem 1), with mu(s, x, c) = E[Y | s, x, c] and pi(x | c) = P(X = x | c), is

    w_a (Y - mu(S, X, C)) + 1(X = a) / pi(a | C) (xi(S, C) - theta_a(C)) + eta_a(X, C) - psi(a)
    w_a = p(S | a, C) / p(S | X, C),  xi(s, c) = sum_x' mu(s, x', c) pi(x' | c),
    eta_a(x', c) = E[mu(S, x', C) | a, c],  theta_a(c) = sum_x' eta_a(x', c) pi(x' | c).

No density of the mediator is modelled: by Bayes' rule w_a is the odds of a classifier of X from (S, C) over the
propensity's (Guo, Benkeser, Nabi, arXiv 2312.10234), the same probe that measures how well X is decoded from S. The
estimate is consistent if either the classifier and the propensity are right, or mu and the propensity.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from causalvlm.estimation.arm_means import FitArms, candidates, joint, separate
from causalvlm.estimation.check import Note
from causalvlm.estimation.cross_fitting import (
    Candidates,
    Judged,
    cross_fit,
    cross_fit_classes,
    folds,
    notes_of_product,
    splits,
)
from causalvlm.estimation.fit import Fit, from_overlap
from causalvlm.estimation.flexible import CLASSES, SLOW_CLASSES
from causalvlm.estimation.learners import NO_LEARNERS, Learners, classification
from causalvlm.estimation.nuisance import (
    QUADRATIC_COLUMNS,
    ROWS_PER_COLUMN,
    FitClasses,
    Matrix,
    discriminant,
    least_squares,
    logistic,
    reduction,
)
from causalvlm.estimation.overlap import Overlap, kish, pair_auc
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.propensity import classifiers
from causalvlm.estimation.sampling import EVEN, Sampling, Weights, weighted_mean
from causalvlm.estimation.targets import Mean

_LOGISTIC_COLUMNS = 100

Outcome = Float[np.ndarray, " _"]


@dataclass(frozen=True)
class OneStep:
    """Do-means by the one-step estimator.

    Attributes:
        means: E[Y | do(level)] for each treatment level.
        influence: influence function of each mean.
        overlap: effective sample sizes of the weights, and the AUC of the treatment decoded from the mediator.
        reduced_to: principal components that stand for the mediator, or None if it was used as it is.
        notes: what a reader of the numbers must know.

    Example:
        >>> OneStep(np.zeros(2), np.zeros((4, 2)), Overlap(0.5, np.ones(2), np.ones(2)), None).reduced_to
    """

    means: Float[np.ndarray, " _"]
    influence: Float[np.ndarray, "rows _"]
    overlap: Overlap
    reduced_to: int | None
    notes: tuple[Note, ...] = ()


def one_step(
    mediator: Float[np.ndarray, "rows dim"],
    treatment: Int[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
    *,
    covariates: Float[np.ndarray, "rows _"],
    pair: tuple[int, int],
    rng: np.random.Generator,
    learners: Learners = NO_LEARNERS,
    sampling: Sampling = EVEN,
) -> OneStep:
    """Estimate E[Y | do(a)] for every level a; see the module's docstring for the formula.

    Weights are normalised to mean one within each observed level (Hajek 1971), which removes most of the bias that
    an imperfect classifier leaves in high dimension. Nuisances are the best of a few plain
    candidates by held-out loss, combined with flexible ones where that leaves structure.

    Args:
        mediator: S. Columns beyond a fifth of the training rows are reduced by PCA on each training part.
        treatment: codes 0 ... levels - 1, each occurring.
        outcome: Y.
        covariates: C, possibly with no column.
        pair: the two levels whose AUC is reported.
        rng: splits the rows into folds.
        learners: models of one's own; the classifier is that of the treatment from (S, C), and from C.
        sampling: clusters and weights of the rows.

    Raises:
        OverlapError: if a level has too few rows to cross-fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> u = rng.normal(size=4000)
        >>> x = (u + rng.normal(size=4000) > 0).astype(int)
        >>> s = x[:, None] + rng.normal(size=(4000, 1))
        >>> fit = one_step(s, x, s[:, 0] + u, covariates=np.zeros((4000, 0)), pair=(1, 0), rng=rng)
        >>> (fit.means[1] - fit.means[0]).round(1)  # the naive difference is 2.1
        np.float64(1.0)
    """
    given = _without_outcome(mediator, treatment, covariates, learners, sampling, rng=rng)
    return _with_outcome(given, outcome, pair, learners)


def _with_outcome(given: "_Given", outcome: Outcome, pair: tuple[int, int], learners: Learners) -> OneStep:
    treatment, probe, propensity = given.treatment, given.probe.predictions, given.propensity.predictions
    sampling = given.sampling
    parts = _outcome_parts(given, outcome, learners)
    ratio = _density_ratio(probe, propensity, treatment, sampling)
    uncentred = _uncentred(ratio, parts, outcome, treatment, propensity, sampling)
    means = sampling.mean(uncentred)
    sizes = np.array([kish(column) for column in sampling.weigh(ratio).T])
    notes = (
        *given.probe.notes("classifier of the treatment"),
        *given.propensity.notes("propensity"),
        *parts.notes,
    )
    overlap = Overlap(pair_auc(probe, treatment, pair, sampling), sizes, sizes / len(outcome))
    return OneStep(means, uncentred - means, overlap, given.views.reduced_to, notes)


def run(problem: Problem, *, rng: np.random.Generator) -> Fit:
    """The one-step estimator on a problem with a treatment of few levels and a numeric outcome.

    Example:
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.linear import LinearWorld
        >>> rng = np.random.default_rng(0)
        >>> table = LinearWorld().sample(400, rng=rng)
        >>> table = table.assign(X=table.X > 0)
        >>> run(read_problem(table, FrontDoor("X", "Y", ("S",))), rng=rng).means.shape
        (2, 1)
    """
    pair, columns, learners = problem.arms.pair, (problem.mediator, problem.codes, problem.covariates), problem.learners
    given = problem.once("one-step", lambda: _without_outcome(*columns, learners, problem.sampling, rng=rng))
    fitted = _with_outcome(given, problem.outcome, pair, learners)
    notes = fitted.notes
    if fitted.reduced_to is not None:
        notes = (
            *notes,
            f"the mediator's {len(problem.roles.mediators)} columns were reduced to {fitted.reduced_to} principal "
            "components: what they lose of the treatment's path is missing from the effect. More rows avoid this.",
        )
    return from_overlap(fitted.means, fitted.influence, fitted.overlap, pair, notes, sampling=problem.sampling)


@dataclass(frozen=True)
class _Views:
    """What the nuisance functions see: the mediator, reduced on the training rows if it is wide, and the covariates."""

    mediator: Matrix
    covariates: Matrix
    limit: int

    @property
    def width(self) -> int:
        return min(self.mediator.shape[1], self.limit) + self.covariates.shape[1]

    @cached_property
    def whole(self) -> Matrix:
        return np.hstack([self.mediator, self.covariates])

    @property
    def reduced_to(self) -> int | None:
        return self.limit if self.mediator.shape[1] > self.limit else None

    def features(self, train: Int[np.ndarray, " _"]) -> Callable[[Int[np.ndarray, " _"]], Matrix]:
        project = reduction(self.mediator[train], self.limit)
        return lambda rows: np.hstack([project(self.mediator[rows]), self.covariates[rows]])


@dataclass(frozen=True)
class _Given:
    """The folds, and the nuisance functions that do not depend on the outcome."""

    views: _Views
    treatment: Int[np.ndarray, " rows"]
    assigned: Int[np.ndarray, " rows"]
    probe: Judged
    propensity: Judged
    sampling: Sampling


def _without_outcome(
    mediator: Matrix,
    treatment: Int[np.ndarray, " rows"],
    covariates: Matrix,
    learners: Learners,
    sampling: Sampling,
    *,
    rng: np.random.Generator,
) -> _Given:
    assigned = folds(treatment, rng=rng, sampling=sampling)
    limit = min(len(train) for train, _ in splits(assigned)) // ROWS_PER_COLUMN
    views = _Views(mediator, covariates, limit)
    probes, models = _probes(views.width, learners), classifiers(covariates.shape[1], learners)
    probe = cross_fit_classes(probes, views.whole, treatment, assigned, sampling=sampling, view=views.features)
    propensity = cross_fit_classes(models, covariates, treatment, assigned, sampling=sampling)
    return _Given(views, treatment, assigned, probe, propensity, sampling)


@dataclass(frozen=True)
class _OutcomeParts:
    """Held-out pieces of the influence function, one row per row of the table."""

    mu: Matrix  # mu(S, x', C), a column per level x'
    xi: Outcome  # sum over x' with the row's own propensity
    eta: Float[np.ndarray, "rows _ _"]  # axes row, level a, level x'
    notes: tuple[Note, ...]


def _outcome_parts(given: _Given, outcome: Outcome, learners: Learners) -> _OutcomeParts:
    views, treatment, sampling, propensity = given.views, given.treatment, given.sampling, given.propensity.predictions
    regressions = candidates(_regressions(views.width, int(np.bincount(treatment).min())), learners.outcome)
    every, arms = np.arange(len(outcome)), propensity.shape[1]

    def fold(
        learners: Sequence[FitArms], train: Int[np.ndarray, " _"], held: Int[np.ndarray, " _"]
    ) -> list[Float[np.ndarray, "_ _ _"]]:
        """Axes row, mu and then eta of each level a, level x'."""
        view = views.features(train)
        seen, unseen = view(train), view(held)
        held_fixed, at, weights = views.covariates[train], views.covariates[held], sampling.at(train)
        fits = [fit(seen, treatment[train], outcome[train], arms, weights) for fit in learners]
        eta = [_given_arm(predict(seen), treatment[train], held_fixed, at, weights) for predict in fits]
        return [np.hstack([predict(unseen)[:, None], one]) for predict, one in zip(fits, eta, strict=True)]

    target = Mean(outcome, treatment, lambda found: found[:, every, 0, treatment])
    judged = cross_fit(regressions, fold, target, views.whole, given.assigned, sampling)
    best = judged.predictions
    mu = best[:, 0]
    notes = *judged.notes("model of the outcome"), *notes_of_product(given.probe.slow, judged.slow)
    return _OutcomeParts(mu, (mu * propensity).sum(1), np.ascontiguousarray(best[:, 1:]), notes)


def _given_arm(
    predicted: Matrix, treatment: Int[np.ndarray, " _"], covariates: Matrix, at: Matrix, weights: Weights
) -> Float[np.ndarray, "_ _ _"]:
    """eta_a(x', c): the predictions regressed on C within each arm; their arm mean when there is no covariate."""
    arms, lines = predicted.shape[1], least_squares(_covariate_degree(covariates))
    result = np.empty((len(at), arms, arms))
    for arm in range(arms):
        own = treatment == arm
        result[:, arm] = lines(covariates[own], predicted[own], None if weights is None else weights[own])(at)
    return result


def _density_ratio(
    probe: Matrix, propensity: Matrix, treatment: Int[np.ndarray, " rows"], sampling: Sampling
) -> Float[np.ndarray, "rows _"]:
    """w_a for every row and level a, normalised to mean one within each observed level."""
    rows = np.arange(len(treatment))
    odds = probe / propensity
    ratio = odds / odds[rows, treatment][:, None]
    for arm in range(probe.shape[1]):
        own = np.flatnonzero(treatment == arm)
        ratio[own] /= weighted_mean(ratio[own], sampling.at(own))
    return ratio


def _uncentred(
    ratio: Matrix,
    parts: _OutcomeParts,
    outcome: Outcome,
    treatment: Int[np.ndarray, " rows"],
    propensity: Matrix,
    sampling: Sampling,
) -> Float[np.ndarray, "rows _"]:
    """The uncentred influence function, a column per level; its mean is the estimate."""
    rows, arms = np.arange(len(outcome)), propensity.shape[1]
    inverse = (treatment[:, None] == np.arange(arms)) / propensity
    inverse /= sampling.mean(inverse)
    theta = np.einsum("nax,nx->na", parts.eta, propensity)
    residual = outcome - parts.mu[rows, treatment]
    return ratio * residual[:, None] + inverse * (parts.xi[:, None] - theta) + parts.eta[rows, :, treatment]


def _probes(width: int, learners: Learners) -> Candidates[FitClasses]:
    """Candidate classifiers of X from (S, C): beyond a hundred columns only the shrunken discriminant is calibrated."""
    if learners.treatment is not None:
        return Candidates([classification(learners.treatment, "treatment_model")])
    plain: list[FitClasses] = [discriminant]
    if width <= _LOGISTIC_COLUMNS:
        plain.append(logistic(1))
    if width <= QUADRATIC_COLUMNS:
        plain.append(logistic(2))
    return Candidates(plain, CLASSES, SLOW_CLASSES)


def _covariate_degree(covariates: Matrix) -> int:
    return 2 if covariates.shape[1] <= QUADRATIC_COLUMNS else 1


def _regressions(width: int, smallest_arm: int) -> Sequence[FitArms]:
    """Candidate outcome regressions: one slope for all arms; where the arms are large enough, one for each; curves."""
    plain: list[FitArms] = [joint(least_squares(1))]
    if smallest_arm >= 2 * ROWS_PER_COLUMN * width:
        plain.append(separate(least_squares(1)))
    if width <= QUADRATIC_COLUMNS and smallest_arm >= ROWS_PER_COLUMN * width**2:
        plain.append(separate(least_squares(2)))
    return plain
