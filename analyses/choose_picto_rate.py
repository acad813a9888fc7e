"""Choose the learning rate of CoOp and CDC on `picto`, without touching test images or new classes.

As in choose_settings.py the base classes are cut in two: trained on one half (16 shots, seed 1), judged on validation
images of both, then the other way round; scores are averaged over halves and collections. One rate serves both methods.

How to run: python analyses/choose_picto_rate.py [--smoke]
How long: 3 minutes on 2 cores; --smoke takes one epoch and one rate and writes nothing.
Expect: the rate of `cdc.default_training("picto")` at or near the best harmonic mean of both methods.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from choose_settings import FIRST_DEFAULTS, judge

import causalvlm
import cdc
from cdc.files import write_json

RESULT = Path(__file__).parent / "results" / "choose_picto_rate.json"
COLLECTIONS = ("picto/mammals", "picto/household")
RATES = (0.002, 0.01, 0.05, 0.2)
METHODS: dict[str, cdc.MethodConfig] = {
    "coop": cdc.CoOpConfig(),
    "cdc": FIRST_DEFAULTS,
}
SCORES = ("base_accuracy", "new_accuracy", "harmonic_mean")


def judge_all(method: cdc.MethodConfig, training: cdc.TrainingConfig, backbone: cdc.Backbone) -> dict[str, Any]:
    """Scores of one method at one rate, by collection and on average."""
    by_collection = {
        name: judge(method, training, causalvlm.load_dataset(name), backbone)["mean"] for name in COLLECTIONS
    }
    mean = {score: sum(row[score] for row in by_collection.values()) / len(COLLECTIONS) for score in SCORES}
    return {"mean": mean, "collections": by_collection}


def main(*, smoke: bool) -> None:
    """Judge every rate, print the scores, and write them."""
    backbone = cdc.load_backbone("picto")
    default = cdc.default_training("picto")
    if smoke:
        default = replace(default, epochs=1)
    zero_shot = judge_all(cdc.ZeroShotConfig(), default, backbone)
    rows: dict[str, dict[str, Any]] = {}
    for name, method in METHODS.items():
        rows[name] = {}
        for rate in RATES[: 1 if smoke else None]:
            row = judge_all(method, replace(default, learning_rate=rate), backbone)
            rows[name][str(rate)] = row
            print(name, rate, {score: round(value, 3) for score, value in row["mean"].items()}, flush=True)
    print("zero-shot", {score: round(value, 3) for score, value in zero_shot["mean"].items()})
    if smoke:
        return
    facts = {
        "backbone": "picto", "fingerprint": backbone.fingerprint, "collections": COLLECTIONS, "seed": default.seed,
        "epochs": default.epochs, "batch_size": default.batch_size,
    }  # fmt: skip
    write_json(RESULT, {**facts, "zero_shot": zero_shot, "rates": rows, "provenance": cdc.provenance()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one epoch and one rate: does it run?")
    main(smoke=parser.parse_args().smoke)
