"""How many rows stand behind an estimate: effective sample sizes and the treatment decoded from the mediator."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from causalvlm.estimation.sampling import EVEN, Sampling

FEWEST_EFFECTIVE_ROWS = 30.0
"""Below this effective sample size nothing is claimed: the normal approximation of a mean has no ground there."""


@dataclass(frozen=True)
class Overlap:
    """Overlap of the treatment levels in the mediator (front door) or in the adjustment set (back door).

    Attributes:
        auc: area under the ROC curve of treated against control decoded from the mediator; 0.5 is perfect overlap.
        sizes: Kish effective sample size (Kish 1965, section 11.7) of each level's weights.
        shares: those sizes as a share of the rows that the weights are spread over: the level's own behind a back door,
            where a rare level is no lack of overlap; all rows behind a front door, whose sum goes over every level.

    Example:
        >>> Overlap(auc=0.5, sizes=np.array([90.0, 100.0]), shares=np.array([0.9, 1.0])).worst((0, 1))
        (90.0, 0.9)
    """

    auc: float
    sizes: Float[np.ndarray, " _"]
    shares: Float[np.ndarray, " _"]

    def worst(self, pair: tuple[int, int]) -> tuple[float, float]:
        """Smallest effective sample size and smallest share over two levels."""
        chosen = list(pair)
        return float(self.sizes[chosen].min()), float(self.shares[chosen].min())


def kish(
    weights: Float[np.ndarray, "..."],
    counts: Float[np.ndarray, "..."] | None = None,
    squares: Float[np.ndarray, "..."] | None = None,
) -> float:
    """Effective sample size (sum w)^2 / sum w^2.

    Args:
        weights: w.
        counts: how many rows have each, or the sum of the weights that these have of their own.
        squares: the sum of the squares of those; by default they have none.

    Example:
        >>> kish(np.array([1.0, 1.0, 0.0, 0.0]))
        2.0
    """
    repeated = np.ones_like(weights) if counts is None else counts
    return float((repeated * weights).sum() ** 2 / ((repeated if squares is None else squares) * weights**2).sum())


def auc(
    scores: Float[np.ndarray, " _"], positive: Bool[np.ndarray, " _"], counts: Float[np.ndarray, " _"] | None = None
) -> float:
    """Area under the ROC curve: P(score of a positive > score of a negative) + half the ties (Hanley, McNeil 1982).

    Example:
        >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
        0.875
    """
    repeated = np.ones(len(scores)) if counts is None else counts
    _, place = np.unique(scores, return_inverse=True)
    above = np.bincount(place, weights=repeated * positive)
    below = np.bincount(place, weights=repeated * ~positive)
    wins = above * (np.cumsum(below) - below / 2)
    return float(wins.sum() / (above.sum() * below.sum()))


def pair_auc(
    probabilities: Float[np.ndarray, "rows _"],
    codes: Int[np.ndarray, " rows"],
    pair: tuple[int, int],
    sampling: Sampling = EVEN,
) -> float:
    """AUC of the two levels of `pair` from class probabilities, over the rows of those levels alone.

    Example:
        >>> pair_auc(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]), (1, 0))
        1.0
    """
    treated, control = pair
    chosen = (codes == treated) | (codes == control)
    kept = probabilities[chosen]
    total = np.maximum(kept[:, treated] + kept[:, control], np.finfo(float).tiny)
    return auc(kept[:, treated] / total, codes[chosen] == treated, sampling.at(np.flatnonzero(chosen)))
