"""Two identified routes to one effect must agree: their difference and its standard error."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from causalvlm.errors import InputError, OverlapError
from causalvlm.estimation.effect import estimate_contrast
from causalvlm.estimation.estimators import ESTIMATORS, choose
from causalvlm.estimation.problem import Problem, read_problem
from causalvlm.estimation.roles import roles
from causalvlm.estimation.sampling import EVEN, Sampling
from causalvlm.identification.estimands import Estimand, Mediation
from causalvlm.refutation.case import Case
from causalvlm.refutation.verdict import Found, Trial, Verdict, p_of_score

_NAME = "over-identification"


@dataclass(frozen=True)
class Difference:
    """Difference of two estimates from the same rows.

    Attributes:
        value: first minus second.
        standard_error: allows for their correlation.

    Example:
        >>> Difference(0.2, 0.1).score()
        2.0
    """

    value: float
    standard_error: float

    def score(self) -> float:
        """The difference in standard errors."""
        return self.value / self.standard_error if self.standard_error > 0 else 0.0


def difference(
    first: float,
    second: float,
    influence: Float[np.ndarray, " rows"],
    other: Float[np.ndarray, " rows"],
    sampling: Sampling = EVEN,
) -> Difference:
    """Hausman's (1978) comparison by influence functions: the variance of the difference is that of their difference.

    Args:
        first: one estimate.
        second: another estimate of the same effect.
        influence: influence function of the first, row by row.
        other: influence function of the second, of the same rows.
        sampling: clusters and weights of the rows; with few clusters the error is as wide as Student's t is.

    Example:
        >>> difference(1.0, 0.0, np.array([1.0, -1.0]), np.array([-2.0, -5.0])).standard_error
        2.5
    """
    return Difference(first - second, sampling.widened(sampling.error(influence - other)))


def judge(case: Case) -> tuple[Found, ...]:
    """Whether the alternative estimand, if there is one, gives the same effect.

    Raises:
        InputError: if the alternative is about another effect.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import BackDoor, FrontDoor
        >>> from causalvlm.refutation.case import open_case
        >>> from causalvlm.worlds.linear import LinearWorld
        >>> rng = np.random.default_rng(0)
        >>> table = LinearWorld().sample(1000, rng=rng)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> judge(open_case(effect, table, rng=rng, alternative=BackDoor("X", "Y", ("U",))))[0].p_value > 0.01
        True
    """
    if case.alternative is None:
        return ()
    _require_same_effect(case.effect.estimand, case.alternative)
    if case.problem.categorical:
        return (_open("needs a numeric outcome."),)
    try:
        return (_compared(case, case.alternative),)
    except OverlapError as error:
        return (_open(f"the alternative is not estimable: {error}"),)


def _compared(case: Case, alternative: Estimand) -> Found:
    effect, nodes = case.effect, roles(alternative, {}).all()
    kept = {node: held for node, held in effect.columns.items() if node in nodes}
    sampling = case.problem.sampling
    problem = read_problem(
        case.problem.table,
        alternative,
        treated=effect.treated,
        control=effect.control,
        columns=kept,
        cluster=sampling.cluster,
        weights=sampling.weight,
    )
    estimator = choose(problem)
    other = estimate_contrast(problem, estimator, rng=case.rng)
    first = _influence(case.problem, effect.estimator, rng=case.rng)
    second = _influence(problem, estimator, rng=case.rng)
    if first is None or second is None:
        return _open("needs the influence functions of both estimators.")
    score = difference(effect.value, other.value, first, second, sampling).score()
    reason = (
        f"{effect.estimator} gives {effect.value:.4g}, {estimator} by the other route {other.value:.4g}: "
        f"they differ by {score:.2f} standard errors"
    )
    differs = ", or the effect differs between units" if "instrument" in (case.problem.door, problem.door) else ""
    return Trial(_NAME, score, p_of_score(score), reason, f"the assumptions of one route fail{differs}")


def _influence(problem: Problem, estimator: str, *, rng: np.random.Generator) -> Float[np.ndarray, " rows"] | None:
    """Influence function of the contrast, if the estimator has one."""
    influence = ESTIMATORS[estimator].influence(problem, rng=rng).influence
    return None if influence is None else influence @ problem.arms.contrast(*problem.arms.pair)


def _open(reason: str) -> Verdict:
    return Verdict(_NAME, "inconclusive", None, reason)


def _require_same_effect(estimand: Estimand, alternative: Estimand) -> None:
    if _answers(alternative) != _answers(estimand):
        asked, received = (f"{part} effect of {x!r} on {y!r}" for x, y, part in map(_answers, (estimand, alternative)))
        raise InputError(f"alternative must identify the {asked}; received the {received}. Identify that one.")


def _answers(estimand: Estimand) -> tuple[str, str, str]:
    part = f"{estimand.part} {estimand.beside()}".strip() if isinstance(estimand, Mediation) else "total"
    return estimand.treatment, estimand.outcome, part
