"""The cross-check with DoWhy: what counts as agreement, which differences are known, and how often they occur."""

import collections
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from causalvlm import BackDoor, CausalGraph, FrontDoor, InputError, cross_check, paper_scm
from causalvlm.cli.main import run
from causalvlm.identification.cross_check import LARGER_SET, NO_COVARIATES

ROOT = Path(__file__).parents[3]


def check(text, strategy="any"):
    return cross_check(CausalGraph(text), treatment="X", outcome="Y", strategy=strategy)


@pytest.mark.parametrize(
    ("text", "agrees", "defect", "offered"),
    [
        ("X -> Y; C -> {X Y}", True, None, [BackDoor("X", "Y", ("C",))]),
        ("X -> Y", True, None, [BackDoor("X", "Y", ())]),
        ("X -> S -> Y; X <-> Y", True, None, [FrontDoor("X", "Y", ("S",))]),
        ("X -> {A B} -> Y; X <-> Y", True, None, [FrontDoor("X", "Y", ("A", "B"))]),
        ("X -> Y; X <-> Y", True, None, []),
        ("W -> Z -> X -> Y; W <-> X; W <-> Y", True, None, []),
        ("X -> S; Y -> S; X <-> Y", True, None, [FrontDoor("X", "Y", ())]),
        ("X -> S1 -> S2 -> Y; X <-> Y", True, LARGER_SET, [FrontDoor("X", "Y", ("S1", "S2"))]),
        ("X -> S -> Y; X <-> Y; C -> {X S Y}", False, NO_COVARIATES, []),
    ],
)
def test_textbook_graphs(text, agrees, defect, offered):
    found = check(text)
    assert (found.agrees, found.known_defect, list(found.dowhy)) == (agrees, defect, offered)


def test_every_back_door_set_of_dowhy_s_is_shown():
    """It offers the largest sets and the smallest."""
    found = check("A -> B -> Y; A -> X; X -> Y")
    assert found.dowhy == tuple(BackDoor("X", "Y", nodes) for nodes in (("A",), ("B",), ("A", "B")))
    assert found.ours == BackDoor("X", "Y", ("B",))
    assert found.reason == "both find the back door, and DoWhy's {A} and {B} and {A, B} are valid"


def test_a_formula_is_no_set_and_so_no_disagreement():
    found = check("W -> Z -> X -> Y; W <-> X; W <-> Y")
    assert found.ours.strategy == "general"
    assert (found.dowhy, found.agrees) == ((), True)
    assert "both find no set; here the general algorithm finds a formula" in found.reason
    assert found.to_record()["ours"] == {"strategy": "general", "adjustment": ["W", "Z"], "covariates": []}
    with pytest.raises(InputError, match="must compare sets; received the strategy 'general'"):
        check("X -> Y", "general")


def test_only_the_criterion_that_is_asked_for_is_compared():
    text = "C -> {X Y}; X -> S -> Y"
    assert [offered.strategy for offered in check(text).dowhy] == ["back-door", "front-door"]
    found = check(text, "front-door")
    assert (found.ours, found.dowhy, found.agrees) == (
        FrontDoor("X", "Y", ("S",)),
        (FrontDoor("X", "Y", ("S",)),),
        True,
    )
    assert not check(text + "; latent S", "front-door").dowhy


@pytest.mark.parametrize("variant", "ABCDEFGHI")
def test_the_paper_s_variants(variant):
    found = cross_check(paper_scm("front_door", variant=variant), treatment="X", outcome="Y")
    assert found.agrees
    assert (found.ours is None) == (variant in "EF")
    # Y_hat, an effect of S alone, may join S: DoWhy's last valid set has it, and then DoWhy cannot estimate
    assert found.known_defect == (LARGER_SET if variant in "ABCG" else None)


def kind(found):
    """One row of the table in docs/identification.md."""
    if not found.agrees:
        return "here a front door given covariates" if found.known_defect == NO_COVARIATES else "any other difference"
    if found.ours is None:
        return "neither finds a set"
    if found.dowhy[0] == FrontDoor("X", "Y", ()):
        return "no directed path, no effect"
    if found.known_defect == LARGER_SET:
        return "front door, DoWhy's set larger"
    return f"{found.ours.strategy.replace('-', ' ')}"


