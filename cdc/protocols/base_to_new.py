"""Base-to-new: train on the first half of the classes, test on it and on the other (Zhou et al., CoCoOp, CVPR 2022)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cdc.adapter import Adapter
from cdc.data.splits import select_classes
from cdc.evaluation import (
    classify_examples,
    doubt,
    energy_auroc,
    evaluate,
    harmonic_mean,
    ood_auroc,
    openworld_auc,
    score,
)
from cdc.images.encode import CacheFolder
from cdc.protocols.protocol import Case, Column, Protocol, Record, each_alone, flat_scores


def measure(adapter: Adapter, case: Case, cache: CacheFolder) -> dict[str, Any]:
    """Scores on base, new and all classes, and how well strangers are told.

    Each half is tested among its own names; ``joint`` is every test image among the names of both. Strangers are images
    of new classes that are scored among the base names.
    """
    base, new = (select_classes(case.dataset, half) for half in ("base", "new"))
    known, known_labels = classify_examples(adapter, base.test, base.class_names, cache=cache)
    unknown, unknown_labels = classify_examples(adapter, new.test, new.class_names, cache=cache)
    strangers, _ = classify_examples(adapter, new.test, base.class_names, cache=cache)
    joint, _ = evaluate(adapter, case.dataset.test, case.dataset.class_names, cache=cache)
    on_base, on_new = score(known, known_labels), score(unknown, unknown_labels)
    return {
        "base": asdict(on_base),
        "new": asdict(on_new),
        "joint": asdict(joint),
        "harmonic_mean": harmonic_mean(on_base.accuracy, on_new.accuracy),
        "ood_auroc": ood_auroc(known, strangers),
        "ood_auroc_energy": energy_auroc(known, strangers),
        "openworld_auc": openworld_auc(
            doubt(known),
            doubt(strangers),
            known_right=known.labels == known_labels,
            unknown_right=unknown.labels == unknown_labels,
        ),
    }


def observe(record: Record) -> Mapping[str, Mapping[str, float]]:
    """The numbers of a run, all of them about its one data set."""
    numbers: dict[str, float] = {}
    for part in ("base", "new", "joint"):
        numbers |= flat_scores(part, record[part])
    for name in ("harmonic_mean", "ood_auroc", "ood_auroc_energy", "openworld_auc", "parameters"):
        if record[name] is not None:
            numbers[name] = float(record[name])
    return {record["dataset"]: numbers}


def derive(means: Mapping[str, float]) -> Mapping[str, float]:
    """The harmonic mean of a row's two accuracies: the one in the literature's tables."""
    return {"harmonic_mean_of_means": harmonic_mean(means["base_accuracy"], means["new_accuracy"])}


def columns(_shots: Sequence[int]) -> tuple[Column, ...]:
    """What tables show."""
    return (
        Column("base_accuracy", "base", compared=True),
        Column("new_accuracy", "new", compared=True),
        Column("harmonic_mean_of_means", "HM"),
        Column("harmonic_mean", "mean of HMs", compared=True),
        Column("joint_accuracy", "joint", compared=True),
        Column("openworld_auc", "OpenworldAUC", compared=True),
        Column("ood_auroc", "OOD AUROC", compared=True),
        Column("ood_auroc_energy", "OOD AUROC, energy"),
        *(Column(f"{part}_ece", f"ECE {part}", digits=3) for part in ("base", "new", "joint")),
        Column("parameters", "parameters", digits=0),
    )


BASE_TO_NEW = Protocol(
    help="train on the first half of the classes, test on it, on the other half, and on both together",
    classes="base",
    shots=(16,),
    plan=each_alone,
    measure=measure,
    observe=observe,
    columns=columns,
    derive=derive,
)
