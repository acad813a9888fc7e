"""Models of the nuisance functions: classifiers whose probabilities can be weights, and outcome regressions."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve
from scipy.special import softmax
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from causalvlm.estimation.sampling import Weights, weighed, weighted_mean

QUADRATIC_COLUMNS = 12
"""Up to so many columns squares and products are tried; with more, firmer penalties are."""

ROWS_PER_COLUMN = 5
"""A regression needs so many rows for each of its columns."""


Matrix = Float[np.ndarray, "_ _"]
Codes = Int[np.ndarray, " _"]
Predict = Callable[[Matrix], Matrix]


@runtime_checkable
class FitClasses(Protocol):
    """From features, classes, their number and weights of the rows to predictions, a column per class."""

    def __call__(self, features: Matrix, codes: Codes, classes: int, weights: Weights = None) -> Predict:
        """Fit it."""
        ...


@runtime_checkable
class FitMean(Protocol):
    """From features, outcomes, a column each, and weights of the rows to predictions."""

    def __call__(self, features: Matrix, outcome: Matrix, weights: Weights = None) -> Predict:
        """Fit it."""
        ...


def reduction(train: Matrix, dim: int) -> Callable[[Matrix], Matrix]:
    """Principal components fitted on the training rows alone, or the identity if there are at most `dim` columns.

    Example:
        >>> reduction(np.eye(4), 2)(np.eye(4)).shape
        (4, 2)
    """
    if train.shape[1] <= dim:
        return lambda values: values
    return PCA(n_components=dim, svd_solver="covariance_eigh").fit(train).transform


def discriminant(features: Matrix, codes: Codes, classes: int, weights: Weights = None) -> Predict:
    """Linear discriminant with Ledoit-Wolf shrinkage of the pooled covariance: calibrated in high dimension.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> predict = discriminant(rng.normal(size=(40, 3)), np.repeat([0, 1], 20), 2)
        >>> bool(np.allclose(predict(rng.normal(size=(5, 3))).sum(1), 1.0))
        True
    """
    sizes = np.bincount(codes, weights, minlength=classes)
    deviation = np.maximum(features.std(0), 1e-12)
    scaled = features / deviation
    rows = [codes == code for code in range(classes)]
    means = np.stack([weighted_mean(scaled[own], None if weights is None else weights[own]) for own in rows])
    residual = weighed(scaled - means[codes], None if weights is None else np.sqrt(weights / weights.mean()))
    amount = float(ledoit_wolf_shrinkage(residual, assume_centered=True))
    covariance = (1 - amount) * (residual.T @ residual) / (len(codes) - classes)
    dim = features.shape[1]
    covariance[np.diag_indices(dim)] += amount * (residual**2).sum() / (len(codes) - classes) / dim + 1e-12
    slopes = cho_solve(cho_factor(covariance), means.T) / deviation[:, None]
    offset = np.log(sizes / sizes.sum()) - 0.5 * np.einsum("kd,dk->k", means * deviation, slopes)
    return lambda values: softmax(values @ slopes + offset, axis=1)


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


def _fit_logistic(
    degree: int, variance: float, features: Matrix, codes: Codes, classes: int, weights: Weights = None
) -> Predict:
    del classes  # every level occurs in every training part, see `folds`
    expand = _expansion(features, degree, weights)
    # With many columns and classes the Hessian costs more than the tens of gradient steps that a firm prior needs.
    solver = "newton-cholesky" if variance >= 1 else "lbfgs"
    model = LogisticRegression(C=variance, solver=solver, tol=1e-4 if variance >= 1 else 1e-6, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an unconverged candidate loses on held-out loss
        model.fit(expand(features), codes, weights)
    return lambda values: model.predict_proba(expand(values))


def frequencies(features: Matrix, codes: Codes, classes: int, weights: Weights = None) -> Predict:
    """Class frequencies, whatever the features: the propensity when there is no covariate.

    Example:
        >>> frequencies(np.zeros((4, 0)), np.array([0, 1, 1, 1]), 2)(np.zeros((1, 0)))
        array([[0.25, 0.75]])
    """
    del features
    shares = np.bincount(codes, weights, minlength=classes)
    shares = shares / shares.sum()
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


def _fit_least_squares(
    degree: int, ridge: float, features: Matrix, outcome: Matrix, weights: Weights = None
) -> Predict:
    expand = _expansion(features, degree, weights)
    design = expand(features)
    middle = weighted_mean(outcome, weights)
    weighted = weighed(design, weights)
    gram = weighted.T @ design
    gram[np.diag_indices(len(gram))] += ridge + 1e-8 * len(outcome) + 1e-12
    slopes = cho_solve(cho_factor(gram), weighted.T @ (outcome - middle))
    if isinstance(expand, Standardiser):  # a line needs no standardised copy of what it is asked at
        slopes = slopes / expand.deviation[:, None]
        offset = middle - expand.centre @ slopes
        return lambda values: values @ slopes + offset
    return lambda values: expand(values) @ slopes + middle


def _expansion(train: Matrix, degree: int, weights: Weights) -> Callable[[Matrix], Matrix]:
    """Standardised features and, for degree 2, their standardised squares and products."""
    first = standardiser(train, weights)
    if degree == 1 or train.shape[1] == 0:
        return first
    rows, columns = np.triu_indices(train.shape[1])
    binary = np.array([len(np.unique(column)) <= 2 for column in train.T])
    kept = (rows != columns) | ~binary[rows]  # the square of a binary column is the column again
    rows, columns = rows[kept], columns[kept]
    second = standardiser(_products(first(train), rows, columns), weights)
    return lambda values: second(_products(first(values), rows, columns))


def _products(scaled: Matrix, rows: Codes, columns: Codes) -> Matrix:
    return np.hstack([scaled, scaled[:, rows] * scaled[:, columns]])


@dataclass(frozen=True)
class Standardiser:
    """A function that takes a centre away and divides by a deviation, column by column.

    Attributes:
        centre: of each column.
        deviation: of each column, never zero.

    Example:
        >>> Standardiser(np.array([1.0]), np.array([2.0]))(np.array([[3.0]]))
        array([[1.]])
    """

    centre: Float[np.ndarray, " _"]
    deviation: Float[np.ndarray, " _"]

    def __call__(self, values: Matrix) -> Matrix:
        """Do so."""
        scaled = values - self.centre
        scaled /= self.deviation
        return scaled


def standardiser(train: Matrix, weights: Weights = None) -> Standardiser:
    """To mean zero and variance one on the training rows; a constant column becomes zero.

    Example:
        >>> standardiser(np.array([[0.0], [2.0]]))(np.array([[3.0]]))
        array([[2.]])
    """
    centre = weighted_mean(train, weights)
    deviation = train.std(0) if weights is None else np.sqrt(weighted_mean((train - centre) ** 2, weights))
    deviation = np.where(deviation > 1e-12 * np.maximum(np.abs(centre), 1.0), deviation, 1.0)
    return Standardiser(centre, deviation)
