"""What a nuisance function predicts: how predictions of it are judged, combined and calibrated on held-out rows.

A penalty leans a model towards what all rows have in common, and a combination of models more so. In a doubly robust
estimate the errors of two such functions multiply, and nothing in their residuals shows it. So predictions are
calibrated: probabilities are stretched, and what learners predict together is bent by a monotone function where
held-out loss says so (van der Laan, Luedtke, Carone, arXiv 2411.02771, 2024: with calibrated functions the interval
holds if either of them converges fast enough).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import nnls
from scipy.special import softmax
from sklearn.isotonic import IsotonicRegression

from causalvlm.estimation.nuisance import Codes, Matrix
from causalvlm.estimation.sampling import Weights, weighted_mean

_MIXTURE_STEPS = 1000
_SUM_TO_ONE = 1e3  # weight of the constraint beside errors of size one
_NEWTON_STEPS, _SAME = 20, 1e-6
_STRETCHES = (0.5, 3.0)  # of log-probabilities: beyond these a model is wrong, not lame

Array = Float[np.ndarray, "_ ..."]
Vector = Float[np.ndarray, " _"]


@runtime_checkable
class Target(Protocol):
    """What a nuisance function predicts, and what is done with predictions of it."""

    def losses(self, predictions: Array) -> Float[np.ndarray, "_ _"]:
        """Loss at each row, of each candidate's predictions."""
        ...

    def residuals(self, prediction: Array) -> Float[np.ndarray, "_ _"]:
        """What the prediction leaves, one row per row."""
        ...

    @property
    def groups(self) -> Int[np.ndarray, " _"]:
        """Rows within which something of its own may be left."""
        ...

    def combine(self, predictions: Array, rows: Codes, weights: Weights = None) -> Vector:
        """Shares, none negative and of sum one, that minimise what the candidates' mixture loses at these rows."""
        ...

    def calibrate(self, prediction: Array, assigned: Codes, weights: Weights = None, *, bend: bool) -> Array:
        """The prediction brought to the scale of what it predicts; bent, if asked, each fold's by the others' rows."""
        ...


@dataclass(frozen=True)
class Mean:
    """The outcome's mean, judged by squared error at each row's own treatment level.

    Attributes:
        outcome: Y.
        treatment: the level of each row.
        own: from predictions of all candidates to those at each row's own level, a row per candidate.

    Example:
        >>> target = Mean(np.array([1.0, 2.0]), np.array([0, 1]), lambda found: found[:, [0, 1], [0, 1]])
        >>> target.losses(np.array([[[1.0, 0.0], [0.0, 4.0]]]))
        array([[0., 4.]])
    """

    outcome: Float[np.ndarray, " rows"]
    treatment: Int[np.ndarray, " rows"]
    own: Callable[[Array], Float[np.ndarray, "_ rows"]]

    def losses(self, predictions: Array) -> Float[np.ndarray, "_ _"]:
        """Squared errors."""
        return (self.own(predictions) - self.outcome) ** 2

    def residuals(self, prediction: Array) -> Float[np.ndarray, "_ _"]:
        """Outcome minus prediction, in standard deviations of the outcome."""
        scale = self.outcome.std() or 1.0
        return ((self.outcome - self.own(prediction[None])[0]) / scale)[:, None]

    @property
    def groups(self) -> Int[np.ndarray, " _"]:
        """Treatment levels: a mean may bend in one of them."""
        return self.treatment

    def combine(self, predictions: Array, rows: Codes, weights: Weights = None) -> Vector:
        """Least squares on the simplex (Breiman 1996)."""
        errors = (self.own(predictions) - self.outcome)[:, rows]
        errors = errors if weights is None else errors * np.sqrt(weights)
        scale = max(float(np.abs(errors).max()), np.finfo(float).tiny)
        design = np.vstack([errors.T / scale, np.full(len(errors), _SUM_TO_ONE * np.sqrt(errors.shape[1]))])
        shares, _ = nnls(design, np.append(np.zeros(errors.shape[1]), design[-1, 0]))
        return shares / shares.sum()

    def calibrate(self, prediction: Array, assigned: Codes, weights: Weights = None, *, bend: bool) -> Array:
        """If asked, bent by a monotone function in each level in which that loses less.

        Where a row has more than a number for each level the prediction stays: averages of it would not follow.
        """
        if not bend or prediction.shape[1:] != (int(self.treatment.max()) + 1,):
            return prediction
        result = prediction.copy()
        for level, column in enumerate(prediction.T):
            own = self.treatment == level
            bent = monotone(column, self.outcome, own, assigned, weights)
            gain = (column - self.outcome) ** 2 - (bent - self.outcome) ** 2
            if weighted_mean(gain[own], None if weights is None else weights[own]) > 0:
                result[:, level] = bent
        return result


