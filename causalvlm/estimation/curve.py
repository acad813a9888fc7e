"""The response to a continuous treatment as a function of the dose, with a band, and the contrast of any two doses."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from causalvlm.errors import OverlapError
from causalvlm.estimation.sampling import quantile
from causalvlm.estimation.spread import Contrast, Spread, contrast
from causalvlm.intervals import CONFIDENCE

_DRAWS = 4000

Doses = Float[np.ndarray, " _"]
Basis = Callable[[Doses], Float[np.ndarray, "_ _"]]


@dataclass(frozen=True)
class Band:
    """Means along doses.

    Attributes:
        doses: where.
        means: E[Y | do(dose)].
        low: lower ends of 95 per cent intervals, each for its own dose.
        high: upper ends.
        band_low: lower ends of a 95 per cent band for all these doses at once.
        band_high: upper ends.

    Example:
        >>> Band(*(np.zeros(2) for _ in range(6))).means
        array([0., 0.])
    """

    doses: Doses
    means: Doses
    low: Doses
    high: Doses
    band_low: Doses
    band_high: Doses


@dataclass(frozen=True, eq=False, repr=False)
class DoseCurve:
    """A response that is linear in functions of the dose.

    Attributes:
        basis: from doses to the functions' values there, a row per dose.
        coefficients: of the functions.
        spread: uncertainty of the coefficients.
        support: least and greatest dose that enough rows stand behind.
        observed: percentiles of the doses as they were observed; empty where nobody said.

    Example:
        >>> from causalvlm.estimation.spread import Gaussian
        >>> line = line_through((0.0, 1.0), np.array([2.0, 5.0]), Gaussian(np.eye(2) / 100), support=(-1.0, 3.0))
        >>> line.contrast(3.0, 1.0).value, line.at(np.array([2.0])).means
        (6.0, array([8.]))
    """

    basis: Basis
    coefficients: Doses
    spread: Spread
    support: tuple[float, float]
    observed: Doses = field(default_factory=lambda: np.empty(0))

    def __repr__(self) -> str:
        low, high = self.support
        return f"<DoseCurve from {low:.3g} to {high:.3g}, linear in {len(self.coefficients)} functions of the dose>"

    def at(self, doses: Doses | None = None) -> Band:
        """Means with intervals, and with a band that holds the whole curve in 95 of 100 tables.

        The band is as wide as the largest deviation, in standard errors, of 4000 draws of the coefficients (the
        sup-t band of Montiel Olea and Plagborg-Moller, J. Applied Econometrics 34, 2019).

        Args:
            doses: by default fifty from end to end of the support.

        Raises:
            OverlapError: if a dose lies outside the support.
        """
        doses = np.linspace(*self.support, 50) if doses is None else np.asarray(doses, dtype=float)
        self._require_supported(doses)
        rows = self.basis(doses)
        means = rows @ self.coefficients
        deviation = np.sqrt(np.maximum(np.einsum("dk,kl,dl->d", rows, self.spread.covariance, rows), 0.0))
        values, vectors = np.linalg.eigh(self.spread.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        rng, clusters = np.random.default_rng(0), self.spread.clusters
        draws = np.abs(rows @ root @ rng.normal(size=(len(root), _DRAWS)))
        if clusters is not None:  # of the law of Student
            draws = draws / np.sqrt(rng.chisquare(clusters - 1, size=_DRAWS) / (clusters - 1))
        scale, narrow = np.where(deviation > 0, deviation, 1.0)[:, None], quantile(clusters)
        wide = max(float(np.quantile((draws / scale).max(0), CONFIDENCE)), narrow)
        return Band(
            doses,
            means,
            means - narrow * deviation,
            means + narrow * deviation,
            means - wide * deviation,
            means + wide * deviation,
        )

    def contrast(self, treated: float, control: float) -> Contrast:
        """E[Y | do(treated)] - E[Y | do(control)].

        Raises:
            OverlapError: if a dose lies outside the support.
        """
        ends = np.array([treated, control], dtype=float)
        self._require_supported(ends)
        rows = self.basis(ends)
        return contrast(self.coefficients, rows[0] - rows[1], self.spread)

    def _require_supported(self, doses: Doses) -> None:
        low, high = self.support
        outside = doses[(doses < low) | (doses > high)]
        if len(outside):
            raise OverlapError(
                f"doses must lie where rows are, from {low:.4g} to {high:.4g}; received {outside[0]:.4g}. Ask for "
                "doses in between, or collect rows there.",
                effective_sample_size=0.0,
            )


def line_through(
    settings: tuple[float, float],
    means: Doses,
    spread: Spread,
    *,
    support: tuple[float, float],
) -> DoseCurve:
    """The line through the means at two settings.

    Example:
        >>> from causalvlm.estimation.spread import Gaussian
        >>> spread = Gaussian(np.eye(2))
        >>> line_through((1.0, 3.0), np.array([0.0, 4.0]), spread, support=(0.0, 9.0)).contrast(2.0, 1.0).value
        2.0
    """
    first, second = settings

    def basis(doses: Doses) -> Float[np.ndarray, "_ _"]:
        along = (doses - first) / (second - first)
        return np.column_stack([1 - along, along])

    return DoseCurve(basis, means, spread, support)
