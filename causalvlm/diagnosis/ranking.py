"""Prompts and adapters ranked by how far a factor moves their accuracy, among those as accurate as the best."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from causalvlm.diagnosis.columns import choose_reference, labelled_columns
from causalvlm.diagnosis.levels import FEWEST_IMAGES
from causalvlm.embeddings.model import Model
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.intervals import Estimate, Shift, difference_of_means, paired_shares, widened, wilson
from causalvlm.markup import html_table
from causalvlm.phrases import interval, minus, percent, percents, spoken

TOLERANCE = 0.02
"""Share of right answers that counts as no difference, as everywhere in a diagnosis [ours]."""

Equal = Literal["yes", "unknown", "no"]
ORDER: tuple[Equal, ...] = ("yes", "unknown", "no")


@dataclass(frozen=True)
class Ranked:
    """One prompt or adapter.

    Attributes:
        name: of it.
        accuracy: over all images.
        behind: its share of right answers minus that of the most accurate one, paired; None for that one.
        equal: whether it is as accurate as that one: "yes" where it certainly is less than `TOLERANCE` behind, "no"
            where it certainly is farther behind.
        level: at which the factor moves its accuracy most.
        effect: accuracy there minus that at the reference, class by class; the interval allows for the choice.
    """

    name: str
    accuracy: Estimate
    behind: Shift | None
    equal: Equal
    level: str
    effect: Shift


@dataclass(frozen=True, repr=False)
class Ranking:
    """Prompts and adapters, the best first: as accurate as the best, and least moved by a factor.

    Attributes:
        factor: the factor.
        reference: its level that the others are compared with.
        n: images.
        rows: those that are as accurate as the best, then those of which that is unknown, then the others.
    """

    factor: str
    reference: str
    n: int
    rows: tuple[Ranked, ...]

    def __repr__(self) -> str:
        return f"<Ranking by {self.factor!r} on {self.n:,} images: {', '.join(row.name for row in self.rows)}>"

    def _repr_html_(self) -> str:
        title = f"Ranked by how far {spoken(self.factor)} moves accuracy, {self.n:,} images"
        return html_table(self._cells(), header=_HEADER, title=title)

    def to_markdown(self) -> str:
        """The table as text."""
        lines = [_HEADER, ("---",) * len(_HEADER), *self._cells()]
        return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines) + "\n"

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                row.name, f"{percent(row.accuracy.value)} ({percents(row.accuracy)})", row.equal,
                f"{row.level} against {self.reference}",
                f"{minus(f'{100 * row.effect.value:+.0f}')} ({interval(100 * row.effect.low, 100 * row.effect.high)})",
            )
            for row in self.rows
        ]  # fmt: skip


_HEADER = ("prompts or adapter", "right", "as accurate as the best?", "moved most at", "by, points")


def rank_models(
    table: EmbeddingTable,
    models: Mapping[str, Model | Float[np.ndarray, "rows classes"]],
    *,
    factor: str,
    reference: str | None = None,
) -> Ranking:
    """Rank models by how far a factor moves their accuracy at most, at equal accuracy, on identical images.

    The effect is the shift of accuracy that a diagnosis shows: level minus reference, averaged over the classes that
    both have two images of (Welch); an association, as there. Equal accuracy is shown, never assumed: by the paired
    interval. Choose on images that the models were not trained on, and do not report the winner's number from the
    images that it was chosen on.

    Args:
        table: images with their labels and factors.
        models: what reads its embeddings, or log-probabilities of its images, by name.
        factor: of the table.
        reference: level to compare with; by default as in a diagnosis.

    Raises:
        InputError: if there is no model, an answer does not fit the table, a model reads no embeddings, the factor or
            reference is unknown, or no class has two images at two levels.

    Example:
        >>> labels, light = np.tile([0, 1], 40), np.repeat(["day", "night"], 40)
        >>> fair = 2.0 * np.eye(2)[labels]
        >>> moved = np.where((light == "night")[:, None] & (np.arange(80) % 8 < 2)[:, None], -fair, fair)
        >>> table = EmbeddingTable(np.eye(80), fair, labels, {"light": light}, ("cat", "dog"))
        >>> [(row.name, row.equal) for row in rank_models(table, {"a": moved, "b": fair}, factor="light").rows]
        [('b', 'yes'), ('a', 'no')]
    """
    if not models or factor not in table.factors:
        raise InputError(
            f"models must be ranked by a factor of the table ({', '.join(table.factors) or 'it has none'}); received "
            f"{factor!r} and {len(models)} models. Name one of these, and a model."
        )
    column = labelled_columns(table).factors[factor]
    levels = [str(level) for level in np.unique(column.levels)]
    reference = reference or choose_reference(table, column)
    if reference not in levels:
        raise InputError(
            f"the reference of {factor!r} must be one of its levels ({', '.join(levels)}); received {reference!r}."
        )
    right = {name: _answers(table, name, model).argmax(1) == table.labels for name, model in models.items()}
    best = max(right, key=lambda name: right[name].mean())
    rows = []
    for name, correct in right.items():
        behind = None if name == best else paired_shares(correct, right[best])
        level, effect = _most_moved(table, column.levels, correct.astype(float), reference, levels)
        accuracy = wilson(float(correct.mean()), len(table))
        rows.append(Ranked(name, accuracy, behind, _equal(behind), level, effect))
    rows.sort(key=lambda row: (ORDER.index(row.equal), abs(row.effect.value)))
    return Ranking(factor, reference, len(table), tuple(rows))


def _equal(behind: Shift | None) -> Equal:
    if behind is None or behind.low > -TOLERANCE:
        return "yes"
    return "no" if behind.high < -TOLERANCE else "unknown"


def _answers(
    table: EmbeddingTable, name: str, model: Model | Float[np.ndarray, "rows classes"]
) -> Float[np.ndarray, "rows classes"]:
    if isinstance(model, Model):
        if model.classify is None or model.class_names != table.class_names:
            raise InputError(
                f"{name!r} must read embeddings and answer with the table's class names; received one that does not. "
                "Pass its log-probabilities of the images instead."
            )
        return model.classify(table.features)
    if model.shape != table.logits.shape:
        raise InputError(
            f"{name!r} must answer {len(table)} images among {len(table.class_names)} classes; received "
            f"{list(model.shape)}. Ask it of the images of the table."
        )
    return model


def _most_moved(
    table: EmbeddingTable,
    column: np.ndarray,
    correct: Float[np.ndarray, " rows"],
    reference: str,
    levels: list[str],
) -> tuple[str, Shift]:
    """The level whose accuracy is farthest from the reference's, class by class."""
    found, classes = dict[str, Shift](), range(len(table.class_names))
    for level in levels:
        cells = {one: [correct[(column == one) & (table.labels == k)] for k in classes] for one in (level, reference)}
        shared = [k for k in classes if min(len(one[k]) for one in cells.values()) >= FEWEST_IMAGES]
        if level != reference and shared:
            found[level] = difference_of_means(*([one[k] for k in shared] for one in cells.values()))
    if not found:
        raise InputError("a class must have two images at two levels, to be compared; received none. Add images.")
    level = max(found, key=lambda one: abs(found[one].value))
    return level, widened(found[level], len(found))
