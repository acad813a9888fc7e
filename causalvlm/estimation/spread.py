"""How uncertain a vector of do-means is, and intervals for their linear combinations."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from causalvlm.intervals import CONFIDENCE, Z


@dataclass(frozen=True)
class Gaussian:
    """Asymptotic normality: the covariance of the estimates.

    Example:
        >>> round(Gaussian(np.eye(2)).standard_error(np.array([1.0, -1.0])), 3)
        1.414
    """

    covariance: Float[np.ndarray, "_ _"]

    def standard_error(self, weights: Float[np.ndarray, " _"]) -> float:
        """Standard error of the combination `weights`."""
        return float(np.sqrt(max(float(weights @ self.covariance @ weights), 0.0)))

    def interval(self, value: float, weights: Float[np.ndarray, " _"]) -> tuple[float, float]:
        """Symmetric 95 per cent interval around `value`, the combination `weights` of the estimates."""
        half = Z * self.standard_error(weights)
        return float(value - half), float(value + half)


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws, one row each.

    Example:
        >>> round(Draws(np.array([[0.0, 1.0], [0.0, 3.0]])).standard_error(np.array([-1.0, 1.0])), 3)
        1.414
    """

    values: Float[np.ndarray, "_ _"]

    @property
    def covariance(self) -> Float[np.ndarray, "_ _"]:
        """Of the estimates, over the draws."""
        return np.cov(self.values, rowvar=False)

    def standard_error(self, weights: Float[np.ndarray, " _"]) -> float:
        """Standard deviation of the combination `weights` over the draws."""
        return float(np.std(self.values @ weights, ddof=1))

    def interval(self, value: float, weights: Float[np.ndarray, " _"]) -> tuple[float, float]:
        """Percentile 95 per cent interval (Efron 1979), widened to `value` should that lie outside."""
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(self.values @ weights, [tail, 1 - tail])
        return float(min(low, value)), float(max(high, value))


Spread = Gaussian | Draws


def from_influence(influence: Float[np.ndarray, "rows _"]) -> Gaussian:
    """Covariance of estimates from their influence functions: mean of the outer products over n.

    Example:
        >>> from_influence(np.array([[1.0], [-1.0]])).covariance
        array([[0.5]])
    """
    rows = len(influence)
    return Gaussian(influence.T @ influence / rows**2)


@dataclass(frozen=True)
class Contrast:
    """A difference of two do-means.

    Attributes:
        value: E[Y | do(treated)] - E[Y | do(control)].
        low: lower end of the 95 per cent interval.
        high: upper end.
        standard_error: standard error of the value.

    Example:
        >>> Contrast(0.1, 0.0, 0.2, 0.05).value
        0.1
    """

    value: float
    low: float
    high: float
    standard_error: float


def contrast(means: Float[np.ndarray, " _"], weights: Float[np.ndarray, " _"], spread: Spread) -> Contrast:
    """The combination `weights` of the means, with its interval and standard error.

    Example:
        >>> contrast(np.array([0.2, 0.5]), np.array([-1.0, 1.0]), Gaussian(np.zeros((2, 2)))).high
        0.3
    """
    value = float(means @ weights)
    return Contrast(value, *spread.interval(value, weights), spread.standard_error(weights))
