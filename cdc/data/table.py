"""Read labels, splits and factors from a CSV file."""

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cdc.data.dataset import Example
from cdc.data.listing import OWN_SPLIT, SPLIT_NAMES, Listing, Split, refuse_ambiguous_names, relative_name
from cdc.errors import InputError

RESERVED = ("file", "label", "split")
"""Columns with a meaning of their own; every other column is a factor."""


@dataclass(frozen=True)
class _Table:
    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]

    @property
    def factor_columns(self) -> tuple[str, ...]:
        return tuple(column for column in self.columns if column not in RESERVED)

    def factors(self, row: Mapping[str, str]) -> dict[str, str]:
        return {column: row[column] for column in self.factor_columns}

    def refuse_rows(self, rows: Collection[tuple[int, str]], rule: str, remedy: str) -> None:
        """Raise if there are offending rows, naming the first with its line and how many there are."""
        if rows:
            line, received = min(rows)
            count = f" ({len(rows)} such rows)" if len(rows) > 1 else ""
            raise InputError(f"{rule}; line {line} of {self.path} has {received}{count}. {remedy}")


def read_table(path: Path, *, root: Path | None = None) -> Listing:
    r"""List the images named by a CSV file with the columns file, label, optionally split, and any factors.

    The first line names the columns. Files count from `root`. A label is the class name; labels follow the sorted
    names. Splits are train, val and test; without that column the images are divided by `cdc.data.splits.divide`.

    Args:
        path: the CSV file, UTF-8, comma-separated.
        root: folder that the files count from; by default the CSV file's own.

    Raises:
        InputError: if a column is missing or a cell empty, a file is missing or named twice, or a split or class name
            is not as it must be. The message gives the line and how many rows are concerned.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "1.jpg").write_bytes(b"not read here")
        >>> _ = (folder / "data.csv").write_text("file,label,split,domain\n1.jpg,dog,test,sketch\n")
        >>> listing = read_table(folder / "data.csv")
        >>> listing.class_names, listing.splits, dict(listing.examples[0].factors)
        (('dog',), ('test',), {'domain': 'sketch'})
    """
    table = _read(path, required=("file", "label"))
    root = path.parent if root is None else root
    files = _files(table, root)
    table.refuse_rows(
        [(line, repr(row["file"])) for (line, row), file in zip(table.rows, files, strict=True) if not file.is_file()],
        "every file of a table must exist",
        f"Paths count from {root}; correct them, or pass another root.",
    )
    class_names = tuple(sorted({row["label"] for _, row in table.rows}))
    refuse_ambiguous_names(class_names)
    labels = {name: label for label, name in enumerate(class_names)}
    examples = tuple(
        Example(file, labels[row["label"]], table.factors(row))
        for (_, row), file in zip(table.rows, files, strict=True)
    )
    if "split" not in table.columns:
        return Listing(root, class_names, examples, None, OWN_SPLIT)
    table.refuse_rows(
        [(line, repr(row["split"])) for line, row in table.rows if row["split"].lower() not in SPLIT_NAMES],
        "a split must be train, val or test",
        "Correct it, or drop the column to have the images divided.",
    )
    splits: tuple[Split, ...] = tuple(SPLIT_NAMES[row["split"].lower()] for _, row in table.rows)
    return Listing(root, class_names, examples, splits, f"column split of {path.name}")


