"""What a frozen dual encoder offers: an image tower, and a text tower that takes prompts with learnable tokens."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from cdc.backbones.preprocessing import Preprocessing
from cdc.backbones.tokens import Tokenizer
from cdc.errors import InputError

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

SAMPLED_ELEMENTS = 256
"""Elements of each weight tensor that enter the fingerprint with their place; all others enter it through a sum."""


class TextTower(ABC):
    """A frozen text encoder that can run a prompt in two parts: what all classes share, then each class's end.

    Attributes:
        width: size of a token embedding.
        layers: number of transformer blocks.
        context_length: most tokens in a prompt.
        start_tokens: special tokens before the first word (1 for a tower with a start token, else 0).
        shares_prefix: whether start tokens and context are computed once per template, not once per class; such a
            tower takes deep prompts too.
        tokenizer: from texts to padded ids.
    """

    width: int
    layers: int
    context_length: int
    start_tokens: int
    shares_prefix: bool
    tokenizer: Tokenizer

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> Int[Tensor, "classes tokens"]:
        """Token ids of `texts`, padded; a text too long is cut."""

    @abstractmethod
    def lengths(self, ids: Int[Tensor, "classes tokens"]) -> Int[Tensor, " classes"]:
        """Number of leading tokens of each row that can change its feature."""

    @abstractmethod
    def embed(self, ids: Int[Tensor, "*_ tokens"]) -> Float[Tensor, "*_ tokens dim"]:
        """Token embeddings, before positions are added."""

    @abstractmethod
    def share_prefix(
        self, contexts: Float[Tensor, "_ templates tokens dim"], start: Int[Tensor, " _"]
    ) -> tuple[Tensor, ...]:
        """Compute once per template what start tokens and context give to every class.

        Args:
            contexts: the first enters as token embeddings; each further one, where `shares_prefix`, takes the place of
                the context's states before the next block.
            start: ids of the start tokens.
        """

    @abstractmethod
    def finish(
        self, prefix: tuple[Tensor, ...], ends: Int[Tensor, "classes tokens"]
    ) -> Float[Tensor, "templates classes dim"]:
        """Features of every (template, class) pair, given the ids that follow the context in each class."""

    @abstractmethod
    def encode(self, ids: Int[Tensor, "classes tokens"]) -> Float[Tensor, "classes dim"]:
        """Features of plain prompts: the model's own full-length forward pass."""


@runtime_checkable
class ImagePrompts(Protocol):
    """How learnable tokens enter a frozen image tower beside the patches.

    Attributes:
        width: size of a token.
        layers: number of blocks that take tokens.
    """

    width: int
    layers: int

    def __call__(
        self, pixels: Float[Tensor, "batch 3 _ _"], prompts: Float[Tensor, "_ tokens dim"]
    ) -> Float[Tensor, "batch _"]:
        """Embeddings, not normalised, differentiable in the prompts.

        Args:
            pixels: preprocessed pictures.
            prompts: the first enters with the patches; each further one takes the place of its predecessor's states
                before the next block (deep prompts; Khattak et al., MaPLe, CVPR 2023, section 3.2).
        """
        ...


