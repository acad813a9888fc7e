"""Data misalignment (Fig. 1b of the paper): what longer training does to base and to new classes, method by method.

The paper's claim is that with more epochs base accuracy rises and new accuracy falls. Base-to-new on Picto, 16 shots,
seeds 1 2 3, accuracies at several epochs of one training of 50 (its learning rate falls to zero at the end).

How to run: python analyses/data_misalignment.py [--smoke]; `--smoke` does one run of two epochs and writes nothing.
How long: ten minutes on 2 cores.
Expect: base accuracy rises everywhere; new accuracy falls after its peak for CoOp, and less where a method holds it.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import causalvlm
import cdc
from causalvlm.figures.style import to_bytes
from cdc.files import write_bytes, write_json
from cdc.images.views import ViewPlan
from cdc.methods.method import Trainable
from cdc.methods.registry import build_method
from cdc.training.loop import train
from cdc.training.shots import gather_shots

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "analyses" / "results" / "data_misalignment.json"
FIGURE = ROOT / "docs" / "figures" / "data_misalignment.png"
DATA = ("picto/nature", "picto/office", "picto/prints")
SEEDS = (1, 2, 3)
EPOCHS = (0, 1, 2, 5, 10, 20, 30, 40, 50)
METHODS = {
    "CoOp, random crops as published": (cdc.CoOpConfig(), "crop-flip"),
    "CoOp, clean images": (cdc.CoOpConfig(), "none"),
    "CDC, the paper's settings": (cdc.method_config("cdc:paper"), "set2"),
    "CDC, default": (cdc.CDCConfig(), "set2"),
}


def curve(
    dataset: cdc.ImageDataset,
    config: cdc.MethodConfig,
    augmentation: str,
    backbone: cdc.Backbone,
    *,
    seed: int,
    epochs: int,
) -> dict[str, list[float]]:
    """Accuracy on base and new test images, percent, at every epoch of `EPOCHS` that the training reaches."""
    halves = {half: cdc.select_classes(dataset, half) for half in ("base", "new")}
    shots = cdc.select_classes(cdc.few_shot(dataset, shots=16, seed=seed), "base")
    method = build_method(config, backbone, cdc.Task(shots.class_names, dataset.template, seed=seed))
    assert isinstance(method, Trainable)  # noqa: S101 - all of `METHODS` train
    tests = {
        half: (
            cdc.encode_images(backbone, [example.path for example in part.test]).values,
            torch.tensor([example.label for example in part.test]),
        )
        for half, part in halves.items()
    }
    found: dict[str, list[float]] = {"base": [], "new": []}

    def look(finished: int, _loss: float) -> None:
        if finished in EPOCHS:
            for half, (features, labels) in tests.items():
                prediction = method.classifier(halves[half].class_names)(features)
                found[half].append(100 * cdc.score(prediction, labels).accuracy)

    views, _ = gather_shots(shots, method, ViewPlan(augmentation), seed=seed, cache="default")
    look(0, 0.0)
    train(method, views, replace(cdc.default_training("picto"), epochs=epochs, seed=seed), progress=look)
    return found


def draw(curves: dict[str, dict[str, dict[str, list[list[float]]]]]) -> Figure:
    """One column per data set: base above, new below; mean over seeds, and their range."""
    figure = Figure(figsize=(10, 5.4), dpi=110, layout="constrained")
    axes = figure.subplots(2, len(DATA), sharex=True, sharey="col")
    for column, name in enumerate(DATA):
        for row, half in enumerate(("base", "new")):
            axis = axes[row, column]
            for method, by_half in curves[name].items():
                values = np.array(by_half[half])
                (line,) = axis.plot(EPOCHS, values.mean(0), label=method)
                axis.fill_between(EPOCHS, values.min(0), values.max(0), alpha=0.15, color=line.get_color(), lw=0)
            axis.spines[["top", "right"]].set_visible(False)
            axis.set_title(f"{name}, {half} classes", fontsize=10)
            if column == 0:
                axis.set_ylabel("accuracy, percent")
            if row == 1:
                axis.set_xlabel("epochs")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def main(*, smoke: bool) -> None:
    """Train, look at every epoch of interest, write the accuracies and draw them."""
    backbone = cdc.load_backbone("picto")
    if smoke:
        print(curve(causalvlm.load_dataset(DATA[0]), cdc.CoOpConfig(), "none", backbone, seed=1, epochs=2))
        return
    curves: dict[str, dict[str, dict[str, list[list[float]]]]] = {}
    for name in DATA:
        dataset = causalvlm.load_dataset(name)
        curves[name] = {}
        for label, (config, augmentation) in METHODS.items():
            runs = [curve(dataset, config, augmentation, backbone, seed=seed, epochs=EPOCHS[-1]) for seed in SEEDS]
            curves[name][label] = {half: [run[half] for run in runs] for half in ("base", "new")}
            means = {half: np.mean(values, axis=0).round(1).tolist() for half, values in curves[name][label].items()}
            print(name, label, means, flush=True)
    facts = {"backbone": "picto", "shots": 16, "seeds": SEEDS, "epochs": EPOCHS}
    write_json(RESULT, {**facts, "curves": curves, "provenance": cdc.provenance()})
    write_bytes(FIGURE, to_bytes(draw(curves)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one run of two epochs: does it run?")
    main(smoke=parser.parse_args().smoke)
