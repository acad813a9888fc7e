"""Back door for a continuous treatment without a shape assumed: a doubly robust curve of means.

Pseudo-outcomes whose mean given X = x is E[Y | do(x)] if either the outcome's or the treatment's model is right
(Kennedy, Ma, McHugh, Small, JRSS-B 79, 2017, equation 4),

    w(X, Z) (Y - mu(X, Z)) + m(X),   w = f(X) / f(X | Z),   m(x) = mean over Z of mu(x, Z),

are projected on cubic splines of X, by least squares weighted with w where the residual is (Semenova, Chernozhukov,
Econometrics Journal 24, 2021). The number of knots is the next above that with the least held-out loss, and no w counts
for more than 20: where one would, the outcome's model has to be right.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.interpolate import CubicSpline
from scipy.stats import gaussian_kde
from sklearn.preprocessing import SplineTransformer

from causalvlm.errors import OverlapError
from causalvlm.estimation.arm_means import FitArms, adjusting, candidates, cross_fit_arms, separate
from causalvlm.estimation.check import Note
from causalvlm.estimation.cross_fitting import LEFT, Judged, Mean, cross_fit, folds, splits
from causalvlm.estimation.curve import Basis, DoseCurve
from causalvlm.estimation.fit import Fit, from_curve
from causalvlm.estimation.learners import NO_LEARNERS, Learners
from causalvlm.estimation.nuisance import QUADRATIC_COLUMNS, Matrix, Predict, least_squares
from causalvlm.estimation.overlap import FEWEST_EFFECTIVE_ROWS, kish
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sampling import EVEN, Sampling
from causalvlm.estimation.spread import from_influence

_GRID = 25  # doses at which mu is averaged over Z; between them m is a cubic
_DENSITY_GRID = 400
_KNOTS = (2, 3, 4, 6, 9, 13)
_WINDOW = 0.25  # of a standard deviation of X, to either side: the rows that stand behind a dose
_LARGEST_RATIO = 20.0  # a heavier row counts as this heavy: one row is no curve, and the outcome's model stands in
_REACHED = 0.9  # of the rows: with fewer that could get a dose, a reader is told
_LEAST_SPREAD = 0.05  # of the residual variance of X: a guard where the model of the spread goes to zero

Codes = Int[np.ndarray, " _"]
Amounts = Float[np.ndarray, " _"]


@dataclass(frozen=True)
class DoseResponse:
    """A curve and what it rests on.

    Attributes:
        curve: E[Y | do(x)].
        influence: influence functions of the curve's coefficients.
        sizes: effective rows near each setting.
        shares: of the rows that are near it.
        notes: what a reader of the numbers must know.

    Example:
        >>> from causalvlm.estimation.curve import line_through
        >>> line = line_through((0.0, 1.0), np.zeros(2), from_influence(np.eye(2)), support=(0.0, 1.0))
        >>> DoseResponse(line, np.zeros((9, 2)), np.full(2, 40.0), np.ones(2)).curve.support
        (0.0, 1.0)
    """

    curve: DoseCurve
    influence: Float[np.ndarray, "rows _"]
    sizes: Amounts
    shares: Amounts
    notes: tuple[Note, ...] = ()


def dose_response(
    adjustment: Float[np.ndarray, "rows _"],
    treatment: Float[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
    *,
    settings: Float[np.ndarray, " _"],
    rng: np.random.Generator,
    learners: Learners = NO_LEARNERS,
    sampling: Sampling = EVEN,
) -> DoseResponse:
    """The doubly robust curve; see the module's docstring.

    Args:
        adjustment: Z, possibly with no column.
        treatment: X, continuous.
        outcome: Y.
        settings: doses whose support is measured.
        rng: splits the rows into folds.
        learners: regressors of one's own, of the outcome given (X, Z) and of the treatment given Z.
        sampling: clusters and weights of the rows.

    Raises:
        OverlapError: if there are too few rows to cross-fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(2000, 1))
        >>> x = z[:, 0] + rng.normal(size=2000)
        >>> y = np.sin(x) + z[:, 0] + 0.5 * rng.normal(size=2000)
        >>> found = dose_response(z, x, y, settings=np.array([0.0, 1.0]), rng=rng)
        >>> bool(abs(found.curve.contrast(1.0, 0.0).value - np.sin(1.0)) < 0.2)
        True
    """
    assigned = folds(np.zeros(len(outcome), dtype=np.int64), rng=rng, sampling=sampling)
    ratio, density_notes = _density_ratio(adjustment, treatment, assigned, learners, sampling)
    near = _Near(treatment, ratio, sampling.weigh(np.ones(len(ratio))))
    ratio = np.minimum(ratio, _LARGEST_RATIO)
    ratio = ratio / sampling.mean(ratio)
    grid = np.unique(np.quantile(treatment, np.linspace(0, 1, _GRID)))
    judged = _responses(adjustment, treatment, outcome, grid, assigned, learners, sampling)
    residual, along = outcome - judged.predictions[:, 0], judged.predictions[:, 1:]
    pull = CubicSpline(grid, np.eye(len(grid)))(treatment)  # weights of the grid's values
    averaged = pull @ sampling.mean(along)
    basis = _basis(treatment, ratio * residual + averaged, assigned, sampling)

    design = basis(treatment)
    rows = len(design)
    inverse = np.linalg.pinv(sampling.cross(design, design) / rows, hermitian=True)
    weighted = design * ratio[:, None]
    inverse_weighted = np.linalg.pinv(sampling.cross(weighted, design) / rows, hermitian=True)
    outline = inverse @ (sampling.cross(design, averaged) / rows)
    correction = inverse_weighted @ (sampling.cross(weighted, residual) / rows)
    leverage = sampling.weigh(np.einsum("nk,kl,nl->n", weighted, inverse_weighted, design)) / rows
    left = (residual - design @ correction) / np.maximum(1 - leverage, 0.5)  # as if each row were left out: HC3
    influence = (weighted * left[:, None]) @ inverse_weighted
    influence += (design * (averaged - design @ outline)[:, None]) @ inverse
    influence += (along - sampling.mean(along)) @ (inverse @ (sampling.cross(design, pull) / rows)).T

    curve = DoseCurve(basis, outline + correction, from_influence(influence, sampling), near.support())
    sizes = np.array([near.size(dose) for dose in settings])
    shares = np.array([near.size(dose) / max(len(near.ratios(dose)), 1) for dose in settings])
    notes = (*density_notes, *judged.notes("model of the outcome"), *near.notes(settings))
    return DoseResponse(curve, influence, sizes, shares, notes)


def run(problem: Problem, *, rng: np.random.Generator) -> Fit:
    """The curve on a problem with a numeric outcome and a continuous treatment.

    Raises:
        OverlapError: if too few rows stand behind a setting.

    Example:
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import BackDoor
        >>> from causalvlm.worlds.linear import LinearWorld
        >>> rng = np.random.default_rng(0)
        >>> problem = read_problem(LinearWorld().sample(1000, rng=rng), BackDoor("X", "Y", ("U",)))
        >>> run(problem, rng=rng).means.shape
        (2, 1)
    """
    settings = problem.arms.settings[:, 0]
    found = dose_response(
        problem.covariates,
        problem.arms.doses(),
        problem.outcome,
        settings=settings,
        rng=rng,
        learners=problem.learners,
        sampling=problem.sampling,
    )
    low, high = found.curve.support
    for dose, size in zip(settings, found.sizes, strict=True):
        if not low <= dose <= high:
            raise OverlapError(
                f"a dose must have at least {FEWEST_EFFECTIVE_ROWS:.0f} effective rows near it; {dose:.4g} has "
                f"{size:.1f}. Received too few: compare doses from {low:.4g} to {high:.4g}, or collect rows there.",
                effective_sample_size=float(size),
            )
    numbers = found.curve, found.influence, settings, found.sizes, found.shares, found.notes
    return from_curve(*numbers, sampling=problem.sampling)


def _density_ratio(
    adjustment: Matrix, treatment: Amounts, assigned: Codes, learners: Learners, sampling: Sampling
) -> tuple[Amounts, tuple[Note, ...]]:
    """f(X) / f(X | Z) at each row: location and scale depend on Z, the shape of the density is estimated by kernels."""
    together = np.zeros_like(assigned)
    plain = adjusting(adjustment.shape[1], len(treatment))
    of_treatment = candidates(plain, learners.treatment, "treatment_model")
    location = cross_fit_arms(of_treatment, adjustment, together, treatment, assigned, sampling)
    own = treatment - location.predictions[:, 0]
    squares = cross_fit_arms(candidates(plain), adjustment, together, own**2, assigned, sampling)
    spread = np.sqrt(np.maximum(squares.predictions[:, 0], _LEAST_SPREAD * sampling.variance(own)))
    shape = own / spread
    places = np.linspace(shape.min(), shape.max(), _DENSITY_GRID)
    heights = gaussian_kde(shape, weights=sampling.weights)(places)

    def density(doses: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        return np.interp((doses - location.predictions[:, 0]) / spread, places, heights, left=0, right=0) / spread

    grid = np.linspace(treatment.min(), treatment.max(), _DENSITY_GRID)
    heights_of = np.array([sampling.mean(density(grid[[place]])) for place in range(len(grid))])
    marginal = np.interp(treatment, grid, heights_of)
    return marginal / density(treatment), location.notes("model of the treatment")


def _responses(
    adjustment: Matrix,
    treatment: Amounts,
    outcome: Amounts,
    grid: Amounts,
    assigned: Codes,
    learners: Learners,
    sampling: Sampling,
) -> Judged:
    """Held-out mu at each row's own dose, then at every dose of the grid with the row's own Z."""
    both, together = np.column_stack([treatment, adjustment]), np.zeros_like(assigned)
    plain = [separate(least_squares(degree)) for degree in ((1,) if both.shape[1] > QUADRATIC_COLUMNS else (1, 2))]

    def fold(fits: Sequence[FitArms], train: Codes, held: Codes) -> list[Matrix]:
        found = [fit(both[train], together[train], outcome[train], 1, sampling.at(train)) for fit in fits]
        return [np.hstack([predict(both[held]), *_along(predict, grid, adjustment[held])]) for predict in found]

    target = Mean(outcome, together, lambda mu: mu[:, :, 0])
    return cross_fit(candidates(plain, learners.outcome), fold, target, both, assigned, sampling)


def _along(predict: Predict, grid: Amounts, adjustment: Matrix) -> list[Matrix]:
    return [predict(np.column_stack([np.full(len(adjustment), dose), adjustment])) for dose in grid]


def _basis(treatment: Amounts, pseudo: Amounts, assigned: Codes, sampling: Sampling) -> Basis:
    """Cubic splines with knots at quantiles: one step above the number that predicts held-out pseudo-outcomes best."""
    column = treatment[:, None]
    splines = [SplineTransformer(n_knots=knots, knots="quantile", extrapolation="linear") for knots in _KNOTS]

    def loss(spline: SplineTransformer) -> float:
        design, outcome = sampling.root(spline.fit(column).transform(column)), sampling.root(pseudo)
        parts = [
            outcome[held] - design[held] @ np.linalg.lstsq(design[train], outcome[train], rcond=None)[0]
            for train, held in splits(assigned)
        ]
        return float(sum(part @ part for part in parts))

    best = int(np.argmin([loss(spline) for spline in splines]))
    chosen = splines[min(best + 1, len(splines) - 1)]
    return lambda doses: chosen.transform(doses[:, None])


@dataclass(frozen=True)
class _Near:
    """The rows near a dose, and their density ratios: as many rows stand behind the curve there."""

    treatment: Amounts
    ratio: Amounts
    weights: Amounts

    def rows(self, dose: float) -> Bool[np.ndarray, " _"]:
        return np.abs(self.treatment - dose) <= _WINDOW * self.treatment.std()

    def ratios(self, dose: float) -> Amounts:
        return self.ratio[self.rows(dose)]

    def size(self, dose: float) -> float:
        found = np.minimum(self.ratios(dose), _LARGEST_RATIO) * self.weights[self.rows(dose)]
        return kish(found) if len(found) else 0.0

    def support(self) -> tuple[float, float]:
        """The doses around the median up to the first, on either side, that has too few effective rows."""
        grid = np.quantile(self.treatment, np.linspace(0, 1, 201))
        few = np.array([self.size(dose) < FEWEST_EFFECTIVE_ROWS for dose in grid])
        middle = len(grid) // 2
        below, above = np.flatnonzero(few[:middle]), np.flatnonzero(few[middle:])
        low = grid[below[-1] + 1] if len(below) else grid[0]
        high = grid[max(middle + above[0] - 1, 0)] if len(above) else grid[-1]
        return float(low), float(high)

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
