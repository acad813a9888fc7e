"""What people meet in consoles and notebooks: one line each, and HTML and SVG that a notebook can take in."""

from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
import torch
from PIL import Image

import causalvlm
import cdc
from causalvlm import BackDoor, CausalGraph, EmbeddingTable, FrontDoor, Verdict, Verdicts, diagnose, estimate_effect
from causalvlm.markup import html_table
from causalvlm.worlds.discrete import smoking
from causalvlm.worlds.linear import LinearWorld

EVIL = '<script>alert("1")</script>&'


class Tags(HTMLParser):
    """The tags of a page that are open at its end, and all that were seen."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):  # noqa: ARG002
        self.seen.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def require_harmless(page):
    tags = Tags(page)
    assert tags.open == []
    assert set(tags.seen) <= {"div", "strong", "table", "thead", "tbody", "tr", "th", "td", "br"}
    assert "overflow-x:auto" in page  # scrolls inside itself
    assert "#" not in page.replace("&#x27;", "")  # no colour of its own: light and dark are the notebook's


@pytest.fixture(scope="module")
def effect():
    rng = np.random.default_rng(0)
    return estimate_effect(smoking().sample(20_000, rng=rng), FrontDoor("X", "Y", ("S",)), rng=rng)


@pytest.fixture(scope="module")
def strange():
    """An effect whose outcome is a category, and whose names are markup."""
    rng = np.random.default_rng(0)
    classes = pd.Categorical(rng.choice(["no", EVIL], size=400), categories=["no", EVIL])
    table = pd.DataFrame({EVIL: rng.choice([0, 1, 2], size=400), "Y": classes})
    return estimate_effect(table, BackDoor(EVIL, "Y", ()), rng=rng)


@pytest.fixture(scope="module")
def embeddings():
    rng = np.random.default_rng(0)
    levels = np.repeat(["day", EVIL], 200)
    return EmbeddingTable(
        features=rng.normal(size=(400, 3)), logits=rng.normal(size=(400, 2)), labels=np.tile([0, 1], 200),
        factors={EVIL: levels}, class_names=("cat", "dog"),
    )  # fmt: skip


def test_an_effect_is_one_line(effect, strange):
    said = f"{effect.value:.3g}, 95 % interval {effect.low:.3g} to {effect.high:.3g}"
    assert repr(effect) == f"Effect(E[Y|do(X=1)] - E[Y|do(X=0)] = {said}, plug-in, n = 20000)"
    assert f"P(Y={EVIL}|do({EVIL}=2)) - P(Y={EVIL}|do({EVIL}=0)) = " in repr(strange)
    assert repr(strange).endswith("n = 400, 2 warnings)")


def test_an_effect_is_a_table_with_all_that_it_rests_on(effect, strange):
    for one in (effect, strange):
        require_harmless(one._repr_html_())
    page = effect._repr_html_()
    assert "full mediation" in page
    assert "second stage" in page
    assert f"{effect.low:.4g} to {effect.high:.4g}" in page
    assert "the treatment has 3 levels" in strange._repr_html_()
    assert "&lt;script&gt;" in strange._repr_html_()


def test_verdicts_are_a_tuple_that_people_can_read():
    verdicts = Verdicts([Verdict("overlap", "passed", 0.4, EVIL), Verdict("leak", "failed", None, "it leaks.")])
    assert isinstance(verdicts, tuple)
    assert verdicts == tuple(verdicts)
    assert repr(verdicts).splitlines() == [f"passed  overlap: {EVIL}", "failed  leak: it leaks."]
    require_harmless(verdicts._repr_html_())
    frame = verdicts.to_frame()
    assert frame[["name", "outcome", "reason"]].to_numpy().tolist()[1] == ["leak", "failed", "it leaks."]
    assert frame.statistic.isna().tolist() == [False, True]
    assert Verdicts().to_frame().columns.tolist() == frame.columns.tolist()


def test_refuting_gives_such_a_tuple(effect):
    rng = np.random.default_rng(0)
    verdicts = causalvlm.refute(effect, smoking().sample(20_000, rng=rng), rng=rng, repeats=2)
    assert isinstance(verdicts, Verdicts)
    assert verdicts.to_frame().name[0] == "permuted treatment"


@pytest.mark.parametrize("estimand", [BackDoor("X", "Y", ("C",)), FrontDoor("X", "Y", ("S",))])
def test_an_estimand_is_set_as_a_formula(estimand):
    assert estimand._repr_latex_() == f"${estimand.latex()}$"


def test_a_general_formula_too():
    napkin = causalvlm.identify(CausalGraph("W -> Z -> X -> Y; W <-> {X Y}"), treatment="X", outcome="Y")
    assert napkin._repr_latex_() == f"${napkin.latex()}$"
    assert napkin._repr_latex_().count("$") == 2


def test_a_graph_draws_itself_unless_nobody_could_read_it():
    picture = CausalGraph("X -> S -> Y; X <-> Y")._repr_svg_()
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert CausalGraph([(f"A{at}", f"A{at + 1}") for at in range(200)])._repr_svg_() is None
    assert CausalGraph()._repr_svg_() is None


def test_a_large_graph_is_counted_instead_of_listed():
    graph = CausalGraph([(f"A{at}", f"A{at + 1}") for at in range(200)], bidirected=[("A0", "A9")], latent=["A3"])
    assert repr(graph) == "<CausalGraph of 201 nodes, 1 latent, and 201 edges>"
    assert eval(repr(CausalGraph("X -> Y"))) == CausalGraph("X -> Y")


def test_a_diagnosis_and_its_embeddings(embeddings):
    diagnosis = diagnose(embeddings)
    right = embeddings.correct.mean()
    assert repr(diagnosis).startswith(f"<Diagnosis of an embedding table, right on {100 * right:.0f} % (")
    assert len(repr(diagnosis)) < 120
    assert repr(diagnosis.factors[0]) == (
        f"<FactorDiagnosis of {EVIL!r}, 2 levels: not decodable, does not move the margin>"
    )
    require_harmless(diagnosis._repr_html_())
    assert repr(embeddings) == f"<EmbeddingTable of 400 images in 3 dimensions: 2 classes, factors {EVIL}>"


def test_a_table_has_its_header_and_lines():
    page = html_table([(1, ("a", "b"))], header=("<n>", "lines"), title=EVIL)
    require_harmless(page)
    assert page.count("<th ") == page.count("<td ") == 2
    assert "a<br>b" in page
    assert "&lt;n&gt;" in page


@pytest.fixture(scope="module")
def shown():
    """A data set, a model that was never trained, and what it says of pictures, all with names that are markup."""
    backbone = cdc.load_backbone("picto")
    names = ("<b>&", *(f"class {at}" for at in range(20)))  # a prompt has to fit the text tower
    examples = tuple(cdc.Example(Path(f"{at}.png"), at % 21, {EVIL: "ab"[at % 2]}) for at in range(42))
    data = cdc.ImageDataset(EVIL, names, train=examples, validation=(), test=examples)
    adapter = cdc.fit(data, cdc.ZeroShotConfig(), backbone)
    prediction = adapter.predict([Image.new("RGB", (64, 64))] * 12)
    scores = cdc.score(prediction, prediction.labels)
    evaluation = causalvlm.Evaluation(scores, prediction, prediction.labels, "all", EVIL, "own", adapter.card, ())
    return {"data": data, "adapter": adapter, "prediction": prediction, "evaluation": evaluation}


@pytest.mark.parametrize("name", ["data", "adapter", "prediction", "evaluation"])
def test_data_adapters_and_answers_are_tables(shown, name):
    page = shown[name]._repr_html_()
    require_harmless(page)
    assert len(page) < 6000


def test_tables_say_how_much_they_leave_out(shown, embeddings):
    assert "class 10 and 9 more<" in shown["adapter"]._repr_html_()
    assert "nothing: this method does not train" in shown["adapter"]._repr_html_()
    assert "42 train, 0 validation, 42 test" in shown["data"]._repr_html_()
    answers = shown["prediction"]._repr_html_()
    assert "12 images over 21 classes, the first 10 of them" in answers
    assert answers.count("<tr>") == 11
    require_harmless(embeddings._repr_html_())
    assert f"{embeddings.correct.mean():.1%}" in embeddings._repr_html_()


def test_a_prediction_shows_files_and_their_three_best_classes():
    said = cdc.Prediction(torch.eye(2), torch.zeros(2), class_names=("<b>", "dog"), files=("a/x.png", "a/y.png"))
    page = said._repr_html_()
    require_harmless(page)
    shown = (">x.png<", ">y.png<", ">dog 100%<", ">&lt;b&gt; 0%<", "a/x")
    assert [part in page for part in shown] == [True, True, True, True, False]
    assert page.count("then") == 1


def test_every_result_is_said_in_a_line(shown):
    adapter, data = shown["adapter"], shown["data"]
    files = [Path(sklearn.datasets.__file__).parent / "images" / name for name in ("china.jpg", "flower.jpg")]
    features = cdc.encode_images(adapter.backbone, files, cache=None)
    linear = LinearWorld().sample(400, rng=0)
    found = causalvlm.sensitivity(estimate_effect(linear, FrontDoor("X", "Y", ("S",)), rng=0), linear)
    results = {
        "<Backbone picto: 192 dimensions, fp32, on cpu>": adapter.backbone,
        "<AdapterCard of zero-shot on picto: 21 classes, no training>": adapter.card,
        "<CosineClassifier of 21 classes on picto>": adapter.classifier(),
        "<Features of 2 images in 192 dimensions, 0 unreadable>": features,
        "<Classified: <Prediction of 12 images": cdc.adapter.Classified(shown["prediction"], (), (), None),
        "<Opinion of 3 templates on 2 images over 4 classes>": cdc.to_opinion(torch.ones(3, 2, 4)),
        f"<Sensitivity of {found.value:.3g}: {found.text()}>": found,
        "<DatasetReport on 84 images of 21 classes: 1 kinds of problems>": cdc.check_dataset(data),
    }
    for said, result in results.items():
        assert repr(result).startswith(said)
        assert len(repr(result)) < 400


def test_a_figure_shows_itself_without_pyplot():
    picture = causalvlm.draw_graph(CausalGraph("X -> S -> Y; X <-> Y"))._repr_svg_()
    assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_both_packages_know_their_version():
    assert causalvlm.__version__ == cdc.__version__ == metadata.version("causalvlm")


def test_a_data_set_is_one_line():
    data = causalvlm.load_dataset("picto/mammals")
    assert repr(data).startswith("<ImageDataset 'picto/mammals': 47 classes, 1128 train, ")
    assert len(repr(data)) < 250
