"""The audit of a mediator: violations that were built in are found, one by one, and valid mediators are let pass."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

import causalvlm
import cdc
from causalvlm.diagnosis.audit.audit import audit
from causalvlm.diagnosis.audit.comparison import compare_levels
from causalvlm.diagnosis.audit.mediator import audit_mediator
from causalvlm.diagnosis.audit.verdicts import Measured, settle
from causalvlm.diagnosis.audit.words import to_markdown
from causalvlm.embeddings.model import model_from
from causalvlm.embeddings.table import logit_margins
from causalvlm.errors import InputError
from causalvlm.intervals import Shift

ROWS, CLASSES = 400, 3


def world(seed, *, leak=0.0, direct=0.0, back_door=0.0, hidden=0.0, certain=False, templates=1):
    """S of the part of X that shows the class, G in X; the last template may read G, Y may answer to X or G past S."""
    rng = np.random.default_rng(seed)
    factor = rng.integers(2, size=ROWS)
    features = rng.normal(size=(ROWS, 6))
    features[:, CLASSES] += 1.5 * factor
    if certain:
        features[:, :CLASSES] += 8 * np.eye(CLASSES)[rng.integers(CLASSES, size=ROWS)]
    noise = 0.01 if certain else 1.0
    opinions = features[None, :, :CLASSES] + noise * rng.normal(size=(templates, ROWS, CLASSES))
    lean, push = np.array([1.0, -1.0, 0.0]), np.array([0.0, 1.0, -1.0])
    opinions[-1] += leak * np.outer(features[:, CLASSES], lean)
    opinions += back_door * np.outer(factor - 0.5, lean)
    logits = opinions.mean(0) + (back_door + hidden) * np.outer(factor - 0.5, push)
    logits += direct * np.outer(features[:, CLASSES + 1], push)
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    return opinions, features, labels, {"G": np.where(factor == 1, "on", "off")}


def test_a_valid_mediator_is_let_pass_though_the_factor_moves_image_and_label():
    found = audit_mediator(*world(0, hidden=1.5), folds=3, rng=0)
    assert found.mediation.verdict != "violated"
    assert found.leaks["G"].verdict != "violated"
    assert found.second_stage["G"].verdict == "valid"
    assert found.overlap.verdict == "valid"


def test_a_hidden_cause_without_a_label_looks_like_a_path_past_s_and_the_reason_says_so():
    opinions, features, labels, _ = world(0, hidden=4.0)
    found = audit_mediator(opinions, features, labels, {}, folds=3, rng=0)
    assert (found.mediation.verdict, found.mediation.p_value < 0.001) == ("cannot tell", True)
    assert "a hidden cause of X and Y" in found.mediation.reason
    assert "no data can show" in found.mediation.reason
    assert found.leaks == found.second_stage == {}


def test_a_path_past_s_is_found_and_nothing_else():
    found = audit_mediator(*world(1, direct=1.0), folds=3, rng=0)
    assert found.mediation.verdict == "violated"
    assert found.mediation.low > 0
    assert {found.leaks["G"].verdict, found.second_stage["G"].verdict} <= {"valid", "cannot tell"}


def test_a_leak_is_found_in_the_template_that_leaks():
    found = audit_mediator(*world(2, leak=1.5, templates=2), folds=3, rng=0)
    assert found.leaks["G"].verdict == "violated"
    assert [one.verdict for one in found.templates["G"]] == ["valid", "violated"]
    assert found.mediation.verdict != "violated"
    assert found.second_stage["G"].verdict == "valid"


def test_an_open_back_door_past_x_is_found():
    found = audit_mediator(*world(3, back_door=3.0), folds=3, rng=0)
    assert found.second_stage["G"].verdict == "violated"
    assert "S <- G -> Y is open" in found.second_stage["G"].reason


def test_near_determinism_is_a_violation_of_overlap_with_its_share():
    opinions, features, labels, _ = world(4, certain=True)
    found = audit_mediator(opinions, features, labels, {}, folds=3, rng=0)
    assert found.overlap.verdict == "violated"
    assert found.overlap.low <= found.overlap.value <= found.overlap.high
    assert "AUC 1.000" in found.overlap.reason


def test_s_as_rich_as_the_embedding_leaves_nothing():
    _, features, labels, factors = world(5)
    rich = np.hstack([features, np.zeros((ROWS, 1))])[None]
    found = audit_mediator(rich, features, labels, factors, folds=3, rng=0)
    assert found.mediation.value < 1e-9
    assert "as rich as the embedding" in found.mediation.reason
    assert found.second_stage["G"].verdict == "valid"


def test_a_constant_per_row_of_the_opinions_changes_nothing():
    opinions, features, labels, factors = world(6)
    shift = np.random.default_rng(0).normal(size=(1, ROWS, 1)) * 50
    one, other = (
        audit_mediator(said, features, labels, factors, folds=3, rng=0) for said in (opinions, opinions + shift)
    )
    assert one.leaks["G"].value == pytest.approx(other.leaks["G"].value, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, x, y: (s[:, :20], x[:20], y[:20]), "at least 30 images"),
        (lambda s, x, y: (s, x, y + 1), "every label must index one of the 3 classes"),
        (lambda s, x, y: (s, x * np.nan, y), "features must be finite"),
        (lambda s, x, y: (s, x, y * 0), "two classes"),
    ],
)
def test_arrays_that_cannot_be_audited_are_refused(change, message):
    opinions, features, labels, _ = world(7)
    with pytest.raises(InputError, match=message):
        audit_mediator(*change(opinions, features, labels), {})
    with pytest.raises(InputError, match="at least 3 folds"):
        audit_mediator(opinions, features, labels, {}, folds=2)


def test_levels_that_the_class_gives_away_are_not_judged():
    opinions, features, labels, _ = world(8)
    found = audit_mediator(opinions, features, labels, {"G": labels.astype(str)}, folds=3, rng=0)
    assert found.leaks["G"].verdict == "cannot tell"
    assert "class and factor cannot be told apart" in found.leaks["G"].reason


def test_one_rate_of_false_alarms_over_all_tests():
    """Ten p-values of 0.03 hold no violation together, one of them alone does."""

    def one(p_value):
        return Measured(Shift(0.1, -0.1, 0.3, p_value), 0.05, "bits", "it", "harm", "fine", "more")

    assert settle({("a",): one(0.03)})["a",].verdict == "violated"
    assert {found.verdict for found in settle({(place,): one(0.03) for place in range(10)}).values()} == {"cannot tell"}
    blind = replace(one(1.0), shift=Shift(0.0, -0.01, 0.01, 1.0), sensitive=False)
    assert "were not found either" in settle({("a",): blind})["a",].reason


def test_compared_effects_are_differences_in_differences_by_class():
    rng = np.random.default_rng(9)
    labels, levels = rng.integers(3, size=200), rng.choice(["day", "night"], size=200)
    before, after = rng.normal(size=(2, 200, 3))
    found = compare_levels(after, before, labels, levels, "day")["night"]
    for shift, score in (
        (found.margin, logit_margins(after, labels) - logit_margins(before, labels)),
        (found.accuracy, 1.0 * (after.argmax(1) == labels) - 1.0 * (before.argmax(1) == labels)),
    ):
        by_class = [
            score[(labels == k) & (levels == "night")].mean() - score[(labels == k) & (levels == "day")].mean()
            for k in range(3)
        ]
        assert shift.value == pytest.approx(np.mean(by_class))


@pytest.fixture(scope="module")
def lamps(tmp_path_factory):
    """Two classes of colour at two levels of brightness: 8 pictures to train on, 80 to test on."""
    folder, rng = tmp_path_factory.mktemp("lamps"), np.random.default_rng(0)
    examples = []
    for row in range(88):
        label, light = row % 2, ("dark", "light")[row // 2 % 2]
        tint = np.array([[60, 0, 0], [0, 0, 60]])[label] + {"dark": 50, "light": 150}[light]
        pixels = np.clip(tint + rng.normal(0, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{row:02d}.png")
        examples.append(cdc.Example(folder / f"{row:02d}.png", label, {"light": light}))
    return cdc.ImageDataset("lamps", ("red", "blue"), tuple(examples[:8]), (), tuple(examples[8:]))


def trained(config, lamps, backbone):
    return cdc.fit(lamps, config, backbone, cdc.FitSettings(shots=2, training=cdc.TrainingConfig(epochs=1), cache=None))


def check(found, templates):
    record = json.loads(json.dumps(found.to_record()))
    assert {"mediation", "leaks", "second_stage", "overlap", "compared"} <= set(record)
    for part in (record["mediation"], record["leaks"]["light"], record["second_stage"], record["overlap"]):
        assert part["verdict"] in ("valid", "violated", "cannot tell")
        assert {"value", "low", "high", "p_value", "reason", "measured"} <= set(part)
    assert record["templates"] == templates
    assert record["n"] == 80
    assert len(found.summary) == 6
    assert "lamps" in repr(found)
    assert "<table" in found._repr_html_()
    assert "| question | verdict |" in to_markdown(found)


def test_the_templates_of_cdc_are_the_values_of_s(lamps, tiny_backbone):
    adapter = trained(cdc.CDCConfig(templates=3, calibrate=False), lamps, tiny_backbone)
    found = audit(adapter, lamps, folds=3, cache=None)
    check(found, 3)
    assert len(found.leaks["light"].templates) == 3
    assert set(found.compared["light"]) == {"dark"} or set(found.compared["light"]) == {"light"}
    classifier = adapter.classifier()
    features = torch.nn.functional.normalize(torch.randn(5, tiny_backbone.dim), dim=-1)
    said = cdc.template_logits(classifier, features)
    assert said.shape == (3, 5, 2)
    for template, text in zip(said, classifier.text, strict=True):
        torch.testing.assert_close(template, tiny_backbone.logits(features, text))


def test_a_factor_that_is_set_decides_and_one_that_does_nothing_does_nothing(lamps, tiny_backbone):
    def darken(place, level):
        picture = Image.open(lamps.test[place].path)
        return ImageEnhance.Brightness(picture).enhance(1.0 if level == "light" else 0.4)

    def nothing(place, level):  # noqa: ARG001
        return Image.open(lamps.test[place].path)

    adapter = trained(cdc.CoOpConfig(), lamps, tiny_backbone)
    levels = {"light": ("light", "dark"), "mood": ("calm", "angry")}
    setters = {"light": darken, "mood": nothing}
    found = audit(adapter, lamps, set_factors=setters, levels=levels, folds=3, cache=None)
    check(found, 1)
    light, mood = found.leaks["light"], found.leaks["mood"]
    assert light.finding.verdict == "violated"
    assert light.finding.unit == "standard deviations"
    assert light.finding is light.moved["dark"][0]
    assert (mood.finding.verdict, mood.finding.value, mood.told, mood.source) == ("valid", 0.0, None, "set")
    assert found.compared["light"]["dark"].how == "set"
    assert found.compared["mood"]["angry"].margin.value == 0


def test_a_reader_of_pixels_has_one_opinion(lamps, tiny_backbone):
    check(audit(trained(cdc.MaPLeConfig(depth=2), lamps, tiny_backbone), lamps, folds=3, cache=None), 1)


def test_a_function_has_its_answer_for_an_opinion(lamps, tiny_backbone):
    def probabilities(pictures):
        red = np.array(
            [np.asarray(picture)[..., 0].mean() > np.asarray(picture)[..., 2].mean() for picture in pictures]
        )
        return np.where(np.stack([red, ~red], axis=1), 0.8, 0.2)

    model = model_from(probabilities, ("red", "blue"), name="redness")
    found = audit(model, lamps, backbone=tiny_backbone, folds=3)
    check(found, 1)
    assert found.name == "redness"
    with pytest.raises(InputError, match="must come from somewhere; received redness"):
        audit(model, lamps)
    with pytest.raises(InputError, match="class names of the data, red, blue; received a, b"):
        audit(model_from(probabilities, ("a", "b")), lamps, backbone=tiny_backbone, folds=3)


def test_zero_shot_is_compared_with_nobody_and_pixels_are_measured_where_nothing_is_labelled(lamps, tiny_backbone):
    bare = replace(lamps, test=tuple(replace(item, factors={}) for item in lamps.test), train=())
    found = causalvlm.audit(cdc.fit(bare, cdc.ZeroShotConfig(), tiny_backbone), bare, folds=3, cache=None)
    assert found.compared == {}
    assert found.leaks["brightness"].source == "pixels"
    assert found.second_stage.verdict == "cannot tell"
    assert "no data can show" in found.second_stage.reason
    assert "what it changed is not said" in found.summary[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"set_factors": {"mood": str}}, "at least two different levels; received none for 'mood'"),
        ({"levels": {"mood": ("calm", "angry")}}, "factors that are set"),
        ({"set_factors": {"light": lambda _, level: level}}, "to a PIL picture; received str"),
    ],
)  # fmt: skip
def test_factors_that_cannot_be_set_are_named(arguments, message, lamps, tiny_backbone):
    adapter = cdc.fit(lamps, cdc.ZeroShotConfig(), tiny_backbone)
    with pytest.raises(InputError, match=message):
        audit(adapter, lamps, folds=3, cache=None, **arguments)


def test_files_that_cannot_be_read_keep_their_places(lamps, tiny_backbone, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    first = replace(lamps.test[0], path=broken)
    data = replace(lamps, test=(first, *lamps.test[1:]))
    seen = []

    def setter(place, level):  # noqa: ARG001
        seen.append(place)
        return Image.open(data.test[place].path)

    adapter = cdc.fit(data, cdc.ZeroShotConfig(), tiny_backbone)
    found = audit(adapter, data, set_factors={"light": setter}, folds=3, cache=None)
    assert found.n == 79
    assert set(seen) == set(range(1, 80))
    assert found.unreadable[0][0] == str(broken)
