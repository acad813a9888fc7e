"""Every format reads back what was written, and reads what other tools mean by their own text."""

import contextlib
import io
import itertools

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalvlm import (
    CausalGraph,
    InputError,
    format_graph,
    from_networkx,
    parse_graph,
    read_graph,
    to_networkx,
    write_graph,
)

FRONT_DOOR = CausalGraph("X -> S -> Y; X <-> Y")
WITH_NODE = CausalGraph("G_i -> X -> S -> Y; G_i -> Y; latent G_i")
NAMES = ["X", "Y", "bird size", "G_i", "latent", "digraph", "7", "task-relevant", "été"]


@st.composite
def graph_parts(draw):
    names = draw(st.permutations(NAMES))[:5]
    pairs = list(itertools.combinations(names, 2))
    return {
        "edges": draw(st.lists(st.sampled_from(pairs), unique=True)),
        "bidirected": draw(st.lists(st.sampled_from(pairs), max_size=3, unique=True)),
        "latent": draw(st.sets(st.sampled_from(names))),
        "nodes": names,
    }


@pytest.mark.parametrize("form", ["text", "dot", "gml", "dagitty"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(parts=graph_parts())
def test_what_is_written_reads_back(form, parts):
    graph = CausalGraph(**parts)
    assert parse_graph(format_graph(graph, form)) == graph


@settings(max_examples=40, deadline=None, derandomize=True)
@given(parts=graph_parts())
def test_networkx_there_and_back(parts):
    graph = CausalGraph(**parts)
    converted = to_networkx(graph)
    assert nx.is_directed_acyclic_graph(converted)
    assert from_networkx(converted) == graph


@pytest.mark.parametrize(
    "text",
    [
        "digraph { X -> S -> Y; X -> Y [dir=both] }",
        'strict digraph "my graph" { node [shape=box]; edge [color=red]; X -> S; S -> Y; Y -> X [dir="both"] }',
        "// made by hand\ndigraph G { X:e -> S:w; Y -> S [dir=back]; subgraph cluster { edge [dir=both]; X -> Y } }",
        "dag { X -> S -> Y  X <-> Y }",
        'dag "my graph" {\nbb="0,0,1,1"\nX [exposure,pos="0,0"]\nY [outcome,pos="1,0"]\nX -> S\nS -> Y\nX <-> Y\n}',
        "X -> S -> Y\nX <-> Y",
        "# hidden cause\nS <- X <-> Y <- S",
    ],
)
def test_each_way_to_write_a_hidden_cause(text):
    assert parse_graph(text) == FRONT_DOOR


@pytest.mark.parametrize(
    "text",
    [
        "digraph { G_i [latent=true]; G_i -> {X Y}; X -> S -> Y }",
        'digraph { "G_i" [observed="no", label="background"]; G_i -> X; G_i -> Y; X -> S -> Y }',
        "dag { G_i [latent] G_i -> { X Y } X -> S -> Y }",
        'dag{ G_i [unobserved,pos="0,1"] ; Y <- G_i -> X -> S -> Y }',
        'graph [ directed 1 node [ id 0 label "G_i" latent 1 ] node [ id 1 label "X" ] node [ id 2 label "S" ] '
        'node [ id 3 label "Y" ] edge [ source 0 target 1 ] edge [ source 0 target 3 ] edge [ source 1 target 2 ] '
        "edge [ source 2 target 3 ] ]",
    ],
)
def test_each_way_to_mark_a_latent_node(text):
    assert parse_graph(text) == WITH_NODE


@pytest.mark.parametrize("suffix", [".dot", ".gv", ".gml", ".dagitty", ".dag", ".txt"])
def test_files(tmp_path, suffix):
    path = tmp_path / f"graph{suffix}"
    write_graph(WITH_NODE, path)
    assert read_graph(path) == WITH_NODE
    assert read_graph(str(path)) == WITH_NODE


@pytest.mark.parametrize("suffix", [".dot", ".gml", ".txt"])
def test_a_graph_that_someone_wrote_is_kept_without_force(tmp_path, suffix):
    path = tmp_path / f"graph{suffix}"
    path.write_text("precious")
    with pytest.raises(InputError, match=f"must not exist yet; received .*graph{suffix}"):
        write_graph(FRONT_DOOR, path)
    assert path.read_text() == "precious"
    write_graph(FRONT_DOOR, path, force=True)
    assert read_graph(path) == FRONT_DOOR
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("form", ["text", "dot", "gml", "dagitty"])
@pytest.mark.parametrize(
    "graph",
    [
        CausalGraph(nodes=["X"]),
        CausalGraph(nodes=["U(X, Y)"]),
        CausalGraph('"U(X, Y)" -> X -> Y; X <-> Y'),
        CausalGraph('"U(X, Y)" -> {X Y}; X <-> Y; latent "U(X, Y)"'),
    ],
    ids=str,
)
def test_one_node_and_names_that_hidden_causes_take(form, graph):
    assert parse_graph(format_graph(graph, form)) == graph


@pytest.mark.parametrize("form", ["text", "dot", "gml", "dagitty"])
def test_a_byte_order_mark_is_no_part_of_a_graph(tmp_path, form):
    (tmp_path / "graph").write_text(format_graph(WITH_NODE, form), encoding="utf-8-sig")
    assert read_graph(tmp_path / "graph") == WITH_NODE


def test_statements_of_the_short_form_end_somewhere():
    assert CausalGraph("X, Y; Z\nW") == CausalGraph(nodes=["W", "X", "Y", "Z"])
    assert parse_graph("dag { X Y X -> Y }") == CausalGraph("X -> Y")


def test_a_hidden_cause_takes_no_name_that_is_taken():
    graph = CausalGraph([("U(X, Y)", "X"), ("X", "Y")], bidirected=[("X", "Y")])
    converted = to_networkx(graph)
    assert set(converted) == {"X", "Y", "U(X, Y)", "U(X, Y)'"}
    assert from_networkx(converted) == graph


def test_a_hidden_cause_of_three_nodes_is_no_bidirected_edge():
    graph = nx.DiGraph([("U", "X"), ("U", "S"), ("U", "Y")])
    graph.nodes["U"]["bidirected"] = True
    with pytest.raises(InputError, match=r"two effects and no cause; received 'U' with 3 and 0\. Mark it"):
        from_networkx(graph)


def test_multigraphs_keep_both_edges_of_a_pair():
    graph = nx.MultiDiGraph([("X", "S"), ("S", "Y")])
    graph.add_edge("X", "S", dir="both")
    assert from_networkx(graph) == CausalGraph("X -> S -> Y; X <-> S")


def test_numbers_become_text():
    assert from_networkx(nx.DiGraph([(0, 1)])) == CausalGraph([("0", "1")])


def printed_while(call):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(InputError):
        call()
    return said.getvalue()


def test_a_broken_dot_file_prints_nothing():
    assert printed_while(lambda: parse_graph("digraph { X -> ")) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ["no text"]),
        ("# nothing\n", ["no text"]),
        ("graph { X -- Y }", ["digraph", "undirected"]),
        ("digraph { X -> ", ["DOT", "line:1"]),
        ("digraph { X -> Y [dir=none] }", ["dir", "'none'", "X -> Y"]),
        ("digraph { X -> Y -> X }", ["no cycle", "X -> Y"]),
        ("graph [ node [ id 0 label \"X\" ] ]", ["DiGraph", "direction"]),
        ("graph [ directed 1 node [ id 0 ] ]", ["GML", "label"]),
        ("mag { X -> Y }", ["dag {", "mag { X -> Y }"]),
        ("X Y", ["must end at a semicolon", "received X Y", "X -> Y", '"X Y" in quotes']),
        ("X -> Y Z -> W", ["must end at a semicolon", "received Y Z"]),
        ('X -> "bird size" Z', ["received bird size Z", '"bird size" -> Z']),
        ("dag { X -> S; S [selected] }", ["must not be selected", "S [selected]", "leave the mark out"]),
        ('dag { S [selected,pos="0,1"] X -> S }', ["must not be selected", "S [selected]"]),
    ],
)  # fmt: skip
def test_each_mistake_in_a_text_is_named(text, shown):
    with pytest.raises(InputError) as caught:
        parse_graph(text)
    for words in shown:
        assert words in str(caught.value)


