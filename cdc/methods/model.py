"""The methods behind one small protocol: text features for any class list, a loss on them, a prediction from them."""

from collections.abc import Sequence
from typing import Protocol, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from cdc.backbones.backbone import Backbone
from cdc.beliefs.evidence import Opinion, to_opinion
from cdc.beliefs.fusion import Prediction, combine_evidence, fuse_evidence
from cdc.methods.config import CDCConfig, CoOpConfig, MethodConfig, ZeroShotConfig
from cdc.methods.losses import consistency, diversity, trusted_cross_entropy
from cdc.prompts.templates import fill_template, start_contexts
from cdc.prompts.text_encoding import Prompts, encode_prompts, tokenize_prompts


class Method(Protocol):
    """What training, evaluation and the adapter need of a method.

    Attributes:
        views: templates for which an image needs a view of its own in training.
    """

    views: int

    def text_features(self, class_names: Sequence[str]) -> Float[Tensor, "templates classes dim"]:
        """Features that `predict` compares images with, for any class names."""
        ...

    def loss(
        self, views: Float[Tensor, "batch templates dim"], labels: Int[Tensor, " batch"], *, progress: float
    ) -> Float[Tensor, ""]:
        """Training loss on cached view features; `progress` runs from 0 to 1 over training."""
        ...

    def predict(self, images: Float[Tensor, "rows dim"], text: Float[Tensor, "templates classes dim"]) -> Prediction:
        """Prediction for image features against text features."""
        ...


@final
class ZeroShot(nn.Module):
    """The frozen model with a hand-crafted template: softmax of scaled cosines."""

    views = 1

    config = ZeroShotConfig()

    def __init__(self, backbone: Backbone, template: str) -> None:
        super().__init__()
        self.backbone = backbone
        self._template = template

    def text_features(self, class_names: Sequence[str]) -> Float[Tensor, "templates classes dim"]:
        """Features of the hand-crafted prompts, [1, K, dim]."""
        return self.backbone.encode_texts(fill_template(self._template, class_names))[None]

    def loss(
        self, views: Float[Tensor, "batch templates dim"], labels: Int[Tensor, " batch"], *, progress: float
    ) -> Float[Tensor, ""]:
        """Nothing to train."""
        raise NotImplementedError("zero-shot has no parameters; evaluate it without training")

    def predict(self, images: Float[Tensor, "rows dim"], text: Float[Tensor, "templates classes dim"]) -> Prediction:
        """Softmax probabilities as beliefs; a softmax knows no uncertainty, so that mass is zero."""
        return _softmax_prediction(self.backbone.logit_scale * images @ text[0].T)


