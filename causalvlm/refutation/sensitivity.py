"""How strong a violation must be to explain an effect away, and whether an observed suspect violates the front door."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import f as f_distribution


@dataclass(frozen=True)
class Strength:
    """Strength of the two stages of a front door, or of the one of a back door.

    Attributes:
        scores: t-value of each stage.
        degrees: residual degrees of freedom of each.

    Example:
        >>> round(Strength((10.0, 5.0), (98, 97)).robustness(), 3)
        0.395
    """

    scores: tuple[float, ...]
    degrees: tuple[int, ...]

    def robustness(self) -> float:
        """Robustness value of the weaker stage, between 0 and 1."""
        return min(robustness_value(score, free) for score, free in zip(self.scores, self.degrees, strict=True))


def robustness_value(score: float, degrees: int) -> float:
    """Share of residual variance that a latent cause must explain of both ends to bring a slope to zero.

    RV = (sqrt(f^4 + 4 f^2) - f^2) / 2 with f = |t| / sqrt(degrees) (Cinelli, Hazlett, JRSS-B 82, 2020, with q = 1).

    Example:
        >>> round(robustness_value(4.18, 783), 3)  # their example of section 4.2: violence in Darfur
        0.139
    """
    squared = score**2 / degrees
    return float((np.sqrt(squared**2 + 4 * squared) - squared) / 2)


def front_door_strength(
    mediator: Float[np.ndarray, "rows dim"],
    given: Float[np.ndarray, "rows _"],
    outcome: Float[np.ndarray, " rows"],
    shift: Float[np.ndarray, " _"],
) -> Strength:
    """t-values of X on the index b.S, and of Y on S in the direction that X moves it, in the linear model.

    Args:
        mediator: S.
        given: intercept, treatment columns and covariates.
        outcome: Y.
        shift: difference of `given` between treated and control.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=1000)
        >>> s = x + rng.normal(size=1000)
        >>> given = np.column_stack([np.ones(1000), x])
        >>> front_door_strength(s[:, None], given, s + rng.normal(size=1000), np.array([0.0, 1.0])).degrees
        (998, 997)
    """
    rows, dim = mediator.shape
    inverse = np.linalg.pinv(given.T @ given)
    first = inverse @ (given.T @ mediator)
    own = mediator - given @ first
    moved = shift @ first
    slopes_of = np.linalg.pinv(own.T @ own)
    second = slopes_of @ (own.T @ outcome)
    partial = outcome - mediator @ second
    residual = partial - given @ (inverse @ (given.T @ partial))
    free = rows - given.shape[1], rows - given.shape[1] - dim
    index = own @ second
    variances = (
        (index @ index / free[0]) * (shift @ inverse @ shift),
        (residual @ residual / free[1]) * (moved @ slopes_of @ moved),
    )
    slope = float(moved @ second)
    return Strength(tuple(slope / np.sqrt(max(variance, np.finfo(float).tiny)) for variance in variances), free)


@dataclass(frozen=True)
class Leak:
    """What an observed suspect still says of the mediator once treatment and covariates are held fixed.

    Attributes:
        share: share of the suspect's residual variance that the mediator explains.
        p_value: of no association (F test).

    Example:
        >>> Leak(0.1, 0.5).share
        0.1
    """

    share: float
    p_value: float


def leak(
    suspect: Float[np.ndarray, " rows"], mediator: Float[np.ndarray, "rows dim"], given: Float[np.ndarray, "rows _"]
) -> Leak:
    """Test S independent of a suspect given X and C, in the linear model: the front door requires it of latent causes.

    Args:
        suspect: an observed candidate for the latent confounder, such as an annotated background.
        mediator: S.
        given: intercept, treatment columns and covariates.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> g, s = rng.normal(size=(2, 500))
        >>> leak(g, (s + g)[:, None], np.ones((500, 1))).p_value < 1e-6
        True
    """
    inverse = np.linalg.pinv(given)
    own_g, own_s = suspect - given @ (inverse @ suspect), mediator - given @ (inverse @ mediator)
    fitted = own_s @ np.linalg.lstsq(own_s, own_g, rcond=None)[0]
    total = own_g @ own_g
    rank = int(np.linalg.matrix_rank(own_s))
    free = len(suspect) - given.shape[1] - rank
    if total <= 1e-12 * (suspect @ suspect) or rank == 0 or free < 1:
        return Leak(0.0, 1.0)
    share = float(fitted @ fitted / total)
    statistic = share / rank / max((1 - share) / free, np.finfo(float).tiny)
    return Leak(share, float(f_distribution.sf(statistic, rank, free)))
