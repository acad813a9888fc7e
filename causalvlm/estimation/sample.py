"""From a table to checked arrays: every mistake in the data is caught here, once, and nothing is imputed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from causalvlm.errors import InputError

Level = str | int | float | bool

FEW_VALUES = 12
"""A numeric column with at most this many values, each occurring twice on average, is discrete."""

LARGEST = 1e100
"""Numbers beyond it are refused: sums of their squares are infinite."""

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
    """Require that `table` has rows and holds `names`, without missing, infinite or enormous values.

    Raises:
        InputError: naming the column, how many values are missing and where the first one is.

    Example:
        >>> check_columns(pd.DataFrame({"X": [0, 1]}), ["X"])
    """
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
        if column.dtype.kind == "f" and (extreme := float(np.abs(column.to_numpy()).max())) > LARGEST:
            raise InputError(
                f"column {name!r} must hold numbers of at most {LARGEST:g}; received {extreme:g}. Change its unit, or "
                "drop those rows."
            )


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


def levels(table: pd.DataFrame, name: str) -> Levels:
    """Read a column as sorted levels.

    Raises:
        InputError: if its values are neither numbers nor text.

    Example:
        >>> levels(pd.DataFrame({"X": [5, 3, 5]}), "X").codes.tolist()
        [1, 0, 1]
    """
    column = table[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.remove_unused_categories()
        return Levels(name, column.cat.codes.to_numpy(dtype=np.int64), tuple(column.cat.categories.tolist()))
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
    coded = [name for name in names if is_discrete(table, name)]
    if not coded:
        return table[list(names)].to_numpy(dtype=float)
    blocks: list[np.ndarray] = []
    for name in names:
        if name in coded:
            column = levels(table, name)
            blocks.append((column.codes[:, None] == np.arange(1, len(column.labels))).astype(float))
        else:
            blocks.append(table[name].to_numpy(dtype=float)[:, None])
    return np.hstack(blocks)


def find_level(variable: str, labels: Sequence[Level], wanted: Level) -> int:
    """Position of `wanted` among `labels`; text such as "1" finds the number 1, as a command line needs.

    Raises:
        InputError: if no row has that level.

    Example:
        >>> find_level("X", (0, 1), "1")
        1
    """
    for index, label in enumerate(labels):
        if label == wanted or str(label) == str(wanted) or _same_number(label, wanted):
            return index
    raise InputError(
        f"treated and control must be levels of {variable!r}; received {wanted!r}, which no row has. "
        f"Levels: {', '.join(repr(label) for label in labels[:12])}."
    )


def _same_number(label: Level, wanted: Level) -> bool:
    try:
        return float(label) == float(wanted)
    except ValueError:
        return False
