"""Zero-shot classification, with one template and with an ensemble, by open_clip's own text encoder."""

import open_clip
import pytest
import torch
from torch.nn import functional

import cdc
from tests.cdc.methods.restated import BASE, NEW, TEMPLATE, make, some_features


def class_feature(model, tokenizer, name, templates):
    features = [model.encode_text(tokenizer([template(name)]))[0] for template in templates]
    return sum(feature / feature.norm() for feature in features)


ONE = [TEMPLATE.format]
SELECT = [*ONE, *open_clip.SIMPLE_IMAGENET_TEMPLATES]


@pytest.mark.parametrize("names", [BASE, NEW])
@pytest.mark.parametrize(("method", "templates"), [("zero-shot", ONE), ("zero-shot:ensemble", SELECT)])
def test_logits_equal_the_restatement(method, templates, names, parts):
    backbone, model, tokenizer = parts
    images, _ = some_features(backbone.dim)
    text = torch.stack([class_feature(model, tokenizer, name, templates) for name in names])
    expected = model.logit_scale.exp() * images @ functional.normalize(text, dim=-1).T
    classifier = make(cdc.method_config(method), backbone).classifier(names)
    torch.testing.assert_close(classifier(images).logits, expected, atol=1e-5, rtol=1e-5)
    assert (classifier.reads, classifier.class_names) == ("features", names)


def test_the_ensemble_is_another_classifier(tiny_backbone):
    plain, ensemble = (make(cdc.ZeroShotConfig(ensemble=on), tiny_backbone).classifier(BASE) for on in (False, True))
    assert not torch.allclose(plain.text, ensemble.text, atol=1e-3)


def test_a_card_from_before_the_ensemble_is_read_as_one_template():
    assert cdc.method_from_record({"name": "zero-shot"}) == cdc.ZeroShotConfig(ensemble=False)
