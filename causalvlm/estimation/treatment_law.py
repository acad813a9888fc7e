"""The law of a continuous treatment given covariates: its density ratios, and the doses that enough rows are near."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import gaussian_kde

from causalvlm.estimation.arm_means import adjusting, candidates, cross_fit_arms
from causalvlm.estimation.check import Note
from causalvlm.estimation.cross_fitting import LEFT
from causalvlm.estimation.learners import Model
from causalvlm.estimation.nuisance import Matrix
from causalvlm.estimation.overlap import FEWEST_EFFECTIVE_ROWS, kish
from causalvlm.estimation.sampling import Sampling

LARGEST_RATIO = 20.0
"""A heavier row counts as this heavy: one row is no curve, and the outcome's model stands in."""

_DENSITY_GRID = 400
_WINDOW = 0.25  # of a standard deviation of X, to either side: the rows that stand behind a dose
_REACHED = 0.9  # of the rows: with fewer that could get a dose, a reader is told
_LEAST_SPREAD = 0.05  # of the residual variance of X: a guard where the model of the spread goes to zero

Codes = Int[np.ndarray, " _"]
Amounts = Float[np.ndarray, " _"]


@dataclass(frozen=True, eq=False)
class Law:
    """The law of a continuous treatment given covariates: these move its location and its spread, not its shape.

    Attributes:
        treatment: X.
        location: held-out mean of X given the covariates of each row.
        spread: standard deviation likewise.
        sampling: clusters and weights of the rows.
        notes: what a reader of the numbers must know.

    Example:
        >>> x = np.linspace(-1, 1, 200)
        >>> from causalvlm.estimation.sampling import EVEN
        >>> law = Law(x, np.zeros(200), np.ones(200), EVEN, ())
        >>> bool(np.allclose(law.ratio, 1.0, atol=0.05))
        True
    """

    treatment: Amounts
    location: Amounts
    spread: Amounts
    sampling: Sampling
    notes: tuple[Note, ...]

    @property
    def shape(self) -> Amounts:
        """Standardised residuals."""
        return (self.treatment - self.location) / self.spread

    @cached_property
    def ratio(self) -> Amounts:
        """Of each row, w = f(X) / f(X | Z), the density of the shape by kernels."""
        shape = self.shape
        places = np.linspace(shape.min(), shape.max(), _DENSITY_GRID)
        heights = gaussian_kde(shape, weights=self.sampling.weights)(places)

        def density(doses: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
            return np.interp((doses - self.location) / self.spread, places, heights, left=0, right=0) / self.spread

        grid = np.linspace(self.treatment.min(), self.treatment.max(), _DENSITY_GRID)
        heights_of = np.array([self.sampling.mean(density(grid[[place]])) for place in range(len(grid))])
        return np.interp(self.treatment, grid, heights_of) / density(self.treatment)


def law_of(
    treatment: Amounts, covariates: Matrix, assigned: Codes, sampling: Sampling, own: Model | None = None
) -> Law:
    """Fit it, each row's by models that have not seen the row.

    Args:
        treatment: X.
        covariates: Z, possibly with no column.
        assigned: fold of each row.
        sampling: clusters and weights of the rows.
        own: a regressor of one's own of the treatment.

    Example:
        >>> from causalvlm.estimation.sampling import EVEN
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(500, 1))
        >>> x = 3 * z[:, 0] + rng.normal(size=500)
        >>> law_of(x, z, np.arange(500) % 5, EVEN).spread.mean().round()
        np.float64(1.0)
    """
    together = np.zeros_like(assigned)
    plain = adjusting(covariates.shape[1], len(treatment))
    of_treatment = candidates(plain, own, "treatment_model")
    location = cross_fit_arms(of_treatment, covariates, together, treatment, assigned, sampling)
    rest = treatment - location.predictions[:, 0]
    squares = cross_fit_arms(candidates(plain), covariates, together, rest**2, assigned, sampling)
    spread = np.sqrt(np.maximum(squares.predictions[:, 0], _LEAST_SPREAD * sampling.variance(rest)))
    return Law(treatment, location.predictions[:, 0], spread, sampling, location.notes("model of the treatment"))


def capped(ratio: Amounts, sampling: Sampling) -> Amounts:
    """Density ratios with mean one, none above `LARGEST_RATIO` before that.

    Example:
        >>> from causalvlm.estimation.sampling import EVEN
        >>> capped(np.array([1.0, 99.0]), EVEN).round(2)
        array([0.1, 1.9])
    """
    ratio = np.minimum(ratio, LARGEST_RATIO)
    return ratio / sampling.mean(ratio)


@dataclass(frozen=True)
class Near:
    """The rows near a dose, and their density ratios: as many rows stand behind the curve there.

    Attributes:
        treatment: X.
        ratio: w of each row, as it was estimated.
        weights: of the rows.

    Example:
        >>> Near(np.linspace(0, 1, 101), np.ones(101), np.ones(101)).size(0.5)
        15.0
    """

    treatment: Amounts
    ratio: Amounts
    weights: Amounts

    def rows(self, dose: float) -> Bool[np.ndarray, " _"]:
        """Which rows are near."""
        return np.abs(self.treatment - dose) <= _WINDOW * self.treatment.std()

    def ratios(self, dose: float) -> Amounts:
        """Their density ratios."""
        return self.ratio[self.rows(dose)]

    def size(self, dose: float) -> float:
        """Effective rows."""
        found = np.minimum(self.ratios(dose), LARGEST_RATIO) * self.weights[self.rows(dose)]
        return kish(found) if len(found) else 0.0

    def share(self, dose: float) -> float:
        """Effective rows as a share of those that are near."""
        return self.size(dose) / max(len(self.ratios(dose)), 1)

    def notes(self, settings: Amounts) -> tuple[Note, ...]:
        """E[f(X) / f(X | Z) | X = x] is one, or less by the share of Z that never gets the dose x."""
        found: list[str] = []
        for dose in settings:
            ratios = self.ratios(dose)
            if not len(ratios):
                continue
            mean, error = ratios.mean(), ratios.std() / np.sqrt(len(ratios))
            if mean < _REACHED and mean + LEFT * error < 1:
                found.append(
                    f"about {1 - mean:.0%} of the rows could never get the dose {dose:.4g}: the outcome's model "
                    "extrapolates there. Compare doses that all kinds of rows get."
                )
        return tuple(found)


def near_of(law: Law) -> Near:
    """The rows near a dose, by the law of the treatment.

    Example:
        >>> from causalvlm.estimation.sampling import EVEN
        >>> near_of(Law(np.linspace(0, 1, 101), np.zeros(101), np.ones(101), EVEN, ())).rows(0.5).sum()
        np.int64(15)
    """
    return Near(law.treatment, law.ratio, law.sampling.weigh(np.ones(len(law.treatment))))


def supported(treatment: Amounts, size: Callable[[float], float]) -> tuple[float, float]:
    """The doses around the median up to the first, on either side, that has too few effective rows.

    Example:
        >>> supported(np.linspace(0, 1, 101), lambda dose: 99.0 * (dose < 0.8))
        (0.0, 0.795)
    """
    grid = np.quantile(treatment, np.linspace(0, 1, 201))
    few = np.array([size(dose) < FEWEST_EFFECTIVE_ROWS for dose in grid])
    middle = len(grid) // 2
    below, above = np.flatnonzero(few[:middle]), np.flatnonzero(few[middle:])
    low = grid[below[-1] + 1] if len(below) else grid[0]
    high = grid[max(middle + above[0] - 1, 0)] if len(above) else grid[-1]
    return float(low), float(high)
