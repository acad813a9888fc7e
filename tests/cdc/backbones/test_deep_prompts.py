"""Deep prompts equal a slow, obvious restatement on open_clip's own blocks, leave the model as it was, and are refused
where a tower cannot take them."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import cdc

DEPTH, TOKENS = 2, 3


def prompts(width: int, *shape: int) -> Tensor:
    return 0.5 * torch.randn(*shape, width, generator=torch.Generator().manual_seed(7))


def pixels(size: int) -> Tensor:
    return torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(3))


def image_features_by_hand(visual: Any, images: Tensor, deep: Tensor) -> Tensor:
    """MaPLe's image tower: tokens appended before the first norm, replaced before each further prompted block."""
    states = visual.conv1(images).flatten(2).transpose(1, 2)
    own = visual.class_embedding.expand(len(states), 1, -1)
    states = torch.cat([own, states], dim=1) + visual.positional_embedding
    states = visual.ln_pre(torch.cat([states, deep[0].expand(len(states), -1, -1)], dim=1))
    for layer, block in enumerate(visual.transformer.resblocks):
        if 0 < layer < len(deep):
            states = torch.cat([states[:, : -deep.shape[1]], deep[layer].expand(len(states), -1, -1)], dim=1)
        states = block(states)
    pooled, _ = visual._pool(states[:, : -deep.shape[1]])
    return functional.normalize(pooled @ visual.proj, dim=-1)


@pytest.mark.parametrize("kind", ["openai", "quickgelu", "coca", "siglip", "bert"])
@pytest.mark.parametrize("depth", [1, DEPTH])
def test_image_prompts_equal_the_restatement(kind, depth, own_model, model_folder):
    backbone = cdc.load_backbone(str(model_folder(kind)))
    model, _ = own_model(kind)
    deep = prompts(backbone.image_prompts.width, depth, TOKENS)
    mine, theirs = deep.clone().requires_grad_(), deep.clone().requires_grad_()
    ours = backbone.embed_images(pixels(32), mine)
    expected = image_features_by_hand(model.visual, pixels(32), theirs)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    ours.square().cumsum(-1).sum().backward()
    expected.square().cumsum(-1).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-4, rtol=1e-4)


def test_the_image_tower_is_left_as_it_was(model_folder):
    backbone = cdc.load_backbone(str(model_folder("openai")))
    before = backbone.encode_images(pixels(32))
    backbone.embed_images(pixels(32), prompts(backbone.image_prompts.width, DEPTH, TOKENS))
    with pytest.raises(RuntimeError):
        backbone.embed_images(pixels(32)[:, :, :5], prompts(backbone.image_prompts.width, DEPTH, TOKENS))
    assert torch.equal(backbone.encode_images(pixels(32)), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in backbone.image_tower.modules())


def text_features_by_hand(model: Any, tokenizer: Any, contexts: Tensor, deeper: Tensor, names: list[str]) -> Tensor:
    """Every prompt at full length, the context's places replaced before each further prompted block."""
    tokens = contexts.shape[1]
    ids = tokenizer([f"{'X ' * tokens}{name}." for name in names])
    rows = []
    for template in range(len(contexts)):
        states = model.token_embedding(ids)
        states[:, 1 : 1 + tokens] = contexts[template]
        states = states + model.positional_embedding
        for layer, block in enumerate(model.transformer.resblocks):
            if 0 < layer <= len(deeper):
                states = states.clone()
                states[:, 1 : 1 + tokens] = deeper[layer - 1, template]
            states = block(states, attn_mask=model.attn_mask)
        states = model.ln_final(states)
        rows.append(states[torch.arange(len(ids)), ids.argmax(-1)] @ model.text_projection)
    return functional.normalize(torch.stack(rows), dim=-1)


