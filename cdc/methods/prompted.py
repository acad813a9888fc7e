"""What methods with learnable tokens in both towers share: how deep prompts start, and the classifier they make."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from cdc.backbones.backbone import Backbone
from cdc.beliefs.fusion import Prediction
from cdc.methods.method import Reads

DEEP_SPREAD = 0.02
"""Standard deviation that deep prompts start with (MaPLe's published code)."""


@final
@dataclass(frozen=True, eq=False)
class PromptedClassifier:
    """Softmax of scaled cosines, with learned tokens in the image tower too.

    Attributes:
        backbone: frozen towers.
        class_names: the K classes.
        text: their unit-length features.
        image_prompts: tokens of every prompted layer of the image tower.
    """

    backbone: Backbone
    class_names: tuple[str, ...]
    text: Float[Tensor, "classes dim"]
    image_prompts: Float[Tensor, "_ tokens _"]
    reads: Reads = "pixels"

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "rows 3 _ _"]) -> Prediction:
        """Softmax probabilities as beliefs, no uncertainty."""
        features = self.backbone.embed_images(images, self.image_prompts)
        return Prediction.from_logits(self.backbone.logits(features, self.text))


def random_prompts(*shape: int, generator: torch.Generator) -> Float[Tensor, "..."]:
    """Tokens that deep prompts start from, on the CPU like the generator.

    Example:
        >>> round(float(random_prompts(8, 4, 512, generator=torch.Generator().manual_seed(1)).std()), 3)
        0.02
    """
    return DEEP_SPREAD * torch.randn(*shape, generator=generator)
