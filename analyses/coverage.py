"""How often 95 per cent intervals hold the truth, and how often refuters err.

Run:    OMP_NUM_THREADS=1 python analyses/coverage.py            (half an hour on two cores)
        OMP_NUM_THREADS=1 python analyses/coverage.py --smoke    (a few seconds, 3 runs a row, writes nothing)
Expect: coverage of 0.93 to 0.97 wherever an estimator's assumptions hold; 0.00 for two-stage on the world
        "independent outcomes", whose interaction it cannot see, with its warning in every run; every refuter
        passing on clean worlds but for its false alarms, and failing on the world that breaks it.
Writes: analyses/results/coverage.json, and the tables of docs/acceptance.md between their markers.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

import cdc
from causalvlm.errors import OverlapError
from causalvlm.estimation.effect import estimate_effect
from causalvlm.identification.estimands import BackDoor, Estimand, FrontDoor
from causalvlm.refutation.refute import refute
from causalvlm.worlds.discrete import Dials, DiscreteWorld, draw_world, independent_outcomes, smoking
from causalvlm.worlds.embedding import CovariateWorld, EmbeddingWorld
from causalvlm.worlds.linear import LinearWorld
from cdc.files import write_json

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "analyses" / "results" / "coverage.json"
DOCUMENT = ROOT / "docs" / "acceptance.md"
RUNS, REFUTER_RUNS = 500, 200
FRONT, GIVEN_C = FrontDoor("X", "Y", ("S",)), FrontDoor("X", "Y", ("S",), ("C",))
BACK = BackDoor("X", "Y", ("U",))


class World(Protocol):
    """Whatever draws tables."""

    def sample(self, rows: int, *, rng: np.random.Generator) -> pd.DataFrame:
        """Draw `rows` rows."""
        ...


@dataclass(frozen=True)
class Row:
    """One row of the coverage table: an estimator on a world."""

    name: str
    world: World
    truth: float
    rows: int
    estimand: Estimand
    estimator: str
    expected: tuple[float, float]
    runs: int = RUNS
    columns: Mapping[str, list[str]] = field(default_factory=dict)


def effect_of(world: DiscreteWorld) -> float:
    """Truth of a binary discrete world."""
    return float(world.truth(1)[1] - world.truth(0)[1])


def coverage_rows() -> Iterator[Row]:
    """Every estimator on every world where it applies, and the two-stage where it must fail."""
    honest, k3 = (0.93, 0.97), independent_outcomes()
    pearl, given_c = smoking(), draw_world(Dials(covariate=0.7), rng=np.random.default_rng(3))
    for estimator in ("plug-in", "one-step"):
        yield Row("independent outcomes (K3)", k3, effect_of(k3), 2000, FRONT, estimator, honest)
    yield Row("independent outcomes (K3)", k3, effect_of(k3), 2000, FRONT, "two-stage", (0.0, 0.5))
    for rows in (2000, 10_000):
        yield Row("smoking (K1)", pearl, effect_of(pearl), rows, FRONT, "plug-in", honest)
    yield Row("smoking (K1)", pearl, effect_of(pearl), 10_000, FRONT, "two-stage", honest)
    yield Row("discrete, covariate", given_c, effect_of(given_c), 4000, GIVEN_C, "plug-in", honest)
    seen = draw_world(Dials(), rng=np.random.default_rng(1))
    for estimator in ("plug-in", "outcome-regression", "ipw", "aipw"):
        yield Row("discrete, U observed", seen, effect_of(seen), 2000, BACK, estimator, honest)
    yield Row("linear", LinearWorld(), 3.0, 1000, FRONT, "two-stage", honest)
    for estimator in ("one-step", "two-stage"):
        yield Row("fdtmle process, S continuous (K6)", CovariateWorld(), 1.0, 2000, GIVEN_C, estimator, (0.92, 0.97))
    binary = CovariateWorld(binary=True)
    yield Row("fdtmle process, S binary (K6)", binary, binary.truth(), 2000, GIVEN_C, "one-step", (0.92, 0.97))
    for dim, rows, runs in ((4, 2000, RUNS), (64, 5000, RUNS), (256, 5000, 200)):
        world = EmbeddingWorld(dim=dim)
        for estimator in ("one-step", "two-stage"):
            name = f"linear embedding, d = {dim}"
            yield Row(name, world, world.truth(), rows, FRONT, estimator, (0.92, 0.97), runs, world.columns)
    world = EmbeddingWorld(dim=4, effect=1.2, interaction=1.0, spread=0.5, log_odds=-1.0)
    yield Row("embedding, S x U, unbalanced", world, 1.2, 5000, FRONT, "one-step", (0.92, 0.98), 200, world.columns)
    world = EmbeddingWorld(dim=16, effect=1.2, curvature=0.3)
    yield Row("embedding, curved", world, world.truth(), 3000, FRONT, "one-step", (0.92, 1.0), 200, world.columns)
    yield Row("embedding, U observed", world, world.truth(), 3000, BACK, "aipw", honest, 200)


def measure(row: Row, runs: int) -> dict[str, object]:
    """Run one row; each run has a seed of its own."""
    values, errors, inside, warned, started = [], [], 0, 0, time.perf_counter()
    for run in range(runs):
        rng = np.random.default_rng([run, 20])
        table = row.world.sample(row.rows, rng=rng)
        try:
            effect = estimate_effect(table, row.estimand, rng=rng, estimator=row.estimator, columns=row.columns)
        except OverlapError:
            continue
        values.append(effect.value)
        errors.append(effect.standard_error)
        inside += effect.low <= row.truth <= effect.high
        warned += any("two-stage assumes" in warning for warning in effect.warnings)
    return {
        "world": row.name,
        "estimator": row.estimator,
        "door": "front" if isinstance(row.estimand, FrontDoor) else "back",
        "rows": row.rows,
        "runs": runs,
        "truth": round(row.truth, 6),
        "mean": round(float(np.mean(values)), 4),
        "sd": round(float(np.std(values)), 4),
        "mean_standard_error": round(float(np.mean(errors)), 4),
        "coverage": round(inside / len(values), 4),
        "expected": list(row.expected),
        "refused": round(1 - len(values) / runs, 4),
        "warned": round(warned / len(values), 4),
        "seconds_per_run": round((time.perf_counter() - started) / runs, 4),
    }


def overlap_sweep(runs: int) -> list[dict[str, object]]:
    """What thinning overlap does to the one-step estimator when its outcome model is wrong: where to refuse."""
    result: list[dict[str, object]] = []
    for separation in (1.2, 2.0, 2.5, 3.0, 4.0, 6.0):
        world = EmbeddingWorld(dim=16, separation=separation, curvature=0.5, interaction=0.5)
        found, refused = [], 0
        for run in range(runs):
            rng = np.random.default_rng([run, 21])
            try:
                found.append(estimate_effect(world.sample(2000, rng=rng), FRONT, rng=rng, columns=world.columns))
            except OverlapError:
                refused += 1
        summary = {"separation": separation, "auc": round(world.auc(), 4), "refused": round(refused / runs, 4)}
        sizes = [effect.effective_sample_size / effect.n for effect in found]
        errors = [effect.standard_error for effect in found]
        summary["share"] = round(float(np.mean(sizes)), 4) if found else None
        summary["standard_error"] = round(float(np.mean(errors)), 3) if found else None
        result.append(summary)
    return result


def refuter_cases() -> Iterator[tuple[str, World, Estimand, Mapping[str, list[str]], str | None]]:
    """Worlds for the refuters: name, world, estimand, columns, and the refuter that must fail there."""
    clean, wide = draw_world(Dials(), rng=np.random.default_rng(1)), EmbeddingWorld(dim=8)
    yield "clean, discrete", clean, FRONT, {}, None
    yield "clean, linear", LinearWorld(), FRONT, {}, None
    yield "clean, embedding", wide, FRONT, wide.columns, None
    leaky = draw_world(Dials(leak=0.5), rng=np.random.default_rng(1))
    yield "U leaks into S", leaky, FRONT, {}, "leak from U"
    yield "X acts past S", LinearWorld(direct=1.0), FRONT, {}, "over-identification"
    weak = LinearWorld(first=0.2, second=0.015, confounding_x=0.3, confounding_y=0.5)
    yield "weak second stage", weak, FRONT, {}, "robustness"


def measure_refuters(runs: int) -> list[dict[str, object]]:
    """Shares of passed, failed and inconclusive verdicts for each refuter on each world."""
    result: list[dict[str, object]] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for place, (name, _, _, _, breaks) in enumerate(refuter_cases()):
            tally: dict[str, dict[str, int]] = {}
            alarms = 0
            for outcomes in pool.map(refuted, [place] * runs, range(runs)):
                alarms += any(outcome == "failed" for refuter, outcome in outcomes if refuter != breaks)
                for refuter, outcome in outcomes:
                    counts = tally.setdefault(refuter, {"passed": 0, "failed": 0, "inconclusive": 0})
                    counts[outcome] += 1
            said = [(refuter, refuter == breaks, counts) for refuter, counts in tally.items()]
            if breaks is None:
                any_alarm = {"passed": runs - alarms, "failed": alarms, "inconclusive": 0}
                said.append(("any, in one call", False, any_alarm))
            result += [
                {"world": name, "refuter": refuter, "must_fail": must, "runs": runs, **counts}
                for refuter, must, counts in said
            ]
            print(result[-len(said) :], flush=True)
    return result


def refuted(place: int, run: int) -> list[tuple[str, str]]:
    """Verdicts of one run of a case, by refuter; each run has a seed of its own."""
    _, world, estimand, columns, breaks = list(refuter_cases())[place]
    rng = np.random.default_rng([run, 22])
    table = world.sample(100_000 if breaks == "robustness" else 2000, rng=rng)
    effect = estimate_effect(table, estimand, rng=rng, columns=columns)
    verdicts = refute(effect, table, rng=rng, alternative=BACK, suspects=["U"], repeats=5)
    return [(verdict.name, verdict.outcome) for verdict in verdicts]


def tables(result: Mapping[str, list[dict[str, object]]]) -> str:
    """The tables of docs/acceptance.md."""
    lines = [
        "| world | estimator | n | runs | truth | mean | SD | mean SE | coverage | expected | refused | warned |",
        "|---" * 12 + "|",
    ]
    for row in result.get("coverage", []):
        low, high = row["expected"]
        cells = [
            row["world"],
            f"{row['estimator']} ({row['door']})",
            row["rows"],
            row["runs"],
            row["truth"],
            row["mean"],
        ]
        cells += [
            row["sd"],
            row["mean_standard_error"],
            row["coverage"],
            f"{low} to {high}",
            row["refused"],
            row["warned"],
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", "| separation | AUC | effective share | mean SE | refused |", "|---" * 5 + "|"]
    for row in result.get("overlap", []):
        keys = ("separation", "auc", "share", "standard_error", "refused")
        lines.append("| " + " | ".join("-" if row[key] is None else str(row[key]) for key in keys) + " |")
    lines += ["", "| world | refuter | runs | passed | failed | inconclusive |", "|---" * 6 + "|"]
    for row in result.get("refuters", []):
        name = f"**{row['refuter']}**" if row["must_fail"] else row["refuter"]
        cells = [row["world"], name, row["runs"], row["passed"], row["failed"], row["inconclusive"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def fill(document: Path, text: str) -> None:
    """Put `text` between the markers of `document`."""
    begin, end = "<!-- begin: analyses/coverage.py -->", "<!-- end: analyses/coverage.py -->"
    before, rest = document.read_text().split(begin)
    _, after = rest.split(end)
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def measure_coverage(*, smoke: bool) -> list[dict[str, object]]:
    """Every row of the coverage table, printed as it comes."""
    result: list[dict[str, object]] = []
    for row in coverage_rows():
        result.append(measure(row, 3 if smoke else row.runs))
        print(result[-1], flush=True)
    return result


def main(*, smoke: bool, parts: list[str]) -> None:
    """Run the parts that are named and keep the others as they were; a smoke run proves that it runs."""
    result = {} if smoke or not RESULT.exists() else json.loads(RESULT.read_text())
    for part in parts:
        if part == "coverage":
            result[part] = measure_coverage(smoke=smoke)
        elif part == "overlap":
            result[part] = overlap_sweep(1 if smoke else 40)
        else:
            result[part] = measure_refuters(1 if smoke else REFUTER_RUNS)
        if not smoke:
            write_json(RESULT, {**result, "threads": 1, "provenance": cdc.provenance()})
            fill(DOCUMENT, tables(result))
    print(tables(result))


if __name__ == "__main__":
    every = ["coverage", "overlap", "refuters"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few runs of everything, nothing written")
    parser.add_argument("--parts", nargs="+", choices=every, default=every)
    arguments = parser.parse_args()
    main(smoke=arguments.smoke, parts=arguments.parts)
