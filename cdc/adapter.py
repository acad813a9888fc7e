"""A trained method that people keep: predict, save, load, and swap the class names. Prompts only, never CLIP."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float
from PIL import Image
from safetensors.torch import load, save
from torch import Tensor

from cdc.backbones.backbone import Backbone
from cdc.backbones.loading import load_backbone
from cdc.beliefs.fusion import Prediction
from cdc.data.images import read_image
from cdc.errors import InputError
from cdc.files import refuse_overwrite, write_bytes, write_json
from cdc.methods.config import from_settings
from cdc.methods.model import CDC, CoOp, ZeroShot, build_method

CARD = "card.json"
WEIGHTS = "adapter.safetensors"
FORMAT = 1
"""Version of the two files; raised when an older reader would misread them."""


@dataclass(frozen=True)
class AdapterCard:
    """What an adapter is, in words and settings; lies beside the weights as JSON.

    Attributes:
        method: settings of the method, with its type.
        backbone: name, pretrained, precision and fingerprint of the frozen model.
        class_names: classes it was trained on.
        template: hand-crafted template t^0.
        data: name, fingerprint, shots and split of the training data.
        training: settings and losses; empty for zero-shot.
        provenance: versions, device and commit.
    """

    method: dict[str, Any]
    backbone: dict[str, Any]
    class_names: tuple[str, ...]
    template: str
    data: dict[str, Any]
    training: dict[str, Any]
    provenance: dict[str, Any]


@final
class Adapter:
    """A trained method with its frozen backbone.

    Args:
        method: trained (or zero-shot) method.
        card: its description.

    Example:
        >>> import cdc
        >>> data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> adapter = cdc.fit(data, cdc.ZeroShotConfig(), cdc.load_backbone("photo"))
        >>> adapter.predict([Image.new("RGB", (64, 64))], class_names=["horse", "sheep", "cow"]).probabilities.shape
        torch.Size([1, 3])
    """

    def __init__(self, method: ZeroShot | CoOp | CDC, card: AdapterCard) -> None:
        self.method = method
        self.card = card
        self._text: dict[tuple[str, ...], Tensor] = {}

    @property
    def backbone(self) -> Backbone:
        """The frozen towers behind the adapter."""
        return self.method.backbone

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes the adapter was trained on."""
        return self.card.class_names

    def text_features(self, class_names: Sequence[str] | None = None) -> Float[Tensor, "templates classes dim"]:
        """Text features of `class_names`, computed once per list; None means the trained classes."""
        names = tuple(class_names) if class_names is not None else self.class_names
        if names not in self._text:
            with torch.no_grad():
                self._text[names] = self.method.text_features(names)
        return self._text[names]

    def predict(
        self, images: Sequence[Image.Image | Path | str], class_names: Sequence[str] | None = None
    ) -> Prediction:
        """Classify pictures.

        Args:
            images: pictures or files.
            class_names: any K classes, new ones included; None means the trained ones.

        Returns:
            Probabilities, belief [N, K], uncertainty [N] and labels [N].

        Raises:
            InputError: if there is no image, or a file cannot be read.
        """
        if len(images) == 0:
            raise InputError("images must hold at least one picture or path; received none.")
        pictures = (image if isinstance(image, Image.Image) else read_image(Path(image)) for image in images)
        pixels = torch.stack([self.backbone.preprocess(picture.convert("RGB")) for picture in pictures])
        features = torch.cat([self.backbone.encode_images(batch) for batch in pixels.split(64)])
        return self.predict_features(features, class_names)

    @torch.no_grad()
    def predict_features(
        self, features: Float[Tensor, "rows dim"], class_names: Sequence[str] | None = None
    ) -> Prediction:
        """Classify images whose features are at hand, as `cdc.encode_images` returns them."""
        return self.method.predict(features.to(self.backbone.device), self.text_features(class_names))

    def save(self, directory: Path | str, *, force: bool = False) -> None:
        """Write weights (safetensors) and card (JSON) into `directory`.

        Raises:
            InputError: if an adapter lies there already and `force` is false.
        """
        directory = Path(directory)
        for name in (CARD, WEIGHTS):
            refuse_overwrite(directory / name, force=force)
        weights = save({name: value.contiguous() for name, value in self.method.state_dict().items()})
        write_bytes(directory / WEIGHTS, weights)
        # The card is written last and names the weights, so an interrupted save cannot pass for a whole one.
        card = {"format": FORMAT, "weights_sha256": hashlib.sha256(weights).hexdigest(), **asdict(self.card)}
        write_json(directory / CARD, card)


def load_adapter(directory: Path | str, *, device: str = "cpu", backbone: Backbone | None = None) -> Adapter:
    """Read an adapter that `Adapter.save` wrote.

    Args:
        directory: where `card.json` and `adapter.safetensors` lie.
        device: where to load the backbone.
        backbone: use this one instead of loading what the card names.

    Raises:
        InputError: if a file is missing or damaged, or the backbone's weights are not those of training.
    """
    directory = Path(directory)
    card, weights = _read(directory)
    described = card.backbone
    if backbone is None:
        backbone = load_backbone(
            described["name"], described["pretrained"], device=device, precision=described["precision"]
        )
    if backbone.precision == described["precision"] and backbone.fingerprint != described["fingerprint"]:
        raise InputError(
            f"the backbone must have the weights the adapter was trained on ({described['name']}, "
            f"pretrained={described['pretrained']!r}, fingerprint {described['fingerprint']}); received fingerprint "
            f"{backbone.fingerprint}. Pass the same checkpoint."
        )
    method = build_method(from_settings(card.method), backbone, card.class_names, template=card.template, seed=0)
    method.load_state_dict({name: value.to(backbone.device) for name, value in weights.items()})
    return Adapter(method, card)


def _read(directory: Path) -> tuple[AdapterCard, dict[str, Tensor]]:
    try:
        card = json.loads((directory / CARD).read_text())
        content = (directory / WEIGHTS).read_bytes()
    except FileNotFoundError as error:
        raise InputError(
            f"an adapter directory must hold {CARD} and {WEIGHTS}; received {directory} without "
            f"{Path(str(error.filename)).name}. Make one with 'causalvlm adapt ... --out DIR'."
        ) from error
    except json.JSONDecodeError as error:
        raise InputError(f"{directory / CARD} must be JSON; {error}. Save the adapter again.") from error
    if card.pop("format", None) != FORMAT:
        raise InputError(f"{directory / CARD} must have format {FORMAT}. Install the version that wrote it.")
    if card.pop("weights_sha256", None) != hashlib.sha256(content).hexdigest():
        raise InputError(f"{directory / WEIGHTS} must be what the card describes; its checksum differs. Save it again.")
    card["class_names"] = tuple(card["class_names"])
    try:
        return AdapterCard(**card), load(content)
    except TypeError as error:
        raise InputError(f"{directory / CARD} must hold the fields of an adapter card; {error}.") from error


def describe_backbone(backbone: Backbone) -> dict[str, Any]:
    """What a card says of the backbone."""
    return {
        "name": backbone.name,
        "pretrained": backbone.pretrained,
        "precision": backbone.precision,
        "fingerprint": backbone.fingerprint,
    }
