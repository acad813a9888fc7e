"""Identification on random graphs, against Pearl's definitions checked path by path, and against DoWhy.

DoWhy 0.14 agrees on which effects a back-door or an unconditional front-door set identifies. It differs in that

* it returns the *largest* front-door set it meets (its search goes on after the first), ours a smallest;
* it knows no front door within levels of covariates;
* where no directed path leads from treatment to outcome it returns no estimand, ours is P(Y | do(X)) = P(Y).
"""

import itertools

import networkx as nx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from causalvlm import BackDoor, CausalGraph, FrontDoor, NotIdentifiedError, adjustment_sets, identify, to_networkx

EXAMPLES = settings(max_examples=120, deadline=None, derandomize=True)


@st.composite
def graph_parts(draw):
    """Parts of random graphs: up to two nodes before X, one to three between X and Y, which mostly share a cause.

    The tests build the graph: type checks draw random numbers, which must not happen inside a strategy.
    """
    random = draw(st.randoms(use_true_random=True))
    before, between = list("CD"[: random.randint(0, 2)]), list("STV"[: random.randint(1, 3)])
    order = [*before, "X", *between, "Y"]
    chain = set(itertools.pairwise(["X", *between, "Y"]))
    density, hidden = random.choice([0.2, 0.4, 0.6]), random.choice([0.03, 0.12])

    def chance(pair):
        return 0.1 if pair == ("X", "Y") else 0.8 if pair in chain else density

    pairs = list(itertools.combinations(order, 2))
    return {
        "edges": [pair for pair in pairs if random.random() < chance(pair)],
        "bidirected": [pair for pair in pairs if random.random() < (0.8 if pair == ("X", "Y") else hidden)],
        "latent": {node for node in before + between if random.random() < 0.1},
        "nodes": order,
    }


class Definitions:
    """Pearl's two criteria, word by word: every subset, every path; a bidirected edge is a hidden node."""

    def __init__(self, graph):
        self.full = to_networkx(graph)
        self.effects = nx.descendants(self.full, "X")
        self.observed = set(graph.observed) - {"X", "Y"}

    def without_effects(self, nodes):
        cut = self.full.copy()
        cut.remove_edges_from([edge for edge in self.full.edges if edge[0] in nodes])
        return cut

    def blocked(self, graph, sources, targets, given):
        """No path between the sources and the targets is open."""
        undirected = graph.to_undirected()
        pairs = itertools.product(sources, targets)
        return all(
            self.path_is_blocked(graph, path, given)
            for source, target in pairs
            for path in nx.all_simple_paths(undirected, source, target)
        )

    def path_is_blocked(self, graph, path, given):
        for before, node, after in zip(path, path[1:], path[2:], strict=False):
            collider = graph.has_edge(before, node) and graph.has_edge(after, node)
            if collider and not given & ({node} | nx.descendants(graph, node)):
                return True
            if not collider and node in given:
                return True
        return False

    def is_back_door(self, nodes):
        return not nodes & self.effects and self.blocked(self.without_effects({"X"}), {"X"}, {"Y"}, nodes)

    def is_front_door(self, mediators, covariates):
        inner = self.without_effects(mediators)
        return (
            not nx.has_path(inner, "X", "Y")
            and not covariates & self.effects
            and self.blocked(self.without_effects({"X"}), {"X"}, mediators, covariates)
            and self.blocked(inner, mediators, {"Y"}, covariates | {"X"})
        )

    def minimal_back_doors(self):
        return minimal({(frozenset(), nodes) for nodes in subsets(self.observed) if self.is_back_door(nodes)})

    def minimal_front_doors(self):
        """Sets whose mediators are effects of X, and covariates are not."""
        inside, outside = subsets(self.observed & self.effects), subsets(self.observed - self.effects)
        return minimal({pair for pair in itertools.product(inside, outside) if self.is_front_door(*pair)})


def subsets(nodes):
    ordered = sorted(nodes)
    return [frozenset(some) for size in range(len(ordered) + 1) for some in itertools.combinations(ordered, size)]


