"""`fit`: from a data set and a method's settings to an adapter. What can be encoded once is, before training."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cdc.adapter import Adapter
from cdc.backbones.backbone import Backbone
from cdc.card import AdapterCard, BackboneRecord, DataRecord, TrainingRecord
from cdc.data.dataset import ImageDataset
from cdc.data.splits import few_shot, select_classes
from cdc.images.encode import CacheFolder
from cdc.images.views import AugmentationSet, ViewPlan
from cdc.methods.method import Method, MethodConfig, Task, Trainable
from cdc.methods.registry import build_method
from cdc.methods.schedule import TrainingConfig
from cdc.progress import epoch_bar
from cdc.provenance import provenance
from cdc.training.loop import train
from cdc.training.rehearsal import rehearse
from cdc.training.shots import gather_shots


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
        checkpoint: file written after every epoch and resumed from; None for no resume.
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


def fit(
    dataset: ImageDataset, method: MethodConfig, backbone: Backbone, settings: FitSettings = DEFAULT_SETTINGS
) -> Adapter:
    """Adapt `backbone` to `dataset` with a few images per class.

    Args:
        dataset: class names and training images.
        method: settings of the method, which say by their type which one it is.
        backbone: frozen towers.
        settings: shots, classes, training and caching.

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
    chosen = select_classes(dataset, settings.classes)
    model = _build(chosen, method, backbone, settings)
    if not isinstance(model, Trainable):
        return _adapter(model, chosen, settings, training=None)
    # Shots are drawn before classes are cut, as in the literature: the stream of draws covers all classes.
    seed = settings.training.seed
    drawn = few_shot(dataset, shots=settings.shots, seed=seed, allow_fewer=settings.allow_fewer)
    return _train(model, select_classes(drawn, settings.classes), settings)


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
    model = _build(dataset, method, backbone, settings)
    if isinstance(model, Trainable):
        return _train(model, dataset, settings)
    return _adapter(model, dataset, settings, training=None)


def _build(dataset: ImageDataset, method: MethodConfig, backbone: Backbone, settings: FitSettings) -> Method:
    task = Task(dataset.class_names, dataset.template, seed=settings.training.seed)
    return build_method(method, backbone, task)


def _train(model: Trainable, dataset: ImageDataset, settings: FitSettings) -> Adapter:
    config, name = settings.training, model.config.name
    plan = ViewPlan(settings.augmentation or model.trains_on.augmentation, views=settings.views)

    def run(
        model: Trainable, dataset: ImageDataset, label: str, checkpoint: Path | None
    ) -> tuple[tuple[float, ...], tuple[tuple[Path, str], ...]]:
        nonlocal seconds
        shots, unreadable = gather_shots(dataset, model, plan, seed=config.seed, cache=settings.cache)
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

    checkpoints = [_beside(settings.checkpoint, number) for number in range(3)]
    seconds = 0.0
    if model.rehearses and (
        rehearsals := rehearse(dataset, model.backbone, rehearsal, seed=config.seed, cache=settings.cache)
    ):
        model.learn_from(rehearsals)
    losses, unreadable = run(model, dataset, f"training {name}", checkpoints[0])
    record = TrainingRecord(
        config=config,
        losses=losses,
        seconds=seconds,
        views=settings.views,
        augmentation=plan.set,
        unreadable=tuple(f"{path}: {reason}" for path, reason in unreadable),
    )
    for checkpoint in checkpoints:
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
    return _adapter(model, dataset, settings, training=record)


def _beside(checkpoint: Path | None, number: int) -> Path | None:
    """The checkpoint of a rehearsal lies beside that of the training, which is number 0."""
    return checkpoint.with_stem(f"{checkpoint.stem}-{number}") if checkpoint and number else checkpoint


def _adapter(
    model: Method, dataset: ImageDataset, settings: FitSettings, *, training: TrainingRecord | None
) -> Adapter:
    data = DataRecord(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        split_source=dataset.split_source,
        shots=settings.shots if training else 0,
        seed=settings.training.seed,
        classes=settings.classes,
    )
    card = AdapterCard(
        method=model.config,
        backbone=BackboneRecord.of(model.backbone),
        class_names=dataset.class_names,
        template=dataset.template,
        data=data,
        training=training,
        provenance=provenance(str(model.backbone.device)),
    )
    return Adapter(model, card)
