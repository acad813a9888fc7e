"""What an estimator returns: the numbers behind an effect, before anything is claimed about them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from causalvlm.estimation.check import Note
from causalvlm.estimation.curve import DoseCurve
from causalvlm.estimation.overlap import Overlap, kish
from causalvlm.estimation.sample import Level
from causalvlm.estimation.sampling import EVEN, Sampling
from causalvlm.estimation.spread import Spread, from_influence


@dataclass(frozen=True)
class Fit:
    """Numbers of one estimator.

    Attributes:
        means: E[Y | do(setting)], or the class probabilities of a categorical outcome, one row per setting.
        spread: uncertainty of the flattened means.
        effective_sample_size: of the pair of settings that is compared.
        share: that size as a share of the rows it could be: of a level, or of all where all of them stand behind it.
        auc: treated against control decoded from the mediator or the adjustment set; None if X is continuous.
        classes: classes of a categorical outcome; None for a numeric one.
        notes: what a reader of the numbers must know.
        influence: influence function of each mean, unless the uncertainty is bootstrapped.
        curve: the whole response to a continuous treatment, where the estimator has more than a line.

    Example:
        >>> from_tolerance(np.zeros(2), np.zeros((10, 2)), 0.5, auc=None).effective_sample_size
        5.0
    """

    means: Float[np.ndarray, "_ _"]
    spread: Spread
    effective_sample_size: float
    share: float
    auc: float | None
    classes: tuple[Level, ...] | None = None
    notes: tuple[Note, ...] = ()
    influence: Float[np.ndarray, "rows _"] | None = None
    curve: DoseCurve | None = None


def from_overlap(
    means: Float[np.ndarray, " _"],
    influence: Float[np.ndarray, "rows _"],
    overlap: Overlap,
    pair: tuple[int, int],
    notes: tuple[Note, ...] = (),
    *,
    sampling: Sampling = EVEN,
) -> Fit:
    """Means with their influence functions, resting on the rows that weights leave over.

    Example:
        >>> overlap = Overlap(0.5, sizes=np.array([90.0, 100.0]), shares=np.array([0.9, 1.0]))
        >>> from_overlap(np.zeros(2), np.zeros((100, 2)), overlap, (1, 0)).share
        0.9
    """
    rows, share = overlap.worst(pair)
    spread = from_influence(influence, sampling)
    return Fit(means[:, None], spread, rows, share, overlap.auc, notes=notes, influence=influence)


def from_tolerance(
    means: Float[np.ndarray, " _"],
    influence: Float[np.ndarray, "rows _"],
    tolerance: float,
    *,
    auc: float | None,
    notes: tuple[Note, ...] = (),
    sampling: Sampling = EVEN,
) -> Fit:
    """Means of a linear model with their influence functions, resting on the variance that its regressors leave over.

    Example:
        >>> from_tolerance(np.zeros(2), np.zeros((10, 2)), 0.2, auc=0.7).share
        0.2
    """
    rows, spread = tolerance * kish(sampling.weigh(np.ones(len(influence)))), from_influence(influence, sampling)
    return Fit(means[:, None], spread, rows, tolerance, auc, notes=notes, influence=influence)


def from_curve(
    curve: DoseCurve,
    influence: Float[np.ndarray, "rows _"],
    settings: Float[np.ndarray, " _"],
    sizes: Float[np.ndarray, " _"],
    shares: Float[np.ndarray, " _"],
    notes: tuple[Note, ...] = (),
    sampling: Sampling = EVEN,
) -> Fit:
    """Means at settings of a curve, resting on the effective rows near them.

    Args:
        curve: the response.
        influence: influence functions of its coefficients.
        settings: doses.
        sizes: effective rows near each.
        shares: of the rows near each.
        notes: what a reader of the numbers must know.
        sampling: clusters and weights of the rows.

    Example:
        >>> from causalvlm.estimation.curve import line_through
        >>> line = line_through((0.0, 1.0), np.array([2.0, 5.0]), from_influence(np.eye(2)), support=(0.0, 1.0))
        >>> from_curve(line, np.zeros((9, 2)), np.array([0.5]), np.array([4.0]), np.array([0.5])).means
        array([[3.5]])
    """
    rows = curve.basis(settings)
    moved = influence @ rows.T
    means = rows @ curve.coefficients
    return Fit(
        means[:, None],
        from_influence(moved, sampling),
        float(sizes.min()),
        float(shares.min()),
        None,
        notes=notes,
        influence=moved,
        curve=curve,
    )
