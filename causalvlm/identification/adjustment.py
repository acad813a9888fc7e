"""Search for the sets of variables that meet the back-door or the front-door criterion, in polynomial time.

Back-door (Pearl, Causality 2009, definition 3.3.1). A smallest set is a smallest vertex cut in the moral graph
of the ancestors of treatment and outcome (van der Zander, Liskiewicz, Textor, "Separators and adjustment sets
in causal graphs", Artificial Intelligence 270, 2019). Among the smallest the one nearest the outcome is taken:
it gives the most precise estimate (Smucler, Rotnitzky, "A note on efficient minimum cost adjustment sets in
causal graphical models", Journal of Causal Inference 10, 2022).

Front-door (definition 3.3.3), within levels of covariates C that are no effects of the treatment:

1. full mediation: the mediators intercept every directed path from treatment to outcome;
2. first stage: C blocks every back-door path from the treatment to the mediators;
3. second stage: C and the treatment block every back-door path from the mediators to the outcome.

For a given C the sets that meet 2 and 3 are closed under union, so there is a largest one, found by striking
out what can be in none (Jeong, Tian, Bareinboim, "Finding and listing front-door adjustment sets", NeurIPS
2022); the criterion can be met if and only if that set meets 1.
"""

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field
from functools import cached_property

from causalvlm.errors import InputError
from causalvlm.graphs.graph import CausalGraph
from causalvlm.graphs.paths import CausalPath
from causalvlm.graphs.separators import Node, moral_graph, smallest_cut

Names = frozenset[str]

SEARCH_BUDGET = 200
"""How many mediator sets the search for shared covariates tries before it gives up."""

COMPETITORS = 8
"""How many minimal front-door sets compete for the smallest, where the first is not provably so."""

MOST_EFFORT = 1_000_000
"""Nodes and edges that the searches of one question may walk through, all in all: some seconds on large graphs."""


class TooMuchEffortError(InputError):
    """The search has walked through `MOST_EFFORT` nodes and edges, and is not at its end."""


@dataclass
class Effort:
    """What a question may still spend.

    Attributes:
        left: nodes and edges.

    Example:
        >>> Effort(left=3).spend(CausalGraph("X -> S -> Y"))
        Traceback (most recent call last):
        ...
        causalvlm.identification.adjustment.TooMuchEffortError: a graph must be small enough to search; received 3 nodes
        and 2 edges, in which the search was given up. Leave out nodes that do not matter, or edges.
    """

    left: int = field(default_factory=lambda: MOST_EFFORT)

    def spend(self, graph: CausalGraph) -> None:
        """Count one walk through `graph`.

        Raises:
            TooMuchEffortError: if nothing is left.
        """
        edges = len(graph.directed) + len(graph.bidirected)
        self.left -= len(graph.nodes) + edges
        if self.left < 0:
            raise TooMuchEffortError(
                f"a graph must be small enough to search; received {len(graph.nodes)} nodes and {edges} edges, in "
                "which the search was given up. Leave out nodes that do not matter, or edges."
            )


@dataclass(frozen=True)
class Adjustment:
    """A set that meets a criterion; without a mediator it is a back-door set.

    Attributes:
        mediators: carry the effect, for the front door.
        covariates: are adjusted for.

    Example:
        >>> Adjustment(frozenset("S"), frozenset()).variables
        frozenset({'S'})
    """

    mediators: Names
    covariates: Names

    @property
    def variables(self) -> Names:
        """All variables of the set."""
        return self.mediators | self.covariates


