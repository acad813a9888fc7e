"""Features of image files from the frozen image tower: encoded once, then read from a cache."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from cdc.backbones.backbone import Backbone
from cdc.data.images import Files, UnreadableImageError, file_list, lend_image
from cdc.errors import InputError
from cdc.images.cache import FeatureCache, default_cache, hash_file
from cdc.images.pixels import pictures_at_once, render_ahead, require_readable
from cdc.images.views import ViewPlan, augment, shrink
from cdc.progress import image_bar

CacheFolder = Path | Literal["default"] | None
"""Where features are kept: a folder, the one that `default_cache` names, or nowhere."""

VERSION = 1
"""Enters every cache key: raise it when the decoding or the augmentation of images changes."""

OVERSAMPLING = 2
"""Short side of a picture before its augmentation, in units of the tower's input: crops keep enough detail."""


@dataclass(frozen=True, repr=False)
class Features:
    """Unit-length embeddings of image files, seen as at test time.

    Attributes:
        values: one row per readable file, float32, on the cpu.
        kept: row i belongs to ``paths[kept[i]]``.
        unreadable: files that were left out, each with the reason.
    """

    values: Float[Tensor, "rows dim"]
    kept: tuple[int, ...]
    unreadable: tuple[tuple[Path, str], ...]

    def __repr__(self) -> str:
        rows, dim = self.values.shape
        return f"<Features of {rows:,} images in {dim} dimensions, {len(self.unreadable)} unreadable>"


@dataclass(frozen=True, repr=False)
class ViewFeatures:
    """Unit-length embeddings of the augmented views of image files.

    Attributes:
        values: one row per readable file; its third axis is the views of a template; float32, on the cpu.
        kept: row i belongs to ``paths[kept[i]]``.
        unreadable: files that were left out, each with the reason.
    """

    values: Float[Tensor, "rows templates _ dim"]
    kept: tuple[int, ...]
    unreadable: tuple[tuple[Path, str], ...]

    def __repr__(self) -> str:
        rows, templates, views, dim = self.values.shape
        seen = f"{views} views of each for each of {templates} templates"
        return f"<ViewFeatures of {rows:,} images in {dim} dimensions, {seen}, {len(self.unreadable)} unreadable>"


def encode_images(
    backbone: Backbone,
    paths: Files,
    *,
    cache: CacheFolder = "default",
    batch_size: int | None = None,
    progress: str | None = None,
) -> Features:
    """Embed image files as at test time: each seen once, through the backbone's own preprocessing.

    Features of a file's bytes are computed once per backbone and read from the cache ever after. A run that is killed
    goes on where it was. With a cache every batch has the same shape, the last one filled up with blanks, so that on a
    cpu a value does not depend on the pictures that shared its batch, nor on where an earlier run was killed; without
    one it may differ by rounding (1e-6).

    Args:
        backbone: frozen towers.
        paths: image files, or one; files with the same content are encoded once.
        cache: folder of cached features; None turns caching off.
        batch_size: pictures that go through the tower at once; None takes 8 on a cpu, whose caches larger ones leave
            (a convolutional tower runs at half the speed with 64), and 64 elsewhere.
        progress: label of a progress bar, shown on a terminal while something is being encoded.

    Raises:
        InputError: if no file is given, none can be read, or the tower gives numbers that are not finite.

    Example:
        >>> import cdc, tempfile
        >>> file = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (64, 48), "red").save(file)
        >>> encode_images(cdc.load_backbone("photo"), [file], cache=None).values.shape
        torch.Size([1, 384])
    """

    def render(path: Path, _key: str) -> Tensor:
        with lend_image(path) as image:
            return backbone.preprocess(image).unsqueeze(0)

    # Nothing of what is not kept outlives this call.
    recipe = _Recipe("clean", (), render, fill_batches=cache is not None)
    return Features(*_encode(backbone, file_list(paths), recipe, cache=cache, batch_size=batch_size, progress=progress))


def encode_views(
    backbone: Backbone,
    paths: Files,
    plan: ViewPlan,
    *,
    cache: CacheFolder = "default",
    batch_size: int | None = None,
    progress: str | None = None,
) -> ViewFeatures:
    """Embed the augmented views that each template sees of the image files in training (see `augment`).

    As `encode_images` with a cache, whether there is one or not: every batch has the same shape.

    Args:
        backbone: frozen towers.
        paths: image files, or one; files with the same content are encoded once.
        plan: which views there are.
        cache: folder of cached features; None turns caching off.
        batch_size: pictures that go through the tower at once; None takes 8 on a cpu, whose caches larger ones leave
            (a convolutional tower runs at half the speed with 64), and 64 elsewhere.
        progress: label of a progress bar, shown on a terminal while something is being encoded.

    Raises:
        InputError: if no file is given, none can be read, or the tower gives numbers that are not finite.

    Example:
        >>> import cdc, tempfile
        >>> file = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (64, 48), "red").save(file)
        >>> encode_views(cdc.load_backbone("photo"), [file], ViewPlan(views=2), cache=None).values.shape
        torch.Size([1, 4, 2, 384])
    """
    short_side = working_size(backbone)

    def render(path: Path, key: str) -> Tensor:
        with lend_image(path) as picture:
            image = shrink(picture, short_side=short_side)
        seen = (
            augment(image, plan, template=template, view=view, key=key)
            for template in range(plan.templates)
            for view in range(plan.views)
        )
        return torch.stack([backbone.preprocess(picture) for picture in seen])

    recipe = _Recipe(repr(plan), (plan.templates, plan.views), render, fill_batches=True)
    return ViewFeatures(
        *_encode(backbone, file_list(paths), recipe, cache=cache, batch_size=batch_size, progress=progress)
    )