def random_graph(rng):
    """Up to three nodes before X, up to three between X and Y, which mostly share a cause, and one effect of theirs."""
    before, between = "CDE"[: rng.integers(4)], "STV"[: rng.integers(1, 4)]
    order = [*before, "X", *between, "Y", "Z"]
    likely = set(itertools.pairwise(["X", *between, "Y"]))
    density, hidden = rng.choice([0.2, 0.4, 0.6]), rng.choice([0.03, 0.12])

    def chance(pair):
        return 0.1 if pair == ("X", "Y") else 0.8 if pair in likely else density

    pairs = list(itertools.combinations(order, 2))
    return CausalGraph(
        [pair for pair in pairs if rng.random() < chance(pair)],
        bidirected=[pair for pair in pairs if rng.random() < (0.8 if pair == ("X", "Y") else hidden)],
        latent=[node for node in [*before, *between] if rng.random() < 0.1],
        nodes=order,
    )


def test_the_counts_in_the_documentation_are_measured_here():
    """Wherever DoWhy differs it is the known defect, and the table says how often."""
    rng = np.random.default_rng(0)
    counts = collections.Counter(kind(cross_check(random_graph(rng), treatment="X", outcome="Y")) for _ in range(300))
    text = (ROOT / "docs" / "identification.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:agree|differ) \| (.*) \| (\d+) \|$", text, re.MULTILINE)
    assert {name: int(count) for name, count in rows} == {"any other difference": 0, **counts}


def pretend(monkeypatch, **answer):
    """Let DoWhy answer this."""
    import dowhy.causal_identifier

    said = {"no_directed_path": False, "backdoor_variables": {}, "frontdoor_variables": []} | answer
    monkeypatch.setattr(dowhy.causal_identifier, "identify_effect_auto", lambda *_: SimpleNamespace(**said))


@pytest.mark.parametrize(
    ("text", "answer", "reason"),
    [
        (
            "X -> Y; C -> {X Y}",
            {"backdoor_variables": {"backdoor": []}},
            "offers the back-door set {}, which is not valid",
        ),
        ("X -> Y -> D; X <-> Y", {"backdoor_variables": {"backdoor": ["D"]}}, "offers the back-door set {D}"),
        ("X -> Y; U -> {X Y}; latent U", {"backdoor_variables": {"backdoor": ["U"]}}, "set {U}, which is not valid"),
        ("X -> S -> Y; X <-> {S Y}", {"frontdoor_variables": ["S"]}, "offers the front-door set {S}, which is not"),
        ("X -> S -> Y; X <-> Y", {}, "here the front-door set {S}, by DoWhy no set"),
        ("X -> S -> Y", {"frontdoor_variables": ["S"]}, "here the back-door set {}, by DoWhy the front-door set {S}"),
        (
            "X -> S -> Y",
            {"no_directed_path": True},
            "a directed path leads from X to Y, and DoWhy says that the effect is",
        ),
    ],
)
def test_a_wrong_answer_is_no_agreement_and_no_known_defect(monkeypatch, text, answer, reason):
    pretend(monkeypatch, **answer)
    found = check(text)
    assert not found.agrees
    assert found.known_defect is None
    assert reason in found.reason


def test_a_set_that_we_missed_would_be_seen(monkeypatch):
    pretend(monkeypatch, backdoor_variables={"backdoor": ["C"]})
    monkeypatch.setattr("causalvlm.identification.cross_check.identify", lambda *_, **__: FrontDoor("X", "Y", ("S",)))
    found = check("C -> {X Y}; X -> S -> Y")
    assert not found.agrees
    assert found.reason == "here the front-door set {S}, by DoWhy the back-door set {C}"


def test_more_nodes_than_dowhy_can_search_are_refused():
    wide = CausalGraph([("X", f"S{i}") for i in range(13)] + [(f"S{i}", "Y") for i in range(13)])
    with pytest.raises(InputError, match=r"at most 12 nodes to choose from, .*; received 13: S0, .*graph\.hide"):
        cross_check(wide, treatment="X", outcome="Y")
    with pytest.raises(InputError, match="treatment must be observed"):
        cross_check(wide.hide("X"), treatment="X", outcome="Y")


