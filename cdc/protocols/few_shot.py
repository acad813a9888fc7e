"""Few-shot: train and test on all classes, with 1, 2, 4, 8 and 16 images of each (Zhou et al., CoOp, IJCV 2022)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cdc.adapter import Adapter
from cdc.evaluation import evaluate
from cdc.images.encode import CacheFolder
from cdc.protocols.protocol import Case, Column, Protocol, Record, each_alone, flat_scores


def measure(adapter: Adapter, case: Case, cache: CacheFolder) -> dict[str, Any]:
    """Scores on the test images of all classes."""
    scores, _ = evaluate(adapter, case.dataset.test, case.dataset.class_names, cache=cache)
    return {"target": asdict(scores)}


def observe(record: Record) -> Mapping[str, Mapping[str, float]]:
    """The scores of a run, named by its shots: runs of other shots add theirs to the same data set."""
    return {record["dataset"]: flat_scores(f"{record['settings']['shots']}_shot", record["target"])}


def columns(shots: Sequence[int]) -> tuple[Column, ...]:
    """Accuracy and calibration error by shots."""
    return (
        *(Column(f"{count}_shot_accuracy", f"{count} shot", compared=True) for count in shots),
        *(Column(f"{count}_shot_ece", f"ECE {count} shot", digits=3) for count in shots),
    )


FEW_SHOT = Protocol(
    help="train and test on all classes, with 1, 2, 4, 8 and 16 shots",
    classes="all",
    shots=(1, 2, 4, 8, 16),
    plan=each_alone,
    measure=measure,
    observe=observe,
    columns=columns,
)
