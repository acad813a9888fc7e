"""CoCoOp is its paper's loop over images, restated on open_clip's own modules, without the loop."""

import pytest
import torch
from torch.nn import functional

import cdc
from cdc.methods import cocoop
from tests.cdc.methods.restated import BASE, NEW, agree, make, moved, some_features, text_features, words


def logits_by_hand(model, tokenizer, parameters, images, names):
    """One pass of the text tower over all classes for every image (section 3.2)."""
    rows = []
    for image in images:
        hidden = functional.relu(parameters["meta_net.0.weight"] @ image + parameters["meta_net.0.bias"])
        shift = parameters["meta_net.2.weight"] @ hidden + parameters["meta_net.2.bias"]
        context = torch.stack([token + shift for token in parameters["contexts"][0]])
        rows.append(model.logit_scale.exp() * text_features(model, tokenizer, context, names) @ image)
    return torch.stack(rows)


def test_it_starts_from_the_published_words_and_torch_s_linear_layers(parts):
    backbone, model, tokenizer = parts
    before = torch.get_rng_state()
    method = make(cdc.CoCoOpConfig(), backbone)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(method.contexts[0].detach(), words(model, tokenizer, "a photo of a", 4))
    first, _, second = method.meta_net
    assert first.weight.shape == (max(1, backbone.dim // 16), backbone.dim)
    assert second.weight.shape == (backbone.text.width, first.out_features)
    for layer in (first, second):
        reach = layer.in_features**-0.5
        assert layer.weight.abs().max() <= reach
        assert float(layer.weight.detach().std()) == pytest.approx(reach / 3**0.5, rel=0.35)
    again, other = make(cdc.CoCoOpConfig(), backbone), make(cdc.CoCoOpConfig(), backbone, seed=2)
    assert torch.equal(again.meta_net[0].weight, first.weight)
    assert not torch.equal(other.meta_net[0].weight, first.weight)


def test_the_hidden_layer_is_never_empty(parts):
    backbone, *_ = parts
    assert make(cdc.CoCoOpConfig(reduction=1000), backbone).meta_net[0].out_features == 1


@pytest.mark.parametrize("names", [BASE, NEW])
@pytest.mark.parametrize("chunk", [1, 256 << 20])
def test_logits_equal_the_restatement_whatever_the_chunks(names, chunk, parts, monkeypatch):
    backbone, model, tokenizer = parts
    monkeypatch.setattr(cocoop, "CHUNK_BYTES", chunk)
    method = moved(make(cdc.CoCoOpConfig(reduction=6), backbone))
    images, _ = some_features(backbone.dim)
    expected = logits_by_hand(model, tokenizer, dict(method.named_parameters()), images, names)
    found = method.classifier(names)(images).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_steps_equal_the_restatement(parts):
    backbone, model, tokenizer = parts
    images, labels = some_features(backbone.dim)

    def by_hand(parameters, images, labels):
        return functional.cross_entropy(logits_by_hand(model, tokenizer, parameters, images[:, 0], BASE), labels)

    agree(moved(make(cdc.CoCoOpConfig(reduction=6), backbone)), by_hand, images[:, None], labels)


@pytest.mark.parametrize("kind", ["siglip", "bert", "resnet"])
def test_every_text_tower_takes_one_context_per_image(kind, model_folder):
    backbone = cdc.load_backbone(str(model_folder(kind)))
    method = moved(make(cdc.CoCoOpConfig(reduction=6), backbone))
    images, labels = some_features(backbone.dim)
    together = method.classifier(NEW)(images).logits
    alone = torch.cat([method.classifier(NEW)(image[None]).logits for image in images])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    method.loss(images[:, None], labels, progress=0.0).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in method.parameters())


def test_classifying_keeps_to_its_memory(parts, monkeypatch):
    """The largest tensor of a chunk grows with the budget, not with the number of images."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        found = 0

        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            made = operation(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor):
                self.found = max(self.found, made.numel() * made.element_size())
            return made

    backbone, *_ = parts
    monkeypatch.setattr(cocoop, "CHUNK_BYTES", 1 << 20)
    classifier = make(cdc.CoCoOpConfig(), backbone).classifier(BASE)
    images, _ = some_features(backbone.dim, rows=500)
    with Largest() as watched:
        classifier(images)
    assert watched.found < 1 << 20


def test_a_classifier_stays_as_it_was_made(tiny_backbone):
    method = make(cdc.CoCoOpConfig(), tiny_backbone)
    images, _ = some_features(tiny_backbone.dim)
    classifier = method.classifier(NEW)
    before = classifier(images).logits
    moved(method)
    assert torch.equal(classifier(images).logits, before)
    assert not torch.equal(method.classifier(NEW)(images).logits, before)


@pytest.mark.parametrize("setting", ["context_tokens", "reduction"])
def test_wrong_settings_are_named(setting):
    with pytest.raises(cdc.InputError, match=f"{setting} must be at least 1; received 0"):
        cdc.CoCoOpConfig(**{setting: 0})
