"""How often 95 per cent intervals hold the truth where rows lie in clusters, with cluster= and without it.

Sixty clusters of twenty rows; half of the variance of every cause is shared by the rows of a cluster. Refuters are
tried on such tables too.

Run:    OMP_NUM_THREADS=1 python analyses/clusters.py            (about 15 minutes on one core)
        OMP_NUM_THREADS=1 python analyses/clusters.py --smoke    (a few seconds, writes nothing)
Expect: coverage of 0.91 to 0.98 with cluster= wherever an estimator's assumptions hold, and of 0.5 to 0.85 without.
Writes: analyses/results/clusters.json, after every row; begun again, it goes on with the rows that are missing there.
"""

import argparse
import json
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

import cdc
from causalvlm.errors import OverlapError
from causalvlm.estimation.effect import estimate_effect
from causalvlm.identification.estimands import BackDoor, Estimand, FrontDoor, Instrument, Mediation
from causalvlm.intervals import wilson
from causalvlm.refutation.refute import refute
from cdc.files import write_json

RESULT = Path(__file__).parent.parent / "analyses" / "results" / "clusters.json"
RUNS, REFUTED, CLUSTERS, SIZE, SHARE = 200, 10, 60, 20, 0.5
BACK, DOSE = BackDoor("X", "Y", ("Z",)), BackDoor("D", "V", ("Z",))
ROWS: Mapping[str, Estimand] = {
    "plug-in": FrontDoor("X", "Y", ("B",)),
    "two-stage": FrontDoor("D", "W", ("S",)),
    "one-step": FrontDoor("X", "Y", ("B",)),
    "outcome-regression": BACK,
    "ipw": BACK,
    "aipw": BACK,
    "partially-linear": DOSE,
    "dose-response": DOSE,
    "two-stage-least-squares": Instrument("D", "V", "I", ("Z",)),
    "local-effect": Instrument("X", "Y", "I", ("Z",)),
    "nested-regressions": Mediation("X", "Y", ("B",), ("Z",)),
}
JUDGED = ("plug-in", "two-stage", "aipw", "partially-linear")


def drawn_table(rng: np.random.Generator) -> pd.DataFrame:
    """Rows in clusters. All of the effect of X on Y passes through B, of D on W through S; D has its own on V."""
    video = np.repeat(np.arange(CLUSTERS), SIZE)

    def drawn() -> np.ndarray:
        own, shared = rng.normal(size=len(video)), rng.normal(size=CLUSTERS)[video]
        return np.sqrt(1 - SHARE) * own + np.sqrt(SHARE) * shared

    z, instrument = drawn(), drawn() > 0
    dose = 0.5 * z + 1.5 * instrument + drawn()
    x = dose > 0.75
    s, b = dose + drawn(), x + drawn() > 0.5
    return pd.DataFrame(
        {
            "Z": z,
            "I": instrument.astype(int),
            "D": dose,
            "X": x.astype(int),
            "S": s,
            "B": b.astype(int),
            "Y": b + z + drawn(),
            "W": s + z + drawn(),
            "V": dose + z + drawn(),
            "video": video,
        }
    )


def truth(estimand: Estimand) -> float:
    """One for a step of D; for X the share of B that it moves, as B is X plus a normal number above one half."""
    return float(ndtr(0.5) - ndtr(-0.5)) if estimand.treatment == "X" else 1.0


def coverage(estimator: str, estimand: Estimand, *, runs: int) -> dict[str, object]:
    """Shares of intervals that hold the truth, with and without the clusters, and how wide they are."""
    held: dict[str, list[bool]] = {"with": [], "without": []}
    errors: dict[str, list[float]] = {"with": [], "without": []}
    values: list[float] = []
    refused = 0
    for run in range(runs):
        table = drawn_table(np.random.default_rng(run))
        treated, control = (1.5, 0.5) if estimand.treatment == "D" else (1, 0)
        ask = partial(estimate_effect, table, estimand, estimator=estimator, treated=treated, control=control)
        try:
            found = {"with": ask(rng=run, cluster="video"), "without": ask(rng=run)}
        except OverlapError:
            refused += 1
            continue
        values.append(found["with"].value)
        for name, effect in found.items():
            held[name].append(effect.low <= truth(estimand) <= effect.high)
            errors[name].append(effect.standard_error)
    record: dict[str, object] = {
        "estimand": estimand.text(),
        "truth": truth(estimand),
        "refused": refused,
        "mean": float(np.mean(values)),
        "deviation": float(np.std(values, ddof=1)),
    }
    for name, inside in held.items():
        interval = wilson(float(np.mean(inside)), len(inside))
        record[name] = {
            "coverage": interval.value,
            "low": interval.low,
            "high": interval.high,
            "standard_error": float(np.mean(errors[name])),
        }
    return record


def false_alarms(estimator: str, estimand: Estimand, *, runs: int) -> dict[str, int]:
    """Calls of `refute` in which a test fails an innocent effect."""
    failed = {"calls": runs, "with": 0, "without": 0}
    for run in range(runs):
        table = drawn_table(np.random.default_rng(1000 + run))
        for name, cluster in (("with", "video"), ("without", None)):
            effect = estimate_effect(table, estimand, rng=run, estimator=estimator, cluster=cluster)
            verdicts = refute(effect, table, rng=run)
            failed[name] += any(one.outcome == "failed" for one in verdicts if one.name != "robustness")
    return failed


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="3 tables, writes nothing")
    smoke = parser.parse_args().smoke
    start, runs, refuted = time.time(), 3 if smoke else RUNS, 1 if smoke else REFUTED
    world = {"clusters": CLUSTERS, "rows": CLUSTERS * SIZE, "share": SHARE, "runs": runs}
    result: dict[str, Any] = {"version": cdc.__version__, "world": world, "coverage": {}, "refuters": {}}
    if not smoke and RESULT.is_file():
        known = json.loads(RESULT.read_text())
        result = known if known["world"] == world else result

    def keep(part: str, name: str, found: Mapping[str, object]) -> None:
        result[part][name] = found
        print(name, found, f"{time.time() - start:.0f} s", flush=True)
        if not smoke:
            write_json(RESULT, result)

    for estimator, estimand in ROWS.items():
        if estimator not in result["coverage"]:
            keep("coverage", estimator, coverage(estimator, estimand, runs=runs))
    for estimator in JUDGED:
        if estimator not in result["refuters"]:
            keep("refuters", estimator, false_alarms(estimator, ROWS[estimator], runs=refuted))


if __name__ == "__main__":
    main()
