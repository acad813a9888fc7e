"""Cross-dataset transfer in miniature: train on Picto's pooled source of all concepts, test on its five tasks.

What ImageNet -> ten data sets is in the paper: no class of a target was trained on. All methods train for 5 epochs on 4
shots of each class of the source, for this is to run on a CPU too; on a GPU raise both (`GRID`). CoCoOp, MaPLe and
PromptSRC, whose steps are of one or four images, are left out for the same reason.

How to run: python analyses/cross_dataset.py [--smoke] [--methods LABEL ...]; `--smoke` writes nothing.
How long: an hour on 2 cores; killed runs continue, in out/cross_dataset.
Expect: adaptation to concepts says little about backdrops or moods: methods that keep to the frozen model lose least.
"""

from dataclasses import replace

from grids import Grid, command

import cdc

METHODS = {
    name: cdc.method_config(name) for name in ("zero-shot", "zero-shot:ensemble", "coop", "kgcoop", "cdc", "cdc:paper")
}

GRID = Grid(
    name="cross_dataset",
    protocol="cross-dataset",
    backbone="picto",
    datasets=("picto/source", "picto/backdrops", "picto/finishes", "picto/prints", "picto/moods", "picto/poses"),
    methods=METHODS,
    training={label: replace(cdc.default_training("picto", config), epochs=5) for label, config in METHODS.items()},
    shots=4,
)

if __name__ == "__main__":
    command(__doc__, GRID)
