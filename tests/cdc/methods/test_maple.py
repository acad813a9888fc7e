"""MaPLe is its paper's two towers, restated on open_clip's own modules, and starts as the published code does."""

import pytest
import torch
from torch.nn import functional

import cdc
from tests.cdc.methods.restated import (
    BASE,
    NEW,
    agree,
    image_features,
    make,
    moved,
    some_pixels,
    text_features,
    words,
)


def logits_by_hand(model, tokenizer, parameters, images, names, rest):
    text_prompts = [parameters["contexts"][0], *parameters["deeper"][:, 0]]
    deep = [
        prompt @ parameters[f"coupling.{layer}.weight"].T + parameters[f"coupling.{layer}.bias"]
        for layer, prompt in enumerate(text_prompts)
    ]
    text = text_features(model, tokenizer, text_prompts[0], names, deeper=text_prompts[1:], rest=rest)
    return model.logit_scale.exp() * image_features(model.visual, images, deep) @ text.T


CASES = [(1, 2, "of a "), (2, 2, "of a "), (9, 2, "of a "), (2, 1, "photo of a "), (2, 4, ""), (2, 6, "")]


@pytest.mark.parametrize("names", [BASE, NEW])
@pytest.mark.parametrize(("depth", "tokens", "rest"), CASES)
def test_logits_equal_the_restatement(names, depth, tokens, rest, parts):
    backbone, model, tokenizer = parts
    method = moved(make(cdc.MaPLeConfig(context_tokens=tokens, depth=depth), backbone))
    images, _ = some_pixels()
    expected = logits_by_hand(model, tokenizer, dict(method.named_parameters()), images, names, rest)
    classifier = method.classifier(names)
    torch.testing.assert_close(classifier(images).logits, expected, atol=1e-5, rtol=1e-5)
    assert (classifier.reads, classifier.class_names) == ("pixels", names)


@pytest.mark.parametrize("depth", [1, 9])
def test_steps_equal_the_restatement(depth, parts):
    backbone, model, tokenizer = parts
    images, labels = some_pixels()

    def by_hand(parameters, images, labels):
        return functional.cross_entropy(logits_by_hand(model, tokenizer, parameters, images, BASE, "of a "), labels)

    agree(moved(make(cdc.MaPLeConfig(depth=depth), backbone)), by_hand, images, labels)


def test_it_starts_as_the_published_code_does(parts):
    backbone, model, tokenizer = parts
    before = torch.get_rng_state()
    method = make(cdc.MaPLeConfig(), backbone)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(method.contexts[0].detach(), words(model, tokenizer, "a photo of a", 2))
    assert float(method.deeper.detach().std()) == pytest.approx(0.02, rel=0.3)
    assert method.trains_on == cdc.Pixels(augmentation="crop-flip")
    deep = make(cdc.MaPLeConfig(), cdc.load_backbone("picto"))
    first, *further = (layer.weight for layer in deep.coupling)
    assert all(torch.equal(weight, further[0]) for weight in further)
    assert not torch.equal(first, further[0])


def test_depth_is_cut_to_what_both_towers_have(parts):
    backbone, *_ = parts
    method = make(cdc.MaPLeConfig(depth=9), backbone)
    assert method.config == cdc.MaPLeConfig(depth=2)
    assert len(method.image_prompts()) == 2
    assert make(cdc.MaPLeConfig(depth=9), cdc.load_backbone("picto")).config.depth == 3


@pytest.mark.parametrize("setting", ["context_tokens", "depth"])
def test_wrong_settings_are_named(setting):
    with pytest.raises(cdc.InputError, match=f"{setting} must be at least 1; received 0"):
        cdc.MaPLeConfig(**{setting: 0})
