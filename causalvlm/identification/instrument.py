"""Instruments: nodes that reach the outcome through the treatment alone, as an estimand and as a search.

Z is an instrument for the effect of X on Y given W if Z and X depend on each other given W, and Z and Y do not in the
graph without the edges out of X; neither Z nor W hold effects of X or Y (Brito, Pearl, "Generalized instrumental
variables", UAI 2002). W is sought among the ancestors of Z and Y: where any set serves any instrument, such a one does
(van der Zander, Textor, Liskiewicz, "Efficiently finding conditional instruments for causal inference", IJCAI 2015).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from causalvlm.graphs.latex import latex_name
from causalvlm.graphs.paths import CausalPath
from causalvlm.graphs.separators import Node, moral_graph, smallest_cut
from causalvlm.identification.adjustment import Names, Question, TooMuchEffortError
from causalvlm.identification.criteria import Door, latex_names, listed, record, shown


@dataclass(frozen=True)
class Instrument:
    """The effect of one unit of X read from what `instrument` moves, within levels of `covariates`.

    The graph alone does not identify it: see `assumptions`. The formula is the slope of Wald (1940) and Wright (1928).

    Attributes:
        strategy: the name of the criterion, ``"instrument"``.
        treatment: the node that is set.
        outcome: the node that answers.
        instrument: the node that reaches the outcome through the treatment alone.
        covariates: the nodes given which it does, sorted.

    Example:
        >>> print(Instrument("X", "Y", "Z").text())
        E[Y | do(X = x + 1)] - E[Y | do(X = x)] = Cov(Z, Y) / Cov(Z, X)
        >>> print(Instrument("X", "Y", "Z", ("W",)).text())
        E[Y | do(X = x + 1)] - E[Y | do(X = x)] = E[Cov(Z, Y | W)] / E[Cov(Z, X | W)]
    """

    strategy: ClassVar[Door] = "instrument"

    treatment: str
    outcome: str
    instrument: str
    covariates: tuple[str, ...] = ()

    def to_record(self) -> dict[str, object]:
        """What a JSON file says of the estimand; `adjustment` holds the instrument.

        Example:
            >>> record = Instrument("X", "Y", "Z", ("W",)).to_record()
            >>> record["strategy"], record["adjustment"], record["covariates"]
            ('instrument', ['Z'], ['W'])
        """
        return record(self, (self.instrument,), self.covariates)

    def _repr_latex_(self) -> str:
        return shown(self)

    def text(self) -> str:
        """Print the functional as plain text."""
        x, y, z = self.treatment, self.outcome, self.instrument
        effect = f"E[{y} | do({x} = x + 1)] - E[{y} | do({x} = x)]"
        if not self.covariates:
            return f"{effect} = Cov({z}, {y}) / Cov({z}, {x})"
        given = ", ".join(self.covariates)
        return f"{effect} = E[Cov({z}, {y} | {given})] / E[Cov({z}, {x} | {given})]"

    def latex(self) -> str:
        r"""Print the functional as LaTeX math, without dollar signs.

        Example:
            >>> print(Instrument("X", "Y", "Z").latex().split(" = ")[-1])
            \frac{\mathrm{Cov}(Z, Y)}{\mathrm{Cov}(Z, X)}
        """
        x, y, z = (latex_name(name) for name in (self.treatment, self.outcome, self.instrument))
        given = rf" \mid {latex_names(self.covariates)}" if self.covariates else ""
        above, below = (rf"\mathrm{{Cov}}({z}, {name}{given})" for name in (y, x))
        if given:
            above, below = (rf"E\left[{part}\right]" for part in (above, below))
        means = (rf"E\left[{y} \mid \mathrm{{do}}({x} = {at})\right]" for at in ("x + 1", "x"))
        return rf"{' - '.join(means)} = \frac{{{above}}}{{{below}}}"

    def assumptions(self) -> tuple[str, ...]:
        """What must hold in the world for the functional to be the effect; no graph shows the last.

        Example:
            >>> for assumption in Instrument("X", "Y", "Z").assumptions():
            ...     print(assumption)
            relevance: Z and X depend on each other
            exclusion and independence: but for the effects of X, nothing joins Z and Y
            beyond the graph: X acts on Y along a line, alike in every unit, or, Z and X being binary, X moves against Z
            in no unit, and the effect is that on the units in which it moves with Z
        """
        x, y, z = self.treatment, self.outcome, self.instrument
        given = f" given {listed(self.covariates)}" if self.covariates else ""
        return (
            f"relevance: {z} and {x} depend on each other{given}",
            f"exclusion and independence: but for the effects of {x}, nothing joins {z} and {y}{given}",
            f"beyond the graph: {self.beyond_the_graph()}",
        )

    def beyond_the_graph(self) -> str:
        """The assumption that no graph shows."""
        x, y, z = self.treatment, self.outcome, self.instrument
        return (
            f"{x} acts on {y} along a line, alike in every unit, or, {z} and {x} being binary, {x} moves against {z} "
            f"in no unit, and the effect is that on the units in which it moves with {z}"
        )


def find_instruments(question: Question) -> tuple[Instrument, ...]:
    """List the nodes that are instruments, each with a smallest set of covariates; the best comes first.

    Fewer covariates are better, then nodes that act on the treatment directly, then those that cause it. The set is a
    smallest one wherever that leaves instrument and treatment dependent, else one of which no variable can be spared.

    Raises:
        TooMuchEffortError: in a graph that is too large, if none was found.

    Example:
        >>> from causalvlm.graphs.graph import CausalGraph
        >>> graph = CausalGraph("Z -> X -> Y; X <-> Y; W -> {Z Y}; A -> Z")
        >>> for found in find_instruments(Question(graph, "X", "Y")):
        ...     print(found.instrument, found.covariates)
        A ()
        Z ('W',)
    """
    search, found = _Search(question), list[Instrument]()
    for node in search.candidates:
        try:
            covariates = search.covariates(node)
        except TooMuchEffortError:
            if not found:
                raise
            break
        if covariates is not None:
            found.append(Instrument(question.treatment, question.outcome, node, tuple(sorted(covariates))))
    return tuple(sorted(found, key=lambda one: len(one.covariates)))  # stable: the order of candidates breaks ties


def instrument_failure(question: Question) -> CausalPath | None:
    """A path that keeps the most likely candidate from being an instrument; None where nothing is related to X.

    Example:
        >>> from causalvlm.graphs.graph import CausalGraph
        >>> print(instrument_failure(Question(CausalGraph("Z -> X -> Y; X <-> Y; Z -> Y"), "X", "Y")))
        Z -> Y
    """
    search, related = _Search(question), question.graph.d_connected(question.treatment)
    paths = (
        question.back_doors.open_path(node, question.outcome, given=search.around(node))
        for node in search.candidates
        if node in related
    )
    return next(filter(None, paths), None)


@dataclass(frozen=True)
class _Search:
    question: Question

    @cached_property
    def allowed(self) -> Names:
        """Observed nodes that are neither treatment, outcome nor effects of them."""
        ends = {self.question.treatment, self.question.outcome}
        graph = self.question.graph
        return frozenset(graph.observed) - graph.descendants(ends)

    @cached_property
    def candidates(self) -> tuple[str, ...]:
        """The allowed nodes: direct causes of the treatment, its other causes, and the rest."""
        graph, x = self.question.graph, self.question.treatment
        causes, direct = graph.ancestors(x), graph.parents(x)
        return tuple(sorted(self.allowed, key=lambda node: (node not in direct, node not in causes, node)))

    def around(self, node: str) -> Names:
        """All covariates that may serve a node."""
        return (self.allowed & self.question.back_doors.ancestors({node, self.question.outcome})) - {node}

    def covariates(self, node: str) -> Names | None:
        """Nodes given which `node` is an instrument, or None."""
        self.question.effort.spend(self.question.graph)
        outcome, around = self.question.outcome, self.around(node)
        moral = moral_graph(self.question.back_doors, {node, outcome})
        cut = smallest_cut(moral, node, outcome, around)
        if cut is None or self._related(node, cut):
            return cut
        nearest = _nearest(moral, node, outcome, around)
        return self._spare(node, nearest) if self._related(node, nearest) else None

    def _related(self, node: str, given: Names) -> bool:
        return not self.question.graph.d_separated(node, self.question.treatment, given=given)

    def _spare(self, node: str, covariates: Names) -> Names:
        for other in sorted(covariates):
            fewer = covariates - {other}
            apart = self.question.back_doors.d_separated(node, self.question.outcome, given=fewer)
            if apart and self._related(node, fewer):
                covariates = fewer
        return covariates


def _nearest(moral: dict[Node, list[Node]], source: str, target: str, allowed: Names) -> Names:
    """The nodes that paths from `target` meet first, as far as paths from `source` meet them: they separate the two."""
    first = frozenset(_met(moral, target, allowed))
    return frozenset(_met(moral, source, first))


def _met(moral: dict[Node, list[Node]], start: str, stops: Names) -> Iterator[str]:
    inner, seen = list[Node]([start]), set[Node]({start})
    while inner:
        for node in moral[inner.pop()]:
            if node in seen:
                continue
            seen.add(node)
            if node in stops:
                yield str(node)
            else:
                inner.append(node)
