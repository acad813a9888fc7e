"""MaPLe: deep prompts in both towers, those of the image made from those of the text (Khattak et al., CVPR 2023)."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from cdc.backbones.backbone import Backbone
from cdc.errors import require_at_least
from cdc.methods.layers import seeded_linear
from cdc.methods.method import Pixels, Task, Trainable
from cdc.methods.prompted import PromptedClassifier, random_prompts
from cdc.methods.schedule import TrainingConfig
from cdc.prompts.templates import PHRASES, start_contexts
from cdc.prompts.text_encoding import Prompts, encode_prompts, initial_contexts, tokenize_prompts


@dataclass(frozen=True)
class MaPLeConfig:
    """Multi-modal prompt learning (Khattak et al., CVPR 2023): deep prompts in both towers; cross-entropy.

    As in the published code, the context takes the place of the first words of "a photo of a" and the others stay: with
    two tokens a prompt reads "[v1] [v2] of a dog.", which the published numbers were made with.

    `published` is for base-to-new; across data sets it is 2 epochs, rate 0.0026 and depth 3.

    Attributes:
        context_tokens: learnable tokens in each prompted layer of each tower.
        depth: prompted layers, the embeddings' included. A method made for towers with fewer is as deep as they are,
            and its settings say so.
    """

    name: ClassVar[str] = "maple"
    published: ClassVar[TrainingConfig] = TrainingConfig(epochs=5, batch_size=4, learning_rate=0.0035, drop_last=True)

    context_tokens: int = 2
    depth: int = 9

    def __post_init__(self) -> None:
        require_at_least("context_tokens", self.context_tokens, 1)
        require_at_least("depth", self.depth, 1)


@final
class MaPLe(nn.Module, Trainable):
    """Learnable tokens in the first layers of the text tower, and a linear map of each layer's into the image tower.

    Raises:
        InputError: if a tower takes no deep prompts.
    """

    trains_on = Pixels(augmentation="crop-flip")

    def __init__(self, backbone: Backbone, config: MaPLeConfig, task: Task) -> None:
        super().__init__()
        image, text = backbone.require_image_prompts(), backbone.require_deep_text()
        self.backbone = backbone
        self.config = replace(config, depth=min(config.depth, image.layers, text.layers))
        self._prompts = self._tokenize(task.class_names)
        self.contexts = nn.Parameter(_start(backbone, config.context_tokens, seed=task.seed))
        generator = torch.Generator().manual_seed(task.seed)
        deeper = random_prompts(self.config.depth - 1, *self.contexts.shape, generator=generator)
        self.deeper = nn.Parameter(deeper.to(backbone.device))
        first, further = (seeded_linear(text.width, image.width, generator=generator) for _ in range(2))
        # The published code clones one layer for all deep prompts, so they start equal.
        coupling = [first, *(deepcopy(further) for _ in self.deeper)]
        self.coupling = nn.ModuleList(coupling).to(backbone.device)

    @torch.no_grad()
    def classifier(self, class_names: Sequence[str]) -> PromptedClassifier:
        """Scaled cosines of prompted images with the learned prompts of `class_names`."""
        text = self._text(self._tokenize(class_names))
        return PromptedClassifier(self.backbone, tuple(class_names), text, self.image_prompts())

    def loss(
        self, images: Float[Tensor, "batch 3 _ _"], labels: Int[Tensor, " batch"], *, progress: float
    ) -> Float[Tensor, ""]:
        """Cross-entropy of scaled cosines; gradients run through both towers."""
        del progress  # constant over training
        features = self.backbone.embed_images(images, self.image_prompts())
        return functional.cross_entropy(self.backbone.logits(features, self._text(self._prompts)), labels)

    def image_prompts(self) -> Float[Tensor, "_ tokens dim"]:
        """Tokens of every prompted layer of the image tower: F_k(P_k) (section 3.2.3)."""
        prompts = [self.contexts[0], *self.deeper[:, 0]]
        return torch.stack([couple(prompt) for couple, prompt in zip(self.coupling, prompts, strict=True)])

    def _text(self, prompts: Prompts) -> Float[Tensor, "classes dim"]:
        (text,) = encode_prompts(self.backbone, self.contexts, prompts, deeper=self.deeper)
        return text

    def _tokenize(self, class_names: Sequence[str]) -> Prompts:
        """Class names after the words of the phrase that the context does not replace."""
        kept = PHRASES[0].split()[self.config.context_tokens :]
        names = [" ".join([*kept, name]) for name in class_names]
        return tokenize_prompts(self.backbone, names, context_tokens=self.config.context_tokens)


def _start(backbone: Backbone, context_tokens: int, *, seed: int) -> Float[Tensor, "1 tokens dim"]:
    """The first words of the phrase; as CoOp starts where all of them are replaced."""
    words = PHRASES[0].split()
    if context_tokens >= len(words):
        return start_contexts(backbone, templates=1, context_tokens=context_tokens, seed=seed)
    return initial_contexts(backbone, [" ".join(words[:context_tokens])])[:, :context_tokens]
