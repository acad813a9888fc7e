"""What a protocol is: which trainings it takes, what is measured after each, and what its tables show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cdc.adapter import Adapter
from cdc.data.dataset import ImageDataset
from cdc.images.encode import CacheFolder

Record = Mapping[str, Any]
"""A run as it lies on disk: plain values."""


@dataclass(frozen=True)
class Case:
    """What a method is trained on and tested on, whatever the method and the seed.

    Attributes:
        name: of this case in file names.
        dataset: trained on.
        shots: training images per class.
        targets: data sets that are tested beside it.
    """

    name: str
    dataset: ImageDataset
    shots: int
    targets: tuple[ImageDataset, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """A data set that plays no part.

    Attributes:
        dataset: its name.
        reason: why, in a line.
    """

    dataset: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a protocol makes of data sets.

    Attributes:
        cases: every training, but for method and seed.
        skipped: data sets that do not fit.
    """

    cases: tuple[Case, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Column:
    """A score in tables.

    Attributes:
        metric: its name in results.
        heading: its name in tables.
        digits: after the decimal point; None for a share that is shown in percent with two.
        compared: whether methods are compared by it.
    """

    metric: str
    heading: str
    digits: int | None = None
    compared: bool = False


@dataclass(frozen=True)
class Protocol:
    """An experiment of the literature.

    Attributes:
        help: one line on what it does.
        classes: trained on the first half of the classes, or on all.
        shots: the usual numbers of training images per class; where it is one, a run takes one.
        plan: from data sets and shots to trainings; raises `InputError` where they do not fit.
        measure: scores of an adapter that was trained on a case, as plain values.
        observe: from the record of a run to named numbers by data set.
        columns: what tables show for these shots.
        derive: further numbers, from the means in one row of a table.
        first_is_source: whether the first data set alone is trained on.
    """

    help: str
    classes: Literal["base", "all"]
    shots: tuple[int, ...]
    plan: Callable[[Sequence[ImageDataset], Sequence[int]], Plan]
    measure: Callable[[Adapter, Case, CacheFolder], dict[str, Any]]
    observe: Callable[[Record], Mapping[str, Mapping[str, float]]]
    columns: Callable[[Sequence[int]], tuple[Column, ...]]
    derive: Callable[[Mapping[str, float]], Mapping[str, float]] = dict
    first_is_source: bool = False


def each_alone(datasets: Sequence[ImageDataset], shots: Sequence[int]) -> Plan:
    """Every data set for itself, with every number of shots.

    Example:
        >>> pets = ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> [case.name for case in each_alone([pets], [1, 2]).cases]
        ['pets-1_shot', 'pets-2_shot']
        >>> [case.name for case in each_alone([pets], [16]).cases]
        ['pets']
    """
    suffixes = {count: f"-{count}_shot" if len(shots) > 1 else "" for count in shots}
    return Plan(tuple(Case(dataset.name + suffixes[count], dataset, count) for dataset in datasets for count in shots))


def flat_scores(part: str, scores: Record) -> dict[str, float]:
    """Accuracy, calibration error and risk-coverage area of one part of a record, under its name.

    Example:
        >>> flat_scores("base", {"accuracy": 0.5, "ece": 0.1, "aurc": 0.2, "n": 10})
        {'base_accuracy': 0.5, 'base_ece': 0.1, 'base_aurc': 0.2}
    """
    return {f"{part}_{name}": scores[name] for name in ("accuracy", "ece", "aurc")}