@dataclass(frozen=True)
class Question:
    """The effect of `treatment` on `outcome` in `graph`, and what its answer is made of.

    Attributes:
        graph: the causal graph.
        treatment: the node that is set.
        outcome: the node that answers.
        effort: what its searches may still spend.

    Example:
        >>> question = Question(CausalGraph("C -> X -> S -> Y; C -> Y"), "X", "Y")
        >>> sorted(question.mediators), sorted(question.covariates)
        (['S'], ['C'])
        >>> sorted(question.smallest_back_door().variables)
        ['C']
    """

    graph: CausalGraph
    treatment: str
    outcome: str
    effort: Effort = field(default_factory=Effort, repr=False, compare=False)

    @cached_property
    def on_the_way(self) -> Names:
        """The nodes between treatment and outcome on directed paths, latent ones too."""
        between = self.graph.descendants(self.treatment) & self.graph.ancestors(self.outcome)
        return between - {self.treatment, self.outcome}

    @cached_property
    def mediators(self) -> Names:
        """The observed nodes between treatment and outcome; others never help the front door."""
        return self.on_the_way - self.graph.latent

    @cached_property
    def covariates(self) -> Names:
        """The observed nodes that the treatment does not cause and that cause treatment or outcome.

        No other node is needed: what separates two sets in a graph still does so without the nodes that
        are ancestors of neither.
        """
        causes = self.graph.ancestors({self.treatment, self.outcome}) - self.graph.latent
        return causes - self.graph.descendants(self.treatment) - {self.outcome}

    @cached_property
    def back_doors(self) -> CausalGraph:
        """The graph without the edges out of the treatment: what still reaches it is confounding."""
        return self.graph.without_effects(self.treatment)

    def smallest_back_door(self, allowed: Names | None = None) -> Adjustment | None:
        """Find a smallest back-door set among the `allowed` nodes (all, if not given), or None."""
        self.effort.spend(self.graph)
        covariates = self.covariates if allowed is None else self.covariates & allowed
        moral = moral_graph(self.back_doors, {self.treatment, self.outcome})
        cut = smallest_cut(moral, self.treatment, self.outcome, covariates)
        return None if cut is None else Adjustment(frozenset(), cut)

    def is_back_door(self, covariates: Names) -> bool:
        """Tell whether these nodes are observed, no effects of the treatment, and block every back-door path."""
        return covariates.isdisjoint(
            self.graph.descendants(self.treatment) | self.graph.latent | {self.outcome}
        ) and self.outcome not in self.back_doors.d_connected(self.treatment, given=covariates)

    def is_front_door(self, mediators: Names, covariates: Names) -> bool:
        """Tell whether the three conditions hold."""
        self.effort.spend(self.graph)
        return (
            self.intercepts(mediators)
            and not mediators & self.back_doors.d_connected(self.treatment, given=covariates)
            and not mediators & self._second_stage_leaks(mediators, covariates)
        )

    def intercepts(self, nodes: Set[str]) -> bool:
        """Tell whether every directed path from treatment to outcome passes through `nodes`."""
        self.effort.spend(self.graph)
        inner = self.graph.without_effects(*nodes)
        return self.outcome not in inner.descendants(self.treatment)

    def _second_stage_leaks(self, mediators: Names, covariates: Names) -> set[str]:
        given = {self.treatment, *covariates}
        return self.graph.without_effects(*mediators).d_connected(self.outcome, given=given)

    def _largest_front_door(self, mediators: Names, covariates: Names) -> Names:
        """The largest part of `mediators` that meets conditions 2 and 3 given exactly these covariates."""
        self.effort.spend(self.graph)
        kept = mediators - self.back_doors.d_connected(self.treatment, given=covariates)
        while leaks := kept & self._second_stage_leaks(kept, covariates):
            kept -= leaks
        return kept

    def smallest_front_door(self) -> Adjustment | None:
        """Find a smallest front-door set, or None.

        Smallest is proven where the mediators are a smallest cut of the directed paths and at most one covariate
        joins them. Elsewhere the first few minimal sets compete.
        """
        found = self.small_front_door()
        if found is None:
            return None
        cut = self._smallest_mediators(self.mediators)
        if cut is not None and len(found.mediators) == len(cut) and len(found.covariates) <= 1:
            return found
        try:
            return minimal_sets(self.small_front_door, self.graph.nodes, limit=COMPETITORS)[0]
        except TooMuchEffortError:
            return found

    def small_front_door(self, allowed: Names | None = None) -> Adjustment | None:
        """Find a front-door set of which no variable can be spared, among the `allowed` nodes; or None.

        Sets without covariates come first. The mediators are a smallest vertex cut wherever one meets the
        criterion, again the one nearest the outcome, which tells least about the treatment and so overlaps most.
        """
        allowed = frozenset(self.graph.nodes) if allowed is None else allowed
        mediators, covariates = self.mediators & allowed, self.covariates & allowed
        largest = self._largest_front_door(mediators, frozenset())
        if self.intercepts(largest):
            return self._spare(largest, frozenset())
        return self._conditional_front_door(mediators, covariates)

    def _conditional_front_door(self, mediators: Names, covariates: Names) -> Adjustment | None:
        """Search for mediators and covariates together.

        For given mediators `covariates_for` is complete: if any covariates serve, those do. Mediators which no
        covariates can serve are struck out. Only where the rest disagree on the covariates does the search
        branch, by leaving one mediator out at a time; `SEARCH_BUDGET` keeps that polynomial.
        """
        queue, seen = [mediators], {mediators}
        for candidates in queue:
            kept = self.possible_mediators(candidates, covariates)
            if not self.intercepts(kept):
                continue
            chosen = self.covariates_for(kept, covariates)
            if self.is_front_door(kept, chosen):
                return self._spare(self._largest_front_door(mediators, chosen), chosen)
            for node in sorted(kept):
                if len(queue) < SEARCH_BUDGET and (fewer := kept - {node}) not in seen:
                    seen.add(fewer)
                    queue.append(fewer)
        return None

    def possible_mediators(self, mediators: Names, covariates: Names) -> Names:
        """Strike out the mediators that fail condition 2 or 3 whatever the covariates."""
        kept, ends = self.unconfounded(mediators, covariates), {self.treatment, self.outcome}
        while True:
            muted = self.graph.without_effects(*kept)
            leaks: set[str] = set()
            for nodes, causes in self._by_causes(muted, kept, ends, covariates):
                leaks |= nodes & muted.d_connected(self.outcome, given=causes | {self.treatment})
            if not leaks:
                return kept
            kept -= leaks

    def unconfounded(self, mediators: Names, covariates: Names) -> Names:
        """The mediators that meet condition 2 with some of the covariates: with all causes among them, if at all."""
        kept: set[str] = set()
        for nodes, causes in self._by_causes(self.graph, mediators, {self.treatment}, covariates):
            kept |= nodes - self.back_doors.d_connected(self.treatment, given=causes)
        return frozenset(kept)

    def _by_causes(
        self, graph: CausalGraph, nodes: Names, ends: Set[str], covariates: Names
    ) -> Iterator[tuple[Set[str], Names]]:
        """The nodes that have the same causes among the covariates, with these and the causes of `ends`.

        One walk from causes to effects finds them, and one more per group is what the caller needs.
        """
        shared = covariates & graph.ancestors(ends)
        more: dict[str, Names] = {}
        for node in graph.topological_order:
            causes = {more[other] for arrow, other in graph.links[node] if arrow == "<-"}
            own = {node} & (covariates - shared)
            more[node] = causes.pop() if len(causes) == 1 and not own else frozenset(own).union(*causes)
        groups: dict[Names, set[str]] = {}
        for node in nodes:
            groups.setdefault(more[node], set()).add(node)
        for causes, group in groups.items():
            self.effort.spend(self.graph)
            yield group, shared | causes

    def second_stage_path(self, node: str, muted: CausalGraph, covariates: Names) -> CausalPath | None:
        """A path from `node` to the outcome, in the graph without the mediators' effects, that no covariates block."""
        causes = covariates & muted.ancestors({self.treatment, self.outcome, node})
        return muted.open_path(node, self.outcome, given=causes | {self.treatment})

    def causes_among(self, covariates: Names, nodes: Set[str]) -> Names:
        """The covariates that cause the treatment or `nodes`; they block condition 2 if anything does."""
        return covariates & self.graph.ancestors({self.treatment, *nodes})

    def covariates_for(self, mediators: Names, covariates: Names) -> Names:
        """The covariates that serve these mediators, if any do.

        Causes of treatment and mediators never hurt (they open no collider that is not open anyway). Causes of the
        outcome alone may open one in condition 2, so only those that condition 3 meets first are taken: any
        valid set contains them or an effect of them.
        """
        causes = self.causes_among(covariates, mediators)
        others = (covariates & self.graph.ancestors(self.outcome)) - causes
        second_stage = self.graph.without_effects(*mediators)
        moral = moral_graph(second_stage, {self.treatment, self.outcome, *mediators})
        met: set[str] = set()
        inner, seen = list[Node](mediators), set[Node]({self.treatment, *mediators, *causes})
        while inner:
            for node in moral[inner.pop()]:
                if node in others:
                    met.add(str(node))
                elif node not in seen:
                    seen.add(node)
                    inner.append(node)
        return causes | met

    def _spare(self, mediators: Names, covariates: Names) -> Adjustment:
        """Shrink a valid set until no variable can be spared."""
        cut = self._smallest_mediators(mediators)
        if cut is not None and self.is_front_door(cut, covariates):
            mediators = cut  # no part of a smallest cut is a cut: only covariates may be spared
        found, fixed = Adjustment(mediators, covariates), mediators == cut
        while smaller := next(filter(self._is_valid, _one_less(found, fixed)), None):
            found = smaller
        return found

    def _smallest_mediators(self, allowed: Names) -> Names | None:
        """The smallest cut of the directed paths."""
        nodes = self.on_the_way | {self.treatment, self.outcome}
        paths: dict[Node, list[Node]] = {node: [] for node in sorted(nodes)}
        for cause, effect in self.graph.directed:
            if cause in nodes and effect in nodes:
                paths[cause].append(effect)
        return smallest_cut(paths, self.treatment, self.outcome, allowed)

    def _is_valid(self, adjustment: Adjustment) -> bool:
        return self.is_front_door(adjustment.mediators, adjustment.covariates)