@final
@dataclass(frozen=True, eq=False, repr=False)
class Backbone:
    """A frozen image tower and text tower in one embedding space.

    Attributes:
        name: what `load_backbone` was given.
        pretrained: tag or checkpoint path; None where the name alone says which weights, or they are random.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"``.
        device: where the towers live.
        dim: size of an embedding.
        logit_scale: factor on the cosine that makes a logit (100 for most CLIP models).
        text: the text tower.
        image_tower: module from pixels to embeddings, not normalised.
        preprocess: from an RGB picture to pixels, as at test time.
        fingerprint: short hash of preprocessing and of the weights as they were loaded, whatever the precision.
        logit_bias: added to every logit (SigLIP); 0 for CLIP.
        image_prompts: how learnable tokens enter the image tower; None where they cannot.
        preprocessing: `preprocess` as plain values; None where it is of another kind than those describe.
    """

    name: str
    pretrained: str | None
    precision: Precision
    device: torch.device
    dim: int
    logit_scale: float
    text: TextTower
    image_tower: nn.Module
    preprocess: Callable[[Image.Image], Tensor]
    fingerprint: str
    logit_bias: float = 0.0
    image_prompts: ImagePrompts | None = None
    preprocessing: Preprocessing | None = None

    def __repr__(self) -> str:
        weights = f" ({self.pretrained})" if self.pretrained else ""
        return f"<Backbone {self.name}{weights}: {self.dim} dimensions, {self.precision}, on {self.device}>"

    @property
    def identity(self) -> str:
        """What features and checkpoints are known by: they depend on the precision too."""
        return self.fingerprint if self.precision == "fp32" else f"{self.fingerprint}-{self.precision}"

    @torch.no_grad()
    def encode_images(self, pixels: Float[Tensor, "batch 3 _ _"]) -> Float[Tensor, "batch dim"]:
        """Unit-length embeddings of preprocessed pictures, in float32."""
        return self.embed_images(pixels)

    def embed_images(
        self, pixels: Float[Tensor, "batch 3 _ _"], prompts: Float[Tensor, "_ tokens dim"] | None = None
    ) -> Float[Tensor, "batch _"]:
        """`encode_images`, differentiable in `pixels` and in learnable tokens beside the patches.

        Args:
            pixels: preprocessed pictures.
            prompts: see `ImagePrompts`; they keep their own precision and are cast where they enter.

        Raises:
            InputError: if the image tower takes no such prompts.
        """
        pixels = pixels.to(self.device, DTYPES[self.precision])
        features = self.image_tower(pixels) if prompts is None else self._check_image_prompts(prompts)(pixels, prompts)
        return functional.normalize(features.float(), dim=-1)

    def require_image_prompts(self) -> ImagePrompts:
        """How learnable tokens enter the image tower.

        Raises:
            InputError: if they cannot.
        """
        if self.image_prompts is None:
            raise InputError(
                f"prompts in the image tower need a vision transformer of open_clip; received {self.name!r}, whose "
                f"image tower is a {type(self.image_tower).__name__}. Use a ViT, such as 'ViT-B-16', or a method that "
                "trains on text prompts alone."
            )
        return self.image_prompts

    def require_deep_text(self) -> TextTower:
        """The text tower, which takes deep prompts.

        Raises:
            InputError: if it cannot.
        """
        if not self.text.shares_prefix:
            raise InputError(
                f"deep prompts in the text tower need a causal transformer of open_clip; received {self.name!r}, whose "
                f"text tower is run as {type(self.text).__name__}. Use a CLIP model, such as 'ViT-B-16', or prompts at "
                "the embeddings alone."
            )
        return self.text

    def _check_image_prompts(self, prompts: Float[Tensor, "_ tokens dim"]) -> ImagePrompts:
        found = self.require_image_prompts()
        if len(prompts) > found.layers or prompts.shape[-1] != found.width:
            raise InputError(
                f"prompts in the image tower of {self.name!r} must have shape [depth, tokens, {found.width}] with a "
                f"depth of at most {found.layers}; received {list(prompts.shape)}. Lower the depth."
            )
        return found

    def logits(
        self, images: Float[Tensor, "*_ rows dim"], text: Float[Tensor, "*_ classes dim"]
    ) -> Float[Tensor, "*_ rows classes"]:
        """Scaled cosines of unit-length features, with the model's bias."""
        return self.logit_scale * images @ text.mT + self.logit_bias

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "classes dim"]:
        """Unit-length embeddings of plain prompts such as ``"a photo of a dog."``, in float32."""
        rows = [self.text.encode(ids) for ids in self.text.tokenize(texts).split(256)]
        return functional.normalize(torch.cat(rows).float(), dim=-1)


def freeze(module: nn.Module) -> nn.Module:
    """Put `module` into evaluation mode without gradients, in place, and return it.

    Example:
        >>> any(p.requires_grad for p in freeze(nn.Linear(2, 2)).parameters())
        False
    """
    return module.eval().requires_grad_(requires_grad=False)


def fingerprint(module: nn.Module, *settings: object) -> str:
    """Short hash of `module`'s weights and of `settings`; the same in every process and on every device.

    Of each tensor, evenly spaced elements enter with their place, and all elements through the exact sum of their bit
    patterns, so that no single weight can change unseen.

    Example:
        >>> layer = nn.Linear(4, 4)
        >>> fingerprint(layer, "bf16") == fingerprint(layer, "bf16") != fingerprint(layer, "fp32")
        True
    """
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=12)
    for name, value in sorted(module.state_dict().items()):
        bits = value.detach().reshape(-1).view(_BIT_PATTERNS[value.element_size()])
        sample = bits[:: max(1, bits.numel() // SAMPLED_ELEMENTS)][:SAMPLED_ELEMENTS].cpu().contiguous()
        total = int(bits.sum(dtype=torch.int64))
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}{total}".encode() + sample.numpy().tobytes())
    return digest.hexdigest()


_BIT_PATTERNS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
