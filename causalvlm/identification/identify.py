"""Find in a causal graph which observed quantity equals the effect."""

from dataclasses import replace
from typing import get_args

from causalvlm.errors import InputError, NotIdentifiedError
from causalvlm.graphs.graph import CausalGraph, require_graph
from causalvlm.identification.adjustment import Adjustment, Effort, Question, TooMuchEffortError, minimal_sets
from causalvlm.identification.criteria import Strategy
from causalvlm.identification.estimands import BackDoor, Estimand, FrontDoor, Instrument
from causalvlm.identification.general import Hedge, find_functional, find_hedge
from causalvlm.identification.instrument import find_instruments, instrument_failure
from causalvlm.identification.remedies import (
    MOST_CHANGES,
    back_door_failure,
    find_remedies,
    front_door_failure,
)


def identify(
    graph: CausalGraph,
    treatment: str,
    outcome: str,
    *,
    strategy: Strategy = "any",
) -> Estimand:
    """Find what identifies the effect of `treatment` on `outcome`: a back-door or front-door set, or a formula.

    With ``strategy="any"`` the back door comes first, because it needs fewer assumptions and gives narrower
    intervals; the front door is tried where no observed set closes the back door, and the general algorithm (Shpitser,
    Pearl, AAAI 2006) where neither serves. That one is complete: what it does not identify, nothing does. Ask for one
    of the three to get that one. Time is polynomial in the nodes and bounded: a graph of 5,000 nodes is answered
    within seconds, or refused.

    An instrument has to be asked for, as it needs an assumption that no graph shows (`Instrument.assumptions`); where
    nothing identifies the effect and there is one, the refusal names it among the remedies.

    Args:
        graph: the causal graph.
        treatment: the observed node that is set.
        outcome: the observed node that answers.
        strategy: ``"any"``, ``"back-door"``, ``"front-door"``, ``"general"`` or ``"instrument"``.

    Raises:
        InputError: unknown, equal or latent treatment and outcome, an unknown strategy, or a graph that is too large
            to search.
        NotIdentifiedError: nothing of the kind asked for identifies it; says which condition fails, along which path,
            and what mends it.

    Example:
        >>> identify(CausalGraph("X -> S -> Y; X <-> Y"), treatment="X", outcome="Y")
        FrontDoor(treatment='X', outcome='Y', mediators=('S',), covariates=())
        >>> identify(CausalGraph("X -> S -> Y; C -> {X Y}"), "X", "Y")
        BackDoor(treatment='X', outcome='Y', adjustment=('C',))
        >>> print(identify(CausalGraph("W -> Z -> X -> Y; W <-> {X Y}"), treatment="X", outcome="Y").text())
        P(Y | do(X)) = [sum_{W} P(X, Y | W, Z) P(W)] / [sum_{W} P(X | W, Z) P(W)], for any Z
        >>> identify(CausalGraph("Z -> X -> Y; X <-> Y"), treatment="X", outcome="Y", strategy="instrument")
        Instrument(treatment='X', outcome='Y', instrument='Z', covariates=())
    """
    question = _ask(graph, treatment, outcome, strategy)
    if strategy == "instrument":
        return _best_instrument(question)
    if strategy in ("any", "back-door") and (found := question.smallest_back_door()):
        return _back_door(question, found)
    complete = strategy in ("any", "general")
    if complete and (hedge := find_hedge(question)):
        raise _not_identified(question, strategy, hedge)
    if strategy in ("any", "front-door") and (found := question.smallest_front_door()):
        return _front_door(question, found)
    if complete:
        return find_functional(question)
    raise _not_identified(question, strategy)


def adjustment_sets(
    graph: CausalGraph,
    treatment: str,
    outcome: str,
    *,
    strategy: Strategy = "any",
    limit: int = 100,
) -> tuple[Estimand, ...]:
    """List the sets of which no variable can be spared: back door first, then front door, each smallest first.

    A front-door set is its mediators and its covariates together; sets without covariates come first. Of instruments,
    which have to be asked for, each is listed once, with a smallest set of covariates.

    Args:
        graph: the causal graph.
        treatment: the observed node that is set.
        outcome: the observed node that answers.
        strategy: which criterion; ``"any"`` lists the sets of both doors. The general algorithm has no sets.
        limit: at most so many sets of each kind; there may be exponentially many. In graphs of hundreds of nodes there
            may be more sets than are found, as the search is bounded too.

    Raises:
        InputError: as `identify`, or a `limit` below 1.

    Example:
        >>> for estimand in adjustment_sets(CausalGraph("X -> S1 -> S2 -> Y; X <-> Y"), treatment="X", outcome="Y"):
        ...     print(estimand.mediators)
        ('S1',)
        ('S2',)
    """
    if limit < 1:
        raise InputError(f"limit must be at least 1; received {limit}. Leave it out to list up to 100 sets.")
    question = _ask(graph, treatment, outcome, strategy)
    found: list[Estimand] = []
    if strategy == "general":
        raise InputError(
            "strategy must be any, back-door, front-door or instrument; received 'general', which has no sets. Ask "
            "identify."
        )
    if strategy == "instrument":
        return find_instruments(question)[:limit]
    if strategy != "front-door":
        sets = minimal_sets(question.smallest_back_door, question.graph.nodes, limit=limit)
        found += [_back_door(question, adjustment) for adjustment in sets]
    if strategy != "back-door":
        question = _ask(graph, treatment, outcome, strategy)  # with effort of its own
        try:
            sets = minimal_sets(question.small_front_door, question.graph.nodes, limit=limit)
        except TooMuchEffortError:
            if not found:
                raise
            sets = []
        found += [_front_door(question, adjustment) for adjustment in sets]
    return tuple(found)