@final
class CoOp(nn.Module):
    """One learnable context before the class name, trained by cross-entropy (Zhou et al., CoOp, IJCV 2022)."""

    views = 1

    def __init__(
        self, backbone: Backbone, config: CoOpConfig, class_names: Sequence[str], *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self._prompts = tokenize_prompts(backbone, class_names, context_tokens=config.context_tokens)
        self.contexts = nn.Parameter(
            start_contexts(backbone, templates=1, context_tokens=config.context_tokens, generator=generator)
        )

    def text_features(self, class_names: Sequence[str]) -> Float[Tensor, "templates classes dim"]:
        """Features of the learned prompts, [1, K, dim]."""
        return _encode(self.backbone, self.contexts, self._prompts, class_names)

    def loss(
        self, views: Float[Tensor, "batch templates dim"], labels: Int[Tensor, " batch"], *, progress: float
    ) -> Float[Tensor, ""]:
        """Cross-entropy of scaled cosines."""
        del progress  # constant over training
        text = encode_prompts(self.backbone, self.contexts, self._prompts)
        return functional.cross_entropy(self.backbone.logit_scale * views[:, 0] @ text[0].T, labels)

    def predict(self, images: Float[Tensor, "rows dim"], text: Float[Tensor, "templates classes dim"]) -> Prediction:
        """Softmax probabilities as beliefs, no uncertainty."""
        return _softmax_prediction(self.backbone.logit_scale * images @ text[0].T)


@final
class CDC(nn.Module):
    """Several learnable templates, each an opinion of its own on its own view, fused by Dempster's rule.

    The template opinions are the values of the mediator S of the front-door graph.
    """

    def __init__(
        self,
        backbone: Backbone,
        config: CDCConfig,
        class_names: Sequence[str],
        *,
        template: str,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self._template = template
        self._prompts = tokenize_prompts(backbone, class_names, context_tokens=config.context_tokens)
        self._anchor = self._hand_crafted(class_names)
        self.views = config.templates
        self.contexts = nn.Parameter(
            start_contexts(
                backbone, templates=config.templates, context_tokens=config.context_tokens, generator=generator
            )
        )

    def _hand_crafted(self, class_names: Sequence[str]) -> Float[Tensor, "classes dim"]:
        return self.backbone.encode_texts(fill_template(self._template, class_names))

    def text_features(self, class_names: Sequence[str]) -> Float[Tensor, "templates classes dim"]:
        """Features of the learned templates; of names that training did not see, part way back to the hand-crafted one.

        What the contexts learned is right for the trained classes; for others it is a guess, and t^0 a safer one.
        """
        learned = _encode(self.backbone, self.contexts, self._prompts, class_names)
        trained = set(self._prompts.class_names)
        share = torch.tensor([0.0 if name in trained else self.config.anchoring for name in class_names])
        mixed = learned.lerp(self._hand_crafted(class_names), share.to(learned)[:, None])
        return functional.normalize(mixed, dim=-1)

    def evidence(
        self, images: Float[Tensor, "templates rows dim"], text: Float[Tensor, "templates classes dim"]
    ) -> Float[Tensor, "templates rows classes"]:
        """Evidence of each template from its own view of each image."""
        return self.config.evidence(self.backbone.logit_scale * images @ text.mT)

    def loss(
        self, views: Float[Tensor, "batch templates dim"], labels: Int[Tensor, " batch"], *, progress: float
    ) -> Float[Tensor, ""]:
        """L_tce over the templates' opinions and the fused one, plus beta L_de plus gamma L_con."""
        config = self.config
        text = encode_prompts(self.backbone, self.contexts, self._prompts)
        evidence = self.evidence(views.transpose(0, 1), text)
        fused = fuse_evidence(evidence, independence=config.independence)
        kl_weight = progress * config.kl_weight
        trusted = config.templates * trusted_cross_entropy(evidence, labels, kl_weight=kl_weight)
        trusted = trusted + trusted_cross_entropy(fused, labels, kl_weight=kl_weight)
        apart = config.diversity_weight * diversity(text, self._anchor)
        near = config.consistency_weight * consistency(text, self._anchor)
        return trusted + apart + near

    def opinions(self, images: Float[Tensor, "rows dim"], text: Float[Tensor, "templates classes dim"]) -> Opinion:
        """What each template says of each image: the values of the mediator S."""
        return to_opinion(self.evidence(images.expand(len(text), -1, -1), text))

    def predict(self, images: Float[Tensor, "rows dim"], text: Float[Tensor, "templates classes dim"]) -> Prediction:
        """The templates' opinions on the one clean view, fused."""
        evidence = self.evidence(images.expand(len(text), -1, -1), text)
        return combine_evidence(evidence, independence=self.config.independence)


def build_method(
    config: MethodConfig, backbone: Backbone, class_names: Sequence[str], *, template: str, seed: int
) -> ZeroShot | CoOp | CDC:
    """The untrained method that `config` describes.

    Args:
        config: which method, with its settings.
        backbone: frozen towers.
        class_names: classes to train on.
        template: hand-crafted template t^0, with ``{}`` once.
        seed: of random initial tokens.

    Example:
        >>> import cdc
        >>> method = build_method(CoOpConfig(), cdc.load_backbone("photo"), ["dog", "cat"], template="a {}.", seed=1)
        >>> method.text_features(["horse"]).shape
        torch.Size([1, 1, 384])
    """
    generator = torch.Generator().manual_seed(seed)
    match config:
        case ZeroShotConfig():
            return ZeroShot(backbone, template)
        case CoOpConfig():
            return CoOp(backbone, config, class_names, generator=generator)
        case CDCConfig():
            return CDC(backbone, config, class_names, template=template, generator=generator)


@torch.no_grad()
def _encode(backbone: Backbone, contexts: Tensor, trained: Prompts, class_names: Sequence[str]) -> Tensor:
    prompts = tokenize_prompts(backbone, class_names, context_tokens=trained.context_tokens)
    return encode_prompts(backbone, contexts, prompts)


def _softmax_prediction(logits: Float[Tensor, "rows classes"]) -> Prediction:
    return Prediction(belief=logits.softmax(-1), uncertainty=logits.new_zeros(len(logits)))
