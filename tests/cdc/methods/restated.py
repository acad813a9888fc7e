"""The papers' forward passes, slow and obvious, on open_clip's own modules, and how a method is held against them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import cdc

BASE = ("dog", "polar bear", "cat", "house")
NEW = ("ice cream", "horse", "tree")
TEMPLATE = "a drawing of a {}."
Parameters = dict[str, Tensor]
Loss = Callable[[Parameters, Tensor, Tensor], Tensor]


def text_features(
    model: Any, tokenizer: Any, context: Tensor, names: Sequence[str], *, deeper: Sequence[Tensor] = (), rest: str = ""
) -> Tensor:
    """Every prompt "X X {rest}{name}." at full length; the context's places hold `context`, then each of `deeper`."""
    here = slice(1, 1 + len(context))
    ids = tokenizer([f"{'X ' * len(context)}{rest}{name}." for name in names])
    states = model.token_embedding(ids)
    states[:, here] = context
    states = states + model.positional_embedding
    for layer, block in enumerate(model.transformer.resblocks):
        if 0 < layer <= len(deeper):
            states = states.clone()
            states[:, here] = deeper[layer - 1]
        states = block(states, attn_mask=model.attn_mask)
    states = model.ln_final(states)[torch.arange(len(ids)), ids.argmax(-1)]
    return functional.normalize(states @ model.text_projection, dim=-1)


def image_features(visual: Any, images: Tensor, deep: Sequence[Tensor]) -> Tensor:
    """Tokens appended before the first norm, and replaced before each further prompted block."""
    states = visual.conv1(images).flatten(2).transpose(1, 2)
    states = torch.cat([visual.class_embedding.expand(len(states), 1, -1), states], dim=1) + visual.positional_embedding
    tokens = deep[0].shape[0]
    states = visual.ln_pre(torch.cat([states, deep[0].expand(len(states), -1, -1)], dim=1))
    for layer, block in enumerate(visual.transformer.resblocks):
        if 0 < layer < len(deep):
            states = torch.cat([states[:, :-tokens], deep[layer].expand(len(states), -1, -1)], dim=1)
        states = block(states)
    return functional.normalize(visual.ln_post(states)[:, 0] @ visual.proj, dim=-1)


def words(model: Any, tokenizer: Any, phrase: str, count: int) -> Tensor:
    """Embeddings of the first words of a phrase, each of which is one token."""
    return model.token_embedding(tokenizer([phrase]))[0, 1 : 1 + count].clone()


def some_features(dim: int, rows: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    features = functional.normalize(torch.randn(rows, dim, generator=generator), dim=-1)
    return features, torch.randint(len(BASE), (rows,), generator=generator)


def some_pixels() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(5, 3, 32, 32, generator=generator), torch.randint(len(BASE), (5,), generator=generator)


def moved(method: Any) -> Any:
    """The method with parameters off their start, so that nothing agrees by being zero."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator).to(parameter)
    return method


def agree(method: Any, by_hand: Loss, images: Tensor, labels: Tensor, *, steps: int = 3) -> None:
    """Loss, gradients of every parameter and the way of a few steps of SGD are those of the restatement."""
    theirs = {name: value.detach().clone().requires_grad_() for name, value in method.named_parameters()}
    mine = torch.optim.SGD(method.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    other = torch.optim.SGD(theirs.values(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    for step in range(steps):
        loss = method.loss(images, labels, progress=0.0)
        expected = by_hand(theirs, images, labels)
        torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
        for optimizer, value in ((mine, loss), (other, expected)):
            optimizer.zero_grad()
            value.backward()
        for name, value in method.named_parameters():
            if value.numel() == 0:  # deep prompts of depth one
                continue
            assert value.grad.abs().max() > 0, name
            if step == 0:
                torch.testing.assert_close(value.grad, theirs[name].grad, atol=1e-4, rtol=1e-4, msg=name)
        mine.step()
        other.step()
    for name, value in method.named_parameters():
        torch.testing.assert_close(value, theirs[name], atol=1e-4, rtol=1e-4, msg=name)


def make(config: Any, backbone: cdc.Backbone, seed: int = 1) -> Any:
    return cdc.find_method(config.name).method(backbone, config, cdc.Task(BASE, TEMPLATE, seed=seed))
