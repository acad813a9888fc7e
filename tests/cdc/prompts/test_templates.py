"""Where learnable templates start, for any number of templates and tokens."""

import pytest
import torch

import cdc
from cdc.prompts.templates import PHRASES, fill_template, start_contexts
from cdc.prompts.text_encoding import initial_contexts


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
