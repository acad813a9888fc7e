"""Learners of nuisance functions for curves, steps and unequal spreads, in one column or in hundreds.

They are tried where the plain models of `nuisance` have left structure in their residuals, and combined with those.
"""

from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh
from scipy.special import softmax
from sklearn.covariance import ledoit_wolf
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression

from causalvlm.estimation.dictionary import dictionary
from causalvlm.estimation.nuisance import Codes, FitClasses, Matrix, Predict

_LANDMARKS = 200
_PENALTIES = np.geomspace(1e-4, 10, 12)  # per row, on standardised columns
_TREES: dict[str, Any] = {
    "max_iter": 100,
    "learning_rate": 0.1,
    "max_leaf_nodes": 8,
    "early_stopping": False,
    "random_state": 0,
}


def smooth(features: Matrix, outcome: Matrix) -> Predict:
    """Ridge regression on bends and bumps, its penalty by generalised cross-validation (Golub, Heath, Wahba 1979).

    Example:
        >>> x = np.linspace(-3, 3, 400)[:, None]
        >>> bool(abs(smooth(x, np.sin(x))(np.array([[1.0]])) - np.sin(1.0)) < 0.02)
        True
    """
    expand = dictionary(features, landmarks=_LANDMARKS)
    design, middle = expand(features), outcome.mean(0)
    values, vectors = eigh(design.T @ design)
    rotated = vectors.T @ (design.T @ (outcome - middle))
    total = ((outcome - middle) ** 2).sum(0)
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
    return lambda other: expand(other) @ slopes + middle


def boosted(features: Matrix, outcome: Matrix) -> Predict:
    """A hundred boosted trees of eight leaves for each outcome column (Friedman 2001; scikit-learn's histograms).

    Example:
        >>> x = np.linspace(-3, 3, 400)[:, None]
        >>> boosted(x, (x > 0) * 1.0)(np.array([[-1.0], [1.0]])).round(1).ravel().tolist()
        [0.0, 1.0]
    """
    models = [HistGradientBoostingRegressor(**_TREES).fit(features, column) for column in outcome.T]
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
    return partial(_fit_smooth_classes, variance)


def _fit_smooth_classes(variance: float, features: Matrix, codes: Codes, classes: int) -> Predict:
    del classes  # every level occurs in every training part
    expand = dictionary(features, landmarks=_LANDMARKS)
    model = LogisticRegression(C=variance, tol=1e-4, max_iter=500).fit(expand(features), codes)
    return lambda other: model.predict_proba(expand(other))


def boosted_classes(features: Matrix, codes: Codes, classes: int) -> Predict:
    """Class probabilities of a hundred boosted trees of eight leaves.

    Example:
        >>> x = np.linspace(-3, 3, 400)[:, None]
        >>> boosted_classes(x, (x[:, 0] > 0).astype(int), 2)(np.array([[-1.0], [1.0]])).argmax(1)
        array([0, 1])
    """
    del classes
    model = HistGradientBoostingClassifier(**_TREES).fit(features, codes)
    return model.predict_proba


def quadratic_discriminant(features: Matrix, codes: Codes, classes: int) -> Predict:
    """Normal classes of unequal covariance, each shrunk after Ledoit and Wolf (2004).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> codes = np.arange(400) % 2
        >>> x = rng.normal(size=(400, 1)) * (1 + 4 * codes[:, None])
        >>> quadratic_discriminant(x, codes, 2)(np.array([[0.0], [6.0]])).argmax(1)
        array([0, 1])
    """
    centre, deviation = features.mean(0), np.maximum(features.std(0), 1e-12)
    scaled = (features - centre) / deviation
    parts = [_Normal.fit(scaled[codes == code], len(codes)) for code in range(classes)]
    return lambda other: softmax(np.column_stack([part.score((other - centre) / deviation) for part in parts]), axis=1)


class _Normal:
    """A normal density times the share of its class."""

    def __init__(self, mean: Float[np.ndarray, " _"], whiten: Matrix, constant: float) -> None:
        self.mean, self.whiten, self.constant = mean, whiten, constant

    @classmethod
    def fit(cls, rows: Matrix, total: int) -> "_Normal":
        covariance, _ = ledoit_wolf(rows)
        values, vectors = eigh(covariance)
        values = np.maximum(values, 1e-9)
        return cls(rows.mean(0), vectors / np.sqrt(values), np.log(len(rows) / total) - 0.5 * np.log(values).sum())

    def score(self, rows: Matrix) -> Float[np.ndarray, " _"]:
        return self.constant - 0.5 * (((rows - self.mean) @ self.whiten) ** 2).sum(1)


CLASSES: tuple[FitClasses, ...] = (smooth_classes(0.003), smooth_classes(0.1), boosted_classes, quadratic_discriminant)
"""Classifiers whose probabilities can be weights, once combined by held-out loss."""
