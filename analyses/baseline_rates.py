"""Learning rates of the baselines on Picto: published rates are for CLIP models, and `picto` is none.

Base-to-new on the data sets for choosing, 16 shots, seed 1, every baseline with its published epochs and batch, on its
published augmentation and on the images as they are, at several multiples of its published rate.
`cdc.methods.schedule.RATE_FACTORS` has the one in use.

How to run: python analyses/baseline_rates.py [--smoke] [--methods LABEL ...]; `--smoke` writes nothing.
How long: an hour on 2 cores, half of it PromptSRC; killed runs continue, in out/baseline_rates.
Expect: the factor in use at or near the best harmonic mean of every baseline.
"""

from dataclasses import replace

from data_sets import CHOOSING
from grids import Grid, command

import cdc

FACTORS = (1, 5, 20)
AS_IS = ", clean images"
METHODS = {
    f"{name}{images}, {factor} times": (cdc.method_config(name), factor)
    for name, images in (
        ("coop", ""), ("kgcoop", ""), ("cocoop", ""), ("maple", ""), ("promptsrc", ""),
        ("coop", AS_IS), ("kgcoop", AS_IS), ("cocoop", AS_IS),
    )
    for factor in FACTORS
}  # fmt: skip


def _times(config: cdc.MethodConfig, factor: float) -> cdc.TrainingConfig:
    published = cdc.default_training("ViT-B-16", config)
    return replace(published, learning_rate=factor * published.learning_rate)


GRID = Grid(
    name="baseline_rates",
    protocol="base-to-new",
    backbone="picto",
    datasets=CHOOSING,
    methods={label: config for label, (config, _) in METHODS.items()},
    settings={label: cdc.FitSettings(augmentation="none") for label in METHODS if AS_IS in label},
    training={label: _times(config, factor) for label, (config, factor) in METHODS.items()},
    seeds=(1,),
)

if __name__ == "__main__":
    command(__doc__, GRID)