@pytest.mark.parametrize("layers", [1, 2])
def test_deep_text_prompts_equal_the_restatement(layers, own_model, model_folder):
    backbone = cdc.load_backbone(str(model_folder("openai")))
    model, tokenizer = own_model("openai")
    names = ["dog", "polar bear", "cat"]
    contexts, deeper = prompts(backbone.text.width, 2, 4), prompts(backbone.text.width, layers, 2, 4)
    mine, theirs = (
        [value.clone().requires_grad_() for value in (contexts, deeper)] for _ in range(2)
    )  # fmt: skip
    tokenized = cdc.tokenize_prompts(backbone, names, context_tokens=4)
    ours = cdc.encode_prompts(backbone, mine[0], tokenized, deeper=mine[1])
    expected = text_features_by_hand(model, tokenizer, *theirs, names)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    ours.square().cumsum(-1).sum().backward()
    expected.square().cumsum(-1).sum().backward()
    for own, hand in zip(mine, theirs, strict=True):
        torch.testing.assert_close(own.grad, hand.grad, atol=1e-4, rtol=1e-4)
    shallow = cdc.encode_prompts(backbone, contexts, tokenized)
    assert (shallow - ours).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["resnet", "timm"])
def test_other_image_towers_say_so(kind, model_folder):
    backbone = cdc.load_backbone(str(model_folder(kind)))
    with pytest.raises(cdc.InputError, match=r"need a vision transformer of open_clip; .* image tower is a \w+\. Use"):
        backbone.embed_images(pixels(64), torch.zeros(1, 2, 32))


@pytest.mark.parametrize("kind", ["bert", "siglip", "coca"])
def test_other_text_towers_say_so(kind, model_folder):
    backbone = cdc.load_backbone(str(model_folder(kind)))
    tokenized = cdc.tokenize_prompts(backbone, ["dog"], context_tokens=2)
    contexts = torch.zeros(1, 2, backbone.text.width)
    with pytest.raises(cdc.InputError, match=r"need a causal transformer of open_clip; .* is run as \w+\. Use"):
        cdc.encode_prompts(backbone, contexts, tokenized, deeper=contexts[None])


def test_wrong_shapes_are_named(model_folder):
    backbone = cdc.load_backbone(str(model_folder("openai")))
    with pytest.raises(cdc.InputError, match=r"\[depth, tokens, 32\] with a depth of at most 2; received \[3, 1, 32\]"):
        backbone.embed_images(pixels(32), torch.zeros(3, 1, 32))
    tokenized = cdc.tokenize_prompts(backbone, ["dog"], context_tokens=2)
    contexts = torch.zeros(1, 2, 32)
    with pytest.raises(cdc.InputError, match=r"fewer layers than the 3 of the text tower; received \[3, 1, 2, 32\]"):
        cdc.encode_prompts(backbone, contexts, tokenized, deeper=torch.zeros(3, 1, 2, 32))


def test_the_logit_bias_is_carried(tmp_path, model_folder):
    import json

    from safetensors.torch import load_file, save_file

    source = model_folder("openai")
    config = json.loads((source / "open_clip_config.json").read_text())
    config["model_cfg"]["init_logit_bias"] = -10.0
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    weights = load_file(source / "open_clip_model.safetensors") | {"logit_bias": torch.tensor(-7.5)}
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    with_bias, without = cdc.load_backbone(str(tmp_path)), cdc.load_backbone(str(source))
    images, text = with_bias.encode_images(pixels(32)), with_bias.encode_texts(["a dog.", "a cat."])
    torch.testing.assert_close(with_bias.logits(images, text), without.logits(images, text) - 7.5)
    plain = cdc.Prediction.from_logits(without.logits(images, text))
    torch.testing.assert_close(cdc.Prediction.from_logits(with_bias.logits(images, text)).belief, plain.belief)
    raw = cdc.EvidenceFunction("softplus", centre="none")
    assert float(raw(with_bias.logits(images, text)).sum()) < float(raw(without.logits(images, text)).sum())