def _one_less(adjustment: Adjustment, mediators_are_fixed: bool) -> Iterable[Adjustment]:
    for node in sorted(adjustment.covariates):
        yield Adjustment(adjustment.mediators, adjustment.covariates - {node})
    if mediators_are_fixed:
        return
    for node in sorted(adjustment.mediators):
        yield Adjustment(adjustment.mediators - {node}, adjustment.covariates)


def minimal_sets(find: Callable[[Names], Adjustment | None], allowed: Iterable[str], *, limit: int) -> list[Adjustment]:
    """List the sets of which no variable can be spared, at most `limit` of them, smallest first.

    In a large graph the list ends where the effort of the question does.

    A minimal set other than the one found must do without one of its variables; forbidding each in turn meets
    all of them (the hitting-set tree of Reiter, "A theory of diagnosis from first principles", Artificial
    Intelligence 32, 1987).

    Example:
        >>> question = Question(CausalGraph("X -> S1 -> S2 -> Y; X <-> Y"), "X", "Y")
        >>> [sorted(found.variables) for found in minimal_sets(question.small_front_door, "S1 S2".split(), limit=9)]
        [['S1'], ['S2']]
    """
    allowed, queue = frozenset(allowed), [Names()]
    seen, found = set(queue), dict[Adjustment, None]()
    for forbidden in queue:
        if len(found) == limit:
            break
        try:
            adjustment = find(allowed - forbidden)
        except TooMuchEffortError:
            if not found:
                raise
            break
        if adjustment is None:
            continue
        found[adjustment] = None
        more = [forbidden | {node} for node in sorted(adjustment.variables, reverse=True)]
        queue += [names for names in more if names not in seen]
        seen.update(more)
    return sorted(found, key=size)


def size(adjustment: Adjustment) -> tuple[bool, int, list[str]]:
    """Order sets: front-door sets with covariates last, then by the number of variables, then by name.

    Example:
        >>> size(Adjustment(frozenset("S"), frozenset()))
        (False, 1, ['S'])
    """
    variables = adjustment.variables
    return bool(adjustment.mediators and adjustment.covariates), len(variables), sorted(variables)