@dataclass(frozen=True)
class Classes:
    """Class probabilities, judged by log loss: they become weights, so they must be calibrated.

    Attributes:
        codes: the class of each row.

    Example:
        >>> Classes(np.array([1])).losses(np.array([[[0.5, 0.5]]])).round(3)
        array([[0.693]])
    """

    codes: Int[np.ndarray, " rows"]

    def losses(self, predictions: Array) -> Float[np.ndarray, "_ _"]:
        """Negative log probabilities of the classes that occurred."""
        return -np.log(predictions[:, np.arange(len(self.codes)), self.codes])

    def residuals(self, prediction: Array) -> Float[np.ndarray, "_ _"]:
        """Indicators of all classes but the first minus their probabilities."""
        return (self.codes[:, None] == np.arange(1, prediction.shape[1])) - prediction[:, 1:]

    @property
    def groups(self) -> Int[np.ndarray, " _"]:
        """One: the classes are what is predicted."""
        return np.zeros_like(self.codes)

    def combine(self, predictions: Array, rows: Codes, weights: Weights = None) -> Vector:
        """Maximum likelihood of the mixture, by expectation maximisation."""
        likely = predictions[:, rows, self.codes[rows]]
        each = np.ones(len(rows)) if weights is None else weights
        shares = np.full(len(likely), 1 / len(likely))
        for _ in range(_MIXTURE_STEPS):
            shares = shares * (likely @ (each / (shares @ likely))) / each.sum()
        return shares

    def calibrate(self, prediction: Array, assigned: Codes, weights: Weights = None, *, bend: bool) -> Array:
        """Stretched; then, if asked, bent by a monotone function for each class, if that loses less."""
        stretched = self._stretched(prediction, weights)
        if not bend:
            return stretched
        every = np.ones(len(self.codes), dtype=bool)
        columns = [
            np.clip(monotone(column, (self.codes == one) * 1.0, every, assigned, weights), column.min(), column.max())
            for one, column in enumerate(stretched.T)
        ]
        bent = np.column_stack(columns)
        both = np.stack([stretched, bent / bent.sum(1, keepdims=True)])
        before, after = (weighted_mean(loss, weights) for loss in self.losses(both))
        return both[int(after < before)]

    def _stretched(self, prediction: Matrix, weights: Weights) -> Matrix:
        """Log-probabilities times the one number that is likeliest: above one if they are too unsure (Cox 1958)."""
        logs, stretch = np.log(prediction), 1.0
        own = logs[np.arange(len(logs)), self.codes]
        found = prediction
        for _ in range(_NEWTON_STEPS):
            middle = (found * logs).sum(1)
            curvature = weighted_mean((found * logs**2).sum(1) - middle**2, weights)
            step = weighted_mean(own - middle, weights) / max(curvature, np.finfo(float).tiny)
            moved = float(np.clip(stretch + step, *_STRETCHES))
            found = softmax(logs * moved, axis=1)
            if abs(moved - stretch) < _SAME:
                break
            stretch = moved
        return found


def monotone(
    predicted: Vector, observed: Vector, known: Bool[np.ndarray, " _"], assigned: Codes, weights: Weights = None
) -> Vector:
    """Isotonic regression of what was observed on what was predicted, each fold's by the rows of the others.

    Args:
        predicted: held-out predictions.
        observed: what they predict.
        known: the rows to learn from.
        assigned: fold of each row.
        weights: of the rows.

    Example:
        >>> steps = monotone(np.linspace(0, 1, 40), np.repeat([0.0, 1.0], 20), np.ones(40, bool), np.arange(40) % 5)
        >>> steps[[0, 10, 30, 39]]
        array([0., 0., 1., 1.])
    """
    result = np.empty_like(predicted)
    for fold in range(int(assigned.max()) + 1):
        held, others = assigned == fold, known & (assigned != fold)
        curve = IsotonicRegression(out_of_bounds="clip")
        curve.fit(predicted[others], observed[others], None if weights is None else weights[others])
        result[held] = curve.predict(predicted[held])
    return result
