"""Factors that need no label: what can be measured from the pixels and the header of an image file."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int, Shaped
from PIL import Image

from causalvlm.errors import InputError
from cdc.data.images import FORMATS, UnreadableImageError, lend_image
from cdc.progress import image_bar

SEEN_SIDE = 512
"""Tone, colour and border are measured on a picture reduced so far, by averaging blocks: towers see 224 to 448."""

DETAIL_SIDE = 1024
"""Sharpness and noise are measured at full resolution, in a central window of at most this many pixels a side."""

GREY_SPREAD = 16
"""Grey levels by which the channels of a pixel without colour may differ: JPEG moves them apart a little."""

INK = 48
"""Grey levels from black and from white within which a pixel is ink or paper."""

BORDER_TOLERANCE = 12
"""Grey levels by which the pixels of a uniform border may differ from their median, in every channel."""

HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
"""Sectors of 60 degrees on the circle of hues, the first one around 0."""

READ_AT_ONCE = 64
"""Files that are ordered from the threads in advance."""

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Picture:
    """What the measures see of one image file.

    Attributes:
        rgb: the upright picture, reduced to `SEEN_SIDE`, channel by channel, 0 to 255.
        detail: luma of the central window at full resolution, 0 to 255.
        size: width and height of the upright picture.
        pixels: number of them in the file.
        kind: format of the file.
        quantisation: the JPEG's table for luma, row by row; empty in other formats.
    """

    rgb: Float[np.ndarray, "3 _ _"]
    detail: Float[np.ndarray, "_ _"]
    size: tuple[int, int]
    pixels: int
    kind: str
    quantisation: tuple[int, ...]

    @classmethod
    def read(cls, path: Path) -> "Picture":
        """Open an image file as the towers do: upright, on white, in 8-bit RGB.

        Raises:
            UnreadableImageError: as `cdc.read_image`.
        """
        with lend_image(path) as image:
            seen = cls.of(image)
        with Image.open(path, formats=FORMATS) as header:  # read again: decoding has closed the first one
            pixels, kind = header.width * header.height, header.format or ""
            return replace(seen, pixels=pixels, kind=kind, quantisation=_quantisation(header))

    @classmethod
    def of(cls, image: Image.Image) -> "Picture":
        """A picture in memory, upright and in 8-bit RGB; its format where it was just decoded."""
        width, height = image.size
        left, top = max(0, width - DETAIL_SIDE) // 2, max(0, height - DETAIL_SIDE) // 2
        window = (left, top, min(width, left + DETAIL_SIDE), min(height, top + DETAIL_SIDE))
        return cls(
            rgb=_channels(image.reduce(-(-max(width, height) // SEEN_SIDE))),
            detail=to_luma(_channels(image.crop(window))),
            size=(width, height),
            pixels=width * height,
            kind=image.format or "",
            quantisation=_quantisation(image),
        )

    @cached_property
    def luma(self) -> Float[np.ndarray, "_ _"]:
        """Luma of `rgb`, 0 to 255."""
        return to_luma(self.rgb)

    @cached_property
    def peak(self) -> Float[np.ndarray, "_ _"]:
        """The brightest channel of every pixel, V of HSV, 0 to 255."""
        return self.rgb.max(axis=0)

    @cached_property
    def chroma(self) -> Float[np.ndarray, "_ _"]:
        """The brightest channel minus the darkest, 0 for grey to 255."""
        return self.peak - self.rgb.min(axis=0)


@dataclass(frozen=True)
class Measure:
    """A factor that is measured.

    Attributes:
        about: what the number is, with its unit and its source.
        of: measures it; a word where the factor has kinds instead of a number, NaN where a picture has no number.
        absent: what a picture without a number is called.
    """

    about: str
    of: Callable[[Picture], float | str]
    absent: str = "unknown"


def to_luma(rgb: Float[np.ndarray, "3 _ _"]) -> Float[np.ndarray, "_ _"]:
    """Luma Y' = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

    Example:
        >>> to_luma(np.array([[[255.0]], [[0.0]], [[0.0]]]))
        array([[76.245]])
    """
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


def _quantisation(image: Image.Image) -> tuple[int, ...]:
    return tuple(getattr(image, "quantization", {}).get(0, ()))


def _channels(image: Image.Image) -> Float[np.ndarray, "3 _ _"]:
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1), dtype=np.float32)


def _brightness(picture: Picture) -> float:
    return float(picture.luma.mean()) / 255


def _contrast(picture: Picture) -> float:
    return float(picture.luma.std(dtype=np.float64)) / 255


def _saturation(picture: Picture) -> float:
    return float((picture.chroma / np.maximum(picture.peak, 1)).mean())


def _colourfulness(picture: Picture) -> float:
    red, green, blue = picture.rgb.astype(np.float64)
    opponents = red - green, (red + green) / 2 - blue
    spread = np.hypot(*(axis.std() for axis in opponents))
    return float(spread + 0.3 * np.hypot(*(axis.mean() for axis in opponents)))


def _dominant_hue(picture: Picture) -> str:
    """The pixels vote with their chroma for a point on the circle of hues; what grey pixels would say is noise."""
    if _rendition(picture) != "colour":
        return "grey"
    red, green, blue = picture.rgb
    across, along = red - (green + blue) / 2, np.sqrt(0.75) * (green - blue)  # hexagon of hues as a circle
    sector = np.round(np.arctan2(along, across) / (np.pi / 3)).astype(int) % len(HUES)
    return HUES[int(np.bincount(sector.ravel(), weights=np.hypot(across, along).ravel(), minlength=6).argmax())]


def _sharpness(picture: Picture) -> float:
    pixels = picture.detail
    if min(pixels.shape) < 3:
        return 0.0
    laplacian = pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:] - 4 * pixels[1:-1, 1:-1]
    return float(laplacian.var(dtype=np.float64))


def _noise(picture: Picture) -> float:
    pixels = picture.detail
    if min(pixels.shape) < 3:
        return 0.0
    across = pixels[:, :-2] - 2 * pixels[:, 1:-1] + pixels[:, 2:]
    mask = across[:-2] - 2 * across[1:-1] + across[2:]  # the difference of two Laplacians: blind to edges and slopes
    return float(np.sqrt(np.pi / 2) / 6 * np.abs(mask).mean(dtype=np.float64))


def _pixels(picture: Picture) -> float:
    return picture.pixels / 1e6


def _aspect_ratio(picture: Picture) -> float:
    return picture.size[0] / picture.size[1]


def _rendition(picture: Picture) -> str:
    if np.mean(picture.chroma > GREY_SPREAD) > 0.01:
        return "colour"
    inked = (picture.luma < INK) | (picture.luma > 255 - INK)
    return "line art" if inked.mean() >= 0.9 else "greyscale"


def _border(picture: Picture) -> str:
    rgb = picture.rgb
    frame = np.concatenate([rgb[:, 0], rgb[:, -1], rgb[:, 1:-1, 0], rgb[:, 1:-1, -1]], axis=1)
    middle = np.median(frame, axis=1, keepdims=True)
    if np.mean(np.abs(frame - middle).max(axis=0) <= BORDER_TOLERANCE) < 0.95:
        return "none"
    if middle.min() > 255 - INK:
        return "white"
    return "black" if middle.max() < INK else "coloured"


def _jpeg_quality(picture: Picture) -> float:
    if len(picture.quantisation) != 64:
        return np.nan
    tables = _standard_tables()
    return float(1 + np.abs(tables - np.array(picture.quantisation)).sum(axis=1).argmin())


def _standard_tables() -> Int[np.ndarray, "100 64"]:
    """Luma tables of the qualities 1 to 100, as the IJG's library scales that of Annex K."""
    scales = np.array([5000 // quality if quality < 50 else 200 - 2 * quality for quality in range(1, 101)])
    return np.clip((scales[:, None] * np.array(ANNEX_K) + 50) // 100, 1, 255)


ANNEX_K = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
"""Quantisation of luma (ITU-T T.81, table K.1), row by row."""

MEASURES: dict[str, Measure] = {
    "brightness": Measure("mean luma (BT.601), 0 black to 1 white", _brightness),
    "contrast": Measure("standard deviation of luma, in units of white (Peli, JOSA A 1990)", _contrast),
    "saturation": Measure("mean HSV saturation, 0 grey to 1 (Smith, SIGGRAPH 1978)", _saturation),
    "dominant hue": Measure("sixth of the circle of hues with most chroma [ours]", _dominant_hue),
    "colourfulness": Measure("M^(3) of Hasler and Suesstrunk (SPIE 2003), 0 grey to about 110", _colourfulness),
    "sharpness": Measure("variance of the Laplacian, grey levels squared (Pech-Pacheco et al., ICPR 2000)", _sharpness),
    "noise": Measure("standard deviation of noise, grey levels of 255 (Immerkaer, CVIU 1996)", _noise),
    "size": Measure("millions of pixels", _pixels),
    "aspect ratio": Measure("width by height", _aspect_ratio),
    "border": Measure("whether nearly all outermost pixels have one colour, and which [ours]", _border),
    "rendition": Measure("colour, greyscale, or line art: grey, and nearly all of it ink or paper [ours]", _rendition),
    "jpeg quality": Measure("quality at which libjpeg has the nearest table, 1 to 100", _jpeg_quality, "no JPEG"),
    "file kind": Measure("format of the file", lambda picture: picture.kind),
}  # fmt: skip
"""Every measured factor by name, in the order of a report."""


def measure_picture(path: Path | str) -> dict[str, float | str]:
    """Every measure of one image file.

    Raises:
        UnreadableImageError: as `cdc.read_image`.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (64, 48), "red").save(file)
        >>> found = measure_picture(file)
        >>> found["dominant hue"], found["saturation"], found["border"], found["file kind"]
        ('red', 1.0, 'coloured', 'PNG')
    """
    return _measure(Path(path))[0]


def _measure(path: Path) -> tuple[dict[str, float | str], tuple[int, int]]:
    """Every measure, and width and height."""
    picture = Picture.read(path)
    return {name: measure.of(picture) for name, measure in MEASURES.items()}, picture.size


@dataclass(frozen=True, eq=False)
class PixelTable:
    """Measures of image files, one row per readable file.

    Attributes:
        columns: numbers or words by the name of the measure; NaN where a file has no number.
        sizes: width and height of the upright pictures.
        kept: row i belongs to ``paths[kept[i]]``.
        unreadable: files that were left out, each with the reason.
    """

    columns: Mapping[str, Shaped[np.ndarray, " rows"]]
    sizes: tuple[tuple[int, int], ...]
    kept: tuple[int, ...]
    unreadable: tuple[tuple[Path, str], ...]


def measure_pixels(paths: Sequence[Path], *, progress: str | None = None) -> PixelTable:
    """Measure image files, on threads, a few in memory at a time.

    Args:
        paths: image files.
        progress: label of a progress bar, shown on a terminal.

    Raises:
        InputError: if there is no file, or none can be read.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (64, 48), "red").save(file)
        >>> table = measure_pixels([file, file.with_name("missing.png")])
        >>> table.columns["aspect ratio"], table.kept, table.unreadable[0][1]
        (array([1.33333333]), (0,), 'there is no such file')
    """
    kept: list[int] = []
    rows: list[dict[str, float | str]] = []
    sizes: list[tuple[int, int]] = []
    unreadable: list[tuple[Path, str]] = []
    for row, found in enumerate(read_each(paths, _measure, progress=progress)):
        if isinstance(found, UnreadableImageError):
            unreadable.append((paths[row], found.reason))
        else:
            kept.append(row)
            rows.append(found[0])
            sizes.append(found[1])
    if not rows:
        raise InputError(
            f"at least one image must be readable to be measured; received {len(paths)} files and can read none"
            f"{f', the first is {unreadable[0][0]}: {unreadable[0][1]}' if unreadable else ''}. Check the paths."
        )
    columns = {name: np.array([row[name] for row in rows]) for name in MEASURES}
    return PixelTable(columns, tuple(sizes), tuple(kept), tuple(unreadable))


def read_each(
    paths: Sequence[Path], read: Callable[[Path], Found], *, progress: str | None = None
) -> Iterator[Found | UnreadableImageError]:
    """What `read` makes of each file, or why that cannot be read, in order; on threads, a few in memory at a time.

    Args:
        paths: image files.
        read: takes one path; decoding and most of numpy release the interpreter lock.
        progress: label of a progress bar, shown on a terminal.

    Example:
        >>> [error.reason for error in read_each([Path("missing.png")], measure_picture)]
        ['there is no such file']
    """

    def attempt(path: Path) -> Found | UnreadableImageError:
        try:
            return read(path)
        except UnreadableImageError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool, image_bar(progress, total=len(paths)) as advance:
        for start in range(0, len(paths), READ_AT_ONCE):
            for found in pool.map(attempt, paths[start : start + READ_AT_ONCE]):
                yield found
                advance()
