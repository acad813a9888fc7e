"""Graphs: what they refuse, what they never change, and d-separation against two independent references."""

import dataclasses
import itertools

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalvlm import CausalGraph, InputError, to_networkx
from causalvlm.graphs.text import parse_dagitty


@st.composite
def graph_parts(draw):
    """Parts of random graphs with bidirected edges and latent nodes; the order of the nodes is random too.

    The tests build the graph: type checks draw random numbers, which must not happen inside a strategy.
    """
    names = draw(st.permutations("ABCDEF"))
    pairs = list(itertools.combinations(names, 2))
    directed = draw(st.lists(st.sampled_from(pairs), max_size=9, unique=True))
    bidirected = draw(st.lists(st.sampled_from(pairs), max_size=3, unique=True))
    latent = draw(st.sets(st.sampled_from(names), max_size=2))
    return {"edges": directed, "bidirected": bidirected, "latent": latent, "nodes": names}


def separated_by_definition(graph, source, target, given):
    """Pearl's definition, path by path, on the graph with every bidirected edge as a hidden node."""
    expanded = to_networkx(graph)
    blockers = set(given)
    for path in nx.all_simple_paths(expanded.to_undirected(), source, target):
        if all(
            blockers & ({node} | nx.descendants(expanded, node))
            if expanded.has_edge(before, node) and expanded.has_edge(after, node)
            else node not in blockers
            for before, node, after in zip(path, path[1:], path[2:], strict=False)
        ):
            return False
    return True


@settings(max_examples=150, deadline=None, derandomize=True)
@given(parts=graph_parts(), data=st.data())
def test_d_separation_agrees_with_the_definition_and_with_networkx(parts, data):
    graph = CausalGraph(**parts)
    source, target, *others = data.draw(st.permutations(graph.nodes))
    given = data.draw(st.sets(st.sampled_from(others)))
    answer = graph.d_separated(source, target, given=given)
    assert answer == separated_by_definition(graph, source, target, given)
    assert answer == nx.is_d_separator(to_networkx(graph), {source}, {target}, given)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(parts=graph_parts(), data=st.data())
def test_the_open_path_is_a_path_of_the_graph_and_open(parts, data):
    graph = CausalGraph(**parts)
    source, target, *others = data.draw(st.permutations(graph.nodes))
    given = data.draw(st.sets(st.sampled_from(others)))
    path = graph.open_path(source, target, given=given)
    opened = [path for path in graph.paths(source, target) if path.is_open(given, graph.ancestors(given))]
    if path is None:
        assert opened == []
    else:
        assert len(set(path.nodes)) == len(path.nodes)
        assert path in opened
        assert len(path.nodes) == min(len(other.nodes) for other in opened)
    assert (target in graph.d_connected(source, given=given)) == (path is not None)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(parts=graph_parts())
def test_relatives_agree_with_networkx(parts):
    graph = CausalGraph(**parts)
    reference = nx.DiGraph(graph.directed)
    reference.add_nodes_from(graph.nodes)
    for node in graph.nodes:
        assert graph.ancestors(node) == nx.ancestors(reference, node) | {node}
        assert graph.descendants(node) == nx.descendants(reference, node) | {node}
        assert set(graph.parents(node)) == set(reference.predecessors(node))
        assert set(graph.children(node)) == set(reference.successors(node))
    order = graph.topological_order
    assert all(order.index(cause) < order.index(effect) for cause, effect in graph.directed)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(parts=graph_parts(), data=st.data())
def test_surgery_removes_what_enters_and_nothing_else(parts, data):
    graph = CausalGraph(**parts)
    nodes = data.draw(st.sets(st.sampled_from(graph.nodes)))
    before = str(graph)
    done = graph.do(*nodes)
    assert set(done.directed) == {edge for edge in graph.directed if edge[1] not in nodes}
    assert set(done.bidirected) == {edge for edge in graph.bidirected if not nodes & set(edge)}
    assert (done.nodes, done.latent, str(graph)) == (graph.nodes, graph.latent, before)
    muted = graph.without_effects(*nodes)
    assert set(muted.directed) == {edge for edge in graph.directed if edge[0] not in nodes}
    assert muted.bidirected == graph.bidirected


@settings(max_examples=60, deadline=None, derandomize=True)
@given(parts=graph_parts())
def test_the_text_form_reads_back(parts):
    graph = CausalGraph(**parts)
    assert CausalGraph(str(graph)) == graph
    assert eval(repr(graph)) == graph


