"""Features on disk: one small safetensors file per image, each verified when it is read."""

import hashlib
import os
import warnings
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cdc.errors import InputError
from cdc.files import require_regular, write_bytes


def default_cache() -> Path:
    """Folder of cached features: ``$CAUSALVLM_CACHE``, ``$XDG_CACHE_HOME/causalvlm`` or ``~/.cache/causalvlm``.

    Raises:
        InputError: if that is in a home folder which does not exist.

    Example:
        >>> default_cache().is_absolute()
        True
    """
    chosen = os.environ.get("CAUSALVLM_CACHE")
    try:
        if chosen:
            return Path(chosen).expanduser().absolute()
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # nobody's home
        raise InputError(
            f"the folder of cached features must be known; received {chosen or 'no home folder'}. Set CAUSALVLM_CACHE "
            "to a folder of yours."
        ) from None
    return Path(home).absolute() / "causalvlm"


def hash_file(path: Path) -> str:
    """Hash of the bytes of a file: the same image has the same features wherever it is stored.

    Raises:
        OSError: if the file cannot be read, or is a pipe or a device.

    Example:
        >>> hash_file(Path(__file__)) == hash_file(Path(__file__))
        True
    """
    require_regular(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@final
class FeatureCache:
    """Features of images that were made in one way.

    Whatever is wrong with an entry (damaged, cut short, moved here from elsewhere, not finite), it counts as absent
    and the next `write` replaces it. A cache that cannot be written to costs time and nothing else: one warning, and
    no further attempts.

    Example:
        >>> import tempfile
        >>> cache = FeatureCache(Path(tempfile.mkdtemp()), recipe="clean", shape=(2,))
        >>> cache.read("key of an image") is None
        True
        >>> cache.write("key of an image", torch.tensor([0.6, 0.8]))
        >>> cache.read("key of an image")
        tensor([0.6000, 0.8000])
    """

    def __init__(self, folder: Path, *, recipe: str, shape: tuple[int, ...]) -> None:
        """Open a cache; nothing is touched before the first `write`.

        Args:
            folder: shared by all recipes.
            recipe: everything beside the image that decides its features.
            shape: of the features of one image.
        """
        self._folder = folder
        self._recipe = recipe
        self._shape = shape
        self._writable = True

    def read(self, image: str) -> Float[Tensor, "*_ dim"] | None:
        """Features of the image whose content hash is `image`, None if there is no sound entry."""
        key = self._key(image)
        try:
            require_regular(self._path(key))
            with safe_open(self._path(key), framework="pt") as entry:
                metadata = entry.metadata() or {}
                values: Tensor = entry.get_tensor("features")
        except (OSError, SafetensorError):
            return None
        sound = (
            metadata.get("key") == key
            and values.dtype == torch.float32
            and values.shape == self._shape
            and metadata.get("checksum") == _checksum(values)
            and bool(values.isfinite().all())
        )
        return values if sound else None

    def write(self, image: str, values: Float[Tensor, "*_ dim"]) -> None:
        """Store the features of the image whose content hash is `image`."""
        if not self._writable:
            return
        key = self._key(image)
        metadata = {"key": key, "checksum": _checksum(values)}
        try:
            write_bytes(self._path(key), save({"features": values}, metadata), durable=False)
        except (OSError, InputError) as error:
            self._writable = False
            reason = error.strerror if isinstance(error, OSError) else f"{self._path(key)} is no regular file"
            warnings.warn(
                f"features must be cached to be reused; writing to {self._folder} failed: {reason}. "
                "The run goes on and keeps them in memory. Free space there or point CAUSALVLM_CACHE elsewhere.",
                stacklevel=4,  # the line that called encode_images or encode_views
            )

    def _key(self, image: str) -> str:
        return hashlib.blake2b(f"{image}/{self._recipe}".encode(), digest_size=20).hexdigest()

    def _path(self, key: str) -> Path:
        return self._folder / "features" / key[:2] / f"{key}.safetensors"


def _checksum(values: Tensor) -> str:
    return hashlib.blake2b(values.numpy().tobytes(), digest_size=16).hexdigest()