def test_mistakes_in_files_and_objects(tmp_path):
    (tmp_path / "bad.dot").write_text("digraph { X -> X }")
    (tmp_path / "bytes.dot").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bad\.dot: .*'X' joined to itself"):
        read_graph(tmp_path / "bad.dot")
    with pytest.raises(InputError, match="UTF-8"):
        read_graph(tmp_path / "bytes.dot")
    with pytest.raises(InputError, match="must exist"):
        read_graph(tmp_path)
    with pytest.raises(InputError, match=r"end in \.dot"):
        write_graph(FRONT_DOOR, tmp_path / "graph")


GML_OF_ANOTHER_KIND = [
    "node 3",
    'node [ id [ a 1 ] label "X" ]',
    'node [ id 0 id 1 label "X" ]',
    "node [ id 0 label [ a 1 ] ]",
    'node [ id 0 label "X" ] edge 4',
    f'node [ id 0 label "X" weight {"9" * 5000} ]',
    "node [" * 3000 + "]" * 3000,
]


@pytest.mark.parametrize("entries", GML_OF_ANOTHER_KIND)
def test_gml_with_entries_of_another_kind_is_named(entries):
    with pytest.raises(InputError, match="GML must have entries node"):
        parse_graph(f"graph [ directed 1 {entries} ]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("digraph {" + "subgraph {" * 300 + "X -> Y" + "}" * 300 + "}", "must not be nested deeply"),
        ("digraph { X -> Y } digraph { S -> Y }", "one digraph; received 2 graphs"),
        ("digraph { {{A B} C} -> D }", "must hold nodes alone"),
        ("digraph { subgraph s { A -> B } -> {C D} }", "must hold nodes alone"),
    ],
)
def test_dot_that_would_be_read_in_part_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_graph(text)
