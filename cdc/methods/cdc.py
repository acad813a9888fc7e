"""CDC: several learnable prompt templates, each an opinion of its own, fused by Dempster-Shafer theory.

The method of "Rethinking Misalignment in Vision-Language Model Adaptation from a Causal Perspective" (NeurIPS 2024);
`docs/method.md` tells apart what is the paper's and what is ours.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.nn import functional

from cdc.backbones.backbone import Backbone
from cdc.beliefs.evidence import EvidenceFunction, Opinion, to_opinion
from cdc.beliefs.fusion import Prediction, combine_evidence, fuse_evidence
from cdc.errors import require_at_least, require_share
from cdc.methods.losses import consistency, diversity, trusted_cross_entropy
from cdc.methods.method import CachedViews, Classifier, HeldOut, Reads, Rehearsal, Task, Trainable
from cdc.prompts.templates import encode_template, start_contexts
from cdc.prompts.text_encoding import encode_prompts, encode_templates, tokenize_prompts

LARGEST_LOG_SCALE = 2.0
"""Temperatures are looked for within a factor of e^2 of the one that training had."""


@dataclass(frozen=True)
class LossWeights:
    """What the parts of CDC's loss weigh beside the expected cross-entropy.

    Attributes:
        diversity: beta of L_de.
        consistency: gamma of L_con.
        divergence: value that lambda_t, the weight of the divergence in L_tce, rises to; see `docs/method.md`. [ours]
    """

    diversity: float = 1.0
    consistency: float = 0.0
    divergence: float = 0.005

    def __post_init__(self) -> None:
        for name, weight in vars(self).items():
            require_at_least(name, weight, 0)


@dataclass(frozen=True)
class CDCConfig:
    """CDC: M learnable templates, each an opinion of its own, fused by Dempster-Shafer theory.

    The defaults did best on data sets kept for choosing (`docs/decisions/0010-defaults-of-cdc.md`); the variant
    ``cdc:paper`` is as near to the source as is known.

    Attributes:
        templates: M.
        context_tokens: d, learnable tokens of each template before the class name.
        anchoring: share of the hand-crafted template t^0 in the text features of class names that training did not
            see; 0 leaves them to the learned templates alone, 1 to t^0. [ours]
        half_clean: in training, a template sees the image as at test time every other time, and else its own view.
            [ours]
        evidence: how logits become evidence. [ours]
        independence: see `cdc.combine`; 1 is Dempster's rule. [ours]
        calibrate: fit the temperature of the evidence on rehearsals, see `cdc.Rehearsal`; one for trained classes and
            one for others. Takes half as much training again. [ours]
        weights: of the parts of the loss.
    """

    name: ClassVar[str] = "cdc"

    templates: int = 4
    context_tokens: int = 4
    anchoring: float = 0.2
    half_clean: bool = True
    evidence: EvidenceFunction = field(default_factory=EvidenceFunction)
    independence: float = 0.0
    calibrate: bool = True
    weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        for name in ("templates", "context_tokens"):
            require_at_least(name, getattr(self, name), 1)
        for name in ("independence", "anchoring"):
            require_share(name, getattr(self, name))


PAPER: Mapping[str, Any] = {
    "anchoring": 0.0,
    "half_clean": False,
    "independence": 1.0,
    "calibrate": False,
    "weights": LossWeights(consistency=1.0),
}
"""How ``cdc:paper`` differs: Dempster's rule, every template on its own views, and all three losses."""


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
        level: what logits are measured from.
        scale: of the temperature, fitted for class names like these.
    """

    backbone: Backbone
    config: CDCConfig
    class_names: tuple[str, ...]
    text: Float[Tensor, "templates classes dim"]
    level: Float[Tensor, ""]
    scale: Float[Tensor, ""]
    reads: Reads = "features"

    def __call__(self, images: Float[Tensor, "rows dim"]) -> Prediction:
        """The templates' opinions on the one clean view, fused."""
        return self.fuse(self.template_logits(images))

    def fuse(self, logits: Float[Tensor, "templates rows classes"]) -> Prediction:
        """What the templates' logits come to."""
        fused = combine_evidence(self._evidence(logits), independence=self.config.independence)
        return replace(fused, energy=-logits.logsumexp(-1).mean(0))

    def opinions(self, images: Float[Tensor, "rows dim"]) -> Opinion:
        """What each template says of each image: the values of the mediator S."""
        return to_opinion(self._evidence(self.template_logits(images)))

    def template_logits(self, images: Float[Tensor, "rows dim"]) -> Float[Tensor, "templates rows classes"]:
        """Scaled cosines of the images with every template's prompts."""
        return self.backbone.logits(images.expand(len(self.text), -1, -1), self.text)

    def _evidence(self, logits: Float[Tensor, "templates rows classes"]) -> Float[Tensor, "templates rows classes"]:
        return self.config.evidence(logits, level=self.level, scale=self.scale)


