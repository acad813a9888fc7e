"""Embeddings on disk: memory-mapped arrays and a Parquet table in clip-retrieval's layout, checked when read."""

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from causalvlm.errors import InputError
from cdc.files import PARTIAL, read_bytes, refuse_overwrite, require_regular, write_bytes, write_json
from cdc.records import restore

if TYPE_CHECKING:
    import pandas

FORMAT = 1
MANIFEST = "embeddings.json"
FEATURES, LOGITS, ROWS = Path("img_emb/img_emb_0.npy"), Path("logits/logits_0.npy"), Path("metadata/metadata_0.parquet")
"""Files of a folder; the first and the last are where clip-retrieval has them, in one part."""

HEADER = 128
"""Bytes of the header of an .npy file whose rows are counted when they have all been written."""

MOST_MANIFEST = 2**26


@dataclass(frozen=True)
class Manifest:
    """What a folder of embeddings holds.

    Attributes:
        rows: number of images.
        class_names: the closed set of answers.
        factors: names of the factors.
        unreadable: files that were left out, each with the reason.
        source: fields of the table's `Source`; None for numbers that came without.
        provenance: versions, device and commit of whoever wrote it.
        sha256: of every other file in the folder.
        format: of the folder.
    """

    rows: int
    class_names: tuple[str, ...]
    factors: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    source: Mapping[str, Any] | None
    provenance: Mapping[str, Any]
    sha256: Mapping[str, str]
    format: int = FORMAT


@dataclass(frozen=True, eq=False)
class Stored:
    """What was read from a folder of embeddings; the arrays are memory-mapped.

    Attributes:
        features: embeddings.
        logits: of the classes.
        rows: image_path (empty for rows that come from no file), label, and the factors.
        manifest: the rest.
    """

    features: Float[np.ndarray, "rows dim"]
    logits: Float[np.ndarray, "rows classes"]
    rows: "pandas.DataFrame"
    manifest: Manifest


