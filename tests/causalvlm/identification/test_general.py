"""The general algorithm on random graphs, against y0's verdict and against sums over the hidden causes themselves."""

import itertools
import random
import time

import networkx as nx
import numpy as np
import pytest

from causalvlm import CausalGraph, FrontDoor, Functional, NotIdentifiedError, identify, to_networkx
from causalvlm.identification.adjustment import Question
from causalvlm.identification.evaluation import evaluate
from causalvlm.identification.general import find_functional, find_hedge
from causalvlm.identification.remedies import find_remedies


class World:
    """A random structural model of a graph, hidden causes included, as one table of all variables.

    Every bidirected edge becomes a hidden variable, every node a random conditional table.
    """

    def __init__(self, graph, *, seed):
        rng = np.random.default_rng(seed)
        self.graph = graph
        shared = {f"U({left}, {right})": (left, right) for left, right in graph.bidirected}
        self.names = [*shared, *graph.topological_order]
        self.levels = {name: 2 if name in shared else int(rng.integers(2, 4)) for name in self.names}
        self.tables = {}
        for name in self.names:
            causes = {*((name not in shared and graph.parents(name)) or ())}
            causes |= {hidden for hidden, pair in shared.items() if name in pair}
            shape = [self.levels[other] if other in {*causes, name} else 1 for other in self.names]
            table = rng.uniform(0.1, 1.0, size=shape)
            self.tables[name] = table / table.sum(self.names.index(name), keepdims=True)

    def observed(self, *, without=None):
        """The joint of the observed variables; `without` the table of one, it is the joint under do(every level)."""
        joint = np.ones(())
        for name, table in self.tables.items():
            if name != without:
                joint = joint * table
        hidden = tuple(at for at, name in enumerate(self.names) if name not in self.graph.observed)
        return joint.sum(hidden)

    @property
    def order(self):
        return [name for name in self.names if name in self.graph.observed]

    def truth(self, treatment, outcome):
        """P(outcome | do(treatment)) by the truncated factorisation, axes treatment, outcome."""
        others = tuple(at for at, name in enumerate(self.order) if name not in (treatment, outcome))
        found = self.observed(without=treatment).sum(others)
        return found if self.order.index(treatment) < self.order.index(outcome) else found.T

    def value(self, expression, treatment, outcome):
        """What an expression is here, axes treatment, outcome and what else it depends on."""
        joint = self.observed()
        found = evaluate(expression, joint, self.order)
        found = np.broadcast_to(
            found,
            [
                size if name in (treatment, outcome, *expression.free) else 1
                for name, size in zip(self.order, joint.shape, strict=True)
            ],
        )
        return np.moveaxis(found, [self.order.index(treatment), self.order.index(outcome)], [0, 1])


def random_graph(seed):
    """A graph of four to seven nodes with many hidden causes, some of them nodes, in which X leads to Y."""
    draw = random.Random(seed)
    while True:
        nodes = [f"V{i}" for i in range(draw.randint(2, 5))]
        nodes.insert(draw.randint(0, len(nodes)), "X")
        nodes.append("Y")
        density, hidden = draw.choice([0.3, 0.5, 0.7]), draw.choice([0.1, 0.25, 0.4])
        pairs = list(itertools.combinations(nodes, 2))
        graph = CausalGraph(
            [pair for pair in pairs if draw.random() < density],
            bidirected=[pair for pair in pairs if draw.random() < hidden],
            latent=[node for node in nodes if node not in "XY" and draw.random() < 0.1],
            nodes=nodes,
        )
        if "Y" in graph.descendants("X"):
            return graph


def latent_projection(graph):
    """The directed and the bidirected edges among observed nodes, by definition: along paths through hidden nodes."""
    full = to_networkx(graph)
    hidden = set(full) - set(graph.observed)

    def reached(node):
        inner = full.subgraph({node, *hidden})
        ways = nx.descendants(inner, node) | {node}
        return {other for way in ways for other in full.successors(way) if other not in hidden}

    directed = {(node, other) for node in graph.observed for other in reached(node)}
    return directed, {pair for node in hidden for pair in itertools.combinations(sorted(reached(node)), 2)}


def y0_identifies(graph):
    from y0.algorithm.identify import identify_outcomes
    from y0.dsl import Variable
    from y0.graph import NxMixedGraph

    directed, undirected = ([tuple(map(Variable, pair)) for pair in edges] for edges in latent_projection(graph))
    nodes = list(map(Variable, graph.observed))
    mixed = NxMixedGraph.from_edges(nodes=nodes, directed=directed, undirected=undirected)
    return identify_outcomes(mixed, Variable("X"), Variable("Y")) is not None


