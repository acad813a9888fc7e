"""`fit`: from a data set and a method's settings to an adapter. Views are encoded once, training runs on features."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from cdc.adapter import Adapter, AdapterCard, describe_backbone
from cdc.backbones.backbone import Backbone
from cdc.data.dataset import ImageDataset
from cdc.data.splits import few_shot, select_classes
from cdc.images.encode import CacheFolder, encode_views
from cdc.images.views import ViewPlan
from cdc.methods.config import MethodConfig, TrainingConfig, ZeroShotConfig, to_settings
from cdc.methods.model import CDC, CoOp, ZeroShot, build_method
from cdc.progress import epoch_bar
from cdc.provenance import provenance
from cdc.training.loop import Shots, train


@dataclass(frozen=True)
class FitSettings:
    """Everything about a fit but the method.

    Attributes:
        shots: training images per class.
        classes: train on the first half of the classes, the second, or all.
        training: epochs, optimizer, seed of sampling and shuffling.
        views: K cached views per image and template.
        augmentation: augmentation set of the views, ``"set1"`` or ``"set2"`` (the same plus a random crop).
        allow_fewer: take what there is of a class with fewer images than `shots`.
        cache: folder of cached features; None turns caching off.
        checkpoint: file written after every epoch and resumed from; None for no resume.
    """

    shots: int = 16
    classes: Literal["base", "new", "all"] = "all"
    training: TrainingConfig = field(default_factory=TrainingConfig)
    views: int = 4
    augmentation: Literal["set1", "set2"] = "set2"
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
    seed = settings.training.seed
    if isinstance(method, ZeroShotConfig):
        return fit_shots(select_classes(dataset, settings.classes), method, backbone, settings)
    # Shots are drawn before classes are cut, as in the literature: the stream of draws covers all classes.
    drawn = few_shot(dataset, shots=settings.shots, seed=seed, allow_fewer=settings.allow_fewer)
    return fit_shots(select_classes(drawn, settings.classes), method, backbone, settings)


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
    seed = settings.training.seed
    model = build_method(method, backbone, dataset.class_names, template=dataset.template, seed=seed)
    if isinstance(model, ZeroShot):
        return Adapter(model, _card(model, dataset, settings, training={}))
    shots, unreadable = _cache_views(dataset, model, settings)
    started = time.perf_counter()
    with epoch_bar(f"training {type(model).__name__}", total=settings.training.epochs) as report:
        losses = train(model, shots, settings.training, checkpoint=settings.checkpoint, progress=report)
    training: dict[str, Any] = {
        **to_settings(settings.training),
        "losses": list(losses),
        "seconds": time.perf_counter() - started,
        "views": settings.views,
        "augmentation": settings.augmentation,
        "unreadable": unreadable,
    }
    if settings.checkpoint is not None:
        settings.checkpoint.unlink(missing_ok=True)
    return Adapter(model, _card(model, dataset, settings, training=training))


def _cache_views(dataset: ImageDataset, model: CoOp | CDC, settings: FitSettings) -> tuple[Shots, list[str]]:
    """Features of the training views, and the images that could not be read and are left out."""
    # One plan for all methods and seeds: a cached view serves every run that draws its image.
    plan = ViewPlan(set=settings.augmentation, templates=max(model.views, VIEW_TEMPLATES), views=settings.views, seed=0)
    paths = [example.path for example in dataset.train]
    encoded = encode_views(model.backbone, paths, plan, cache=settings.cache, progress="encoding training views")
    device = model.backbone.device
    labels = torch.tensor([dataset.train[row].label for row in encoded.kept], device=device)
    values = encoded.values.to(device)
    if model.views == 1:  # a single template sees the views of all augmentation sets
        values = values.flatten(1, 2).unsqueeze(1)
    unreadable = [f"{path}: {reason}" for path, reason in encoded.unreadable]
    return Shots(values[:, : model.views], labels, dataset.fingerprint), unreadable


VIEW_TEMPLATES = 4
"""Augmentation sets that are always encoded, so that methods with fewer templates share the cache."""


def _card(
    model: ZeroShot | CoOp | CDC, dataset: ImageDataset, settings: FitSettings, *, training: dict[str, Any]
) -> AdapterCard:
    return AdapterCard(
        method=to_settings(model.config),
        backbone=describe_backbone(model.backbone),
        class_names=dataset.class_names,
        template=dataset.template,
        data={
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "split_source": dataset.split_source,
            "shots": settings.shots if training else 0,
            "seed": settings.training.seed,
            "classes": settings.classes,
        },
        training=training,
        provenance=provenance(str(model.backbone.device)),
    )
