"""Graphs there and back: what DoWhy holds is the graph that it was given, and says the same of independence."""

import itertools
import logging

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalvlm import CausalGraph, InputError, format_graph, from_dowhy, to_dowhy, to_networkx
from causalvlm.graphs.dowhy import quiet_dowhy

FRONT_DOOR = CausalGraph("X -> S -> Y; X <-> Y")
WITH_NODE = CausalGraph("G_i -> X -> S -> Y; G_i -> Y; latent G_i")
NAMES = ["bird size", "G_i", "digraph", "7", "été", "a, b"]


@st.composite
def graph_parts(draw):
    order = [*draw(st.permutations(NAMES))[:3]]
    order.insert(draw(st.integers(0, 2)), "X")
    order.append("Y")
    pairs = list(itertools.combinations(order, 2))
    return {
        "edges": draw(st.lists(st.sampled_from(pairs), unique=True)),
        "bidirected": draw(st.lists(st.sampled_from(pairs), max_size=3, unique=True)),
        "latent": draw(st.sets(st.sampled_from([node for node in order if node not in "XY"]), max_size=2)),
        "nodes": order,
    }


@pytest.fixture
def table():
    return pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3)), columns=["X", "S", "Y"])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(parts=graph_parts())
def test_there_and_back_on_random_graphs(parts):
    graph = CausalGraph(**parts)
    model = to_dowhy(graph, treatment="X", outcome="Y")
    assert from_dowhy(model) == graph
    assert set(model._graph.get_all_nodes(include_unobserved=False)) == set(graph.observed)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(parts=graph_parts())
def test_dowhy_reads_the_same_independences(parts):
    graph = CausalGraph(**parts)
    theirs = to_dowhy(graph, treatment="X", outcome="Y")._graph
    others = [node for node in graph.observed if node not in "XY"]
    for size in range(len(others) + 1):
        for some in itertools.combinations(others, size):
            said = theirs.check_dseparation(["X"], ["Y"], list(some))
            assert said == graph.d_separated("X", "Y", given=some)


def test_names_of_hidden_causes_are_those_of_their_effects():
    model = to_dowhy(CausalGraph("Y <-> X; X -> Y"), treatment="X", outcome="Y")
    assert set(model._graph._graph) == {"X", "Y", "U(X, Y)"}


def test_a_column_does_not_reveal_a_latent_node(table):
    """DoWhy takes every column as observed: G_i would close the back door."""
    model = to_dowhy(WITH_NODE, treatment="X", outcome="Y", table=table.assign(G_i=0.0, more=1.0))
    estimand = model.identify_effect()
    assert estimand.get_frontdoor_variables() == ["S"]
    assert estimand.estimands["backdoor"] is None
    assert from_dowhy(model) == WITH_NODE


def test_the_table_stays_as_it_was(table):
    graph, before = CausalGraph("C -> {X Y}; X -> Y"), (table.S > 0).astype(int)
    table = pd.DataFrame({"X": before, "C": table.X, "Y": table.Y})
    copy = table.copy()
    model = to_dowhy(graph, treatment="X", outcome="Y", table=table)
    model.estimate_effect(model.identify_effect(), method_name="backdoor.propensity_score_weighting")
    assert "propensity_score" in model._data.columns  # what DoWhy writes (its issue 1728)
    pd.testing.assert_frame_equal(table, copy)


@pytest.mark.filterwarnings("ignore")  # DoWhy's own warnings
class TestModelsMadeByHand:
    def test_of_our_networkx_graph(self, table):
        import dowhy

        for graph in (WITH_NODE, FRONT_DOOR):
            model = dowhy.CausalModel(table, "X", "Y", graph=to_networkx(graph))
            assert model.identify_effect().get_frontdoor_variables() == ["S"]
            assert from_dowhy(model) == graph

    def test_of_our_gml(self, table):
        import dowhy

        model = dowhy.CausalModel(table, "X", "Y", graph=format_graph(WITH_NODE, "gml"))
        assert from_dowhy(model) == WITH_NODE

    def test_what_is_no_column_is_latent(self, table):
        import dowhy

        model = dowhy.CausalModel(table, "X", "Y", graph=nx.DiGraph([("U", "X"), ("U", "Y"), ("X", "S"), ("S", "Y")]))
        assert from_dowhy(model).latent == {"U"}

    def test_structural_models(self):
        from dowhy import gcm

        assert from_dowhy(gcm.StructuralCausalModel(nx.DiGraph([("X", "Y")]))) == CausalGraph("X -> Y")


def test_dowhy_is_quiet_and_its_logger_as_before(table, caplog, capfd):
    logger = logging.getLogger("dowhy")
    level = logger.level
    to_dowhy(WITH_NODE, treatment="X", outcome="Y", table=table)  # a warning would be an error here
    with pytest.raises(ZeroDivisionError), quiet_dowhy():
        _ = 1 / 0
    assert logger.level == level
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"treatment": "Q"}, "treatment must be an observed node; received 'Q'. The graph observes S, X, Y."),
        ({"outcome": "G_i"}, "outcome must be an observed node; received 'G_i'."),
        ({"table": pd.DataFrame({"X": [0.0], "Y": [0.0]})}, "received none for S. Add it, or hide .*hide\\('S'\\)"),
    ],
)
def test_each_mistake_is_named(question, message):
    with pytest.raises(InputError, match=message):
        to_dowhy(WITH_NODE, **({"treatment": "X", "outcome": "Y"} | question))


def test_only_a_model_is_read_back():
    with pytest.raises(InputError, match="received a list"):
        from_dowhy([("X", "Y")])
