"""Concepts in words: Picto's true factors are found, disagreeing wordings are told, formulas are the published."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import adjusted_rand_score

import cdc
from causalvlm.errors import InputError
from causalvlm.probes.concepts import AGREEING, RELIABLE, Concept, score_concept, score_concepts
from causalvlm.probes.photo_concepts import CONCEPTS
from causalvlm.worlds.picto.scm import PictoWorld

COLOURS = ("yellow", "green", "blue", "pink")
BACKGROUND = Concept(
    "background colour",
    {
        colour: (
            f"a dog on a {colour} background.",
            f"a picture of a cat on a {colour} background.",
            f"a photo of a cow on a {colour} background.",
            f"an image of a fox on a {colour} background.",
        )
        for colour in COLOURS
    },
)


@pytest.fixture(scope="module")
def backbone():
    return cdc.load_backbone("picto")


@pytest.fixture(scope="module")
def pictures(backbone):
    """Embeddings of mammals on four backgrounds, and which."""
    world, rng = PictoWorld(("mammals",), strength=0.0), np.random.default_rng(0)
    samples = [world.sample(60, do={"background": "plain", "background_colour": name}, rng=rng) for name in COLOURS]
    pixels = torch.cat([sample.render(size=64) for sample in samples])
    to_picture = [Image.fromarray(one.permute(1, 2, 0).numpy()) for one in pixels]
    features = backbone.encode_images(torch.stack([backbone.preprocess(one) for one in to_picture]))
    return features.numpy(), np.repeat(COLOURS, 60)


def test_a_factor_that_the_model_knows_is_found_without_a_label(backbone, pictures):
    features, truth = pictures
    found = score_concept(features, BACKGROUND, backbone)
    assert found.reason == ""
    assert adjusted_rand_score(truth, found.levels) > 0.7
    assert np.mean(found.levels == truth) > 0.85
    for level, rows in found.examples.items():
        assert (truth[list(rows)] == level).all()
    assert found.reliability > RELIABLE
    assert found.kappa > AGREEING
    record = json.loads(json.dumps(found.to_record(), allow_nan=False))
    assert record["prompts"]["pink"] == list(BACKGROUND.levels["pink"])
    assert "reliability 0.9" in found.about


def test_scores_are_cosines_to_the_mean_text_feature_centred_over_levels(backbone, pictures):
    features, _ = pictures
    means = np.stack([backbone.encode_texts(prompts).numpy().mean(axis=0) for prompts in BACKGROUND.levels.values()])
    cosines = np.array([[row @ mean / np.linalg.norm(mean) for mean in means] for row in features])
    found = score_concept(3 * features, BACKGROUND, backbone)  # of any length
    np.testing.assert_allclose(found.scores, cosines - cosines.mean(axis=1, keepdims=True), atol=1e-6)


def test_reliability_of_two_levels_is_the_published_formula(backbone, pictures):
    """Three ways to halve four prompts; two levels differ in one number, whose plain correlations are stepped up."""
    features, _ = pictures
    concept = Concept("tint", {name: BACKGROUND.levels[name] for name in ("yellow", "blue")})
    texts = {name: backbone.encode_texts(prompts).numpy() for name, prompts in concept.levels.items()}

    def contrast(places):
        warm, cold = (texts[name][places].mean(axis=0) for name in ("yellow", "blue"))
        return features @ (warm / np.linalg.norm(warm) - cold / np.linalg.norm(cold))

    halves = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))
    mean = np.mean([np.corrcoef(contrast(list(a)), contrast(list(b)))[0, 1] for a, b in halves])
    found = score_concept(features, concept, backbone)
    assert found.reliability == pytest.approx(2 * mean / (1 + mean), abs=1e-4)
    signs = [(contrast(list(a)) > 0, contrast(list(b)) > 0) for a, b in halves]
    agreed = [np.mean(a == b) for a, b in signs]
    chance = [a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()) for a, b in signs]
    kappa = np.mean([(p - e) / (1 - e) for p, e in zip(agreed, chance, strict=True)])
    assert found.kappa == pytest.approx(kappa, abs=1e-6)


def test_wordings_that_do_not_say_the_same_are_left_out(backbone, pictures):
    features, _ = pictures
    mixed = {
        "one": ("a blue background", "a pink sheep", "a silhouette of a dog", "a dotted cat"),
        "other": ("a grey fox", "a line drawing of a cow", "a green background", "a warm horse"),
    }
    found = score_concept(features, Concept("nothing", mixed), backbone)
    assert found.reliability < RELIABLE
    assert "its scores depend on the wording" in found.reason


def test_texts_that_are_one_and_the_same_to_the_model_are_left_out(backbone, pictures):
    features, _ = pictures
    same = ("a dog", "a cat", "a cow", "a fox")
    found = score_concept(features, Concept("nothing", {"one": same, "other": same}), backbone)
    assert found.reason == "the model does not tell its texts apart"
    assert (found.reliability, found.kappa) == (0.0, 0.0)


def test_reliability_is_not_validity(backbone):
    """Two colours are worded reliably even where the "images" are noise: what the docstring warns of."""
    noise = np.random.default_rng(1).normal(size=(500, backbone.dim))
    assert score_concept(noise, BACKGROUND, backbone).reason == ""


def test_the_list_for_photographs_is_well_formed_and_read_by_any_backbone(backbone, pictures):
    names = [concept.name for concept in CONCEPTS]
    assert len(set(names)) == len(names)
    for concept in CONCEPTS:
        assert len(set(concept.prompts)) == len(concept.prompts)
    found = score_concepts(pictures[0][:40], backbone, CONCEPTS)
    assert [one.concept.name for one in found] == names
    assert sum(one.reason != "" for one in found) >= len(found) / 2  # Picto knows no photographs


def test_mistakes_are_named(backbone, pictures):
    with pytest.raises(InputError, match="'light' has 4 for 'day'\\. Word"):
        Concept("light", {"day": ("by day", "daytime", "daylight", "sunlit")})
    with pytest.raises(InputError, match="192 numbers an image; received 5"):
        score_concept(np.ones((3, 5)), BACKGROUND, backbone)
    long = Concept("long", dict.fromkeys(("one", "other"), ("dog " * 500,) * 4))
    with pytest.raises(InputError, match=r"in 'long'\. Shorten it"):
        score_concept(pictures[0], long, backbone)
