"""Write files so that a kill never leaves half of one, and nothing user-made is lost."""

import errno
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from cdc.errors import InputError

PARTIAL = ".partial"
"""How the names of files end that are not yet whole."""

LOCK = ".in-use"
"""A file in an output folder that its process holds locked, with the names of what it is about to write."""


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
    with replacing(path, force=force, durable=durable) as stream:
        stream.write(content)


@contextmanager
def replacing(path: Path, *, force: bool = True, durable: bool = True) -> Generator[IO[bytes]]:
    """A file to write piece by piece, with its own name only once the block has ended: as `write_bytes` otherwise.

    Args:
        path: the file to write; its folder is made if needed.
        force: replace an existing file.
        durable: wait until the disk has it.

    Yields:
        The stream. What was written goes when the block raises.

    Raises:
        InputError: if the file exists and `force` is false, or what exists is no regular file.

    Example:
        >>> file = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with replacing(file) as stream:
        ...     count = stream.write(b"one")
        ...     file.exists()
        False
        >>> file.read_bytes()
        b'one'
    """
    refuse_overwrite(path, force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = _open_partial(path)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(descriptor)
            temporary.chmod(0o644)
            temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk names no file
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)
        _sweep(path)


def _open_partial(path: Path) -> tuple[int, Path]:
    """A new file beside `path`, locked for as long as it is open: what is not locked was left by a kill."""
    while True:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL)
        if _lock(descriptor, unsupported=True) and os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # swept by another process in the moment before it was locked


def _sweep(path: Path) -> None:
    """Remove what kills have left of earlier writes of `path`; what is being written now stays."""
    for name in os.listdir(path.parent):  # noqa: PTH208 - names are enough
        if name.startswith(f".{path.name}.") and name.endswith(PARTIAL):
            with suppress(OSError), (path.parent / name).open("rb") as stream:  # another user's, or already gone
                if _lock(stream.fileno(), unsupported=False):
                    (path.parent / name).unlink()


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's names: without, a power cut may undo a rename."""
    descriptor = os.open(folder, os.O_RDONLY)
    with suppress(OSError):  # some network file systems cannot
        os.fsync(descriptor)
    os.close(descriptor)


def _lock(descriptor: int, *, unsupported: bool) -> bool:
    """Lock a file until it is closed or the process ends in any way; false if it is locked.

    Args:
        descriptor: of the file.
        unsupported: what to answer where the file system knows no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return unsupported
    return True


@contextmanager
def in_use(folder: Path, *, writes: Sequence[Path] = (), force: bool = False) -> Generator[None]:
    """Hold `folder`, which is made if needed, so that no other process writes into it meanwhile.

    Args:
        folder: where output goes.
        writes: files that are about to be written. What a killed process said here, the next may replace.
        force: replace files that are there.

    Raises:
        InputError: if another process holds the folder; or if one of `writes` exists, `force` is false, and it was
            not left by a process that was killed.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with in_use(folder, writes=[folder / "a.txt"]):
        ...     write_bytes(folder / "a.txt", b"one")
        >>> with in_use(folder, writes=[folder / "a.txt"]):
        ...     pass
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: output must not exist yet; received ...a.txt. Choose another name, or pass force=True.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK
    with lock.open("a+b") as stream:
        if not _lock(stream.fileno(), unsupported=True) or not os.fstat(stream.fileno()).st_nlink:
            raise InputError(
                f"an output folder must serve one process at a time; {folder} is in use by another. Wait until that "
                "is done, or choose another folder."
            )
        stream.seek(0)
        unfinished = set(os.fsdecode(stream.read()).splitlines())
        names = [str(path.absolute()) for path in writes]
        try:
            for path, name in zip(writes, names, strict=True):
                refuse_overwrite(path, force=force or name in unfinished)
            _note(stream, [name for name in names if name not in unfinished])
            unfinished.update(names)
            yield
            unfinished.difference_update(names)
        finally:
            if there := [name for name in unfinished if Path(name).exists()]:
                stream.truncate(0)
                _note(stream, there)
            else:
                lock.unlink(missing_ok=True)
                if made:
                    with suppress(OSError):  # it has something in it, as it should
                        folder.rmdir()


def _note(stream: IO[bytes], names: Iterable[str]) -> None:
    """Append names to a file, a line each, for whoever reads it after a kill."""
    stream.write(os.fsencode("".join(f"{name}\n" for name in names)))
    stream.flush()


def read_bytes(path: Path, *, most: int = 2**30) -> bytes:
    """The content of a regular file of bounded size.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        InputError: if it is no regular file, or larger.
        OSError: if it cannot be read.

    Example:
        >>> read_bytes(Path(__file__))[:3] == b'"' * 3
        True
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > most:
        raise InputError(
            f"{path} must be a regular file of at most {most:,} bytes; received {stat.filemode(found.st_mode)} with "
            f"{found.st_size:,} bytes. Pass another file."
        )
    return path.read_bytes()


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
