"""Read one image file as RGB, or say plainly why it cannot be read."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cdc.errors import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
"""Endings, in lower case, of the files that are taken for images."""


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


def is_image(path: Path) -> bool:
    """Whether the name is that of a visible image file, whatever the case of its ending.

    Example:
        >>> is_image(Path("dog/1.JPG")), is_image(Path("dog/._1.jpg")), is_image(Path("dog/notes.txt"))
        (True, False, False)
    """
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def read_image(path: str | Path) -> Image.Image:
    """Decode an image file to 8-bit RGB, upright.

    Greyscale, palette and CMYK pixels are converted. Transparent pixels are laid on white, where dropping the alpha
    channel would show whatever colour hides beneath it. 16-bit greyscale is divided by 257, so that full scale stays
    full scale. The EXIF orientation is applied. Of an animation the first frame counts.

    Args:
        path: the file.

    Raises:
        UnreadableImageError: if the file is missing, empty, truncated, no image, or holds pixels without a known
            range (32-bit integers, floats) or conversion (LAB).

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "grey.png"
        >>> Image.new("L", (4, 3), 128).save(file)
        >>> read_image(file).mode, read_image(file).size, read_image(file).getpixel((0, 0))
        ('RGB', (4, 3), (128, 128, 128))
    """
    path = Path(path)
    image = _decode(path)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    match image.mode:
        case "RGB":
            return image
        case "1" | "L" | "P" | "CMYK" | "YCbCr" | "RGBX":
            return image.convert("RGB")
        case "I;16" | "I;16L" | "I;16B" | "I;16N":
            return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)).convert("RGB")
        case mode:
            raise UnreadableImageError(path, f"its pixels are of type {mode!r}, convert it to 8 bits first")


def _decode(path: Path) -> Image.Image:
    """Open, decode in full and turn upright."""
    try:
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except FileNotFoundError as error:
        raise UnreadableImageError(path, "there is no such file") from error
    except IsADirectoryError as error:
        raise UnreadableImageError(path, "it is a folder") from error
    except Exception as error:  # decoders raise errors of every kind on damaged files; one must not end a run
        raise UnreadableImageError(path, _reason(path, error)) from error


def _reason(path: Path, error: Exception) -> str:
    """Say in plain words what is wrong with a file that a decoder refused."""
    if path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is not an image in a known format"
    if "truncated" in str(error):
        return "the file is truncated"
    return f"it is damaged ({error})"
