"""How uncertain a vector of do-means is, and intervals for their linear combinations."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from causalvlm.estimation.sampling import EVEN, Sampling, correction, quantile
from causalvlm.intervals import CONFIDENCE


@dataclass(frozen=True)
class Gaussian:
    """Asymptotic normality: the covariance of the estimates.

    Attributes:
        covariance: of the estimates.
        clusters: how many independent parts of the table it was taken from, if these are clusters: then read with
            Student's t.

    Example:
        >>> round(Gaussian(np.eye(2)).standard_error(np.array([1.0, -1.0])), 3)
        1.414
    """

    covariance: Float[np.ndarray, "_ _"]
    clusters: int | None = None

    def standard_error(self, weights: Float[np.ndarray, " _"]) -> float:
        """Standard error of the combination `weights`."""
        return float(np.sqrt(max(float(weights @ self.covariance @ weights), 0.0)))

    def interval(self, value: float, weights: Float[np.ndarray, " _"]) -> tuple[float, float]:
        """Symmetric 95 per cent interval around `value`, the combination `weights` of the estimates."""
        half = quantile(self.clusters) * self.standard_error(weights)
        return float(value - half), float(value + half)


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws, one row each.

    Attributes:
        values: the draws.
        clusters: how many clusters were drawn from; None if rows were.

    Example:
        >>> round(Draws(np.array([[0.0, 1.0], [0.0, 3.0]])).standard_error(np.array([-1.0, 1.0])), 3)
        1.414
    """

    values: Float[np.ndarray, "_ _"]
    clusters: int | None = None

    @property
    def covariance(self) -> Float[np.ndarray, "_ _"]:
        """Of the estimates, over the draws."""
        return correction(self.clusters) * np.cov(self.values, rowvar=False)

    def standard_error(self, weights: Float[np.ndarray, " _"]) -> float:
        """Standard deviation of the combination `weights` over the draws."""
        return float(np.sqrt(correction(self.clusters)) * np.std(self.values @ weights, ddof=1))

    def interval(self, value: float, weights: Float[np.ndarray, " _"]) -> tuple[float, float]:
        """Percentile 95 per cent interval (Efron 1979), widened to `value` should that lie outside.

        Of few clusters it is the expanded one, whose tails are those of Student's t (Hesterberg, American Statistician
        69, 2015).
        """
        tail = (1 - CONFIDENCE) / 2
        if self.clusters is not None:
            tail = float(ndtr(-np.sqrt(correction(self.clusters)) * quantile(self.clusters)))
        low, high = np.quantile(self.values @ weights, [tail, 1 - tail])
        return float(min(low, value)), float(max(high, value))


@dataclass(frozen=True)
class OnLine:
    """Means on a line whose slope has an interval of its own, such as one that inverts a test.

    Attributes:
        covariance: of the means.
        settings: where on the line each of them lies.
        slopes: both ends of the slope's 95 per cent interval.
        clusters: as those of `Gaussian`.

    Example:
        >>> OnLine(np.eye(2), np.array([0.0, 2.0]), (0.5, 4.0)).interval(2.0, np.array([-1.0, 1.0]))
        (1.0, 8.0)
    """

    covariance: Float[np.ndarray, "_ _"]
    settings: Float[np.ndarray, " _"]
    slopes: tuple[float, float]
    clusters: int | None = None

    def standard_error(self, weights: Float[np.ndarray, " _"]) -> float:
        """Standard error of the combination `weights`."""
        return Gaussian(self.covariance).standard_error(weights)

    def interval(self, value: float, weights: Float[np.ndarray, " _"]) -> tuple[float, float]:
        """The slope's interval times the distance, of a difference of means; widened to `value` as that of `Draws`.

        Raises:
            ValueError: if `weights` is no difference, whose interval the slope alone does not give.
        """
        if abs(weights.sum()) > 1e-9 * np.abs(weights).sum():
            raise ValueError(f"weights must add up to zero; received {weights}. Take the difference of two means.")
        low, high = sorted(float(weights @ self.settings) * slope for slope in self.slopes)
        return min(low, value), max(high, value)


Spread = Gaussian | Draws | OnLine


def from_influence(influence: Float[np.ndarray, "rows _"], sampling: Sampling = EVEN) -> Gaussian:
    """Covariance of estimates from their influence functions: mean of the outer products over n.

    With clusters, the outer products are of the sums over each (Liang, Zeger 1986), times G / (G - 1).

    Args:
        influence: influence functions, one column per estimate.
        sampling: clusters and weights of the rows.

    Example:
        >>> from_influence(np.array([[1.0], [-1.0]])).covariance
        array([[0.5]])
        >>> from_influence(np.array([[1.0], [1.0], [-2.0]]), Sampling(codes=np.array([0, 0, 1]))).covariance.round(3)
        array([[1.778]])
    """
    rows, totals = len(influence), sampling.totals(influence)
    covariance = totals.T @ totals / rows**2
    return Gaussian(covariance * correction(sampling.count), sampling.count)


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
