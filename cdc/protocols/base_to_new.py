"""Base-to-new: train on the first half of the classes, test on it and on the other (Zhou et al., CoCoOp, CVPR 2022)."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cdc.backbones.backbone import Backbone
from cdc.data.dataset import ImageDataset
from cdc.data.splits import select_classes
from cdc.evaluation import Scores, evaluate, harmonic_mean, ood_auroc
from cdc.methods.method import MethodConfig
from cdc.methods.registry import method_record
from cdc.protocols.runs import Spread, run_once
from cdc.training.fit import FitSettings, fit


@dataclass(frozen=True)
class BaseToNew:
    """Scores of one method and seed: trained on the base classes, tested on base and on new classes.

    Attributes:
        base: on base-class test images among base class names.
        new: on new-class test images among new class names.
        harmonic_mean: of the two accuracies.
        ood_auroc: how well uncertainty, scored among the base names, tells new-class images from base-class ones.
        seconds: of the whole fit, features that were not cached included.
    """

    base: Scores
    new: Scores
    harmonic_mean: float
    ood_auroc: float
    seconds: float


@dataclass(frozen=True)
class BaseToNewSummary:
    """One method over several seeds.

    Attributes:
        runs: scores of every seed.
        records: the same with everything that decided them, as they lie on disk.
    """

    runs: tuple[BaseToNew, ...]
    records: tuple[dict[str, Any], ...]

    def scores(self) -> dict[str, Spread]:
        """Mean and standard deviation of every score over the seeds."""
        return {
            "base_accuracy": Spread.of([run.base.accuracy for run in self.runs]),
            "new_accuracy": Spread.of([run.new.accuracy for run in self.runs]),
            "base_ece": Spread.of([run.base.ece for run in self.runs]),
            "new_ece": Spread.of([run.new.ece for run in self.runs]),
            "harmonic_mean": Spread.of([run.harmonic_mean for run in self.runs]),
            "ood_auroc": Spread.of([run.ood_auroc for run in self.runs]),
            "seconds": Spread.of([run.seconds for run in self.runs]),
        }

    @property
    def harmonic_mean_of_means(self) -> float:
        """Harmonic mean of the mean accuracies; the literature's tables have this one."""
        scores = self.scores()
        return harmonic_mean(scores["base_accuracy"].mean, scores["new_accuracy"].mean)

    def to_record(self) -> dict[str, Any]:
        """Runs, mean and standard deviation of every score, and both harmonic means, as plain values for JSON."""
        spreads = {name: asdict(spread) for name, spread in self.scores().items()}
        return {"runs": list(self.records), **spreads, "harmonic_mean_of_means": self.harmonic_mean_of_means}


def base_to_new_once(
    dataset: ImageDataset, method: MethodConfig, backbone: Backbone, settings: FitSettings
) -> BaseToNew:
    """Train on the base classes and test on both halves."""
    started = time.perf_counter()
    adapter = fit(dataset, method, backbone, replace(settings, classes="base"))
    seconds = time.perf_counter() - started
    halves = {classes: select_classes(dataset, classes) for classes in ("base", "new")}
    base, on_base = evaluate(adapter, halves["base"].test, halves["base"].class_names, cache=settings.cache)
    new, _ = evaluate(adapter, halves["new"].test, halves["new"].class_names, cache=settings.cache)
    _, strangers = evaluate(adapter, halves["new"].test, halves["base"].class_names, cache=settings.cache)
    return BaseToNew(
        base=base,
        new=new,
        harmonic_mean=harmonic_mean(base.accuracy, new.accuracy),
        ood_auroc=ood_auroc(on_base, strangers),
        seconds=seconds,
    )


def base_to_new(
    dataset: ImageDataset,
    methods: Mapping[str, MethodConfig],
    backbone: Backbone,
    settings: FitSettings,
    *,
    seeds: Sequence[int],
    out: Path,
) -> dict[str, BaseToNewSummary]:
    """Base-to-new for several methods and seeds; a run that is on disk is not run again.

    Args:
        dataset: with at least two classes.
        methods: settings by the name that results give them.
        backbone: frozen towers.
        settings: shots and training; seed and classes are set here.
        seeds: of shots and shuffling.
        out: folder of one JSON file per run.

    Returns:
        Per method its runs and what they come to.

    Raises:
        InputError: if a file there holds a run of other settings.
    """
    results: dict[str, BaseToNewSummary] = {}
    for name, method in methods.items():
        records: list[dict[str, Any]] = []
        for seed in seeds:
            seeded = replace(settings, training=replace(settings.training, seed=seed))
            asked: dict[str, object] = {
                "data": dataset.fingerprint,
                "backbone": backbone.fingerprint,
                "method": method_record(method),
                "training": asdict(seeded.training),
                "shots": settings.shots,
                "augmentation": settings.augmentation,
                "views": settings.views,
            }

            def compute(method: MethodConfig = method, seeded: FitSettings = seeded) -> dict[str, Any]:
                return asdict(base_to_new_once(dataset, method, backbone, seeded))

            records.append(run_once(out / f"{name}-seed_{seed}.json", asked, compute))
        results[name] = BaseToNewSummary(tuple(map(_from_record, records)), tuple(records))
    return results


def _from_record(record: Mapping[str, Any]) -> BaseToNew:
    scores = {half: Scores(**record[half]) for half in ("base", "new")}
    return BaseToNew(**scores, **{name: record[name] for name in ("harmonic_mean", "ood_auroc", "seconds")})
