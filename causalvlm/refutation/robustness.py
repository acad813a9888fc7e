"""How strong a latent cause must be to explain an effect away."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from causalvlm.refutation.case import Case
from causalvlm.refutation.verdict import WEAKEST_ROBUSTNESS, Verdict


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


def judge(case: Case) -> tuple[Verdict, ...]:
    """The robustness value of the effect in the linear model, if there is an effect to explain away.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.refutation.case import open_case
        >>> from causalvlm.worlds.linear import LinearWorld
        >>> rng = np.random.default_rng(0)
        >>> table = LinearWorld().sample(1000, rng=rng)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> judge(open_case(effect, table, rng=rng))[0].outcome
        'passed'
    """
    effect, problem = case.effect, case.problem
    if problem.roles.functional:  # no pair of regressions stands for it
        return ()
    if effect.low <= 0.0 <= effect.high:
        return (
            Verdict("robustness", "inconclusive", None, "the interval holds zero: there is no effect to explain away."),
        )
    if problem.categorical:
        return (Verdict("robustness", "inconclusive", None, "needs a numeric outcome."),)
    value = _strength(case).robustness()
    scale = float(np.std(problem.outcome))
    reason = (
        f"a latent cause that explains {value:.1%} of the residual variance at both ends of a stage would cancel it"
    )
    if problem.front_door:
        reason += f", and so would a direct effect of {-effect.value / scale:.2f} standard deviations of the outcome"
    outcome = "failed" if value < WEAKEST_ROBUSTNESS else "passed"
    return (Verdict("robustness", outcome, value, f"{reason} (linear model)."),)


def _strength(case: Case) -> Strength:
    problem, given = case.problem, case.problem.given
    if not problem.roles.mediators:
        return Strength((case.effect.value / case.effect.standard_error,), (problem.rows - given.shape[1],))
    arms = problem.arms
    treated, control = arms.pair
    shift = np.zeros(given.shape[1])
    shift[1 : 1 + arms.design.shape[1]] = arms.settings[treated] - arms.settings[control]
    return front_door_strength(problem.mediator, given, problem.outcome, shift)
