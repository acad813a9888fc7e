"""The question put to a table, with every column read once: who plays which part, and what an estimator sees of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from causalvlm.errors import InputError, OverlapError
from causalvlm.estimation.arms import Arms, read_arms
from causalvlm.estimation.learners import NO_LEARNERS, Learners
from causalvlm.estimation.roles import Roles, roles
from causalvlm.estimation.sample import (
    Level,
    Levels,
    check_columns,
    check_fixable,
    find_level,
    is_constant,
    is_discrete,
    joint_levels,
    levels,
    matrix,
    numbers,
)
from causalvlm.estimation.sampling import EVEN, Sampling, few_clusters, read_sampling
from causalvlm.identification.criteria import Door
from causalvlm.identification.estimands import Estimand, FrontDoor, Mediation

Data = Literal["cells", "levels", "amounts"]
"""Discrete columns with enough rows in their cells, a treatment with levels, or a continuous treatment."""

_ROWS_PER_CELL = 5

FEWEST_OF_LEVEL = 5
"""Clusters in which a compared level must lie: one for each fold, and few enough."""

Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Problem:
    """A checked table, the part of each column, and what has been read of them; each is read on first use and kept.

    Attributes:
        table: the data; never changed.
        estimand: the identified quantity.
        roles: which column plays which part.
        arms: the settings of the treatment.
        learners: models of one's own for the nuisance functions.
        notes: what a reader must know of the columns.
        sampling: clusters and weights of the rows.
        kept: what `once` has made.

    Example:
        >>> table = pd.DataFrame({"X": [0, 1, 0, 1], "S": [0.1, 1.2, 0.3, 1.4], "Y": [0.0, 1.0, 0.5, 1.5]})
        >>> problem = read_problem(table, FrontDoor("X", "Y", ("S",)))
        >>> problem.door, problem.mediator.shape
        ('front-door', (4, 1))
    """

    table: pd.DataFrame
    estimand: Estimand
    roles: Roles
    arms: Arms
    learners: Learners = NO_LEARNERS
    notes: tuple[str, ...] = ()
    sampling: Sampling = EVEN
    kept: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def on(self, table: pd.DataFrame) -> "Problem":
        """The same question put to another table with the same columns.

        Raises:
            InputError: if a compared level of the treatment does not occur there.

        Example:
        >>> from causalvlm.identification.estimands import BackDoor
            >>> table = pd.DataFrame({"X": [0, 1, 0, 1], "Y": [0.0, 1.0, 0.5, 1.5]})
            >>> read_problem(table, BackDoor("X", "Y", ())).on(table.iloc[2:]).rows
            2
        """
        treated, control = (self.arms.labels[place] for place in self.arms.pair)
        arms = read_arms(table, self.roles.treatment, treated, control)
        sampling = self.sampling if self.sampling.even else self.sampling.on(table)
        return replace(self, table=table, arms=arms, notes=(), sampling=sampling, kept={})

    def reordered(self, columns: Sequence[str], order: Int[np.ndarray, " rows"]) -> "Problem":
        """The same question with some columns taken from other rows; what was read of the other columns stays.

        Args:
            columns: which, of those in use.
            order: the row that each row takes them from.

        Example:
        >>> from causalvlm.identification.estimands import BackDoor
            >>> table = pd.DataFrame({"X": [0, 1, 0, 1], "Y": [0.0, 1.0, 0.5, 1.5]})
            >>> read_problem(table, BackDoor("X", "Y", ())).reordered(["Y"], np.array([3, 2, 1, 0])).outcome
            array([1.5, 0.5, 1. , 0. ])
        """
        moved = self.table[list(columns)].take(order).set_axis(self.table.index)
        table = self.table.assign(**{name: moved[name] for name in columns})
        parts = self.roles
        other = replace(self, table=table, notes=()) if set(columns) == {parts.outcome} else self.on(table)
        read = {
            ("mediator", "mediator_levels"): parts.mediators,
            ("covariates", "strata"): parts.covariates,
            ("instrument",): parts.instruments,
            ("outcome", "counted_outcome"): (parts.outcome,),
        }
        for properties, of in read.items():
            if not set(of) & set(columns):
                other.__dict__.update({name: self.__dict__[name] for name in properties if name in self.__dict__})
        return other

    def read(self) -> None:
        """Read the columns beside treatment and outcome as numbers, for all problems that are reordered from this one.

        Example:
        >>> from causalvlm.identification.estimands import FrontDoor
            >>> table = pd.DataFrame({"X": [0, 1, 0, 1], "S": [0.1, 1.2, 0.3, 1.4], "Y": [0.0, 1.0, 0.5, 1.5]})
            >>> problem = read_problem(table, FrontDoor("X", "Y", ("S",)))
            >>> problem.read()
            >>> problem.reordered(["X"], np.arange(4)).mediator is problem.mediator
            True
        """
        _ = self.mediator, self.covariates, self.instrument

    def answering(self, outcome: Float[np.ndarray, " rows"]) -> "Problem":
        """The same question about another outcome of the same rows; what was read of the other columns stays."""
        other = replace(self, table=self.table.assign(**{self.roles.outcome: outcome}), notes=())
        kept = ("mediator", "mediator_levels", "covariates", "strata", "instrument")
        other.__dict__.update({name: self.__dict__[name] for name in kept if name in self.__dict__})
        return other

    def once(self, name: str, make: "Callable[[], Made]") -> "Made":
        """What does not depend on the outcome: made on first use, and shared by problems that differ in it alone.

        Example:
        >>> from causalvlm.identification.estimands import BackDoor
            >>> table = pd.DataFrame({"X": [0, 1, 0, 1], "Y": [0.0, 1.0, 0.5, 1.5]})
            >>> problem = read_problem(table, BackDoor("X", "Y", ()))
            >>> problem.once("share", lambda: 0.5), problem.reordered(["Y"], np.arange(4)).once("share", lambda: 0.7)
            (0.5, 0.5)
        """
        if name not in self.kept:
            self.kept[name] = make()
        return self.kept[name]

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return len(self.table)

    @property
    def front_door(self) -> bool:
        """Whether the effect is read through the mediators."""
        return self.door == "front-door"

    @property
    def door(self) -> Door:
        """The criterion that identifies the effect."""
        return self.estimand.strategy

    @property
    def through_mediators(self) -> bool:
        """Whether all that is estimated passes through mediators, and would end with them."""
        through = self.front_door or (isinstance(self.estimand, Mediation) and self.estimand.part == "indirect")
        return through and bool(self.roles.mediators)

    @property
    def nested(self) -> tuple[tuple[int, int], ...]:
        """For each setting, the levels that outcome and mediators see; they differ in a part of an effect.

        Raises:
            InputError: if the treatment is continuous.
        """
        treated, control = self.arms.pair
        arms = range(len(self.arms.coded().labels))
        match self.estimand:
            case Mediation(part="indirect"):
                return tuple((treated, arm) for arm in arms)
            case Mediation(part="direct"):
                return tuple((arm, control) for arm in arms)
            case _:
                return tuple((arm, arm) for arm in arms)

    @property
    def held(self) -> tuple[Level, ...]:
        """The levels at which the mediators are held, of a controlled effect.

        Raises:
            InputError: if a mediator that is held is a vector.
        """
        at = self.estimand.at if isinstance(self.estimand, Mediation) else ()
        if at and len(at) != len(self.roles.mediators):
            raise InputError(
                f"a mediator that is held must be one column; received {len(self.roles.mediators)} columns for "
                f"{len(at)} levels. Hold a single column, or ask for another part of the effect."
            )
        return at

    @property
    def held_code(self) -> int | None:
        """Where the mediators' levels at which they are held stand among their joint levels; None of other effects.

        Raises:
            InputError: if a mediator has no such level.
            OverlapError: if no row has all of them.
        """
        if not self.held:
            return None
        rows = np.ones(self.rows, dtype=bool)
        for name, value in zip(self.roles.mediators, self.held, strict=True):
            found = levels(self.table, name)
            rows &= found.codes == find_level(name, found.labels, value, asked="at=")
        if not rows.any():
            raise OverlapError(
                f"the levels at which mediators are held must occur together; received {self.held} of "
                f"{', '.join(self.roles.mediators)}, which no row has. Hold them elsewhere.",
                effective_sample_size=0.0,
            )
        return int(self.mediator_levels.codes[rows][0])

    @cached_property
    def data(self) -> Data:
        """The kind of data by which an estimator is chosen."""
        if self.door == "general" or (self.front_door and not self.roles.mediators):  # P(Y), whatever X is
            return "cells"
        if self.door == "instrument":
            return "levels" if self.binary_instrument else "amounts"
        if self.arms.levels is None and self.door != "mediation":  # whose estimators take levels only, and say so
            return "amounts"
        beside = (*self.roles.mediators, *self.roles.covariates)
        if self.learners or not all(is_discrete(self.table, name) for name in beside):
            return "levels"
        if self.arms.levels is None:
            return "levels"
        codes = self.strata.codes * len(self.mediator_levels.labels) + self.mediator_levels.codes
        cells = len(self.arms.labels) * len(pd.unique(codes))
        return "cells" if self.categorical or cells * _ROWS_PER_CELL <= self.rows else "levels"

    @property
    def codes(self) -> Int[np.ndarray, " rows"]:
        """The level of the treatment in each row.

        Raises:
            InputError: if the treatment is continuous.
        """
        return self.arms.coded().codes

    @cached_property
    def mediator(self) -> Float[np.ndarray, "rows _"]:
        """The mediators as numbers, one 0/1 column per level but the first where they are discrete."""
        return matrix(self.table, self.roles.mediators)

    @cached_property
    def covariates(self) -> Float[np.ndarray, "rows _"]:
        """The covariates, or the adjustment set, as numbers."""
        return matrix(self.table, self.roles.covariates)

    @cached_property
    def instrument(self) -> Float[np.ndarray, "rows _"]:
        """The instrument as numbers, one 0/1 column per level but the first where it is discrete."""
        return matrix(self.table, self.roles.instruments)

    @property
    def binary_instrument(self) -> bool:
        """Whether treatment and instrument have two levels each, so that units either follow the instrument or not."""
        names = (self.roles.treatment, *self.roles.instruments)
        return len(names) == 2 and all(self.table[name].nunique() == 2 for name in names)

    @cached_property
    def mediator_levels(self) -> Levels:
        """The mediators as one discrete variable."""
        return joint_levels(self.table, self.roles.mediators)

    @cached_property
    def strata(self) -> Levels:
        """The covariates, or the adjustment set, as one discrete variable."""
        return joint_levels(self.table, self.roles.covariates)

    @property
    def categorical(self) -> bool:
        """Whether the outcome is a category, whose distribution is wanted, and not a number."""
        return isinstance(self.table[self.roles.outcome].dtype, pd.CategoricalDtype)

    @cached_property
    def outcome(self) -> Float[np.ndarray, " rows"]:
        """The outcome as numbers.

        Raises:
            InputError: if it is categorical, or text.
        """
        if self.categorical:
            raise InputError(
                f"a categorical outcome needs the estimator 'plug-in'; received column {self.roles.outcome!r} with "
                "another. Make mediators and treatment discrete, or code one class as 0/1."
            )
        return numbers(self.table, self.roles.outcome)

    @cached_property
    def counted_outcome(self) -> Levels | Float[np.ndarray, " rows"]:
        """The outcome as it is counted: levels if they are few, else numbers.

        Raises:
            InputError: if it is text.
        """
        if self.categorical:
            return levels(self.table, self.roles.outcome)
        values = self.outcome
        return levels(self.table, self.roles.outcome) if is_discrete(self.table, self.roles.outcome) else values

    @cached_property
    def given(self) -> Float[np.ndarray, "rows _"]:
        """Intercept, treatment columns and covariates: what a linear model holds fixed."""
        return np.hstack([np.ones((self.rows, 1)), self.arms.design, self.covariates])


def read_problem(
    table: pd.DataFrame,
    estimand: Estimand,
    *,
    treated: Level | None = None,
    control: Level | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
    learners: Learners = NO_LEARNERS,
    cluster: str | None = None,
    weights: str | None = None,
) -> Problem:
    """Check a table against an estimand and read the treatment; every other column is read when it is asked for.

    Args:
        table: one row per unit; not changed.
        estimand: what `identify` returned.
        treated: level to compare; by default the last one, or 1 for a continuous treatment.
        control: level to compare with; by default the first one, or 0.
        columns: the columns that hold a node, for a node that is a vector; by default the column of its name.
        learners: models of one's own for the nuisance functions.
        cluster: column that names the cluster of each row.
        weights: column of weights; rows that have none are dropped.

    Raises:
        InputError: a mistake in the table or the arguments.
        OverlapError: if a compared level lies in fewer than `FEWEST_OF_LEVEL` clusters.

    Example:
        >>> from causalvlm.identification.estimands import BackDoor
        >>> table = pd.DataFrame({"X": ["a", "b"] * 10, "Z": [0, 0, 1, 1] * 5, "Y": range(20)})
        >>> read_problem(table, BackDoor("X", "Y", ("Z",))).data
        'cells'
    """
    parts = roles(estimand, columns or {})
    if (
        isinstance(estimand, FrontDoor) and not parts.mediators
    ):  # nothing carries an effect: nothing is to be held fixed
        parts = replace(parts, covariates=())
    check_columns(table, parts.all())
    _require_distinct_columns(parts)
    table, sampling = read_sampling(table, parts.all(), cluster=cluster, weights=weights)
    arms = read_arms(table, parts.treatment, treated, control)
    _require_clusters(arms, sampling)
    for role, names in (("mediator", parts.mediators), ("instrument", parts.instruments)):
        if names and all(is_constant(table, name) for name in names):
            raise InputError(
                f"the {role} must vary; received one value of {', '.join(names[:3])} in all {len(table)} rows. "
                "A constant carries no effect: check the column, or the filter that made the table."
            )
    notes = (*check_fixable(table, parts.all()[2:]), *few_clusters(sampling))
    return Problem(table, estimand, parts, arms, learners, notes, sampling)


def _require_clusters(arms: Arms, sampling: Sampling) -> None:
    """A mean that rests on few clusters has a standard error that is far too small (MacKinnon, Webb 2017)."""
    if sampling.codes is None or arms.levels is None:
        return
    for place in arms.pair:
        found = len(np.unique(sampling.codes[arms.levels.codes == place]))
        if found < FEWEST_OF_LEVEL:
            raise OverlapError(
                f"each compared level must lie in at least {FEWEST_OF_LEVEL} clusters; received {found} of "
                f"{arms.levels.name}={arms.labels[place]!r}. Use finer clusters, other levels, or more rows.",
                effective_sample_size=float(found),
            )


def _require_distinct_columns(parts: Roles) -> None:
    names = parts.all()
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(
            f"every column must play one part; received {twice[0]!r} in two. Give each part its own column."
        )
