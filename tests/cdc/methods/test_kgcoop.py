"""KgCoOp is its paper's loss, restated on open_clip's own modules."""

import pytest
import torch
from torch.nn import functional

import cdc
from tests.cdc.methods.restated import BASE, NEW, TEMPLATE, agree, make, moved, some_features, text_features, words


def test_it_starts_from_the_published_words(parts):
    backbone, model, tokenizer = parts
    method = make(cdc.KgCoOpConfig(), backbone)
    torch.testing.assert_close(method.contexts[0].detach(), words(model, tokenizer, "a photo of a", 4))
    assert method.trains_on == cdc.CachedViews(augmentation="crop-flip")


@pytest.mark.parametrize("names", [BASE, NEW])
def test_logits_equal_the_restatement(names, parts):
    backbone, model, tokenizer = parts
    method = moved(make(cdc.KgCoOpConfig(), backbone))
    images, _ = some_features(backbone.dim)
    expected = model.logit_scale.exp() * images @ text_features(model, tokenizer, method.contexts[0], names).T
    found = method.classifier(names)(images).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 8.0])
def test_steps_equal_the_restatement(weight, parts):
    backbone, model, tokenizer = parts
    images, labels = some_features(backbone.dim)
    hand_crafted = tokenizer([TEMPLATE.format(name) for name in BASE])
    knowledge = functional.normalize(model.encode_text(hand_crafted), dim=-1)

    def by_hand(parameters, images, labels):
        text = text_features(model, tokenizer, parameters["contexts"][0], BASE)
        apart = sum(1 - own @ known for own, known in zip(text, knowledge, strict=True)) / len(BASE)
        return functional.cross_entropy(model.logit_scale.exp() * images[:, 0] @ text.T, labels) + weight * apart

    method = moved(make(cdc.KgCoOpConfig(knowledge_weight=weight), backbone))
    agree(method, by_hand, images[:, None], labels)


def test_the_pull_holds_the_class_features_near_the_hand_crafted_ones(tiny_backbone):
    from cdc.training.loop import train
    from tests.cdc.training.test_loop import make_shots

    def distance(weight: float) -> float:
        method = make(cdc.KgCoOpConfig(knowledge_weight=weight), tiny_backbone)
        shots = make_shots(tiny_backbone, templates=1)
        train(method, shots, cdc.TrainingConfig(epochs=20, batch_size=8, learning_rate=0.02))
        known = tiny_backbone.encode_texts([TEMPLATE.format(name) for name in BASE])
        return float(1 - (method.classifier(BASE).text * known).sum(-1).mean())

    assert distance(8.0) < distance(1.0) < distance(0.0)


@pytest.mark.parametrize("setting", [{"context_tokens": 0}, {"knowledge_weight": -1.0}])
def test_wrong_settings_are_named(setting):
    with pytest.raises(cdc.InputError, match=f"{next(iter(setting))} must be at least"):
        cdc.KgCoOpConfig(**setting)
