"""Run one estimator on one table: the numbers behind an effect, before anything is claimed about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from causalvlm.errors import InputError
from causalvlm.estimation import backdoor, plug_in
from causalvlm.estimation.arms import Arms
from causalvlm.estimation.bootstrap import DRAWS
from causalvlm.estimation.nuisance import cross_fit_classes, discriminant, folds
from causalvlm.estimation.one_step import one_step
from causalvlm.estimation.overlap import Overlap, pair_auc
from causalvlm.estimation.sample import Level, is_discrete, joint_levels, levels, matrix, numbers
from causalvlm.estimation.spread import Draws, Spread, from_influence
from causalvlm.estimation.two_stage import TwoStage, two_stage
from causalvlm.identification.estimands import BackDoor, Estimand, FrontDoor

Estimator = Literal["plug-in", "two-stage", "one-step", "outcome-regression", "ipw", "aipw"]

_PROBE_ROWS = 20_000
_ALPHA = 0.01


@dataclass(frozen=True)
class Roles:
    """Which columns play which part.

    Attributes:
        treatment: column of the treatment.
        outcome: column of the outcome.
        mediators: columns that hold the mediator; none for a back door.
        covariates: columns that hold the adjustment set or the front door's covariates.
        front_door: whether the effect is read through the mediators.

    Example:
        >>> roles(BackDoor("X", "Y", ("Z",)), {}).covariates
        ('Z',)
    """

    treatment: str
    outcome: str
    mediators: tuple[str, ...]
    covariates: tuple[str, ...]
    front_door: bool

    def all(self) -> tuple[str, ...]:
        """Every column in use.

        Example:
            >>> roles(BackDoor("X", "Y", ("Z",)), {}).all()
            ('X', 'Y', 'Z')
        """
        return (self.treatment, self.outcome, *self.mediators, *self.covariates)


@dataclass(frozen=True)
class Fit:
    """Numbers of one estimator.

    Attributes:
        means: E[Y | do(setting)], or the class probabilities of a categorical outcome, one row per setting.
        spread: uncertainty of the flattened means.
        effective_sample_size: of the pair of settings that is compared.
        share: that size as a share of the rows it could be.
        auc: treated against control decoded from the mediator or the adjustment set; None if X is continuous.
        classes: classes of a categorical outcome; None for a numeric one.
        notes: what a reader of the numbers must know.
        influence: influence function of each mean, unless the uncertainty is bootstrapped.

    Example:
        >>> Fit(np.zeros((2, 1)), Draws(np.zeros((3, 2))), 10.0, 1.0, None, None, (), None).notes
        ()
    """

    means: Float[np.ndarray, "_ _"]
    spread: Spread
    effective_sample_size: float
    share: float
    auc: float | None
    classes: tuple[Level, ...] | None
    notes: tuple[str, ...]
    influence: Float[np.ndarray, "rows _"] | None


def roles(estimand: Estimand, columns: Mapping[str, Sequence[str]]) -> Roles:
    """Columns of each part of the estimand; a node without an entry in `columns` is held by the column of its name.

    Raises:
        InputError: if a node is unknown to the estimand, or treatment or outcome is given several columns.

    Example:
        >>> roles(FrontDoor("X", "Y", ("S",)), {"S": ["S0", "S1"]}).mediators
        ('S0', 'S1')
    """
    match estimand:
        case FrontDoor():
            mediators, covariates = estimand.mediators, estimand.covariates
        case BackDoor():
            mediators, covariates = (), estimand.adjustment
    nodes = (estimand.treatment, estimand.outcome, *mediators, *covariates)
    stray = [node for node in columns if node not in nodes]
    if stray:
        raise InputError(f"columns= must map nodes of the estimand; received {stray[0]!r}. Nodes: {', '.join(nodes)}.")

    def held(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(column for name in names for column in columns.get(name, (name,)))

    single = {node: held([node]) for node in (estimand.treatment, estimand.outcome)}
    for node, found in single.items():
        if len(found) != 1:
            raise InputError(f"treatment and outcome must be one column each; received {len(found)} for {node!r}.")
    treatment, outcome = single[estimand.treatment][0], single[estimand.outcome][0]
    return Roles(treatment, outcome, held(mediators), held(covariates), isinstance(estimand, FrontDoor))


def fit(
    table: pd.DataFrame,
    parts: Roles,
    arms: Arms,
    estimator: Estimator,
    *,
    rng: np.random.Generator,
    analytic: bool = False,
) -> Fit:
    """Run `estimator`; the columns must have passed `check_columns`.

    Args:
        table: the data.
        parts: which column plays which part.
        arms: the settings of the treatment.
        estimator: which estimator.
        rng: for bootstrap draws and folds.
        analytic: take the plug-in's uncertainty from influence functions, where it would be bootstrapped.

    Raises:
        InputError: if the estimator cannot take such columns.
        OverlapError: if a cell is empty, a level is too rare or the treatment determines the mediator.

    Example:
        >>> from causalvlm.estimation.arms import read_arms
        >>> from causalvlm.worlds.discrete import smoking
        >>> table = smoking().sample(5000, rng=np.random.default_rng(0))
        >>> parts = roles(FrontDoor("X", "Y", ("S",)), {})
        >>> fit(table, parts, read_arms(table, "X"), "plug-in", rng=np.random.default_rng(0)).means.shape
        (2, 1)
    """
    match estimator:
        case "plug-in":
            return _plug_in(table, parts, arms, rng=rng, analytic=analytic)
        case "two-stage":
            return _two_stage(table, parts, arms, rng=rng)
        case "one-step":
            return _one_step(table, parts, arms, rng=rng)
        case "outcome-regression" | "ipw" | "aipw":
            return _back_door(table, parts, arms, estimator, rng=rng)


def _plug_in(table: pd.DataFrame, parts: Roles, arms: Arms, *, rng: np.random.Generator, analytic: bool) -> Fit:
    treatment = arms.coded()
    stratum, mediator = joint_levels(table, parts.covariates), joint_levels(table, parts.mediators)
    nominal = _is_categorical(table, parts.outcome)
    counted = nominal or is_discrete(table, parts.outcome)
    values = np.zeros(len(table)) if nominal else numbers(table, parts.outcome)
    outcome = levels(table, parts.outcome) if counted else None
    cells = plug_in.count_cells(stratum, treatment, mediator, outcome or values, nominal=nominal)
    plug_in.require_cells(cells, stratum, treatment, mediator)
    front = parts.front_door
    means = (plug_in.front_door_means if front else plug_in.back_door_means)(cells.counts, plug_in.cell_means(cells))
    overlap = (plug_in.front_door_overlap if front else plug_in.back_door_overlap)(cells, arms.pair)
    classes = outcome.labels if outcome and nominal else None
    if counted and (nominal or not analytic):
        draws = plug_in.bootstrap_means(cells, front_door=front, rng=rng)
        spread = Draws(draws.reshape(len(draws), -1))
        return Fit(means, spread, *overlap.worst(arms.pair), overlap.auc, classes, _left_out(len(draws)), None)
    places = (stratum.codes, treatment.codes, mediator.codes)
    influence = (plug_in.front_door_influence if front else plug_in.back_door_influence)(cells, places, values)
    return _with_overlap(means[:, 0], influence, overlap, arms, ())


def _left_out(kept: int) -> tuple[str, ...]:
    if kept >= 0.95 * DRAWS:
        return ()
    return (
        f"{1 - kept / DRAWS:.0%} of the bootstrap tables had an empty cell and were left out: some cells hold few "
        "rows, and the interval is too narrow.",
    )


def _is_categorical(table: pd.DataFrame, name: str) -> bool:
    return isinstance(table[name].dtype, pd.CategoricalDtype)


def _two_stage(table: pd.DataFrame, parts: Roles, arms: Arms, *, rng: np.random.Generator) -> Fit:
    mediator, covariates = matrix(table, parts.mediators), matrix(table, parts.covariates)
    fitted = two_stage(mediator, arms.design, _outcome(table, parts), settings=arms.settings, covariates=covariates)
    decoded = None if arms.levels is None else _probe_auc(mediator, covariates, arms, rng=rng)
    rows = fitted.tolerance * len(table)
    notes = (*_linearity_notes(fitted), *_range_notes(arms))
    spread = from_influence(fitted.influence)
    return Fit(fitted.means[:, None], spread, rows, fitted.tolerance, decoded, None, notes, fitted.influence)


def _linearity_notes(fitted: TwoStage) -> tuple[str, ...]:
    if fitted.p_linear >= _ALPHA:
        return ()
    return (
        "two-stage assumes that Y is linear in S without an S x X interaction; the test rejects this "
        f"(p = {fitted.p_linear:.2g}). Use 'plug-in' (discrete S) or 'one-step', which do not assume it.",
    )


def _range_notes(arms: Arms) -> tuple[str, ...]:
    if arms.levels is not None:
        return ()
    low, high = float(arms.design.min()), float(arms.design.max())
    outside = [label for label in arms.labels if not low <= float(label) <= high]
    return tuple(
        f"{label} lies outside the treatment's range [{low:.3g}, {high:.3g}]: extrapolated." for label in outside
    )


def _probe_auc(
    mediator: Float[np.ndarray, "rows _"],
    covariates: Float[np.ndarray, "rows _"],
    arms: Arms,
    *,
    rng: np.random.Generator,
) -> float:
    """AUC of the treatment decoded by a cross-fitted discriminant, on at most `_PROBE_ROWS` rows."""
    codes = arms.coded().codes
    features = np.hstack([mediator, covariates])
    if len(codes) > _PROBE_ROWS:
        chosen = rng.choice(len(codes), _PROBE_ROWS, replace=False)
        codes, features = codes[chosen], features[chosen]
    judged = cross_fit_classes([discriminant], lambda _: lambda rows: features[rows], codes, folds(codes, rng=rng))
    return pair_auc(judged.predictions, codes, arms.pair)


def _one_step(table: pd.DataFrame, parts: Roles, arms: Arms, *, rng: np.random.Generator) -> Fit:
    fitted = one_step(
        matrix(table, parts.mediators),
        arms.coded().codes,
        _outcome(table, parts),
        covariates=matrix(table, parts.covariates),
        pair=arms.pair,
        rng=rng,
    )
    notes = ()
    if fitted.reduced_to is not None:
        notes = (
            f"the mediator's {len(parts.mediators)} columns were reduced to {fitted.reduced_to} principal components: "
            "what they lose of the treatment's path is missing from the effect. More rows avoid this.",
        )
    return _with_overlap(fitted.means, fitted.influence, fitted.overlap, arms, notes)


def _back_door(table: pd.DataFrame, parts: Roles, arms: Arms, estimator: Estimator, *, rng: np.random.Generator) -> Fit:
    adjustment, outcome = matrix(table, parts.covariates), _outcome(table, parts)
    if arms.levels is None and estimator == "outcome-regression":
        line = backdoor.linear_response(adjustment, arms.design[:, 0], outcome, settings=arms.settings[:, 0])
        spread, rows = from_influence(line.influence), line.tolerance * len(table)
        return Fit(line.means[:, None], spread, rows, line.tolerance, None, None, _range_notes(arms), line.influence)
    codes = arms.coded().codes
    propensity = backdoor.fit_propensity(adjustment, codes, pair=arms.pair, rng=rng)
    if estimator == "outcome-regression":
        fitted = backdoor.outcome_regression(adjustment, codes, outcome)
    elif estimator == "ipw":
        fitted = backdoor.inverse_propensity(adjustment, codes, outcome)
    else:
        fitted = backdoor.augmented(propensity, adjustment, codes, outcome)
    return _with_overlap(fitted.means, fitted.influence, propensity.overlap, arms, ())


def _with_overlap(
    means: Float[np.ndarray, " _"],
    influence: Float[np.ndarray, "rows _"],
    overlap: Overlap,
    arms: Arms,
    notes: tuple[str, ...],
) -> Fit:
    return Fit(
        means[:, None], from_influence(influence), *overlap.worst(arms.pair), overlap.auc, None, notes, influence
    )


def _outcome(table: pd.DataFrame, parts: Roles) -> Float[np.ndarray, " rows"]:
    if _is_categorical(table, parts.outcome):
        raise InputError(
            f"a categorical outcome needs the estimator 'plug-in'; received column {parts.outcome!r} with another. "
            "Make mediators and treatment discrete, or code one class as 0/1."
        )
    return numbers(table, parts.outcome)
