"""`load_backbone`: one door to every backbone."""

from collections.abc import Callable
from pathlib import Path

import torch

from cdc.backbones.backbone import DTYPES, Backbone, Precision
from cdc.errors import InputError


def load_backbone(
    name: str, pretrained: str | None = None, device: str = "cpu", precision: Precision = "fp32"
) -> Backbone:
    """Load a frozen image-text dual encoder.

    Args:
        name: any open_clip architecture (``"ViT-B-16"``); ``"hf-hub:organisation/model"``; a local directory with
            ``open_clip_config.json`` and weights; ``"picto"``, which comes with this package, or its control
            ``"picto-unconfounded"``; or ``"photo"``, which installs with the `photo` extra and needs no model hub.
        pretrained: a pretrained tag of the architecture (``"openai"``, ``"laion2b_s34b_b88k"``) or the path of a
            checkpoint (OpenAI's own weights need the architecture's ``-quickgelu`` variant; their tag chooses it by
            itself). None leaves the weights of an open_clip architecture random, always the same ones, and logs a
            warning. The other kinds of name bring their weights along and take None only.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"`` for weights and activations of the towers.

    Returns:
        The backbone, frozen and in evaluation mode.

    Raises:
        InputError: if the name, tag, device or precision is unknown, or the weights cannot be read.

    Example:
        >>> load_backbone("picto").encode_texts(["a picture of a dog."]).shape
        torch.Size([1, 192])
    """
    _check_device(device)
    if precision not in DTYPES:
        raise InputError(f"precision must be one of {', '.join(DTYPES)}; received {precision!r}. Use 'fp32' on a CPU.")
    brings_weights = name in OWN_BACKBONES or name.startswith("hf-hub:") or Path(name).is_dir()
    if pretrained is not None and brings_weights:
        raise InputError(f"{name!r} brings its own weights; received pretrained={pretrained!r}. Leave pretrained out.")
    if name in OWN_BACKBONES:
        return OWN_BACKBONES[name](name, device, precision)
    from cdc.backbones.open_clip_models import load_open_clip

    return load_open_clip(name, pretrained, device=device, precision=precision, others=tuple(OWN_BACKBONES))


def hub_repository(name: str, pretrained: str | None) -> str | None:
    """The repository on the model hub that a backbone's weights come from; None if they come from elsewhere.

    Example:
        >>> hub_repository("hf-hub:timm/ViT-B-16-SigLIP", None)
        'timm/ViT-B-16-SigLIP'
        >>> hub_repository("picto", None) is None
        True
    """
    if name.startswith("hf-hub:"):
        return name.removeprefix("hf-hub:")
    if name in OWN_BACKBONES or pretrained is None:
        return None
    from cdc.backbones.open_clip_models import repository_of_tag

    return repository_of_tag(name, pretrained)


def is_known_elsewhere(name: str, pretrained: str | None) -> bool:
    """Whether a backbone can be loaded by its name on any machine: it is no directory or checkpoint of this one.

    Example:
        >>> is_known_elsewhere("picto", None), is_known_elsewhere("models/mine", None)
        (True, False)
    """
    if name in OWN_BACKBONES or name.startswith("hf-hub:"):
        return True
    from cdc.backbones.open_clip_models import is_published

    return is_published(name, pretrained)


def _load_picto(name: str, device: str, precision: Precision) -> Backbone:
    from cdc.backbones.picto import load_picto

    return load_picto(name, device=device, precision=precision)


def _load_photo(name: str, device: str, precision: Precision) -> Backbone:
    from cdc.backbones.photo import load_photo

    return load_photo(name, device=device, precision=precision)


OWN_BACKBONES: dict[str, Callable[[str, str, Precision], Backbone]] = {
    "picto": _load_picto,
    "picto-unconfounded": _load_picto,
    "photo": _load_photo,
}
"""Backbones with a name of their own, which need no model hub, and what loads each; nothing is imported before."""


def _check_device(device: str) -> None:
    try:
        parsed = torch.device(device)
    except RuntimeError:
        parsed = None
    if parsed is None or parsed.type not in ("cpu", "cuda") or (parsed.type == "cpu" and parsed.index):
        raise InputError(f"device must be cpu, cuda or cuda:N; received {device!r}. Use device='cpu'.")
    present = torch.cuda.device_count()
    if parsed.type == "cuda" and (parsed.index or 0) >= present:
        raise InputError(f"device {device!r} must be present; {present} CUDA devices were found. Use device='cpu'.")
