"""The training images as a method asks for them: features of augmented views, encoded once, or fresh pixels."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cdc.backbones.backbone import Backbone
from cdc.data.dataset import ImageDataset
from cdc.data.images import UnreadableImageError, lend_image, read_image
from cdc.errors import InputError
from cdc.images.cache import hash_file
from cdc.images.encode import CacheFolder, Features, ViewFeatures, encode_images, encode_views, working_size
from cdc.images.pixels import pixel_batches, require_readable
from cdc.images.views import ViewPlan, augment, shrink
from cdc.methods.method import CachedViews, Pixels, Trainable

VIEW_TEMPLATES = 4
"""Augmentation sets that are always encoded, so that methods with fewer templates share the cache."""


@runtime_checkable
class Shots(Protocol):
    """Labelled training images, dealt out epoch by epoch.

    Attributes:
        labels: class of each image.
        fingerprint: of the data behind them.
    """

    @property
    def labels(self) -> Int[Tensor, " rows"]: ...  # noqa: D102

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    def batches(self, batch_size: int, *, epoch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of one epoch, shuffled; everything random comes from `epoch` and `generator`."""
        ...


@dataclass(frozen=True, eq=False)
class FeatureShots:
    """Cached features of the training images.

    Attributes:
        values: [images, templates, views, dim], unit length; template m draws from its own views.
        labels: class of each image.
        fingerprint: of the data behind them.
    """

    values: Float[Tensor, "rows templates _ dim"]
    labels: Int[Tensor, " rows"]
    fingerprint: str

    def batches(self, batch_size: int, *, epoch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Each template sees each image through one of its own views, drawn anew every epoch.

        Example:
            >>> shots = FeatureShots(torch.zeros(5, 2, 3, 4), torch.zeros(5, dtype=torch.long), "none")
            >>> [images.shape[0] for images, _ in shots.batches(2, epoch=0, generator=torch.Generator())]
            [2, 2, 1]
        """
        del epoch  # the generator is the epoch's own
        rows, templates, views, _ = self.values.shape
        # Indices go to the device once an epoch: a batch then costs no copy from the CPU.
        order = torch.randperm(rows, generator=generator).to(self.values.device)
        drawn = torch.randint(views, (rows, templates), generator=generator).to(self.values.device)
        index = torch.arange(templates, device=self.values.device)
        for batch in order.split(batch_size):
            yield self.values[batch[:, None], index, drawn[batch]], self.labels[batch]


@dataclass(frozen=True, eq=False)
class PixelShots:
    """Training images that are read, augmented and preprocessed anew in every epoch.

    Attributes:
        paths: readable image files.
        keys: content hash of each, which its augmentation follows.
        labels: class of each image.
        fingerprint: of the data behind them.
        plan: augmentation, and the seed of its draws.
        backbone: whose preprocessing to use.
    """

    paths: tuple[Path, ...]
    keys: tuple[str, ...]
    labels: Int[Tensor, " rows"]
    fingerprint: str
    plan: ViewPlan
    backbone: Backbone

    def batches(self, batch_size: int, *, epoch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Each image through one of the augmentations, drawn anew every epoch: view number `epoch` of the plan."""
        plan = replace(self.plan, views=epoch + 1)
        order = torch.randperm(len(self.paths), generator=generator)
        templates = torch.randint(plan.templates, (len(self.paths),), generator=generator).tolist()
        short_side = working_size(self.backbone)

        def render(row: int) -> Tensor:
            with lend_image(self.paths[row]) as picture:
                if plan.set == "none":
                    return self.backbone.preprocess(picture)
                image = shrink(picture, short_side=short_side)
            seen = augment(image, plan, template=templates[row], view=epoch, key=self.keys[row])
            return self.backbone.preprocess(seen)

        for batch in pixel_batches(order.tolist(), render, batch_size=batch_size):
            if batch.unreadable:
                row, reason = batch.unreadable[0]
                raise InputError(
                    f"training images must stay readable; {self.paths[row]} no longer is: {reason}. Run it again."
                )
            yield batch.pixels.to(self.backbone.device), self.labels[list(batch.rows)]


def gather_shots(
    dataset: ImageDataset, method: Trainable, plan: ViewPlan, *, seed: int, cache: CacheFolder
) -> tuple[Shots, tuple[tuple[Path, str], ...]]:
    """The training split of `dataset` as a method asks for it, and the images that could not be read.

    Args:
        dataset: its training split is the shots.
        method: says what it trains on.
        plan: augmentation, and how many views are cached per template.
        seed: of the pictures of a method that trains on pixels; cached views are the same for all seeds.
        cache: folder of cached features; None turns caching off.

    Raises:
        InputError: if there is no image, or none can be read.

    Example:
        >>> import cdc
        >>> from cdc.methods.coop import CoOp
        >>> empty = ImageDataset("none", ("cat", "dog"), train=(), validation=(), test=())
        >>> method = CoOp(cdc.load_backbone("picto"), cdc.CoOpConfig(), cdc.Task(("cat", "dog"), "a {}.", seed=1))
        >>> gather_shots(empty, method, ViewPlan(), seed=1, cache=None)
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: paths must name at least one image file; received none.
    """
    backbone, asked = method.backbone, method.trains_on
    match asked:
        case CachedViews():
            # One plan for all methods and seeds: a cached view serves every run that draws its image.
            plan = replace(plan, templates=max(asked.templates, VIEW_TEMPLATES), seed=0)
            return _encode(dataset, backbone, asked, plan, cache=cache)
        case Pixels():
            return _list_pixels(dataset, backbone, replace(plan, templates=VIEW_TEMPLATES, seed=seed))


def _encode(
    dataset: ImageDataset, backbone: Backbone, asked: CachedViews, plan: ViewPlan, *, cache: CacheFolder
) -> tuple[FeatureShots, tuple[tuple[Path, str], ...]]:
    paths = [example.path for example in dataset.train]
    found: list[Features | ViewFeatures] = []
    if asked.half_clean or plan.set == "none":
        found.append(encode_images(backbone, paths, cache=cache, progress="encoding training images"))
    if plan.set != "none":
        found.append(encode_views(backbone, paths, plan, cache=cache, progress="encoding training views"))
    labels = torch.tensor([dataset.train[row].label for row in found[0].kept], device=backbone.device)
    shape = (len(labels), plan.templates, plan.views, backbone.dim)
    # An image as at test time stands for as many views as there are, so that half of the draws fall to it.
    parts = [part.values.unflatten(0, (len(labels), *[1] * (4 - part.values.ndim))).expand(shape) for part in found]
    values = torch.cat(parts, dim=2).to(backbone.device)
    if asked.templates == 1:  # a single template sees the views of all augmentation sets
        values = values.flatten(1, 2).unsqueeze(1)
    return FeatureShots(values[:, : asked.templates], labels, dataset.fingerprint), found[0].unreadable


def _list_pixels(
    dataset: ImageDataset, backbone: Backbone, plan: ViewPlan
) -> tuple[PixelShots, tuple[tuple[Path, str], ...]]:
    """Every image is read once before the first epoch: what is broken is named then, not in the middle."""
    good: dict[int, str] = {}
    unreadable: list[tuple[Path, str]] = []
    for row, example in enumerate(dataset.train):
        try:
            read_image(example.path)
            good[row] = hash_file(example.path)
        except UnreadableImageError as error:
            unreadable.append((example.path, error.reason))
    require_readable(len(dataset.train), unreadable)
    labels = torch.tensor([dataset.train[row].label for row in good], device=backbone.device)
    paths = tuple(dataset.train[row].path for row in good)
    shots = PixelShots(paths, tuple(good.values()), labels, dataset.fingerprint, plan, backbone)
    return shots, tuple(unreadable)
