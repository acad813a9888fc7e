"""CDC: several learnable prompt templates, each an opinion of its own, fused by Dempster-Shafer theory.

The method of "Rethinking Misalignment in Vision-Language Model Adaptation from a Causal Perspective" (NeurIPS 2024);
`docs/method.md` tells apart what is the paper's and what is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from cdc.backbones.backbone import Backbone
from cdc.beliefs.evidence import EvidenceFunction, Opinion, to_opinion
from cdc.beliefs.fusion import Prediction, combine_evidence, fuse_evidence
from cdc.errors import require_at_least, require_share
from cdc.methods.losses import consistency, diversity, trusted_cross_entropy
from cdc.methods.method import CachedViews, Reads, Task, Trainable
from cdc.prompts.templates import encode_template, start_contexts
from cdc.prompts.text_encoding import encode_prompts, encode_templates, tokenize_prompts


@dataclass(frozen=True)
class CDCConfig:
    """CDC: M learnable templates, each an opinion of its own, fused by Dempster-Shafer theory.

    Attributes:
        templates: M.
        context_tokens: d, learnable tokens of each template before the class name.
        anchoring: share of the hand-crafted template t^0 in the text features of class names that training did not
            see; 0 leaves them to the learned templates alone, 1 to t^0. [ours]
        evidence: how logits become evidence. [ours]
        independence: see `cdc.combine`; 1 is Dempster's rule. [ours]
        diversity_weight: beta of L_de.
        consistency_weight: gamma of L_con.
        kl_weight: value that lambda_t, the weight of the divergence in L_tce, rises to; see `docs/method.md`. [ours]
    """

    name: ClassVar[str] = "cdc"

    templates: int = 4
    context_tokens: int = 4
    anchoring: float = 0.8
    evidence: EvidenceFunction = field(default_factory=EvidenceFunction)
    independence: float = 0.5
    diversity_weight: float = 1.0
    consistency_weight: float = 0.0
    kl_weight: float = 0.005

    def __post_init__(self) -> None:
        for name in ("templates", "context_tokens"):
            require_at_least(name, getattr(self, name), 1)
        for name in ("diversity_weight", "consistency_weight", "kl_weight"):
            require_at_least(name, getattr(self, name), 0)
        for name in ("independence", "anchoring"):
            require_share(name, getattr(self, name))


@final
@dataclass(frozen=True, eq=False)
class TemplateClassifier:
    """What the templates say of images among fixed class names, each for itself and fused.

    The opinions are the values of the mediator S of the front-door graph.

    Attributes:
        backbone: whose logit scale and bias to use.
        config: how logits become evidence, and how opinions are fused.
        class_names: the K classes.
        text: unit-length features of every template and class.
    """

    backbone: Backbone
    config: CDCConfig
    class_names: tuple[str, ...]
    text: Float[Tensor, "templates classes dim"]
    reads: Reads = "features"

    def __call__(self, images: Float[Tensor, "rows dim"]) -> Prediction:
        """The templates' opinions on the one clean view, fused."""
        logits = self._logits(images)
        fused = combine_evidence(self.config.evidence(logits), independence=self.config.independence)
        return replace(fused, energy=-logits.logsumexp(-1).mean(0))

    def opinions(self, images: Float[Tensor, "rows dim"]) -> Opinion:
        """What each template says of each image: the values of the mediator S."""
        return to_opinion(self.config.evidence(self._logits(images)))

    def _logits(self, images: Float[Tensor, "rows dim"]) -> Float[Tensor, "templates rows classes"]:
        return self.backbone.logits(images.expand(len(self.text), -1, -1), self.text)


@final
class CDC(nn.Module, Trainable):
    """Several learnable templates, each an opinion of its own on its own view, fused by Dempster's rule."""

    def __init__(self, backbone: Backbone, config: CDCConfig, task: Task) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.trains_on = CachedViews(templates=config.templates)
        self._template = task.template
        self._prompts = tokenize_prompts(backbone, task.class_names, context_tokens=config.context_tokens)
        self._anchor = encode_template(backbone, task.template, task.class_names)
        self.contexts = nn.Parameter(
            start_contexts(backbone, templates=config.templates, context_tokens=config.context_tokens, seed=task.seed)
        )

    @torch.no_grad()
    def classifier(self, class_names: Sequence[str]) -> TemplateClassifier:
        """The learned templates; for names that training did not see, part way back to the hand-crafted one.

        What the contexts learned is right for the trained classes; for others it is a guess, and t^0 a safer one.
        """
        learned = encode_templates(self.backbone, self.contexts, class_names)
        trained = set(self._prompts.class_names)
        share = torch.tensor([0.0 if name in trained else self.config.anchoring for name in class_names])
        anchor = encode_template(self.backbone, self._template, class_names)
        mixed = functional.normalize(learned.lerp(anchor, share.to(learned)[:, None]), dim=-1)
        return TemplateClassifier(self.backbone, self.config, tuple(class_names), mixed)

    def loss(
        self, images: Float[Tensor, "batch templates dim"], labels: Int[Tensor, " batch"], *, progress: float
    ) -> Float[Tensor, ""]:
        """L_tce over the templates' opinions and the fused one, plus beta L_de plus gamma L_con."""
        config = self.config
        text = encode_prompts(self.backbone, self.contexts, self._prompts)
        evidence = config.evidence(self.backbone.logits(images.transpose(0, 1), text))
        fused = fuse_evidence(evidence, independence=config.independence)
        kl_weight = progress * config.kl_weight
        trusted = config.templates * trusted_cross_entropy(evidence, labels, kl_weight=kl_weight)
        trusted = trusted + trusted_cross_entropy(fused, labels, kl_weight=kl_weight)
        apart = config.diversity_weight * diversity(text, self._anchor)
        near = config.consistency_weight * consistency(text, self._anchor)
        return trusted + apart + near
