"""The defaults of CDC, each against its alternatives, on the data sets that are for choosing (`data_sets.py`).

Base-to-new on Picto, 16 shots, 50 epochs, seeds 1 2 3: every row differs from the first in what its name says. The
first is without calibration, which changes no accuracy but costs training time.

How to run: python analyses/cdc_ablation.py [--smoke]; `--smoke` does one data set, seed and epoch, and writes nothing.
How long: an hour on 2 cores; killed runs continue. Runs are kept in out/cdc_ablation.
Expect: no row better than the first in harmonic mean by more than its interval, and calibration errors that calibration
lowers.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from data_sets import CHOOSING

import causalvlm
import cdc
from cdc.files import write_json
from cdc.methods.cdc import LossWeights

RESULT = Path(__file__).parent / "results" / "cdc_ablation.json"
OUT = Path("out/cdc_ablation")
BASE = cdc.CDCConfig(calibrate=False)
ROWS: dict[str, cdc.MethodConfig] = {
    "cdc": BASE,
    "calibrated": cdc.CDCConfig(),
    "paper": cdc.method_config("cdc:paper"),
    "paper, lambda to 1": replace(cdc.method_config("cdc:paper"), weights=LossWeights(consistency=1.0, divergence=1.0)),
    "anchoring 0": replace(BASE, anchoring=0.0),
    "anchoring 0.4": replace(BASE, anchoring=0.4),
    "anchoring 0.8": replace(BASE, anchoring=0.8),
    "own views only": replace(BASE, half_clean=False),
    "clean images only": BASE,
    "Dempster's rule": replace(BASE, independence=1.0),
    "M = 1": replace(BASE, templates=1),
    "M = 8": replace(BASE, templates=8),
    "no L_de": replace(BASE, weights=LossWeights(diversity=0.0)),
    "L_con 1": replace(BASE, weights=LossWeights(consistency=1.0)),
    "lambda to 0": replace(BASE, weights=LossWeights(divergence=0.0)),
    "centred by row": replace(BASE, evidence=cdc.EvidenceFunction(centre="row")),
    "softplus": replace(BASE, evidence=cdc.EvidenceFunction("softplus")),
    "d = 8": replace(BASE, context_tokens=8),
}
SETTINGS = {"clean images only": cdc.FitSettings(augmentation="none")}


def main(*, smoke: bool) -> None:
    """Run every row, print the table, and write the averages and the differences from the first row."""
    names = CHOOSING[:1] if smoke else CHOOSING
    result = cdc.run_protocol(
        "base-to-new",
        [causalvlm.load_dataset(name) for name in names],
        ROWS,
        "picto",
        out=OUT.with_name("cdc_ablation_smoke") if smoke else OUT,
        seeds=(1,) if smoke else (1, 2, 3),
        training=cdc.TrainingConfig(epochs=1) if smoke else None,
        settings=SETTINGS,
    )
    print((OUT / "table.md").read_text() if not smoke else f"{len(result.runs)} runs, {len(result.failed)} failed")
    if not smoke:
        record = {name: value for name, value in result.to_record().items() if name != "runs"}
        write_json(RESULT, {**record, "provenance": cdc.provenance()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one data set, seed and epoch: does it run?")
    main(smoke=parser.parse_args().smoke)
