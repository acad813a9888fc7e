"""Effects: numbers of an estimator turned into a claim, or into a refusal with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from causalvlm.errors import InputError
from causalvlm.estimation.arms import Arms, read_dose
from causalvlm.estimation.check import Check, checks_in, warnings_in
from causalvlm.estimation.curve import DoseCurve, line_through
from causalvlm.estimation.estimators import ESTIMATORS, choose
from causalvlm.estimation.fit import Fit
from causalvlm.estimation.guards import overlap_warnings, require_overlap
from causalvlm.estimation.learners import Learners, Model
from causalvlm.estimation.problem import Problem, read_problem
from causalvlm.estimation.roles import read_columns
from causalvlm.estimation.sample import Level, find_level
from causalvlm.estimation.sampling import EVEN, Sampling
from causalvlm.estimation.spread import Contrast, Spread, contrast
from causalvlm.identification.estimands import Estimand, Mediation
from causalvlm.markup import html_table
from causalvlm.phrases import INTERVAL
from causalvlm.randomness import Rng, generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_NUMBERS: Mapping[str, object] = {
    "value": None,
    "low": None,
    "high": None,
    "do_means": {},
    "treated": None,
    "control": None,
    "estimator": None,
    "n": None,
    "effective_sample_size": None,
    "effective_share": None,
    "auc": None,
    "distribution": None,
    "warnings": [],
    "sampling": None,
}
"""What `Effect.to_record` says of the numbers where there are none: after a refusal."""


@dataclass(frozen=True, repr=False)
class Effect:
    """An estimated effect and what it rests on.

    Attributes:
        value: E[Y | do(treated)] - E[Y | do(control)]; of the probability of the last class if Y is categorical. By an
            instrument with two levels, of the units that it moves, as a warning says.
        low: lower end of the 95 per cent interval.
        high: upper end.
        do_means: E[Y | do(level)] for every level; of a part of an effect, with what that part does not move held at
            control (direct) or at treated (indirect).
        treated: the level that `value` compares.
        control: the level that it is compared with.
        estimator: the estimator that was run.
        estimand: the identified quantity.
        n: rows of the table.
        effective_sample_size: rows that the estimate behaves like having, after weighting for overlap.
        effective_share: that size as a share of the rows it could be: of the rarer level's where it rests on its rows.
        auc: treated against control decoded from the mediator (or the adjustment set), or the levels of a binary
            instrument from the covariates; None for a continuous X.
        warnings: what a reader must know, one sentence or two each.
        checks: what the fit found when it held its own models beside richer ones; none where cells are counted.
        distribution: class probabilities for every level, if Y is categorical.
        columns: the columns that hold each node, as given.
        learners: models of one's own, as given.
        curve: E[Y | do(x)] along a continuous treatment; None for one with levels.
        spread: uncertainty of all means together, from which contrasts take their intervals.
        sampling: clusters and weights of the rows, as given.

    Example:
        >>> from causalvlm.identification.estimands import FrontDoor
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
    estimator: str
    estimand: Estimand
    n: int
    effective_sample_size: float
    effective_share: float
    auc: float | None
    warnings: tuple[str, ...]
    checks: tuple[Check, ...]
    distribution: Mapping[Level, Mapping[Level, float]] | None
    columns: Mapping[str, Sequence[str]]
    learners: Learners
    curve: DoseCurve | None
    spread: Spread
    sampling: Sampling = EVEN

    def __repr__(self) -> str:
        count = len(self.warnings)
        warned = f", {count} warning{'s' if count > 1 else ''}" if count else ""
        return (
            f"Effect({self.formula} = {self.value:.3g}, {INTERVAL} interval {self.low:.3g} to {self.high:.3g}, "
            f"{self.estimator}, n = {self.n}{', ' * (not self.sampling.even)}{self.sampling.text()}{warned})"
        )

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [
            ("value", f"{self.value:.4g}"),
            (f"{INTERVAL} interval", f"{self.low:.4g} to {self.high:.4g}"),
            ("estimator", f"{self.estimator}, {self.n} rows, {self.effective_sample_size:.0f} effective"),
            *([] if self.sampling.even else [("rows", self.sampling.text())]),
            ("formula", self.estimand.text()),
            ("assumptions", self.estimand.assumptions()),
            ("warnings", self.warnings or "none"),
        ]
        return html_table(rows, title=self.formula)

    @property
    def formula(self) -> str:
        """What `value` is, in symbols."""
        beside = f", {self.estimand.beside()}" if isinstance(self.estimand, Mediation) and self.estimand.at else ""
        form, outcome = f"E[{{}}|do({{}}={{}}{beside})]", self.estimand.outcome
        if self.distribution is not None:
            form, outcome = f"P({{}}|do({{}}={{}}{beside}))", f"{outcome}={[*self.distribution[self.control]][-1]}"
        levels = (say_level(level) for level in (self.treated, self.control))
        return " - ".join(form.format(outcome, self.estimand.treatment, level) for level in levels)

    @property
    def standard_error(self) -> float:
        """Standard error of `value`."""
        return self.contrast(self.treated, self.control).standard_error

    def contrast(self, treated: Level, control: Level, *, outcome: Level | None = None) -> Contrast:
        """Difference of the means of any two levels, or doses, with its interval.

        Args:
            treated: a level of the treatment, or a dose.
            control: likewise.
            outcome: the class whose probability is compared, for a categorical outcome; the last one by default.

        Raises:
            InputError: if a level or class does not occur, or a dose is no number.
            OverlapError: if a dose lies where no rows are.

        Example:
            >>> from causalvlm.identification.estimands import FrontDoor
            >>> from causalvlm.worlds.discrete import smoking
            >>> rng = np.random.default_rng(0)
            >>> effect = estimate_effect(smoking().sample(20_000, rng=rng), FrontDoor("X", "Y", ("S",)), rng=rng)
            >>> effect.contrast(0, 1).value == -effect.value
            True
        """
        if self.distribution is None and outcome is not None:
            raise InputError(f"outcome= is for a categorical outcome; received {outcome!r}. Leave it out.")
        pair = (self.treated, self.control)
        if self.curve is not None and (treated, control) not in (pair, pair[::-1]):
            return self.curve.contrast(*(read_dose(self.estimand.treatment, dose) for dose in (treated, control)))
        labels = tuple(self.do_means)
        weights = np.zeros(len(labels))
        weights[find_level(self.estimand.treatment, labels, treated)] += 1.0
        weights[find_level(self.estimand.treatment, labels, control)] -= 1.0
        if self.distribution is None:
            return contrast(np.array(list(self.do_means.values())), weights, self.spread)
        classes = tuple(self.distribution[labels[0]])
        place = len(classes) - 1 if outcome is None else find_level(self.estimand.outcome, classes, outcome)
        flat = np.array([list(self.distribution[label].values()) for label in labels]).ravel()
        return contrast(flat, np.kron(weights, np.eye(len(classes))[place]), self.spread)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the means with their intervals, or the curve with its band; the same as `causalvlm.draw_effect`.

        Args:
            ax: where to draw; by default a new pyplot figure, which notebooks show.
        """
        from causalvlm.figures.effect import draw_effect

        return draw_effect(self, ax)

    def to_record(self) -> dict[str, object]:
        """Plain data for JSON, with the question and what identifies it; levels that are keys become text.

        Example:
            >>> from causalvlm.identification.estimands import FrontDoor
            >>> from causalvlm.worlds.discrete import smoking
            >>> effect = estimate_effect(smoking().sample(20_000, rng=0), FrontDoor("X", "Y", ("S",)), rng=0)
            >>> list(effect.to_record()["do_means"])
            ['0', '1']
        """
        distribution = None
        if self.distribution is not None:
            distribution = {str(level): _texts(row) for level, row in self.distribution.items()}
        return {
            "treatment": self.estimand.treatment,
            "outcome": self.estimand.outcome,
            **self.estimand.to_record(),
            **{name: getattr(self, name) for name in NO_NUMBERS},
            "do_means": _texts(self.do_means),
            "distribution": distribution,
            "warnings": list(self.warnings),
            "sampling": self.sampling.to_record(),
        }


def say_level(level: Level) -> str:
    """A level as text, a dose without zeros that say nothing.

    Example:
        >>> say_level(1.0), say_level("sand")
        ('1', 'sand')
    """
    return f"{level:g}" if isinstance(level, float) else str(level)


def question_of(effect: Effect, table: pd.DataFrame) -> Problem:
    """The problem that `effect` answered, read again from its table.

    Raises:
        InputError: if the table is not the one that it came from.

    Example:
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.discrete import smoking
        >>> table = smoking().sample(5000, rng=0)
        >>> question_of(estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=0), table).door
        'front-door'
    """
    return read_problem(
        table,
        effect.estimand,
        treated=effect.treated,
        control=effect.control,
        columns=effect.columns,
        learners=effect.learners,
        cluster=effect.sampling.cluster,
        weights=effect.sampling.weight,
    )


def _texts(row: Mapping[Level, float]) -> dict[str, float]:
    return {str(level): value for level, value in row.items()}


def estimate_effect(
    table: pd.DataFrame,
    estimand: Estimand,
    *,
    rng: Rng,
    estimator: str | None = None,
    treated: Level | None = None,
    control: Level | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
    outcome_model: Model | None = None,
    treatment_model: Model | None = None,
    cluster: str | None = None,
    weights: str | None = None,
) -> Effect:
    """Estimate E[Y | do(treated)] - E[Y | do(control)] by an identified quantity.

    The default estimator follows the data: the plug-in when every column but the outcome is discrete and its cells
    hold `5` rows on average; otherwise the doubly robust one (one-step or AIPW); when the treatment is continuous, one
    slope (two-stage or partially-linear), whose assumptions are tested. An instrument gives one slope, or the effect on
    the units that it moves where it and the treatment have two levels. All of them are in the table
    `causalvlm.estimation.estimators.ESTIMATORS`, formulas and sources in a module for each.

    Args:
        table: one row per unit; not changed.
        estimand: what `identify` returned.
        rng: for bootstrap draws and fold assignment, or a seed; the same state gives the same numbers.
        estimator: 'plug-in', 'two-stage', 'one-step' or 'dose-response' for a front door; 'plug-in',
            'outcome-regression', 'partially-linear', 'dose-response', 'ipw' or 'aipw' for a back door;
            'two-stage-least-squares' or 'local-effect' for an instrument; 'plug-in' or 'nested-regressions' for a part.
        treated: level to compare; by default the last one, or 1 for a continuous treatment.
        control: level to compare with; by default the first one, or 0.
        columns: the columns that hold a node, for a node that is a vector; by default the column of its name.
        outcome_model: a scikit-learn regressor of the outcome in place of the estimator's candidates, cross-fitted.
        treatment_model: a scikit-learn classifier of the treatment likewise. What either leaves is a warning.
        cluster: column that names the cluster of each row, such as the video of a frame: rows of one are not taken as
            independent, by intervals, folds or refuters.
        weights: column that says how many others each row stands for; its unit does not matter.

    Raises:
        InputError: a mistake in the table or the arguments.
        OverlapError: the table cannot answer the question; the reason and the numbers are in the message.

    Example:
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.embedding import EmbeddingWorld
        >>> rng, world = np.random.default_rng(0), EmbeddingWorld(dim=8)
        >>> effect = estimate_effect(
        ...     world.sample(3000, rng=rng), FrontDoor("X", "Y", ("S",)), rng=rng, columns=world.columns
        ... )
        >>> effect.estimator, effect.low < world.truth() < effect.high
        ('one-step', True)
    """
    held, learners = read_columns(columns or {}), Learners(outcome_model, treatment_model)
    drawn = {"cluster": cluster, "weights": weights}
    problem = read_problem(table, estimand, treated=treated, control=control, columns=held, learners=learners, **drawn)
    name = choose(problem, estimator)
    fitted = _fit(problem, name, rng=generator(rng))
    arms, main = problem.arms, _main(problem.arms, fitted)
    distribution = None
    if fitted.classes is not None:
        rows = zip(arms.labels, fitted.means.tolist(), strict=True)
        distribution = {label: dict(zip(fitted.classes, row, strict=True)) for label, row in rows}
    return Effect(
        value=main.value,
        low=main.low,
        high=main.high,
        do_means=dict(zip(arms.labels, fitted.means[:, -1].tolist(), strict=True)),
        treated=arms.labels[arms.pair[0]],
        control=arms.labels[arms.pair[1]],
        estimator=name,
        estimand=estimand,
        n=problem.rows,
        effective_sample_size=fitted.effective_sample_size,
        effective_share=fitted.share,
        auc=fitted.auc,
        warnings=(
            *problem.notes,
            *_choice_warnings(arms, fitted),
            *overlap_warnings(fitted, ESTIMATORS[name]),
            *warnings_in(fitted.notes),
        ),
        checks=checks_in(fitted.notes),
        distribution=distribution,
        columns=held,
        learners=learners,
        curve=_curve(problem, fitted),
        spread=fitted.spread,
        sampling=problem.sampling,
    )


def estimate_contrast(problem: Problem, estimator: str, *, rng: np.random.Generator) -> Contrast:
    """The value of `estimate_effect` with its interval, and nothing else: what a refuter asks of an altered table.

    Raises:
        InputError: if the estimator cannot take such columns.
        OverlapError: if the table cannot answer the question.

    Example:
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> problem = read_problem(smoking().sample(20_000, rng=rng), FrontDoor("X", "Y", ("S",)))
        >>> found = estimate_contrast(problem, "plug-in", rng=rng)
        >>> found.low < 0.045 < found.high
        True
    """
    return _main(problem.arms, _fit(problem, estimator, rng=rng))


def _fit(problem: Problem, name: str, *, rng: np.random.Generator) -> Fit:
    fitted = ESTIMATORS[name].fit(problem, rng=rng)
    require_overlap(fitted, ESTIMATORS[name], problem)
    return fitted


def _main(arms: Arms, fitted: Fit) -> Contrast:
    """Treated against control, by the last class of a categorical outcome."""
    classes = fitted.means.shape[1]
    weights = np.kron(arms.contrast(*arms.pair), np.eye(classes)[-1])
    return contrast(fitted.means.ravel(), weights, fitted.spread)


def _curve(problem: Problem, fitted: Fit) -> DoseCurve | None:
    """The estimator's curve, or the line through its two means, of a continuous treatment."""
    if problem.arms.levels is not None:
        return None
    doses, settings = problem.arms.doses(), problem.arms.settings[:, 0]
    ends = float(settings[0]), float(settings[1])
    support = float(doses.min()), float(doses.max())
    line = fitted.curve or line_through(ends, fitted.means[:, 0], fitted.spread, support=support)
    return replace(line, observed=np.quantile(doses[:: max(1, len(doses) // 10_000)], np.linspace(0, 1, 101)))


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
