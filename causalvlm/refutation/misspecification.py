"""Whether the models behind an estimate leave something that a richer model predicts in rows that neither has seen."""

from causalvlm.refutation.case import Case
from causalvlm.refutation.verdict import Found, Trial, Verdict

_NAME = "misspecified nuisance"


def judge(case: Case) -> tuple[Found, ...]:
    """The worst of the checks that the fit made of its own models, its p-value times their number (Bonferroni).

    Example:
        >>> import numpy as np
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.refutation.case import open_case
        >>> from causalvlm.worlds.linear import LinearWorld
        >>> rng = np.random.default_rng(0)
        >>> table = LinearWorld().sample(1000, rng=rng)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> judge(open_case(effect, table, rng=rng))[0].p_value > 0.01
        True
    """
    checks = case.effect.checks
    if not checks:
        return (Verdict(_NAME, "inconclusive", None, f"{case.effect.estimator} has no model to check."),)
    worst = min(checks, key=lambda check: check.p_value)
    p_value = min(len(checks) * worst.p_value, 1.0)
    reason = f"{worst.model}, the least certain of {len(checks)} checks (p = {p_value:.2g})"
    return (Trial(_NAME, worst.p_value, p_value, reason, "a richer model predicts what it leaves"),)
