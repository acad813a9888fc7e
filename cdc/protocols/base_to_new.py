"""The protocols of the prompt-learning literature, resumable run by run."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cdc.adapter import Adapter
from cdc.backbones.backbone import Backbone
from cdc.beliefs.fusion import Prediction
from cdc.data.dataset import Example, ImageDataset
from cdc.data.splits import select_classes
from cdc.errors import InputError
from cdc.evaluation import Scores, harmonic_mean, ood_auroc, score
from cdc.files import write_json
from cdc.images.encode import CacheFolder, encode_images
from cdc.methods.config import MethodConfig, to_settings
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


def evaluate(
    adapter: Adapter, examples: Sequence[Example], class_names: Sequence[str], *, cache: CacheFolder = "default"
) -> tuple[Scores, Prediction]:
    """Scores of an adapter on labelled files, with the prediction behind them.

    Files that cannot be read are left out; `Scores.n` counts the rest.

    Args:
        adapter: trained, or zero-shot.
        examples: files with labels that index `class_names`.
        class_names: the closed set of answers.
        cache: folder of cached features, or None.
    """
    features = encode_images(
        adapter.backbone, [example.path for example in examples], cache=cache, progress="encoding test images"
    )
    labels = torch.tensor([examples[row].label for row in features.kept], device=adapter.backbone.device)
    prediction = adapter.predict_features(features.values, class_names)
    return score(prediction, labels), prediction


def base_to_new_once(
    dataset: ImageDataset, method: MethodConfig, backbone: Backbone, settings: FitSettings
) -> BaseToNew:
    """Train on the base classes and test on both halves (Zhou et al., CoCoOp, CVPR 2022, section 4.1)."""
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
) -> dict[str, Any]:
    """Base-to-new for several methods and seeds; a run that is on disk is not run again.

    Args:
        dataset: with at least two classes.
        methods: settings by the name that results give them.
        backbone: frozen towers.
        settings: shots and training; seed and classes are set here.
        seeds: of shots and shuffling.
        out: folder of one JSON file per run.

    Returns:
        Per method the runs and, over seeds, mean and standard deviation (population, as in the literature) of every
        score, with both harmonic means: of the mean accuracies, and the mean of each run's own.
    """
    results: dict[str, Any] = {}
    for name, method in methods.items():
        runs: list[dict[str, Any]] = []
        for seed in seeds:
            seeded = replace(settings, training=replace(settings.training, seed=seed))
            runs.append(_run_once(out / f"{name}-seed_{seed}.json", dataset, method, backbone, seeded))
        results[name] = {"runs": runs, **summarize(runs)}
    return results


def _run_once(
    path: Path, dataset: ImageDataset, method: MethodConfig, backbone: Backbone, settings: FitSettings
) -> dict[str, Any]:
    """Read the run's file, or run and write it; a file of other settings is an error, never a result."""
    asked: dict[str, Any] = {
        "data": dataset.fingerprint,
        "backbone": backbone.fingerprint,
        "method": to_settings(method),
        "training": to_settings(settings.training),
        "shots": settings.shots,
        "augmentation": settings.augmentation,
        "views": settings.views,
    }
    if not path.exists():
        result = {**asked, **asdict(base_to_new_once(dataset, method, backbone, settings))}
        write_json(path, result)
        return result
    found = json.loads(path.read_text())
    for key, value in asked.items():
        if found.get(key) != value:
            raise InputError(
                f"{path} must hold a run of these settings; its {key} is {found.get(key)!r}, not {value!r}. "
                "Choose another output folder, or delete that file."
            )
    return found


def summarize(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and population standard deviation of each score over runs, and both harmonic means.

    Example:
        >>> run = {"base": {"accuracy": 0.8, "ece": 0.1}, "new": {"accuracy": 0.6, "ece": 0.2},
        ...        "harmonic_mean": 0.6857, "ood_auroc": 0.7, "seconds": 1.0}
        >>> summarize([run, run])["base_accuracy"]
        {'mean': 0.8, 'std': 0.0}
    """
    columns = {
        "base_accuracy": [run["base"]["accuracy"] for run in runs],
        "new_accuracy": [run["new"]["accuracy"] for run in runs],
        "base_ece": [run["base"]["ece"] for run in runs],
        "new_ece": [run["new"]["ece"] for run in runs],
        "harmonic_mean": [run["harmonic_mean"] for run in runs],
        "ood_auroc": [run["ood_auroc"] for run in runs],
        "seconds": [run["seconds"] for run in runs],
    }
    summary: dict[str, Any] = {
        name: {"mean": float(np.mean(values)), "std": float(np.std(values))} for name, values in columns.items()
    }
    summary["harmonic_mean_of_means"] = harmonic_mean(summary["base_accuracy"]["mean"], summary["new_accuracy"]["mean"])
    return summary
