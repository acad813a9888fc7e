"""`causalvlm estimate` as a person uses it: files in, a claim or a refusal out, and one line for every mistake."""

import json

import numpy as np
import pandas as pd
import pytest

from causalvlm import estimate_effect, identify, parse_graph
from causalvlm.cli.main import run
from causalvlm.worlds.discrete import independent_outcomes
from causalvlm.worlds.embedding import CovariateWorld, EmbeddingWorld

HIDDEN = "digraph { X -> S; S -> Y; U [latent=true]; U -> X; U -> Y }"
PLAIN = "digraph { X -> S; S -> Y; U -> X; U -> Y }"
QUESTION = ["--treatment", "X", "--outcome", "Y"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("estimate"), np.random.default_rng(0)
    table = independent_outcomes().sample(4000, rng=rng)
    table.to_csv(root / "k3.csv", index=False)
    table.drop(columns="U").to_csv(root / "hidden.csv", index=False)
    table.assign(S=table.X).to_csv(root / "same.csv", index=False)
    table.assign(Y=np.where(table.Y == 1, "yes", "no")).to_csv(root / "words.csv", index=False)
    table.assign(Y=pd.Categorical(np.where(table.Y == 1, "yes", "no"))).to_parquet(root / "words.parquet")
    EmbeddingWorld(dim=6).sample(1500, rng=rng).to_parquet(root / "wide.parquet")
    EmbeddingWorld(dim=6, separation=8.0).sample(1500, rng=rng).to_parquet(root / "apart.parquet")
    CovariateWorld().sample(1500, rng=rng).to_csv(root / "k6.csv", index=False)
    (root / "hidden.dot").write_text(HIDDEN)
    (root / "plain.dot").write_text(PLAIN)
    (root / "broken.csv").write_text('X,S,Y\n0,1,1\n0,1,1,1,1\n"')
    (root / "empty.csv").write_text("")
    return root


def estimate(folder, tmp_path, table, graph, *options):
    graph = str(folder / graph) if graph.endswith(".dot") else graph
    status = run(["estimate", str(folder / table), graph, *QUESTION, "--json", str(tmp_path / "r.json"), *options])
    path = tmp_path / "r.json"
    return status, json.loads(path.read_text()) if path.exists() else None


def test_a_discrete_front_door(folder, tmp_path, capsys):
    status, result = estimate(folder, tmp_path, "hidden.csv", "hidden.dot")
    assert status == 0
    assert result["low"] < 0.1275 < result["high"]
    assert result["do_means"]["1"] - result["do_means"]["0"] == pytest.approx(result["value"])
    assert (result["estimator"], result["n"], result["strategy"]) == ("plug-in", 4000, "front-door")
    assert result["adjustment"] == ["S"]
    assert result["refusal"] is None
    assert result["warnings"] == []
    assert 30 < result["effective_sample_size"] < 4000
    assert result["provenance"]["versions"]
    assert "95 % interval" in capsys.readouterr().out


def test_the_file_says_what_the_record_of_the_effect_says(folder, tmp_path):
    _, result = estimate(folder, tmp_path, "hidden.csv", "hidden.dot", "--seed", "3")
    estimand = identify(parse_graph(HIDDEN), treatment="X", outcome="Y")
    rng = np.random.default_rng(3)
    effect = estimate_effect(pd.read_csv(folder / "hidden.csv"), estimand, rng=rng)
    record = json.loads(json.dumps(effect.to_record()))
    assert {name: result[name] for name in record} == record
    beside = {"seed", "identified", "condition", "open_path", "remedies", "hedge", "refusal", "verdicts", "provenance"}
    assert set(result) == set(record) | beside
    refused = estimate(folder, tmp_path, "same.csv", "hidden.dot", "--force")[1]
    unidentified = estimate(folder, tmp_path, "same.csv", "X -> Y; X <-> Y", "--force")[1]
    assert set(refused) == set(unidentified) == set(result)


def test_a_node_that_is_no_column_is_unobserved_and_one_that_is_may_be_adjusted_for(folder, tmp_path):
    _, hidden = estimate(folder, tmp_path, "hidden.csv", "plain.dot")
    _, seen = estimate(folder, tmp_path, "k3.csv", "plain.dot", "--force")
    _, marked = estimate(folder, tmp_path, "k3.csv", "hidden.dot", "--force")
    assert hidden["strategy"] == marked["strategy"] == "front-door"
    assert (seen["strategy"], seen["adjustment"]) == ("back-door", ["U"])


def test_an_estimator_chooses_its_door(folder, tmp_path):
    _, front = estimate(folder, tmp_path, "k3.csv", "plain.dot", "--estimator", "two-stage")
    _, back = estimate(folder, tmp_path, "k3.csv", "plain.dot", "--estimator", "aipw", "--force")
    assert (front["strategy"], back["strategy"]) == ("front-door", "back-door")
    assert any("two-stage assumes" in warning for warning in front["warnings"])


@pytest.mark.parametrize(
    "columns", [["--mediator", "S*"], ["--mediator", "S=S*"], ["--mediator", "S0", "S1", "S2", "S3", "S4", "S5"]]
)
def test_an_embedding_as_mediator(folder, tmp_path, columns):
    status, result = estimate(folder, tmp_path, "wide.parquet", "hidden.dot", *columns)
    assert (status, result["estimator"]) == (0, "one-step")
    assert result["low"] < 2.4 < result["high"]


def test_mediators_that_are_nodes_and_covariates(folder, tmp_path):
    graph = "C -> {X S Y}; X -> S -> Y; X <-> Y"
    status, result = estimate(folder, tmp_path, "k6.csv", graph, "--mediator", "S", "--seed", "4")
    assert (status, result["covariates"], result["seed"]) == (0, ["C"], 4)
    assert result["low"] < 1.0 < result["high"]


def test_levels_and_seeds_are_heard(folder, tmp_path):
    _, up = estimate(folder, tmp_path, "hidden.csv", "plain.dot")
    _, down = estimate(folder, tmp_path, "hidden.csv", "plain.dot", "--treated", "0", "--control", "1", "--force")
    _, again = estimate(folder, tmp_path, "hidden.csv", "plain.dot", "--force")
    _, other = estimate(folder, tmp_path, "hidden.csv", "plain.dot", "--seed", "9", "--force")
    assert down["value"] == -up["value"]
    assert again["low"] == up["low"] != other["low"]


def test_clusters_and_weights_are_heard(folder, tmp_path, capsys):
    table = pd.read_csv(folder / "hidden.csv")
    rng = np.random.default_rng(0)
    table.assign(video=np.arange(len(table)) // 10, w=rng.integers(1, 4, len(table))).to_csv(
        folder / "drawn.csv", index=False
    )
    _, plain = estimate(folder, tmp_path, "drawn.csv", "plain.dot")
    options = ("--cluster", "video", "--weights", "w", "--force")
    status, found = estimate(folder, tmp_path, "drawn.csv", "plain.dot", *options)
    assert status == 0
    assert plain["sampling"] is None
    assert found["sampling"] == {"cluster": "video", "clusters": -(-len(table) // 10), "weights": "w"}
    assert found["value"] != plain["value"]
    assert "clusters of 'video', rows weighted by 'w'" in capsys.readouterr().out


def test_refutations_use_what_the_table_holds(folder, tmp_path, capsys):
    status, result = estimate(folder, tmp_path, "k3.csv", "hidden.dot", "--refute")
    names = {verdict["name"]: verdict["outcome"] for verdict in result["verdicts"]}
    assert status == 0
    assert names["over-identification"] == names["leak from U"] == names["permuted treatment"] == "passed"
    assert "inconclusive" in capsys.readouterr().out


def test_a_categorical_outcome_has_its_distribution(folder, tmp_path):
    _, result = estimate(folder, tmp_path, "words.parquet", "hidden.dot")
    assert sum(result["distribution"]["0"].values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        ("same.csv", [], "received no row with X=0 and S=1"),
        ("apart.parquet", ["--mediator", "S*"], "must overlap in the mediator"),
    ],
)
def test_a_refusal_is_a_result(folder, tmp_path, capsys, table, options, words):
    status, result = estimate(folder, tmp_path, table, "hidden.dot", *options)
    assert status == 3
    assert words in result["refusal"]
    assert result["value"] is None
    assert result["do_means"] == {}
    assert words in capsys.readouterr().out


def test_an_effect_that_is_not_identified_is_a_result(folder, tmp_path):
    status, result = estimate(folder, tmp_path, "hidden.csv", "X -> S -> Y; U -> {X S Y}; latent U")
    assert status == 3
    assert result["identified"] is False
    assert result["open_path"] == "X <- U -> S"
    assert "first stage" in result["reason"]
    assert result["value"] is None


def test_one_of_two_parallel_mediators_is_not_enough(folder, tmp_path):
    graph = "X -> A -> Y; X -> B -> Y; X <-> Y"
    assert estimate(folder, tmp_path, "wide.parquet", graph, "--mediator", "S*")[0] == 3


@pytest.mark.parametrize(
    ("table", "graph", "options", "words"),
    [
        ("no.csv", "plain.dot", [], "must be a file that exists"),
        ("plain.dot", "plain.dot", [], "must be a .csv or .parquet file"),
        ("broken.csv", "plain.dot", [], "must be readable"),
        ("empty.csv", "plain.dot", [], "must be readable"),
        ("k3.csv", "no.dot", [], "graph file must exist"),
        ("k3.csv", "X -> S -> X", [], "X"),
        ("k3.csv", "plain.dot", ["--treated", "7"], "received '7', which no row has"),
        ("k3.csv", "plain.dot", ["--mediator", "Z*"], "received 'Z*', which matches none"),
        ("k3.csv", "plain.dot", ["--mediator", "S=S", "--mediator", "T=S"], "one node; received columns for S, T"),
        ("k3.csv", "plain.dot", ["--mediator", "Q=C"], "'Q'"),
        ("k3.csv", "plain.dot", ["extra"], "received 'extra' besides"),
        ("k3.csv", "plain.dot", ["--estimator", "best"], "best"),
        ("words.csv", "plain.dot", [], "'Y' must be numeric"),
        ("wide.parquet", "A -> B; X -> Y", ["--treatment", "A"], "the treatment must be a column"),
    ],
)
def test_mistakes_are_one_line_and_status_2(folder, tmp_path, capsys, table, graph, options, words):
    status, result = estimate(folder, tmp_path, table, graph, *options)
    captured = capsys.readouterr()
    assert status == 2
    assert result is None
    assert words in captured.err
    assert sum(not line.endswith(" ...") for line in captured.err.splitlines()) == 1
    assert "Traceback" not in captured.err


def test_a_result_is_not_overwritten(folder, tmp_path, capsys):
    estimate(folder, tmp_path, "hidden.csv", "plain.dot")
    status, _ = estimate(folder, tmp_path, "hidden.csv", "plain.dot")
    assert status == 2
    assert "--force" in capsys.readouterr().err


def test_a_column_named_twice_is_refused(tmp_path, capsys):
    (tmp_path / "twice.csv").write_text("X,S,Y,Y\n" + "0,1,1,0\n1,0,0,1\n" * 20)
    assert run(["estimate", str(tmp_path / "twice.csv"), HIDDEN, *QUESTION]) == 2
    assert "column names must be unique; received 'Y' twice" in capsys.readouterr().err


def test_a_byte_order_mark_is_no_part_of_a_name(folder, tmp_path):
    (tmp_path / "marked.csv").write_text((folder / "hidden.csv").read_text(), encoding="utf-8-sig")
    (tmp_path / "marked.dot").write_text(HIDDEN, encoding="utf-8-sig")
    assert run(["estimate", str(tmp_path / "marked.csv"), str(tmp_path / "marked.dot"), *QUESTION]) == 0


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("X,S,Y\n" + "0,1,1,0\n1,0,0,1\n" * 20, "as many values as the header has names"),
        ("X,S,Y\n", "the table must have rows; received none"),
        ("X,S,Y\n" + "0,1,inf\n1,0,0\n" * 20, "no missing or infinite values; received 20 in 40 rows"),
        ("X,S,Y\n" + "True,1,0\nTrue,0,1\n" * 20, "treatment 'X' must take at least two levels"),
        ("X,S,Y\n" + "0,1,1e200\n1,0,0\n" * 20, "numbers of at most 1e+100; received 1e+200"),
        ("X,S,Y\n" + "0,1,1e-200\n1,0,0\n" * 20, "must vary by at least 1e-100"),
        ("X,S,Y\n" + "0,1,1+2j\n1,0,0\n" * 20, "'Y' must be numeric"),
        ("X,S,Y\n" + "0,1,1\n1,1,0\n" * 20, "the mediator must vary"),
    ],
)
def test_mistakes_in_the_rows_are_one_line_too(tmp_path, capsys, rows, words):
    (tmp_path / "table.csv").write_text(rows)
    assert run(["estimate", str(tmp_path / "table.csv"), HIDDEN, *QUESTION]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert sum(not line.endswith(" ...") for line in said.splitlines()) == 1


@pytest.mark.parametrize(
    ("graph", "words"),
    [("X -> S Y", "must end at a semicolon"), ("dag { X -> S -> Y S [selected] }", "must not be selected")],
)
def test_mistakes_in_the_graph_are_one_line_too(folder, capsys, graph, words):
    assert run(["estimate", str(folder / "hidden.csv"), graph, *QUESTION]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert sum(not line.endswith(" ...") for line in said.splitlines()) == 1


def test_an_instrument(folder, tmp_path, capsys):
    rng = np.random.default_rng(0)
    z, u, e = rng.normal(size=(3, 2000))
    pd.DataFrame({"Z": z, "X": z + u, "Y": 2 * (z + u) + 3 * u + e, "U": u}).to_csv(folder / "moved.csv", index=False)
    graph = "Z -> X -> Y; U -> {X Y}"
    by_strategy = estimate(folder, tmp_path, "moved.csv", graph, "--strategy", "instrument", "--refute")
    assert (by_strategy[0], by_strategy[1]["estimator"]) == (0, "two-stage-least-squares")
    assert by_strategy[1]["low"] < 2.0 < by_strategy[1]["high"]
    verdicts = {verdict["name"]: verdict["outcome"] for verdict in by_strategy[1]["verdicts"]}
    assert verdicts["leak from U"] == verdicts["over-identification"] == "passed"
    by_estimator = estimate(folder, tmp_path, "moved.csv", graph, "--estimator", "two-stage-least-squares", "--force")
    assert by_estimator[1]["value"] == by_strategy[1]["value"]
    capsys.readouterr()
    pd.DataFrame({"Z": z, "X": u, "Y": u + e}).to_csv(folder / "still.csv", index=False)
    status, result = estimate(folder, tmp_path, "still.csv", graph, "--strategy", "instrument", "--force")
    assert status == 3
    assert "the instrument must move the treatment" in result["refusal"]


def test_a_part_of_an_effect(folder, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, 3000)
    s = x + rng.normal(size=3000)
    table = pd.DataFrame({"X": x, "S_0": s, "Y": 2 * s + 3 * x + rng.normal(size=3000)})
    table.to_csv(folder / "parts.csv", index=False)
    asked = ["--strategy", "mediation", "--mediator", "S=S_*", "--refute"]
    status, result = estimate(folder, tmp_path, "parts.csv", "X -> S -> Y; X -> Y", *asked)
    assert (status, result["part"], result["estimator"]) == (0, "indirect", "nested-regressions")
    assert result["low"] < 2.0 < result["high"]
    assert {verdict["outcome"] for verdict in result["verdicts"] if verdict["name"] != "untestable"} == {"passed"}
    direct = ["--estimator", "nested-regressions", "--mediator", "S=S_0", "--part", "direct", "--force"]
    assert estimate(folder, tmp_path, "parts.csv", "X -> S -> Y; X -> Y", *direct)[1]["low"] < 3.0
    wrong = ["--strategy", "back-door", "--mediator", "S=S_0", "--force"]
    assert estimate(folder, tmp_path, "parts.csv", "X -> S -> Y; X -> Y", *wrong)[0] == 2
