"""Write files so that a kill never leaves half of one, and nothing user-made is lost."""

import errno
import json
import os
import stat
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
        InputError: if the file exists and `force` is false, or what exists is no regular file.

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
    """Raise if `path` exists and may not be replaced; a folder, a pipe or a device never may.

    Example:
        >>> refuse_overwrite(Path("no/such/file.json"), force=False)
        >>> refuse_overwrite(Path("/dev/null"), force=True)
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: output must go to a regular file; received /dev/null, which is none. Choose another name.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"output must go to a regular file; received {path}, which is none. Choose another name.")
    if not force and path.exists():
        raise InputError(f"output must not exist yet; received {path}. Choose another name, or pass force=True.")


def require_regular(path: Path) -> None:
    """Raise before a pipe, a socket or a device is read: its end may never come. What a folder is, opening it says.

    Raises:
        OSError: if it is one of these, or there is no such file.

    Example:
        >>> require_regular(Path(__file__))
        >>> require_regular(Path("/dev/zero"))
        Traceback (most recent call last):
        ...
        OSError: [Errno 22] Not a regular file: '/dev/zero'
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
