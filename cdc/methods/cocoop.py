"""CoCoOp: a context for every image (Zhou et al., Conditional Prompt Learning, CVPR 2022)."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from cdc.backbones.backbone import DTYPES, Backbone, freeze
from cdc.beliefs.fusion import Prediction
from cdc.errors import require_at_least
from cdc.methods.layers import seeded_linear
from cdc.methods.method import CachedViews, Reads, Task, Trainable
from cdc.methods.schedule import TrainingConfig
from cdc.prompts.templates import start_contexts
from cdc.prompts.text_encoding import FLOATS_PER_TOKEN_AND_LAYER, Prompts, encode_prompts, tokenize_prompts

CHUNK_BYTES = 256 << 20
"""Memory that classifying may take: every image has text features of its own, so images go through in chunks."""


@dataclass(frozen=True)
class CoCoOpConfig:
    """Conditional context optimisation (Zhou et al., CVPR 2022): the image shifts the context; cross-entropy.

    Its paper trains with batches of one because memory allowed no more.

    Attributes:
        context_tokens: d, learnable tokens before the class name.
        reduction: how many times narrower than an embedding the meta-network's hidden layer is.
    """

    name: ClassVar[str] = "cocoop"
    published: ClassVar[TrainingConfig] = TrainingConfig(epochs=10, batch_size=1, learning_rate=0.002)

    context_tokens: int = 4
    reduction: int = 16

    def __post_init__(self) -> None:
        require_at_least("context_tokens", self.context_tokens, 1)
        require_at_least("reduction", self.reduction, 1)


@final
@dataclass(frozen=True, eq=False)
class ConditionalClassifier:
    """Softmax of scaled cosines with prompts that depend on the image.

    Attributes:
        backbone: frozen towers.
        class_names: the K classes.
        prompts: their tokens.
        context: what all images share.
        meta_net: from an image's feature to the shift of its context tokens.
    """

    backbone: Backbone
    class_names: tuple[str, ...]
    prompts: Prompts
    context: Float[Tensor, "1 tokens dim"]
    meta_net: nn.Module
    reads: Reads = "features"

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "rows dim"]) -> Prediction:
        """Softmax probabilities as beliefs, no uncertainty; images are encoded in chunks of about `CHUNK_BYTES`."""
        chunks = images.split(_images_at_once(self.backbone, self.prompts))
        return Prediction.from_logits(torch.cat([self._logits(chunk) for chunk in chunks]))

    def _logits(self, images: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows classes"]:
        contexts = shift_context(self.context, self.meta_net, images)
        return conditional_logits(self.backbone, images, encode_prompts(self.backbone, contexts, self.prompts))


@final
class CoCoOp(nn.Module, Trainable):
    """One learnable context, and a small network that shifts all of its tokens by what it sees in the image."""

    trains_on = CachedViews(augmentation="crop-flip")

    def __init__(self, backbone: Backbone, config: CoCoOpConfig, task: Task) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self._prompts = tokenize_prompts(backbone, task.class_names, context_tokens=config.context_tokens)
        self.contexts = nn.Parameter(
            start_contexts(backbone, templates=1, context_tokens=config.context_tokens, seed=task.seed)
        )
        hidden = max(1, backbone.dim // config.reduction)
        generator = torch.Generator().manual_seed(task.seed)
        self.meta_net = nn.Sequential(
            seeded_linear(backbone.dim, hidden, generator=generator),
            nn.ReLU(),
            seeded_linear(hidden, backbone.text.width, generator=generator),
        ).to(backbone.device)

    @torch.no_grad()
    def classifier(self, class_names: Sequence[str]) -> ConditionalClassifier:
        """Scaled cosines with prompts of `class_names` that are made for each image."""
        prompts = tokenize_prompts(self.backbone, class_names, context_tokens=self.config.context_tokens)
        context, meta_net = self.contexts.detach().clone(), freeze(deepcopy(self.meta_net))
        return ConditionalClassifier(self.backbone, tuple(class_names), prompts, context, meta_net)

    def loss(
        self, images: Float[Tensor, "batch templates dim"], labels: Int[Tensor, " batch"], *, progress: float
    ) -> Float[Tensor, ""]:
        """Cross-entropy of scaled cosines; the images' contexts go through the text tower together."""
        del progress  # constant over training
        features = images[:, 0]
        contexts = shift_context(self.contexts, self.meta_net, features)
        text = encode_prompts(self.backbone, contexts, self._prompts)
        return functional.cross_entropy(conditional_logits(self.backbone, features, text), labels)


def shift_context(
    context: Float[Tensor, "1 tokens dim"], meta_net: nn.Module, images: Float[Tensor, "rows _"]
) -> Float[Tensor, "rows tokens dim"]:
    """v_m(x) = v_m + pi with pi = h(x): one shift for all tokens of an image's context (section 3.2).

    Example:
        >>> shift_context(torch.zeros(1, 4, 2), nn.Linear(3, 2), torch.ones(5, 3)).shape
        torch.Size([5, 4, 2])
    """
    return context + meta_net(images)[:, None]


def conditional_logits(
    backbone: Backbone, images: Float[Tensor, "rows dim"], text: Float[Tensor, "rows classes dim"]
) -> Float[Tensor, "rows classes"]:
    """Scaled cosines of each image with text features of its own.

    Example:
        >>> import cdc
        >>> conditional_logits(cdc.load_backbone("picto"), torch.ones(2, 192), torch.ones(2, 3, 192)).shape
        torch.Size([2, 3])
    """
    return backbone.logits(images[:, None], text)[:, 0]


def _images_at_once(backbone: Backbone, prompts: Prompts) -> int:
    """Images whose prompts take `CHUNK_BYTES`: one layer's activations at a time, and the text features."""
    repeated = 0 if backbone.text.shares_prefix else len(prompts.start) + prompts.context_tokens
    tokens = prompts.tokens + repeated * len(prompts.class_names)
    size = DTYPES[backbone.precision].itemsize
    layer = tokens * backbone.text.width * FLOATS_PER_TOKEN_AND_LAYER * size
    features = len(prompts.class_names) * backbone.dim * torch.float32.itemsize
    return max(1, CHUNK_BYTES // (layer + 2 * features))
