"""CoOp: context optimisation (Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from cdc.backbones.backbone import Backbone
from cdc.errors import require_at_least
from cdc.methods.method import CachedViews, CosineClassifier, Task, Trainable
from cdc.methods.schedule import TrainingConfig
from cdc.prompts.templates import start_contexts
from cdc.prompts.text_encoding import encode_prompts, encode_templates, tokenize_prompts


@dataclass(frozen=True)
class CoOpConfig:
    """Context optimisation (Zhou et al., IJCV 2022): one learnable template, cross-entropy.

    Base-to-new was published with 200 epochs, on ImageNet with 50; `published` has the 50.

    Attributes:
        context_tokens: d, learnable tokens before the class name.
    """

    name: ClassVar[str] = "coop"
    published: ClassVar[TrainingConfig] = TrainingConfig(epochs=50, batch_size=32, learning_rate=0.002, drop_last=True)

    context_tokens: int = 4

    def __post_init__(self) -> None:
        require_at_least("context_tokens", self.context_tokens, 1)


@final
class CoOp(nn.Module, Trainable):
    """One learnable context before the class name, trained by cross-entropy of scaled cosines."""

    trains_on = CachedViews(augmentation="crop-flip")

    def __init__(self, backbone: Backbone, config: CoOpConfig, task: Task) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self._prompts = tokenize_prompts(backbone, task.class_names, context_tokens=config.context_tokens)
        self.contexts = nn.Parameter(
            start_contexts(backbone, templates=1, context_tokens=config.context_tokens, seed=task.seed)
        )

    @torch.no_grad()
    def classifier(self, class_names: Sequence[str]) -> CosineClassifier:
        """Scaled cosines with the learned prompts of `class_names`."""
        (text,) = encode_templates(self.backbone, self.contexts, class_names)
        return CosineClassifier(self.backbone, tuple(class_names), text)

    def loss(
        self, images: Float[Tensor, "batch templates dim"], labels: Int[Tensor, " batch"], *, progress: float
    ) -> Float[Tensor, ""]:
        """Cross-entropy of scaled cosines."""
        del progress  # constant over training
        (text,) = encode_prompts(self.backbone, self.contexts, self._prompts)
        return functional.cross_entropy(self.backbone.logits(images[:, 0], text), labels)
