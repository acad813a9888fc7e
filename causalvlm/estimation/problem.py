"""The question put to a table, with every column read once: who plays which part, and what an estimator sees of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from causalvlm.errors import InputError
from causalvlm.estimation.arms import Arms, read_arms
from causalvlm.estimation.learners import NO_LEARNERS, Learners
from causalvlm.estimation.sample import (
    Level,
    Levels,
    check_columns,
    check_fixable,
    is_constant,
    is_discrete,
    joint_levels,
    levels,
    matrix,
    numbers,
)
from causalvlm.identification.estimands import BackDoor, Estimand, FrontDoor, Functional

Door = Literal["front-door", "back-door", "general"]

Data = Literal["cells", "levels", "amounts"]
"""Discrete columns with enough rows in their cells, a treatment with levels, or a continuous treatment."""

_ROWS_PER_CELL = 5

Made = TypeVar("Made")


@dataclass(frozen=True)
class Roles:
    """Which columns play which part.

    Attributes:
        treatment: column of the treatment.
        outcome: column of the outcome.
        mediators: columns that hold the mediator; none for a back door.
        covariates: columns that hold the adjustment set, the front door's covariates or a formula's other nodes.
        front_door: whether the effect is read through the mediators.
        functional: the formula, where neither door serves.

    Example:
        >>> roles(BackDoor("X", "Y", ("Z",)), {}).covariates
        ('Z',)
    """

    treatment: str
    outcome: str
    mediators: tuple[str, ...]
    covariates: tuple[str, ...]
    front_door: bool
    functional: Functional | None = None

    def all(self) -> tuple[str, ...]:
        """Every column in use.

        Example:
            >>> roles(BackDoor("X", "Y", ("Z",)), {}).all()
            ('X', 'Y', 'Z')
        """
        return (self.treatment, self.outcome, *self.mediators, *self.covariates)


def read_columns(columns: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The columns that hold each node, as tuples of their own.

    Raises:
        InputError: if there is no mapping, or a node is not given a list of at least one column.

    Example:
        >>> read_columns({"S": ["S0", "S1"]})
        {'S': ('S0', 'S1')}
    """
    if not isinstance(columns, Mapping):
        raise InputError(
            f"columns= must map nodes to lists of columns; received {columns!r}. Write columns={{'S': ['S0', 'S1']}}."
        )
    held: dict[str, tuple[str, ...]] = {}
    for node, names in columns.items():
        if isinstance(names, str) or not isinstance(names, Iterable) or not tuple(names):
            meant = names if isinstance(names, str) and names else node
            raise InputError(
                f"columns= must give every node a list of at least one column; received {names!r} for {node!r}. Write "
                f"columns={{{node!r}: [{meant!r}]}}, or leave it out if the column has the node's name."
            )
        held[node] = tuple(names)
    return held


