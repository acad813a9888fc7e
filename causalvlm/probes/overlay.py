"""A mark that recurs over images of one size, such as a watermark, a caption or a frame, found without a label."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image
from scipy.stats import binom

from causalvlm.probes.pixels import read_each, to_luma
from cdc.data.images import UnreadableImageError, lend_image

FEWEST_IMAGES = 30
"""Images of one size among which a mark is looked for."""

STRONG = 32
"""Grey levels between neighbours from which on there is an edge: marks are made to be seen."""

RECURRENT = 0.25
"""Share of the images that must have the same edge at the same pixel, beside having it beyond chance."""

FALSE_ALARM_RATE = 0.001
"""That any pixel of a size is taken for part of a mark where edges fall independently: Bonferroni's correction."""

FEWEST_EDGES = 24
"""Edges of a mark: what is smaller cannot be read."""

SHOWN = 0.6
"""Share of a mark's edges that an image must have to show it."""

LIFTED_FROM = 60
"""Images from which a mark is lifted."""

AGREED = 24
"""Grey levels between the quartiles of a pixel over these images, up to which it belongs to the mark."""

SEEN_SIDE = 512
"""Larger images are reduced so far, by averaging whole blocks."""


@dataclass(frozen=True, eq=False)
class Overlay:
    """A recurring mark.

    Attributes:
        size: width and height of the images that were compared.
        images: how many there are.
        shown: how many of them show the mark.
        edges: where it has edges, by direction (brighter to the right, darker, brighter downwards, darker), on the
            images reduced to `SEEN_SIDE`.
        box: left, top, right and bottom of the mark, as shares of width and height.
    """

    size: tuple[int, int]
    images: int
    shown: int
    edges: Bool[np.ndarray, "4 _ _"]
    box: tuple[float, float, float, float]

    def is_on(self, image: Image.Image) -> bool:
        """Whether a picture in memory shows the mark."""
        return image.size == self.size and _share(_edges_of(image), self.edges) >= SHOWN


@dataclass(frozen=True, eq=False)
class Overlays:
    """What was found among image files.

    Attributes:
        found: one mark at most for every size of image.
        shows: whether each image shows one.
    """

    found: tuple[Overlay, ...]
    shows: Bool[np.ndarray, " rows"]


def find_overlays(
    paths: Sequence[Path], *, sizes: Sequence[tuple[int, int]] | None = None, progress: str | None = None
) -> Overlays:
    """Look for edges that images of one size share, pixel by pixel, beyond chance [ours].

    At every pixel, the number of images with an edge in one direction is held against the binomial of the frequency
    of such edges over all pixels. Photographs that are composed alike do put edges more often in some places than in
    others, but not at the same pixel in a quarter of them. Images are read twice; sizes with fewer than
    `FEWEST_IMAGES` images are passed over.

    Args:
        paths: image files; what cannot be read shows no mark.
        sizes: their widths and heights, upright; read from them if not given.
        progress: label of a progress bar, shown on a terminal.

    Example:
        >>> import tempfile
        >>> folder, rng = Path(tempfile.mkdtemp()), np.random.default_rng(0)
        >>> for index in range(60):
        ...     pixels = rng.integers(100, 156, size=(32, 48)).astype(np.uint8)
        ...     pixels[20:26, 8:40] = 255 if index < 40 else pixels[20:26, 8:40]
        ...     Image.fromarray(pixels).save(folder / f"{index:02d}.png")
        >>> overlays = find_overlays(sorted(folder.iterdir()))
        >>> int(overlays.shows.sum()), [round(share, 2) for share in overlays.found[0].box]
        (40, [0.17, 0.62, 0.83, 0.81])
    """
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, size in enumerate(sizes or read_each(paths, _read_size)):
        if not isinstance(size, UnreadableImageError):
            by_size[size].append(row)
    shows = np.zeros(len(paths), dtype=bool)
    found: list[Overlay] = []
    for size, rows in by_size.items():
        if len(rows) < FEWEST_IMAGES:
            continue
        edges = _recurring([paths[row] for row in rows], progress)
        if edges.sum() < FEWEST_EDGES:
            continue
        for row, one in zip(rows, _edges([paths[row] for row in rows], progress), strict=True):
            shows[row] = one is not None and _share(one, edges) >= SHOWN
        found.append(Overlay(size, len(rows), int(shows[rows].sum()), edges, _box(edges)))
    return Overlays(tuple(found), shows)


