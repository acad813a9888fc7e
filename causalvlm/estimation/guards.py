"""What overlap an effect needs: below it nothing is claimed, and near it the claim comes with a warning."""

from causalvlm.errors import OverlapError
from causalvlm.estimation.estimators import Estimator
from causalvlm.estimation.fit import Fit
from causalvlm.estimation.overlap import FEWEST_EFFECTIVE_ROWS
from causalvlm.estimation.problem import Problem

SMALLEST_SHARE = 0.01
"""Below this share of the rows that could carry it a handful carries an estimate; docs/front_door.md has the study."""

LARGEST_AUC = 0.99
"""Above this AUC of treatment from mediator a modelled effect is extrapolation; cells are counted instead."""

WARN_SHARE, WARN_AUC = 0.07, 0.92
"""Where overlap becomes thin: two clouds 2 standard deviations apart give these two numbers together."""


def require_overlap(fitted: Fit, estimator: Estimator, problem: Problem) -> None:
    """Refuse an estimate that too few rows carry, or that a model extrapolates.

    Raises:
        OverlapError: with the numbers.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from causalvlm.estimation.estimators import ESTIMATORS
        >>> from causalvlm.estimation.fit import from_tolerance
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import BackDoor
        >>> problem = read_problem(pd.DataFrame({"X": [0, 1] * 5, "Y": range(10)}), BackDoor("X", "Y", ()))
        >>> fitted = from_tolerance(np.zeros(2), np.zeros((10, 2)), 1.0, auc=None)
        >>> require_overlap(fitted, ESTIMATORS["plug-in"], problem)
        Traceback (most recent call last):
        ...
        causalvlm.errors.OverlapError: the levels of 'X' must overlap in the adjustment set: ...
    """
    if estimator.rows == "moved":
        return
    rows, share, auc = min([fitted.effective_sample_size, *problem.arms.rows()]), fitted.share, fitted.auc
    extrapolated = decoded_above(LARGEST_AUC, auc, estimator)
    if rows >= FEWEST_EFFECTIVE_ROWS and share >= SMALLEST_SHARE and not extrapolated:
        return
    through = {
        "front-door": "mediator",
        "back-door": "adjustment set",
        "general": "formula's cells",
        "instrument": "covariates",
        "mediation": "mediator",
    }[problem.door]
    name = (problem.roles.instruments or (problem.roles.treatment,))[0]
    decoded = "" if auc is None else f", AUC of {name!r} decoded from the {through} {auc:.3f}"
    raise OverlapError(
        f"the levels of {name!r} must overlap in the {through}: at least {FEWEST_EFFECTIVE_ROWS:.0f} effective rows of "
        f"each level, a share of {SMALLEST_SHARE:.0%} and, for a modelled effect, an AUC up to {LARGEST_AUC}; received "
        f"{rows:.1f} effective rows, a share of {share:.1%}{decoded}. Use coarser levels, variables that reveal it "
        "less, or more rows.",
        effective_sample_size=rows,
        auc=auc,
    )


def decoded_above(limit: float, auc: float | None, estimator: Estimator) -> bool:
    """Whether the treatment is decoded too well for a model to be believed; counted cells need no such guard.

    Example:
        >>> from causalvlm.estimation.estimators import ESTIMATORS
        >>> decoded_above(WARN_AUC, 0.97, ESTIMATORS["one-step"]), decoded_above(WARN_AUC, 0.97, ESTIMATORS["plug-in"])
        (True, False)
    """
    return auc is not None and auc > limit and not estimator.counts


def overlap_warnings(fitted: Fit, estimator: Estimator) -> tuple[str, ...]:
    """A sentence if the overlap is thin.

    Example:
        >>> import numpy as np
        >>> from causalvlm.estimation.estimators import ESTIMATORS
        >>> from causalvlm.estimation.fit import from_tolerance
        >>> fitted = from_tolerance(np.zeros(2), np.zeros((1000, 2)), 0.05, auc=None)
        >>> overlap_warnings(fitted, ESTIMATORS["two-stage"])[0][:38]
        'overlap is thin: 50 effective rows (5.'
    """
    if estimator.rows == "moved" or (fitted.share >= WARN_SHARE and not decoded_above(WARN_AUC, fitted.auc, estimator)):
        return ()
    decoded = "" if fitted.auc is None else f" and the levels are decoded with AUC {fitted.auc:.3f}"
    return (
        f"overlap is thin: {fitted.effective_sample_size:.0f} effective rows ({fitted.share:.1%}){decoded}. "
        "The estimate leans on few rows or on its models; read it with the refutations.",
    )
