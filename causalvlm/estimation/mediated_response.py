"""Front door for a continuous treatment without a shape assumed: a doubly robust curve of means through the mediators.

With mu(s, x', c) = E[Y | s, x', c] and xi(s, c) = E[mu(s, X', c) | c], the front-door sum

    theta(x) = E_C E[xi(S, C) | X = x, C]

is the back-door curve of xi(S, C), a function of mediator and covariates in place of the outcome; `dose_curves`
projects it on splines b(x). What that leaves out is that xi is estimated. Write the target of the projection as
beta = G^-1 E[b(X) theta(X)], G = E[b(X) b(X)'], and differentiate E[b(X) theta(X)], which is the integral of
b(x) f(x) p(c) p(s | x, c) f(x' | c) mu(s, x', c), in each of its factors [ours: the influence function of Fulcher et
al., JRSS-B 82, 2020, theorem 1, with the indicator of a level replaced by b(x) f(x) / f(x | c)]:

    f(x), p(s | x, c), p(c)   the influence function of the back-door curve of xi;
    p(y | s, x, c)            r(S, X, C) (Y - mu(S, X, C)), r the vector of functions for which
                              E[r g(S, X, C)] = E[b(X) w(X, C) g(S, X', C)] whatever g is, X' drawn anew given C,
                              w = f(X) / f(X | C);
    f(x' | c)                 k(X, C) - E[k(X, C) | C],  k(x', c) = E[b(X) w(X, C) mu(S, x', C) | C = c].

No density of the mediator is modelled: r minimises E[r r'] - 2 E[b w r(S, X', C)], a ridge regression on bends and
bumps of (X, S, C) (Chernozhukov, Newey, Singh, Econometrica 90, 2022), whose penalty is small, so that what mu gets
wrong is made up for at the price of a wider interval. The curve is consistent if mu and the law of X given C are right,
or that law, r and the regressions on C and on (X, C).

How far mu is extrapolated is asked of a classifier that tells the rows from copies of them whose treatment is drawn
anew: the mean over the rows of its odds is one, or less by the share of copies that are like no row. That is said below
three quarters and refused below a half [ours].
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve

from causalvlm.errors import InputError, OverlapError
from causalvlm.estimation.arm_means import adjusting, candidates, cross_fit_arms
from causalvlm.estimation.check import Note
from causalvlm.estimation.cross_fitting import Candidates, Judged, cross_fit_classes, folds, splits
from causalvlm.estimation.curve import DoseCurve
from causalvlm.estimation.dictionary import dictionary
from causalvlm.estimation.dose_curves import DoseResponse, Projected, Responses, fit_of, project, responses
from causalvlm.estimation.fit import Fit
from causalvlm.estimation.flexible import boosted_classes
from causalvlm.estimation.learners import NO_LEARNERS, Learners
from causalvlm.estimation.nuisance import (
    QUADRATIC_COLUMNS,
    ROWS_PER_COLUMN,
    Matrix,
    least_squares,
    logistic,
    reduction,
)
from causalvlm.estimation.overlap import kish
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sampling import EVEN, Sampling, weighed
from causalvlm.estimation.spread import from_influence
from causalvlm.estimation.treatment_law import (
    LARGEST_RATIO,
    Amounts,
    Codes,
    Law,
    law_of,
    near_of,
    supported,
)

_LIKE_ROWS, _LIKE_ROWS_WARNED = 0.5, 0.75  # the table of hard worlds has some on either side
_COPIES, _LANDMARKS = 5, 200
_PENALTY = 40.0  # rows of nothing that pull r towards its mean: few, so that the interval is as wide as overlap is thin
_QUANTILES = 50  # of the treatment's law, over which a model is averaged


def mediated_response(
    mediator: Float[np.ndarray, "rows dim"],
    treatment: Float[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
    *,
    covariates: Float[np.ndarray, "rows _"],
    settings: Float[np.ndarray, " _"],
    rng: np.random.Generator,
    learners: Learners = NO_LEARNERS,
    sampling: Sampling = EVEN,
) -> DoseResponse:
    """The curve of E[Y | do(x)]; see the module's docstring.

    Args:
        mediator: S. Columns beyond a fifth of the training rows are reduced by PCA.
        treatment: X, continuous.
        outcome: Y.
        covariates: C, possibly with no column.
        settings: doses whose support is measured.
        rng: splits the rows into folds, and draws treatments.
        learners: regressors of one's own, of the outcome given (X, S, C) and of the treatment given C.
        sampling: clusters and weights of the rows.

    Raises:
        InputError: if there is a model of the treatment, but nothing to predict it from.
        OverlapError: if there are too few rows to cross-fit, or the treatment leaves the mediator too little freedom.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> u = rng.normal(size=2000)
        >>> x = u + rng.normal(size=2000)
        >>> s = np.sin(x) + rng.normal(size=2000)
        >>> found = mediated_response(
        ...     s[:, None], x, s + u, covariates=np.zeros((2000, 0)), settings=np.array([0.0, 1.0]), rng=rng
        ... )
        >>> bool(abs(found.curve.contrast(1.0, 0.0).value - np.sin(1.0)) < 0.3)
        True
    """
    if learners.treatment is not None and not covariates.shape[1]:
        raise InputError(
            "treatment_model= predicts the treatment from covariates; received a front door without them. Leave it out."
        )
    assigned = folds(np.zeros(len(outcome), dtype=np.int64), rng=rng, sampling=sampling)
    limit = max((len(outcome) - int(np.bincount(assigned).max())) // ROWS_PER_COLUMN, 1)
    held = np.hstack([reduction(mediator, limit)(mediator), covariates])
    law = law_of(treatment, covariates, assigned, sampling, learners.treatment)
    of_outcome = responses(held, treatment, outcome, assigned, sampling, learners.outcome)
    elsewhere = _elsewhere(law, covariates, of_outcome)
    index = (elsewhere * of_outcome.along).sum(1)
    of_index = (
        responses(covariates, treatment, index, assigned, sampling) if covariates.shape[1] else _nothing(of_outcome)
    )
    base = project(law, index, of_index, assigned)

    like_rows = _like_rows(law, held, assigned, rng=rng)
    _require_like_rows(like_rows, len(outcome))
    moved = _represented(law, base, held, assigned, rng=rng)
    second = moved * (outcome - of_outcome.own)[:, None]
    second += _over_doses(law, base, covariates, of_outcome, elsewhere)
    added = sampling.mean(second)
    influence = base.influence + (second - added) @ base.inverse
    coefficients = base.coefficients + base.inverse @ added

    near, behind = near_of(law), _Behind(base, moved, sampling.weigh(np.ones(len(outcome))))
    support = supported(treatment, lambda dose: min(near.size(dose), behind.size(dose)))
    notes = (
        *law.notes,
        *of_outcome.judged.notes("model of the outcome"),
        *(of_index.judged.notes("model of what the mediators pass on") if covariates.shape[1] else ()),
        *_extrapolated(like_rows),
        *_reduced(mediator, limit),
        *near.notes(settings),
    )
    return DoseResponse(
        DoseCurve(base.basis, coefficients, from_influence(influence, sampling), support),
        influence,
        np.array([min(near.size(dose), behind.size(dose)) for dose in settings]),
        np.array([min(near.share(dose), behind.share(dose)) for dose in settings]),
        notes,
    )


def run(problem: Problem, *, rng: np.random.Generator) -> Fit:
    """The curve on a problem with a numeric outcome and a continuous treatment.

    Raises:
        OverlapError: if too few rows stand behind a setting.

    Example:
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.linear import LinearWorld
        >>> rng = np.random.default_rng(0)
        >>> world = LinearWorld(first=0.5)
        >>> problem = read_problem(world.sample(1000, rng=rng), FrontDoor("X", "Y", ("S",)))
        >>> run(problem, rng=rng).means.shape
        (2, 1)
    """
    found = mediated_response(
        problem.mediator,
        problem.arms.doses(),
        problem.outcome,
        covariates=problem.covariates,
        settings=problem.arms.settings[:, 0],
        rng=rng,
        learners=problem.learners,
        sampling=problem.sampling,
    )
    return fit_of(found, problem)


def _elsewhere(law: Law, covariates: Matrix, mu: Responses) -> Matrix:
    """Weights of the grid's doses that average over the law of X given each row's C."""
    if not covariates.shape[1]:
        return np.tile(law.sampling.mean(mu.pull(law.treatment)), (len(covariates), 1))
    shape = law.shape
    drawn = np.quantile(shape, (np.arange(_QUANTILES) + 0.5) / _QUANTILES)
    drawn = (drawn - drawn.mean()) * shape.std() / drawn.std() + shape.mean()
    low, high = mu.grid[0], mu.grid[-1]
    doses = [np.clip(law.location + law.spread * one, low, high) for one in drawn]
    return np.mean([mu.pull(one) for one in doses], axis=0)


def _nothing(mu: Responses) -> Responses:
    """Without covariates w is one, and the curve of xi needs no model of it: it cancels."""
    return Responses(Judged(np.zeros_like(mu.judged.predictions), (1.0,), 0.0), mu.grid)


def _drawn_anew(law: Law, *, rng: np.random.Generator) -> Amounts:
    """A treatment for each row that its covariates could have had."""
    rows, weights = len(law.treatment), law.sampling.weights
    drawn = rng.permutation(rows) if weights is None else rng.choice(rows, rows, p=weights / weights.sum())
    return law.location + law.spread * law.shape[drawn]


def _like_rows(law: Law, held: Matrix, assigned: Codes, *, rng: np.random.Generator) -> float:
    """The share of the rows' copies, their treatments drawn anew, that are like a row.

    Of many columns the classifier sees the prediction of X from them.
    """
    rows, sampling = len(held), law.sampling
    if held.shape[1] >= QUADRATIC_COLUMNS:
        plain, together = adjusting(held.shape[1], rows), np.zeros_like(assigned)
        held = cross_fit_arms(candidates(plain), held, together, law.treatment, assigned, sampling).predictions
    anew = _drawn_anew(law, rng=rng)
    features = np.vstack([np.column_stack([law.treatment, held]), np.column_stack([anew, held])])
    twice, codes = np.tile(np.arange(rows), 2), np.repeat([0, 1], rows)
    models = Candidates([logistic(2)], [boosted_classes])
    probe = cross_fit_classes(models, features, codes, assigned[twice], sampling=sampling.take(twice)).predictions
    return float(sampling.mean(np.minimum(probe[:rows, 1] / probe[:rows, 0], LARGEST_RATIO)))


def _represented(law: Law, base: Projected, held: Matrix, assigned: Codes, *, rng: np.random.Generator) -> Matrix:
    """Held-out r, a column for each spline."""
    weighted, sampling = base.design * base.ratio[:, None], law.sampling
    columns = np.column_stack([law.treatment, held])
    copies = [np.column_stack([_drawn_anew(law, rng=rng), held]) for _ in range(_COPIES)]
    found = np.empty_like(weighted)
    for train, rest in splits(assigned):
        weights, expand = sampling.at(train), dictionary(columns[train], landmarks=_LANDMARKS)
        design = _with_one(expand(columns[train]))
        wanted = np.mean([_with_one(expand(copy[train])).T @ weighed(weighted[train], weights) for copy in copies], 0)
        gram = weighed(design, weights).T @ design
        gram[np.diag_indices(len(gram))] += np.append(1e-8 * len(train), np.full(len(gram) - 1, _PENALTY))
        found[rest] = _with_one(expand(columns[rest])) @ cho_solve(cho_factor(gram), wanted)
    return found


def _with_one(columns: Matrix) -> Matrix:
    return np.column_stack([np.ones(len(columns)), columns])


def _over_doses(law: Law, base: Projected, covariates: Matrix, mu: Responses, elsewhere: Matrix) -> Matrix:
    """k(X, C) - E[k(X, C) | C]: what the table's own treatments, of all that it could have had, do to the average."""
    weighted, moved = base.design * base.ratio[:, None], mu.pull(law.treatment) - elsewhere
    if not covariates.shape[1]:
        return moved @ (law.sampling.cross(mu.along, weighted) / len(weighted))
    products = (weighted[:, :, None] * mu.along[:, None, :]).reshape(len(weighted), -1)
    degree = 2 if covariates.shape[1] <= QUADRATIC_COLUMNS else 1
    given = least_squares(degree)(covariates, products, law.sampling.weights)(covariates)
    return np.einsum("nkg,ng->nk", given.reshape(len(weighted), weighted.shape[1], -1), moved)


