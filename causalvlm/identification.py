"""Which observed quantity equals the effect: the estimands, and how to find one in a causal graph."""

from dataclasses import dataclass
from typing import get_args

from causalvlm.adjustment import Adjustment, Question, minimal_sets
from causalvlm.errors import InputError, NotIdentifiedError
from causalvlm.graph import CausalGraph
from causalvlm.notation import latex_name
from causalvlm.remedies import MOST_CHANGES, Strategy, back_door_failure, find_remedies, front_door_failure


@dataclass(frozen=True)
class BackDoor:
    """Adjustment for `adjustment`: P(Y | do(X)) = sum_Z P(Y | X, Z) P(Z) (Pearl, Causality 2009, theorem 3.3.2).

    Attributes:
        treatment: the node that is set.
        outcome: the node that answers.
        adjustment: the nodes to adjust for, sorted; empty where nothing confounds.

    Example:
        >>> print(BackDoor("X", "Y", ("G_i",)).text())
        P(Y | do(X)) = sum_{G_i} P(Y | X, G_i) P(G_i)
        >>> print(BackDoor("X", "Y", ()).text())
        P(Y | do(X)) = P(Y | X)
    """

    treatment: str
    outcome: str
    adjustment: tuple[str, ...]

    def text(self) -> str:
        """Print the functional as plain text."""
        effect = f"P({self.outcome} | do({self.treatment}))"
        if not self.adjustment:
            return f"{effect} = P({self.outcome} | {self.treatment})"
        given = ", ".join(self.adjustment)
        return f"{effect} = sum_{{{given}}} P({self.outcome} | {self.treatment}, {given}) P({given})"

    def latex(self) -> str:
        r"""Print the functional as LaTeX math, without dollar signs.

        Example:
            >>> print(BackDoor("X", "Y", ("G_i",)).latex())
            P(Y \mid \mathrm{do}(X)) = \sum_{G_{i}} P(Y \mid X, G_{i})\, P(G_{i})
        """
        treatment, outcome = latex_name(self.treatment), latex_name(self.outcome)
        effect = rf"P({outcome} \mid \mathrm{{do}}({treatment}))"
        if not self.adjustment:
            return rf"{effect} = P({outcome} \mid {treatment})"
        given = _latex_names(self.adjustment)
        return rf"{effect} = \sum_{{{given}}} P({outcome} \mid {treatment}, {given})\, P({given})"

    def assumptions(self) -> tuple[str, ...]:
        """What must hold in the world for the functional to be the effect.

        Example:
            >>> BackDoor("X", "Y", ("G_i",)).assumptions()
            ('every back-door path from X to Y is blocked by G_i',)
        """
        x, y = self.treatment, self.outcome
        if not self.adjustment:
            return (f"nothing confounds {x} and {y}",)
        return (f"every back-door path from {x} to {y} is blocked by {_and(self.adjustment)}",)


@dataclass(frozen=True)
class FrontDoor:
    """Adjustment through `mediators`, within levels of `covariates` (Pearl, Causality 2009, theorem 3.3.4).

    P(Y | do(X)) = sum_C P(C) sum_S P(S | X, C) sum_X' P(Y | X', S, C) P(X' | C); the covariates are no
    effects of the treatment. Without a directed path from treatment to outcome `mediators` is empty, and the
    formula says what it should: P(Y | do(X)) = P(Y).

    Attributes:
        treatment: the node that is set.
        outcome: the node that answers.
        mediators: the nodes that carry the whole effect, sorted.
        covariates: the nodes within whose levels the criterion holds, sorted.

    Example:
        >>> print(FrontDoor("X", "Y", ("S",)).text())
        P(Y | do(X)) = sum_{S} P(S | X) sum_{X'} P(Y | X', S) P(X')
        >>> print(FrontDoor("X", "Y", ("S",), ("C",)).text())
        P(Y | do(X)) = sum_{C} P(C) sum_{S} P(S | X, C) sum_{X'} P(Y | X', S, C) P(X' | C)
    """

    treatment: str
    outcome: str
    mediators: tuple[str, ...]
    covariates: tuple[str, ...] = ()

    def text(self) -> str:
        """Print the functional as plain text."""
        effect = f"P({self.outcome} | do({self.treatment})) = "
        if not self.mediators:
            return f"{effect}P({self.outcome})"
        s, c, x = ", ".join(self.mediators), ", ".join(self.covariates), self.treatment
        if not c:
            return f"{effect}sum_{{{s}}} P({s} | {x}) sum_{{{x}'}} P({self.outcome} | {x}', {s}) P({x}')"
        return (
            f"{effect}sum_{{{c}}} P({c}) sum_{{{s}}} P({s} | {x}, {c}) "
            f"sum_{{{x}'}} P({self.outcome} | {x}', {s}, {c}) P({x}' | {c})"
        )

    def latex(self) -> str:
        r"""Print the functional as LaTeX math, without dollar signs.

        Example:
            >>> print(FrontDoor("X", "Y", ("S",)).latex())
            P(Y \mid \mathrm{do}(X)) = \sum_{S} P(S \mid X) \sum_{X'} P(Y \mid X', S)\, P(X')
        """
        x, y = latex_name(self.treatment), latex_name(self.outcome)
        effect = rf"P({y} \mid \mathrm{{do}}({x})) = "
        if not self.mediators:
            return rf"{effect}P({y})"
        s, c = _latex_names(self.mediators), _latex_names(self.covariates)
        if not c:
            return rf"{effect}\sum_{{{s}}} P({s} \mid {x}) \sum_{{{x}'}} P({y} \mid {x}', {s})\, P({x}')"
        return (
            rf"{effect}\sum_{{{c}}} P({c}) \sum_{{{s}}} P({s} \mid {x}, {c}) "
            rf"\sum_{{{x}'}} P({y} \mid {x}', {s}, {c})\, P({x}' \mid {c})"
        )

    def assumptions(self) -> tuple[str, ...]:
        """What must hold in the world for the functional to be the effect.

        Example:
            >>> for assumption in FrontDoor("X", "Y", ("S",)).assumptions():
            ...     print(assumption)
            full mediation: every directed path from X to Y passes through S
            first stage: no back-door path from X to S is open
            second stage: every back-door path from S to Y is blocked by X
            >>> FrontDoor("X", "Y", ()).assumptions()
            ('no directed path leads from X to Y',)
        """
        x, y = self.treatment, self.outcome
        if not self.mediators:
            return (f"no directed path leads from {x} to {y}",)
        s = _and(self.mediators)
        given = f" given {_and(self.covariates)}" if self.covariates else ""
        return (
            f"full mediation: every directed path from {x} to {y} passes through {s}",
            f"first stage: no back-door path from {x} to {s} is open{given}",
            f"second stage: every back-door path from {s} to {y} is blocked by {_and((x, *self.covariates))}",
        )


