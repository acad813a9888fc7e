"""Overlap of the treatment levels in a vector, decoded by the probe that a doubly robust estimator would use."""

import numpy as np
from jaxtyping import Float, Int

from causalvlm.estimation.cross_fitting import decoded
from causalvlm.estimation.estimators import ESTIMATORS
from causalvlm.estimation.guards import SMALLEST_SHARE, WARN_AUC, WARN_SHARE, decoded_above
from causalvlm.estimation.overlap import FEWEST_EFFECTIVE_ROWS, Overlap, kish, pair_auc
from causalvlm.estimation.sampling import EVEN, Sampling
from causalvlm.refutation.case import Case
from causalvlm.refutation.verdict import Verdict


def probed(
    features: Float[np.ndarray, "rows _"],
    treatment: Int[np.ndarray, " rows"],
    *,
    pair: tuple[int, int],
    rng: np.random.Generator,
    sampling: Sampling = EVEN,
) -> Overlap:
    """Effective sample size of the weights p(s | a) / p(s | X) by Bayes' rule from a cross-fitted discriminant.

    Raises:
        OverlapError: if a level has too few rows to cross-fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = np.tile([0, 1], 500)
        >>> found = probed(rng.normal(size=(1000, 2)), x, pair=(1, 0), rng=rng)
        >>> bool(found.shares.min() > 0.9)
        True
    """
    probe = decoded(features, treatment, rng=rng, sampling=sampling)
    odds = probe / np.bincount(treatment, sampling.weights)
    ratio = odds / odds[np.arange(len(treatment)), treatment][:, None]
    sizes = np.array([kish(column) for column in sampling.weigh(ratio).T])
    return Overlap(pair_auc(probe, treatment, pair, sampling), sizes, sizes / len(treatment))


def judge(case: Case) -> tuple[Verdict, ...]:
    """Whether enough rows carry the effect, and the treatment is not decoded too well.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.refutation.case import open_case
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> table = smoking().sample(5000, rng=rng)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> judge(open_case(effect, table, rng=rng))[0].outcome
        'passed'
    """
    effect, arms, estimator = case.effect, case.problem.arms, ESTIMATORS[case.effect.estimator]
    if estimator.rows == "moved":  # no weights, and an instrument that is too weak has been refused
        return ()
    rows, share, auc = effect.effective_sample_size, effect.effective_share, effect.auc
    if estimator.rows == "variance" and arms.levels is not None:  # it has no weights to count rows by: make them
        features = np.hstack([case.problem.mediator, case.problem.covariates])
        sampling = case.problem.sampling
        found = probed(features, arms.levels.codes, pair=arms.pair, rng=case.rng, sampling=sampling)
        (rows, share), auc = found.worst(arms.pair), found.auc
    rows = min([rows, *arms.rows()])
    through = "" if auc is None else f", levels decoded with AUC {auc:.3f}"
    reason = f"{rows:.0f} effective rows, a share of {share:.1%}{through}"
    if share < SMALLEST_SHARE or rows < FEWEST_EFFECTIVE_ROWS:
        return (Verdict("overlap", "failed", share, f"{reason}: the effect is extrapolated."),)
    if share < WARN_SHARE or decoded_above(WARN_AUC, auc, estimator):
        return (Verdict("overlap", "inconclusive", share, f"{reason}: thin."),)
    return (Verdict("overlap", "passed", share, f"{reason}."),)
