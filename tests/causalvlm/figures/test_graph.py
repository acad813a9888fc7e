"""Figures of graphs: nothing covers anything, roles differ in shape, and the open path stands out."""

import itertools
import re
from io import BytesIO

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, FancyArrowPatch, RegularPolygon

from causalvlm import CausalGraph, FrontDoor, InputError, NotIdentifiedError, draw_graph, identify, paper_scm
from causalvlm.figures.graph_layout import lay_out

NINE_NODES = CausalGraph(
    "lighting -> X; background -> {X Y}; camera -> lighting; X -> {shape texture} -> concept -> Y; "
    "concept -> confidence; background <-> camera; X <-> Y; latent background"
)
GRAPHS = {
    **{f"variant {variant}": paper_scm("front_door", variant=variant) for variant in "ABCDEFGHI"},
    "front_door": paper_scm("front_door"),
    "pretraining": paper_scm("pretraining"),
    "adaptation": paper_scm("adaptation"),
    "nine nodes": NINE_NODES,
    "bidirected": CausalGraph("X -> S -> Y; X <-> Y; S <-> Y"),
    "lonely": CausalGraph("X -> Y", nodes=["A", "B"]),
}
each_graph = pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS.keys())


@each_graph
def test_no_two_nodes_share_a_place_and_edges_run_to_the_right(graph):
    layout = lay_out(graph, "X", "Y")
    for one, other in itertools.combinations(graph.nodes, 2):
        assert np.hypot(*np.subtract(layout.nodes[one], layout.nodes[other])) > 0.9
    for cause, effect in graph.directed:
        across = [layout.nodes[cause][0], *(x for x, _ in layout.bends[cause, effect]), layout.nodes[effect][0]]
        assert all(np.diff(across) == 1)


@each_graph
def test_no_edge_runs_through_a_node(graph):
    figure = draw_graph(graph, treatment="X", outcome="Y")
    figure.draw_without_rendering()
    nodes = np.array(list(lay_out(graph, "X", "Y").nodes.values()))
    for arrow in arrows(figure):
        gaps = np.linalg.norm(arrow.get_path().vertices[:, None] - nodes, axis=-1)
        assert gaps.min() > 0.3  # a node's radius is 0.27


@each_graph
def test_every_graph_can_be_saved(graph):
    for form in ("png", "svg", "pdf"):
        buffer = BytesIO()
        draw_graph(graph, treatment="X", outcome="Y").savefig(buffer, format=form)
        assert buffer.tell() > 1000


def arrows(figure):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]


def thick(figure):
    return [arrow for arrow in arrows(figure) if arrow.get_linewidth() > 2]


def test_roles_differ_in_shape_and_in_lightness():
    graph = CausalGraph("X -> S -> Y; X <-> Y; C -> {X S}; U -> C; Y -> Z; latent U")
    figure = draw_graph(graph, treatment="X", outcome="Y", estimand=identify(graph, treatment="X", outcome="Y"))
    patches = [patch for patch in figure.axes[0].patches if isinstance(patch, RegularPolygon | Circle)]
    looks = {
        (
            getattr(patch, "numvertices", 0),
            getattr(patch, "orientation", 0),
            patch.get_linestyle(),
            patch.get_facecolor(),
        )
        for patch in patches
    }
    assert len(looks) == 6  # treatment, mediator, outcome, adjusted for, latent, observed
    assert len({look[:3] for look in looks}) == 6  # told apart without any colour
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        "treatment", "mediator", "outcome", "adjusted for", "latent", "observed", "shared hidden cause"
    ]  # fmt: skip


def test_the_legend_names_only_what_is_there():
    figure = draw_graph(CausalGraph("X -> Y"), treatment="X", outcome="Y")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["treatment", "outcome"]


def test_the_open_path_is_thick_and_no_other_edge_is():
    graph = paper_scm("front_door", variant="E")
    with pytest.raises(NotIdentifiedError) as caught:
        identify(graph, treatment="X", outcome="Y")
    figure = draw_graph(graph, treatment="X", outcome="Y", open_path=caught.value.open_path)
    assert len(thick(figure)) == 2  # X <- G_i -> S
    assert all(to_rgb(arrow.get_edgecolor()) == to_rgb("#D55E00") for arrow in thick(figure))
    assert thick(draw_graph(graph, treatment="X", outcome="Y")) == []


def test_an_open_path_over_a_hidden_cause_and_names_with_spaces():
    graph = CausalGraph('X -> "bird size" -> Y; X <-> "bird size"; X <-> Y')
    with pytest.raises(NotIdentifiedError) as caught:
        identify(graph, treatment="X", outcome="Y")
    assert caught.value.open_path == 'X <-> "bird size"'
    figure = draw_graph(graph, treatment="X", outcome="Y", open_path=caught.value.open_path)
    assert len(thick(figure)) == 1


@each_graph
def test_a_graph_alone_is_drawn_clearly(graph):
    figure = draw_graph(graph)
    figure.draw_without_rendering()
    nodes = np.array(list(lay_out(graph).nodes.values()))
    for arrow in arrows(figure):
        assert np.linalg.norm(arrow.get_path().vertices[:, None] - nodes, axis=-1).min() > 0.3
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels <= {"latent", "observed", "shared hidden cause"}


def test_an_estimand_names_treatment_and_outcome():
    graph = CausalGraph("X -> S -> Y; X <-> Y")
    figure = draw_graph(graph, estimand=identify(graph, treatment="X", outcome="Y"))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["treatment", "mediator", "outcome", "shared hidden cause"]


def test_mistakes_are_named():
    with pytest.raises(InputError, match=r"X <-> Y\. The graph is"):
        draw_graph(CausalGraph("X -> Y"), treatment="X", outcome="Y", open_path="X <-> Y")
    with pytest.raises(InputError, match="'Z'"):
        draw_graph(CausalGraph("X -> Y"), treatment="Z", outcome="Y")
    with pytest.raises(InputError, match="must have nodes; received none"):
        draw_graph(CausalGraph())


@pytest.mark.parametrize("name", ["%", "$", "\\", r"$\frac{$", "$x_{$", "a^b~c", "[/red]", "100 % {", "_"])
def test_a_name_is_text_whatever_it_looks_like(name):
    graph = CausalGraph([("X", name), (name, "Y")])
    figure = draw_graph(graph, treatment="X", outcome="Y")
    figure.savefig(BytesIO())
    assert name in [text.get_text() for text in figure.axes[0].texts]
    latex = FrontDoor("X", "Y", (name,)).latex()
    assert set(re.findall(r"\\([a-z]+)", latex)) <= {"mid", "mathrm", "sum", "do", "backslash", "wedge", "sim"}
    bare = re.sub(r"\\.", "", latex)
    assert bare.count("{") == bare.count("}")
    assert not set("%$#&~^") & set(bare)