Estimand = BackDoor | FrontDoor
"""What can be estimated: `match` on it."""


def _and(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _latex_names(names: tuple[str, ...]) -> str:
    return ", ".join(latex_name(name) for name in names)


def identify(
    graph: CausalGraph,
    *,
    treatment: str,
    outcome: str,
    strategy: Strategy = "any",
) -> Estimand:
    """Find what identifies the effect of `treatment` on `outcome`: a smallest back-door or front-door set.

    With ``strategy="any"`` the back door comes first, because it needs fewer assumptions and gives narrower
    intervals; the front door is tried where no observed set closes the back door. Ask for one of them to get that
    one. Both criteria are sound; neither is complete: an effect that only a general algorithm identifies
    (Shpitser, Pearl, AAAI 2006) is reported as not identified *by adjustment*. Time is polynomial in the nodes.

    Args:
        graph: the causal graph.
        treatment: the observed node that is set.
        outcome: the observed node that answers.
        strategy: ``"any"``, ``"back-door"`` or ``"front-door"``.

    Raises:
        InputError: unknown, equal or latent treatment and outcome, or an unknown strategy.
        NotIdentifiedError: no set meets a criterion; says which condition fails, along which path, and what mends it.

    Example:
        >>> identify(CausalGraph("X -> S -> Y; X <-> Y"), treatment="X", outcome="Y")
        FrontDoor(treatment='X', outcome='Y', mediators=('S',), covariates=())
        >>> identify(CausalGraph("X -> S -> Y; C -> {X Y}"), treatment="X", outcome="Y")
        BackDoor(treatment='X', outcome='Y', adjustment=('C',))
    """
    question = _ask(graph, treatment, outcome, strategy)
    if strategy != "front-door" and (found := question.smallest_back_door()):
        return _back_door(question, found)
    if strategy != "back-door" and (found := question.smallest_front_door()):
        return _front_door(question, found)
    raise _not_identified(question, strategy)


def adjustment_sets(
    graph: CausalGraph,
    *,
    treatment: str,
    outcome: str,
    strategy: Strategy = "any",
    limit: int = 100,
) -> tuple[Estimand, ...]:
    """List the sets of which no variable can be spared: back door first, then front door, each smallest first.

    A front-door set is its mediators and its covariates together; sets without covariates come first.

    Args:
        graph: the causal graph.
        treatment: the observed node that is set.
        outcome: the observed node that answers.
        strategy: which criterion; ``"any"`` lists the sets of both.
        limit: at most so many sets of each kind; there may be exponentially many.

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
    if strategy != "front-door":
        sets = minimal_sets(question.smallest_back_door, question.graph.nodes, limit=limit)
        found += [_back_door(question, adjustment) for adjustment in sets]
    if strategy != "back-door":
        sets = minimal_sets(question.small_front_door, question.graph.nodes, limit=limit)
        found += [_front_door(question, adjustment) for adjustment in sets]
    return tuple(found)


def _ask(graph: CausalGraph, treatment: str, outcome: str, strategy: str) -> Question:
    graph.known(treatment, "treatment")
    graph.known(outcome, "outcome")
    if strategy not in get_args(Strategy):
        raise InputError(f"strategy must be any, back-door or front-door; received {strategy!r}. Choose one of these.")
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


def _not_identified(question: Question, strategy: Strategy) -> NotIdentifiedError:
    """Explain the failure: the front door's where it was tried, with the open back door beside it."""
    failures = [front_door_failure(question)] if strategy != "back-door" else []
    failures += [back_door_failure(question)] if strategy != "front-door" else []
    remedies = tuple(remedy.text for remedy in find_remedies(question, strategy))
    by = "adjustment" if strategy == "any" else f"the {strategy} criterion"
    sentences = [f"the effect of {question.treatment} on {question.outcome} is not identified by {by}."]
    sentences += [f"{failure.condition}; {failure.path} stays open." for failure in failures]
    if remedies:
        sentences.append(f"Any of these would mend it, where it is true to the world: {'; '.join(remedies)}.")
    else:
        sentences.append(f"No {MOST_CHANGES} observations or removed edges on the open paths would mend it.")
    return NotIdentifiedError(
        " ".join(sentences), condition=failures[0].condition, open_path=str(failures[0].path), remedies=remedies
    )