def minimal(pairs):
    return {pair for pair in pairs if not any((a | b) < (pair[0] | pair[1]) for a, b in pairs)}


def found_sets(graph, strategy):
    return {
        (frozenset(estimand.mediators), frozenset(estimand.covariates))
        if isinstance(estimand, FrontDoor)
        else (frozenset(), frozenset(estimand.adjustment))
        for estimand in adjustment_sets(graph, treatment="X", outcome="Y", strategy=strategy, limit=1000)
    }


@EXAMPLES
@given(parts=graph_parts())
def test_every_minimal_back_door_set_and_no_other(parts):
    graph = CausalGraph(**parts)
    assert found_sets(graph, "back-door") == Definitions(graph).minimal_back_doors()


@EXAMPLES
@given(parts=graph_parts())
def test_every_minimal_front_door_set_and_no_other(parts):
    graph = CausalGraph(**parts)
    assert found_sets(graph, "front-door") == Definitions(graph).minimal_front_doors()


@EXAMPLES
@given(parts=graph_parts())
def test_identify_returns_a_smallest_set(parts):
    graph = CausalGraph(**parts)
    definitions = Definitions(graph)
    try:
        estimand = identify(graph, treatment="X", outcome="Y")
    except NotIdentifiedError:
        assert not definitions.minimal_back_doors()
        assert not definitions.minimal_front_doors()
        return
    match estimand:
        case BackDoor():
            expected = definitions.minimal_back_doors()
            assert len(estimand.adjustment) == min(len(nodes) for _, nodes in expected)
        case FrontDoor():
            expected = definitions.minimal_front_doors()
            assert not definitions.minimal_back_doors()
            assert (frozenset(estimand.mediators), frozenset(estimand.covariates)) in expected
            without = {pair for pair in expected if not pair[1]}  # these come first
            sizes = [len(mediators) + len(covariates) for mediators, covariates in without or expected]
            assert len(estimand.mediators) + len(estimand.covariates) == min(sizes)


@pytest.mark.filterwarnings("ignore")  # DoWhy's own warnings
@EXAMPLES
@given(parts=graph_parts())
def test_dowhy_agrees_on_what_is_identified(parts):
    from dowhy.causal_identifier import EstimandType, identify_effect_auto

    graph = CausalGraph(**parts)
    assume("Y" in graph.descendants("X"))
    theirs = identify_effect_auto(
        to_networkx(graph), ["X"], ["Y"], list(graph.observed), EstimandType.NONPARAMETRIC_ATE
    )
    front_doors = {pair for pair in found_sets(graph, "front-door") if not pair[1]}
    assert (theirs.estimands["backdoor"] is not None) == bool(found_sets(graph, "back-door"))
    assert bool(theirs.frontdoor_variables) == bool(front_doors)
    if front_doors:
        assert len(theirs.frontdoor_variables) >= min(len(mediators) for mediators, _ in front_doors)
        assert Definitions(graph).is_front_door(frozenset(theirs.frontdoor_variables), frozenset())


@pytest.mark.filterwarnings("ignore")  # DoWhy's own warnings
@pytest.mark.parametrize(
    ("text", "theirs", "ours"),
    [
        ("X -> S1 -> S2 -> Y; X <-> Y", {"S1", "S2"}, FrontDoor("X", "Y", ("S2",))),
        ("X -> S -> Y; X <-> Y; C -> {X S Y}", set(), FrontDoor("X", "Y", ("S",), ("C",))),
        ("X -> S; Y -> S; X <-> Y", set(), FrontDoor("X", "Y", ())),
    ],
)
def test_where_dowhy_differs(text, theirs, ours):
    from dowhy.causal_identifier import EstimandType, identify_effect_auto

    graph = CausalGraph(text)
    estimand = identify_effect_auto(
        to_networkx(graph), ["X"], ["Y"], list(graph.observed), EstimandType.NONPARAMETRIC_ATE
    )
    assert set(estimand.frontdoor_variables or ()) == theirs
    assert identify(graph, treatment="X", outcome="Y", strategy="front-door") == ours
