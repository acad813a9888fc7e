"""What an adapter, or any model, says of pictures, template by template: the values of the mediator S."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

import cdc
from causalvlm.embeddings.model import Model, Pictures, encode_pictures, pixels_of

AT_ONCE = 4096
"""Embeddings that are classified at once."""

Features = Float[np.ndarray, "rows dim"]


@dataclass(frozen=True, eq=False)
class Said:
    """What was said of some images.

    Attributes:
        opinions: by every template, log-probabilities up to a constant per row.
        logits: the answer, likewise.
    """

    opinions: Float[np.ndarray, "templates rows classes"]
    logits: Float[np.ndarray, "rows classes"]


@dataclass(frozen=True, eq=False)
class Subject:
    """Whose opinions are audited.

    Attributes:
        name: in reports.
        of_pictures: what it says of pictures.
        of_features: what it says of embeddings; None for one that reads pixels.
        encode: the embeddings of pictures; None where it has none.
    """

    name: str
    of_pictures: Callable[[Pictures], Said]
    of_features: Callable[[Features], Said] | None = None
    encode: Callable[[Pictures], Features] | None = None


def subject_of(adapter: cdc.Adapter, class_names: tuple[str, ...]) -> Subject:
    """A trained or zero-shot adapter among some class names.

    Example:
        >>> from PIL import Image
        >>> data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> adapter = cdc.fit(data, cdc.ZeroShotConfig(), cdc.load_backbone("picto"))
        >>> subject_of(adapter, ("cat", "dog", "cow")).of_pictures([Image.new("RGB", (64, 64))]).opinions.shape
        (1, 1, 3)
    """
    classifier, backbone = adapter.classifier(class_names), adapter.backbone

    def encode(pictures: Pictures) -> Features:
        return encode_pictures(backbone, pictures)

    def of_features(features: Features) -> Said:
        parts = [_said(classifier, torch.from_numpy(part.copy()).to(backbone.device)) for part in _blocks(features)]
        return Said(
            np.concatenate([part.opinions for part in parts], axis=1), np.concatenate([part.logits for part in parts])
        )

    def of_pictures(pictures: Pictures) -> Said:
        if classifier.reads == "features":
            return of_features(encode(pictures))
        return _said(classifier, pixels_of(backbone, pictures))

    reads_features = classifier.reads == "features"
    return Subject(adapter.card.method.name, of_pictures, of_features if reads_features else None, encode)


def subject_from(model: Model) -> Subject:
    """A model that gives probabilities: one template, whose opinion is its answer.

    Example:
        >>> from PIL import Image
        >>> from causalvlm.embeddings.model import model_from
        >>> model = model_from(lambda pictures: np.full((len(pictures), 2), 0.5), ("cat", "dog"))
        >>> subject_from(model).of_pictures([Image.new("RGB", (8, 8))]).opinions.shape
        (1, 1, 2)
    """

    def of_pictures(pictures: Pictures) -> Said:
        logits = model.answer(pictures)
        return Said(logits[None], logits)

    return Subject(model.name, of_pictures, None, model.encode)


@torch.no_grad()
def _said(classifier: cdc.Classifier, images: torch.Tensor) -> Said:
    opinions = cdc.template_logits(classifier, images)
    return Said(opinions.float().cpu().numpy(), classifier(images).logits.float().cpu().numpy())


def _blocks(features: Features) -> list[Features]:
    return [features[start : start + AT_ONCE] for start in range(0, len(features), AT_ONCE)]