def test_the_record_is_plain_data():
    record = check("X -> S -> Y; X <-> Y; C -> {X S Y}").to_record()
    assert record == {
        "agrees": False,
        "ours": {"strategy": "front-door", "adjustment": ["S"], "covariates": ["C"]},
        "dowhy": [],
        "known_defect": NO_COVARIATES,
        "reason": "here the front-door set {S} given {C}, by DoWhy no set",
    }
    assert check("X -> Y; X <-> Y").to_record()["ours"] is None


@pytest.mark.parametrize(("options", "loaded"), [([], "False"), (["--cross-check"], "True")])
def test_dowhy_is_loaded_only_where_it_is_asked(options, loaded):
    code = (
        "import sys; from causalvlm.cli.main import run; import causalvlm; causalvlm.cross_check; "
        "causalvlm.to_dowhy; causalvlm.estimate_with_dowhy; "
        "status = run(['identify', 'X -> S -> Y; X <-> Y', '--treatment', 'X', '--outcome', 'Y', *sys.argv[1:]]); "
        "print(status, 'dowhy' in sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-c", code, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == f"0 {loaded}"
    assert [line for line in done.stderr.splitlines() if not line.endswith(" ...")] == []


RECORD = [
    "identified",
    "strategy",
    "adjustment",
    "covariates",
    "functional",
    "latex",
    "reason",
    "condition",
    "open_path",
    "remedies",
    "hedge",
]


@pytest.fixture
def command(tmp_path, capsys):
    """Run `causalvlm identify`; return the exit status, what it said, and the JSON."""

    def call(graph, *options):
        path = tmp_path / "result.json"
        arguments = ["identify", str(graph), "--treatment", "X", "--outcome", "Y", "--json", str(path), *options]
        status = run(arguments)
        said = capsys.readouterr()
        return status, said.out or said.err, json.loads(path.read_text()) if path.exists() else None

    return call


@pytest.mark.parametrize(("graph", "status"), [("X -> S -> Y; X <-> Y", 0), ("X -> Y; X <-> Y", 3)])
def test_without_the_option_nothing_is_asked_and_nothing_said(command, graph, status):
    done, said, result = command(graph)
    assert done == status
    assert list(result) == ["treatment", "outcome", *RECORD, "provenance"]
    assert "DoWhy" not in said


@pytest.mark.parametrize(
    ("graph", "options", "status", "line"),
    [
        ("X -> S -> Y; X <-> Y", [], 0, "DoWhy agrees: both find the front door, and DoWhy's {S} is valid."),
        ("X -> Y; X <-> Y", [], 3, "DoWhy agrees: both find no set."),
        ("Y -> X", [], 0, "DoWhy agrees: no directed path leads from X to Y, and DoWhy says that the effect is zero."),
        (
            "X -> S -> Y; X <-> Y; C -> {X S Y}",
            [],
            0,
            f"DoWhy says otherwise: here the front-door set {{S}} given {{C}}, by DoWhy no set ({NO_COVARIATES}).",
        ),
        (
            "C -> {X Y}; X -> S -> Y",
            ["--strategy", "front-door"],
            0,
            "DoWhy agrees: both find the front door, and DoWhy's {S} is valid.",
        ),
        (
            "G -> {X Y}; X -> Y",
            ["--observed", "X", "--observed", "Y"],
            3,
            "DoWhy agrees: both find no set.",
        ),
    ],
)
def test_one_line_and_one_key_where_it_is_asked(command, graph, options, status, line):
    done, said, result = command(graph, "--cross-check", *options)
    assert done == status
    assert [words for words in said.splitlines() if "DoWhy" in words] == [line]
    assert list(result) == ["treatment", "outcome", *RECORD, "cross_check", "provenance"]
    assert result["cross_check"]["agrees"] == ("agrees" in line)
    assert result["cross_check"]["reason"] in line


def test_what_dowhy_cannot_search_is_one_line(command):
    names = " ".join(f"S{index}" for index in range(13))
    status, said, result = command(f"X -> {{{names}}} -> Y", "--cross-check")
    assert (status, result) == (2, None)
    assert said.splitlines()[-1].startswith("causalvlm: the cross-check must leave DoWhy at most 12 nodes")
