"""Natural effects: how much of an effect passes through mediators and how much past them, as an estimand and a search.

Y(x, S(x')) is the outcome under treatment x with the mediators as they would be under x' (Pearl, UAI 2001; Robins,
Greenland, Epidemiology 3, 1992). Its mean is identified where covariates W, no effects of the treatment, leave
treatment, mediators and outcome unconfounded (Pearl 2001, theorem 2; Imai, Keele, Yamamoto, Statistical Science 25,
2010), and no cause of both mediators and outcome is an effect of the treatment (Avin, Shpitser, Pearl, IJCAI 2005).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal, get_args

from causalvlm.errors import InputError, NotIdentifiedError
from causalvlm.graphs.graph import CausalGraph, require_graph
from causalvlm.graphs.latex import latex_name
from causalvlm.graphs.paths import CausalPath
from causalvlm.identification.criteria import Door, latex_names, listed, record, shown

Part = Literal["indirect", "direct", "total"]
"""Through the mediators, past them, or both together."""

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

    Example:
        >>> print(Mediation("X", "Y", ("S",), ("C",)).text())
        E[Y(x, S(x))] - E[Y(x, S(x'))] = sum_{S, C} E[Y | x, S, C] (P(S | x, C) - P(S | x', C)) P(C)
        >>> print(Mediation("X", "Y", ("S",), (), "direct").text())
        E[Y(x, S(x'))] - E[Y(x', S(x'))] = sum_{S} (E[Y | x, S] - E[Y | x', S]) P(S | x')
    """

    strategy: ClassVar[Door] = "mediation"

    treatment: str
    outcome: str
    mediators: tuple[str, ...]
    covariates: tuple[str, ...]
    part: Part = "indirect"

    def to_record(self) -> dict[str, object]:
        """What a JSON file says of the estimand; `adjustment` holds the mediators.

        Example:
            >>> record = Mediation("X", "Y", ("S",), ("C",), "direct").to_record()
            >>> record["strategy"], record["adjustment"], record["covariates"], record["part"]
            ('mediation', ['S'], ['C'], 'direct')
        """
        return {**record(self, self.mediators, self.covariates), "part": self.part}

    def _repr_latex_(self) -> str:
        return shown(self)

    def text(self) -> str:
        """Print the functional as plain text."""
        return self._written(self.outcome, ", ".join(self.mediators), ", ".join(self.covariates), "|", "sum", " ")

    def latex(self) -> str:
        r"""Print the functional as LaTeX math, without dollar signs.

        Example:
            >>> print(Mediation("X", "Y", ("S",), (), "total").latex().split(" = ")[1])
            \sum_{S} (E[Y \mid x, S]\, P(S \mid x) - E[Y \mid x', S]\, P(S \mid x'))
        """
        names = latex_name(self.outcome), latex_names(self.mediators), latex_names(self.covariates)
        return self._written(*names, r"\mid", r"\sum", r"\, ")

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
        return (
            f"nothing confounds {x} with {s} and {y}{given}",
            f"nothing confounds {s} with {y} given {listed((x, *self.covariates))}, and no effect of {x} causes both",
        )

    def _written(self, y: str, s: str, c: str, bar: str, total: str, times: str) -> str:
        given, weight = (f", {c}", f"{times}P({c})") if c else ("", "")
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
    graph: CausalGraph, *, treatment: str, outcome: str, mediators: Sequence[str], part: Part = "indirect"
) -> Mediation:
    """Find a smallest set of observed nodes, no effects of the treatment, that identifies natural effects.

    With more than ten such nodes they are taken all together.

    Args:
        graph: the causal graph.
        treatment: the observed node that is set.
        outcome: the observed node that answers.
        mediators: observed nodes; the effect past all of them is the direct one.
        part: ``"indirect"``, ``"direct"`` or ``"total"``.

    Raises:
        InputError: nodes that are unknown, latent, none or in two roles, or an unknown part.
        NotIdentifiedError: treatment, mediators and outcome stay confounded; under a front-door graph they always are,
            and the front-door effect is then the indirect one.

    Example:
        >>> graph = CausalGraph("X -> S -> Y; X -> Y; C -> {X S Y}")
        >>> identify_mediation(graph, treatment="X", outcome="Y", mediators=["S"]).covariates
        ('C',)
    """
    _check(graph, treatment, outcome, mediators, part)
    nodes = tuple(sorted(mediators))
    effects = graph.descendants(treatment)
    related = graph.ancestors([treatment, outcome, *nodes])
    allowed = [node for node in graph.observed if node in related - effects and node not in (outcome, *nodes)]
    sizes = range(len(allowed) + 1) if len(allowed) <= _MOST_SUBSETS else [len(allowed)]
    for size in sizes:
        for chosen in combinations(allowed, size):
            if not any(path for _, path in _open_paths(graph, treatment, outcome, nodes, chosen)):
                return Mediation(treatment, outcome, nodes, chosen, part)
    name, path = next((name, path) for name, path in _open_paths(graph, treatment, outcome, nodes, allowed) if path)
    raise NotIdentifiedError(
        "natural effects need treatment, mediator and outcome to be unconfounded given observed covariates; received a "
        f"graph in which {name} stay confounded along {path}. Observe a node on that path, or ask for the front-door "
        "effect, which is the indirect one.",
        condition=f"{name} unconfounded",
        open_path=str(path),
        remedies=(),
    )


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