class ArrayFile:
    """An .npy file that is written block by block, under another name until it is whole.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.npy"
        >>> with ArrayFile(path) as array:
        ...     array.append(np.ones((2, 3), np.float32))
        ...     array.append(np.zeros((1, 3), np.float32))
        >>> np.load(path).sum(axis=1)
        array([3., 3., 0.], dtype=float32)
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}{PARTIAL}")
        self._rows = 0
        self._block: np.ndarray | None = None

    def __enter__(self) -> "ArrayFile":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._stream: IO[bytes] = self._partial.open("wb")
        self._stream.write(bytes(HEADER))
        return self

    def append(self, block: Float[np.ndarray, "_ _"]) -> None:
        """Write more rows, of the width of those before."""
        self._stream.write(np.ascontiguousarray(block).data)
        self._rows, self._block = self._rows + len(block), block[:0]

    def __exit__(self, kind: object, *_: object) -> None:
        with self._stream:
            if kind is None and self._block is not None:
                self._stream.seek(0)
                self._stream.write(_header((self._rows, self._block.shape[1]), self._block.dtype))
                self._stream.flush()
                os.fsync(self._stream.fileno())
        if kind is None:
            self._partial.replace(self._path)
        else:
            self._partial.unlink(missing_ok=True)


def _header(shape: tuple[int, int], dtype: np.dtype) -> bytes:
    """The first bytes of an .npy file, format 1.0, filled up with blanks to `HEADER`."""
    text = repr({"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    start = np.lib.format.magic(1, 0)
    length = HEADER - len(start) - 2
    return start + length.to_bytes(2, "little") + text.ljust(length - 1).encode() + b"\n"


class StoreWriter:
    """Writes a folder of embeddings block by block; the manifest comes last, so that half a folder is none.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with StoreWriter(folder) as writer:
        ...     writer.append(np.eye(2), np.eye(2), {"image_path": ["a.jpg", "b.jpg"], "label": [0, 1]})
        ...     writer.describe(class_names=("cat", "dog"), factors=(), unreadable=(), source=None, provenance={})
        >>> read_store(folder).features
        memmap([[1., 0.],
                [0., 1.]])
    """

    def __init__(self, directory: Path, *, force: bool = False) -> None:
        """Refuse a folder that holds embeddings already, unless `force` is given."""
        refuse_overwrite(directory / MANIFEST, force=force)
        self._directory = directory
        self._columns: dict[str, list[Any]] = {}
        self._about: dict[str, Any] = {}

    def __enter__(self) -> "StoreWriter":
        with ExitStack() as stack:
            self._features = stack.enter_context(ArrayFile(self._directory / FEATURES))
            self._logits = stack.enter_context(ArrayFile(self._directory / LOGITS))
            self._files = stack.pop_all()
        return self

    def append(
        self,
        features: Float[np.ndarray, "rows dim"],
        logits: Float[np.ndarray, "rows classes"],
        columns: Mapping[str, Sequence[Any]],
    ) -> None:
        """More images: `columns` has image_path, label and the factors."""
        self._features.append(features)
        self._logits.append(logits)
        for name, values in columns.items():
            self._columns.setdefault(name, []).extend(values)

    def describe(
        self,
        *,
        class_names: tuple[str, ...],
        factors: tuple[str, ...],
        unreadable: tuple[tuple[str, str], ...],
        source: Mapping[str, Any] | None,
        provenance: Mapping[str, Any],
    ) -> None:
        """What the manifest will say, see `Manifest`."""
        self._about = {
            "class_names": class_names,
            "factors": factors,
            "unreadable": unreadable,
            "source": source,
            "provenance": provenance,
        }

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._files.__exit__(kind, error, trace)  # pyright: ignore[reportArgumentType] - a traceback
        if kind is not None:
            return
        import pandas as pd

        stream = io.BytesIO()
        pd.DataFrame(self._columns).to_parquet(stream, index=False)
        write_bytes(self._directory / ROWS, stream.getvalue())
        sums = {path.as_posix(): _checksum(self._directory / path) for path in (FEATURES, LOGITS, ROWS)}
        rows = len(self._columns["image_path"])
        write_json(self._directory / MANIFEST, asdict(Manifest(rows=rows, sha256=sums, **self._about)))


def is_store(directory: Path) -> bool:
    """Whether a folder holds embeddings that were saved here, whole or damaged.

    Example:
        >>> is_store(Path("no/such/folder"))
        False
    """
    return (directory / MANIFEST).is_file()


def read_store(directory: Path) -> Stored:
    """Read a folder that `StoreWriter` wrote.

    Raises:
        InputError: if a file is missing, or anything in the folder is not as it was written.
    """
    manifest = read_manifest(directory)
    for name, expected in manifest.sha256.items():
        if _checksum(directory / name) != expected:
            raise _damaged(directory, f"the checksum of {name} differs")
    if set(manifest.sha256) != {path.as_posix() for path in (FEATURES, LOGITS, ROWS)}:
        raise _damaged(directory, f"{MANIFEST} lists {', '.join(sorted(manifest.sha256)) or 'no file'}")
    features, logits = _map(directory / FEATURES), _map(directory / LOGITS)
    rows = _read_rows(directory / ROWS)
    columns = {"image_path", "label", *(factor_column(name) for name in manifest.factors)}
    if not len(features) == len(logits) == len(rows) == manifest.rows or not columns <= set(rows):
        raise _damaged(directory, f"{MANIFEST} is about other rows or columns")
    return Stored(features, logits, rows, manifest)


def factor_column(name: str) -> str:
    """The column of a factor in the Parquet table, which no column of clip-retrieval's can be mistaken for.

    Example:
        >>> factor_column("domain")
        'factor: domain'
    """
    return f"factor: {name}"


def is_clip_retrieval(directory: Path) -> bool:
    """Whether a folder is laid out as clip-retrieval's inference writes it.

    Example:
        >>> is_clip_retrieval(Path("no/such/folder"))
        False
    """
    return bool(_parts(directory / FEATURES.parent, "img_emb", ".npy"))


def read_clip_retrieval(directory: Path) -> tuple[Float[np.ndarray, "rows dim"], tuple[Path, ...]]:
    """Embeddings and files from a folder of clip-retrieval: img_emb/img_emb_N.npy and metadata/metadata_N.parquet.

    One part is memory-mapped, several are joined in memory.

    Raises:
        InputError: if parts do not match each other, or metadata have no image_path.

    Example:
        >>> import tempfile, pandas as pd
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "img_emb").mkdir(), (folder / "metadata").mkdir()
        (None, None)
        >>> np.save(folder / "img_emb/img_emb_0.npy", np.eye(2))
        >>> pd.DataFrame({"image_path": ["a.jpg", "b.jpg"]}).to_parquet(folder / "metadata/metadata_0.parquet")
        >>> read_clip_retrieval(folder)[1]
        (PosixPath('a.jpg'), PosixPath('b.jpg'))
    """
    arrays = _parts(directory / FEATURES.parent, "img_emb", ".npy")
    tables = _parts(directory / ROWS.parent, "metadata", ".parquet")
    if not arrays or list(arrays) != list(tables):
        raise InputError(
            f"a folder of clip-retrieval must hold a metadata/metadata_N.parquet for every img_emb/img_emb_N.npy; "
            f"received {directory} with parts {list(arrays)} and {list(tables)}. Run its inference again."
        )
    paths: list[Path] = []
    features = [_map(path) for path in arrays.values()]
    for part, (number, path) in zip(features, tables.items(), strict=True):
        rows = _read_rows(path)
        if "image_path" not in rows or len(rows) != len(part):
            raise InputError(
                f"{path} must have a column image_path with a row for each of {len(part)} embeddings of part {number}; "
                f"received {len(rows)} rows of {', '.join(map(str, rows.columns))}. Run its inference again."
            )
        paths += map(Path, rows["image_path"])
    widths = {part.shape[1] for part in features}
    if len(widths) > 1:
        raise InputError(
            f"the parts of {directory} must be of one model; received widths {sorted(widths)}. Run its inference again."
        )
    return features[0] if len(features) == 1 else np.concatenate(features), tuple(paths)


def _parts(folder: Path, stem: str, suffix: str) -> dict[int, Path]:
    """Files such as ``img_emb_07.npy``, by number."""
    found = {path.stem.removeprefix(f"{stem}_"): path for path in folder.glob(f"{stem}_*{suffix}")}
    return {int(number): found[number] for number in sorted((n for n in found if n.isdigit()), key=int)}


def read_manifest(directory: Path) -> Manifest:
    """What a folder says that it holds; nothing else in it is read.

    Raises:
        InputError: if there is no manifest, or one of another format.
    """
    try:
        record = json.loads(read_bytes(directory / MANIFEST, most=MOST_MANIFEST))
    except FileNotFoundError as error:
        raise InputError(
            f"a folder of embeddings must hold {MANIFEST}; received {directory} without it. Pass the folder that "
            "embeddings were saved in; if saving was interrupted, do it again."
        ) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(directory, f"{MANIFEST} is no JSON") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else None
        raise InputError(
            f"{directory / MANIFEST} must have format {FORMAT}; received {found!r:.20}. Install the version that wrote "
            "it."
        )
    return restore(Manifest, record)


def _map(path: Path) -> Float[np.ndarray, "_ _"]:
    """An array of numbers, read-only and memory-mapped."""
    try:
        require_regular(path)
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} must be an .npy file of numbers; {error}. Save the embeddings again.") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise InputError(
            f"{path} must hold a row of floating-point numbers for every image; received {array.dtype} of shape "
            f"{array.shape}. Save the embeddings again."
        )
    return array


def _read_rows(path: Path) -> "pandas.DataFrame":
    import pandas as pd
    from pyarrow import ArrowException

    try:
        require_regular(path)
        return pd.read_parquet(path)
    except (OSError, ValueError, ArrowException) as error:
        raise InputError(f"{path} must be a Parquet table; {error}. Save the embeddings again.") from error


def _checksum(path: Path) -> str:
    try:
        require_regular(path)
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _damaged(path.parent.parent, f"{path.name}: {(error.strerror or str(error)).lower()}") from error


def _damaged(directory: Path, what: str) -> InputError:
    return InputError(
        f"a folder of embeddings must be as it was saved; received {directory}, where {what}. Save them again."
    )
