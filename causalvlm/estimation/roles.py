"""Which columns play which part of an estimand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from causalvlm.errors import InputError
from causalvlm.identification.estimands import BackDoor, Estimand, FrontDoor, Functional, Instrument, Mediation


@dataclass(frozen=True)
class Roles:
    """Which columns play which part.

    Attributes:
        treatment: column of the treatment.
        outcome: column of the outcome.
        mediators: columns that hold the mediator; none for a back door.
        covariates: columns that hold the adjustment set, what a criterion holds fixed or a formula's other nodes.
        instruments: columns that hold the instrument.

    Example:
        >>> roles(BackDoor("X", "Y", ("Z",)), {}).covariates
        ('Z',)
    """

    treatment: str
    outcome: str
    mediators: tuple[str, ...]
    covariates: tuple[str, ...]
    instruments: tuple[str, ...] = ()

    def all(self) -> tuple[str, ...]:
        """Every column in use.

        Example:
            >>> roles(BackDoor("X", "Y", ("Z",)), {}).all()
            ('X', 'Y', 'Z')
        """
        return (self.treatment, self.outcome, *self.mediators, *self.covariates, *self.instruments)


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
    mediators, covariates, instruments = _parts(estimand)
    nodes = (estimand.treatment, estimand.outcome, *mediators, *covariates, *instruments)
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
    return Roles(treatment, outcome, held(mediators), held(covariates), held(instruments))


def _parts(estimand: Estimand) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The nodes beside treatment and outcome: mediators, covariates, instruments."""
    match estimand:
        case FrontDoor():
            return estimand.mediators, estimand.covariates, ()
        case BackDoor():
            return (), estimand.adjustment, ()
        case Functional():
            return (), estimand.others, ()
        case Instrument():
            return (), estimand.covariates, (estimand.instrument,)
        case Mediation():
            return estimand.mediators, estimand.covariates, ()
