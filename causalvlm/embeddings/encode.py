"""From image files and a model to an `EmbeddingTable`."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch

import cdc
from causalvlm.datasets import load_dataset
from causalvlm.embeddings.model import Model, model_of
from causalvlm.embeddings.store import StoreWriter, read_clip_retrieval
from causalvlm.embeddings.table import EmbeddingTable, Source
from causalvlm.errors import InputError
from cdc.data.dataset import DEFAULT_TEMPLATE
from cdc.progress import image_bar, silence

Data = cdc.ImageDataset | str | Path
"""A data set, or what `load_dataset` finds one by."""

BackboneChoice = cdc.Backbone | str | None
"""A loaded backbone, the name of one, or None: the adapter's own, or ``"picto"`` without an adapter."""

AdapterChoice = cdc.Adapter | str | Path | None
"""A trained adapter, the folder it was saved in, or None: the backbone's zero-shot classifier."""

ZERO_SHOT_IMAGES = "all images"
ADAPTER_IMAGES = "the test split, because the adapter has seen training images"

BLOCK = 512
"""Images that `embed_into` has in memory at once."""


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
    model, dataset, examples = _prepare(data, backbone, adapter)
    return _embed(model, dataset, examples, cache=cache, progress=progress)


def embed_with_model(
    data: Data,
    backbone: BackboneChoice = None,
    adapter: AdapterChoice = None,
    *,
    progress: str | None = "encoding images",
) -> tuple[EmbeddingTable, Model]:
    """`embed`, and the model itself, which may be asked of other pictures.

    Raises:
        InputError: as `embed`.

    Example:
        >>> from PIL import Image
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (64, 48), "red").save(file)
        >>> table, model = embed_with_model(cdc.ImageDataset("toy", ("tomato", "sky"), (), (), (cdc.Example(file, 0),)))
        >>> model.answer([Image.new("RGB", (64, 48), "blue")]).shape
        (1, 2)
    """
    asked, dataset, examples = _prepare(data, backbone, adapter)
    return _embed(asked, dataset, examples, cache="default", progress=progress), model_of(asked, dataset.class_names)


def embed_into(
    directory: Path | str,
    data: Data,
    backbone: BackboneChoice = None,
    adapter: AdapterChoice = None,
    *,
    cache: Path | Literal["default"] | None = "default",
    force: bool = False,
    progress: str | None = "encoding images",
) -> None:
    """`embed` into a folder, a block of images in memory at a time; `load_embeddings` reads it.

    After a kill the same call goes on: what was encoded is in the cache.

    Args:
        directory: made if needed.
        data: a data set, its name, a folder or a CSV file.
        backbone: frozen towers.
        adapter: classifies with its templates; without, the data set's hand-crafted template does.
        cache: folder of cached features; None turns caching off.
        force: replace embeddings that lie there.
        progress: label of a progress bar, shown on a terminal.

    Raises:
        InputError: as `embed`; if embeddings lie there already and `force` is false; or if of a whole block of
            `BLOCK` images none can be read.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from causalvlm.embeddings.table import load_embeddings
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (64, 48), "red").save(folder / "red.png")
        >>> test = (cdc.Example(folder / "red.png", 0),)
        >>> embed_into(folder / "out", cdc.ImageDataset("toy", ("tomato", "sky"), (), (), test), "photo", cache=None)
        >>> load_embeddings(folder / "out").features.shape
        (1, 384)
    """
    with StoreWriter(Path(directory), force=force) as writer:
        model, dataset, examples = _prepare(data, backbone, adapter)
        unreadable: list[tuple[str, str]] = []
        with image_bar(progress, total=len(examples)) as advance:
            for start in range(0, len(examples), BLOCK):
                block = examples[start : start + BLOCK]
                with silence():
                    table = _embed(model, dataset, block, cache=cache, progress=None)
                table.append_to(writer)
                unreadable += [(str(path), reason) for path, reason in table.unreadable]
                for _ in block:
                    advance()
        writer.describe(
            class_names=dataset.class_names,
            factors=dataset.factor_names,
            unreadable=tuple(unreadable),
            source=_source(model, dataset).to_record(),
            provenance=cdc.provenance(str(model.backbone.device)),
        )


