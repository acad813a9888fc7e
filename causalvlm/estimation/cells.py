"""Counted cells of discrete columns: their means, the cells that an estimate needs, and the overlap that they show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from causalvlm.errors import OverlapError
from causalvlm.estimation.overlap import Overlap, auc, kish
from causalvlm.estimation.sample import Levels
from causalvlm.estimation.sampling import EVEN, Sampling

_TINY = float(np.finfo(float).tiny)  # in place of an empty cell's count, which nothing is divided by that is not zero


@dataclass(frozen=True)
class Cells:
    """A table of counts over stratum c, treatment x, mediator s, with the outcome's sums in every cell.

    A back-door problem has one mediator level.

    Attributes:
        counts: rows in each cell, axes c, x, s.
        sums: sum of each outcome column in each cell, axes c, x, s, k: one column for a numeric outcome (its
            value), one per class for a categorical one (its indicator).
        finest: counts split by the outcome's value, axes c, x, s, y, when it takes few values; else None.
        scores: what each outcome value contributes to `sums`, axes y, k; None with `finest`.
        squares: sums of the squares of the rows' weights in each cell; None if they have none.

    Example:
        >>> Cells(np.ones((1, 2, 2)), np.zeros((1, 2, 2, 1)), None, None).counts.sum()
        np.float64(4.0)
    """

    counts: Float[np.ndarray, "_ _ _"]
    sums: Float[np.ndarray, "_ _ _ _"]
    finest: Float[np.ndarray, "_ _ _ _"] | None
    scores: Float[np.ndarray, "_ _"] | None
    squares: Float[np.ndarray, "_ _ _"] | None = None


def count_cells(
    stratum: Levels,
    treatment: Levels,
    mediator: Levels,
    outcome: Levels | Float[np.ndarray, " rows"],
    *,
    nominal: bool,
    sampling: Sampling = EVEN,
) -> Cells:
    """Count rows, or add up their weights, by cell; a numeric outcome with many values keeps its sums only.

    Args:
        stratum: joint levels of the covariates.
        treatment: the treatment.
        mediator: joint levels of the mediators.
        outcome: levels, or numbers when there are too many values to count.
        nominal: whether the outcome's levels are classes rather than numbers.
        sampling: clusters and weights of the rows.

    Example:
        >>> one, two = Levels("", np.zeros(2, dtype=int), ("all",)), Levels("X", np.array([0, 1]), (0, 1))
        >>> count_cells(one, two, one, two, nominal=False).sums[0, :, 0, 0]
        array([0., 1.])
    """
    shape = (len(stratum.labels), len(treatment.labels), len(mediator.labels))
    cell = np.ravel_multi_index((stratum.codes, treatment.codes, mediator.codes), shape)
    size = int(np.prod(shape))
    weights = sampling.weights
    squares = None if weights is None else np.bincount(cell, weights**2, minlength=size).reshape(shape)
    if not isinstance(outcome, Levels):
        counts = np.bincount(cell, weights, minlength=size).astype(float).reshape(shape)
        sums = np.bincount(cell, weights=sampling.weigh(outcome), minlength=size).reshape(*shape, 1)
        return Cells(counts, sums, None, None, squares)
    values = len(outcome.labels)
    scores = np.eye(values) if nominal else outcome.numbers()[:, None]
    place = cell * values + outcome.codes
    finest = np.bincount(place, weights, minlength=size * values).astype(float).reshape(*shape, values)
    return Cells(finest.sum(-1), finest @ scores, finest, scores, squares)


def cell_means(cells: Cells) -> Float[np.ndarray, "_ _ _ _"]:
    """E[Y | c, x, s]; zero in cells without rows, which no weight falls on once `require_cells` has passed.

    Example:
        >>> cell_means(Cells(np.full((1, 1, 1), 2.0), np.full((1, 1, 1, 1), 3.0), None, None)).item()
        1.5
    """
    return cells.sums / np.maximum(cells.counts, _TINY)[..., None]


def needed(counts: Float[np.ndarray, "_ _ _"], at: int | None = None) -> Bool[np.ndarray, "_ _ _"]:
    """Cells whose outcome mean enters the sum: every treatment level at every (c, s) that occurs at all.

    Args:
        counts: rows in each cell.
        at: the level at which the mediator is held, if it is: then at every c, and at no other s.

    Example:
        >>> needed(np.array([[[3.0, 0.0], [0.0, 0.0]]]))[0, :, 1]
        array([False, False])
    """
    if at is not None:
        return np.broadcast_to(np.arange(counts.shape[-1]) == at, counts.shape)
    return np.broadcast_to(counts.sum(1, keepdims=True) > 0, counts.shape)


def require_cells(cells: Cells, stratum: Levels, treatment: Levels, mediator: Levels, at: int | None = None) -> None:
    """Refuse a table that lacks a cell (x, s) which the sum over x' needs.

    Raises:
        OverlapError: naming the first empty cell, with its counts.

    Example:
        >>> x = Levels("X", np.array([0, 1]), (0, 1))
        >>> require_cells(count_cells(x, x, x, x, nominal=False), x, x, x)
        Traceback (most recent call last):
        ...
        causalvlm.errors.OverlapError: every level of 'X' must occur ...
    """
    empty = needed(cells.counts, at) & (cells.counts == 0)
    if not empty.any():
        return
    c, x, s = np.argwhere(empty)[0]
    where = [f"{mediator.name}={mediator.labels[s]!r}"] * (len(mediator.labels) > 1)
    where += [f"{stratum.name}={stratum.labels[c]!r}"] * (len(stratum.labels) > 1)
    rows = round(cells.counts[c, :, s].sum())
    raise OverlapError(
        f"every level of {treatment.name!r} must occur with every level of the mediator or stratum; received no row "
        f"with {treatment.name}={treatment.labels[x]!r} and {' and '.join(where)} (0 of {rows}; {int(empty.sum())} "
        f"empty cells of {empty.size}). Merge rare levels or collect those rows.",
        effective_sample_size=0.0,
    )


def front_door_overlap(cells: Cells, pair: tuple[int, int]) -> Overlap:
    """Overlap of the weights p(s | a, c) / p(s | x, c), exact from the counts.

    Example:
        >>> cells = Cells(np.full((1, 2, 2), 25.0), np.zeros((1, 2, 2, 1)), None, None)
        >>> front_door_overlap(cells, (1, 0)).auc
        0.5
    """
    mediator = cells.counts / np.maximum(cells.counts.sum(-1, keepdims=True), _TINY)
    arms = range(mediator.shape[1])
    ratios = [np.divide(mediator[:, [a]], mediator, out=np.zeros_like(mediator), where=mediator > 0) for a in arms]
    sizes = np.array([kish(ratio, cells.counts, cells.squares) for ratio in ratios])
    return Overlap(_cells_auc(cells.counts, pair), sizes, sizes / cells.counts.sum())


def back_door_overlap(cells: Cells, pair: tuple[int, int]) -> Overlap:
    """Overlap of the weights 1 / p(a | c) over the rows of each level, exact from the counts.

    Example:
        >>> cells = Cells(np.full((2, 2, 1), 25.0), np.zeros((2, 2, 1, 1)), None, None)
        >>> back_door_overlap(cells, (1, 0)).sizes
        array([50., 50.])
    """
    counts, squares = cells.counts[..., 0], _squares(cells)[..., 0]
    inverse = counts.sum(1, keepdims=True) / np.maximum(counts, _TINY)
    sizes = np.array([kish(inverse[:, a], counts[:, a], squares[:, a]) for a in range(counts.shape[1])])
    by_stratum = np.moveaxis(cells.counts, 0, -1)[..., 0, :][None]
    return Overlap(_cells_auc(by_stratum, pair), sizes, sizes / counts.sum(0))


def nested_overlap(cells: Cells, nested: Sequence[tuple[int, int]], pair: tuple[int, int]) -> Overlap:
    """Overlap of the weights p(s | b, c) / p(s, a | c) over the rows of a, for each (a, b), exact from the counts.

    Example:
        >>> cells = Cells(np.full((1, 2, 2), 25.0), np.zeros((1, 2, 2, 1)), None, None)
        >>> nested_overlap(cells, [(0, 0), (1, 0)], (1, 0)).sizes
        array([50., 50.])
    """
    counts, squares = cells.counts, _squares(cells)
    law = counts / np.maximum(counts.sum(-1, keepdims=True), _TINY)
    joint = counts / np.maximum(counts.sum((1, 2), keepdims=True), _TINY)
    ratios = [np.divide(law[:, b], joint[:, a], out=np.zeros_like(law[:, b]), where=joint[:, a] > 0) for a, b in nested]
    levels = [a for a, _ in nested]
    sizes = np.array([kish(ratio, counts[:, a], squares[:, a]) for ratio, a in zip(ratios, levels, strict=True)])
    rows = counts.sum((0, 2))[levels]
    return Overlap(_cells_auc(counts, pair), sizes, sizes / rows)


def held_overlap(cells: Cells, at: int, pair: tuple[int, int]) -> Overlap:
    """Overlap of the weights 1 / p(a, s | c) over the rows of a level at the s where the mediator is held.

    Example:
        >>> cells = Cells(np.full((2, 2, 2), 25.0), np.zeros((2, 2, 2, 1)), None, None)
        >>> held_overlap(cells, 1, (1, 0)).sizes
        array([50., 50.])
    """
    held, squares = cells.counts[..., at], _squares(cells)[..., at]
    inverse = cells.counts.sum((1, 2))[:, None] / np.maximum(held, _TINY)
    sizes = np.array([kish(inverse[:, a], held[:, a], squares[:, a]) for a in range(held.shape[1])])
    return Overlap(_cells_auc(held.T[None], pair), sizes, sizes / held.sum(0))


def _squares(cells: Cells) -> Float[np.ndarray, "_ _ _"]:
    return cells.counts if cells.squares is None else cells.squares


def _cells_auc(counts: Float[np.ndarray, "_ _ _"], pair: tuple[int, int]) -> float:
    """AUC of the pair from (c, s): score p(treated | c, s) among the pair's rows."""
    treated, control = (counts[:, level].ravel() for level in pair)
    score = treated / np.maximum(treated + control, _TINY)
    positive = np.repeat([True, False], len(score))
    return auc(np.tile(score, 2), positive, np.concatenate([treated, control]))