@dataclass(frozen=True, eq=False)
class Stamp:
    """A recurring mark, to be put on other images of its size.

    Attributes:
        overlay: the mark.
        corner: its left and top, in pixels.
        pixels: what it looks like.
        mask: 255 where it covers what is behind, else 0.
    """

    overlay: Overlay
    corner: tuple[int, int]
    pixels: Image.Image
    mask: Image.Image

    def put(self, image: Image.Image) -> Image.Image | None:
        """The picture with the mark on it; None if it has another size, or the mark cannot be told on it."""
        if image.size != self.overlay.size:
            return None
        stamped = image.copy()
        stamped.paste(self.pixels, self.corner, self.mask)
        return stamped if self.overlay.is_on(stamped) else None


def lift_mark(paths: Sequence[Path], overlay: Overlay) -> Stamp:
    """A mark as images that show it have it in common: its pixels are the medians over them [ours].

    It covers a pixel where the images agree, half of them to within `AGREED` grey levels in every channel: a mark that
    is much more transparent than that is not lifted, and `Stamp.put` gives no picture.

    Args:
        paths: images that show it, of which `LIFTED_FROM` are read.
        overlay: the mark.

    Example:
        >>> import tempfile
        >>> folder, rng = Path(tempfile.mkdtemp()), np.random.default_rng(0)
        >>> for index in range(60):
        ...     pixels = rng.integers(100, 156, size=(32, 48)).astype(np.uint8)
        ...     pixels[20:26, 8:40] = 255
        ...     Image.fromarray(pixels).save(folder / f"{index:02d}.png")
        >>> files = sorted(folder.iterdir())
        >>> stamp = lift_mark(files, find_overlays(files).found[0])
        >>> stamp.put(Image.new("RGB", (48, 32), "#808080")).getpixel((20, 22))
        (255, 255, 255)
    """
    width, height = overlay.size
    left, top = max(0, int(overlay.box[0] * width) - 2), max(0, int(overlay.box[1] * height) - 2)
    box = left, top, min(width, int(overlay.box[2] * width) + 3), min(height, int(overlay.box[3] * height) + 3)
    crops: list[np.ndarray] = []
    for path in paths[:LIFTED_FROM]:
        with lend_image(path) as image:
            crops.append(np.asarray(image.crop(box)))
    low, middle, high = np.percentile(np.stack(crops), [25, 50, 75], axis=0)
    covered = (high - low).max(axis=-1) <= AGREED
    pixels = Image.fromarray(np.rint(middle).astype(np.uint8))
    return Stamp(overlay, (left, top), pixels, Image.fromarray(255 * covered.astype(np.uint8)))


def _share(shown: Bool[np.ndarray, "4 _ _"], edges: Bool[np.ndarray, "4 _ _"]) -> float:
    return float(shown[edges].mean())


def _read_size(path: Path) -> tuple[int, int]:
    with lend_image(path) as image:
        return image.size


def _read_edges(path: Path) -> Bool[np.ndarray, "4 _ _"]:
    """Where a picture has strong edges, by direction; each edge at the later of its two pixels."""
    with lend_image(path) as image:
        return _edges_of(image)


def _edges_of(image: Image.Image) -> Bool[np.ndarray, "4 _ _"]:
    reduced: Image.Image = image.reduce(-(-max(image.size) // SEEN_SIDE))
    luma = to_luma(np.asarray(reduced, dtype=np.float32).transpose(2, 0, 1))
    edges = np.zeros((4, *luma.shape), dtype=bool)
    across, down = np.diff(luma, axis=1), np.diff(luma, axis=0)
    edges[0, :, 1:], edges[1, :, 1:] = across > STRONG, across < -STRONG
    edges[2, 1:], edges[3, 1:] = down > STRONG, down < -STRONG
    return edges


def _edges(paths: Sequence[Path], progress: str | None) -> Iterator[Bool[np.ndarray, "4 _ _"] | None]:
    for found in read_each(paths, _read_edges, progress=progress):
        yield None if isinstance(found, UnreadableImageError) else found


def _recurring(paths: Sequence[Path], progress: str | None) -> Bool[np.ndarray, "4 _ _"]:
    """Edges that more images share than chance explains."""
    images, counts = 0, np.zeros(1, dtype=np.int64)
    for edges in _edges(paths, progress):
        if edges is not None:
            images, counts = images + 1, counts + edges
    chance = counts.mean(axis=(1, 2), keepdims=True) / images
    beyond = binom.sf(counts - 1, images, chance) * counts.size < FALSE_ALARM_RATE
    return beyond & (counts >= RECURRENT * images)


def _box(edges: Bool[np.ndarray, "4 _ _"]) -> tuple[float, float, float, float]:
    """The smallest box around the edges, as shares of width and height."""
    _, down, across = edges.nonzero()
    height, width = edges.shape[1:]
    return (
        float(across.min() / width),
        float(down.min() / height),
        float(across.max() / width),
        float(down.max() / height),
    )