@dataclass(frozen=True)
class _Behind:
    """The rows that stand behind a dose through their mediators: those whose residuals correct the curve there."""

    base: Projected
    ratio: Matrix
    weights: Amounts

    def size(self, dose: float) -> float:
        of_dose = self.base.inverse @ self.base.basis(np.array([dose]))[0]
        return kish(np.maximum(self.ratio @ of_dose, 0.0) * self.weights)

    def share(self, dose: float) -> float:
        return self.size(dose) / len(self.weights)


def _require_like_rows(share: float, rows: int) -> None:
    if share < _LIKE_ROWS:
        raise OverlapError(
            "the mediator must vary while the treatment is held fixed, so that mediators occur with treatments of "
            f"other rows: {_LIKE_ROWS:.0%} of such pairs or more must be like a row; received about {share:.0%}. Use "
            "a coarser treatment, or a mediator with variation of its own.",
            effective_sample_size=share * rows,
        )


def _extrapolated(share: float) -> tuple[Note, ...]:
    if share >= _LIKE_ROWS_WARNED:
        return ()
    return (
        f"about {1 - share:.0%} of the pairs of a mediator and another row's treatment are like no row: the outcome's "
        "model extrapolates there. Read the curve with the refutations.",
    )


def _reduced(mediator: Matrix, limit: int) -> tuple[Note, ...]:
    if mediator.shape[1] <= limit:
        return ()
    return (
        f"the mediator's {mediator.shape[1]} columns were reduced to {limit} principal components: what they lose of "
        "the treatment's path is missing from the effect. More rows avoid this.",
    )
