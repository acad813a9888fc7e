"""Learning rates of the baselines on Picto: published rates are for CLIP models, and `picto` is none.

Base-to-new on the data sets for choosing, 16 shots, seed 1, every baseline with its published epochs, batch and
augmentation, at several multiples of its published rate. `cdc.methods.schedule.RATE_FACTORS` has the one in use.

How to run: python analyses/baseline_rates.py [--smoke] [--methods NAME ...]; `--smoke` writes nothing.
How long: half an hour on 2 cores; killed runs continue, in out/baseline_rates.
Expect: the factor in use at or near the best harmonic mean of every baseline.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from data_sets import CHOOSING

import causalvlm
import cdc
from cdc.files import write_json

RESULT = Path(__file__).parent / "results" / "baseline_rates.json"
OUT = Path("out/baseline_rates")
FACTORS = (1, 5, 20)
METHODS = ("coop", "kgcoop", "cocoop", "maple", "promptsrc")


def main(*, smoke: bool, only: list[str] | None) -> None:
    """Run every baseline at every rate, print the table and write it."""
    methods: dict[str, cdc.MethodConfig] = {}
    training: dict[str, cdc.TrainingConfig] = {}
    for name in only or METHODS:
        config = cdc.method_config(name)
        published = cdc.default_training("ViT-B-16", config)
        for factor in FACTORS:
            label = f"{name}, {factor} times"
            methods[label] = config
            training[label] = replace(
                published, learning_rate=factor * published.learning_rate, epochs=1 if smoke else published.epochs
            )
    out = OUT.with_name("baseline_rates_smoke") if smoke else OUT
    result = cdc.run_protocol(
        "base-to-new",
        [causalvlm.load_dataset(name) for name in (CHOOSING[-1:] if smoke else CHOOSING)],
        methods,
        "picto",
        out=out,
        seeds=(1,),
        training=training,
    )
    print((out / "table.md").read_text())
    if not smoke and only is None:
        record = {name: value for name, value in result.to_record().items() if name not in ("runs", "paired")}
        write_json(RESULT, {**record, "provenance": cdc.provenance()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one data set and epoch: does it run?")
    parser.add_argument("--methods", nargs="*", help="baselines to run; the result is written when all ran")
    arguments = parser.parse_args()
    main(smoke=arguments.smoke, only=arguments.methods)
