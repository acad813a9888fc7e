"""`fit`: from a data set and a method's settings to an adapter. What can be encoded once is, before training."""

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from cdc.adapter import Adapter, load_adapter
from cdc.backbones.backbone import Backbone
from cdc.card import AdapterCard, BackboneRecord, DataRecord, TrainingRecord
from cdc.data.dataset import DEFAULT_TEMPLATE, Example, ImageDataset
from cdc.data.splits import few_shot, select_classes
from cdc.errors import InputError
from cdc.files import in_use, refuse_overwrite
from cdc.images.encode import CacheFolder
from cdc.images.views import AugmentationSet, ViewPlan
from cdc.methods.method import Method, MethodConfig, Task, Trainable
from cdc.methods.registry import build_method
from cdc.methods.schedule import TrainingConfig
from cdc.progress import epoch_bar
from cdc.provenance import provenance
from cdc.saved import CARD
from cdc.training.checkpoint import discard_checkpoints, of_rehearsal
from cdc.training.loop import train
from cdc.training.rehearsal import rehearse
from cdc.training.sources import Embeddings, Files, Source


@dataclass(frozen=True)
class FitSettings:
    """Everything about a fit but the method.

    Attributes:
        shots: training images per class.
        classes: train on the first half of the classes, the second, or all.
        training: epochs, optimizer, seed of sampling and shuffling.
        views: K cached views per image and template.
        augmentation: of the training images (see `cdc.ViewPlan`); None for the method's own.
        allow_fewer: take what there is of a class with fewer images than `shots`.
        cache: folder of cached features; None turns caching off.
        checkpoint: file written after every epoch, resumed from, and removed at the end; None for no resume.
    """

    shots: int = 16
    classes: Literal["base", "new", "all"] = "all"
    training: TrainingConfig = field(default_factory=TrainingConfig)
    views: int = 4
    augmentation: AugmentationSet | None = None
    allow_fewer: bool = False
    cache: CacheFolder = "default"
    checkpoint: Path | None = None


DEFAULT_SETTINGS = FitSettings()
"""16 shots of all classes, trained as `TrainingConfig` says."""

CHECKPOINT = "checkpoint.safetensors"
"""Where `fit_into` keeps the state of the training, beside the adapter to come."""


def fit(
    dataset: ImageDataset,
    method: MethodConfig,
    backbone: Backbone,
    settings: FitSettings = DEFAULT_SETTINGS,
    *,
    keep_checkpoint: bool = False,
) -> Adapter:
    """Adapt `backbone` to `dataset` with a few images per class.

    Args:
        dataset: class names and training images.
        method: settings of the method, which say by their type which one it is.
        backbone: frozen towers.
        settings: shots, classes, training and caching.
        keep_checkpoint: leave it, where the result has still to be measured: a kill then costs no training. Who does so
            removes it with `discard_checkpoints`.

    Returns:
        The adapter, with a card that says how it was made.

    Raises:
        InputError: if a class has fewer images than shots, or settings and data do not fit.

    Example:
        >>> import cdc
        >>> data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> fit(data, cdc.ZeroShotConfig(), cdc.load_backbone("photo")).class_names
        ('cat', 'dog')
    """
    adapter = _train(*_prepare(dataset, method, backbone, settings), settings, _files(backbone, settings))
    if settings.checkpoint and not keep_checkpoint:
        discard_checkpoints(settings.checkpoint)
    return adapter


