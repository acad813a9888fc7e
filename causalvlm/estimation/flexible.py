"""Learners of nuisance functions for curves, steps and unequal spreads, in one column or in hundreds.

They are tried where the plain models of `nuisance` have left structure in their residuals, and combined with those.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import eigh
from scipy.special import softmax
from sklearn.covariance import ledoit_wolf
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LassoCV, LogisticRegression
from sklearn.preprocessing import SplineTransformer

from causalvlm.estimation.dictionary import WIDEST, Expand, dictionary, standardised
from causalvlm.estimation.nuisance import Codes, FitClasses, Matrix, Predict, logistic, reduction, standardiser
from causalvlm.estimation.sampling import Weights, weighed, weighted_mean

_LANDMARKS = 200
_PENALTIES = np.geomspace(1e-4, 10, 12)  # per row, on standardised columns
_TREES: dict[str, Any] = {
    "max_iter": 100,
    "learning_rate": 0.1,
    "max_leaf_nodes": 8,
    "early_stopping": False,
    "random_state": 0,
}


def smooth(features: Matrix, outcome: Matrix, weights: Weights = None) -> Predict:
    """Ridge regression on bends and bumps, its penalty by generalised cross-validation (Golub, Heath, Wahba 1979).

    Example:
        >>> x = np.linspace(-3, 3, 400)[:, None]
        >>> bool(abs(smooth(x, np.sin(x))(np.array([[1.0]])) - np.sin(1.0)) < 0.02)
        True
    """
    return _ridge(dictionary(features, landmarks=_LANDMARKS), features, outcome, weights)


def additive(features: Matrix, outcome: Matrix, weights: Weights = None) -> Predict:
    """Ridge regression on each column and its square, the penalty chosen likewise: a sum of parabolas.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(400, 30))
        >>> bool(abs(additive(x, (x**2).sum(1, keepdims=True))(np.ones((1, 30))) - 30.0) < 0.1)
        True
    """
    return _ridge(_parabolas(features), features, outcome, weights)


def _ridge(expand: Expand, features: Matrix, outcome: Matrix, weights: Weights) -> Predict:
    design, middle = expand(features), weighted_mean(outcome, weights)
    centre = 0.0 if weights is None else weighted_mean(design, weights)
    centred = design - centre
    weighted = weighed(centred, weights)
    values, vectors = eigh(weighted.T @ centred)
    rotated = vectors.T @ (weighted.T @ (outcome - middle))
    total = weighed((outcome - middle) ** 2, weights).sum(0)
    kept = np.maximum(values, 0.0)[:, None]
    best = np.full(outcome.shape[1], np.inf)
    slopes = np.zeros_like(rotated)
    for penalty in _PENALTIES * len(outcome):
        shrunk = rotated / (kept + penalty)
        loss = total - 2 * (shrunk * rotated).sum(0) + (kept * shrunk**2).sum(0)
        score = loss / (1 - min((kept / (kept + penalty)).sum() / len(outcome), 1 - 1e-9)) ** 2
        slopes = np.where(score < best, shrunk, slopes)
        best = np.minimum(score, best)
    slopes = vectors @ slopes
    return lambda other: (expand(other) - centre) @ slopes + middle


def sparse(features: Matrix, outcome: Matrix, weights: Weights = None) -> Predict:
    """A lasso on splines of each column: a sum of curves of the few columns that matter, among many that do not.

    The penalty is chosen by cross-validation. Beside `sparse_classes` it is the pair of Belloni, Chernozhukov, Hansen
    (2014).

    Example:
        >>> x = np.random.default_rng(0).normal(size=(400, 30))
        >>> bool(abs(sparse(x, x[:, :1] ** 2)(np.ones((1, 30))) - 1.0) < 0.1)
        True
    """
    expand = _splines(features)
    design = expand(features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an unconverged candidate loses on held-out loss
        models = [LassoCV(alphas=20, cv=3, tol=1e-3).fit(design, column, weights) for column in outcome.T]
    return lambda other: np.column_stack([model.predict(expand(other)) for model in models])


def _splines(train: Matrix) -> Expand:
    """Standardised splines of each column, or of each principal component where there are too many."""
    project = reduction(train, WIDEST)
    basis = SplineTransformer(4, degree=2, knots="quantile", extrapolation="linear").fit(project(train))
    return standardised(lambda values: basis.transform(project(values)), train)


def _parabolas(train: Matrix) -> Expand:
    """Standardised columns and squares, or of the principal components where there are too many."""
    project = reduction(train, WIDEST)
    first = standardiser(project(train))

    def columns(values: Matrix) -> Matrix:
        scaled = first(project(values))
        return np.hstack([scaled, scaled**2])

    return standardised(columns, train)


def boosted(features: Matrix, outcome: Matrix, weights: Weights = None) -> Predict:
    """A hundred boosted trees of eight leaves for each outcome column (Friedman 2001; scikit-learn's histograms).

    Example:
        >>> x = np.linspace(-3, 3, 400)[:, None]
        >>> boosted(x, (x > 0) * 1.0)(np.array([[-1.0], [1.0]])).round(1).ravel().tolist()
        [0.0, 1.0]
    """
    models = [HistGradientBoostingRegressor(**_TREES).fit(features, column, weights) for column in outcome.T]
    return lambda other: np.column_stack([model.predict(other) for model in models])


def smooth_classes(variance: float) -> FitClasses:
    """Multinomial logistic regression on bends and bumps.

    Args:
        variance: of the normal prior on each slope.

    Example:
        >>> x = np.linspace(-3, 3, 400)[:, None]
        >>> codes = (np.abs(x[:, 0]) < 1).astype(int)
        >>> smooth_classes(1.0)(x, codes, 2)(np.array([[0.0], [2.0]])).argmax(1)
        array([1, 0])
    """
    return partial(_fit_classes_on, partial(dictionary, landmarks=_LANDMARKS), variance)


def _fit_classes_on(
    expansion: Callable[[Matrix], Expand],
    variance: float,
    features: Matrix,
    codes: Codes,
    classes: int,
    weights: Weights = None,
) -> Predict:
    expand = expansion(features)
    predict = logistic(1, variance=variance)(expand(features), codes, classes, weights)
    return lambda other: predict(expand(other))


def additive_classes(variance: float) -> FitClasses:
    """Multinomial logistic regression on each column and its square: right for normal classes of unequal variances.

    Args:
        variance: of the normal prior on each slope.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> codes = np.arange(400) % 2
        >>> x = rng.normal(size=(400, 30)) * (1 + codes[:, None])
        >>> additive_classes(0.1)(x, codes, 2)(np.array([[0.5], [2.5]]) * np.ones(30)).argmax(1)
        array([0, 1])
    """
    return partial(_fit_classes_on, _parabolas, variance)


def sparse_classes(firmness: float) -> FitClasses:
    """Logistic regression with an absolute penalty on splines of each column, a model for each class.

    Args:
        firmness: of the penalty, in units of the root of log(columns) / rows, which noise alone does not pass.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(400, 30))
        >>> codes = (np.abs(x[:, 0]) < 1).astype(int)
        >>> sparse_classes(0.5)(x, codes, 2)(np.zeros((1, 30))).argmax(1)
        array([1])
    """
    return partial(_fit_sparse_classes, firmness)


def _fit_sparse_classes(
    firmness: float, features: Matrix, codes: Codes, classes: int, weights: Weights = None
) -> Predict:
    expand = _splines(features)
    design = expand(features)
    inverse = 2.0 / (firmness * np.sqrt(len(codes) * np.log(max(design.shape[1], 2))))
    wanted = range(1, 2) if classes == 2 else range(classes)
    models = [
        LogisticRegression(l1_ratio=1.0, solver="liblinear", C=inverse, tol=1e-3, random_state=0).fit(
            design, (codes == one).astype(int), weights
        )
        for one in wanted
    ]
    if classes == 2:
        return lambda other: models[0].predict_proba(expand(other))

    def predict(other: Matrix) -> Matrix:
        columns = expand(other)
        each = np.column_stack([model.predict_proba(columns)[:, 1] for model in models])
        return each / each.sum(1, keepdims=True)

    return predict


def boosted_classes(features: Matrix, codes: Codes, classes: int, weights: Weights = None) -> Predict:
    """Class probabilities of a hundred boosted trees of eight leaves.

    Example:
        >>> x = np.linspace(-3, 3, 400)[:, None]
        >>> boosted_classes(x, (x[:, 0] > 0).astype(int), 2)(np.array([[-1.0], [1.0]])).argmax(1)
        array([0, 1])
    """
    del classes
    model = HistGradientBoostingClassifier(**_TREES).fit(features, codes, weights)
    return model.predict_proba


def quadratic_discriminant(features: Matrix, codes: Codes, classes: int, weights: Weights = None) -> Predict:
    """Normal classes of unequal covariance, each shrunk after Ledoit and Wolf (2004).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> codes = np.arange(400) % 2
        >>> x = rng.normal(size=(400, 1)) * (1 + 4 * codes[:, None])
        >>> quadratic_discriminant(x, codes, 2)(np.array([[0.0], [6.0]])).argmax(1)
        array([0, 1])
    """
    scale = standardiser(features)
    rows = [codes == code for code in range(classes)]
    likelihoods = [_log_likelihood(scale(features[own]), None if weights is None else weights[own]) for own in rows]
    sizes = np.bincount(codes, weights, minlength=classes)
    shares = np.log(sizes / sizes.sum())
    return lambda other: softmax(np.column_stack([one(scale(other)) for one in likelihoods]) + shares, axis=1)


def _log_likelihood(rows: Matrix, weights: Weights) -> Predict:
    """Of the normal with the mean and the shrunken covariance of `rows`, up to a constant, as a column."""
    mean = weighted_mean(rows, weights)
    if weights is None:
        covariance, _ = ledoit_wolf(rows)
    else:
        roots = np.sqrt(weights / weights.mean())
        covariance, _ = ledoit_wolf(weighed(rows - mean, roots), assume_centered=True)
    values, vectors = eigh(covariance)
    values = np.maximum(values, 1e-9)
    whiten, constant = vectors / np.sqrt(values), -0.5 * np.log(values).sum()
    return lambda other: constant - 0.5 * (((other - mean) @ whiten) ** 2).sum(1, keepdims=True)


CLASSES: tuple[FitClasses, ...] = (
    smooth_classes(0.003),
    smooth_classes(0.1),
    additive_classes(0.1),
    sparse_classes(0.3),
    boosted_classes,
    quadratic_discriminant,
)
"""Classifiers whose probabilities can be weights, once combined by held-out loss."""

SLOW_CLASSES: tuple[FitClasses, ...] = (boosted_classes,)
"""Those of them that take a slope for a flight of steps."""