@pytest.mark.filterwarnings("ignore")  # y0's own warnings
@pytest.mark.parametrize("block", range(5))
def test_four_hundred_random_graphs_against_y0_and_the_hidden_causes(block):
    answers = []
    for seed in range(80 * block, 80 * (block + 1)):
        graph = random_graph(seed)
        question = Question(graph, "X", "Y")
        answers.append(find_hedge(question) is None)
        assert answers[-1] == y0_identifies(graph), graph
        if answers[-1]:
            found = find_functional(question)
            world = World(graph, seed=seed)
            truth = world.truth("X", "Y")
            everywhere = world.value(found.expression, "X", "Y")
            expected = truth.reshape(*truth.shape, *(1,) * (everywhere.ndim - 2))
            np.testing.assert_allclose(everywhere, np.broadcast_to(expected, everywhere.shape), rtol=0, atol=1e-9)
            averaged = world.value(found.averaged, "X", "Y").reshape(truth.shape)
            np.testing.assert_allclose(averaged, truth, rtol=0, atol=1e-9)
    assert 10 < sum(answers) < 70  # both answers are met


NAPKIN = "W -> Z -> X -> Y; W <-> X; W <-> Y"


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("C -> X -> Y; C -> Y", "sum_{C} P(Y | C, X) P(C)"),
        ("X -> S -> Y; X <-> Y", "sum_{S} P(S | X) sum_{X'} P(Y | X', S) P(X')"),
        # M-graph
        ("A -> {X M}; B -> {M Y}; X -> Y; latent A B", "P(Y | X)"),
        # extended front door (Pearl, Causality, figure 3.7): what carries the effect is confounded by what is observed
        ("X -> S -> Y; X <-> Y; C -> {X S Y}",
         "sum_{C, S} P(S | C, X) P(C) sum_{X'} P(Y | C, X', S) P(X' | C)"),
        (NAPKIN, "[sum_{W} P(X, Y | W, Z) P(W)] / [sum_{W} P(X | W, Z) P(W)], for any Z"),
        # Verma's graph, X its third node: the sum must not depend on A
        ("A -> B -> X -> Y; B <-> Y", "sum_{B} P(Y | A, B, X) P(B | A), for any A"),
        # the napkin within levels of a cause, and one in which a second district must be left on the way
        ("V0 -> V1; V0 -> X; V2 -> V3 -> V4 -> X -> Y; V0 <-> Y; V1 <-> Y; V2 <-> X; V2 <-> Y",
         "sum_{V0} ([sum_{V2} P(X, Y | V0, V2, V4) P(V2)] / [sum_{V2} P(X | V0, V2, V4) P(V2)]) P(V0), for any V4"),
        ("V0 -> V1; V1 -> V2; V1 -> V3; V1 -> V4; V2 -> V3; V2 -> X; V3 -> V4; V4 -> X; X -> Y; V0 <-> X; V0 <-> Y; "
         "V1 <-> V3; V2 <-> V3; V2 <-> Y; V3 <-> X; V3 <-> Y", None),
        # five moves; quotients within quotients
        ("V0 -> V1 -> V2 -> V3 -> V4 -> V5 -> V6 -> X -> Y; V3 -> X; V0 <-> V3; V0 <-> V5; V0 <-> V6; V2 <-> V4; "
         "V2 <-> V5; V2 <-> Y; V4 <-> V6; V4 <-> X; V4 <-> Y; V6 <-> Y", None),
    ],
)  # fmt: skip
def test_formulas_of_the_literature_print_as_they_are_written_and_are_true(text, formula):
    graph = CausalGraph(text)
    found = identify(graph, treatment="X", outcome="Y", strategy="general")
    if formula is not None:
        assert found.text() == f"P(Y | do(X)) = {formula}"
    world = World(graph, seed=1)
    truth = world.truth("X", "Y")
    everywhere = world.value(found.expression, "X", "Y")
    expected = truth.reshape(*truth.shape, *(1,) * (everywhere.ndim - 2))
    np.testing.assert_allclose(everywhere, np.broadcast_to(expected, everywhere.shape), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "larger", "smaller"),
    [
        ("X -> Y; X <-> Y", "XY", "Y"),
        ("Z -> X -> Y; X <-> Y", "XY", "Y"),
        ("X -> S -> Y; X <-> Y; X <-> S", "XS", "S"),
        ("X -> S -> Y; X <-> Y; S <-> Y", "XSY", "SY"),
        ("X -> {A B} -> Y; X <-> A; A <-> B; B <-> Y", "XABY", "ABY"),
    ],
)
def test_a_hedge_is_what_the_error_shows(text, larger, smaller):
    with pytest.raises(NotIdentifiedError, match="a hedge") as caught:
        identify(CausalGraph(text), treatment="X", outcome="Y")
    assert caught.value.hedge == (frozenset(larger), frozenset(smaller))
    assert caught.value.remedies
    with pytest.raises(NotIdentifiedError) as caught:
        identify(CausalGraph(text), treatment="X", outcome="Y", strategy="back-door")
    assert caught.value.hedge is None


