"""Read one image file as RGB, or say plainly why it cannot be read."""

from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Condition

import numpy as np
from PIL import Image, ImageOps

from cdc.errors import InputError
from cdc.files import require_regular

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What a file may hold, whatever its name says: Pillow would hand others to programs beside it, EPS to Ghostscript."""

MOST_PIXELS = 89_000_000
"""Pixels that are decoded of one picture: the size from which Pillow warns, beyond any camera but a few."""

MOST_ELONGATED = 50
"""Longest side of a picture in units of its shortest: a tower's preprocessing enlarges both before it crops."""

PIXELS_IN_FLIGHT = 128_000_000
"""Pixels of all pictures that are read at once; one takes up to 12 bytes on its way to RGB."""

Image.core.set_block_size(64 * 1024**2)
"""Pillow's unit of memory: beyond the 32 MiB that glibc may keep for a thread, so that freed pixels serve all."""


Files = Path | str | Sequence[Path | str]
"""What is taken where image files are asked for: one of them, or many."""


def file_list(files: Files) -> list[Path]:
    """The paths of the files, one or many.

    Example:
        >>> [path.name for path in file_list("folder/cat.jpg")]
        ['cat.jpg']
    """
    return [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]


class UnreadableImageError(InputError):
    """An image file that cannot be decoded; a run may skip it and name it.

    Attributes:
        path: the file.
        reason: why it cannot be read, such as ``"the file is empty"``.

    Example:
        >>> UnreadableImageError(Path("a.jpg"), "the file is empty").reason
        'the file is empty'
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"an image must be readable; received {path}: {reason}. Replace the file or remove it.")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type["UnreadableImageError"], tuple[Path, str]]:
        return UnreadableImageError, (self.path, self.reason)


def read_image(path: str | Path) -> Image.Image:
    """Decode an image file to 8-bit RGB, upright.

    Greyscale, palette and CMYK pixels are converted. Transparent pixels are laid on white, where dropping the alpha
    channel would show whatever colour hides beneath it. 16-bit greyscale is divided by 257, so that full scale stays
    full scale. The EXIF orientation is applied. Of an animation the first frame counts. A JPEG of more than
    `MOST_PIXELS` is decoded at half its width and height.

    Args:
        path: the file.

    Raises:
        UnreadableImageError: if the file is missing, empty, truncated, no regular file, in none of `FORMATS`, larger
            than `MOST_PIXELS`, longer than `MOST_ELONGATED`, or holds pixels without a known range (32-bit integers,
            floats) or conversion (LAB).

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "grey.png"
        >>> Image.new("L", (4, 3), 128).save(file)
        >>> read_image(file).mode, read_image(file).size, read_image(file).getpixel((0, 0))
        ('RGB', (4, 3), (128, 128, 128))
    """
    with lend_image(path) as image:
        return image


@contextmanager
def lend_image(path: str | Path) -> Generator[Image.Image]:
    """`read_image` for as long as the block lasts: threads that read at once hold `PIXELS_IN_FLIGHT` between them.

    Who would exceed that waits for the others, so that a block must not read another image.

    Args:
        path: the file.

    Yields:
        The picture.

    Raises:
        UnreadableImageError: as `read_image`.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "grey.png"
        >>> Image.new("L", (4, 3), 128).save(file)
        >>> with lend_image(file) as image:
        ...     image.size
        (4, 3)
    """
    path = Path(path)
    with _explain(path):
        require_regular(path)
        opened = Image.open(path, formats=FORMATS)  # its header alone
    with closing(opened), _in_flight.hold(opened.width * opened.height):
        with _explain(path):
            image = _decode(path, opened)
        yield image


class _Budget:
    """So many pixels at once: who would exceed it waits. What is larger than all of it has it alone."""

    def __init__(self, pixels: int) -> None:
        self._all = self._free = pixels
        self._changed = Condition()

    @contextmanager
    def hold(self, pixels: int) -> Generator[None]:
        share = min(pixels, self._all)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= share)
            self._free -= share
        try:
            yield
        finally:
            with self._changed:
                self._free += share
                self._changed.notify_all()


_in_flight = _Budget(PIXELS_IN_FLIGHT)


def _decode(path: Path, opened: Image.Image) -> Image.Image:
    """Decode in full, turn upright and make 8-bit RGB; what is no longer needed is let go, a step at a time."""
    _bound(path, opened)
    opened.load()
    image = ImageOps.exif_transpose(opened)
    opened.close()
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")
    match image.mode:
        case "RGB":
            return image
        case "1" | "L" | "P" | "CMYK" | "YCbCr" | "RGBX":
            return image.convert("RGB")
        case "I;16" | "I;16L" | "I;16B" | "I;16N":
            return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)).convert("RGB")
        case mode:
            raise UnreadableImageError(path, f"its pixels are of type {mode!r}, convert it to 8 bits first")


def _bound(path: Path, opened: Image.Image) -> None:
    """Refuse what takes too much memory, now or when its short side is resized; a JPEG gets smaller instead."""
    size = f"{opened.width} x {opened.height}"
    if max(opened.size) > MOST_ELONGATED * min(opened.size):
        raise UnreadableImageError(path, f"it is {size} pixels, more than {MOST_ELONGATED} times as long as wide")
    if opened.width * opened.height > MOST_PIXELS:
        opened.draft(None, (opened.width // 2, opened.height // 2))  # does nothing in other formats
    if opened.width * opened.height > MOST_PIXELS:
        raise UnreadableImageError(
            path, f"it is {size} pixels, more than {MOST_PIXELS:,} in all; make it smaller first"
        )


@contextmanager
def _explain(path: Path) -> Generator[None]:
    """Turn whatever goes wrong with a file into an `UnreadableImageError`."""
    try:
        yield
    except UnreadableImageError:
        raise
    except FileNotFoundError as error:
        raise UnreadableImageError(path, "there is no such file") from error
    except IsADirectoryError as error:
        raise UnreadableImageError(path, "it is a folder") from error
    except Exception as error:  # decoders raise errors of every kind on damaged files; one must not end a run
        raise UnreadableImageError(path, _reason(path, error)) from error


def _reason(path: Path, error: Exception) -> str:
    """Say in plain words what is wrong with a file that a decoder refused."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MOST_PIXELS:,} pixels, make it smaller first"
    if path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, Image.UnidentifiedImageError):
        return f"it is not an image in a known format ({', '.join(FORMATS)})"
    if "truncated" in str(error):
        return "the file is truncated"
    return f"it is damaged ({error})"