def roles(estimand: Estimand, columns: Mapping[str, Sequence[str]]) -> Roles:
    """Columns of each part of the estimand; a node without an entry in `columns` is held by the column of its name.

    Raises:
        InputError: if a node is unknown to the estimand, or treatment or outcome is given several columns, or there is
            no estimand.

    Example:
        >>> roles(FrontDoor("X", "Y", ("S",)), {"S": ["S0", "S1"]}).mediators
        ('S0', 'S1')
    """
    if not isinstance(estimand, Estimand):
        raise InputError(
            f"the estimand must be what identify returned; received {estimand!r}. Write estimate_effect(table, "
            "identify(graph, 'X', 'Y'))."
        )
    match estimand:
        case FrontDoor():
            mediators, covariates = estimand.mediators, estimand.covariates
        case BackDoor():
            mediators, covariates = (), estimand.adjustment
        case Functional():
            mediators, covariates = (), estimand.others
    nodes = (estimand.treatment, estimand.outcome, *mediators, *covariates)
    stray = [node for node in columns if node not in nodes]
    if stray:
        raise InputError(f"columns= must map nodes of the estimand; received {stray[0]!r}. Nodes: {', '.join(nodes)}.")
    given = read_columns(columns)

    def held(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(column for name in names for column in given.get(name, (name,)))

    single = {node: held([node]) for node in (estimand.treatment, estimand.outcome)}
    for node, found in single.items():
        if len(found) != 1:
            raise InputError(f"treatment and outcome must be one column each; received {len(found)} for {node!r}.")
    treatment, outcome = single[estimand.treatment][0], single[estimand.outcome][0]
    functional = estimand if isinstance(estimand, Functional) else None
    return Roles(treatment, outcome, held(mediators), held(covariates), isinstance(estimand, FrontDoor), functional)


@dataclass(frozen=True, eq=False)
class Problem:
    """A checked table, the part of each column, and what has been read of them; each is read on first use and kept.

    Attributes:
        table: the data; never changed.
        roles: which column plays which part.
        arms: the settings of the treatment.
        learners: models of one's own for the nuisance functions.
        notes: what a reader must know of the columns.
        kept: what `once` has made.

    Example:
        >>> table = pd.DataFrame({"X": [0, 1, 0, 1], "S": [0.1, 1.2, 0.3, 1.4], "Y": [0.0, 1.0, 0.5, 1.5]})
        >>> problem = read_problem(table, FrontDoor("X", "Y", ("S",)))
        >>> problem.door, problem.mediator.shape
        ('front-door', (4, 1))
    """

    table: pd.DataFrame
    roles: Roles
    arms: Arms
    learners: Learners = NO_LEARNERS
    notes: tuple[str, ...] = ()
    kept: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def on(self, table: pd.DataFrame) -> "Problem":
        """The same question put to another table with the same columns.

        Raises:
            InputError: if a compared level of the treatment does not occur there.

        Example:
            >>> table = pd.DataFrame({"X": [0, 1, 0, 1], "Y": [0.0, 1.0, 0.5, 1.5]})
            >>> read_problem(table, BackDoor("X", "Y", ())).on(table.iloc[2:]).rows
            2
        """
        treated, control = (self.arms.labels[place] for place in self.arms.pair)
        return replace(
            self, table=table, arms=read_arms(table, self.roles.treatment, treated, control), notes=(), kept={}
        )

    def reordered(self, columns: Sequence[str], order: Int[np.ndarray, " rows"]) -> "Problem":
        """The same question with some columns taken from other rows; what was read of the other columns stays.

        Args:
            columns: which, of those in use.
            order: the row that each row takes them from.

        Example:
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
            ("outcome", "counted_outcome"): (parts.outcome,),
        }
        for properties, of in read.items():
            if not set(of) & set(columns):
                other.__dict__.update({name: self.__dict__[name] for name in properties if name in self.__dict__})
        return other

    def once(self, name: str, make: "Callable[[], Made]") -> "Made":
        """What does not depend on the outcome: made on first use, and shared by problems that differ in it alone.

        Example:
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
        return self.roles.front_door

    @property
    def door(self) -> Door:
        """The criterion that identifies the effect."""
        if self.roles.functional:
            return "general"
        return "front-door" if self.front_door else "back-door"

    @cached_property
    def data(self) -> Data:
        """The kind of data by which an estimator is chosen."""
        if self.roles.functional or (self.front_door and not self.roles.mediators):  # P(Y), whatever X is
            return "cells"
        if self.arms.levels is None:
            return "amounts"
        beside = (*self.roles.mediators, *self.roles.covariates)
        if self.learners or not all(is_discrete(self.table, name) for name in beside):
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
) -> Problem:
    """Check a table against an estimand and read the treatment; every other column is read when it is asked for.

    Args:
        table: one row per unit; not changed.
        estimand: what `identify` returned.
        treated: level to compare; by default the last one, or 1 for a continuous treatment.
        control: level to compare with; by default the first one, or 0.
        columns: the columns that hold a node, for a node that is a vector; by default the column of its name.
        learners: models of one's own for the nuisance functions.

    Raises:
        InputError: a mistake in the table or the arguments.

    Example:
        >>> table = pd.DataFrame({"X": ["a", "b"] * 10, "Z": [0, 0, 1, 1] * 5, "Y": range(20)})
        >>> read_problem(table, BackDoor("X", "Y", ("Z",))).data
        'cells'
    """
    parts = roles(estimand, columns or {})
    if parts.front_door and not parts.mediators:  # nothing carries an effect, so nothing has to be held fixed
        parts = Roles(parts.treatment, parts.outcome, (), (), front_door=True)
    check_columns(table, parts.all())
    _require_distinct_columns(parts)
    arms = read_arms(table, parts.treatment, treated, control)
    if parts.mediators and all(is_constant(table, name) for name in parts.mediators):
        raise InputError(
            f"the mediator must vary; received one value of {', '.join(parts.mediators[:3])} in all {len(table)} rows. "
            "A constant carries no effect: check the column, or the filter that made the table."
        )
    return Problem(table, parts, arms, learners, check_fixable(table, (*parts.mediators, *parts.covariates)))


def _require_distinct_columns(parts: Roles) -> None:
    names = parts.all()
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(
            f"every column must play one part; received {twice[0]!r} in two. Give each part its own column."
        )
