"""Why an effect is not identified, and which observation or which missing edge would mend it."""

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace

from causalvlm.graphs.graph import CausalGraph
from causalvlm.graphs.paths import CausalPath
from causalvlm.identification.adjustment import Question
from causalvlm.identification.criteria import Strategy
from causalvlm.identification.general import find_hedge

MOST_CHANGES = 3
"""A remedy of more changes than these is none."""
MOST_TRIALS = 100
"""How many changed graphs are tried; a bound on the time that only large graphs meet."""


@dataclass(frozen=True)
class Failure:
    """A condition that cannot be met.

    Attributes:
        condition: the condition, in words.
        path: the path that violates it.

    Example:
        >>> print(back_door_failure(Question(CausalGraph("X -> Y; X <-> Y"), "X", "Y")).path)
        X <-> Y
    """

    condition: str
    path: CausalPath


@dataclass(frozen=True)
class Remedy:
    """A change after which the effect is identified.

    Attributes:
        text: the change in words.
        graph: the graph after it.

    Example:
        >>> question = Question(CausalGraph("U -> X -> Y; U -> Y; latent U"), "X", "Y")
        >>> find_remedies(question, "back-door")[0].text
        'observe U'
    """

    text: str
    graph: CausalGraph


def back_door_failure(question: Question) -> Failure:
    """Name the back-door path that no observed set blocks.

    If any set blocks all of them, all causes of treatment and outcome do (van der Zander, Liskiewicz, Textor 2019).

    Example:
        >>> back_door_failure(Question(CausalGraph("X -> Y; X <-> Y"), "X", "Y")).condition
        'back-door: every back-door path from X to Y must be blocked by observed nodes'
    """
    x, y = question.treatment, question.outcome
    return Failure(
        f"back-door: every back-door path from {x} to {y} must be blocked by observed nodes",
        _path(question.back_doors, x, y, question.covariates),
    )


def front_door_failure(question: Question) -> Failure:
    """Name the first of the three front-door conditions that no set meets, and the path that violates it.

    Example:
        >>> leak = Question(CausalGraph("X -> S -> Y; X <-> Y; X <-> S"), "X", "Y")
        >>> failure = front_door_failure(leak)
        >>> print(failure.condition, "|", failure.path)
        front-door condition 2 (first stage): every back-door path from X to S must be blocked | X <-> S
    """
    x, y = question.treatment, question.outcome
    past = _directed_path(question, question.mediators)
    if past is not None:
        return Failure(
            "front-door condition 1 (full mediation): observed nodes must intercept every directed path "
            f"from {x} to {y}",
            past,
        )
    unconfounded = question.unconfounded(question.mediators, question.covariates)
    if failure := _first_stage_failure(question, unconfounded):
        return failure
    kept = question.possible_mediators(question.mediators, question.covariates)
    return _second_stage_failure(question, kept, unconfounded) or _shared_covariates_failure(question, kept)


def _first_stage_failure(question: Question, unconfounded: frozenset[str]) -> Failure | None:
    around = _directed_path(question, unconfounded)
    if around is None:
        return None
    node = next(node for node in around.nodes[1:] if node in question.mediators)
    given = question.causes_among(question.covariates, {node})
    return _first_stage(question, node, _path(question.back_doors, question.treatment, node, given))


def _second_stage_failure(question: Question, kept: frozenset[str], unconfounded: frozenset[str]) -> Failure | None:
    around = _directed_path(question, kept)
    if around is None:
        return None
    node = next(node for node in around.nodes[1:] if node in unconfounded)
    path = question.second_stage_path(node, question.graph.without_effects(*kept, node), question.covariates)
    return None if path is None else _second_stage(question, node, path)


def _shared_covariates_failure(question: Question, kept: frozenset[str]) -> Failure:
    """Each mediator has covariates that serve it, and no covariates serve all."""
    chosen = question.covariates_for(kept, question.covariates)
    path = question.back_doors.open_path(question.treatment, kept, given=chosen)
    if path is not None:
        return _first_stage(question, path.nodes[-1], path)
    given = chosen | {question.treatment}
    path = _path(question.graph.without_effects(*kept), kept, question.outcome, given)
    return _second_stage(question, path.nodes[0], path)


def _first_stage(question: Question, node: str, path: CausalPath) -> Failure:
    return Failure(
        "front-door condition 2 (first stage): every back-door path from "
        f"{question.treatment} to {node} must be blocked",
        path,
    )


def _second_stage(question: Question, node: str, path: CausalPath) -> Failure:
    return Failure(
        f"front-door condition 3 (second stage): {question.treatment} must block every back-door path "
        f"from {node} to {question.outcome}",
        path,
    )


