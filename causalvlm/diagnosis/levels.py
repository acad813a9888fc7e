"""How a model answers at one level of a factor, compared class by class with its answers at another."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.intervals import Estimate, Shift, difference_of_means, difference_of_shares, wilson

FEWEST_IMAGES = 2
"""Images of a class at a level without which the spread, and so the comparison of that class, is unknown."""

WRONG_LABELS = 5
"""Wrong labels kept for each level."""


@dataclass(frozen=True)
class WrongLabel:
    """A label that images of other classes are given at one level.

    Attributes:
        label: the wrong answer.
        count: images of other classes that get it.
        share: mean over those other classes of the share that gets it.
        reference_share: the same at the reference level, over the same classes; at the reference itself, `share`.
        mostly: the class most often taken for it, in images.
        mostly_count: how many images of that class.
    """

    label: str
    count: int
    share: float
    reference_share: float
    mostly: str
    mostly_count: int


@dataclass(frozen=True)
class LevelDiagnosis:
    """One level of a factor, and how it differs from the reference level.

    Attributes:
        level: its name.
        n: images at it.
        accuracy: share of right answers among them, class mix and all.
        accuracy_shift: accuracy minus the reference's, mean over the classes that both have; None at the reference,
            and where there is no such class.
        margin_shift: the same for the logit margin, in nats of log odds.
        compared: number of classes behind the shifts.
        wrong_labels: what its images are wrongly taken for, those first that the reference knows least.
    """

    level: str
    n: int
    accuracy: Estimate
    accuracy_shift: Estimate | None
    margin_shift: Shift | None
    compared: int
    wrong_labels: tuple[WrongLabel, ...]


@dataclass(frozen=True)
class Cell:
    """The images of one class at one level.

    Attributes:
        class_name: the class.
        level: the level.
        n: how many.
        accuracy: share of right answers, with Wilson's interval.
        margin: mean logit margin, in nats.
        margin_shift: minus the reference's mean, class by class; None at the reference and with fewer than two images.
    """

    class_name: str
    level: str
    n: int
    accuracy: Estimate
    margin: float
    margin_shift: Shift | None


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model answered on some images.

    Attributes:
        labels: true class of each image.
        predicted: answer.
        margins: logit margin, in nats.
        class_names: the closed set of answers.
    """

    labels: Int[np.ndarray, " rows"]
    predicted: Int[np.ndarray, " rows"]
    margins: Float[np.ndarray, " rows"]
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, table: EmbeddingTable) -> "Answers":
        """The answers in a table."""
        return cls(table.labels, table.predicted, table.margins, table.class_names)

    def where(self, chosen: Bool[np.ndarray, " rows"]) -> "Answers":
        """The answers on the chosen images."""
        return Answers(self.labels[chosen], self.predicted[chosen], self.margins[chosen], self.class_names)

    @property
    def right(self) -> Float[np.ndarray, " rows"]:
        """One where the answer is right, else zero."""
        return (self.predicted == self.labels).astype(float)

    @property
    def counts(self) -> Int[np.ndarray, " classes"]:
        """Images per class."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    @property
    def confusion(self) -> Int[np.ndarray, "classes classes"]:
        """Images by true class and answer."""
        table = np.zeros((len(self.class_names), len(self.class_names)), dtype=np.int64)
        np.add.at(table, (self.labels, self.predicted), 1)
        return table

    def by_class(
        self, scores: Float[np.ndarray, " rows"], classes: Int[np.ndarray, " _"]
    ) -> list[Float[np.ndarray, " _"]]:
        """The scores of the images of each of these classes."""
        return [scores[self.labels == label] for label in classes]


def diagnose_level(level: str, here: Answers, reference: Answers | None) -> LevelDiagnosis:
    """Answers at `level`, compared with those at the reference level; None at the reference itself.

    Example:
        >>> names, labels = ("cat", "dog"), np.array([0, 0, 1, 1])
        >>> day = Answers(labels, labels, np.array([2.0, 3.0, 2.0, 3.0]), names)
        >>> night = Answers(labels, np.array([0, 1, 1, 1]), np.array([1.0, -1.0, 1.0, 2.0]), names)
        >>> found = diagnose_level("night", night, day)
        >>> found.accuracy.value, found.accuracy_shift.value, found.margin_shift.value, found.wrong_labels[0].label
        (0.75, -0.25, -1.75, 'dog')
    """
    shared = np.flatnonzero(
        (here.counts >= FEWEST_IMAGES) & (reference.counts >= FEWEST_IMAGES) if reference else here.counts < 0
    )
    accuracy_shift, margin_shift = None, None
    if reference and len(shared):
        accuracy_shift = difference_of_shares(
            here.by_class(here.right, shared), reference.by_class(reference.right, shared)
        )
        margin_shift = difference_of_means(
            here.by_class(here.margins, shared), reference.by_class(reference.margins, shared)
        )
    return LevelDiagnosis(
        level=level,
        n=len(here.labels),
        accuracy=wilson(float(here.right.mean()), len(here.labels)),
        accuracy_shift=accuracy_shift,
        margin_shift=margin_shift,
        compared=len(shared),
        wrong_labels=_wrong_labels(here, reference),
    )


def diagnose_cell(level: str, label: int, here: Answers, reference: Answers | None) -> Cell | None:
    """The images of one class at one level; None if there are none.

    Example:
        >>> answers = Answers(np.array([0, 0]), np.array([0, 1]), np.array([2.0, -1.0]), ("cat", "dog"))
        >>> diagnose_cell("night", 0, answers, None).margin, diagnose_cell("night", 1, answers, None)
        (0.5, None)
    """
    chosen = here.where(here.labels == label)
    if not len(chosen.labels):
        return None
    base = reference.margins[reference.labels == label] if reference else here.margins[:0]
    comparable = min(len(chosen.labels), len(base)) >= FEWEST_IMAGES
    return Cell(
        class_name=here.class_names[label],
        level=level,
        n=len(chosen.labels),
        accuracy=wilson(float(chosen.right.mean()), len(chosen.labels)),
        margin=float(chosen.margins.mean()),
        margin_shift=difference_of_means([chosen.margins], [base]) if comparable else None,
    )


def largest_loss(cells: Iterable[Cell]) -> float:
    """Most negative margin shift among the cells of a class; zero where nothing can be compared.

    Example:
        >>> largest_loss([])
        0.0
    """
    return min((cell.margin_shift.value for cell in cells if cell.margin_shift), default=0.0)


def _wrong_labels(here: Answers, reference: Answers | None) -> tuple[WrongLabel, ...]:
    """The labels whose share of wrong answers exceeds the reference's most."""
    mistakes = here.confusion * (1 - np.eye(len(here.class_names), dtype=np.int64))
    present = (here.counts > 0) & ((reference.counts > 0) if reference else True)
    shares = _wrong_shares(here, present)
    base = _wrong_shares(reference, present) if reference else np.zeros_like(shares)
    order = [label for label in np.argsort(base - shares, kind="stable") if shares[label] > base[label]]
    return tuple(
        WrongLabel(
            label=here.class_names[label],
            count=int(mistakes[:, label].sum()),
            share=float(shares[label]),
            reference_share=float(base[label]) if reference else float(shares[label]),
            mostly=here.class_names[int(mistakes[:, label].argmax())],
            mostly_count=int(mistakes[:, label].max()),
        )
        for label in order[:WRONG_LABELS]
    )


def _wrong_shares(answers: Answers, present: Bool[np.ndarray, " classes"]) -> Float[np.ndarray, " classes"]:
    """For every label the mean, over the other classes that are present, of the share of images that get it."""
    rates = answers.confusion / np.maximum(answers.counts, 1)[:, None]
    rates = np.where(np.eye(len(rates), dtype=bool) | ~present[:, None], 0.0, rates)
    return rates.sum(axis=0) / np.maximum(present.sum() - present, 1)