def working_size(backbone: Backbone) -> int:
    """Short side, in pixels, that a picture is shrunk to before it is augmented.

    Example:
        >>> import cdc
        >>> working_size(cdc.load_backbone("photo"))
        448
    """
    return OVERSAMPLING * min(backbone.preprocess(Image.new("RGB", (8, 8))).shape[-2:])


@dataclass(frozen=True)
class _Recipe:
    """How an image file becomes pictures for the tower.

    Attributes:
        name: tells recipes apart in the cache.
        shape: of the pictures made of one image.
        render: from path and content hash to [pictures, 3, height, width].
        fill_batches: give every batch the same shape.
    """

    name: str
    shape: tuple[int, ...]
    render: Callable[[Path, str], Tensor]
    fill_batches: bool


def _encode(
    backbone: Backbone,
    paths: Sequence[Path],
    recipe: _Recipe,
    *,
    cache: CacheFolder,
    batch_size: int | None,
    progress: str | None,
) -> tuple[Tensor, tuple[int, ...], tuple[tuple[Path, str], ...]]:
    """Fields of the result: values, kept rows, unreadable files."""
    require_readable(len(paths), ())
    size = pictures_at_once(batch_size, backbone)
    shape = (*recipe.shape, backbone.dim)
    store = _open_cache(cache, f"{backbone.identity}/{recipe.name}/{VERSION}", shape)
    values = torch.empty(len(paths), *shape)
    rows, reasons = _group_rows(paths)
    missing: dict[str, Path] = {}
    for key, same in rows.items():
        found = store.read(key) if store else None
        if found is None:
            missing[key] = paths[same[0]]
        else:
            values[same] = found
    with image_bar(progress, total=len(missing)) as advance:
        for key, result in _encode_missing(backbone, missing, recipe, batch_size=size):
            if isinstance(result, UnreadableImageError):
                reasons.update(dict.fromkeys(rows[key], result.reason))
            else:
                _require_finite(result, backbone, missing[key])
                values[rows[key]] = result
                if store:
                    store.write(key, result)
            advance()
    return _leave_out(values, paths, reasons)


def _require_finite(features: Tensor, backbone: Backbone, path: Path) -> None:
    if not features.isfinite().all():
        raise InputError(
            f"features must be finite; the image tower of {backbone.name!r} in {backbone.precision} gives others for "
            f"{path}. Use fp32, or a checkpoint whose weights are sound."
        )


def _open_cache(cache: CacheFolder, recipe: str, shape: tuple[int, ...]) -> FeatureCache | None:
    match cache:
        case None:
            return None
        case "default":
            return FeatureCache(default_cache(), recipe=recipe, shape=shape)
        case folder:
            return FeatureCache(folder, recipe=recipe, shape=shape)


def _group_rows(paths: Sequence[Path]) -> tuple[dict[str, list[int]], dict[int, str]]:
    """Rows of each distinct file content, and of each file without content the reason."""
    rows: dict[str, list[int]] = {}
    reasons: dict[int, str] = {}
    for row, path in enumerate(paths):
        try:
            rows.setdefault(hash_file(path), []).append(row)
        except OSError as error:
            reasons[row] = (error.strerror or "it cannot be opened").lower()
    return rows, reasons


def _leave_out(
    values: Tensor, paths: Sequence[Path], reasons: Mapping[int, str]
) -> tuple[Tensor, tuple[int, ...], tuple[tuple[Path, str], ...]]:
    unreadable = tuple((paths[row], reasons[row]) for row in sorted(reasons))
    kept = tuple(row for row in range(len(paths)) if row not in reasons)
    require_readable(len(paths), unreadable)
    return (values[list(kept)] if unreadable else values), kept, unreadable


def _encode_missing(
    backbone: Backbone, files: Mapping[str, Path], recipe: _Recipe, *, batch_size: int
) -> Iterator[tuple[str, Tensor | UnreadableImageError]]:
    """Features, or what is wrong with the file, of every (content hash, path), batch by batch."""
    pictures = torch.Size(recipe.shape).numel()
    images = max(1, batch_size // pictures)
    batch: dict[str, Tensor] = {}
    for key, pixels in render_ahead(tuple(files), lambda key: recipe.render(files[key], key), ahead=2 * images):
        if isinstance(pixels, UnreadableImageError):
            yield key, pixels
            continue
        batch[key] = pixels
        if len(batch) == images:
            yield from _encode_batch(backbone, batch, recipe, blanks=0, batch_size=batch_size)
            batch = {}
    if batch:
        blanks = (images - len(batch)) * pictures if recipe.fill_batches else 0
        yield from _encode_batch(backbone, batch, recipe, blanks=blanks, batch_size=batch_size)


def _encode_batch(
    backbone: Backbone, batch: Mapping[str, Tensor], recipe: _Recipe, *, blanks: int, batch_size: int
) -> Iterator[tuple[str, Tensor]]:
    pixels = torch.cat(list(batch.values()))
    pixels = torch.cat([pixels, pixels.new_zeros(blanks, *pixels.shape[1:])])
    features = torch.cat([backbone.encode_images(part).cpu() for part in pixels.split(batch_size)])
    features = features[: len(features) - blanks]
    yield from zip(batch, features.unflatten(0, (len(batch), *recipe.shape)), strict=True)
