"""Base-to-new on all of Picto's collections and tasks, every method with the settings and augmentation of its paper.

16 shots, seeds 1 2 3 (Zhou et al., CoCoOp, CVPR 2022). Pictograms of 64 pixels suffer from random crops of 8 % of the
area, so the baselines that train on cached views stand in the table a second time, trained on the images as they are;
CoOp and CoCoOp then at five times the published rate, which is best for them there (`baseline_rates.py`).
Averages are given over the data sets for choosing, over those for reporting, and over the three reporting tasks.

How to run: python analyses/picto_base_to_new.py [--smoke] [--methods LABEL ...]; `--smoke` writes nothing.
How long: two hours on 2 cores, more than half of it PromptSRC; killed runs continue, in out/picto_base_to_new.
Expect: little between the methods on the collections; on the tasks, where the hand-crafted prompt names the wrong
thing, several points of all prompt learners over zero-shot, and CDC among the first.
"""

from dataclasses import replace

from data_sets import CHOOSING, REPORTING
from grids import Grid, command

import cdc

AS_IS = cdc.FitSettings(augmentation="none")
PUBLISHED = ("zero-shot", "zero-shot:ensemble", "coop", "kgcoop", "cocoop", "maple", "promptsrc", "cdc", "cdc:paper")
CLEAN = {f"{name}, clean images": cdc.method_config(name) for name in ("coop", "kgcoop", "cocoop")}
METHODS = {**{name: cdc.method_config(name) for name in PUBLISHED}, **CLEAN}
TRAINING = {label: cdc.default_training("picto", config) for label, config in METHODS.items()}
for label in ("coop, clean images", "cocoop, clean images"):
    TRAINING[label] = replace(TRAINING[label], learning_rate=5 * TRAINING[label].learning_rate)

GRID = Grid(
    name="picto_base_to_new",
    protocol="base-to-new",
    backbone="picto",
    datasets=(*CHOOSING, *REPORTING),
    methods=METHODS,
    training=TRAINING,
    settings=dict.fromkeys(CLEAN, AS_IS),
    groups={
        "all": (*CHOOSING, *REPORTING),
        "choosing": CHOOSING,
        "reporting": REPORTING,
        "reporting tasks": ("picto/prints", "picto/moods", "picto/poses"),
        "all tasks": ("picto/backdrops", "picto/finishes", "picto/prints", "picto/moods", "picto/poses"),
    },
)

if __name__ == "__main__":
    command(__doc__, GRID)
