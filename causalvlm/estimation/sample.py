"""From a table to checked arrays: every mistake in the data is caught here, once, and nothing is imputed."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from pandas.api.types import infer_dtype

from causalvlm.errors import InputError

Level = str | int | float | bool

FEW_VALUES = 12
"""A numeric column with at most this many values, each occurring twice on average, is discrete."""

LARGEST = 1e100
"""Numbers beyond it are refused, for sums of their squares are infinite; so is a column whose range is below 1 / it."""

FINEST = 1e-8
"""A range that is a smaller share than this of the numbers themselves is refused: rounding would pass for variation."""

ROWS_PER_LEVEL = 5
"""With fewer rows per level on average a column of text is a name of each row, and nothing can be held fixed by it."""

_ORDINARY = 10
"""Columns that spread over more than two to this power, or less than one over it, are measured in another unit."""

_ALONE = 0.05  # share of the rows that are alone in their level, above which a reader is told

_PEEK = 2000


@dataclass(frozen=True)
class Levels:
    """A discrete variable as codes 0 ... len(labels) - 1.

    Attributes:
        name: column name, or several joined by commas.
        codes: one code per row.
        labels: what the codes stand for, sorted.

    Example:
        >>> levels(pd.DataFrame({"X": ["b", "a"]}), "X").labels
        ('a', 'b')
    """

    name: str
    codes: Int[np.ndarray, " rows"]
    labels: tuple[Level, ...]

    def numbers(self) -> Float[np.ndarray, " _"]:
        """The labels as numbers, for an outcome whose mean is wanted.

        Example:
            >>> levels(pd.DataFrame({"Y": [0, 1, 1]}), "Y").numbers()
            array([0., 1.])
        """
        return np.array(self.labels, dtype=float)


def check_columns(table: pd.DataFrame, names: Sequence[str]) -> None:
    """Require that `table` has rows and holds `names`: real numbers or levels, none missing, all of a usable size.

    Raises:
        InputError: naming the column, and how many values are missing and where the first one is.

    Example:
        >>> check_columns(pd.DataFrame({"X": [0, 1]}), ["X"])
    """
    if not isinstance(table, pd.DataFrame):
        raise InputError(
            f"the table must be a pandas DataFrame; received a {type(table).__name__}. Make one: pd.DataFrame(...)."
        )
    if table.empty:
        raise InputError("the table must have rows; received none. Check the file or the filter that made it.")
    absent = [name for name in names if name not in table.columns]
    if absent:
        raise InputError(
            f"the table must have the columns {list(names)[:8]}; received no column {absent[0]!r}. "
            f"Columns: {', '.join(map(str, table.columns[:12]))}. Rename one, or map the node with columns=."
        )
    for name in names:
        column = table[name]
        if isinstance(column, pd.DataFrame):
            raise InputError(
                f"column names must be unique; received {name!r} {column.shape[1]} times. Rename the others."
            )
        missing = column.isna().to_numpy()
        if column.dtype.kind == "f":
            missing = missing | np.isinf(column.to_numpy())
        if missing.any():
            raise InputError(
                f"column {name!r} must have no missing or infinite values; received {int(missing.sum())} in "
                f"{len(table)} rows, the first in row {int(missing.argmax())}. Drop those rows or impute them yourself."
            )
        if is_nominal(table, name):
            _check_levels(column)
        else:
            _check_size(column)


def _check_levels(column: pd.Series) -> None:
    kind = infer_dtype(column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column)
    if kind in ("datetime", "datetime64", "date", "time", "timedelta", "timedelta64", "period"):
        raise InputError(
            f"column {column.name!r} must hold numbers or levels; received dates or times. Turn it into a number, such "
            "as days since the first, or into levels, such as the month as text."
        )
    if kind.startswith("mixed"):  # 1 and "1" would be two levels
        kinds = sorted({type(value).__name__ for value in column})
        raise InputError(
            f"column {column.name!r} must hold numbers or text throughout; received {', '.join(kinds[:3])}. Convert "
            "it, with .astype(str) for instance."
        )


def _check_size(column: pd.Series) -> None:
    if column.dtype.kind == "c":
        raise InputError(
            f"column {column.name!r} must hold real numbers; received complex ones. Give real and imaginary part, or "
            "modulus and angle, a column each."
        )
    values = column.to_numpy(dtype=float)
    low, high = float(values.min()), float(values.max())
    extreme, width = max(abs(low), abs(high)), high - low
    if extreme > LARGEST:
        raise InputError(
            f"column {column.name!r} must hold numbers of at most {LARGEST:g}; received {extreme:g}. Change its unit, "
            "or drop those rows."
        )
    if 0 < width < max(1 / LARGEST, FINEST * extreme):
        raise InputError(
            f"column {column.name!r} must vary by at least {1 / LARGEST:g} and by {FINEST:g} of its largest number; "
            f"received values from {low!r} to {high!r}. Subtract a constant and change the unit."
        )


def check_fixable(table: pd.DataFrame, names: Sequence[str]) -> tuple[str, ...]:
    """Require that the columns can be held fixed, and say what a reader must know of them.

    Text with a level for about every row is the name of the row: as 0/1 columns it would leave confounding as it is,
    and look as if it had been adjusted for.

    Raises:
        InputError: if a column has text with fewer than `ROWS_PER_LEVEL` rows per level.

    Example:
        >>> check_fixable(pd.DataFrame({"Z": [1.5, 1.5, 1.5]}), ["Z"])
        ("column 'Z' is constant: holding it fixed changes nothing.",)
    """
    notes: list[str] = []
    constant = [name for name in names if is_constant(table, name)]
    if constant:
        shown, more = ", ".join(map(repr, constant[:3])), ", ..." if len(constant) > 3 else ""
        which = f"column {shown} is" if len(constant) == 1 else f"{len(constant)} columns, {shown}{more}, are"
        notes.append(f"{which} constant: holding {'it' if len(constant) == 1 else 'them'} fixed changes nothing.")
    for name in names:
        if not is_nominal(table, name) or name in constant:
            continue
        sizes = table[name].value_counts()
        sizes = sizes[sizes > 0]
        if len(table) < ROWS_PER_LEVEL * len(sizes):
            raise InputError(
                f"column {name!r} must have levels that recur, on average in {ROWS_PER_LEVEL} rows or more; "
                f"received {len(sizes)} levels in {len(table)} rows, as identifiers have. Drop it, or merge levels."
            )
        alone = int((sizes == 1).sum())
        if alone > _ALONE * len(table):
            notes.append(
                f"{alone} of {len(table)} rows are alone in their level of {name!r}: for them it is not held fixed. "
                "Merge rare levels."
            )
    return tuple(notes)


def is_nominal(table: pd.DataFrame, name: str) -> bool:
    """Whether a column holds strings or categories rather than numbers.

    Example:
        >>> is_nominal(pd.DataFrame({"X": ["a"]}), "X")
        True
    """
    return not pd.api.types.is_numeric_dtype(table[name])


def is_discrete(table: pd.DataFrame, name: str) -> bool:
    """Whether a column is nominal, or binary, or has at most `FEW_VALUES` values that recur.

    Example:
        >>> is_discrete(pd.DataFrame({"X": [0.5, 1.5]}), "X")
        True
    """
    if is_nominal(table, name):
        return True
    column = table[name]
    values = column.to_numpy()
    if len(pd.unique(values[:_PEEK])) > FEW_VALUES:
        return False
    distinct = len(pd.unique(values))
    return distinct <= 2 or (distinct <= FEW_VALUES and 2 * distinct <= len(values))


def is_constant(table: pd.DataFrame, name: str) -> bool:
    """Whether a column has one value.

    Example:
        >>> is_constant(pd.DataFrame({"X": ["a", "a"]}), "X")
        True
    """
    if is_nominal(table, name):
        return len(table[name].unique()) == 1
    values = table[name].to_numpy()
    return bool(values[0] == values[-1] and (values == values[0]).all())


def levels(table: pd.DataFrame, name: str) -> Levels:
    """Read a column as sorted levels; intervals, as `pandas.cut` gives them, become text.

    Raises:
        InputError: if its values cannot be sorted.

    Example:
        >>> levels(pd.DataFrame({"X": [5, 3, 5]}), "X").codes.tolist()
        [1, 0, 1]
    """
    column = table[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.remove_unused_categories()
        labels = column.cat.categories
        labels = labels.astype(str) if isinstance(labels, pd.IntervalIndex) else labels
        return Levels(name, column.cat.codes.to_numpy(dtype=np.int64), tuple(labels.tolist()))
    try:
        codes, uniques = pd.factorize(column, sort=True)
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in column})
        raise InputError(
            f"column {name!r} must hold numbers or text; received {', '.join(kinds)}. Convert it."
        ) from error
    return Levels(name, codes.astype(np.int64, copy=False), tuple(uniques.tolist()))


def joint_levels(table: pd.DataFrame, names: Sequence[str]) -> Levels:
    """Read several columns as one discrete variable over the combinations that occur; none gives a single level.

    Example:
        >>> joint_levels(pd.DataFrame({"A": [0, 1, 1], "B": ["u", "u", "v"]}), ["A", "B"]).labels
        ('0, u', '1, u', '1, v')
    """
    if not names:
        return Levels("", np.zeros(len(table), dtype=np.int64), ("all rows",))
    joint = levels(table, names[0])
    for name in names[1:]:
        other = levels(table, name)
        pair = joint.codes * len(other.labels) + other.codes
        found, codes = np.unique(pair, return_inverse=True)
        labels = tuple(f"{joint.labels[p // len(other.labels)]}, {other.labels[p % len(other.labels)]}" for p in found)
        joint = Levels(f"{joint.name}, {name}", codes, labels)
    return joint


def treatment_levels(table: pd.DataFrame, name: str) -> Levels:
    """Read a treatment, which must take at least two values.

    Raises:
        InputError: if the treatment is constant.

    Example:
        >>> treatment_levels(pd.DataFrame({"X": [0, 1]}), "X").labels
        (0, 1)
    """
    treatment = levels(table, name)
    if len(treatment.labels) < 2:
        only = treatment.labels[:1]
        raise InputError(
            f"treatment {name!r} must take at least two levels; received {only} in all {len(table)} rows. "
            "A constant treatment has no effect to estimate; add rows with another level."
        )
    return treatment


def numbers(table: pd.DataFrame, name: str) -> Float[np.ndarray, " rows"]:
    """Read a column as numbers.

    Raises:
        InputError: if it holds strings or categories.

    Example:
        >>> numbers(pd.DataFrame({"Y": [True, False]}), "Y")
        array([1., 0.])
    """
    column = table[name]
    if is_nominal(table, name):
        shown = ", ".join(repr(value) for value in column.iloc[:3].tolist())
        raise InputError(
            f"column {name!r} must be numeric here; received {column.dtype} values such as {shown}. Code it as "
            "numbers, or, for the distribution of a categorical outcome, convert it with .astype('category')."
        )
    return column.to_numpy(dtype=float)


def matrix(table: pd.DataFrame, names: Sequence[str]) -> Float[np.ndarray, "rows dim"]:
    """Read columns as a matrix of numbers; a discrete column becomes one 0/1 column per level but the first.

    Integer codes with three values or more are levels, not quantities: a line through them would be an assumption.

    Example:
        >>> matrix(pd.DataFrame({"A": [1.0, 2.0, 3.0], "B": ["u", "v", "u"]}), ["A", "B"])
        array([[1., 0.],
               [2., 1.],
               [3., 0.]])
    """
    if not names:
        return np.zeros((len(table), 0))
    coded = [name for name in names if is_discrete(table, name)]
    if not coded and len(names) > 1:  # of one column pandas would look up an index
        return _in_ordinary_units(table[list(names)].to_numpy(dtype=float))
    blocks: list[np.ndarray] = []
    for name in names:
        if name in coded:
            column = levels(table, name)
            blocks.append((column.codes[:, None] == np.arange(1, len(column.labels))).astype(float))
        else:
            blocks.append(_in_ordinary_units(table[name].to_numpy(dtype=float)[:, None]))
    return np.hstack(blocks)


def matrix_at(table: pd.DataFrame, names: Sequence[str], wanted: Sequence[Level]) -> Float[np.ndarray, " _"]:
    """A row of `matrix` whose columns have given values.

    Raises:
        InputError: if a discrete column has no such level, or another's value is no number.

    Example:
        >>> matrix_at(pd.DataFrame({"A": [1.0, 2.0, 3.5], "B": ["u", "v", "u"]}), ["A", "B"], [2.5, "v"])
        array([2.5, 1. ])
    """
    parts: list[np.ndarray] = []
    for name, value in zip(names, wanted, strict=True):
        if is_discrete(table, name):
            found = levels(table, name)
            parts.append(np.arange(1, len(found.labels)) == find_level(name, found.labels, value, asked="at="))
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = np.nan
        if not np.isfinite(number):
            raise InputError(f"{name!r} must be held at a finite number; received {value!r}. Pass a number.")
        parts.append(_in_ordinary_units(np.append(table[name].to_numpy(dtype=float), number)[:, None])[-1])
    return np.concatenate(parts).astype(float)


def _in_ordinary_units(values: Float[np.ndarray, "rows _"]) -> Float[np.ndarray, "rows _"]:
    """Columns that spread very widely or hardly at all, divided by a power of two, which loses no digit.

    What holds a column fixed does not depend on its unit; penalties and tolerances of linear algebra do.
    """
    exponents = np.frexp(np.ptp(values, axis=0))[1]
    exponents[np.abs(exponents) <= _ORDINARY] = 0
    return np.ldexp(values, -exponents) if exponents.any() else values


def find_level(variable: str, labels: Sequence[Level], wanted: Level, *, asked: str = "treated and control") -> int:
    """Position of `wanted` among `labels`; text such as "1" finds the number 1, as a command line needs.

    Raises:
        InputError: if no row has that level.

    Example:
        >>> find_level("X", (0, 1), "1")
        1
    """
    if isinstance(wanted, str | Real | np.bool_):
        for index, label in enumerate(labels):
            if label == wanted or str(label) == str(wanted) or _same_number(label, wanted):
                return index
    raise InputError(
        f"{asked} must be levels of {variable!r}; received {wanted!r}, which no row has. "
        f"Levels: {', '.join(repr(label) for label in labels[:12])}."
    )


def _same_number(label: Level, wanted: Level) -> bool:
    try:
        return float(label) == float(wanted)
    except (ValueError, OverflowError):
        return False
