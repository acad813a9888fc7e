"""The answer of `identify` beside DoWhy's, and what DoWhy offers judged by the criteria themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

from causalvlm.errors import InputError, NotIdentifiedError
from causalvlm.graphs.dowhy import quiet_dowhy
from causalvlm.graphs.graph import CausalGraph
from causalvlm.graphs.networkx import to_networkx
from causalvlm.identification.adjustment import Question
from causalvlm.identification.criteria import Strategy
from causalvlm.identification.estimands import BackDoor, DoorEstimand, Estimand, FrontDoor
from causalvlm.identification.identify import identify

MOST_CANDIDATES = 12
"""DoWhy tries every subset of the nodes that may join a set: 0.3 s for 12 of them, and twice that for each one more."""

NO_COVARIATES = "DoWhy 0.14 looks for no front door within levels of covariates"
LARGER_SET = "DoWhy 0.14 goes on to larger front-door sets after a valid one, while its estimator takes one mediator"


@dataclass(frozen=True)
class CrossCheck:
    """What `identify` and DoWhy say of one effect.

    Attributes:
        ours: what `identify` found; None where it found the effect not to be identified.
        dowhy: the sets that DoWhy offers, back doors first; a front door without mediators where it says that the
            effect is zero because no directed path leads to the outcome.
        agrees: both answer by the same criterion, or neither finds a set; and every set of DoWhy's meets its criterion.
        known_defect: the known defect of DoWhy that its answer shows, in words; None if it shows none.
        reason: what was compared and found, in words.

    Example:
        >>> check = CrossCheck(FrontDoor("X", "Y", ("S",), ("C",)), (), False, NO_COVARIATES, "here {S} given {C}")
        >>> check.to_record()["ours"]
        {'strategy': 'front-door', 'adjustment': ['S'], 'covariates': ['C']}
    """

    ours: Estimand | None
    dowhy: tuple[DoorEstimand, ...]
    agrees: bool
    known_defect: str | None
    reason: str

    def to_record(self) -> dict[str, object]:
        """What a JSON file says of the check."""
        return {
            "agrees": self.agrees,
            "ours": None if self.ours is None else _set_of(self.ours),
            "dowhy": [_set_of(offered) for offered in self.dowhy],
            "known_defect": self.known_defect,
            "reason": self.reason,
        }


def cross_check(graph: CausalGraph, treatment: str, outcome: str, *, strategy: Strategy = "any") -> CrossCheck:
    """Ask DoWhy what identifies the effect, and compare its answer with that of `identify`.

    DoWhy searches by other means, through all subsets, so its agreement is evidence for both programs. Its sets need
    not equal ours, as several may be valid: each is judged by the criterion that it is offered for. Which of several
    front-door sets it offers may change from run to run, as it walks through unordered sets. Its instruments are left
    out: they identify an effect only with assumptions that no graph shows.

    Args:
        graph: the causal graph.
        treatment: the observed node that is set.
        outcome: the observed node that answers.
        strategy: as for `identify`; what DoWhy finds by the other criterion is left out.

    Raises:
        InputError: as `identify`, a strategy without such sets, or more nodes than DoWhy can search.

    Example:
        >>> check = cross_check(CausalGraph("X -> S -> Y; X <-> Y"), treatment="X", outcome="Y")
        >>> print(check.agrees, check.reason)
        True both find the front door, and DoWhy's {S} is valid
    """
    if strategy not in ("any", "back-door", "front-door"):
        raise InputError(
            f"the cross-check must compare sets; received the strategy {strategy!r}, which has none. Ask for any."
        )
    ours: Estimand | None
    try:
        ours = identify(graph, treatment=treatment, outcome=outcome, strategy=strategy)
    except NotIdentifiedError:
        ours = None
    question = Question(graph, treatment, outcome)
    _require_few_candidates(question)
    everything = _ask_dowhy(question)
    if everything == (_nothing(question),):
        agrees = question.intercepts(frozenset())
        path = f"{'no' if agrees else 'a'} directed path leads from {treatment} to {outcome}"
        return CrossCheck(ours, everything, agrees, None, f"{path}, and DoWhy says that the effect is zero")
    offered = tuple(estimand for estimand in everything if strategy in ("any", estimand.strategy))
    return _compare(question, ours, offered)


def _require_few_candidates(question: Question) -> None:
    effects = question.graph.descendants(question.treatment)
    others = set(question.graph.observed) - {question.treatment, question.outcome}
    candidates = max((others & effects, others - effects), key=len)
    if len(candidates) > MOST_CANDIDATES:
        raise InputError(
            f"the cross-check must leave DoWhy at most {MOST_CANDIDATES} nodes to choose from, as it tries every "
            f"subset; received {len(candidates)}: {', '.join(sorted(candidates))}. Hide what does not matter, "
            "graph.hide(...), or leave the check out: identify has no such limit."
        )


def _ask_dowhy(question: Question) -> tuple[DoorEstimand, ...]:
    """What DoWhy offers, in our terms."""
    graph, x, y = question.graph, question.treatment, question.outcome
    with quiet_dowhy():
        from dowhy.causal_identifier import EstimandType, identify_effect_auto

        found = identify_effect_auto(to_networkx(graph), [x], [y], list(graph.observed), EstimandType.NONPARAMETRIC_ATE)
    if found.no_directed_path:
        return (_nothing(question),)
    sets = {tuple(sorted(nodes)) for nodes in (found.backdoor_variables or {}).values()}
    offered: list[DoorEstimand] = [
        BackDoor(x, y, nodes) for nodes in sorted(sets, key=lambda nodes: (len(nodes), nodes))
    ]
    if found.frontdoor_variables:
        offered.append(FrontDoor(x, y, tuple(sorted(map(str, found.frontdoor_variables)))))
    return tuple(offered)


def _nothing(question: Question) -> FrontDoor:
    """The estimand of an effect that is zero because nothing carries it."""
    return FrontDoor(question.treatment, question.outcome, ())


def _compare(question: Question, ours: Estimand | None, offered: tuple[DoorEstimand, ...]) -> CrossCheck:
    invalid = [estimand for estimand in offered if not _is_valid(question, estimand)]
    if invalid:
        sets = " and ".join(map(_words, invalid))
        return CrossCheck(ours, offered, False, None, f"DoWhy offers {sets}, which is not valid in this graph")
    ours_by_set = ours if isinstance(ours, BackDoor | FrontDoor) else None
    mine = "" if ours_by_set is None else ours_by_set.strategy
    theirs = offered[0].strategy if offered else ""
    defect = _known_defect(ours, offered)
    if mine != theirs:
        said = _words(offered[0]) if offered else "no set"
        return CrossCheck(
            ours,
            offered,
            False,
            defect,
            f"here {'no set' if ours_by_set is None else _words(ours_by_set)}, by DoWhy {said}",
        )
    if not mine:
        formula = "" if ours is None else "; here the general algorithm finds a formula, which DoWhy was not asked for"
        return CrossCheck(ours, offered, True, defect, f"both find no set{formula}")
    same = [estimand for estimand in offered if estimand.strategy == mine]
    sets = " and ".join(_braces(_members(estimand)) for estimand in same)
    verb = "is" if len(same) == 1 else "are"
    reason = f"both find the {mine.replace('-', ' ')}, and DoWhy's {sets} {verb} valid"
    return CrossCheck(ours, offered, True, defect, reason)


def _is_valid(question: Question, offered: DoorEstimand) -> bool:
    match offered:
        case BackDoor():
            return question.is_back_door(frozenset(offered.adjustment))
        case FrontDoor():
            return question.is_front_door(frozenset(offered.mediators), frozenset(offered.covariates))


def _known_defect(ours: Estimand | None, offered: Sequence[DoorEstimand]) -> str | None:
    if not isinstance(ours, FrontDoor):
        return None
    sizes = [len(estimand.mediators) for estimand in offered if isinstance(estimand, FrontDoor)]
    if ours.covariates and not sizes:
        return NO_COVARIATES
    return LARGER_SET if any(size > len(ours.mediators) for size in sizes) else None


def _set_of(estimand: Estimand) -> dict[str, object]:
    record = estimand.to_record()
    return {key: record[key] for key in ("strategy", "adjustment", "covariates")}


def _members(estimand: DoorEstimand) -> tuple[str, ...]:
    return estimand.adjustment if isinstance(estimand, BackDoor) else estimand.mediators


def _words(estimand: DoorEstimand) -> str:
    given = f" given {_braces(estimand.covariates)}" if isinstance(estimand, FrontDoor) and estimand.covariates else ""
    return f"the {estimand.strategy} set {_braces(_members(estimand))}{given}"


def _braces(nodes: Sequence[str]) -> str:
    return f"{{{', '.join(nodes)}}}"
