"""Curves along the doses of a continuous treatment: doubly robust pseudo-outcomes, projected on splines of the dose.

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
from jaxtyping import Float, Int
from scipy.interpolate import CubicSpline
from sklearn.preprocessing import SplineTransformer

from causalvlm.errors import OverlapError
from causalvlm.estimation.arm_means import FitArms, candidates, separate
from causalvlm.estimation.check import Note
from causalvlm.estimation.cross_fitting import Judged, cross_fit, splits
from causalvlm.estimation.curve import Basis, DoseCurve
from causalvlm.estimation.fit import Fit, from_curve
from causalvlm.estimation.learners import Model
from causalvlm.estimation.nuisance import QUADRATIC_COLUMNS, Matrix, Predict, least_squares
from causalvlm.estimation.overlap import FEWEST_EFFECTIVE_ROWS
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sampling import Sampling
from causalvlm.estimation.targets import Mean
from causalvlm.estimation.treatment_law import Law, capped

_GRID = 25  # doses at which a model is averaged; between them it is a cubic
_KNOTS = (2, 3, 4, 6, 9, 13)

Codes = Int[np.ndarray, " _"]
Amounts = Float[np.ndarray, " _"]


@dataclass(frozen=True)
class DoseResponse:
    """A curve and what it rests on.

    Attributes:
        curve: E[Y | do(x)].
        influence: influence functions of the curve's coefficients.
        sizes: effective rows near each setting.
        shares: of the rows that could stand behind it.
        notes: what a reader of the numbers must know.

    Example:
        >>> from causalvlm.estimation.curve import line_through
        >>> from causalvlm.estimation.spread import from_influence
        >>> line = line_through((0.0, 1.0), np.zeros(2), from_influence(np.eye(2)), support=(0.0, 1.0))
        >>> DoseResponse(line, np.zeros((9, 2)), np.full(2, 40.0), np.ones(2)).curve.support
        (0.0, 1.0)
    """

    curve: DoseCurve
    influence: Float[np.ndarray, "rows _"]
    sizes: Amounts
    shares: Amounts
    notes: tuple[Note, ...] = ()


def fit_of(found: DoseResponse, problem: Problem) -> Fit:
    """The means at the problem's two settings.

    Raises:
        OverlapError: if too few rows stand behind a setting.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.curve import line_through
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.estimation.spread import from_influence
        >>> from causalvlm.identification.estimands import BackDoor
        >>> table = pd.DataFrame({"X": np.linspace(0, 1, 99), "Y": np.arange(99.0)})
        >>> line = line_through((0.0, 1.0), np.arange(2.0), from_influence(np.eye(2)), support=(0.0, 1.0))
        >>> found = DoseResponse(line, np.zeros((99, 2)), np.full(2, 40.0), np.ones(2))
        >>> fit_of(found, read_problem(table, BackDoor("X", "Y", ()))).means.ravel()
        array([0., 1.])
    """
    settings = problem.arms.settings[:, 0]
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


@dataclass(frozen=True)
class Responses:
    """A model of the outcome given dose and other columns.

    Attributes:
        judged: held-out predictions of each row: at its own dose, then at every dose of the grid.
        grid: doses.

    Example:
        >>> Responses(Judged(np.zeros((3, 3)), (1.0,), 0.0), np.array([0.0, 1.0])).along.shape
        (3, 2)
    """

    judged: Judged
    grid: Amounts

    @property
    def own(self) -> Amounts:
        """At each row's own dose."""
        return self.judged.predictions[:, 0]

    @property
    def along(self) -> Matrix:
        """At every dose of the grid."""
        return self.judged.predictions[:, 1:]

    def pull(self, doses: Amounts) -> Matrix:
        """Weights of the grid's values in the value at each dose."""
        return CubicSpline(self.grid, np.eye(len(self.grid)))(doses)


def responses(
    beside: Matrix,
    treatment: Amounts,
    outcome: Amounts,
    assigned: Codes,
    sampling: Sampling,
    own: Model | None = None,
) -> Responses:
    """Held-out predictions of the outcome along the doses, with all else of each row as it is.

    Args:
        beside: what is given with the dose.
        treatment: X.
        outcome: Y.
        assigned: fold of each row.
        sampling: clusters and weights of the rows.
        own: a regressor of one's own of the outcome.

    Example:
        >>> from causalvlm.estimation.sampling import EVEN
        >>> x = np.linspace(0, 1, 100)
        >>> found = responses(np.zeros((100, 0)), x, 2 * x, np.arange(100) % 5, EVEN)
        >>> found.along.mean(0)[[0, -1]].round(2) + 0.0
        array([0., 2.])
    """
    grid = np.unique(np.quantile(treatment, np.linspace(0, 1, _GRID)))
    both, together = np.column_stack([treatment, beside]), np.zeros_like(assigned)
    plain = [separate(least_squares(degree)) for degree in ((1,) if both.shape[1] > QUADRATIC_COLUMNS else (1, 2))]

    def fold(fits: Sequence[FitArms], train: Codes, held: Codes) -> list[Matrix]:
        found = [fit(both[train], together[train], outcome[train], 1, sampling.at(train)) for fit in fits]
        return [np.hstack([predict(both[held]), *_along(predict, grid, beside[held])]) for predict in found]

    target = Mean(outcome, together, lambda mu: mu[:, :, 0])
    return Responses(cross_fit(candidates(plain, own), fold, target, both, assigned, sampling), grid)


def _along(predict: Predict, grid: Amounts, beside: Matrix) -> list[Matrix]:
    return [predict(np.column_stack([np.full(len(beside), dose), beside])) for dose in grid]


@dataclass(frozen=True)
class Projected:
    """Pseudo-outcomes projected on splines.

    Attributes:
        basis: the splines.
        design: their values at each row's dose.
        inverse: of the mean of their products.
        ratio: w of each row, capped, with mean one.
        coefficients: of the splines.
        influence: influence functions of the coefficients.

    Example:
        >>> one = np.ones((3, 1))
        >>> Projected(lambda doses: doses[:, None], one, np.eye(1), one[:, 0], np.zeros(1), one).coefficients
        array([0.])
    """

    basis: Basis
    design: Matrix
    inverse: Matrix
    ratio: Amounts
    coefficients: Amounts
    influence: Matrix


def project(law: Law, outcome: Amounts, mu: Responses, assigned: Codes) -> Projected:
    """Project the pseudo-outcomes; see the module's docstring.

    Args:
        law: of the treatment given Z.
        outcome: Y.
        mu: of Y given X and Z.
        assigned: fold of each row.

    Example:
        >>> from causalvlm.estimation.sampling import EVEN
        >>> x = np.linspace(0, 1, 100)
        >>> folds = np.arange(100) % 5
        >>> from causalvlm.estimation.treatment_law import law_of
        >>> law = law_of(x, np.zeros((100, 0)), folds, EVEN)
        >>> found = project(law, x**2, responses(np.zeros((100, 0)), x, x**2, folds, EVEN), folds)
        >>> (found.basis(np.array([0.5])) @ found.coefficients).round(2)
        array([0.25])
    """
    treatment, sampling = law.treatment, law.sampling
    ratio = capped(law.ratio, sampling)
    residual, along = outcome - mu.own, mu.along
    pull = mu.pull(treatment)
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
    return Projected(basis, design, inverse, ratio, outline + correction, influence)


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
