"""Methods with tokens in both towers: which towers they refuse, and that a classifier is a frozen value."""

import pytest
import torch

import cdc
from tests.cdc.methods.restated import NEW, make, moved, some_pixels

pytestmark = pytest.mark.parametrize("config", [cdc.MaPLeConfig(), cdc.PromptSRCConfig()], ids=lambda each: each.name)


@pytest.mark.parametrize("kind", ["resnet", "timm"])
def test_other_image_towers_are_refused_when_it_is_made(config, kind, model_folder):
    with pytest.raises(cdc.InputError, match=r"need a vision transformer of open_clip; .* image tower is a \w+\. Use"):
        make(config, cdc.load_backbone(str(model_folder(kind))))


@pytest.mark.parametrize("kind", ["bert", "siglip", "coca"])
def test_other_text_towers_are_refused_when_it_is_made(config, kind, model_folder):
    with pytest.raises(cdc.InputError, match=r"need a causal transformer of open_clip; .* is run as \w+\. Use"):
        make(config, cdc.load_backbone(str(model_folder(kind))))


def test_a_classifier_stays_as_it_was_made(config, tiny_backbone):
    method = make(config, tiny_backbone)
    images, _ = some_pixels()
    classifier = method.classifier(NEW)
    before = classifier(images).logits
    moved(method)
    assert torch.equal(classifier(images).logits, before)
