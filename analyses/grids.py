"""What the scripts share that run a grid of a protocol: their command line, and the JSON that they write."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import causalvlm
import cdc
from cdc.files import write_json

RESULTS = Path(__file__).parent / "results"
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Grid:
    """A grid and the name that its result has in `analyses/results`, and its runs in `out/`.

    Attributes:
        name: of the result.
        protocol: in `cdc.PROTOCOLS`.
        backbone: in `cdc.BACKBONES`.
        datasets: their names.
        methods: settings by label.
        training: by label; None for each method's own.
        settings: by label, where they are not the defaults.
        seeds: of every method.
        shots: of every class; None for the protocol's own number.
        groups: names of parts of the data sets, of which averages and differences are written too.
        load: reads a data set.
    """

    name: str
    protocol: str
    backbone: str
    datasets: Sequence[str]
    methods: Mapping[str, cdc.MethodConfig]
    training: Mapping[str, cdc.TrainingConfig] | None = None
    settings: Mapping[str, cdc.FitSettings] = field(default_factory=dict)
    seeds: Sequence[int] = SEEDS
    shots: int | None = None
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    load: Callable[[str], cdc.ImageDataset] = causalvlm.load_dataset


def command(description: str | None, grid: Grid) -> None:
    """Run the grid as the command line says, print its table, and write its result when all methods ran."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one epoch, seed and shot of few data sets: does it run?")
    parser.add_argument("--methods", nargs="*", help="labels to run now; the result is written when all ran")
    arguments = parser.parse_args()
    methods = {label: config for label, config in grid.methods.items() if label in (arguments.methods or grid.methods)}
    if arguments.smoke:
        names, out = grid.datasets[: 1 if grid.protocol == "base-to-new" else 2], Path("out") / f"{grid.name}_smoke"
    else:
        names, out = grid.datasets, Path("out") / grid.name
    training = grid.training or {
        label: cdc.default_training(grid.backbone, config) for label, config in methods.items()
    }
    result = cdc.run_protocol(
        grid.protocol,
        [grid.load(name) for name in names],
        methods,
        grid.backbone,
        out=out,
        seeds=grid.seeds[:1] if arguments.smoke else grid.seeds,
        shots=1 if arguments.smoke else grid.shots,
        training={label: replace(training[label], epochs=1) for label in methods} if arguments.smoke else training,
        settings=grid.settings,
    )
    print((out / "table.md").read_text())
    if not arguments.smoke and len(methods) == len(grid.methods):
        record = _without_runs(result)
        groups = {name: _part(result, members) for name, members in grid.groups.items()}
        write_json(RESULTS / f"{grid.name}.json", {**record, "groups": groups, "provenance": cdc.provenance()})


def _without_runs(result: cdc.ProtocolResult) -> dict[str, Any]:
    return {name: value for name, value in result.to_record().items() if name != "runs"}


def _part(result: cdc.ProtocolResult, members: Sequence[str]) -> dict[str, Any]:
    """Averages and differences from the reference over some of the data sets."""
    part = _without_runs(replace(result, runs=tuple(run for run in result.runs if run["dataset"] in members)))
    averages = [row for row in part["table"] if row["dataset"] is None]
    return {"datasets": list(members), "average": averages, "paired": part["paired"]}
