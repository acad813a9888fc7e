"""Where a model fails worst: classes that pay most at a level of a factor, with images that are most wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from causalvlm.diagnosis.columns import Columns
from causalvlm.diagnosis.levels import Cell
from causalvlm.intervals import Estimate

SHOWN_CELLS = 10
SHOWN_IMAGES = 3


@dataclass(frozen=True)
class WorstCell:
    """A class at a level, and how much margin it loses there.

    Attributes:
        factor: its name.
        level: the level.
        class_name: the class.
        n: images.
        accuracy: share of right answers, with Wilson's interval.
        margin_shift: mean margin minus that of the class at the reference level, in nats.
        taken_for: the most frequent wrong answer; empty where all are right.
        files: images that are wrong by the largest margin, the worst first.
        answers: what each of them is taken for.
    """

    factor: str
    level: str
    class_name: str
    n: int
    accuracy: Estimate
    margin_shift: float
    taken_for: str
    files: tuple[str, ...]
    answers: tuple[str, ...]

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def find_worst(columns: Columns, cells: Mapping[str, Sequence[Cell]]) -> tuple[WorstCell, ...]:
    """The classes that certainly lose margin at a level, the largest loss first, of all factors together.

    The interval of each cell is its own: with many cells some lose by chance.

    Args:
        columns: the factors of a table.
        cells: of every factor.

    Example:
        >>> from causalvlm.diagnosis.columns import labelled_columns
        >>> from causalvlm.diagnosis.levels import Answers, diagnose_cell
        >>> from causalvlm.embeddings.table import EmbeddingTable
        >>> logits = np.array([[3.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.5]])
        >>> table = EmbeddingTable(features=np.eye(4), logits=logits, labels=np.zeros(4, dtype=int),
        ...                        factors={"light": np.array(["day", "day", "night", "night"])},
        ...                        class_names=("cat", "dog"))
        >>> columns, answers = labelled_columns(table), Answers.of(table)
        >>> day, night = (answers.where(columns.factors["light"].levels == level) for level in ("day", "night"))
        >>> (found,) = find_worst(columns, {"light": [diagnose_cell("night", 0, night, day)]})
        >>> found.class_name, found.level, found.taken_for, found.accuracy.value
        ('cat', 'night', 'dog', 0.0)
    """
    losing = [
        (cell.margin_shift.value, name, cell)
        for name, found in cells.items()
        for cell in found
        if cell.margin_shift and cell.margin_shift.high < 0
    ]
    losing.sort(key=lambda one: one[0])
    return tuple(_show(columns, name, cell, shift) for shift, name, cell in losing[:SHOWN_CELLS])


def _show(columns: Columns, factor: str, cell: Cell, shift: float) -> WorstCell:
    table = columns.table
    margins, predicted = table.margins, table.predicted
    here = (columns.factors[factor].levels == cell.level) & (table.labels == table.class_names.index(cell.class_name))
    wrong = np.flatnonzero(here & (predicted != table.labels))
    wrong = wrong[np.argsort(margins[wrong], kind="stable")]
    counts = np.bincount(predicted[wrong], minlength=len(table.class_names))
    return WorstCell(
        factor=factor,
        level=cell.level,
        class_name=cell.class_name,
        n=cell.n,
        accuracy=cell.accuracy,
        margin_shift=shift,
        taken_for=table.class_names[int(counts.argmax())] if len(wrong) else "",
        files=tuple(str(table.files[row]) for row in wrong[:SHOWN_IMAGES]) if table.files else (),
        answers=tuple(table.class_names[predicted[row]] for row in wrong[:SHOWN_IMAGES]),
    )
