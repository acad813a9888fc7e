"""PromptSRC: deep prompts held near the frozen model and averaged over epochs (Khattak et al., ICCV 2023).

"Self-regulating Prompts: Foundational Model Adaptation without Forgetting". What is marked [recall] is remembered of
the paper or of its public code, and was not looked up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from cdc.backbones.backbone import Backbone
from cdc.backbones.clip_templates import ensemble_templates
from cdc.errors import InputError, require_at_least
from cdc.methods.method import Pixels, Task, Trainable
from cdc.methods.prompted import PromptedClassifier, random_prompts
from cdc.methods.schedule import TrainingConfig
from cdc.prompts.templates import encode_ensemble, start_contexts
from cdc.prompts.text_encoding import Prompts, encode_prompts, tokenize_prompts

MOST_IMAGE_TOKENS = 1000
"""Far more than anyone has trained; a setting beyond it is a mistake, or meant to exhaust the memory."""


@dataclass(frozen=True)
class PromptSRCConfig:
    """Self-regulating prompts (Khattak et al., ICCV 2023): uncoupled deep prompts that keep to the frozen model.

    Defaults and `published` are for base-to-new. Across data sets the published depth is 3, and mean and spread of the
    average are 6 and 10. Few-shot training on all classes takes 50 epochs with 30 and 30, or with 45 and 5 on Cars,
    Flowers, Aircraft, DTD and EuroSAT.

    Attributes:
        context_tokens: learnable tokens in each prompted layer of the text tower.
        image_tokens: learnable tokens in each prompted layer of the image tower.
        depth: prompted layers, the embeddings' included. A method made for towers with fewer is as deep as they are,
            and its settings say so.
        text_weight: of the distance between prompted and frozen class features.
        image_weight: of the distance between prompted and frozen features of a picture.
        logit_weight: of the divergence between prompted and frozen logits.
        gpa_mean: the epoch, counted from 1, that weighs most in the average of the prompts.
        gpa_std: spread of the epochs' weights, in epochs.
    """

    name: ClassVar[str] = "promptsrc"
    published: ClassVar[TrainingConfig] = TrainingConfig(epochs=20, batch_size=4, learning_rate=0.0025, drop_last=True)

    context_tokens: int = 4
    image_tokens: int = 4
    depth: int = 9
    text_weight: float = 25.0
    image_weight: float = 10.0
    logit_weight: float = 1.0
    gpa_mean: float = 15.0
    gpa_std: float = 1.0

    def __post_init__(self) -> None:
        for name in ("context_tokens", "image_tokens", "depth", "gpa_mean"):
            require_at_least(name, getattr(self, name), 1)
        for name in ("text_weight", "image_weight", "logit_weight"):
            require_at_least(name, getattr(self, name), 0)
        if not self.gpa_std > 0:
            raise InputError(f"gpa_std must be positive; received {self.gpa_std}.")
        if self.image_tokens > MOST_IMAGE_TOKENS:
            raise InputError(f"image_tokens must be at most {MOST_IMAGE_TOKENS}; received {self.image_tokens}.")


@final
class PromptSRC(nn.Module, Trainable):
    """Learnable tokens in the first layers of both towers, each tower's its own.

    The text starts from "a photo of a" in its first layer and at random in the others, the image at random in all
    [recall]. Prompted and frozen features of a picture come from the same augmented pixels.

    Raises:
        InputError: if a tower takes no deep prompts.
    """

    trains_on = Pixels(augmentation="crop-flip")

    def __init__(self, backbone: Backbone, config: PromptSRCConfig, task: Task) -> None:
        super().__init__()
        image, text = backbone.require_image_prompts(), backbone.require_deep_text()
        self.backbone = backbone
        self.config = replace(config, depth=min(config.depth, image.layers, text.layers))
        self._task = task
        self._prompts = tokenize_prompts(backbone, task.class_names, context_tokens=config.context_tokens)
        contexts = start_contexts(backbone, templates=1, context_tokens=config.context_tokens, seed=task.seed)
        generator = torch.Generator().manual_seed(task.seed)
        depth = self.config.depth
        deeper = random_prompts(depth - 1, *contexts.shape, generator=generator)
        image_prompts = random_prompts(depth, config.image_tokens, image.width, generator=generator)
        self.contexts = nn.Parameter(contexts)
        self.deeper = nn.Parameter(deeper.to(backbone.device))
        self.image_prompts = nn.Parameter(image_prompts.to(backbone.device))
        for name, parameter in tuple(self.named_parameters()):
            self.register_buffer(_average(name), torch.zeros_like(parameter))

    @torch.no_grad()
    def classifier(self, class_names: Sequence[str]) -> PromptedClassifier:
        """Scaled cosines of prompted images with the learned prompts of `class_names`."""
        prompts = tokenize_prompts(self.backbone, class_names, context_tokens=self.config.context_tokens)
        image_prompts = self.image_prompts.detach().clone()
        return PromptedClassifier(self.backbone, tuple(class_names), self._text(prompts), image_prompts)

    def loss(
        self, images: Float[Tensor, "batch 3 _ _"], labels: Int[Tensor, " batch"], *, progress: float
    ) -> Float[Tensor, ""]:
        """Cross-entropy and three weighted terms that keep to the frozen model (section 3.2.1 [recall]).

        Of class features and of picture features, both of unit length, the mean absolute difference over all elements:
        the published code's, to which the weights 25 and 10 belong; the paper sums over the dimensions [recall]. Of the
        logits KL(frozen || prompted) per picture and class [recall]; the frozen ones are scaled cosines of frozen
        picture features with the averaged class features [recall].
        """
        del progress  # constant over training
        backbone, config = self.backbone, self.config
        text, known_text = self._text(self._prompts), self._known_text
        seen, known = backbone.embed_images(images, self.image_prompts), backbone.encode_images(images)
        logits = backbone.logits(seen, text)
        return (
            functional.cross_entropy(logits, labels)
            + config.text_weight * functional.l1_loss(text, known_text)
            + config.image_weight * functional.l1_loss(seen, known)
            + config.logit_weight * divergence(backbone.logits(known, known_text), logits)
        )

    @torch.no_grad()
    def end_epoch(self, finished: int, total: int) -> None:
        """Add the epoch's prompts to their Gaussian-weighted average, which takes their place after the last epoch.

        The published code averages its whole state dict, the frozen CLIP included, and forgets the sum when it is
        killed; here the sum of the prompts lies in buffers.
        """
        weight = epoch_weights(total, mean=self.config.gpa_mean, std=self.config.gpa_std)[finished - 1]
        for name, parameter in self.named_parameters():
            average = self.get_buffer(_average(name))
            average += weight * parameter
            if finished == total:
                parameter.copy_(average)

    @cached_property
    def _known_text(self) -> Float[Tensor, "classes dim"]:
        """Frozen class features, averaged over the task's template and CLIP's 80 (section 3.2.3 [recall]).

        The published code has 60 of these and not the task's. Made at the first step: who only predicts needs none.
        """
        templates = dict.fromkeys((self._task.template, *ensemble_templates()))
        return encode_ensemble(self.backbone, tuple(templates), self._task.class_names)

    def _text(self, prompts: Prompts) -> Float[Tensor, "classes dim"]:
        (text,) = encode_prompts(self.backbone, self.contexts, prompts, deeper=self.deeper)
        return text


def divergence(known: Float[Tensor, "rows classes"], logits: Float[Tensor, "rows classes"]) -> Float[Tensor, ""]:
    """KL(softmax(known) || softmax(logits)), divided by the number of rows and of classes.

    Example:
        >>> divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 2.0]]))
        tensor(0.2169)
    """
    return functional.kl_div(logits.log_softmax(-1), known.log_softmax(-1), reduction="none", log_target=True).mean()


def epoch_weights(epochs: int, *, mean: float, std: float) -> Float[Tensor, " _"]:
    """Gaussian weights of the epochs 1, 2, ... of a run; they sum to one (section 3.2.2 [recall]).

    A run that ends before the mean gives its last epochs the most weight.

    Args:
        epochs: of the whole run.
        mean: the epoch that weighs most.
        std: in epochs.

    Example:
        >>> [round(weight, 2) for weight in epoch_weights(5, mean=3.0, std=1.0).tolist()]
        [0.05, 0.24, 0.4, 0.24, 0.05]
    """
    distances = (torch.arange(1, epochs + 1, dtype=torch.float64) - mean) / std
    return (-(distances**2) / 2).softmax(0)


def _average(parameter: str) -> str:
    """Name of the buffer that holds the average of a parameter."""
    return f"{parameter}_average"
