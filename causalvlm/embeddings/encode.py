"""From image files and a model to an `EmbeddingTable`."""

from pathlib import Path
from typing import Literal

import numpy as np

import cdc
from causalvlm.datasets import load_dataset
from causalvlm.embeddings.table import EmbeddingTable, Source
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
    `EmbeddingTable.source` says which. The features are those of the frozen image tower, also for a method with an
    image tower of its own: that one shows in the logits.

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
    model = trained or cdc.fit(dataset, cdc.ZeroShotConfig(), towers)
    paths = [item.path for item in examples]
    answers = model.classify(paths, dataset.class_names, cache=cache, progress=progress)
    features = answers.features
    if features is None:  # the classifier reads pixels: the frozen tower has not seen the images yet
        features = cdc.encode_images(towers, paths, cache=cache, progress=progress).values
    kept = [examples[row] for row in answers.kept]
    return EmbeddingTable(
        features=features.numpy(),
        logits=answers.prediction.logits.cpu().numpy(),
        labels=np.array([item.label for item in kept]),
        factors={name: np.array([item.factors[name] for item in kept]) for name in dataset.factor_names},
        class_names=dataset.class_names,
        files=tuple(item.path for item in kept),
        unreadable=answers.unreadable,
        source=describe(
            model,
            data=dataset.name,
            fingerprint=dataset.fingerprint,
            images=ADAPTER_IMAGES if trained else ZERO_SHOT_IMAGES,
        ),
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


def describe(model: cdc.Adapter, *, data: str, fingerprint: str, images: str) -> Source:
    """What a table says of the model and the images behind it.

    Args:
        model: what classifies, zero-shot or trained.
        data: name of the data set.
        fingerprint: of its files and labels; empty for pictures that are no files.
        images: which of its images, in words.
    """
    towers = model.backbone
    return Source(
        data=data,
        data_fingerprint=fingerprint,
        images=images,
        method=model.card.method.name,
        template=model.card.template,
        backbone=towers.name,
        pretrained=towers.pretrained,
        precision=towers.precision,
        device=str(towers.device),
        backbone_fingerprint=towers.fingerprint,
    )