def _ask(graph: CausalGraph, treatment: str, outcome: str, strategy: str) -> Question:
    require_graph(graph).known([treatment], "treatment")
    graph.known([outcome], "outcome")
    if strategy not in get_args(Strategy):
        raise InputError(
            f"strategy must be one of {', '.join(get_args(Strategy))}; received {strategy!r}. Choose one of these."
        )
    if treatment == outcome:
        raise InputError(f"treatment and outcome must differ; received {treatment!r} for both. Name two nodes.")
    for role, node in (("treatment", treatment), ("outcome", outcome)):
        if node in graph.latent:
            raise InputError(
                f"{role} must be observed; received {node!r}, which is latent. Ask about an observed node, or "
                f"mark it as observed: graph.observe({node!r})."
            )
    return Question(graph, treatment, outcome)


def _back_door(question: Question, found: Adjustment) -> BackDoor:
    return BackDoor(question.treatment, question.outcome, tuple(sorted(found.covariates)))


def _front_door(question: Question, found: Adjustment) -> FrontDoor:
    mediators, covariates = tuple(sorted(found.mediators)), tuple(sorted(found.covariates))
    return FrontDoor(question.treatment, question.outcome, mediators, covariates)


def _best_instrument(question: Question) -> Instrument:
    if found := find_instruments(question):
        return found[0]
    x, y = question.treatment, question.outcome
    condition = (
        f"instrument: an observed node that {x} and {y} do not cause must depend on {x} and, given other such nodes, "
        f"reach {y} through {x} alone"
    )
    path = instrument_failure(question)
    failed = f"{path} stays open past {x}" if path else f"no observed node that could be one depends on {x}"
    raise NotIdentifiedError(
        f"the effect of {x} on {y} is not identified by the instrument criterion. {condition}; {failed}. Observe "
        f"something that acts on {x} and on nothing else, or ask for another strategy.",
        condition=condition,
        open_path=str(path or ""),
        remedies=(),
    )


def _by_instrument(question: Question) -> tuple[str, ...]:
    """The remedy of another kind: an assumption that no graph shows."""
    try:
        found = find_instruments(replace(question, effort=Effort()))[:1]
    except TooMuchEffortError:
        return ()
    return tuple(
        f"ask for strategy='instrument': {one.instrument} is one, where {one.beyond_the_graph()}" for one in found
    )


def _not_identified(question: Question, strategy: Strategy, hedge: Hedge | None = None) -> NotIdentifiedError:
    """Explain the failure: the front door's where it was tried, with the open back door beside it, and the hedge."""
    failures = [front_door_failure(question)] if strategy != "back-door" else []
    failures += [back_door_failure(question)] if strategy != "front-door" else []
    sought = True
    try:
        remedies = tuple(remedy.text for remedy in find_remedies(question, strategy))
    except TooMuchEffortError:
        remedies, sought = (), False
    if strategy == "any":
        remedies += _by_instrument(question)
    by = "" if hedge else f" by the {strategy} criterion"
    sentences = [f"the effect of {question.treatment} on {question.outcome} is not identified{by}."]
    sentences += [f"{failure.condition}; {failure.path} stays open." for failure in failures]
    if hedge:
        sentences.append(f"No other formula can do: {hedge}.")
    if remedies:
        sentences.append(f"Any of these would mend it, where it is true to the world: {'; '.join(remedies)}.")
    elif sought:
        sentences.append(f"No {MOST_CHANGES} observations or removed edges on the open paths would mend it.")
    else:
        sentences.append("What would mend it was not found out: the graph is too large to try.")
    return NotIdentifiedError(
        " ".join(sentences),
        condition=failures[0].condition,
        open_path=str(failures[0].path),
        remedies=remedies,
        hedge=(hedge.larger, hedge.smaller) if hedge else None,
    )