def embed_clip_retrieval(
    directory: Path | str, backbone: BackboneChoice, *, template: str | None = None
) -> EmbeddingTable:
    """A table from a folder of clip-retrieval: its embeddings, classified zero-shot among the folders of the images.

    Args:
        directory: where img_emb/ and metadata/ lie; the class of an image is the name of the folder it lies in.
        backbone: the model that made the embeddings, which the folder does not name.
        template: hand-crafted prompt, with one ``{}`` for the class name.

    Raises:
        InputError: if parts of the folder do not fit, the embeddings have not the backbone's width, or are zero.
    """
    features, files = read_clip_retrieval(Path(directory))
    names = tuple(sorted({path.parent.name for path in files}))
    label = {name: place for place, name in enumerate(names)}
    towers = _find_backbone(backbone)
    if features.shape[1] != towers.dim:
        raise InputError(
            f"embeddings must be those of the backbone, {towers.name!r} with {towers.dim} numbers an image; received "
            f"{features.shape[1]} in {directory}. Name the model that made them."
        )
    lengths = np.linalg.norm(features.astype(np.float32), axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise InputError(f"every embedding must have a direction; received zeros or NaN in {directory}. Embed again.")
    examples = tuple(cdc.Example(path, label[path.parent.name]) for path in files)
    dataset = cdc.ImageDataset(Path(directory).name, names, (), (), examples, template or DEFAULT_TEMPLATE)
    model = cdc.fit(dataset, cdc.ZeroShotConfig(), towers)
    unit = features / lengths
    logits = model.classifier(names)(torch.from_numpy(unit).to(towers.device)).logits.cpu().numpy()
    unit.setflags(write=False)  # the table takes it without a copy
    return EmbeddingTable(
        features=unit,
        logits=logits,
        labels=np.array([item.label for item in examples]),
        factors={},
        class_names=names,
        files=files,
        source=_source(model, dataset),
    )


def _prepare(
    data: Data, backbone: BackboneChoice, adapter: AdapterChoice
) -> tuple[cdc.Adapter, cdc.ImageDataset, tuple[cdc.Example, ...]]:
    """What classifies, and which images of the data set it has not been trained on."""
    dataset = data if isinstance(data, cdc.ImageDataset) else load_dataset(data)
    trained = _find_adapter(adapter, backbone)
    examples = dataset.test if trained else dataset.examples
    if not examples:
        raise InputError(
            f"there must be images to embed; {dataset.name} has none in {'its test split' if trained else 'any split'}."
        )
    return trained or cdc.fit(dataset, cdc.ZeroShotConfig(), _find_backbone(backbone)), dataset, examples


def _embed(
    model: cdc.Adapter,
    dataset: cdc.ImageDataset,
    examples: tuple[cdc.Example, ...],
    *,
    cache: Path | Literal["default"] | None,
    progress: str | None,
) -> EmbeddingTable:
    paths = [item.path for item in examples]
    answers = model.classify(paths, dataset.class_names, cache=cache, progress=progress)
    features = answers.features
    if features is None:  # the classifier reads pixels: the frozen tower has not seen the images yet
        features = cdc.encode_images(model.backbone, paths, cache=cache, progress=progress).values
    kept = [examples[row] for row in answers.kept]
    return EmbeddingTable(
        features=features.numpy(),
        logits=answers.prediction.logits.cpu().numpy(),
        labels=np.array([item.label for item in kept]),
        factors={name: np.array([item.factors[name] for item in kept]) for name in dataset.factor_names},
        class_names=dataset.class_names,
        files=tuple(item.path for item in kept),
        unreadable=answers.unreadable,
        source=_source(model, dataset),
    )


def _source(model: cdc.Adapter, dataset: cdc.ImageDataset) -> Source:
    images = ZERO_SHOT_IMAGES if isinstance(model.card.method, cdc.ZeroShotConfig) else ADAPTER_IMAGES
    return describe(model, data=dataset.name, fingerprint=dataset.fingerprint, images=images)


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
