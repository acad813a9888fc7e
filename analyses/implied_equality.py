"""Does the equality that a front door implies, where a column moves the treatment alone, see what breaks it?

The test of `causalvlm/refutation/implied.py` by itself: its p-value on clean worlds, where it should be below .05 in 5
of 100 runs, and on worlds with a direct path or a hidden cause of mediator and outcome.

Run:    OMP_NUM_THREADS=1 python analyses/implied_equality.py          (ten minutes on 2 cores)
        OMP_NUM_THREADS=1 python analyses/implied_equality.py --smoke  (two runs of each, writes nothing)
Expect: a size of 0.05 or less; power that grows with the rows.
Writes: analyses/results/implied_equality.json; `analyses/tables.py` puts it into docs/front_door.md.
"""

import argparse
import json
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import cdc
from causalvlm.estimation.problem import read_problem
from causalvlm.identification.estimands import FrontDoor
from causalvlm.refutation.implied import score
from causalvlm.refutation.verdict import p_of_score
from cdc.files import write_json

RESULTS = Path(__file__).parent / "results" / "implied_equality.json"
RUNS = 200


@dataclass(frozen=True)
class Dials:
    """What is wrong with a world.

    Attributes:
        direct: of the treatment on the outcome, past the mediator.
        second: of a hidden cause on mediator and outcome.
        counted: whether the mediator is binary.
        rows: of a table.
    """

    direct: float = 0.0
    second: float = 0.0
    counted: bool = False
    rows: int = 2000


WORLDS: Mapping[str, Dials] = {
    "clean": Dials(),
    "clean, counted": Dials(counted=True),
    "direct path": Dials(direct=0.5),
    "direct path, counted": Dials(direct=0.5, counted=True),
    "open second stage": Dials(second=1.0),
    "open second stage, 8,000 rows": Dials(second=1.0, rows=8000),
    "open second stage, counted, 8,000 rows": Dials(second=1.0, counted=True, rows=8000),
}


def draw(dials: Dials, rng: np.random.Generator) -> pd.DataFrame:
    """Z moves X alone; U confounds X and Y, V confounds S and Y if the dial says so."""
    rows, second = dials.rows, dials.second
    z, u, v = rng.normal(size=(3, rows))
    x = (z + u + rng.normal(size=rows) > 0).astype(int)
    if dials.counted:
        v = (v > 0).astype(float)
        s = (rng.random(rows) < 0.15 + 0.4 * x + 0.35 * second * v).astype(int)
        y = s + u + dials.direct * x + 2 * second * v + rng.normal(size=rows)
    else:
        s = x + second * v + rng.normal(size=rows)
        y = s + u + dials.direct * x + second * v + rng.normal(size=rows)
    return pd.DataFrame({"Z": z, "X": x, "S": s, "Y": y})


def one_run(dials: Dials, run: int) -> float:
    """Theta in standard errors."""
    rng = np.random.default_rng([run, 33])
    table = draw(dials, rng)
    return score(read_problem(table, FrontDoor("X", "Y", ("S",))), table.Z.to_numpy(), rng=rng)


def main(*, smoke: bool) -> None:
    """Measure every world."""
    rows: list[dict[str, object]] = []
    runs = 2 if smoke else RUNS
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        for name, dials in WORLDS.items():
            scores = np.array(list(pool.map(partial(one_run, dials), range(runs), chunksize=5)))
            p_values = np.array([p_of_score(one) for one in scores])
            shares = {f"below_{limit:g}": float((p_values < limit).mean()) for limit in (0.05, 0.01)}
            numbers = {"mean_score": float(scores.mean()), "sd_score": float(scores.std())}
            rows.append({"world": name, **asdict(dials), "runs": runs, **numbers, **shares})
            print(json.dumps(rows[-1]), flush=True)
    if not smoke:
        write_json(RESULTS, {"worlds": rows, "provenance": cdc.provenance()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two runs of each, nothing written")
    main(smoke=parser.parse_args().smoke)
