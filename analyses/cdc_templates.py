"""What the single semantic sets S_1 to S_M are worth, and what their fusion is: each template alone against all.

CDC with M = 4, 16 shots, 50 epochs, seeds 1 2 3, on the data sets for choosing. A template's own opinion is read from
the same trained adapter, so that nothing but the fusion differs.

How to run: python analyses/cdc_templates.py [--smoke]; `--smoke` does one data set and seed, and writes nothing.
How long: three minutes on 2 cores.
Expect: in the paper the fusion is above every single set; here a point or less, for the templates are trained together.
"""

import argparse
from collections import defaultdict
from dataclasses import replace

import numpy as np
import torch
from data_sets import CHOOSING
from grids import RESULTS, SEEDS

import causalvlm
import cdc
from cdc.files import write_json
from cdc.methods.cdc import TemplateClassifier

CONFIG = cdc.CDCConfig(calibrate=False)
SCORES = ("accuracy", "ece", "aurc")


def opinions(adapter: cdc.Adapter, half: cdc.ImageDataset) -> dict[str, dict[str, float]]:
    """Scores of every template alone and of all fused, on the test images of one half of the classes."""
    classifier = adapter.classifier(half.class_names)
    assert isinstance(classifier, TemplateClassifier)  # noqa: S101 - CDC's
    features = cdc.encode_images(adapter.method.backbone, [example.path for example in half.test]).values
    labels = torch.tensor([example.label for example in half.test])
    logits = classifier.template_logits(features)
    parts = {f"S_{number + 1}": classifier.fuse(logits[number : number + 1]) for number in range(len(logits))}
    found = {
        name: cdc.score(prediction, labels) for name, prediction in (parts | {"fused": classifier.fuse(logits)}).items()
    }
    return {name: {key: getattr(scores, key) for key in SCORES} for name, scores in found.items()}


def main(*, smoke: bool) -> None:
    """Train, read every template, and write means over data sets and seeds."""
    backbone = cdc.load_backbone("picto")
    training = cdc.default_training("picto", CONFIG)
    rows: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for name in CHOOSING[:1] if smoke else CHOOSING:
        data = causalvlm.load_dataset(name)
        for seed in SEEDS[:1] if smoke else SEEDS:
            settings = cdc.FitSettings(classes="base", training=replace(training, seed=seed))
            adapter = cdc.fit(data, CONFIG, backbone, settings)
            by_half = {half: opinions(adapter, cdc.select_classes(data, half)) for half in ("base", "new")}
            for label in by_half["base"]:
                for half, found in by_half.items():
                    for score, value in found[label].items():
                        rows[label][f"{half}_{score}"].append(value)
                accuracies = [found[label]["accuracy"] for found in by_half.values()]
                rows[label]["harmonic_mean"].append(cdc.harmonic_mean(*accuracies))
    means = {label: {score: float(np.mean(values)) for score, values in row.items()} for label, row in rows.items()}
    for label, row in means.items():
        print(label, {score: round(value, 4) for score, value in row.items()})
    if not smoke:
        facts = {"datasets": CHOOSING, "seeds": SEEDS, "shots": 16, "backbone": "picto"}
        write_json(RESULTS / "cdc_templates.json", {**facts, "mean": means, "provenance": cdc.provenance()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one data set and seed: does it run?")
    main(smoke=parser.parse_args().smoke)
