"""How long a CDC training epoch takes on cached features, and what M templates cost when predicting.

Epoch: 800 images of 50 class names (Caltech-101's base classes), M = 4, random unit features, `photo` text tower: the
features' values do not change the work. Predicting: images a second through the image tower and the fusion, CDC with
M = 1, 2, 4, 8, 16 against zero-shot, in turns so that all meet the same machine.

How to run: python benchmarks/adaptation.py
How long: three minutes on 2 cores.
Expect: under 10 s an epoch, and at least 0.95 of zero-shot's images a second.
"""

import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import cdc
from cdc.files import write_json
from cdc.methods.method import Task
from cdc.methods.registry import build_method
from cdc.training.loop import train
from cdc.training.shots import FeatureShots

RESULTS = Path(__file__).parent / "results" / "adaptation.json"
CLASSES, SHOTS, VIEWS, EPOCHS, IMAGES, REPEATS = 50, 16, 4, 4, 192, 7
TEMPLATES = (1, 2, 4, 8, 16)
DEFAULT = cdc.CDCConfig().templates


def class_names(count: int = CLASSES) -> tuple[str, ...]:
    """Short names of things."""
    import open_clip

    return tuple(name.split(",")[0] for name in open_clip.IMAGENET_CLASSNAMES[:count])


def finish(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def epoch_seconds(backbone: cdc.Backbone, *, classes: int = CLASSES, epochs: int = EPOCHS) -> list[float]:
    """Seconds of each epoch after the first, which warms the machine up."""
    config = cdc.CDCConfig()
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(classes * SHOTS, config.templates, VIEWS, backbone.dim, generator=generator)
    labels = torch.arange(classes).repeat_interleave(SHOTS).to(backbone.device)
    shots = FeatureShots(functional.normalize(values, dim=-1).to(backbone.device), labels, "random")
    method = build_method(config, backbone, Task(class_names(classes), "a photo of a {}.", seed=1))
    if not isinstance(method, cdc.CDC):
        raise TypeError("a CDC config builds a CDC")
    ends: list[float] = [time.perf_counter()]
    training = replace(cdc.default_training(backbone.name), epochs=epochs + 1)
    # The mean loss that `train` reports is read from the device, which has then finished the epoch.
    train(method, shots, training, progress=lambda _finished, _loss: ends.append(time.perf_counter()))
    return [end - start for start, end in itertools.pairwise(ends[1:])]


def images_per_second(
    backbone: cdc.Backbone, pixels: Tensor, *, classes: int = CLASSES, repeats: int = REPEATS
) -> dict[str, list[float]]:
    """Images a second of zero-shot and of CDC by its number of templates, one timing of each a repeat."""
    names = class_names(classes)
    empty = cdc.ImageDataset("names", names, train=(), validation=(), test=())
    zero_shot = cdc.fit(empty, cdc.ZeroShotConfig(), backbone)
    task = Task(names, "a photo of a {}.", seed=1)
    adapters = {"zero-shot": zero_shot}
    for count in TEMPLATES:
        method = build_method(cdc.CDCConfig(templates=count), backbone, task)
        adapters[f"M = {count}"] = cdc.Adapter(method, zero_shot.card)
    speeds: dict[str, list[float]] = {name: [] for name in adapters}
    for adapter in adapters.values():
        adapter.classifier()  # once per class list, as in use
    for repeat in range(repeats + 1):
        for name, adapter in adapters.items():
            finish(backbone.device)
            start = time.perf_counter()
            for batch in pixels.split(64):
                adapter.classifier()(backbone.encode_images(batch))
            finish(backbone.device)
            if repeat > 0:  # the first pass warms up
                speeds[name].append(len(pixels) / (time.perf_counter() - start))
    return speeds


def against_zero_shot(speeds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Images a second as shares of zero-shot's, repeat by repeat."""
    return {
        name: summary([mine / theirs for mine, theirs in zip(values, speeds["zero-shot"], strict=True)])
        for name, values in speeds.items()
    }


def summary(values: list[float]) -> dict[str, float]:
    """Minimum, median and maximum."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def main() -> None:
    """Measure, print and write."""
    backbone = cdc.load_backbone("photo")
    epochs = epoch_seconds(backbone)
    pixels = torch.randn(IMAGES, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    speeds = images_per_second(backbone, pixels)
    ratios = against_zero_shot(speeds)
    result = {
        "epoch_seconds": summary(epochs),
        "images_per_second": {name: summary(values) for name, values in speeds.items()},
        "predict_ratio": ratios,
        "classes": CLASSES, "images_per_epoch": CLASSES * SHOTS, "templates": DEFAULT,
        "threads": torch.get_num_threads(),
        "provenance": cdc.provenance(),
    }  # fmt: skip
    write_json(RESULTS, result)
    print(f"epoch: {result['epoch_seconds']}\npredicting, CDC to zero-shot: {ratios[f'M = {DEFAULT}']}")


if __name__ == "__main__":
    main()
