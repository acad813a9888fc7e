"""CDC without Dempster-Shafer fusion, for the ablation: templates whose softmax probabilities are averaged."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

import cdc
from cdc.methods.losses import diversity


@dataclass(frozen=True)
class AveragedTemplatesConfig:
    """Templates of CDC with cross-entropy in place of the trusted loss.

    Attributes:
        templates: the templates, their views and the weight of L_de; what they say of evidence plays no part.
    """

    name: ClassVar[str] = "averaged-templates"

    templates: cdc.CDCConfig = field(default_factory=cdc.CDCConfig)


@dataclass(frozen=True, eq=False)
class AveragedClassifier:
    """Mean over the templates of the softmax of their logits."""

    templates: cdc.Classifier
    class_names: tuple[str, ...]
    reads: str = "features"

    def __call__(self, images: Float[Tensor, "rows dim"]) -> cdc.Prediction:
        """Averaged probabilities as beliefs, no uncertainty."""
        logits = self.templates.template_logits(images)
        return replace(cdc.Prediction.from_logits(_average(logits)), energy=-logits.logsumexp(-1).mean(0))


@final
class AveragedTemplates(nn.Module, cdc.Trainable):
    """The templates of a CDC, trained and read without evidence."""

    def __init__(self, backbone: cdc.Backbone, config: AveragedTemplatesConfig, task: cdc.Task) -> None:
        super().__init__()
        self.backbone, self.config = backbone, config
        self.templates = cdc.CDC(backbone, config.templates, task)
        self.trains_on = self.templates.trains_on
        self._prompts = cdc.tokenize_prompts(backbone, task.class_names, context_tokens=config.templates.context_tokens)
        self._anchor = backbone.encode_texts([task.template.format(name) for name in task.class_names])

    @torch.no_grad()
    def classifier(self, class_names: Sequence[str]) -> AveragedClassifier:
        """The templates, for new names part way back to the hand-crafted one, as CDC has them."""
        return AveragedClassifier(self.templates.classifier(class_names), tuple(class_names))

    def loss(
        self, images: Float[Tensor, "batch templates dim"], labels: Int[Tensor, " batch"], *, progress: float
    ) -> Float[Tensor, ""]:
        """Cross-entropy of the averaged probabilities, plus beta L_de."""
        del progress
        text = cdc.encode_prompts(self.backbone, self.templates.contexts, self._prompts)
        logits = _average(self.backbone.logits(images.transpose(0, 1), text))
        return functional.nll_loss(logits, labels) + self.config.templates.weights.diversity * diversity(
            text, self._anchor
        )


def _average(logits: Float[Tensor, "templates rows classes"]) -> Float[Tensor, "rows classes"]:
    return logits.log_softmax(-1).logsumexp(0) - torch.tensor(float(len(logits))).log()


cdc.register_method(AveragedTemplatesConfig, AveragedTemplates, help="CDC's templates, averaged (ablation)")