def fit_into(
    out: Path,
    dataset: ImageDataset,
    method: MethodConfig,
    backbone: Backbone,
    settings: FitSettings = DEFAULT_SETTINGS,
    *,
    force: bool = False,
) -> Adapter:
    """`fit`, saved in a folder: killed at any moment, the same call does what is left to do.

    Args:
        out: folder of the adapter; its checkpoint lies there until the adapter does.
        dataset: class names and training images.
        method: settings of the method.
        backbone: frozen towers.
        settings: shots, classes, training and caching; `checkpoint` plays no part.
        force: train again, and replace the adapter that is there.

    Returns:
        The adapter: the one in `out`, if the same call has finished before.

    Raises:
        InputError: as `fit` does; if another adapter lies in `out` and `force` is false; or if another process works
            there.

    Example:
        >>> import cdc, tempfile
        >>> data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> out = Path(tempfile.mkdtemp())
        >>> fit_into(out, data, cdc.ZeroShotConfig(), cdc.load_backbone("picto")).class_names
        ('cat', 'dog')
        >>> sorted(path.name for path in out.iterdir())
        ['adapter.safetensors', 'card.json']
    """
    model, shots, card = _prepare(dataset, method, backbone, settings)
    with in_use(out):
        adapter = None if force else _finished(out, card, backbone)
        if adapter is None:
            refuse_overwrite(out / CARD, force=force)
            settings = replace(settings, checkpoint=out / CHECKPOINT)
            adapter = _train(model, shots, card, settings, _files(backbone, settings))
            adapter.save(out, force=force)
        discard_checkpoints(out / CHECKPOINT)
    return adapter


def fit_shots(
    dataset: ImageDataset, method: MethodConfig, backbone: Backbone, settings: FitSettings = DEFAULT_SETTINGS
) -> Adapter:
    """`fit` with the whole training split of `dataset` as the shots and all of its classes.

    Args:
        dataset: its training split is the shots.
        method: settings of the method.
        backbone: frozen towers.
        settings: training and caching; `shots`, `classes` and `allow_fewer` play no part.
    """
    settings = replace(settings, classes="all")
    model = _build(dataset, method, backbone, settings)
    adapter = _train(model, dataset, _card(model, dataset, settings), settings, _files(backbone, settings))
    if settings.checkpoint:
        discard_checkpoints(settings.checkpoint)
    return adapter


def fit_features(
    features: Float[Tensor, "rows dim"],
    labels: Int[Tensor, " _"],
    class_names: Sequence[str],
    method: MethodConfig,
    backbone: Backbone,
    settings: FitSettings = DEFAULT_SETTINGS,
    *,
    template: str = DEFAULT_TEMPLATE,
) -> Adapter:
    """`fit` on embeddings that are there already; a template sees an image in training as at test time.

    Args:
        features: embeddings that the image tower of `backbone` made; they are scaled to unit length.
        labels: index into `class_names`.
        class_names: the classes.
        method: settings of a method that trains on features.
        backbone: frozen towers.
        settings: shots, classes and training; views, augmentation and cache play no part.
        template: hand-crafted, with ``{}`` once.

    Raises:
        InputError: as `fit` does; if the features are not the backbone's in their number of columns or not one for each
            label, or the method trains on pixels.

    Example:
        >>> import cdc, torch
        >>> backbone = cdc.load_backbone("picto")
        >>> features = backbone.encode_texts(["a picture of a cat.", "a picture of a dog."])
        >>> fit_features(features, torch.tensor([0, 1]), ["cat", "dog"], cdc.ZeroShotConfig(), backbone).class_names
        ('cat', 'dog')
    """
    if features.shape[1] != backbone.dim or len(features) != len(labels):
        raise InputError(
            f"features must have the {backbone.dim} columns of {backbone.name!r} and a row for each of {len(labels)} "
            f"labels; received shape {list(features.shape)}. Make them with encode_images."
        )
    rows = tuple(Example(Path(str(row)), int(label)) for row, label in enumerate(labels))
    values = functional.normalize(features.float(), dim=-1)
    # What is in them goes with their name, so that cards and checkpoints of other embeddings are told apart.
    name = f"embeddings {hashlib.sha256(values.cpu().numpy().tobytes()).hexdigest()[:16]}"
    dataset = ImageDataset(name, tuple(class_names), rows, (), (), template)
    settings = replace(settings, views=1, augmentation="none")
    model, shots, card = _prepare(dataset, method, backbone, settings)
    adapter = _train(model, shots, card, settings, Embeddings(values.to(backbone.device)))
    if settings.checkpoint:
        discard_checkpoints(settings.checkpoint)
    return adapter


