"""Learnable tokens in open_clip's own vision transformer, through forward hooks: no copy of the model, no change to it.

The second file that knows open_clip's internals; `frozen_clip` is the first and holds the text towers.
"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import final

import torch
from jaxtyping import Float
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn


@final
class VisionPrompts:
    """Deep prompts of a vision transformer (Khattak et al., MaPLe, CVPR 2023, section 3.2).

    The first prompt is appended to class token and patches before the first layer norm; each further one replaces the
    states of its predecessor before the next block. After the last prompted block they stay in the sequence, and are
    cut off before the features are pooled.

    Example:
        >>> import cdc
        >>> backbone = cdc.load_backbone("picto")
        >>> prompts = torch.zeros(2, 3, backbone.image_prompts.width)
        >>> backbone.embed_images(torch.zeros(1, 3, 64, 64), prompts).shape
        torch.Size([1, 192])
    """

    def __init__(self, tower: VisionTransformer) -> None:
        self._tower = tower
        self.width = tower.positional_embedding.shape[-1]
        self.layers = len(tower.transformer.resblocks)

    def __call__(
        self, pixels: Float[Tensor, "batch 3 _ _"], prompts: Float[Tensor, "_ tokens dim"]
    ) -> Float[Tensor, "batch _"]:
        """Embeddings of pictures with `prompts` beside their patches."""
        with self._hooked(prompts):
            return self._tower(pixels)

    @contextmanager
    def _hooked(self, prompts: Float[Tensor, "_ tokens dim"]) -> Generator[None]:
        tokens = prompts.shape[1]
        first, *further = prompts

        def append(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            states, *others = inputs
            return (_with_last(states, first), *others)

        def cut(_module: nn.Module, _inputs: object, states: Tensor) -> Tensor:
            return states[:, :-tokens]

        with ExitStack() as hooks:
            hooks.callback(self._tower.ln_pre.register_forward_pre_hook(append).remove)
            for block, prompt in zip(self._tower.transformer.resblocks[1:], further, strict=False):

                def replace(
                    _module: nn.Module, inputs: tuple[Tensor, ...], prompt: Tensor = prompt
                ) -> tuple[Tensor, ...]:
                    states, *others = inputs
                    return (_with_last(states[:, :-tokens], prompt), *others)

                hooks.callback(block.register_forward_pre_hook(replace).remove)
            hooks.callback(self._tower.transformer.register_forward_hook(cut).remove)
            yield


def image_prompts(tower: nn.Module) -> VisionPrompts | None:
    """How learnable tokens enter `tower`: None unless it is open_clip's own vision transformer.

    Example:
        >>> image_prompts(nn.Identity()) is None
        True
    """
    return VisionPrompts(tower) if isinstance(tower, VisionTransformer) else None


def _with_last(
    states: Float[Tensor, "batch _ dim"], prompt: Float[Tensor, "tokens dim"]
) -> Float[Tensor, "batch _ dim"]:
    return torch.cat([states, prompt.to(states.dtype).expand(states.shape[0], -1, -1)], dim=1)
