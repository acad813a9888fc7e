"""Cross-dataset and domain generalization: train on the first data set, test on the others (Zhou et al., CVPR 2022)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from cdc.adapter import Adapter
from cdc.data.dataset import ImageDataset, spoken
from cdc.errors import InputError
from cdc.evaluation import evaluate
from cdc.images.encode import CacheFolder
from cdc.protocols.protocol import Case, Column, Plan, Protocol, Record, Skipped, flat_scores


def first_to_others(datasets: Sequence[ImageDataset], shots: Sequence[int]) -> Plan:
    """One training on all classes of the first data set; the others are tested on.

    Raises:
        InputError: if there is no second data set.

    Example:
        >>> pets = ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> first_to_others([pets, pets], [16]).cases[0].name
        'pets'
    """
    source, *targets = datasets
    if not targets:
        raise InputError(
            f"this protocol needs a data set to train on and at least one to test on; received {source.name} alone. "
            "Name more data sets."
        )
    return Plan(tuple(Case(source.name, source, count, tuple(targets)) for count in shots))


def same_classes(datasets: Sequence[ImageDataset], shots: Sequence[int]) -> Plan:
    """`first_to_others`, where the others have classes of the first: all or some, in any order.

    Example:
        >>> pets = ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> sketches = ImageDataset("sketches", ("dog",), train=(), validation=(), test=())
        >>> birds = ImageDataset("birds", ("dog", "owl"), train=(), validation=(), test=())
        >>> same_classes([pets, sketches, birds], [16]).skipped
        (Skipped(dataset='birds', reason="has classes that pets has not, such as 'owl'"),)
    """
    source, *targets = datasets
    known = set(map(spoken, source.class_names))
    strange = {
        target.name: name for target in targets for name in reversed(target.class_names) if spoken(name) not in known
    }
    kept = [target for target in targets if target.name not in strange]
    skipped = tuple(
        Skipped(target, f"has classes that {source.name} has not, such as {name!r}") for target, name in strange.items()
    )
    return Plan(first_to_others([source, *kept], shots).cases, skipped)


def measure(adapter: Adapter, case: Case, cache: CacheFolder) -> dict[str, Any]:
    """Scores on the test images of the source and of every target, each among its own class names."""
    found = [
        asdict(evaluate(adapter, dataset.test, dataset.class_names, cache=cache)[0])
        for dataset in (case.dataset, *case.targets)
    ]
    names = [target.name for target in case.targets]
    return {"source": found[0], "target": dict(zip(names, found[1:], strict=True))}


def observe(record: Record) -> Mapping[str, Mapping[str, float]]:
    """The numbers of every target; those of the source stand beside each, so that averages over targets hold them."""
    source = {**flat_scores("source", record["source"]), "parameters": float(record["parameters"])}
    return {name: {**flat_scores("target", scores), **source} for name, scores in record["target"].items()}


def columns(_shots: Sequence[int]) -> tuple[Column, ...]:
    """What tables show."""
    return (
        Column("source_accuracy", "source"),
        Column("target_accuracy", "target", compared=True),
        Column("source_ece", "ECE source", digits=3),
        Column("target_ece", "ECE target", digits=3),
        Column("parameters", "parameters", digits=0),
    )


CROSS_DATASET = Protocol(
    help="train on all classes of the first data set, test on the others among their own class names",
    classes="all",
    shots=(16,),
    plan=first_to_others,
    measure=measure,
    observe=observe,
    columns=columns,
    first_is_source=True,
)

DOMAIN_GENERALIZATION = replace(
    CROSS_DATASET,
    help="train on the first data set, test on others that have its classes in another guise",
    plan=same_classes,
)
