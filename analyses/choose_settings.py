"""Choose CDC's settings on Caltech-101 without touching test images or new classes.

The 50 base classes are cut in two. A method is trained on one half (16 shots, seed 1) and judged on validation images
of both halves, the other half standing in for new classes; then they change places, and scores are averaged. Every
row of the result is one setting: evidence functions (3 kinds x raw, centred, centred and scaled by a temperature
fitted on the training shots), weights of the losses, fusion, and the learning rates of CoOp and CDC. The first defaults
of CDC came from it; today's come from `cdc_ablation.py`.

How to run: python analyses/choose_settings.py [--only NAME ...]; needs $CAUSALVLM_DATA with caltech-101/.
How long: about a minute a row on 2 cores once the views are encoded; finished rows are kept in out/choose_settings.
Expect: the first defaults, with anchoring, at or near the best harmonic mean.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import minimize_scalar

import cdc
from cdc.files import write_json
from cdc.methods.cdc import LossWeights

RESULTS = Path(__file__).parent / "results" / "choose_settings.json"
ROWS = Path("out/choose_settings")
FIRST_DEFAULTS = cdc.CDCConfig(
    anchoring=0.0, half_clean=False, evidence=cdc.EvidenceFunction(centre="row"), independence=0.5, calibrate=False
)
"""What rows differ from: the defaults of that time, without anchoring, so that what the templates learned is seen."""


def halves(dataset: cdc.ImageDataset) -> list[tuple[cdc.ImageDataset, cdc.ImageDataset]]:
    """The base classes as (trained, stand-in for new) in both orders; test images are dropped."""
    base = replace(cdc.select_classes(dataset, "base"), test=())
    first, second = cdc.select_classes(base, "base"), cdc.select_classes(base, "new")
    return [(first, second), (second, first)]


def shots_of(dataset: cdc.ImageDataset, half: cdc.ImageDataset) -> cdc.ImageDataset:
    """The training shots that base-to-new draws with seed 1, cut to the classes of `half`."""
    drawn = {example.path for example in cdc.few_shot(dataset, shots=16, seed=1).train}
    return replace(half, train=tuple(example for example in half.train if example.path in drawn))


def fitted_temperature(dataset: cdc.ImageDataset, backbone: cdc.Backbone) -> float:
    """Temperature that minimises the zero-shot cross-entropy on the training shots (Guo et al., ICML 2017)."""
    features = cdc.encode_images(backbone, [example.path for example in dataset.train])
    labels = torch.tensor([dataset.train[row].label for row in features.kept])
    text = backbone.encode_texts([f"a photo of a {name.replace('_', ' ')}." for name in dataset.class_names])
    logits = backbone.logit_scale * features.values @ text.T
    best = minimize_scalar(
        lambda t: float(torch.nn.functional.cross_entropy(logits / t, labels)), bounds=(0.05, 5), method="bounded"
    )
    return float(best.x)


def grid(temperature: float) -> dict[str, tuple[cdc.MethodConfig, cdc.TrainingConfig | None]]:
    """Settings by name; None trains as the method does by default."""
    slow = replace(cdc.default_training("photo"), learning_rate=0.02)
    alone = FIRST_DEFAULTS
    rows: dict[str, tuple[cdc.MethodConfig, cdc.TrainingConfig | None]] = {
        "zero-shot": (cdc.ZeroShotConfig(), None),
        "coop": (cdc.CoOpConfig(), None),
        "coop, rate 0.02": (cdc.CoOpConfig(), slow),
        "cdc": (alone, None),
        "cdc, anchoring 0.8": (replace(alone, anchoring=0.8), None),
        "cdc, anchoring 1": (replace(alone, anchoring=1.0), None),
        "cdc, lambda to 0": (replace(alone, weights=LossWeights(divergence=0.0)), None),
        "cdc, lambda to 1": (replace(alone, weights=LossWeights(divergence=1.0)), None),
        "cdc, no L_de": (replace(alone, weights=LossWeights(diversity=0.0)), None),
        "cdc, L_con 2": (replace(alone, weights=LossWeights(consistency=2.0)), None),
        "cdc, Dempster's rule": (replace(alone, independence=1.0), None),
        "cdc, dependent": (replace(alone, independence=0.0), None),
    }
    for kind in ("exp", "softplus", "relu"):
        for name, centre, scale in (("raw", "none", 1.0), ("centred", "row", 1.0), ("scaled", "row", temperature)):
            function = cdc.EvidenceFunction(kind, centre=centre, temperature=scale)
            rows[f"cdc, {kind} {name}"] = (replace(alone, evidence=function), None)
    del rows["cdc, exp centred"]  # the default, above
    rows["cdc, rate 0.02"] = (alone, slow)
    rows["cdc, lambda to 0.02"] = (replace(alone, weights=LossWeights(divergence=0.02)), None)
    return rows


def judge(
    method: cdc.MethodConfig, training: cdc.TrainingConfig | None, dataset: cdc.ImageDataset, backbone: cdc.Backbone
) -> dict[str, Any]:
    """Scores of a setting, averaged over both orders of the halves."""
    runs: list[dict[str, float]] = []
    settings = cdc.FitSettings(training=training or cdc.default_training("photo"), augmentation="set2")
    for trained, other in halves(dataset):
        adapter = cdc.fit_shots(shots_of(dataset, trained), method, backbone, settings)
        base, on_base = cdc.evaluate(adapter, trained.validation, trained.class_names)
        new, _ = cdc.evaluate(adapter, other.validation, other.class_names)
        _, strangers = cdc.evaluate(adapter, other.validation, trained.class_names)
        runs.append(
            {
                **{f"base_{key}": value for key, value in asdict(base).items()},
                **{f"new_{key}": value for key, value in asdict(new).items()},
                "harmonic_mean": cdc.harmonic_mean(base.accuracy, new.accuracy),
                "ood_auroc": cdc.ood_auroc(on_base, strangers),
            }
        )
    mean = {key: sum(run[key] for run in runs) / len(runs) for key in runs[0]}
    return {"method": cdc.method_record(method), "training": asdict(settings.training), "mean": mean, "halves": runs}


def main(*, only: list[str] | None) -> None:
    """Judge every setting that has no row yet, then write all rows and print them."""
    dataset = cdc.load_dataset("caltech101")
    backbone = cdc.load_backbone("photo")
    temperature = fitted_temperature(shots_of(dataset, cdc.select_classes(dataset, "base")), backbone)
    rows: dict[str, Any] = {}
    for name, (method, training) in grid(temperature).items():
        file = ROWS / f"{name.replace(' ', '_')}.json"
        if not file.exists() and (only is None or name in only):
            write_json(file, judge(method, training, dataset, backbone))
        if file.exists():
            rows[name] = json.loads(file.read_text())
            mean = rows[name]["mean"]
            print(
                f"{name:24s} base {mean['base_accuracy']:.3f}  new {mean['new_accuracy']:.3f}  "
                f"HM {mean['harmonic_mean']:.3f}  ECE {mean['base_ece']:.3f}/{mean['new_ece']:.3f}  "
                f"AURC {mean['base_aurc']:.3f}/{mean['new_aurc']:.3f}  OOD {mean['ood_auroc']:.3f}",
                flush=True,
            )
    facts = {"data": dataset.name, "split_source": dataset.split_source, "backbone": "photo", "seed": 1}
    write_json(RESULTS, {**facts, "temperature": temperature, "rows": rows, "provenance": cdc.provenance()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="names of rows to run")
    main(only=parser.parse_args().only)
