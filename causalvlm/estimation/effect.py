"""Effects: numbers of an estimator turned into a claim, or into a refusal with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from causalvlm.errors import InputError, OverlapError
from causalvlm.estimation.arms import Arms, read_arms
from causalvlm.estimation.fit import Estimator, Fit, Roles, fit, roles
from causalvlm.estimation.sample import Level, check_columns, find_level, is_discrete, joint_levels
from causalvlm.estimation.spread import Spread
from causalvlm.identification.estimands import Estimand, FrontDoor

FEWEST_EFFECTIVE_ROWS = 30.0
"""Below this effective sample size nothing is claimed: the normal approximation of a mean has no ground there."""

SMALLEST_SHARE = 0.01
"""Below this share of effective rows a handful of rows carries the estimate; see docs/front_door.md for the study."""

LARGEST_AUC = 0.99
"""Above this AUC of treatment from mediator a modelled effect is extrapolation; cells are counted instead."""

WARN_SHARE, WARN_AUC = 0.07, 0.92
"""Where overlap becomes thin: two clouds 2 standard deviations apart give these two numbers together."""

_FRONT_DOOR: tuple[Estimator, ...] = ("plug-in", "two-stage", "one-step")
_BACK_DOOR: tuple[Estimator, ...] = ("plug-in", "outcome-regression", "ipw", "aipw")
_ROWS_PER_CELL = 5


@dataclass(frozen=True)
class Contrast:
    """A difference of two do-means.

    Attributes:
        value: E[Y | do(treated)] - E[Y | do(control)].
        low: lower end of the 95 per cent interval.
        high: upper end.
        standard_error: standard error of the value.

    Example:
        >>> Contrast(0.1, 0.0, 0.2, 0.05).value
        0.1
    """

    value: float
    low: float
    high: float
    standard_error: float


@dataclass(frozen=True)
class Effect:
    """An estimated effect and what it rests on.

    Attributes:
        value: E[Y | do(treated)] - E[Y | do(control)]; of the probability of the last class if Y is categorical.
        low: lower end of the 95 per cent interval.
        high: upper end.
        do_means: E[Y | do(level)] for every level.
        treated: the level that `value` compares.
        control: the level that it is compared with.
        estimator: the estimator that was run.
        estimand: the identified quantity.
        n: rows of the table.
        effective_sample_size: rows that the estimate behaves like having, after weighting for overlap.
        auc: treated against control decoded from the mediator (or the adjustment set); None for a continuous X.
        warnings: what a reader must know, one sentence or two each.
        distribution: class probabilities for every level, if Y is categorical.
        columns: the columns that hold each node, as given.
        spread: uncertainty of all means together, from which contrasts take their intervals.

    Example:
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> effect = estimate_effect(smoking().sample(20_000, rng=rng), FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> effect.low < 0.045 < effect.high
        True
    """

    value: float
    low: float
    high: float
    do_means: Mapping[Level, float]
    treated: Level
    control: Level
    estimator: Estimator
    estimand: Estimand
    n: int
    effective_sample_size: float
    auc: float | None
    warnings: tuple[str, ...]
    distribution: Mapping[Level, Mapping[Level, float]] | None
    columns: Mapping[str, Sequence[str]]
    spread: Spread

    @property
    def standard_error(self) -> float:
        """Standard error of `value`."""
        return self.contrast(self.treated, self.control).standard_error

    def contrast(self, treated: Level, control: Level, *, outcome: Level | None = None) -> Contrast:
        """Difference of the means of any two levels, with its interval.

        Args:
            treated: a level of the treatment.
            control: a level of the treatment.
            outcome: the class whose probability is compared, for a categorical outcome; the last one by default.

        Raises:
            InputError: if a level or class does not occur.

        Example:
            >>> from causalvlm.worlds.discrete import smoking
            >>> rng = np.random.default_rng(0)
            >>> effect = estimate_effect(smoking().sample(20_000, rng=rng), FrontDoor("X", "Y", ("S",)), rng=rng)
            >>> effect.contrast(0, 1).value == -effect.value
            True
        """
        labels = tuple(self.do_means)
        weights = np.zeros(len(labels))
        weights[find_level(self.estimand.treatment, labels, treated)] += 1.0
        weights[find_level(self.estimand.treatment, labels, control)] -= 1.0
        if self.distribution is None:
            if outcome is not None:
                raise InputError(f"outcome= is for a categorical outcome; received {outcome!r}. Leave it out.")
            return _contrast(np.array(list(self.do_means.values())), weights, self.spread)
        classes = tuple(self.distribution[labels[0]])
        place = len(classes) - 1 if outcome is None else find_level(self.estimand.outcome, classes, outcome)
        flat = np.array([list(self.distribution[label].values()) for label in labels]).ravel()
        return _contrast(flat, np.kron(weights, np.eye(len(classes))[place]), self.spread)


def estimate_effect(
    table: pd.DataFrame,
    estimand: Estimand,
    *,
    rng: np.random.Generator,
    estimator: str | None = None,
    treated: Level | None = None,
    control: Level | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Effect:
    """Estimate E[Y | do(treated)] - E[Y | do(control)] by an identified quantity.

    The default estimator follows the data: the plug-in when every column but the outcome is discrete and its cells
    hold `5` rows on average; otherwise the doubly robust one (one-step or AIPW); a linear model when the treatment
    is continuous. Formulas and sources are in the modules `plug_in`, `two_stage`, `one_step` and `backdoor`.

    Args:
        table: one row per unit; not changed.
        estimand: what `identify` returned.
        rng: for bootstrap draws and fold assignment; the same state gives the same numbers.
        estimator: 'plug-in', 'two-stage' or 'one-step' for a front door; 'plug-in', 'outcome-regression', 'ipw' or
            'aipw' for a back door.
        treated: level to compare; by default the last one, or 1 for a continuous treatment.
        control: level to compare with; by default the first one, or 0.
        columns: the columns that hold a node, for a node that is a vector; by default the column of its name.

    Raises:
        InputError: a mistake in the table or the arguments.
        OverlapError: the table cannot answer the question; the reason and the numbers are in the message.

    Example:
        >>> from causalvlm.worlds.embedding import EmbeddingWorld
        >>> rng, world = np.random.default_rng(0), EmbeddingWorld(dim=8)
        >>> effect = estimate_effect(
        ...     world.sample(3000, rng=rng), FrontDoor("X", "Y", ("S",)), rng=rng, columns=world.columns
        ... )
        >>> effect.estimator, effect.low < world.truth() < effect.high
        ('one-step', True)
    """
    mapping = {} if columns is None else {node: tuple(held) for node, held in columns.items()}
    parts = roles(estimand, mapping)
    if parts.front_door and not parts.mediators:  # nothing carries an effect: P(Y | do(X)) = P(Y)
        parts, estimator = replace(parts, covariates=()), "plug-in"
    check_columns(table, parts.all())
    _require_distinct_columns(parts)
    arms = read_arms(table, parts.treatment, treated, control)
    chosen = _choose(table, parts, arms) if estimator is None else _allowed(estimator, estimand)
    fitted = fit(table, parts, arms, chosen, rng=rng)
    _require_overlap(fitted, chosen, parts)
    return _effect(table, estimand, mapping, arms=arms, estimator=chosen, fitted=fitted)


def _effect(
    table: pd.DataFrame,
    estimand: Estimand,
    columns: Mapping[str, tuple[str, ...]],
    *,
    arms: Arms,
    estimator: Estimator,
    fitted: Fit,
) -> Effect:
    event = fitted.means.shape[1] - 1
    weights = np.kron(arms.contrast(*arms.pair), np.eye(event + 1)[event])
    main = _contrast(fitted.means.ravel(), weights, fitted.spread)
    treated, control = (arms.labels[place] for place in arms.pair)
    distribution = None
    if fitted.classes is not None:
        rows = zip(arms.labels, fitted.means.tolist(), strict=True)
        distribution = {label: dict(zip(fitted.classes, row, strict=True)) for label, row in rows}
    return Effect(
        value=main.value,
        low=main.low,
        high=main.high,
        do_means=dict(zip(arms.labels, fitted.means[:, event].tolist(), strict=True)),
        treated=treated,
        control=control,
        estimator=estimator,
        estimand=estimand,
        n=len(table),
        effective_sample_size=fitted.effective_sample_size,
        auc=fitted.auc,
        warnings=(*_choice_warnings(arms, fitted), *_overlap_warnings(fitted, estimator), *fitted.notes),
        distribution=distribution,
        columns=columns,
        spread=fitted.spread,
    )


def _contrast(means: Float[np.ndarray, " _"], weights: Float[np.ndarray, " _"], spread: Spread) -> Contrast:
    value = float(means @ weights)
    return Contrast(value, *spread.interval(value, weights), spread.standard_error(weights))


def _require_distinct_columns(parts: Roles) -> None:
    names = parts.all()
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(
            f"every column must play one part; received {twice[0]!r} in two. Give each part its own column."
        )


def _allowed(estimator: str, estimand: Estimand) -> Estimator:
    front_door = isinstance(estimand, FrontDoor)
    allowed = _FRONT_DOOR if front_door else _BACK_DOOR
    for known in allowed:
        if known == estimator:
            return known
    raise InputError(
        f"estimator must be one of {', '.join(allowed)} for a {'front' if front_door else 'back'}-door estimand; "
        f"received {estimator!r}. Leave it out to choose by the data."
    )


def _choose(table: pd.DataFrame, parts: Roles, arms: Arms) -> Estimator:
    given = (*parts.mediators, *parts.covariates)
    if arms.levels is not None and all(is_discrete(table, name) for name in given):
        cells = len(arms.labels) * len(joint_levels(table, given).labels)
        if cells * _ROWS_PER_CELL <= len(table) or isinstance(table[parts.outcome].dtype, pd.CategoricalDtype):
            return "plug-in"
    if arms.levels is None:
        return "two-stage" if parts.front_door else "outcome-regression"
    return "one-step" if parts.front_door else "aipw"


def _require_overlap(fitted: Fit, estimator: Estimator, parts: Roles) -> None:
    rows, share, auc = fitted.effective_sample_size, fitted.share, fitted.auc
    extrapolated = _decoded_above(LARGEST_AUC, fitted, estimator)
    if rows >= FEWEST_EFFECTIVE_ROWS and share >= SMALLEST_SHARE and not extrapolated:
        return
    through = "mediator" if parts.front_door else "adjustment set"
    decoded = "" if auc is None else f", AUC of {parts.treatment!r} decoded from the {through} {auc:.3f}"
    raise OverlapError(
        f"the treatment levels must overlap in the {through}: at least {FEWEST_EFFECTIVE_ROWS:.0f} effective rows, a "
        f"share of {SMALLEST_SHARE:.0%} and, for a modelled effect, an AUC up to {LARGEST_AUC}; received {rows:.1f} "
        f"effective rows, a share of {share:.1%}{decoded}. Use a coarser treatment, variables that reveal it less, "
        "or more rows.",
        effective_sample_size=rows,
        auc=auc,
    )


def _decoded_above(limit: float, fitted: Fit, estimator: Estimator) -> bool:
    """Whether the treatment is decoded too well for a model to be believed; counted cells need no such guard."""
    return fitted.auc is not None and fitted.auc > limit and estimator != "plug-in"


def _overlap_warnings(fitted: Fit, estimator: Estimator) -> tuple[str, ...]:
    if fitted.share >= WARN_SHARE and not _decoded_above(WARN_AUC, fitted, estimator):
        return ()
    decoded = "" if fitted.auc is None else f" and the treatment is decoded with AUC {fitted.auc:.3f}"
    return (
        f"overlap is thin: {fitted.effective_sample_size:.0f} effective rows ({fitted.share:.1%}){decoded}. "
        "The estimate leans on few rows or on its models; read it with the refutations.",
    )


def _choice_warnings(arms: Arms, fitted: Fit) -> tuple[str, ...]:
    notes: list[str] = []
    if len(arms.labels) > 2:
        treated, control = (arms.labels[place] for place in arms.pair)
        notes.append(
            f"the treatment has {len(arms.labels)} levels; the value compares {treated!r} with {control!r}, "
            "overlap is of these two. Choose others with treated and control."
        )
    if fitted.classes is not None:
        notes.append(
            f"the outcome is categorical; the value is the effect on the probability of {fitted.classes[-1]!r}."
        )
    return tuple(notes)
