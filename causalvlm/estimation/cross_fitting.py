"""Cross-fitting: predictions for rows that a model has not seen, and the choice of a model by what it loses there."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from causalvlm.errors import OverlapError
from causalvlm.estimation.check import Check
from causalvlm.estimation.nuisance import Codes, FitClasses, Matrix, discriminant
from causalvlm.estimation.sampling import EVEN, Sampling, Weights
from causalvlm.estimation.structure import p_of_left, structure_left
from causalvlm.estimation.targets import Array, Classes, Target

FOLDS = 5
LEFT = 3.0
"""Standard errors of what is left in the residuals, above which flexible learners are tried."""

_MUCH = 0.25  # of the weights of both of two models
_WORTH = 0.05  # of the weights: less is not worth a learner's time
_FLOOR = 1e-6  # of a class probability: a guard for logarithms, far below any weight that passes the refusal

Learner = TypeVar("Learner")


def folds(
    codes: Codes, *, rng: np.random.Generator, count: int = FOLDS, sampling: Sampling = EVEN
) -> Int[np.ndarray, " rows"]:
    """Assign every row to a fold at random, balanced within each treatment level; a cluster stays in one.

    Raises:
        OverlapError: if a level has fewer rows than twice the number of folds, or lies in fewer clusters than folds.

    Example:
        >>> np.bincount(folds(np.repeat([0, 1], 10), rng=np.random.default_rng(0))).tolist()
        [4, 4, 4, 4, 4]
    """
    sizes = np.bincount(codes)
    if sizes.min() < 2 * count:
        raise OverlapError(
            f"every treatment level must have at least {2 * count} rows for cross-fitting; received {sizes.min()} rows "
            "of one level. Merge rare levels or collect more rows.",
            effective_sample_size=float(sizes.min()),
        )
    if sampling.codes is not None:
        return _whole_clusters(codes, sampling.codes, count, rng=rng)
    order = np.lexsort((rng.random(len(codes)), codes))
    assigned = np.empty(len(codes), dtype=np.int64)
    assigned[order] = np.arange(len(codes)) % count
    return assigned


def _whole_clusters(codes: Codes, clusters: Codes, count: int, *, rng: np.random.Generator) -> Codes:
    """Clusters dealt out in the order of their mean level and size, so that folds are alike in both."""
    sizes = np.bincount(clusters)
    held = np.zeros((len(sizes), int(codes.max()) + 1), dtype=bool)
    held[clusters, codes] = True
    fewest = int(held.sum(0).min())
    if fewest < count:
        raise OverlapError(
            f"every treatment level must lie in at least {count} clusters for cross-fitting; received one in {fewest}. "
            "Merge rare levels, or use finer clusters.",
            effective_sample_size=float(fewest),
        )
    means = np.bincount(clusters, codes) / sizes
    order = np.lexsort((rng.random(len(sizes)), sizes, means))
    dealt = np.empty(len(sizes), dtype=np.int64)
    dealt[order] = np.arange(len(sizes)) % count
    return dealt[clusters]


def splits(assigned: Int[np.ndarray, " rows"]) -> Iterator[tuple[Codes, Codes]]:
    """Yield the positions of the training rows and of the held-out rows of every fold.

    Example:
        >>> [held.tolist() for _, held in splits(np.array([0, 1, 0, 1]))]
        [[0, 2], [1, 3]]
    """
    for fold in range(int(assigned.max()) + 1):
        yield np.flatnonzero(assigned != fold), np.flatnonzero(assigned == fold)


@dataclass(frozen=True)
class Candidates(Generic[Learner]):
    """Learners of one nuisance function.

    Attributes:
        plain: cheap ones, of which the best is taken.
        flexible: costly ones, tried and combined with the best plain one where that leaves structure.
        slow: those of the flexible ones whose errors shrink slowly with the rows.

    Example:
        >>> Candidates(("line", "parabola"), ("trees",)).flexible
        ('trees',)
    """

    plain: Sequence[Learner]
    flexible: Sequence[Learner] = ()
    slow: Sequence[Learner] = ()


@dataclass(frozen=True)
class Judged:
    """Held-out predictions of the best candidate or combination.

    Attributes:
        predictions: an array with a row per row of the table.
        weights: of each candidate that was tried, plain ones first.
        left: how clearly its residuals can still be predicted (`structure_left`).
        slow: weight of the candidates whose errors shrink slowly.

    Example:
        >>> Judged(np.zeros((2, 1)), (0.0, 1.0), 0.0).notes("propensity")
        (Check(model='the propensity', p_value=1.0, warning=''),)
    """

    predictions: Array
    weights: tuple[float, ...]
    left: float
    slow: float = 0.0

    def notes(
        self, model: str, remedy: str = "Compare other estimators, learners or covariates, or collect more rows."
    ) -> tuple[Check, ...]:
        """The check that it leaves no structure, with a warning if it does.

        Example:
            >>> Judged(np.zeros((2, 1)), (1.0,), 5.0).notes("model of the outcome")[0].warning[:60]
            'the model of the outcome leaves structure in held-out rows ('
        """
        warning = (
            f"the {model} leaves structure in held-out rows ({self.left:.1f} standard errors): the interval may be too "
            f"narrow. {remedy}"
        )
        return (Check(f"the {model}", p_of_left(self.left), warning if self.left > LEFT else ""),)


def notes_of_product(slow: float, too: float) -> tuple[str, ...]:
    """A warning where two nuisance functions rest on slow learners: their errors multiply to a bias.

    Cross-fitting makes it small only if the product of both errors shrinks faster than the standard error (Chernozhukov
    et al., Econometrics Journal 21, 2018, assumption 3.2), which no test of either model's residuals can tell.

    Args:
        slow: weight of such learners in one of them.
        too: and in the other.

    Example:
        >>> len(notes_of_product(0.2, 1.0)), len(notes_of_product(0.8, 1.0))
        (0, 1)
    """
    if min(slow, too) <= _MUCH:
        return ()
    return (
        "the models of treatment and outcome both rest on boosted trees, which find jumps but slowly: the product of "
        "their errors may be as large as the standard error, and the interval too narrow. Collect more rows, or give "
        "them a column for what jumps.",
    )


def cross_fit(
    candidates: Candidates[Learner],
    fold: Callable[[Sequence[Learner], Codes, Codes], Sequence[Array]],
    target: Target,
    features: Float[np.ndarray, "rows _"],
    assigned: Int[np.ndarray, " rows"],
    sampling: Sampling = EVEN,
) -> Judged:
    """Out-of-fold predictions of the candidate with the least held-out loss, or of a combination that leaves less.

    The best plain candidate stays if no structure can be found in its held-out residuals. Otherwise the flexible
    candidates are fitted too, those that earn no weight on the first fold to that one alone, and all are combined by
    the weights that minimise held-out loss (the super learner: van der Laan, Polley, Hubbard 2007). What is taken is
    calibrated (`targets`), unless there is nothing to choose from but plain models: these are asked for by name.

    Args:
        candidates: learners.
        fold: given learners, training and held-out rows, predictions at the held-out ones, an array per learner.
        target: how predictions are judged.
        features: what the learners are given, for the check.
        assigned: fold of each row.
        sampling: clusters and weights of the rows.

    Example:
        >>> y = np.array([1.0, 3.0, 1.0, 3.0])
        >>> def fold(constants, train, held):
        ...     return [np.full((len(held), 1), value) for value in constants]
        >>> from causalvlm.estimation.targets import Mean
        >>> target = Mean(y, np.zeros(4, dtype=int), lambda found: found[:, :, 0])
        >>> cross_fit(Candidates((0.0, 2.0)), fold, target, y[:, None], np.array([0, 0, 1, 1])).weights
        (0.0, 1.0)
    """
    parts = list(splits(assigned))
    plain = _held_out(candidates.plain, fold, parts, len(assigned))
    losses = target.losses(plain)
    best = int((losses.mean(1) if sampling.weights is None else losses @ sampling.weights).argmin())
    chosen = tuple(float(place == best) for place in range(len(plain)))
    left = structure_left(features, target.residuals(plain[best]), target.groups, assigned, sampling)
    if not candidates.flexible:
        return Judged(plain[best], chosen, left)
    if left <= LEFT:
        return Judged(target.calibrate(plain[best], assigned, sampling.weights, bend=False), chosen, left)
    first = _held_out(candidates.flexible, fold, parts[:1], len(assigned))
    _, held = parts[0]
    useful = _worth(target, np.concatenate([plain[[best]], first]), held, sampling.at(held))
    learners = [learner for learner, worth in zip(candidates.flexible, useful, strict=True) if worth]
    rest = _held_out(learners, fold, parts[1:], len(assigned))
    tried = np.concatenate([plain[[best]], rest])
    tried[1:, held] = first[useful][:, held]
    shares = target.combine(tried, np.arange(len(assigned)), sampling.weights)
    combined = target.calibrate(np.tensordot(shares, tried, 1), assigned, sampling.weights, bend=True)
    weights = np.zeros(len(useful))
    weights[useful] = shares[1:]
    weights = (*(share * shares[0] for share in chosen), *weights.tolist())
    left = structure_left(features, target.residuals(combined), target.groups, assigned, sampling)
    slow = sum(share for learner, share in zip(learners, shares[1:], strict=True) if learner in candidates.slow)
    return Judged(combined, weights, left, float(slow))


def _held_out(
    learners: Sequence[Learner],
    fold: Callable[[Sequence[Learner], Codes, Codes], Sequence[Array]],
    parts: Sequence[tuple[Codes, Codes]],
    rows: int,
) -> Array:
    """Predictions at the held-out rows of the parts, an array per learner; ones elsewhere."""
    found = [(held, np.stack(fold(learners, train, held))) for train, held in parts]
    result = np.ones((len(learners), rows, *found[0][1].shape[2:]))
    for held, predicted in found:
        result[:, held] = predicted
    return result


def _worth(target: Target, predictions: Array, held: Codes, weights: Weights) -> np.ndarray:
    """Which candidates but the first earn weight on the held-out rows; the best of them at least."""
    shares = target.combine(predictions, held, weights)[1:]
    return (shares >= _WORTH) | (shares == shares.max())


def cross_fit_classes(
    candidates: Candidates[FitClasses],
    features: Matrix,
    codes: Codes,
    assigned: Int[np.ndarray, " rows"],
    *,
    sampling: Sampling = EVEN,
    view: Callable[[Codes], Callable[[Codes], Matrix]] | None = None,
) -> Judged:
    """Out-of-fold class probabilities of the candidate, or the mixture, with the least held-out log loss.

    Args:
        candidates: fitting functions.
        features: one row per row.
        codes: the class of each row.
        assigned: fold of each row.
        sampling: clusters and weights of the rows.
        view: given training rows, a function from rows to what the candidates see of their features, for a reduction
            that is fitted in between; by default all of them.

    Example:
        >>> from causalvlm.estimation.nuisance import frequencies, logistic
        >>> x = np.tile([0, 1], 20)
        >>> judged = cross_fit_classes(
        ...     Candidates((frequencies, logistic(1))), x[:, None] * 1.0, x, np.arange(40) // 8
        ... )
        >>> judged.weights
        (0.0, 1.0)
    """
    classes = int(codes.max()) + 1

    def fold(fits: Sequence[FitClasses], train: Codes, held: Codes) -> list[Matrix]:
        see = features.__getitem__ if view is None else view(train)
        return [_floored(fit(see(train), codes[train], classes, sampling.at(train))(see(held))) for fit in fits]

    # Hundreds of products of small matrices: with more threads these mostly wait for each other.
    with threadpool_limits(1):
        return cross_fit(candidates, fold, Classes(codes), features, assigned, sampling)


def decoded(features: Matrix, codes: Codes, *, rng: np.random.Generator, sampling: Sampling = EVEN) -> Matrix:
    """Held-out class probabilities from the shrunken discriminant, the probe that bears any number of columns.

    Raises:
        OverlapError: if a level has too few rows to cross-fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> decoded(rng.normal(size=(40, 3)), np.repeat([0, 1], 20), rng=rng).shape
        (40, 2)
    """
    classes = int(codes.max()) + 1
    probabilities = np.empty((len(codes), classes))
    with threadpool_limits(1):
        for train, held in splits(folds(codes, rng=rng, sampling=sampling)):
            fitted = discriminant(features[train], codes[train], classes, sampling.at(train))
            probabilities[held] = fitted(features[held])
    return probabilities


def _floored(probabilities: Matrix) -> Matrix:
    kept = np.clip(probabilities, _FLOOR, 1.0)
    return kept / kept.sum(-1, keepdims=True)
