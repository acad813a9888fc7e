"""Cross-fitted nuisance functions: class probabilities and outcome regressions, each judged on held-out rows."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from causalvlm.errors import OverlapError

FOLDS = 5
_FLOOR = 1e-6  # of a class probability: a guard for logarithms, far below any weight that passes the refusal

Matrix = Float[np.ndarray, "_ _"]
Codes = Int[np.ndarray, " _"]
Predict = Callable[[Matrix], Matrix]
FitClasses = Callable[[Matrix, Codes, int], Predict]
FitMean = Callable[[Matrix, Matrix], Predict]


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


def reduction(train: Matrix, dim: int) -> Callable[[Matrix], Matrix]:
    """Principal components fitted on the training rows alone, or the identity if there are at most `dim` columns.

    Example:
        >>> reduction(np.eye(4), 2)(np.eye(4)).shape
        (4, 2)
    """
    if train.shape[1] <= dim:
        return lambda values: values
    return PCA(n_components=dim, svd_solver="covariance_eigh").fit(train).transform


def discriminant(features: Matrix, codes: Codes, classes: int) -> Predict:
    """Linear discriminant with Ledoit-Wolf shrinkage of the pooled covariance: calibrated in high dimension.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> predict = discriminant(rng.normal(size=(40, 3)), np.repeat([0, 1], 20), 2)
        >>> bool(np.allclose(predict(rng.normal(size=(5, 3))).sum(1), 1.0))
        True
    """
    sizes = np.bincount(codes, minlength=classes)
    deviation = np.maximum(features.std(0), 1e-12)
    scaled = features / deviation
    means = np.stack([scaled[codes == code].mean(0) for code in range(classes)])
    residual = scaled - means[codes]
    amount = float(ledoit_wolf_shrinkage(residual, assume_centered=True))
    covariance = (1 - amount) * (residual.T @ residual) / (len(codes) - classes)
    dim = features.shape[1]
    covariance[np.diag_indices(dim)] += amount * (residual**2).sum() / (len(codes) - classes) / dim + 1e-12
    slopes = cho_solve(cho_factor(covariance), means.T) / deviation[:, None]
    offset = np.log(sizes / len(codes)) - 0.5 * np.einsum("kd,dk->k", means * deviation, slopes)
    return lambda values: _softmax(values @ slopes + offset)


def logistic(degree: int, *, variance: float = 1.0) -> FitClasses:
    """Multinomial logistic regression on standardised polynomial features, penalised for calibration.

    Args:
        degree: of the polynomial.
        variance: of the normal prior on each slope; the smaller, the nearer to the class frequencies.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> logistic(2)(rng.normal(size=(40, 2)), np.repeat([0, 1], 20), 2)(np.zeros((1, 2))).shape
        (1, 2)
    """
    return partial(_fit_logistic, degree, variance)


def _fit_logistic(degree: int, variance: float, features: Matrix, codes: Codes, classes: int) -> Predict:
    del classes  # every level occurs in every training part, see `folds`
    expand = _expansion(features, degree)
    # With many columns and classes the Hessian costs more than the tens of gradient steps that a firm prior needs.
    solver = "newton-cholesky" if variance >= 1 else "lbfgs"
    model = LogisticRegression(C=variance, solver=solver, tol=1e-4 if variance >= 1 else 1e-6, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an unconverged candidate loses on held-out loss
        model.fit(expand(features), codes)
    return lambda values: model.predict_proba(expand(values))


def frequencies(features: Matrix, codes: Codes, classes: int) -> Predict:
    """Class frequencies, whatever the features: the propensity when there is no covariate.

    Example:
        >>> frequencies(np.zeros((4, 0)), np.array([0, 1, 1, 1]), 2)(np.zeros((1, 0)))
        array([[0.25, 0.75]])
    """
    del features
    shares = np.bincount(codes, minlength=classes) / len(codes)
    return lambda values: np.broadcast_to(shares, (len(values), classes))


def least_squares(degree: int, *, ridge: float = 0.0) -> FitMean:
    """Least squares of each outcome column on standardised polynomial features; a tiny ridge bears collinearity.

    Args:
        degree: of the polynomial.
        ridge: rows of nothing that pull each slope towards zero; the more, the nearer to the mean outcome.

    Example:
        >>> line = least_squares(1)(np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [3.0], [5.0]]))
        >>> line(np.array([[3.0]])).round(3)
        array([[7.]])
    """
    return partial(_fit_least_squares, degree, ridge)


def _fit_least_squares(degree: int, ridge: float, features: Matrix, outcome: Matrix) -> Predict:
    expand = _expansion(features, degree)
    design = expand(features)
    middle = outcome.mean(0)
    gram = design.T @ design
    gram[np.diag_indices(len(gram))] += ridge + 1e-8 * len(outcome) + 1e-12
    slopes = cho_solve(cho_factor(gram), design.T @ (outcome - middle))
    return lambda values: expand(values) @ slopes + middle


@dataclass(frozen=True)
class Judged:
    """Held-out predictions of the best candidate, and what the candidates lost.

    Example:
        >>> Judged(np.zeros((2, 1)), 1, (0.3, 0.2)).losses[1]
        0.2
    """

    predictions: Matrix
    chosen: int
    losses: tuple[float, ...]


def cross_fit_classes(
    candidates: Sequence[FitClasses],
    features: Callable[[Codes], Callable[[Codes], Matrix]],
    codes: Codes,
    assigned: Int[np.ndarray, " rows"],
) -> Judged:
    """Out-of-fold class probabilities of the candidate with the least held-out log loss (van der Laan et al. 2007).

    Log loss and not accuracy, because the probabilities become weights: they must be calibrated.

    Args:
        candidates: fitting functions.
        features: given training rows, a function from rows to their features (the reduction is fitted in between).
        codes: the class of each row.
        assigned: fold of each row.

    Example:
        >>> x = np.tile([0, 1], 20)
        >>> judged = cross_fit_classes(
        ...     [frequencies, logistic(1)], lambda _: lambda rows: x[rows, None] * 1.0, x, np.arange(40) // 8
        ... )
        >>> judged.chosen
        1
    """
    classes = int(codes.max()) + 1
    held_out = np.empty((len(candidates), len(codes), classes))
    # Hundreds of products of small matrices: with more threads these mostly wait for each other.
    with threadpool_limits(1):
        for train, held in splits(assigned):
            view = features(train)
            for place, fit in enumerate(candidates):
                held_out[place, held] = fit(view(train), codes[train], classes)(view(held))
    held_out = np.clip(held_out, _FLOOR, 1.0)
    held_out = held_out / held_out.sum(-1, keepdims=True)
    losses = -np.log(held_out[:, np.arange(len(codes)), codes]).mean(1)
    chosen = int(losses.argmin())
    return Judged(held_out[chosen], chosen, tuple(losses.tolist()))


def _expansion(train: Matrix, degree: int) -> Callable[[Matrix], Matrix]:
    """Standardised features and, for degree 2, their standardised squares and products."""
    first = _standardiser(train)
    if degree == 1 or train.shape[1] == 0:
        return first
    rows, columns = np.triu_indices(train.shape[1])
    binary = np.array([len(np.unique(column)) <= 2 for column in train.T])
    kept = (rows != columns) | ~binary[rows]  # the square of a binary column is the column again
    rows, columns = rows[kept], columns[kept]
    second = _standardiser(_products(first(train), rows, columns))
    return lambda values: second(_products(first(values), rows, columns))


def _products(scaled: Matrix, rows: Codes, columns: Codes) -> Matrix:
    return np.hstack([scaled, scaled[:, rows] * scaled[:, columns]])


def _standardiser(train: Matrix) -> Callable[[Matrix], Matrix]:
    centre, deviation = train.mean(0), train.std(0)
    deviation = np.where(deviation > 1e-12 * np.maximum(np.abs(centre), 1.0), deviation, 1.0)
    return lambda values: (values - centre) / deviation


def _softmax(logits: Matrix) -> Matrix:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)
