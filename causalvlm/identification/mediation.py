"""Parts of an effect: how much of it passes through mediators and how much past them, as an estimand and a search.

Y(x, S(x')) is the outcome under treatment x with the mediators as they would be under x' (Pearl, UAI 2001; Robins,
Greenland, Epidemiology 3, 1992). Its mean is identified where covariates W, no effects of the treatment, leave
treatment, mediators and outcome unconfounded (Pearl 2001, theorem 2; Imai, Keele, Yamamoto, Statistical Science 25,
2010), and no cause of both mediators and outcome is an effect of the treatment (Avin, Shpitser, Pearl, IJCAI 2005).

The controlled direct effect sets the mediators to one level s for everybody, E[Y | do(x, s)] - E[Y | do(x', s)], and
needs less: covariates W, no effects of treatment or mediators, that close every back door of the two together (Pearl
2001, section 3; by rule 2 of the do-calculus, if W separates Y from both in the graph without their arrows). What
confounds treatment and mediators does no harm, and needs not be observed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal, get_args

from causalvlm.errors import InputError, NotIdentifiedError
from causalvlm.graphs.graph import CausalGraph, require_graph
from causalvlm.graphs.latex import latex_name
from causalvlm.graphs.paths import CausalPath
from causalvlm.identification.criteria import Door, latex_names, listed, record, shown

Part = Literal["indirect", "direct", "total", "controlled"]
"""Through the mediators, past them, both together, or past mediators that are held at one level."""

Held = str | int | float | bool
"""A level at which a mediator is held."""

_MOST_SUBSETS = 10


@dataclass(frozen=True)
class Mediation:
    """A part of an effect, with x the treated setting and x' the control.

    Direct and indirect part add up to the total: the mediators of the direct one are those of the control, and the
    outcome of the indirect one is that under treatment.

    Attributes:
        strategy: the name of the criterion, ``"mediation"``.
        treatment: the node that is set.
        outcome: the node that answers.
        mediators: the nodes between the two, sorted.
        covariates: the nodes given which nothing confounds the three, sorted.
        part: which.
        at: the level of each mediator, of a controlled effect.

    Example:
        >>> print(Mediation("X", "Y", ("S",), ("C",)).text())
        E[Y(x, S(x))] - E[Y(x, S(x'))] = sum_{S, C} E[Y | x, S, C] (P(S | x, C) - P(S | x', C)) P(C)
        >>> print(Mediation("X", "Y", ("S",), (), "direct").text())
        E[Y(x, S(x'))] - E[Y(x', S(x'))] = sum_{S} (E[Y | x, S] - E[Y | x', S]) P(S | x')
        >>> print(Mediation("X", "Y", ("S",), ("C",), "controlled", (1,)).text())
        E[Y(x, S=1)] - E[Y(x', S=1)] = sum_{C} (E[Y | x, S=1, C] - E[Y | x', S=1, C]) P(C)
    """

    strategy: ClassVar[Door] = "mediation"

    treatment: str
    outcome: str
    mediators: tuple[str, ...]
    covariates: tuple[str, ...]
    part: Part = "indirect"
    at: tuple[Held, ...] = ()

    def to_record(self) -> dict[str, object]:
        """What a JSON file says of the estimand; `adjustment` holds the mediators.

        Example:
            >>> record = Mediation("X", "Y", ("S",), ("C",), "direct").to_record()
            >>> record["strategy"], record["adjustment"], record["covariates"], record["part"]
            ('mediation', ['S'], ['C'], 'direct')
        """
        at = dict(zip(self.mediators, self.at, strict=False))
        return {**record(self, self.mediators, self.covariates), "part": self.part, "at": at}

    def _repr_latex_(self) -> str:
        return shown(self)

    def text(self) -> str:
        """Print the functional as plain text."""
        names = self.outcome, ", ".join(self.mediators), ", ".join(self.covariates)
        return self._written(*names, "|", "sum", " ", self.beside())

    def latex(self) -> str:
        r"""Print the functional as LaTeX math, without dollar signs.

        Example:
            >>> print(Mediation("X", "Y", ("S",), (), "total").latex().split(" = ")[1])
            \sum_{S} (E[Y \mid x, S]\, P(S \mid x) - E[Y \mid x', S]\, P(S \mid x'))
        """
        names = latex_name(self.outcome), latex_names(self.mediators), latex_names(self.covariates)
        held = ", ".join(
            f"{latex_name(node)}={latex_name(str(level))}" for node, level in zip(self.mediators, self.at, strict=False)
        )
        return self._written(*names, r"\mid", r"\sum", r"\, ", held)

    def beside(self) -> str:
        """What is set beside the treatment; empty but for a controlled effect.

        Example:
            >>> Mediation("X", "Y", ("S",), (), "controlled", (1,)).beside(), Mediation("X", "Y", ("S",), ()).beside()
            ('S=1', '')
        """
        return ", ".join(f"{node}={level}" for node, level in zip(self.mediators, self.at, strict=False))

    def assumptions(self) -> tuple[str, ...]:
        """What must hold in the world for the functional to be the effect.

        Example:
            >>> for assumption in Mediation("X", "Y", ("S",), ("C",)).assumptions():
            ...     print(assumption)
            nothing confounds X with S and Y given C
            nothing confounds S with Y given X and C, and no effect of X causes both
        """
        x, y, s = self.treatment, self.outcome, listed(self.mediators)
        given = f" given {listed(self.covariates)}" if self.covariates else ""
        if self.part == "controlled":
            return (f"nothing confounds {y} with {x} or {s}{given}, and neither of these two causes what is given",)
        return (
            f"nothing confounds {x} with {s} and {y}{given}",
            f"nothing confounds {s} with {y} given {listed((x, *self.covariates))}, and no effect of {x} causes both",
        )

    def _written(self, y: str, s: str, c: str, bar: str, total: str, times: str, held: str) -> str:
        given, weight = (f", {c}", f"{times}P({c})") if c else ("", "")
        if self.part == "controlled":
            first, second = (f"E[{y} {bar} {at}, {held}{given}]" for at in ("x", _CONTROL))
            sums = f"{total}_{{{c}}} ({first} - {second}){weight}" if c else f"{first} - {second}"
            return f"E[{y}(x, {held})] - E[{y}({_CONTROL}, {held})] = {sums}"
        inner = s if len(self.mediators) == 1 else f"({s})"

        def mean(at: str) -> str:
            return f"E[{y} {bar} {at}, {s}{given}]"

        def law(at: str) -> str:
            return f"P({s} {bar} {at}{given})"

        match self.part:
            case "indirect":
                ends, sums = (("x", "x"), ("x", "x'")), f"{mean('x')}{times}({law('x')} - {law(_CONTROL)})"
            case "direct":
                ends = (("x", "x'"), ("x'", "x'"))
                sums = f"({mean('x')} - {mean(_CONTROL)}){times}{law(_CONTROL)}"
            case "total":
                ends = (("x", "x"), ("x'", "x'"))
                sums = f"({mean('x')}{times}{law('x')} - {mean(_CONTROL)}{times}{law(_CONTROL)})"
        first, second = (f"E[{y}({at}, {inner}({of}))]" for at, of in ends)
        return f"{first} - {second} = {total}_{{{s}{given}}} {sums}{weight}"


_CONTROL = "x'"  # no quote of its kind may stand within an f-string


def identify_mediation(
    graph: CausalGraph,
    *,
    treatment: str,
    outcome: str,
    mediators: Sequence[str],
    part: Part = "indirect",
    at: Mapping[str, Held] | None = None,
) -> Mediation:
    """Find a smallest set of observed nodes, no effects of the treatment, that identifies a part of an effect.

    With more than ten such nodes they are taken all together.

    Args:
        graph: the causal graph.
        treatment: the observed node that is set.
        outcome: the observed node that answers.
        mediators: observed nodes; the effect past all of them is the direct one.
        part: ``"indirect"``, ``"direct"``, ``"total"`` or ``"controlled"``.
        at: the level at which each mediator is held, for a controlled effect.

    Raises:
        InputError: nodes that are unknown, latent, none or in two roles, an unknown part, or levels that are missing or
            not asked for.
        NotIdentifiedError: treatment, mediators and outcome stay confounded; under a front-door graph they always are,
            and the front-door effect is then the indirect one.

    Example:
        >>> graph = CausalGraph("X -> S -> Y; X -> Y; C -> {X S Y}")
        >>> identify_mediation(graph, treatment="X", outcome="Y", mediators=["S"]).covariates
        ('C',)
        >>> graph = CausalGraph("X -> S -> Y; X -> Y; X <-> S")
        >>> identify_mediation(graph, treatment="X", outcome="Y", mediators=["S"], part="controlled", at={"S": 0}).at
        (0,)
    """
    _check(graph, treatment, outcome, mediators, part)
    nodes = tuple(sorted(mediators))
    held = _levels(nodes, part, at or {})
    effects = graph.descendants(treatment)
    if part == "controlled":
        effects |= {node for name in nodes for node in graph.descendants(name)}
    related = graph.ancestors([treatment, outcome, *nodes])
    allowed = [node for node in graph.observed if node in related - effects and node not in (outcome, *nodes)]

    def open_paths(given: Sequence[str]) -> list[tuple[str, CausalPath]]:
        find = _open_together if part == "controlled" else _open_paths
        return [(name, path) for name, path in find(graph, treatment, outcome, nodes, given) if path]

    sizes = range(len(allowed) + 1) if len(allowed) <= _MOST_SUBSETS else [len(allowed)]
    for size in sizes:
        for chosen in combinations(allowed, size):
            if not open_paths(chosen):
                return Mediation(treatment, outcome, nodes, chosen, part, held)
    name, path = open_paths(allowed)[0]
    raise _refused(part, name, path)


def _refused(part: Part, name: str, path: CausalPath) -> NotIdentifiedError:
    if part == "controlled":
        message = (
            "a controlled direct effect needs treatment and mediator to be unconfounded with the outcome given "
            "observed covariates that neither of them causes; received a graph in which "
            f"{name} stay confounded along {path}. Observe a node on that path that they do not cause."
        )
    else:
        message = (
            "natural effects need treatment, mediator and outcome to be unconfounded given observed covariates; "
            f"received a graph in which {name} stay confounded along {path}. Observe a node on that path, or ask for "
            "the front-door effect, which is the indirect one."
        )
    return NotIdentifiedError(message, condition=f"{name} unconfounded", open_path=str(path), remedies=())


def _levels(mediators: Sequence[str], part: Part, at: Mapping[str, Held]) -> tuple[Held, ...]:
    wanted = set(mediators) if part == "controlled" else set[str]()
    if set(at) != wanted:
        asked = f"name a level of each mediator for a controlled effect ({', '.join(mediators)}), and none for another"
        received = f"{', '.join(sorted(at)) or 'none'} for the {part} effect"
        raise InputError(f"at= must {asked}; received {received}. Write part='controlled', at={{'S': 1}}.")
    return tuple(at[node] for node in mediators if node in at)


def _check(graph: CausalGraph, treatment: str, outcome: str, mediators: Sequence[str], part: str) -> None:
    nodes = [treatment, outcome, *mediators]
    if isinstance(mediators, str) or not mediators:
        raise InputError(f"mediators must be a list of nodes; received {mediators!r}. Write mediators=['S'].")
    require_graph(graph).known(nodes, "a node of the question")
    if len(set(nodes)) < len(nodes):
        raise InputError(f"treatment, outcome and mediators must differ; received {', '.join(nodes)}. Name each once.")
    if latent := sorted(graph.latent & set(nodes)):
        raise InputError(
            f"treatment, outcome and mediators must be observed; received {latent[0]!r}, which is latent. Ask about "
            f"observed nodes, or mark it as observed: graph.observe({latent[0]!r})."
        )
    if part not in get_args(Part):
        raise InputError(f"part must be one of {', '.join(get_args(Part))}; received {part!r}. Choose one of these.")


def _open_paths(
    graph: CausalGraph, treatment: str, outcome: str, mediators: Sequence[str], given: Sequence[str]
) -> list[tuple[str, CausalPath | None]]:
    """Back-door paths that stay open: from X to S and Y given W, from S to Y given W and X."""
    cut, behind = graph.without_effects(treatment), graph.without_effects(*mediators)
    return [
        ("treatment and mediator", cut.open_path(treatment, mediators, given=given)),
        ("treatment and outcome", cut.open_path(treatment, outcome, given=given)),
        ("mediator and outcome", behind.open_path(mediators, outcome, given=[*given, treatment])),
    ]


def _open_together(
    graph: CausalGraph, treatment: str, outcome: str, mediators: Sequence[str], given: Sequence[str]
) -> list[tuple[str, CausalPath | None]]:
    """Back-door paths of treatment and mediators together that stay open: to Y, given W, without arrows out of them."""
    behind = graph.without_effects(treatment, *mediators)
    return [
        ("treatment and outcome", behind.open_path(treatment, outcome, given=given)),
        ("mediator and outcome", behind.open_path(mediators, outcome, given=given)),
    ]