@final
class CDC(nn.Module, Trainable):
    """Several learnable templates, each an opinion of its own on its own view, fused by Dempster's rule."""

    level: Tensor
    scales: Tensor

    def __init__(self, backbone: Backbone, config: CDCConfig, task: Task) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.trains_on = CachedViews(templates=config.templates, half_clean=config.half_clean)
        self._template = task.template
        self._prompts = tokenize_prompts(backbone, task.class_names, context_tokens=config.context_tokens)
        self._anchor = encode_template(backbone, task.template, task.class_names)
        self.contexts = nn.Parameter(
            start_contexts(backbone, templates=config.templates, context_tokens=config.context_tokens, seed=task.seed)
        )
        self.register_buffer("level", torch.zeros((), device=backbone.device))
        self.register_buffer("scales", torch.ones(2, device=backbone.device))

    @torch.no_grad()
    def classifier(self, class_names: Sequence[str]) -> TemplateClassifier:
        """The learned templates; for names that training did not see, part way back to the hand-crafted one.

        What the contexts learned is right for the trained classes; for others it is a guess, and t^0 a safer one.
        """
        learned = encode_templates(self.backbone, self.contexts, class_names)
        trained = set(self._prompts.class_names)
        strange = torch.tensor([name not in trained for name in class_names], device=learned.device)
        anchor = encode_template(self.backbone, self._template, class_names)
        mixed = functional.normalize(learned.lerp(anchor, self.config.anchoring * strange.to(learned)[:, None]), dim=-1)
        scale = self.scales[int(bool(strange.any()))]
        return TemplateClassifier(self.backbone, self.config, tuple(class_names), mixed, self.level, scale)

    @torch.no_grad()
    def begin(self, images: Float[Tensor, "rows templates _ dim"]) -> None:
        """Logits are measured from their mean under t^0 over shots, views and classes."""
        seen = images.mean((0, 1, 2))
        self.level.copy_(self.backbone.logits(seen[None], self._anchor).float().mean())

    @property
    def rehearses(self) -> bool:
        """Whether it wants rehearsals to learn from."""
        return self.config.calibrate

    @torch.no_grad()
    def learn_from(self, rehearsals: Sequence[Rehearsal]) -> None:
        """Scale the temperature, for trained and for other classes, to what was right of images not trained on."""
        for place, images in enumerate(([kept.known for kept in rehearsals], [kept.new for kept in rehearsals])):
            pairs = [
                (kept.method.classifier(held.class_names), held) for kept, held in zip(rehearsals, images, strict=True)
            ]
            self.scales[place] = _fit_scale(pairs)

    def loss(
        self, images: Float[Tensor, "batch templates dim"], labels: Int[Tensor, " batch"], *, progress: float
    ) -> Float[Tensor, ""]:
        """L_tce over the templates' opinions and the fused one, plus beta L_de plus gamma L_con."""
        config, weights = self.config, self.config.weights
        text = encode_prompts(self.backbone, self.contexts, self._prompts)
        evidence = config.evidence(self.backbone.logits(images.transpose(0, 1), text), level=self.level)
        fused = fuse_evidence(evidence, independence=config.independence)
        kl_weight = progress * weights.divergence
        trusted = config.templates * trusted_cross_entropy(evidence, labels, kl_weight=kl_weight)
        trusted = trusted + trusted_cross_entropy(fused, labels, kl_weight=kl_weight)
        apart = weights.diversity * diversity(text, self._anchor)
        near = weights.consistency * consistency(text, self._anchor)
        return trusted + apart + near


def _fit_scale(pairs: Sequence[tuple[Classifier, HeldOut]]) -> float:
    """Factor of the temperature under which labels are least surprising (Guo et al., ICML 2017, for evidence)."""
    seen: list[tuple[TemplateClassifier, Tensor, Tensor]] = []
    for classifier, held in pairs:
        assert isinstance(classifier, TemplateClassifier)  # noqa: S101 - a rehearsal of CDC is a CDC
        seen.append((classifier, classifier.template_logits(held.features), held.labels))

    def surprise(log_scale: float) -> float:
        total = 0.0
        for classifier, logits, labels in seen:
            scaled = replace(classifier, scale=classifier.scale.new_tensor(math.exp(log_scale)))
            total += float(functional.cross_entropy(scaled.fuse(logits).logits, labels, reduction="sum"))
        return total

    return math.exp(minimize_scalar(surprise, bounds=(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE), method="bounded").x)
