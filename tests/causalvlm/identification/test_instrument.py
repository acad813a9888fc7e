"""Instruments against their definition, on random graphs and on those of the textbooks."""

import itertools

import numpy as np
import pytest

from causalvlm.errors import InputError, NotIdentifiedError
from causalvlm.figures.graph import draw_graph
from causalvlm.graphs.graph import CausalGraph
from causalvlm.identification.cross_check import cross_check
from causalvlm.identification.dowhy import to_dowhy_estimand
from causalvlm.identification.estimands import Instrument
from causalvlm.identification.identify import adjustment_sets, identify

HIDDEN = "X -> Y; X <-> Y; "


def instruments(text):
    return adjustment_sets(CausalGraph(text), treatment="X", outcome="Y", strategy="instrument")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Z -> X", [("Z", ())]),
        ("Z -> X; W -> {Z Y}", [("Z", ("W",))]),
        ("Z -> X; W -> {Z X Y}", [("Z", ("W",))]),
        ("A -> Z -> X", [("Z", ()), ("A", ())]),
        ("Z <-> X", [("Z", ())]),
        ("U -> {Z X}; latent U", [("Z", ())]),  # a proxy of what moves the treatment
        ("Z -> X; Z -> Y", []),
        ("Z -> X; Z <-> Y", []),
        ("Z -> X; Z -> M -> Y", [("Z", ("M",))]),
        ("X -> Z", []),
        ("Y -> Z", []),
        ("Z -> B", []),  # unrelated
        ("Z -> W -> X; W -> Y", []),  # what closes the way to Y also cuts Z off from X
        ("Z -> W -> {X Y}; Z -> X", [("Z", ("W",))]),
    ],
)
def test_graphs_of_the_textbooks(text, found):
    assert [(one.instrument, one.covariates) for one in instruments(HIDDEN + text)] == found


def random_graph(rng: np.random.Generator) -> CausalGraph:
    names = ["X", "Y", "A", "B", "C", "D"][: rng.integers(4, 7)]
    order = rng.permutation(len(names))
    directed = [
        (names[order[i]], names[order[j]])
        for i, j in itertools.combinations(range(len(names)), 2)
        if rng.random() < 0.35
    ]
    bidirected = [pair for pair in itertools.combinations(names, 2) if rng.random() < 0.15]
    latent = [name for name in names[2:] if rng.random() < 0.15]
    return CausalGraph(directed, bidirected=bidirected, latent=latent, nodes=names)


def valid(graph: CausalGraph, node: str, given: tuple[str, ...]) -> bool:
    """Pearl's conditions, word for word."""
    muted = graph.without_effects("X")
    return muted.d_separated(node, "Y", given=given) and not graph.d_separated(node, "X", given=given)


def by_definition(graph: CausalGraph) -> dict[str, int]:
    """Every instrument with the size of its smallest set, by trying all subsets."""
    allowed = set(graph.observed) - graph.descendants({"X", "Y"})
    sizes: dict[str, int] = {}
    for node in allowed:
        for size in range(len(allowed)):
            if any(valid(graph, node, given) for given in itertools.combinations(sorted(allowed - {node}), size)):
                sizes[node] = size
                break
    return sizes


def test_random_graphs():
    rng, some, conditional = np.random.default_rng(0), 0, 0
    for _ in range(1500):
        graph = random_graph(rng)
        sizes = by_definition(graph)
        found = adjustment_sets(graph, treatment="X", outcome="Y", strategy="instrument")
        assert bool(found) == bool(sizes), graph
        some, conditional = some + bool(found), conditional + any(one.covariates for one in found)
        for one in found:
            assert valid(graph, one.instrument, one.covariates), (graph, one)
            assert len(one.covariates) == sizes[one.instrument], (graph, one)
            for left_out in one.covariates:
                assert not valid(graph, one.instrument, tuple(set(one.covariates) - {left_out})), (graph, one)
    assert some > 300
    assert conditional > 50


def test_it_is_given_only_when_asked_for_and_named_where_nothing_else_serves():
    graph = CausalGraph(HIDDEN + "Z -> X")
    with pytest.raises(NotIdentifiedError, match="Any of these would mend it") as caught:
        identify(graph, treatment="X", outcome="Y")
    assert caught.value.remedies[-1].startswith(
        "ask for strategy='instrument': Z is one, where X acts on Y along a line"
    )
    assert identify(graph, treatment="X", outcome="Y", strategy="instrument") == Instrument("X", "Y", "Z")
    with pytest.raises(NotIdentifiedError) as caught:
        identify(graph.hide("Z"), treatment="X", outcome="Y")
    assert not any("instrument" in remedy for remedy in caught.value.remedies)


@pytest.mark.parametrize(
    ("text", "path"), [("Z -> X; Z -> M -> Y; latent M", "Z -> M -> Y"), ("Z -> X; Z <-> Y", "Z <-> Y"), ("Z", "")]
)
def test_why_there_is_none(text, path):
    with pytest.raises(NotIdentifiedError, match="instrument criterion") as caught:
        identify(CausalGraph(HIDDEN + text), treatment="X", outcome="Y", strategy="instrument")
    assert caught.value.open_path == path
    assert "an observed node that X and Y do not cause" in caught.value.condition


def test_what_it_says_of_itself():
    estimand = Instrument("X", "Y", "Z", ("V", "W"))
    record = estimand.to_record()
    assert (record["strategy"], record["adjustment"], record["covariates"]) == ("instrument", ["Z"], ["V", "W"])
    assert record["functional"] == estimand.text()
    assert estimand.text().endswith("E[Cov(Z, Y | V, W)] / E[Cov(Z, X | V, W)]")
    assert r"\frac{E\left[\mathrm{Cov}(Z, Y \mid V, W)\right]}" in estimand.latex()
    assert [one.split(":")[0] for one in estimand.assumptions()] == [
        "relevance",
        "exclusion and independence",
        "beyond the graph",
    ]


def test_other_programs_are_not_asked():
    graph = CausalGraph(HIDDEN + "Z -> X")
    with pytest.raises(InputError, match="received the strategy 'instrument'"):
        cross_check(graph, treatment="X", outcome="Y", strategy="instrument")
    with pytest.raises(InputError, match="received one of strategy 'instrument'"):
        to_dowhy_estimand(Instrument("X", "Y", "Z"))


def test_the_figure_shows_it():
    graph = CausalGraph(HIDDEN + "Z -> X; W -> {Z Y}")
    figure = draw_graph(graph, treatment="X", outcome="Y", estimand=Instrument("X", "Y", "Z", ("W",)))
    shown = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"instrument", "adjusted for"} <= shown
