"""Intervals that hold however weak an instrument is: the slopes that a test of its moments does not reject.

At the true slope b the products of instrument and outcome less b times the treatment have mean zero. Their score test,
with the variance at b itself, is Anderson and Rubin's (Annals of Mathematical Statistics 20, 1949) made robust to
unequal variances (Stock, Wright, Econometrica 68, 2000). Its size does not depend on how the instrument moves the
treatment, where an estimate and its standard error mislead (Staiger, Stock, Econometrica 65, 1997).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.optimize import fminbound, root_scalar
from scipy.special import chdtrc, chdtri, fdtri

from causalvlm.errors import OverlapError
from causalvlm.estimation.sampling import correction, quantile
from causalvlm.intervals import CONFIDENCE

WEAK_F = 10.0
"""Below this effective F an estimate is drawn towards the confounded association (Staiger, Stock 1997)."""

_ANGLES = np.linspace(-np.pi / 2, np.pi / 2, 2001)  # the middle is the estimate, the ends stand for infinite slopes
_COARSE = 10  # every so many of them are tried for a minimum


@dataclass(frozen=True)
class Moments:
    """Products with instruments, whose means vanish together at the true slope.

    Attributes:
        residual: of the instruments with what an estimate of the slope leaves of the outcome, a column for each; no
            instrument may be a combination of others.
        treatment: of the instruments with the treatment.
        step: about the standard error; slopes are tried from the estimate on, the farther the less densely.
        clusters: their number, if each product is the sum over one; the interval is then that of an F of G - 1 degrees
            of freedom, with the factor G / (G - 1) (Cameron, Miller, Journal of Human Resources 50, 2015).

    Example:
        >>> z, noise = np.random.default_rng(0).normal(size=(2, 500, 1))
        >>> low, high = Moments(z * noise, z * z, step=0.05).interval()
        >>> -0.2 < low < 0.0 < high < 0.2
        True
    """

    residual: Float[np.ndarray, "rows _"]
    treatment: Float[np.ndarray, "rows _"]
    step: float
    clusters: int | None = None

    def interval(self) -> tuple[float, float] | None:
        """Both ends of the slopes that are not rejected, less the estimate; infinite if endless, None if there is none.

        Example:
            >>> z, noise = np.random.default_rng(0).normal(size=(2, 500, 1))
            >>> Moments(z * noise, z * noise[::-1], step=5.0).interval()
            (-inf, inf)
        """
        if not self.step:  # nothing is left: the estimate is exact
            return 0.0, 0.0
        limit = self._limit()
        inside = np.flatnonzero(self._statistic(_ANGLES) <= limit)
        if not len(inside):
            return None
        first, last = int(inside[0]), int(inside[-1])
        if first == 0 or last == len(_ANGLES) - 1:
            return -np.inf, np.inf

        def excess(angle: float) -> float:
            return float(self._statistic(np.array([angle]))[0]) - limit

        brackets = _ANGLES[first - 1 : first + 1], _ANGLES[last : last + 2]
        low, high = (root_scalar(excess, bracket=ends.tolist()).root for ends in brackets)
        return float(self.step * np.tan(low)), float(self.step * np.tan(high))

    def _limit(self) -> float:
        count = self.residual.shape[1]
        if self.clusters is None:
            return float(chdtri(count, 1 - CONFIDENCE))
        return correction(self.clusters) * count * float(fdtri(count, self.clusters - 1, CONFIDENCE))

    def p_one_slope(self) -> float:
        """p-value of all moments vanishing at one slope: Hansen's J, the least statistic over all slopes.

        The variance moves with the slope (Hansen, Heaton, Yaron, JBES 14, 1996), so that weak instruments do no harm.

        Example:
            >>> z = np.random.default_rng(0).normal(size=(500, 2))
            >>> y = 2.0 * z[:, :1]  # the second moves the treatment only
            >>> Moments(z * y, z * z.sum(1, keepdims=True), step=0.1).p_one_slope() < 0.001
            True
        """
        free = self.residual.shape[1] - 1
        if not free or not self.step:
            return 1.0
        tried = _ANGLES[::_COARSE]
        at = int(np.clip(self._statistic(tried).argmin(), 1, len(tried) - 2))
        best = fminbound(lambda angle: self._statistic(np.array([angle]))[0], tried[at - 1], tried[at + 1])
        return float(chdtrc(free, self._statistic(np.array([best]))[0]))

    def _statistic(self, angles: Float[np.ndarray, " _"]) -> Float[np.ndarray, " _"]:
        """Chi-squared with a degree of freedom for each instrument, at slopes whose angle in steps is given."""
        along = self.step * np.tan(angles)[:, None, None]
        gap, spread = self._gap, self._spread
        mean = (gap[0] - along * gap[1]).swapaxes(1, 2)
        return (np.linalg.solve(spread[0] - along * spread[1] + along**2 * spread[2], mean) * mean).sum((1, 2))

    @cached_property
    def _gap(self) -> tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]:
        return self.residual.sum(0), self.treatment.sum(0)

    @cached_property
    def _spread(self) -> tuple[Float[np.ndarray, "_ _"], ...]:
        mixed = self.residual.T @ self.treatment
        return self.residual.T @ self.residual, mixed + mixed.T, self.treatment.T @ self.treatment


def slope_interval(
    value: float, error: float, moments: Moments, effective_f: float
) -> tuple[tuple[float, float], tuple[str, ...]]:
    """The interval around an estimate, and what a reader must know of it.

    Args:
        value: the estimated slope.
        error: its standard error.
        moments: with what it leaves.
        effective_f: how strongly the instrument moves the treatment (Montiel Olea, Pflueger, JBES 31, 2013).

    Raises:
        OverlapError: if the instrument is so weak that the interval has no end.

    Example:
        >>> z, noise = np.random.default_rng(0).normal(size=(2, 500, 1))
        >>> (low, high), notes = slope_interval(2.0, 0.05, Moments(z * noise, z * z, step=0.05), effective_f=9.0)
        >>> low < 2.0 < high, notes[0][:50]
        (True, 'the instrument is weak (effective first-stage F 9.')
    """
    found = moments.interval()
    if found is None:
        half = quantile(moments.clusters) * error
        return (value - half, value + half), (
            f"no one slope suits all {moments.residual.shape[1]} columns of the instrument, so that some are none: the "
            "interval is only that of the standard error. Use them one by one, or refute the effect.",
        )
    if np.isinf(found[0]):
        raise OverlapError(
            "the instrument must move the treatment, so strongly that the interval of the effect has two ends; "
            f"received an effective first-stage F of {effective_f:.2g}, with which it has none. Use a stronger "
            "instrument, covariates that explain the treatment, or more rows."
        )
    notes = (
        f"the instrument is weak (effective first-stage F {effective_f:.1f}, below {WEAK_F:.0f}): the value is drawn "
        "towards the confounded association. Rely on the interval, which holds all the same (Anderson and Rubin's).",
    )
    return (value + found[0], value + found[1]), notes if effective_f < WEAK_F else ()