def test_every_hedge_meets_the_definition():
    """Shpitser, Pearl 2006, definition 6: c-forests of the same roots, one in the other, X in the larger alone."""
    hedges = 0
    for seed in range(400):
        graph = random_graph(seed)
        hedge = find_hedge(Question(graph, "X", "Y"))
        if hedge is None:
            continue
        hedges += 1
        directed, undirected = (nx.DiGraph(latent_projection(graph)[0]), nx.Graph(list(latent_projection(graph)[1])))
        assert "X" in hedge.larger - hedge.smaller, graph
        assert hedge.smaller < hedge.larger
        without = nx.DiGraph([edge for edge in directed.edges if "X" not in edge])
        without.add_node("Y")
        assert hedge.smaller <= nx.ancestors(without, "Y") | {"Y"}
        for nodes in (hedge.larger, hedge.smaller):
            assert len(nodes) == 1 or (nodes <= set(undirected) and nx.is_connected(undirected.subgraph(nodes)))
        inner = directed.subgraph(hedge.larger)
        reached = {node for root in hedge.smaller & set(inner) for node in nx.ancestors(inner, root)}
        assert hedge.larger <= reached | hedge.smaller
    assert hedges > 100


def test_the_doors_come_first_and_the_general_algorithm_is_there_for_the_asking():
    graph = CausalGraph("X -> S -> Y; X <-> Y")
    assert identify(graph, treatment="X", outcome="Y") == FrontDoor("X", "Y", ("S",))
    found = identify(graph, treatment="X", outcome="Y", strategy="general")
    assert isinstance(found, Functional)
    assert found.to_record().keys() == FrontDoor("X", "Y", ("S",)).to_record().keys()
    with pytest.raises(NotIdentifiedError, match="by the front-door criterion"):
        identify(CausalGraph(NAPKIN), treatment="X", outcome="Y", strategy="front-door")


def test_latex_of_a_ratio_and_of_sums_within_products():
    napkin = identify(CausalGraph(NAPKIN), treatment="X", outcome="Y")
    assert napkin.latex() == (
        r"P(Y \mid \mathrm{do}(X)) = \frac{\sum_{W} P(X, Y \mid W, Z)\, P(W)}{\sum_{W} P(X \mid W, Z)\, P(W)} "
        r"\quad \text{for any } Z"
    )
    graph = CausalGraph("W1 -> X -> A; W1 <-> A; W2 -> Y; W1 <-> W2; X <-> Y; A -> Y")
    found = identify(graph, treatment="X", outcome="Y", strategy="general")
    assert r"\left(\sum_{X'} P(Y \mid W_{1}, W_{2}, X', A)\, P(X' \mid W_{1})\right)" in found.latex()
    assert "sum_{W1'} P(A | W1', X) P(W1'), for any W1" in found.text()


def test_a_remedy_may_make_way_for_the_general_algorithm():
    """Without X <-> Y this is the napkin: one change, where a door needs two."""
    graph = CausalGraph(f"{NAPKIN}; X <-> Y")
    with pytest.raises(NotIdentifiedError) as caught:
        identify(graph, treatment="X", outcome="Y")
    assert "remove X <-> Y" in caught.value.remedies
    for door in ("back-door", "front-door"):
        assert all(
            " and remove " in remedy.text or " and observe " in remedy.text
            for remedy in find_remedies(Question(graph, "X", "Y"), door)
        )


def test_a_refused_question_about_a_hundred_nodes_is_answered_within_a_second():
    draw = random.Random(11)
    names = [f"V{index:02d}" for index in range(100)]
    names[30], names[80] = "X", "Y"
    pairs = list(itertools.combinations(names, 2))
    graph = CausalGraph(
        [pair for pair in pairs if draw.random() < 0.1 and pair != ("X", "Y")],
        bidirected=[pair for pair in pairs if draw.random() < 0.02],
        latent=[name for name in names if name not in "XY" and draw.random() < 0.2],
    )

    def seconds():
        start = time.process_time()
        with pytest.raises(NotIdentifiedError) as caught:
            identify(graph, treatment="X", outcome="Y")
        assert "not found out" not in str(caught.value)
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 1.5  # with type checks on
