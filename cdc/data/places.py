"""Where image files are: by their names, in folders, by patterns; none is opened, and no decoder is loaded."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from cdc.errors import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
"""Endings, in lower case, of the files that are taken for images."""


def is_image(path: Path) -> bool:
    """Whether the name is that of a visible image file, whatever the case of its ending.

    Example:
        >>> is_image(Path("dog/1.JPG")), is_image(Path("dog/._1.jpg")), is_image(Path("dog/notes.txt"))
        (True, False, False)
    """
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def find_images(places: Iterable[Path | str]) -> Iterator[Path]:
    """The image files that paths, folders and patterns name, one after the other and never all in memory.

    Of a folder, and of every folder within, the visible image files by name; of a pattern such as ``"photos/**/*.jpg"``
    what matches, by name. Whatever else is named is passed on as it is.

    Args:
        places: files, folders, or patterns that are no file's name.

    Raises:
        InputError: if a folder or pattern holds no image.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("b.png", "a.jpg", "notes.txt"):
        ...     (folder / name).touch()
        >>> [path.name for path in find_images([folder, f"{folder}/*.png", "gone.jpg"])]
        ['a.jpg', 'b.png', 'b.png', 'gone.jpg']
    """
    for place in places:
        matching = [Path(place)]
        if not Path(place).exists() and glob.has_magic(str(place)):
            matching = [Path(name) for name in sorted(glob.iglob(str(place), recursive=True))]  # noqa: PTH207 - any root
        found = False
        for path in matching:
            for image in _images_below(path) if path.is_dir() else (path,):
                yield image
                found = True
        if not found:
            raise InputError(
                f"a folder or pattern must hold images; received {str(place)!r} with none. Their names end in "
                f"{', '.join(sorted(IMAGE_SUFFIXES))}."
            )


def _images_below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield from (Path(place, name) for name in sorted(names) if is_image(Path(name)))