def _prepare(
    dataset: ImageDataset, method: MethodConfig, backbone: Backbone, settings: FitSettings
) -> tuple[Method, ImageDataset, AdapterCard]:
    """The untrained method, its shots, and the card as far as it can be written now."""
    chosen = select_classes(dataset, settings.classes)
    model = _build(chosen, method, backbone, settings)
    if isinstance(model, Trainable):
        # Shots are drawn before classes are cut, as in the literature: the stream of draws covers all classes.
        seed = settings.training.seed
        drawn = few_shot(dataset, shots=settings.shots, seed=seed, allow_fewer=settings.allow_fewer)
        chosen = select_classes(drawn, settings.classes)
    return model, chosen, _card(model, chosen, settings)


def _build(dataset: ImageDataset, method: MethodConfig, backbone: Backbone, settings: FitSettings) -> Method:
    task = Task(dataset.class_names, dataset.template, seed=settings.training.seed)
    return build_method(method, backbone, task)


def _finished(out: Path, card: AdapterCard, backbone: Backbone) -> Adapter | None:
    """The adapter in `out`, if it is sound and what `card` asks for."""
    try:
        found = load_adapter(out, backbone=backbone)
    except InputError:
        return None
    return found if found.card.is_of(card) else None


def _train(model: Method, dataset: ImageDataset, card: AdapterCard, settings: FitSettings, source: Source) -> Adapter:
    if card.training is None or not isinstance(model, Trainable):
        return Adapter(model, card)
    config, name = settings.training, model.config.name
    plan = _views(model, settings)

    def run(
        model: Trainable, dataset: ImageDataset, label: str, checkpoint: Path | None
    ) -> tuple[tuple[float, ...], tuple[tuple[Path, str], ...]]:
        nonlocal seconds
        shots, unreadable = source.shots(dataset, model, plan)
        started = time.perf_counter()
        with epoch_bar(label, total=config.epochs) as report:
            losses = train(model, shots, config, checkpoint=checkpoint, progress=report)
        seconds += time.perf_counter() - started
        return losses, unreadable

    def rehearsal(part: ImageDataset, number: int) -> Trainable:
        half = _build(part, model.config, model.backbone, settings)
        assert isinstance(half, Trainable)  # noqa: S101 - as the whole is
        run(half, part, f"rehearsing {name}, {number} of 2", checkpoints[number])
        return half

    checkpoints = [settings.checkpoint and of_rehearsal(settings.checkpoint, number) for number in range(3)]
    seconds = 0.0
    if model.rehearses and (rehearsals := rehearse(dataset, rehearsal, source.held_out, seed=config.seed)):
        model.learn_from(rehearsals)
    losses, unreadable = run(model, dataset, f"training {name}", checkpoints[0])
    left_out = tuple(f"{path}: {reason}" for path, reason in unreadable)
    record = replace(card.training, losses=losses, seconds=seconds, unreadable=left_out)
    return Adapter(model, replace(card, training=record))


def _files(backbone: Backbone, settings: FitSettings) -> Files:
    return Files(backbone, settings.training.seed, settings.cache)


def _views(model: Trainable, settings: FitSettings) -> ViewPlan:
    return ViewPlan(settings.augmentation or model.trains_on.augmentation, views=settings.views)


def _card(model: Method, dataset: ImageDataset, settings: FitSettings) -> AdapterCard:
    """The card of an adapter before its training, of which nothing but the settings is known yet."""
    training, shots = None, 0
    if isinstance(model, Trainable):
        plan = _views(model, settings)
        training = TrainingRecord(settings.training, (), 0.0, views=plan.views, augmentation=plan.set, unreadable=())
        shots = max(Counter(example.label for example in dataset.train).values(), default=0)
    data = DataRecord(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        split_source=dataset.split_source,
        shots=shots,
        seed=settings.training.seed,
        classes=settings.classes,
    )
    return AdapterCard(
        method=model.config,
        backbone=BackboneRecord.of(model.backbone),
        class_names=dataset.class_names,
        template=dataset.template,
        data=data,
        training=training,
        provenance=provenance(str(model.backbone.device)),
    )
