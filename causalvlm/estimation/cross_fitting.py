"""Cross-fitting: predictions for rows that a model has not seen, and the choice of a model by what it loses there."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from causalvlm.errors import OverlapError
from causalvlm.estimation.nuisance import Codes, FitClasses, Matrix, discriminant

FOLDS = 5
_FLOOR = 1e-6  # of a class probability: a guard for logarithms, far below any weight that passes the refusal

Array = Float[np.ndarray, "_ ..."]


def folds(codes: Codes, *, rng: np.random.Generator, count: int = FOLDS) -> Int[np.ndarray, " rows"]:
    """Assign every row to a fold at random, balanced within each treatment level.

    Raises:
        OverlapError: if a level has fewer rows than twice the number of folds.

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
    order = np.lexsort((rng.random(len(codes)), codes))
    assigned = np.empty(len(codes), dtype=np.int64)
    assigned[order] = np.arange(len(codes)) % count
    return assigned


def splits(assigned: Int[np.ndarray, " rows"]) -> Iterator[tuple[Codes, Codes]]:
    """Yield the positions of the training rows and of the held-out rows of every fold.

    Example:
        >>> [held.tolist() for _, held in splits(np.array([0, 1, 0, 1]))]
        [[0, 2], [1, 3]]
    """
    for fold in range(int(assigned.max()) + 1):
        yield np.flatnonzero(assigned != fold), np.flatnonzero(assigned == fold)


@dataclass(frozen=True)
class Judged:
    """Held-out predictions of the best candidate, and what the candidates lost.

    Example:
        >>> Judged(np.zeros((2, 1)), 1, (0.3, 0.2)).losses[1]
        0.2
    """

    predictions: Array
    chosen: int
    losses: tuple[float, ...]


def cross_fit(
    fold: Callable[[Codes, Codes], Sequence[Array]],
    loss: Callable[[Array], Float[np.ndarray, "_ rows"]],
    assigned: Int[np.ndarray, " rows"],
) -> Judged:
    """Out-of-fold predictions of the candidate with the least held-out loss (van der Laan, Polley, Hubbard 2007).

    Args:
        fold: given training and held-out rows, the predictions at the held-out ones, an array per candidate.
        loss: given the predictions of all candidates for all rows, what each of them loses at each row.
        assigned: fold of each row.

    Example:
        >>> y = np.array([1.0, 3.0, 1.0, 3.0])
        >>> constants = lambda train, held: [np.full(len(held), 0.0), np.full(len(held), y[train].mean())]
        >>> cross_fit(constants, lambda predicted: (predicted - y) ** 2, np.array([0, 0, 1, 1])).chosen
        1
    """
    parts = [(held, fold(train, held)) for train, held in splits(assigned)]
    candidates = parts[0][1]
    held_out = np.empty((len(candidates), len(assigned), *candidates[0].shape[1:]))
    for held, predicted in parts:
        for place, one in enumerate(predicted):
            held_out[place, held] = one
    losses = loss(held_out).mean(1)
    chosen = int(losses.argmin())
    return Judged(held_out[chosen], chosen, tuple(losses.tolist()))


def cross_fit_classes(
    candidates: Sequence[FitClasses],
    features: Callable[[Codes], Callable[[Codes], Matrix]],
    codes: Codes,
    assigned: Int[np.ndarray, " rows"],
) -> Judged:
    """Out-of-fold class probabilities of the candidate with the least held-out log loss.

    Log loss and not accuracy, because the probabilities become weights: they must be calibrated.

    Args:
        candidates: fitting functions.
        features: given training rows, a function from rows to their features (the reduction is fitted in between).
        codes: the class of each row.
        assigned: fold of each row.

    Example:
        >>> from causalvlm.estimation.nuisance import frequencies, logistic
        >>> x = np.tile([0, 1], 20)
        >>> judged = cross_fit_classes(
        ...     [frequencies, logistic(1)], lambda _: lambda rows: x[rows, None] * 1.0, x, np.arange(40) // 8
        ... )
        >>> judged.chosen
        1
    """
    classes, every = int(codes.max()) + 1, np.arange(len(codes))

    def fold(train: Codes, held: Codes) -> list[Matrix]:
        view = features(train)
        return [_floored(fit(view(train), codes[train], classes)(view(held))) for fit in candidates]

    # Hundreds of products of small matrices: with more threads these mostly wait for each other.
    with threadpool_limits(1):
        return cross_fit(fold, lambda predicted: -np.log(predicted[:, every, codes]), assigned)


def decoded(features: Matrix, codes: Codes, *, rng: np.random.Generator) -> Matrix:
    """Held-out class probabilities from the shrunken discriminant, the probe that bears any number of columns.

    Raises:
        OverlapError: if a level has too few rows to cross-fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> decoded(rng.normal(size=(40, 3)), np.repeat([0, 1], 20), rng=rng).shape
        (40, 2)
    """
    assigned = folds(codes, rng=rng)
    return cross_fit_classes([discriminant], lambda _: lambda rows: features[rows], codes, assigned).predictions


def _floored(probabilities: Matrix) -> Matrix:
    kept = np.clip(probabilities, _FLOOR, 1.0)
    return kept / kept.sum(-1, keepdims=True)
