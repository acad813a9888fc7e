"""Base-to-new on Caltech-101: zero-shot, CoOp and CDC on real photographs with the `photo` backbone.

16 shots, seeds 1 2 3, trained on the first 50 classes, tested on those and on the other 50 (Zhou et al., CoCoOp, CVPR
2022). Settings were chosen on validation images of base classes only (`analyses/choose_settings.py`).

How to run: python analyses/caltech_base_to_new.py [--smoke]; needs $CAUSALVLM_DATA with caltech-101/.
How long: about half an hour on 2 cores, most of it encoding 38,000 views once; killed runs continue.
Expect: CDC above CoOp and zero-shot on base classes; on new ones above CoOp and within a point below zero-shot.
"""

import argparse
from pathlib import Path

import cdc
from cdc.files import write_json

RESULTS = Path(__file__).parent / "results"
SEEDS = (1, 2, 3)
METHODS: dict[str, cdc.MethodConfig] = {
    "zero-shot": cdc.ZeroShotConfig(),
    "coop": cdc.CoOpConfig(),
    "cdc": cdc.CDCConfig(),
}


def main(*, smoke: bool) -> None:
    """Run every method and seed, print the table and write it as JSON."""
    dataset = cdc.load_dataset("caltech101")
    backbone = cdc.load_backbone("photo")
    results: dict[str, cdc.BaseToNewSummary] = {}
    for name, method in METHODS.items():
        training = cdc.default_training("photo")
        shots, seeds = (1, (1,)) if smoke else (16, SEEDS)
        if smoke:
            training = cdc.TrainingConfig(epochs=1)
        out = Path("out/caltech_base_to_new_smoke" if smoke else "out/caltech_base_to_new")
        settings = cdc.FitSettings(shots=shots, training=training)
        results |= cdc.base_to_new(dataset, {name: method}, backbone, settings, seeds=seeds, out=out)
    for name, summary in results.items():
        base, new = (summary.scores()[f"{half}_accuracy"] for half in ("base", "new"))
        print(f"{name:10s} base {base.mean:.3f} ± {base.std:.3f}  new {new.mean:.3f} ± {new.std:.3f}")
    if not smoke:
        facts = {"data": dataset.name, "split_source": dataset.split_source, "backbone": "photo", "shots": 16}
        payload = {
            **facts,
            "seeds": list(SEEDS),
            "methods": {name: summary.to_record() for name, summary in results.items()},
            "provenance": cdc.provenance(),
        }
        write_json(RESULTS / "caltech_base_to_new.json", payload)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one shot, one epoch, one seed: does it run?")
    main(smoke=parser.parse_args().smoke)
