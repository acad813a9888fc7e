"""`EmbeddingTable`: what a model makes of labelled images, one row per image."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from causalvlm.embeddings.store import StoreWriter, factor_column, read_store
from causalvlm.errors import InputError
from causalvlm.markup import html_table, listed
from cdc.provenance import provenance
from cdc.records import restore

BLOCK = 65_536
"""Rows that are checked or written at once."""


@dataclass(frozen=True)
class Source:
    """Which images a table holds, and which model made its numbers.

    Attributes:
        data: name of the data set.
        method: name of the method that classifies.
        backbone: name of the frozen model.
        data_fingerprint: of the data set's files and labels.
        images: which of its images these are, in words.
        template: hand-crafted template.
        pretrained: the model's tag or checkpoint, if any.
        precision: of its towers.
        device: where they ran.
        backbone_fingerprint: of its weights.
    """

    data: str
    data_fingerprint: str
    images: str
    method: str
    template: str
    backbone: str
    pretrained: str | None
    precision: str
    device: str
    backbone_fingerprint: str

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False, repr=False)
class EmbeddingTable:
    """Features and logits of images, with their labels and factors; all arrays are read-only.

    Attributes:
        features: embeddings of the images.
        logits: log-probabilities of the classes up to a constant per row: scaled cosines where the method has them,
            else exact log-probabilities. Differences within a row are log odds.
        labels: index of the true class in `class_names`.
        factors: level of every image, by the name of the factor.
        class_names: the closed set of answers.
        files: where each row comes from; empty for rows that come from no file.
        unreadable: files that were left out, each with the reason.
        source: data set, model and which of its images these are; None for numbers that came without.

    Raises:
        InputError: if rows or classes do not match, a number is not finite, or a label has no class name.

    Example:
        >>> table = EmbeddingTable(features=np.eye(2, dtype=np.float32), logits=np.array([[2.0, 1.0], [3.0, 0.5]]),
        ...                        labels=np.array([0, 1]), factors={"domain": np.array(["photo", "sketch"])},
        ...                        class_names=("cat", "dog"))
        >>> table.correct, table.margins
        (array([ True, False]), array([ 1. , -2.5]))
    """

    features: Float[np.ndarray, "rows dim"]
    logits: Float[np.ndarray, "rows classes"]
    labels: Int[np.ndarray, " rows"]
    factors: Mapping[str, Shaped[np.ndarray, " rows"]]
    class_names: tuple[str, ...]
    files: tuple[Path, ...] = ()
    unreadable: tuple[tuple[Path, str], ...] = ()
    source: Source | None = None

    def __post_init__(self) -> None:
        for name in ("features", "logits", "labels"):
            object.__setattr__(self, name, _read_only(getattr(self, name)))
        levels = {name: _read_only(column) for name, column in self.factors.items()}
        object.__setattr__(self, "factors", MappingProxyType(levels))
        self._refuse_shapes()
        self._refuse_values()

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        made = f" by {self.source.backbone} from {self.source.data}" if self.source else ""
        factors = f"factors {', '.join(self.factors)}" if self.factors else "no factors"
        return (
            f"<EmbeddingTable of {len(self):,} images in {self.features.shape[1]} dimensions{made}: "
            f"{len(self.class_names)} classes, {factors}>"
        )

    def _repr_html_(self) -> str:
        source = self.source
        rows = [
            *([("data", f"{source.data}, {source.images}")] if source else []),
            *([("model", f"{source.method} on {source.backbone}")] if source else []),
            ("embeddings", f"{len(self):,} images in {self.features.shape[1]} dimensions"),
            (f"{len(self.class_names)} classes", listed(self.class_names)),
            *((f"factor {name}", listed(np.unique(column).tolist())) for name, column in self.factors.items()),
            ("right", f"{self.correct.mean():.1%}"),
            *([("left out", f"{len(self.unreadable)} files that cannot be read")] if self.unreadable else []),
        ]
        return html_table(rows, title="Embedding table")

    @cached_property
    def images(self) -> Int[np.ndarray, " rows"]:
        """Which different image each row shows, as an index: rows with equal features show the same."""
        return np.unique(self.features, axis=0, return_inverse=True)[1].reshape(-1)

    @property
    def predicted(self) -> Int[np.ndarray, " rows"]:
        """Most probable class of each row."""
        return self.logits.argmax(axis=1)

    @property
    def correct(self) -> Bool[np.ndarray, " rows"]:
        """Whether the most probable class is the true one."""
        return self.predicted == self.labels

    @property
    def margins(self) -> Float[np.ndarray, " rows"]:
        """Log odds of the true class against its strongest rival, l_y - max_{k != y} l_k; positive where right."""
        return logit_margins(self.logits, self.labels)

    def save(self, directory: Path | str, *, force: bool = False) -> None:
        """Write the table into a folder, from which `load_embeddings` reads it again.

        Args:
            directory: made if needed.
            force: replace embeddings that lie there.

        Raises:
            InputError: if embeddings lie there already and `force` is false.
        """
        with StoreWriter(Path(directory), force=force) as writer:
            self.append_to(writer)
            writer.describe(
                class_names=self.class_names,
                factors=tuple(self.factors),
                unreadable=tuple((str(path), reason) for path, reason in self.unreadable),
                source=self.source.to_record() if self.source else None,
                provenance=provenance(self.source.device if self.source else "cpu"),
            )

    def append_to(self, writer: StoreWriter) -> None:
        """Write the rows alone, block by block; files are named from the root, to be found from anywhere."""
        for start in range(0, len(self), BLOCK):
            rows = slice(start, start + BLOCK)
            labels = self.labels[rows].tolist()
            files = [str(path.absolute()) for path in self.files[rows]] or [""] * len(labels)
            levels = {factor_column(name): column[rows].astype(str).tolist() for name, column in self.factors.items()}
            writer.append(self.features[rows], self.logits[rows], {"image_path": files, "label": labels, **levels})

    def take(self, rows: Int[np.ndarray, " _"], *, unreadable: tuple[tuple[Path, str], ...] = ()) -> "EmbeddingTable":
        """The table of some of its rows, in the order given.

        Args:
            rows: their indices.
            unreadable: files that were left out now, each with the reason.
        """
        if np.array_equal(rows, np.arange(len(self))):
            return self
        return replace(
            self,
            features=self.features[rows],
            logits=self.logits[rows],
            labels=self.labels[rows],
            factors={name: column[rows] for name, column in self.factors.items()},
            files=tuple(self.files[row] for row in rows) if self.files else (),
            unreadable=self.unreadable + unreadable,
        )

    def _refuse_shapes(self) -> None:
        rows = len(self.labels)
        columns = {"features": self.features, "logits": self.logits, **self.factors}
        wrong = [f"{name} has {len(column)}" for name, column in columns.items() if len(column) != rows]
        if self.files and len(self.files) != rows:
            wrong.append(f"files has {len(self.files)}")
        if wrong or rows == 0:
            raise InputError(
                f"every column of an embedding table must have one row per label, and at least one; received {rows} "
                f"labels{''.join(f', {received}' for received in wrong)}. Build the columns from the same images."
            )
        if self.logits.shape[1] != len(self.class_names) or len(self.class_names) < 2:
            raise InputError(
                f"logits must have one column per class name, and at least two; received {self.logits.shape[1]} "
                f"columns for {len(self.class_names)} names. Pass the names that the logits were computed for."
            )

    def _refuse_values(self) -> None:
        unknown = sorted(set(self.labels.tolist()) - set(range(len(self.class_names))))
        if unknown:
            raise InputError(
                f"every label must index one of the {len(self.class_names)} class names; received {unknown[:5]}. "
                "Name those classes, or drop their rows."
            )
        for name, values in (("features", self.features), ("logits", self.logits)):
            parts = [~np.isfinite(values[at : at + BLOCK]).all(axis=1) for at in range(0, len(values), BLOCK)]
            broken = np.flatnonzero(np.concatenate(parts))
            if len(broken):
                raise InputError(
                    f"{name} must be finite; {len(broken)} of {len(self)} rows are not, the first is row {broken[0]}"
                    f"{f' ({self.files[broken[0]]})' if self.files else ''}. Drop those rows, or encode in fp32."
                )


def logit_margins(
    logits: Float[np.ndarray, "rows classes"], labels: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """Log odds of the true class against its strongest rival, l_y - max_{k != y} l_k.

    Example:
        >>> logit_margins(np.array([[2.0, 1.0, 0.5]]), np.array([1]))
        array([-1.])
    """
    rows = np.arange(len(labels))
    rivals = logits.astype(np.float64)
    true = rivals[rows, labels]
    rivals[rows, labels] = -np.inf
    return true - rivals.max(axis=1)


def _read_only(values: np.ndarray) -> np.ndarray:
    """A copy that nobody can write to: neither the caller's array nor the table changes by the other's hand.

    One that is read-only and no view of another is such an array already, as is a file that is mapped read-only.
    """
    mapped = isinstance(values, np.memmap) and values.mode == "r"
    if mapped or (values.base is None and not values.flags.writeable):
        return values
    copy = np.array(values)
    copy.setflags(write=False)
    return copy


def load_embeddings(directory: Path | str) -> EmbeddingTable:
    """Read a table that `EmbeddingTable.save` or `causalvlm embed` wrote; its arrays are memory-mapped.

    Args:
        directory: the folder.

    Raises:
        InputError: if a file is missing, or anything in the folder is not as it was saved.

    Example:
        >>> import tempfile
        >>> table = EmbeddingTable(features=np.eye(2, dtype=np.float32), logits=np.array([[2.0, 1.0], [3.0, 0.5]]),
        ...                        labels=np.array([0, 1]), factors={"domain": np.array(["photo", "sketch"])},
        ...                        class_names=("cat", "dog"))
        >>> folder = Path(tempfile.mkdtemp()) / "embeddings"
        >>> table.save(folder)
        >>> load_embeddings(folder).factors["domain"].tolist()
        ['photo', 'sketch']
    """
    stored = read_store(Path(directory))
    rows, manifest = stored.rows, stored.manifest
    files = tuple(map(Path, rows["image_path"])) if rows["image_path"].iloc[0] else ()
    return EmbeddingTable(
        features=stored.features,
        logits=stored.logits,
        labels=rows["label"].to_numpy(dtype=np.int64),
        factors={name: rows[factor_column(name)].to_numpy(dtype=str) for name in manifest.factors},
        class_names=manifest.class_names,
        files=files,
        unreadable=tuple((Path(path), reason) for path, reason in manifest.unreadable),
        source=restore(Source, manifest.source) if manifest.source is not None else None,
    )