def test_equal_graphs_are_equal_and_hash_alike_in_any_order():
    one = CausalGraph("X -> S -> Y; U -> X; X <-> Y; latent U")
    other = CausalGraph("Y <-> X, Y <- S <- X\nlatent U\nU -> X  # the hidden one")
    assert one == other
    assert hash(one) == hash(other)
    assert one != one.observe("U")
    assert one != one.without_edge("X", "<->", "Y")


def test_a_graph_cannot_be_changed():
    graph = CausalGraph("X -> Y")
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.directed = ()
    with pytest.raises(TypeError):
        graph.directed[0] = ("Y", "X")


def test_groups_chains_and_quoted_names():
    graph = CausalGraph('X -> {"S 1" S2} -> Y; task-relevant -> X<-"a b"')
    assert ("X", "S 1") in graph.directed
    assert ("S2", "Y") in graph.directed
    assert ("task-relevant", "X") in graph.directed
    assert ("a b", "X") in graph.directed


def test_latent_marks():
    assert CausalGraph("U -> X -> Y; latent U").observed == ("X", "Y")
    assert CausalGraph("U [latent]; U -> X -> Y").observed == ("X", "Y")
    assert CausalGraph("X -> Y", latent=["Y"]).latent == {"Y"}
    assert CausalGraph("latent -> X").nodes == ("X", "latent")
    assert CausalGraph("U -> X -> Y").hide("U").observe("U").latent == frozenset()
    assert CausalGraph("U -> X -> Y; latent X").observe_only("X", "Y").latent == {"U"}


def test_dagitty_bidirected_edges_are_hidden_causes_not_nodes():
    parts = parse_dagitty(
        'dag { bb="0,0,1,1"\nX [exposure,pos="0,0"]\nY [outcome]\nX -> S [pos="1,1"] S -> Y\nX <-> Y }'
    )
    graph = CausalGraph(parts.directed, bidirected=parts.bidirected, latent=parts.latent, nodes=parts.nodes)
    assert graph == CausalGraph("X -> S -> Y; X <-> Y")


@pytest.mark.parametrize(
    ("build", "shown"),
    [
        (lambda: CausalGraph("A -> B -> C -> A"), ["no cycle", "A -> B", "B -> C", "C -> A"]),
        (lambda: CausalGraph("A -> A"), ["'A' joined to itself"]),
        (lambda: CausalGraph("A <-> A"), ["'A' joined to itself"]),
        (lambda: CausalGraph("A -- B"), ["A -- B", "direction"]),
        (lambda: CausalGraph("A -> "), ["the end of the line after 'A ->'"]),
        (lambda: CausalGraph("A -> B -> ; C"), ["';' after"]),
        (lambda: CausalGraph("A -> B [latent]"), ["alone", "B [latent]"]),
        (lambda: CausalGraph("A [latent"), ["closed", "latent"]),
        (lambda: CausalGraph("A -> B & C"), ["'&'", "quotes"]),
        (lambda: CausalGraph("A -> B; latent C"), ["latent node", "'C'", "Nodes: A, B"]),
        (lambda: CausalGraph(iter([("A", "B", "C")])), ["pair", "('A', 'B', 'C')"]),
        (lambda: CausalGraph([("A", 'B"')]), ["double quotes", "B\""]),
        (lambda: CausalGraph([("A", "")]), ["''"]),
        (lambda: parse_dagitty("pag { A -> B }"), ["dag {", "pag { A -> B }"]),
        (lambda: CausalGraph("Image -> Label").parents("Lable"), ["'Lable'", "Did you mean 'Label'", "Image, Label"]),
        (lambda: CausalGraph("X -> Y").do("x"), ["'x'", "Did you mean 'X'"]),
        (lambda: CausalGraph("X -> Y").without_edge("Y", "->", "X"), ["Y -> X", "X -> Y"]),
        (lambda: CausalGraph("X -> Y").without_edge("X", "<->", "Y"), ["X <-> Y"]),
        (lambda: CausalGraph("X -> S -> Y").open_path("X", "Y", given=["X"]), ["share", "X twice"]),
        (lambda: CausalGraph("X -> S -> Y").open_path("X", ["X", "Y"]), ["share", "X twice"]),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_what_was_received(build, shown):
    with pytest.raises(InputError) as caught:
        build()
    for words in shown:
        assert words in str(caught.value)


def test_far_names_are_not_guessed():
    with pytest.raises(InputError) as caught:
        CausalGraph("Image -> Label").parents("Z")
    assert "Did you mean" not in str(caught.value)
