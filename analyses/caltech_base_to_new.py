"""Base-to-new on Caltech-101: zero-shot, CoOp and CDC on real photographs with the `photo` backbone.

16 shots, seeds 1 2 3, trained on the first 50 classes, tested on those and on the other 50 (Zhou et al., CoCoOp, CVPR
2022). Settings were chosen on validation images of base classes only (`analyses/choose_settings.py`).

How to run: python analyses/caltech_base_to_new.py [--smoke]; needs $CAUSALVLM_DATA with caltech-101/.
How long: about half an hour on 2 cores, most of it encoding 38,000 views once; killed runs continue.
Expect: CDC above CoOp and zero-shot on base classes; on new ones above CoOp and within a point below zero-shot.
"""

import argparse
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import cdc
from cdc.files import write_json

RESULTS = Path(__file__).parent / "results"
SEEDS = (1, 2, 3)
METHODS = ("zero-shot", "coop", "cdc")


def main(*, smoke: bool) -> None:
    """Run every method and seed, print the table and write it as JSON."""
    dataset = cdc.load_dataset("caltech101")
    out = Path("out/caltech_base_to_new_smoke" if smoke else "out/caltech_base_to_new")
    result = cdc.run_protocol(
        "base-to-new",
        [dataset],
        METHODS,
        "photo",
        out=out,
        seeds=(1,) if smoke else SEEDS,
        shots=1 if smoke else 16,
        training=cdc.TrainingConfig(epochs=1) if smoke else cdc.default_training("photo"),
    )
    print((out / "table.md").read_text())
    if not smoke:
        facts = {"data": dataset.name, "split_source": dataset.split_source, "backbone": "photo", "shots": 16}
        payload = {
            **facts,
            "seeds": list(SEEDS),
            "methods": {name: summary(result, name) for name in METHODS},
            "provenance": cdc.provenance(),
        }
        write_json(RESULTS / "caltech_base_to_new.json", payload)


def summary(result: cdc.ProtocolResult, method: str) -> dict[str, Any]:
    """Runs of one method, mean and standard deviation of every score over the seeds, and both harmonic means."""
    (row,) = (row for row in result.table() if row.method == method and row.dataset is not None)
    runs = [dict(run) for run in result.runs if run["method"] == method]
    seconds = [run["seconds"] for run in runs]
    spreads = {metric: {"mean": row.means[metric], "std": std} for metric, std in row.stds.items()}
    return {
        "runs": runs,
        **spreads,
        "harmonic_mean_of_means": row.means["harmonic_mean_of_means"],
        "seconds": {"mean": fmean(seconds), "std": pstdev(seconds)},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one shot, one epoch, one seed: does it run?")
    main(smoke=parser.parse_args().smoke)
