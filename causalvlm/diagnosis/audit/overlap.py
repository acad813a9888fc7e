"""Do coarse values of X share values of S? The positivity that a front-door sum needs."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from causalvlm.diagnosis.audit.verdicts import Finding, Verdict
from causalvlm.errors import OverlapError
from causalvlm.estimation.cross_fitting import decoded
from causalvlm.estimation.guards import LARGEST_AUC, SMALLEST_SHARE, WARN_AUC, WARN_SHARE
from causalvlm.estimation.overlap import FEWEST_EFFECTIVE_ROWS, kish, pair_auc

DRAWS = 200
"""Bootstrap draws behind the interval of an effective share."""

SMALLEST = 1e-9
"""Of a probability: odds stay finite."""

Matrix = Float[np.ndarray, "rows _"]
Codes = Int[np.ndarray, " rows"]


def measure_overlap(
    mediator: Matrix,
    features: Matrix,
    factors: Mapping[str, Codes],
    *,
    clusters: int,
    rng: np.random.Generator,
) -> tuple[Finding, dict[str, Finding]]:
    """How well S tells clusters of the embedding apart, and the levels of every factor.

    Args:
        mediator: columns of S.
        features: X, cut into clusters by k-means.
        factors: levels by name, as indices.
        clusters: how many.
        rng: starts k-means, deals into folds and draws the bootstrap.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> whole, _ = measure_overlap(rng.normal(size=(400, 2)), rng.normal(size=(400, 3)), {}, clusters=2, rng=rng)
        >>> whole.verdict
        'valid'
    """
    few = min(clusters, len(np.unique(features, axis=0)))
    with threadpool_limits(limits=1):
        places = KMeans(few, random_state=int(rng.integers(2**31))).set_params(n_init=4).fit_predict(features)
    whole = overlap_of(mediator, places.astype(np.int64), f"{few} clusters of the embedding X", rng=rng)
    return whole, {
        name: overlap_of(mediator, codes, f"the levels of {name!r}", rng=rng) for name, codes in factors.items()
    }


def overlap_of(mediator: Matrix, codes: Codes, what: str, *, rng: np.random.Generator) -> Finding:
    """The verdict on coarse values of X: by the limits at which `estimate_effect` refuses and warns.

    The value is the smallest effective share, over the values a, of the weights p(s | a) / p(s | X), by Bayes' rule
    from a cross-fitted shrunken discriminant (docs/front_door.md); its interval is a bootstrap of the rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> codes = np.tile([0, 1], 100)
        >>> overlap_of(9.0 * codes[:, None] + rng.normal(size=(200, 1)), codes, "X", rng=rng).verdict
        'violated'
    """
    measured = f"smallest effective share of images when {what} are compared through S"
    try:
        if len(np.unique(codes)) < 2:
            raise OverlapError("there is one value only.", effective_sample_size=0.0, auc=None)
        probe = np.maximum(decoded(mediator, codes, rng=rng), SMALLEST)
    except OverlapError as error:
        return Finding("cannot tell", None, None, None, None, "share", measured, f"Nothing to compare: {error}")
    rows = np.arange(len(codes))
    odds = probe / np.bincount(codes)
    ratio = odds / odds[rows, codes][:, None]
    for code in range(probe.shape[1]):  # as the estimator does: weights of mean one within each observed value
        ratio[codes == code] /= ratio[codes == code].mean(0)
    shares = np.array([kish(column) for column in ratio.T]) / len(codes)
    worst = ratio[:, int(shares.argmin())]
    draws = rng.integers(len(codes), size=(DRAWS, len(codes)))
    share = float(shares.min())
    low, high = np.quantile([kish(worst[drawn]) / len(codes) for drawn in draws], [0.025, 0.975])
    low, high = min(float(low), share), max(float(high), share)
    levels = range(probe.shape[1])
    auc = max(pair_auc(probe, codes, (a, b)) for a in levels for b in levels if a < b)
    verdict, reason = _judged(share, low, auc, rows=len(codes))
    return Finding(verdict, share, low, high, None, "share", f"{measured}; largest AUC {auc:.3f}", reason)


def _judged(share: float, low: float, auc: float, *, rows: int) -> tuple[Verdict, str]:
    said = f"{share * rows:.0f} effective images of {rows}, a share of {share:.1%}, decoded with AUC {auc:.3f}"
    if share < SMALLEST_SHARE or auc > LARGEST_AUC:
        return "violated", f"S all but determines the coarse value of X ({said}): the front door would extrapolate."
    if share * rows < FEWEST_EFFECTIVE_ROWS:
        return "cannot tell", f"Too few images: {said}."
    if low < WARN_SHARE or auc > WARN_AUC:
        return "cannot tell", f"Overlap is thin: {said}."
    return "valid", f"Coarse values of X share values of S: {said}."
