"""The defaults of CDC, each against its alternatives, on the data sets that are for choosing (`data_sets.py`).

Base-to-new on Picto, 16 shots, 50 epochs, seeds 1 2 3: every row differs from the first in what its name says. The
first is without calibration, which changes no accuracy but costs training time.

How to run: python analyses/cdc_ablation.py [--smoke] [--methods LABEL ...]; `--smoke` writes nothing.
How long: an hour on 2 cores; killed runs continue, in out/cdc_ablation.
Expect: no row better than the first in harmonic mean by more than its interval, and calibration errors that calibration
lowers.
"""

from dataclasses import replace

from data_sets import CHOOSING
from grids import Grid, command

import cdc
from cdc.methods.cdc import LossWeights

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
    "augmentation set 1": BASE,
    "Dempster's rule": replace(BASE, independence=1.0),
    "M = 1": replace(BASE, templates=1),
    "M = 2": replace(BASE, templates=2),
    "M = 8": replace(BASE, templates=8),
    "no L_de": replace(BASE, weights=LossWeights(diversity=0.0)),
    "L_con 1": replace(BASE, weights=LossWeights(consistency=1.0)),
    "lambda to 0": replace(BASE, weights=LossWeights(divergence=0.0)),
    "centred by row": replace(BASE, evidence=cdc.EvidenceFunction(centre="row")),
    "softplus": replace(BASE, evidence=cdc.EvidenceFunction("softplus")),
    "d = 8": replace(BASE, context_tokens=8),
}
SETTINGS = {
    "clean images only": cdc.FitSettings(augmentation="none"),
    "augmentation set 1": cdc.FitSettings(augmentation="set1"),
}

GRID = Grid(
    name="cdc_ablation",
    protocol="base-to-new",
    backbone="picto",
    datasets=CHOOSING,
    methods=ROWS,
    settings=SETTINGS,
)

if __name__ == "__main__":
    command(__doc__, GRID)