def _directed_path(question: Question, avoiding: Set[str]) -> CausalPath | None:
    """A directed path from treatment to outcome past `avoiding`."""
    nodes = (question.on_the_way - avoiding) | {question.treatment, question.outcome}
    edges = (edge for edge in question.graph.directed if nodes.issuperset(edge))
    return CausalGraph(edges, nodes=nodes).open_path(question.treatment, question.outcome)


def _path(graph: CausalGraph, source: str | Set[str], target: str, given: Set[str]) -> CausalPath:
    path = graph.open_path(source, target, given=given)
    if path is None:
        raise RuntimeError(f"no open path between {source} and {target} in {graph}: the criterion is met")
    return path


def find_remedies(question: Question, strategy: Strategy) -> tuple[Remedy, ...]:
    """Find the fewest changes that identify the effect; each answer has been tried.

    A change makes a latent node observed, gives the hidden cause behind a bidirected edge a name and observes it, or
    removes an edge. Only changes on the open paths are tried; where one is not enough, the next is sought on the paths
    that are open after it. A removal that takes the effect away is no remedy.

    Raises:
        TooMuchEffortError: in a graph that is too large to be searched so often.

    Example:
        >>> question = Question(CausalGraph("X -> S -> Y; X <-> Y; X -> Y"), "X", "Y")
        >>> for remedy in find_remedies(question, "any"):
        ...     print(remedy.text)
        observe what X and Y share (X <-> Y)
        remove X -> Y
        remove X <-> Y
    """
    has_effect = question.outcome in question.graph.descendants(question.treatment)
    tried: set[frozenset[_Change]] = set()
    states: list[tuple[tuple[_Change, ...], Question]] = [((), question)]
    for _ in range(MOST_CHANGES):
        longer = (((*done, change), reached) for done, reached in states for change in _changes(reached, strategy))
        states, found = [], list[tuple[tuple[_Change, ...], Question]]()
        for changes, reached in longer:
            if len(tried) == MOST_TRIALS:
                break
            if frozenset(changes) in tried:
                continue
            tried.add(frozenset(changes))
            question.effort.spend(question.graph)
            changed = replace(reached, graph=changes[-1].apply(reached.graph))  # at the expense of the same effort
            if not has_effect or changed.outcome in changed.graph.descendants(changed.treatment):
                (found if _identified(changed, strategy) else states).append((changes, changed))
        if found:
            found.sort(key=lambda state: sum(not change.observe for change in state[0]))
            return tuple(Remedy(" and ".join(map(str, changes)), changed.graph) for changes, changed in found)
    return ()


@dataclass(frozen=True)
class _Change:
    left: str
    arrow: str  # none for a latent node
    right: str
    observe: bool

    def __str__(self) -> str:
        edge = f"{self.left} {self.arrow} {self.right}"
        if not self.observe:
            return f"remove {edge}"
        return f"observe what {self.left} and {self.right} share ({edge})" if self.arrow else f"observe {self.left}"

    def apply(self, graph: CausalGraph) -> CausalGraph:
        if not self.arrow:
            return graph.observe(self.left)
        changed = graph.without_edge(self.left, self.arrow, self.right)
        if not self.observe:
            return changed
        shared = f"U({self.left}, {self.right})"
        edges = [*changed.directed, (shared, self.left), (shared, self.right)]
        return CausalGraph(edges, bidirected=changed.bidirected, latent=changed.latent, nodes=changed.nodes)


def _changes(question: Question, strategy: Strategy) -> Iterator[_Change]:
    """The changes on the paths that keep the effect from being identified."""
    failures = [front_door_failure(question)] if strategy != "back-door" else []
    failures += [back_door_failure(question)] if strategy != "front-door" else []
    for path in (failure.path for failure in failures):
        for node in path.nodes:
            if node in question.graph.latent:
                yield _Change(node, "", "", observe=True)
        for left, arrow, right in zip(path.nodes, path.arrows, path.nodes[1:], strict=False):
            if arrow == "<->":
                left, right = min(left, right), max(left, right)
                yield _Change(left, arrow, right, observe=True)
                yield _Change(left, arrow, right, observe=False)
            elif arrow == "->":
                yield _Change(left, "->", right, observe=False)
            else:
                yield _Change(right, "->", left, observe=False)


def _identified(question: Question, strategy: Strategy) -> bool:
    match strategy:
        case "back-door":
            return question.smallest_back_door() is not None
        case "front-door":
            return find_hedge(question) is None and question.small_front_door() is not None
        case _:
            return find_hedge(question) is None
