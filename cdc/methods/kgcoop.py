"""KgCoOp: CoOp held near the hand-crafted prompts (Yao et al., Knowledge-guided Context Optimization, CVPR 2023)."""

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
from cdc.prompts.templates import encode_template, start_contexts
from cdc.prompts.text_encoding import encode_prompts, encode_templates, tokenize_prompts


@dataclass(frozen=True)
class KgCoOpConfig:
    """Knowledge-guided context optimisation (Yao et al., CVPR 2023): CoOp plus a pull towards the hand-crafted prompts.

    Attributes:
        context_tokens: d, learnable tokens before the class name.
        knowledge_weight: lambda, weight of the distance to the hand-crafted class features.
    """

    name: ClassVar[str] = "kgcoop"
    published: ClassVar[TrainingConfig] = TrainingConfig(
        epochs=100, batch_size=128, learning_rate=0.002, drop_last=True
    )

    context_tokens: int = 4
    knowledge_weight: float = 8.0

    def __post_init__(self) -> None:
        require_at_least("context_tokens", self.context_tokens, 1)
        require_at_least("knowledge_weight", self.knowledge_weight, 0)


@final
class KgCoOp(nn.Module, Trainable):
    """One learnable context whose class features stay near those of the hand-crafted template."""

    trains_on = CachedViews(augmentation="crop-flip")

    def __init__(self, backbone: Backbone, config: KgCoOpConfig, task: Task) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self._prompts = tokenize_prompts(backbone, task.class_names, context_tokens=config.context_tokens)
        self._knowledge = encode_template(backbone, task.template, task.class_names)
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
        """Cross-entropy plus lambda times the mean of 1 - cosine, which is half the squared distance of eq. 5.

        The published code has 1 - cosine where the paper has the squared distance; lambda = 8 belongs to the code.
        """
        del progress  # constant over training
        (text,) = encode_prompts(self.backbone, self.contexts, self._prompts)
        forgotten = 1 - functional.cosine_similarity(text, self._knowledge, dim=-1).mean()
        fit = functional.cross_entropy(self.backbone.logits(images[:, 0], text), labels)
        return fit + self.config.knowledge_weight * forgotten
