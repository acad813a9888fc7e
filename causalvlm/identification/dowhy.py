"""An estimand handed to DoWhy's estimators, and their numbers back; what they would get silently wrong is refused."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from causalvlm.errors import InputError
from causalvlm.graphs.dowhy import quiet_dowhy
from causalvlm.identification.criteria import Strategy
from causalvlm.identification.estimands import BackDoor, DoorEstimand, Estimand, FrontDoor
from causalvlm.intervals import CONFIDENCE

if TYPE_CHECKING:
    from dowhy.causal_estimators.linear_regression_estimator import LinearRegressionEstimator
    from dowhy.causal_estimators.propensity_score_weighting_estimator import PropensityScoreWeightingEstimator
    from dowhy.causal_estimators.two_stage_regression_estimator import TwoStageRegressionEstimator
    from dowhy.causal_identifier import IdentifiedEstimand

DoWhyMethod = Literal["linear-regression", "propensity-weighting", "two-stage"]

_SERVES: Mapping[DoWhyMethod, Strategy] = {
    "linear-regression": "back-door",
    "propensity-weighting": "back-door",
    "two-stage": "front-door",
}


@dataclass(frozen=True)
class DoWhyEstimate:
    """A number of one of DoWhy's estimators.

    Attributes:
        value: mean outcome under `treated` less that under `control`, in units of the outcome.
        low: lower end of DoWhy's 95 per cent interval; None where it has none but a bootstrap.
        high: its upper end.
        method: which estimator.
        treated: the setting of the treatment.
        control: the setting that it is compared with.
        n: rows.

    Example:
        >>> DoWhyEstimate(2.0, 1.5, 2.5, "linear-regression", 1.0, 0.0, 100).to_record()["high"]
        2.5
    """

    value: float
    low: float | None
    high: float | None
    method: DoWhyMethod
    treated: float
    control: float
    n: int

    def to_record(self) -> dict[str, object]:
        """What a JSON file says of the estimate."""
        return asdict(self)


def estimate_with_dowhy(
    table: pd.DataFrame,
    estimand: Estimand,
    *,
    method: DoWhyMethod | None = None,
    treated: int | float = 1,
    control: int | float = 0,
) -> DoWhyEstimate:
    """Estimate an effect with DoWhy 0.14, as a second opinion on `estimate_effect`.

    * ``"linear-regression"`` (back door): slope of the outcome on the treatment given the adjustment, with an interval.
    * ``"propensity-weighting"`` (back door): difference of weighted means, the weights from a logistic regression with
      scikit-learn's usual penalty, normalised within each arm and not clipped.
    * ``"two-stage"`` (front door): slope of the mediator on the treatment times slope of the outcome on the mediator,
      within the covariates. DoWhy finds no such covariates by itself, but its estimator takes ours.

    DoWhy is given a copy whose columns have other names, because it writes columns such as ``propensity_score`` into
    its table (its issue 1728) and believes those that it finds there; and all numbers as floats, because it rounds a
    setting of the treatment to the type of its column. Its bootstrap, drawn from numpy's global state, is not used.

    Args:
        table: one row per unit, a column for each node of the estimand.
        estimand: what `identify` returns.
        method: one that serves the estimand; linear regression or two-stage if left out.
        treated: the setting of the treatment.
        control: the setting that it is compared with.

    Raises:
        InputError: what DoWhy cannot do (several mediators, weights for a treatment that is not 0 and 1), and what it
            would do wrongly without a word: a two-stage contrast of other than one unit, which it squares; integers of
            three values or more, which it reads as amounts; missing values; columns that are combinations of others.

    Example:
        >>> table = pd.DataFrame({"C": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "X": [0, 1, 0, 1, 1, 0]})
        >>> table["Y"] = 2.0 * table.X + 3.0 * table.C + [0.1, -0.1, 0.0, 0.1, 0.0, -0.1]
        >>> estimate = estimate_with_dowhy(table, BackDoor("X", "Y", ("C",)))
        >>> round(estimate.value, 1), estimate.low < 2 < estimate.high
        (2.0, True)
    """
    by_set = _by_set(estimand)
    chosen = _method(by_set, method)
    data, plain = _copy(table, by_set)
    _require_contrast(chosen, data, treated, control)
    _require_answer(chosen, data, plain)
    with quiet_dowhy():
        estimator = _estimator(chosen, to_dowhy_estimand(plain)).fit(data)
        value = estimator.estimate_effect(
            data, treatment_value=treated, control_value=control, target_units="ate"
        ).value
        low, high = None, None
        if chosen == "linear-regression":
            ends = estimator.estimate_confidence_intervals(data, value, confidence_level=CONFIDENCE)
            low, high = sorted(np.ravel(ends).tolist())  # swapped by DoWhy where treated is below control
    return DoWhyEstimate(float(value), low, high, chosen, float(treated), float(control), len(data))


def to_dowhy_estimand(estimand: Estimand) -> "IdentifiedEstimand":
    """Make DoWhy's estimand of ours, for estimators and refuters that `estimate_with_dowhy` does not offer.

    `CausalModel.estimate_effect` of the model that `to_dowhy` makes takes it, with a ``method_name`` that begins with
    ``backdoor.`` or ``frontdoor.``. Nothing guards such a call: DoWhy's refuters, for one, change nothing in a
    front-door estimate and so can never fail it.

    Example:
        >>> to_dowhy_estimand(FrontDoor("X", "Y", ("S",), ("C",))).get_frontdoor_variables()
        ['S']
    """
    with quiet_dowhy():
        from dowhy.causal_identifier import (
            EstimandType,
            IdentifiedEstimand,
            construct_adjustment_estimand,
            construct_frontdoor_estimand,
        )

        x, y = [estimand.treatment], [estimand.outcome]
        match _by_set(estimand):
            case BackDoor() as estimand:
                adjustment = list(estimand.adjustment)
                return IdentifiedEstimand(
                    None,
                    x,
                    y,
                    estimand_type=EstimandType.NONPARAMETRIC_ATE,
                    estimands={"backdoor": construct_adjustment_estimand(x, y, adjustment)},
                    backdoor_variables={"backdoor": adjustment},
                    default_backdoor_id="backdoor",
                    identifier_method="backdoor",
                )
            case FrontDoor() as estimand:
                mediators, covariates = list(estimand.mediators), list(estimand.covariates)
                return IdentifiedEstimand(
                    None,
                    x,
                    y,
                    estimand_type=EstimandType.NONPARAMETRIC_ATE,
                    estimands={"frontdoor": construct_frontdoor_estimand(x, y, mediators)},
                    frontdoor_variables=mediators,
                    mediation_first_stage_confounders={"backdoor": covariates},
                    mediation_second_stage_confounders={"backdoor": [*x, *covariates]},
                    identifier_method="frontdoor",
                    no_directed_path=not mediators,
                )


def _by_set(estimand: Estimand) -> DoorEstimand:
    if not isinstance(estimand, BackDoor | FrontDoor):
        raise InputError(
            f"an estimand for DoWhy must be a back door or a front door; received one of strategy "
            f"{estimand.strategy!r}. Use estimate_effect."
        )
    return estimand


def _method(estimand: DoorEstimand, method: DoWhyMethod | None) -> DoWhyMethod:
    serving: list[DoWhyMethod] = [name for name, strategy in _SERVES.items() if strategy == estimand.strategy]
    if method is not None and method not in serving:
        raise InputError(
            f"method must be one of {', '.join(serving)} for a {estimand.strategy} estimand; received {method!r}. "
            "Choose one of these, or leave it out."
        )
    if isinstance(estimand, FrontDoor) and len(estimand.mediators) != 1:
        raise InputError(
            "DoWhy's two-stage estimator must have one mediator; received "
            f"{', '.join(estimand.mediators) or 'none, as the effect is zero'}. Use estimate_effect."
        )
    return method or serving[0]


def _copy(table: pd.DataFrame, estimand: DoorEstimand) -> tuple[pd.DataFrame, DoorEstimand]:
    """The columns of the estimand under plain names, numbers as floats; and the estimand in these names."""
    match estimand:
        case BackDoor():
            roles, covariates = {"x": estimand.treatment, "y": estimand.outcome}, estimand.adjustment
        case FrontDoor():
            roles = {"x": estimand.treatment, "y": estimand.outcome, "s": estimand.mediators[0]}
            covariates = estimand.covariates
    columns = {name: _numbers(table, node, amount=name == "y") for name, node in roles.items()}
    given = tuple(f"c{index}" for index in range(len(covariates)))
    columns |= {name: _covariate(table, node) for name, node in zip(given, covariates, strict=True)}
    plain = BackDoor("x", "y", given) if "s" not in roles else FrontDoor("x", "y", ("s",), given)
    return pd.DataFrame(columns), plain


def _covariate(table: pd.DataFrame, node: str) -> np.ndarray:
    column = _column(table, node)
    return _numbers(table, node) if pd.api.types.is_numeric_dtype(column) else column.astype(str).to_numpy(dtype=object)


def _numbers(table: pd.DataFrame, node: str, *, amount: bool = False) -> np.ndarray:
    """A column as floats; integers are amounts where that is said, and else where they have no third value."""
    column = _column(table, node)
    if not pd.api.types.is_numeric_dtype(column):
        raise InputError(
            f"column {node!r} must hold numbers for DoWhy; received {column.dtype}, such as {column.iloc[0]!r}. "
            "Code its levels as 0 and 1, or use estimate_effect."
        )
    if not amount and column.dtype.kind in "iu" and column.nunique() > 2:
        raise InputError(
            f"integers must be amounts for DoWhy, not codes of levels; received {column.nunique()} values in column "
            f"{node!r}. If they are amounts, make them floats: table.astype({{{node!r}: float}}); if levels, use "
            "estimate_effect."
        )
    return column.to_numpy(dtype=float)


def _column(table: pd.DataFrame, node: str) -> pd.Series:
    held = list(table.columns).count(node)
    if held != 1:
        raise InputError(
            f"the table must have one column for each node of the estimand; received {held} for {node!r}. "
            "Add it, or rename the others."
        )
    column = pd.Series(table[node])
    lost = int(column.replace([np.inf, -np.inf], np.nan).isna().sum())
    if lost or not len(column):
        raise InputError(
            f"column {node!r} must have rows, and no missing or infinite values; received {lost} of these in "
            f"{len(column)} rows. Drop those rows or impute them yourself."
        )
    return column


def _require_contrast(method: DoWhyMethod, data: pd.DataFrame, treated: int | float, control: int | float) -> None:
    received = f"received treated={treated!r} and control={control!r}"
    if treated == control:
        raise InputError(f"treated and control must differ; {received}. Pass two settings of the treatment.")
    if method == "two-stage" and treated - control != 1:
        raise InputError(
            f"treated - control must be 1 for DoWhy's two-stage estimator, which squares it; {received}. Ask for one "
            "unit and multiply, as the model is linear."
        )
    if method == "propensity-weighting" and not (set(data["x"]) == {0, 1} and (treated, control) == (1, 0)):
        raise InputError(
            "the treatment must be 0 and 1, treated 1 and control 0, for DoWhy's weights; "
            f"{received} and the values {sorted(set(data['x']))[:5]}. Code it so, or use estimate_effect."
        )


def _require_answer(method: DoWhyMethod, data: pd.DataFrame, plain: Estimand) -> None:
    """Refuse what a regression answers by a choice of its own among many solutions."""
    if method == "propensity-weighting" and plain == BackDoor("x", "y", ()):
        raise InputError(
            "DoWhy's weights must have something to adjust for; received an empty adjustment. Use linear-regression."
        )
    dummies = pd.get_dummies(data.drop(columns="y"), drop_first=True, dtype=float)
    design = np.column_stack([np.ones(len(data)), (dummies - dummies.mean()) / dummies.std(ddof=0).replace(0, 1)])
    rank = np.linalg.matrix_rank(design)
    if rank < design.shape[1] or rank == len(data):
        raise InputError(
            "treatment, mediator and covariates must vary, none of them given by the others, in more rows than "
            f"columns; received rank {rank} of {design.shape[1]} columns in {len(data)} rows. Drop one, or add rows."
        )


def _estimator(
    method: DoWhyMethod, estimand: "IdentifiedEstimand"
) -> "LinearRegressionEstimator | PropensityScoreWeightingEstimator | TwoStageRegressionEstimator":
    match method:
        case "linear-regression":
            from dowhy.causal_estimators.linear_regression_estimator import LinearRegressionEstimator

            return LinearRegressionEstimator(estimand)
        case "propensity-weighting":
            from dowhy.causal_estimators.propensity_score_weighting_estimator import PropensityScoreWeightingEstimator
            from sklearn.linear_model import LogisticRegression

            # unclipped: DoWhy would move propensities below 0.05 and above 0.95 without a word
            model = LogisticRegression(max_iter=10_000)
            return PropensityScoreWeightingEstimator(
                estimand, min_ps_score=0.0, max_ps_score=1.0, propensity_score_model=model
            )
        case "two-stage":
            from dowhy.causal_estimators.two_stage_regression_estimator import TwoStageRegressionEstimator

            return TwoStageRegressionEstimator(estimand)