def attach_factors(listing: Listing, path: Path) -> Listing:
    r"""Give every image of a listing the factors that a CSV file names, beside those it has from its folders.

    Args:
        listing: the images.
        path: CSV file with a column file (counting from the listing's root) and one column per factor; a column label
            is checked against the folder's class.

    Raises:
        InputError: if an image has no row, a row no image, a cell is empty, or a label disagrees.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "factors.csv"
        >>> _ = file.write_text("file,weather\ndog/1.jpg,fog\n")
        >>> listing = Listing(Path("pets"), ("dog",), (Example(Path("pets/dog/1.jpg"), 0),))
        >>> dict(attach_factors(listing, file).examples[0].factors)
        {'weather': 'fog'}
    """
    table = _read(path, required=("file",))
    _refuse_columns(table, listing)
    _files(table, listing.root)
    rows = {relative_name(listing.root / row["file"], listing.root): (line, row) for line, row in table.rows}
    known = dict(zip(listing.keys, listing.examples, strict=True))
    table.refuse_rows(
        [(line, repr(row["file"])) for key, (line, row) in rows.items() if key not in known],
        f"every row must name an image of the data set in {listing.root}",
        "Correct the path, or drop the row.",
    )
    without = [key for key in listing.keys if key not in rows]
    if without:
        raise InputError(
            f"every image must have a row in {path}; {len(without)} have none, first {without[0]!r}. Add rows "
            "(write 'unknown' where a factor is not known), or remove the images."
        )
    if "label" in table.columns:
        classes = {key: listing.class_names[example.label] for key, example in known.items()}
        table.refuse_rows(
            [
                (line, f"{row['label']!r} for an image in the folder of {classes[key]!r}")
                for key, (line, row) in rows.items()
                if row["label"] != classes[key]
            ],
            "a label must be the class that the image's folder names",
            "Correct it, or drop the column label.",
        )
    examples = tuple(
        replace(example, factors={**example.factors, **table.factors(rows[key][1])}) for key, example in known.items()
    )
    return replace(listing, examples=examples)


def _read(path: Path, *, required: tuple[str, ...]) -> _Table:
    """Read a CSV file whole: required columns there, no cell missing or empty."""
    if not path.is_file():
        raise InputError(f"a CSV file must exist; received {path}. Correct the path.")
    try:
        # utf-8-sig: spreadsheets put a byte order mark before the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except UnicodeDecodeError as error:
        raise InputError(f"a CSV file must be UTF-8; received {path} ({error}). Save it as UTF-8.") from error
    except csv.Error as error:
        raise InputError(
            f"a CSV file must have short cells in lines of text; received {path} ({error}). Look for a quote that is "
            "not closed."
        ) from error
    columns = tuple(lines[0][1]) if lines else ()
    missing = [column for column in required if column not in columns]
    if missing or len(set(columns)) < len(columns) or "" in columns:
        raise InputError(
            f"the first line of {path} must name the columns, {' and '.join(required)} among them, each once and "
            f"separated by commas; received {', '.join(columns) or 'an empty file'}. Correct the first line."
        )
    if not lines[1:]:
        raise InputError(f"a CSV file must hold at least one row; {path} holds only its first line. Add rows.")
    ragged = [(line, f"{len(cells)} cells") for line, cells in lines[1:] if len(cells) != len(columns)]
    table = _Table(path, columns, tuple((n, dict(zip(columns, cells, strict=False))) for n, cells in lines[1:]))
    table.refuse_rows(ragged, f"every row must have {len(columns)} cells, one per column", "Add or quote the cells.")
    empty = [(line, f"no {column}") for line, row in table.rows for column in columns if not row[column]]
    table.refuse_rows(empty, "no cell may be empty", "Fill it in; write 'unknown' where a factor is not known.")
    return table


def _files(table: _Table, root: Path) -> list[Path]:
    """The files of all rows, none named twice."""
    files = [root / row["file"] for _, row in table.rows]
    first: dict[str, int] = {}
    twice: list[tuple[int, str]] = []
    for (line, row), file in zip(table.rows, files, strict=True):
        key = relative_name(file, root)
        if key in first:
            twice.append((line, f"{row['file']!r} again, first named in line {first[key]}"))
        first.setdefault(key, line)
    table.refuse_rows(twice, "a file must be named once", "Drop the repeated rows.")
    return files


def _refuse_columns(table: _Table, listing: Listing) -> None:
    """A factors file must bring factors, new ones, and no split."""
    if "split" in table.columns:
        raise InputError(
            f"a factors file must have no column split; {table.path} has one. Drop it, or pass the CSV file itself as "
            "the data set."
        )
    known = set(listing.examples[0].factors) & set(table.factor_columns)
    if known or not table.factor_columns:
        received = f"{sorted(known)}, which the folders already name" if known else "no factor column"
        raise InputError(
            f"a factors file must have at least one column besides file and label, and only new ones; {table.path} has "
            f"{received}. Add or rename columns."
        )
