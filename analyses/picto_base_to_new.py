"""Base-to-new on all of Picto's collections and tasks, every method with the settings and augmentation of its paper.

16 shots, seeds 1 2 3 (Zhou et al., CoCoOp, CVPR 2022). Pictograms of 64 pixels suffer from random crops of 8 % of the
area, so the baselines that train on cached views stand in the table a second time, trained on the images as they are.
Averages are given over the data sets for choosing, over those for reporting, and over the three reporting tasks.

How to run: python analyses/picto_base_to_new.py [--smoke] [--methods NAME ...]; `--smoke` writes nothing.
How long: two hours on 2 cores, more than half of it PromptSRC; killed runs continue, in out/picto_base_to_new.
Expect: little between the methods on the collections; on the tasks, where the hand-crafted prompt names the wrong
thing, several points of all prompt learners over zero-shot, and CDC among the first.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_sets import CHOOSING, REPORTING

import causalvlm
import cdc
from cdc.files import write_json

RESULT = Path(__file__).parent / "results" / "picto_base_to_new.json"
OUT = Path("out/picto_base_to_new")
AS_IS = cdc.FitSettings(augmentation="none")
TASKS = ("picto/prints", "picto/moods", "picto/poses")
PUBLISHED = ("zero-shot", "zero-shot:ensemble", "coop", "kgcoop", "cocoop", "maple", "promptsrc", "cdc", "cdc:paper")
METHODS = {name: cdc.method_config(name) for name in PUBLISHED}
METHODS |= {f"{name}, clean images": METHODS[name] for name in ("coop", "kgcoop", "cocoop")}
SETTINGS = {name: AS_IS for name in METHODS if name.endswith(", clean images")}
GROUPS = {"choosing": CHOOSING, "reporting": REPORTING, "reporting tasks": TASKS, "all": (*CHOOSING, *REPORTING)}


def main(*, smoke: bool, only: list[str] | None) -> None:
    """Run the grid, print the table and write the averages of every group of data sets."""
    names = CHOOSING[:1] if smoke else (*CHOOSING, *REPORTING)
    methods = {name: config for name, config in METHODS.items() if only is None or name in only}
    training = {name: cdc.default_training("picto", config) for name, config in methods.items()}
    if smoke:
        training = {name: replace(config, epochs=1) for name, config in training.items()}
    out = OUT.with_name("picto_base_to_new_smoke") if smoke else OUT
    result = cdc.run_protocol(
        "base-to-new",
        [causalvlm.load_dataset(name) for name in names],
        methods,
        "picto",
        out=out,
        seeds=(1,) if smoke else (1, 2, 3),
        training=training,
        settings=SETTINGS,
    )
    print((out / "table.md").read_text())
    if not smoke and only is None:
        groups = {name: group(result, members) for name, members in GROUPS.items()}
        record = {name: value for name, value in result.to_record().items() if name not in ("runs", "paired")}
        write_json(RESULT, {**record, "groups": groups, "provenance": cdc.provenance()})


def group(result: cdc.ProtocolResult, members: tuple[str, ...]) -> dict[str, Any]:
    """Averages and differences from the reference over some of the data sets."""
    part = replace(result, runs=tuple(run for run in result.runs if run["dataset"] in members)).to_record()
    averages = [row for row in part["table"] if row["dataset"] is None]
    return {"datasets": members, "average": averages, "paired": part["paired"]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one data set, seed and epoch: does it run?")
    parser.add_argument("--methods", nargs="*", help="labels of the methods to run; the result is written when all ran")
    arguments = parser.parse_args()
    main(smoke=arguments.smoke, only=arguments.methods)
