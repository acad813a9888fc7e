"""Whether an observed suspect for the latent confounder reaches the mediator past the treatment, or the instrument."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import f as f_distribution

from causalvlm.estimation.sample import matrix
from causalvlm.estimation.sampling import EVEN, Sampling
from causalvlm.estimation.score_test import score_test
from causalvlm.refutation.case import Case
from causalvlm.refutation.verdict import Trial


@dataclass(frozen=True)
class Leak:
    """What an observed suspect still says of a mediator or instrument once what blocks its way is held fixed.

    Attributes:
        share: share of the suspect's residual variance that it explains.
        p_value: of no association.

    Example:
        >>> Leak(0.1, 0.5).share
        0.1
    """

    share: float
    p_value: float


def leak(
    suspect: Float[np.ndarray, " rows"],
    mediator: Float[np.ndarray, "rows dim"],
    given: Float[np.ndarray, "rows _"],
    sampling: Sampling = EVEN,
) -> Leak:
    """Test S independent of a suspect given X and C, in the linear model: the front door requires it of latent causes.

    So does an instrument, in place of S, given its covariates alone. With clusters the F test gives way to a score
    test on the sums over each.

    Args:
        suspect: an observed candidate for the latent confounder, such as an annotated background.
        mediator: S, or Z.
        given: intercept, treatment columns for S, and covariates.
        sampling: clusters and weights of the rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> g, s = rng.normal(size=(2, 500))
        >>> leak(g, (s + g)[:, None], np.ones((500, 1))).p_value < 1e-6
        True
    """
    suspect, mediator, given = (sampling.root(columns) for columns in (suspect, mediator, given))
    inverse = np.linalg.pinv(given)
    own_g, own_s = suspect - given @ (inverse @ suspect), mediator - given @ (inverse @ mediator)
    fitted = own_s @ np.linalg.lstsq(own_s, own_g, rcond=None)[0]
    total = own_g @ own_g
    rank = int(np.linalg.matrix_rank(own_s))
    free = len(suspect) - given.shape[1] - rank
    if total <= 1e-12 * (suspect @ suspect) or rank == 0 or free < 1:
        return Leak(0.0, 1.0)
    share = float(fitted @ fitted / total)
    if not sampling.even:
        return Leak(share, score_test(own_s, given, own_g, Sampling(codes=sampling.codes)))
    statistic = share / rank / max((1 - share) / free, np.finfo(float).tiny)
    return Leak(share, float(f_distribution.sf(statistic, rank, free)))


def judge(case: Case) -> tuple[Trial, ...]:
    """A test for every suspect of a front door or instrument; a suspect of several columns is judged by its worst.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.refutation.case import open_case
        >>> from causalvlm.worlds.linear import LinearWorld
        >>> rng = np.random.default_rng(0)
        >>> table = LinearWorld(leak=0.5).sample(1000, rng=rng)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> judge(open_case(effect, table, rng=rng, suspects=["U"]))[0].p_value < 1e-6
        True
    """
    problem = case.problem
    if problem.front_door:
        held = _Held("treatment", "mediator", problem.mediator, problem.given, "the front door is open to it")
    elif problem.roles.instruments:
        given = np.hstack([np.ones((problem.rows, 1)), problem.covariates])
        held = _Held("covariates", "instrument", problem.instrument, given, "the instrument is open to it")
    else:
        return ()
    return tuple(_trial(case, suspect, held) for suspect in case.suspects)


@dataclass(frozen=True)
class _Held:
    """What no suspect may say anything of, once what is given is held fixed, and in words."""

    given: str
    name: str
    columns: Float[np.ndarray, "rows _"]
    fixed: Float[np.ndarray, "rows _"]
    harm: str


def _trial(case: Case, suspect: str, held: _Held) -> Trial:
    name = f"leak from {suspect}"
    columns, sampling = matrix(case.problem.table, [suspect]).T, case.problem.sampling
    found = [leak(column, held.columns, held.fixed, sampling) for column in columns]
    worst = min(found, key=lambda one: one.p_value)
    p_value = min(worst.p_value * len(found), 1.0)
    reason = f"given the {held.given} the {held.name} explains {worst.share:.2%} of {suspect} (p = {p_value:.2g})"
    return Trial(name, worst.share, p_value, reason, held.harm)
