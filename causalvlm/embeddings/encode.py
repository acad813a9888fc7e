"""From image files and a model to an `EmbeddingTable`."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

import cdc
from causalvlm.datasets import load_dataset
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError

Data = cdc.ImageDataset | str | Path
"""A data set, or what `load_dataset` finds one by."""

BackboneChoice = cdc.Backbone | str | None
"""A loaded backbone, the name of one, or None: the adapter's own, or ``"picto"`` without an adapter."""

AdapterChoice = cdc.Adapter | str | Path | None
"""A trained adapter, the folder it was saved in, or None: the backbone's zero-shot classifier."""

ZERO_SHOT_IMAGES = "all images"
ADAPTER_IMAGES = "the test split, because the adapter has seen training images"


def embed(
    data: Data,
    backbone: BackboneChoice = None,
    adapter: AdapterChoice = None,
    *,
    cache: Path | Literal["default"] | None = "default",
    progress: str | None = "encoding images",
) -> EmbeddingTable:
    """Embed the images of a data set and classify them among its class names.

    Without an adapter, every image enters: a zero-shot model has seen none of them. With one, only the test split.
    `EmbeddingTable.provenance` says which.

    Args:
        data: a data set, its name, a folder or a CSV file.
        backbone: frozen towers.
        adapter: classifies with its templates; without, the data set's hand-crafted template does.
        cache: folder of cached features; None turns caching off.
        progress: label of a progress bar, shown on a terminal while something is being encoded.

    Returns:
        The table: unit-length features, logits (zero-shot: cosines times the backbone's scale; adapter:
        log-probabilities), labels and factors; files that could not be read are in `unreadable`.

    Raises:
        InputError: if data, backbone or adapter cannot be found, they do not fit, or no image is left.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> file = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (64, 48), "red").save(file)
        >>> test = (cdc.Example(file, 0, {"domain": "synthetic"}),)
        >>> table = embed(cdc.ImageDataset("toy", ("tomato", "sky"), (), (), test), "photo", cache=None)
        >>> table.features.shape, table.logits.shape, table.factors["domain"].tolist()
        ((1, 384), (1, 2), ['synthetic'])
    """
    dataset = data if isinstance(data, cdc.ImageDataset) else load_dataset(data)
    trained = _find_adapter(adapter, backbone)
    towers = trained.backbone if trained else _find_backbone(backbone)
    examples = dataset.test if trained else dataset.examples
    if not examples:
        raise InputError(
            f"there must be images to embed; {dataset.name} has none in {'its test split' if trained else 'any split'}."
        )
    features = cdc.encode_images(towers, [item.path for item in examples], cache=cache, progress=progress)
    kept = [examples[row] for row in features.kept]
    classifier = trained or cdc.fit(dataset, cdc.ZeroShotConfig(), towers)
    return EmbeddingTable(
        features=features.values.numpy(),
        logits=_logits(classifier, features.values, dataset.class_names, zero_shot=trained is None),
        labels=np.array([item.label for item in kept]),
        factors={name: np.array([item.factors[name] for item in kept]) for name in dataset.factor_names},
        class_names=dataset.class_names,
        files=tuple(item.path for item in kept),
        unreadable=features.unreadable,
        provenance=_describe(dataset, classifier, zero_shot=trained is None),
    )


def _find_backbone(backbone: BackboneChoice) -> cdc.Backbone:
    return backbone if isinstance(backbone, cdc.Backbone) else cdc.load_backbone(backbone or "picto")


def _find_adapter(adapter: AdapterChoice, backbone: BackboneChoice) -> cdc.Adapter | None:
    match adapter:
        case None:
            return None
        case cdc.Adapter():
            found = adapter
        case directory:
            found = cdc.load_adapter(directory, backbone=backbone if isinstance(backbone, cdc.Backbone) else None)
    asked = backbone.name if isinstance(backbone, cdc.Backbone) else backbone
    if asked not in (None, found.backbone.name):
        raise InputError(
            f"an adapter must meet the backbone it was trained on, {found.backbone.name!r}; received {asked!r}. "
            "Leave the backbone out: the adapter names its own."
        )
    return found


def _logits(
    classifier: cdc.Adapter, features: torch.Tensor, class_names: tuple[str, ...], *, zero_shot: bool
) -> Float[np.ndarray, "rows classes"]:
    if zero_shot:
        text = classifier.text_features(class_names)[0].cpu()
        return (classifier.backbone.logit_scale * features @ text.T).numpy()
    probabilities = classifier.predict_features(features, class_names).probabilities.cpu()
    # An opinion can be so sure that a rival's probability leaves float32: the margin then stops at about 87 nats.
    return probabilities.clamp(min=torch.finfo(torch.float32).tiny).log().numpy()


def _describe(dataset: cdc.ImageDataset, classifier: cdc.Adapter, *, zero_shot: bool) -> dict[str, object]:
    towers = classifier.backbone
    return {
        "data": dataset.name,
        "data_fingerprint": dataset.fingerprint,
        "images": ZERO_SHOT_IMAGES if zero_shot else ADAPTER_IMAGES,
        "method": "zero-shot" if zero_shot else classifier.card.method["type"],
        "template": dataset.template if zero_shot else classifier.card.template,
        "backbone": towers.name,
        "pretrained": towers.pretrained,
        "precision": towers.precision,
        "device": str(towers.device),
        "backbone_fingerprint": towers.fingerprint,
    }
