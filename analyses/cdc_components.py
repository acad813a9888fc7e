"""The parts of CDC alone and together: several templates, their decoupling (VSD), and their fusion (DSTC).

Base-to-new on the data sets for choosing, 16 shots, 50 epochs, seeds 1 2 3. Without VSD all templates train on the
images as they are and without L_de; without DSTC their softmax probabilities are averaged and trained by cross-entropy
(`averaged_templates.py`). All rows have the default pull towards `t^0` and no calibration.

How to run: python analyses/cdc_components.py [--smoke] [--methods LABEL ...]; `--smoke` writes nothing.
How long: ten minutes on 2 cores; killed runs continue, in out/cdc_components.
Expect: the paper has each part help, and both together most.
"""

from dataclasses import replace

from averaged_templates import AveragedTemplatesConfig
from data_sets import CHOOSING
from grids import Grid, command

import cdc
from cdc.methods.cdc import LossWeights

BOTH = cdc.CDCConfig(calibrate=False)
COUPLED = replace(BOTH, weights=LossWeights(diversity=0.0))
AS_IS = cdc.FitSettings(augmentation="none")

GRID = Grid(
    name="cdc_components",
    protocol="base-to-new",
    backbone="picto",
    datasets=CHOOSING,
    methods={
        "one template": AveragedTemplatesConfig(replace(COUPLED, templates=1)),
        "several templates": AveragedTemplatesConfig(COUPLED),
        "with VSD": AveragedTemplatesConfig(BOTH),
        "with DSTC": COUPLED,
        "cdc": BOTH,
    },
    settings=dict.fromkeys(("one template", "several templates", "with DSTC"), AS_IS),
)

if __name__ == "__main__":
    command(__doc__, GRID)
