"""`causalvlm identify` as a person types it: exit status, JSON, words, figure."""

import json

import pytest

from causalvlm import format_graph, paper_scm
from causalvlm.cli.main import run

KEYS = {"identified", "strategy", "adjustment", "reason", "open_path", "covariates", "functional", "latex", "remedies"}
XY = ["--treatment", "X", "--outcome", "Y"]


@pytest.fixture
def identify(tmp_path):
    """Run the command on a graph; return the exit status and the JSON."""

    def call(graph, *options, form="dot"):
        source = str(graph)
        if not isinstance(graph, str):
            source = str(tmp_path / f"graph.{form}")
            (tmp_path / f"graph.{form}").write_text(format_graph(graph, form))
        out = tmp_path / "result.json"
        status = run(["identify", source, *XY, "--json", str(out), "--force", *options])
        return status, json.loads(out.read_text()) if out.exists() else None

    return call


@pytest.mark.parametrize("form", ["dot", "gml", "dagitty"])
def test_the_front_door_of_the_paper_from_each_format(identify, form):
    status, result = identify(paper_scm("front_door"), form=form)
    assert status == 0
    assert result.keys() >= KEYS | {"provenance", "treatment", "outcome"}
    assert (result["identified"], result["strategy"], result["adjustment"]) == (True, "front-door", ["S"])
    assert result["open_path"] is None
    assert result["functional"] == "P(Y | do(X)) = sum_{S} P(S | X) sum_{X'} P(Y | X', S) P(X')"


def test_a_leak_is_a_result_with_its_reason(identify, capsys):
    status, result = identify(paper_scm("front_door", variant="E"))
    assert status == 3
    assert result.keys() >= KEYS
    assert (result["identified"], result["strategy"], result["adjustment"]) == (False, None, [])
    assert result["open_path"] == "X <- G_i -> S"
    assert "condition 2" in result["reason"]
    assert result["remedies"] == ["observe G_i", "remove G_i -> S"]
    captured = capsys.readouterr()
    assert "not identified" in captured.out
    assert "X <- G_i -> S" in captured.out
    assert "observe G_i" in captured.out
    assert captured.err == "causalvlm: identifying the effect of X on Y ...\n"


def test_what_is_observed_decides(identify):
    graph = paper_scm("front_door", variant="E")
    status, result = identify(graph, "--observed", "G_i")
    assert (status, result["strategy"], result["adjustment"]) == (0, "back-door", ["G_i"])
    status, result = identify(graph, "--observed", "G_i", "--observed", "S", "--strategy", "front-door")
    assert (status, result["strategy"], result["adjustment"], result["covariates"]) == (0, "front-door", ["S"], ["G_i"])
    assert identify(paper_scm("front_door"), "--observed", "Y_hat")[0] == 3


def test_both_ways_are_told(identify, capsys):
    status, _ = identify(paper_scm("front_door", variant="D"))
    said = capsys.readouterr().out
    assert status == 0
    assert "P(Y | do(X)) = sum_{G_i} P(Y | X, G_i) P(G_i)" in said
    assert "sum_{S} P(S | X)" in said.split("Other ways")[1]


def test_the_graph_may_stand_on_the_command_line(identify):
    status, result = identify("X -> S -> Y; X <-> Y")
    assert (status, result["adjustment"]) == (0, ["S"])


def test_the_set_is_sorted(identify):
    assert identify("X -> {B A C} -> Y; X <-> Y")[1]["adjustment"] == ["A", "B", "C"]


@pytest.mark.parametrize(("variant", "status"), [("A", 0), ("F", 3)])
def test_the_figure_is_drawn_either_way(identify, tmp_path, variant, status):
    figure = tmp_path / "graph.png"
    assert identify(paper_scm("front_door", variant=variant), "--figure", str(figure))[0] == status
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["missing.dot", *XY], ["must exist", "missing.dot"]),
        (["X -> Y", "--treatment", "Z", "--outcome", "Y"], ["treatment", "'Z'", "Nodes: X, Y"]),
        (["X -> Y -> X", *XY], ["no cycle"]),
        (["X -> Y"], ["--treatment"]),
        (["X -> Y", *XY, "--strategy", "magic"], ["magic"]),
        (["X -> Y", *XY, "--observed", "Q"], ["observed", "'Q'"]),
        (["X -> Y", *XY, "--figure", "graph.doc"], ["--figure", "graph.doc"]),
        (["X -> Y; latent X", *XY], ["treatment", "latent"]),
    ],
)
def test_a_mistake_takes_one_line_and_exit_2(arguments, shown, capsys):
    assert run(["identify", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sum(not line.endswith(" ...") for line in captured.err.splitlines()) == 1
    for words in shown:
        assert words in captured.err


@pytest.mark.parametrize("option", ["--json", "--figure"])
def test_existing_output_is_kept_without_force(option, tmp_path, capsys):
    path = tmp_path / ("old.json" if option == "--json" else "old.png")
    path.write_text("precious")
    assert run(["identify", "X -> Y", *XY, option, str(path)]) == 2
    assert path.read_text() == "precious"
    assert str(path) in capsys.readouterr().err
    assert run(["identify", "X -> Y", *XY, option, str(path), "--force"]) == 0
    assert path.read_bytes() != b"precious"


def test_an_instrument_has_to_be_asked_for(identify, capsys):
    graph = "Z -> X -> Y; X <-> Y; A -> Z"
    assert identify(graph)[0] == 3
    assert "ask for strategy='instrument'" in capsys.readouterr().out
    status, result = identify(graph, "--strategy", "instrument")
    assert (status, result["strategy"], result["adjustment"], result["covariates"]) == (0, "instrument", ["Z"], [])
    said = capsys.readouterr().out
    assert "Cov(Z, Y) / Cov(Z, X)\n\nwhere\n" in said
    assert "beyond the graph: X acts on Y along a line" in said
    assert "Cov(A, Y) / Cov(A, X)" in said.split("Other ways")[1]


def test_a_part_of_an_effect(identify, capsys):
    graph = "X -> S -> Y; X -> Y; C -> {X S Y}"
    status, result = identify(graph, "--strategy", "mediation", "--mediator", "S", "--part", "direct")
    assert (status, result["strategy"], result["part"]) == (0, "mediation", "direct")
    assert (result["adjustment"], result["covariates"]) == (["S"], ["C"])
    assert "The direct effect of X on Y is identified by the mediation:" in capsys.readouterr().out
    assert identify("X -> S -> Y; S <-> Y", "--strategy", "mediation", "--mediator", "S")[0] == 3


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--strategy", "mediation"], "Add --mediator NODE"),
        (["--mediator", "S"], "must come with --strategy mediation"),
        (["--strategy", "mediation", "--mediator", "S", "--cross-check"], "--cross-check must compare sets"),
    ],
)
def test_mediators_and_mediation_go_together(options, shown, capsys):
    assert run(["identify", "X -> S -> Y", *XY, *options]) == 2
    assert shown in capsys.readouterr().err
