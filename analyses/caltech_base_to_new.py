"""Base-to-new on Caltech-101: real photographs, with the `photo` backbone and the methods that fit its towers.

16 shots, seeds 1 2 3, trained on the first 50 classes, tested on those and on the other 50 (Zhou et al., CoCoOp, CVPR
2022). The baselines have the epochs, batch and augmentation of their papers, and the rates of these times the
backbone's factor. CDC trains as it was chosen to on validation images of base classes (`analyses/choose_settings.py`).
MaPLe and PromptSRC need transformers in both towers, which `photo` has not.

How to run: python analyses/caltech_base_to_new.py [--smoke] [--methods LABEL ...]; needs $CAUSALVLM_DATA with
caltech-101/. `--smoke` writes nothing.
How long: two hours on 2 cores, an hour of it CoCoOp and half an hour encoding views; killed runs continue.
Expect: CDC above zero-shot on base classes and about level with it on new ones; a fair CoOp close to it.
"""

from grids import Grid, command

import cdc

LABELS = ("zero-shot", "zero-shot:ensemble", "coop", "kgcoop", "cocoop", "cdc", "cdc:paper")
CLEAN = {f"{name}, clean images": cdc.method_config(name) for name in ("coop", "kgcoop")}

GRID = Grid(
    name="caltech_base_to_new",
    protocol="base-to-new",
    backbone="photo",
    datasets=("caltech101",),
    methods={**{name: cdc.method_config(name) for name in LABELS}, **CLEAN},
    settings=dict.fromkeys(CLEAN, cdc.FitSettings(augmentation="none")),
    load=cdc.load_dataset,
)

if __name__ == "__main__":
    command(__doc__, GRID)
