"""Where the images of a training come from: files that are encoded as a method asks, or embeddings that are there."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from cdc.backbones.backbone import Backbone
from cdc.data.dataset import ImageDataset
from cdc.errors import InputError
from cdc.images.encode import CacheFolder, encode_images
from cdc.images.views import ViewPlan
from cdc.methods.method import CachedViews, HeldOut, Pixels, Trainable
from cdc.training.shots import FeatureShots, Shots, gather_shots


@final
@dataclass(frozen=True)
class Files:
    """Image files.

    Attributes:
        backbone: frozen towers.
        seed: of the pictures of a method that trains on pixels.
        cache: folder of cached features; None turns caching off.
    """

    backbone: Backbone
    seed: int
    cache: CacheFolder

    def shots(
        self, dataset: ImageDataset, method: Trainable, plan: ViewPlan
    ) -> tuple[Shots, tuple[tuple[Path, str], ...]]:
        """Views, encoded once, or pixels, read anew in every epoch."""
        return gather_shots(dataset, method, plan, seed=self.seed, cache=self.cache)

    def held_out(self, dataset: ImageDataset) -> HeldOut:
        """Their features, encoded once."""
        paths = [example.path for example in dataset.train]
        found = encode_images(self.backbone, paths, cache=self.cache, progress="encoding shots")
        labels = torch.tensor([dataset.train[row].label for row in found.kept], device=self.backbone.device)
        return HeldOut(found.values.to(self.backbone.device), labels, dataset.class_names)


@final
@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of images; the path of a data set's example is the number of its row.

    Attributes:
        values: unit length, on the device of the towers.
    """

    values: Float[Tensor, "rows dim"]

    def shots(
        self, dataset: ImageDataset, method: Trainable, plan: ViewPlan
    ) -> tuple[Shots, tuple[tuple[Path, str], ...]]:
        """Every template sees an image as at test time.

        Raises:
            InputError: if the method trains on pixels.
        """
        del plan  # there are no views
        match method.trains_on:
            case Pixels():
                raise InputError(
                    f"a method must train on features to be given embeddings; received {method.config.name!r}, which "
                    "trains on pixels. Pass image files, or choose another method."
                )
            case CachedViews(templates=templates):
                seen = self.held_out(dataset)
        values = seen.features[:, None, None].expand(-1, templates, -1, -1)
        return FeatureShots(values, seen.labels, dataset.fingerprint), ()

    def held_out(self, dataset: ImageDataset) -> HeldOut:
        """The rows of the training split."""
        rows = [int(example.path.name) for example in dataset.train]
        labels = torch.tensor([example.label for example in dataset.train], device=self.values.device)
        return HeldOut(self.values[rows], labels, dataset.class_names)


Source = Files | Embeddings
"""What the images of a training split are, for training and for what a rehearsal keeps from it."""
