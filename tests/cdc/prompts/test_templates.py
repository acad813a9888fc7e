"""Where learnable templates start, for any number of templates and tokens."""

import pytest
import torch

import cdc
from cdc.data.dataset import require_class_names
from cdc.prompts.templates import PHRASES, encode_ensemble, encode_template, fill_template, start_contexts
from cdc.prompts.text_encoding import initial_contexts, tokenize_prompts


def start(backbone: cdc.Backbone, templates: int, tokens: int, seed: int = 0) -> torch.Tensor:
    return start_contexts(backbone, templates=templates, context_tokens=tokens, seed=seed)


def test_four_templates_of_four_tokens_are_the_phrases(tiny_backbone):
    assert torch.equal(start(tiny_backbone, 4, 4), initial_contexts(tiny_backbone, PHRASES))


@pytest.mark.parametrize("tokens", [1, 3, 4, 16])
def test_a_phrase_is_cut_or_preceded_and_its_last_words_stay(tiny_backbone, tokens):
    contexts = start(tiny_backbone, 2, tokens)
    assert contexts.shape == (2, tokens, tiny_backbone.text.width)
    kept = min(tokens, 4)
    assert torch.equal(contexts[:, -kept:], initial_contexts(tiny_backbone, PHRASES[:2])[:, -kept:])


def test_repeated_phrases_differ_and_the_generator_decides_how(tiny_backbone):
    contexts = start(tiny_backbone, 6, 4)
    assert (contexts[4] - contexts[0]).abs().max() > 0
    assert torch.equal(contexts, start(tiny_backbone, 6, 4))
    assert not torch.equal(contexts, start(tiny_backbone, 6, 4, seed=1))


def test_phrases_of_unequal_length_are_no_obstacle(tiny_backbone, monkeypatch):
    monkeypatch.setattr("cdc.prompts.templates.PHRASES", ("a photo", "a rather unusually long phrase"))
    assert start(tiny_backbone, 2, 4).shape == (2, 4, tiny_backbone.text.width)


@pytest.mark.parametrize("template", ["a photo of a dog.", "{} and {}"])
def test_a_template_holds_the_name_once(template):
    with pytest.raises(cdc.InputError, match=r"must contain '\{\}' once; received"):
        fill_template(template, ["dog"])


@pytest.mark.parametrize("names", ["dog", [], None, 7, ["dog", None], ["dog", "_"], ["dog", ""]])
def test_a_class_list_is_a_list_of_names(names):
    with pytest.raises(cdc.InputError, match=r"class_names must be a list|every class name must be a word"):
        require_class_names(names)


def test_every_door_asks_for_a_list(tiny_backbone):
    doors = (
        lambda: cdc.ImageDataset("pets", (), (), (), ()),
        lambda: fill_template("a photo of a {}.", "dog"),
        lambda: encode_template(tiny_backbone, "a photo of a {}.", "dog"),
        lambda: encode_ensemble(tiny_backbone, ["a photo of a {}."], []),
        lambda: tokenize_prompts(tiny_backbone, "dog", context_tokens=4),
    )
    for door in doors:
        with pytest.raises(cdc.InputError, match="class_names must be a list of at least one name"):
            door()


def test_names_that_the_tower_would_cut_are_refused_by_hand_crafted_templates_too(tiny_backbone):
    names = [f"{'very ' * 30}{end}" for end in ("large", "small")]
    for encode in (
        lambda: encode_template(tiny_backbone, "a photo of a {}.", names),
        lambda: encode_ensemble(tiny_backbone, ["a {}.", "the {}."], names),
    ):
        with pytest.raises(cdc.InputError, match=r"must fit the 24 tokens of the text tower; received 'a .*very"):
            encode()


def test_a_name_with_braces_is_a_name():
    assert fill_template("a {}.", ["{0}"]) == ["a {0}."]


def test_more_templates_than_memory_holds_are_refused(tiny_backbone):
    with pytest.raises(cdc.InputError, match="templates must be at most 1000; received 100000"):
        start(tiny_backbone, 100_000, 4)
