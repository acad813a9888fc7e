"""A data set's graph: the default says nothing that a table could contradict, one's own is tested and refused."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from causalvlm.diagnosis import scm
from causalvlm.diagnosis.columns import Columns, FactorColumn, labelled_columns
from causalvlm.diagnosis.scm import (
    LABEL,
    PREDICTION,
    SOURCE,
    check_independencies,
    data_graph,
    require_graph,
    study_table,
)
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.graphs.graph import CausalGraph
from causalvlm.identification.identify import identify
from causalvlm.intervals import CONFIDENCE

APART = CausalGraph("Y -> X; light -> X; place -> X; X -> Y_hat")
"""Class and both factors independent: three statements about the table."""


def columns_of(rng, *, rows=120, names=("light", "place"), tie=0.0):
    """Two-level factors; the first goes with the class in a share `tie` of the images."""
    label = rng.integers(2, size=rows)
    levels = {name: rng.integers(2, size=rows) for name in names}
    levels[names[0]] = np.where(rng.random(rows) < tie, label, levels[names[0]])
    factors = {name: np.array(["day", "night"])[codes] for name, codes in levels.items()}
    table = EmbeddingTable(rng.normal(size=(rows, 2)), rng.normal(size=(rows, 2)), label, factors, ("cat", "dog"))
    return labelled_columns(table)


def test_the_default_graph_implies_nothing_that_a_table_could_show():
    """Not even where everything goes with everything, and where a factor was measured."""
    columns = columns_of(np.random.default_rng(0), tie=1.0)
    measured = FactorColumn(columns.factors["light"].levels, "pixels")
    columns = Columns(columns.table, {**columns.factors, "brightness": measured})
    graph = data_graph(columns)
    assert check_independencies(graph, study_table(columns)) == ()
    assert SOURCE not in graph.observed
    assert set(graph.observed) == {"Y", "X", "Y_hat", "light", "place", "brightness"}
    assert "light -> brightness" in str(graph)
    assert "brightness -> light" not in str(graph)


def test_in_the_default_graph_every_effect_is_identified_by_the_class_and_the_other_labels():
    columns = columns_of(np.random.default_rng(0))
    text = identify(data_graph(columns), "light", PREDICTION).text()
    assert "place" in text
    assert LABEL in text


def test_true_independencies_survive_as_often_as_is_said():
    """Of three true statements any is rejected in at most 5 per cent of worlds."""
    worlds, alarms = 60, 0
    for seed in range(worlds):
        found = check_independencies(APART, study_table(columns_of(np.random.default_rng(seed))))
        assert {one.statement for one in found} == {"Y _||_ light", "Y _||_ place", "light _||_ place"}
        alarms += any(one.rejected for one in found)
    assert alarms <= binom.ppf(0.999, worlds, 1 - CONFIDENCE)


def test_a_false_independency_is_rejected_and_the_true_ones_beside_it_are_not():
    found = check_independencies(APART, study_table(columns_of(np.random.default_rng(1), rows=300, tie=0.5)))
    assert {one.statement: one.rejected for one in found} == {
        "Y _||_ light": True,
        "Y _||_ place": False,
        "light _||_ place": False,
    }
    assert all(one.reason == "" and one.p_value is not None for one in found)


def test_an_independency_within_classes_is_tested_within_classes():
    """Two factors that both follow the class are dependent, but not among images of one class."""
    graph = CausalGraph("Y -> light -> X; Y -> place -> X; Y -> X; X -> Y_hat")
    rng = np.random.default_rng(2)
    label = rng.integers(2, size=400)
    follows = [np.where(rng.random(400) < 0.8, label, 1 - label).astype(str) for _ in range(2)]
    table = pd.DataFrame({"light": follows[0], "place": follows[1], "Y": label.astype(str)})
    (found,) = check_independencies(graph, table)
    assert (found.statement, found.rejected) == ("light _||_ place | Y", False)
    (marginal,) = check_independencies(CausalGraph("light -> X <- place; X -> Y_hat"), table[["light", "place"]])
    assert (marginal.statement, marginal.rejected) == ("light _||_ place", True)


def test_what_cannot_be_tested_says_why_and_is_not_rejected():
    rng = np.random.default_rng(3)
    many = pd.DataFrame({"a": np.arange(120).astype(str), "b": np.arange(120).astype(str)})
    (found,) = check_independencies(CausalGraph("a -> X <- b"), many)
    assert (found.p_value, found.rejected, found.reason) == (None, False, "too many levels")
    alone = pd.DataFrame({"a": rng.integers(2, size=60).astype(str), "b": ["same"] * 60})
    (found,) = check_independencies(CausalGraph("a -> X <- b"), alone)
    assert (found.p_value, found.rejected) == (None, False)
    assert "no stratum" in found.reason
    assert found.to_record()["reason"] == found.reason


def test_of_very_many_pairs_the_first_are_tested(monkeypatch):
    monkeypatch.setattr(scm, "MOST_PAIRS", 4)
    names, rng = "abcd", np.random.default_rng(4)
    table = pd.DataFrame({name: rng.integers(2, size=20).astype(str) for name in names})
    found = check_independencies(CausalGraph([(name, "X") for name in names]), table)
    assert [one.statement for one in found] == ["a _||_ b", "a _||_ c", "a _||_ d", "b _||_ c"]


def test_graphs_that_lack_a_node_are_refused_by_name():
    columns = columns_of(np.random.default_rng(0))
    for text, missing in (
        ("Y -> X -> Y_hat; light -> X", "without place"),
        ("light -> X; place -> X -> Y_hat", "without Y"),
        ("Y -> X; light -> X; place -> X", "without Y_hat"),
        ("Y -> X -> Y_hat; light -> X; place -> X; latent light", "without light"),
    ):
        with pytest.raises(InputError, match=rf"observed; received one {missing}\. Add"):
            require_graph(CausalGraph(text), columns)
    assert require_graph(APART, columns) is APART


@pytest.mark.parametrize("taken", ["D", "X", "Y", "Y_hat"])
def test_factors_must_not_be_called_like_the_nodes_of_every_graph(taken):
    columns = columns_of(np.random.default_rng(0), names=("light", taken))
    for build in (data_graph, lambda columns: require_graph(APART, columns)):
        with pytest.raises(InputError, match=rf"must not be called D,.* X, Y or Y_hat.*received {taken}\. Rename"):
            build(columns)


@pytest.mark.parametrize("name", ['screen 13"', "two words", "a; b -> c", "line\nbreak", "# no", "latent", "$x_{$"])
def test_any_other_name_is_a_node_and_a_column(name):
    columns = columns_of(np.random.default_rng(0), names=("light", name))
    graph, table = data_graph(columns), study_table(columns)
    assert set(table.columns) <= set(graph.observed)
    assert len(table.columns) == 4
    assert CausalGraph(str(graph)) == graph
    assert require_graph(CausalGraph(str(graph)), columns) == graph
