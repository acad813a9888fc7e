"""Write files so that a kill never leaves half of one, and nothing user-made is lost."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cdc.errors import InputError


def write_bytes(path: Path, content: bytes, *, force: bool = True, durable: bool = True) -> None:
    """Write `content` under a temporary name beside `path`, then rename: readers see the old file or the new.

    Args:
        path: the file to write; its folder is made if needed.
        content: what to write.
        force: replace an existing file.
        durable: wait until the disk has it. Without, a power cut may leave a damaged file: for thousands of small
            files that are verified when they are read.

    Raises:
        InputError: if the file exists and `force` is false.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_bytes(folder / "a.txt", b"one")
        >>> (folder / "a.txt").read_bytes()
        b'one'
    """
    refuse_overwrite(path, force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:  # a full disk names no file
        Path(temporary).unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, payload: Mapping[str, object], *, force: bool = True) -> None:
    """Write `payload` as indented JSON, atomically.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_json(folder / "a.json", {"accuracy": 0.5})
        >>> json.loads((folder / "a.json").read_text())
        {'accuracy': 0.5}
    """
    write_bytes(path, (json.dumps(payload, indent=2, allow_nan=False) + "\n").encode(), force=force)


def refuse_overwrite(path: Path, *, force: bool) -> None:
    """Raise if `path` exists and may not be replaced.

    Example:
        >>> refuse_overwrite(Path("no/such/file.json"), force=False)
    """
    if not force and path.exists():
        raise InputError(f"output must not exist yet; received {path}. Choose another name, or pass force=True.")
