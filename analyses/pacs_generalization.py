"""Domain generalization on a sample of PACS: train on photographs, test on art paintings and cartoons.

16 shots of each of the 7 classes, seeds 1 2 3, the `photo` backbone. Every image of a target domain is tested; of the
photographs those that its split leaves. Methods train as in `caltech_base_to_new.py`: no setting was chosen here.

How to run: python analyses/pacs_generalization.py [--smoke] [--methods LABEL ...]; needs $CAUSALVLM_DATA with pacs/.
`--smoke` writes nothing.
How long: ten minutes on 2 cores; killed runs continue, in out/pacs_generalization.
Expect: the domain costs zero-shot dozens of points (`pacs_diagnosis.py`); what adaptation to photographs gives back is
small, or is negative.
"""

import os
from dataclasses import replace
from pathlib import Path

from caltech_base_to_new import GRID as CALTECH
from grids import Grid, command

import cdc

SOURCE, *TARGETS = ("photo", "art_painting", "cartoon")


def load(domain: str) -> cdc.ImageDataset:
    """One domain; of a target everything is for testing."""
    root = Path(os.environ.get("CAUSALVLM_DATA", "../shared/data")) / "pacs"
    data = replace(cdc.load_dataset(root / domain), name=f"pacs/{domain}")
    if domain == SOURCE:
        return data
    return replace(data, train=(), validation=(), test=(*data.train, *data.validation, *data.test))


GRID = Grid(
    name="pacs_generalization",
    protocol="domain-generalization",
    backbone="photo",
    datasets=(SOURCE, *TARGETS),
    methods=CALTECH.methods,
    settings=CALTECH.settings,
    load=load,
)

if __name__ == "__main__":
    command(__doc__, GRID)
