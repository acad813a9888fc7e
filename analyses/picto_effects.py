"""Effects of background, style and tint on a model's margin in Picto: estimated from observed pictures, and true.

How to run: OMP_NUM_THREADS=1 python analyses/picto_effects.py            (about 15 minutes on 2 cores, resumable)
            OMP_NUM_THREADS=1 python analyses/picto_effects.py --smoke    (half a minute, writes nothing)
Writes:     analyses/results/picto_effects.json and docs/figures/picto_scm.png; finished repetitions are kept in
            out/picto_effects.jsonl, which is started afresh when model or settings differ.

The truth comes from rendering the same pictures again with one factor changed. The estimates see tables of n observed
pictures (concept and factors in words, the margin of the confounded model, never the hidden source): identify, then
estimate_effect with its default estimator. At strength 0 nothing confounds; the others are chosen by overlap. Under the
true propensity the smaller arm behaves like 137 to 236 rows at 0.3, 77 to 138 at 0.6, and at 0.9, the strength of
pre-training, like 17 to 31, where the toolkit should refuse (it wants 30).

Expected: coverage of 0.89 to 0.99 (95 of 100, and chance) at 0, 0.3 and 0.6, refusals at 0.9, and a difference of
conditional means that is off for style by more than its interval allows.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import causalvlm
import cdc
from causalvlm.errors import OverlapError
from causalvlm.figures.style import to_bytes
from causalvlm.intervals import Z, wilson
from causalvlm.worlds.picto.collections import collection
from causalvlm.worlds.picto.effects import Outcome, true_effect
from causalvlm.worlds.picto.reader import PictoReader, read_with
from causalvlm.worlds.picto.scm import PictoSample, PictoWorld
from cdc.files import write_bytes, write_json
from cdc.progress import image_bar

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "analyses" / "results" / "picto_effects.json"
FIGURE = ROOT / "docs" / "figures" / "picto_scm.png"
CACHE = ROOT / "out" / "picto_effects.jsonl"
COLLECTION = "mammals"
PAIRS = {"background": ("striped", "plain"), "style": ("silhouette", "colour"), "tint": ("dark", "none")}
STRENGTHS = (0.0, 0.3, 0.6, 0.9)
SEED = 7
Record = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is done."""

    repetitions: int = 100
    pictures: int = 2000
    pairs: int = 20_000
    backbone: str = "picto"


@cache
def reader(backbone: str) -> PictoReader:
    """The model, once per process."""
    torch.set_num_threads(1)
    names = collection(COLLECTION).concepts
    return read_with(cdc.load_backbone(backbone), names, template=collection(COLLECTION).template)


def truth(strength: float, size: Size, factor: str) -> Record:
    """The effect on margin and on accuracy by intervention; both are of the same pictures."""
    world, (treated, control) = PictoWorld((COLLECTION,), strength=strength), PAIRS[factor]
    margin = _remembered(reader(size.backbone).margin)
    record: Record = {"strength": strength, "factor": factor, "treated": treated, "control": control}
    for name, outcome in (("margin", margin), ("accuracy", lambda sample: margin(sample) > 0)):
        rng = np.random.default_rng([SEED, round(100 * strength)])
        effect = true_effect(world, outcome, factor, treated=treated, control=control, n=size.pairs, rng=rng)
        keys = ("value", "low", "high", "standard_error")
        record[name] = {key: getattr(effect, key) for key in keys} | {"do_means": dict(effect.do_means)}
    return record


def _remembered(outcome: Outcome) -> Outcome:
    """The same pictures are asked about twice, and rendered once."""
    known: dict[tuple[bytes, str], np.ndarray] = {}

    def ask(sample: PictoSample) -> np.ndarray:
        key = sample.noise[:2].tobytes(), str(dict(sample.interventions))
        if key not in known:
            known[key] = outcome(sample)
        return known[key]

    return ask


def repetition(strength: float, size: Size, run: int) -> Record:
    """Estimates of every effect from one table of observed pictures."""
    world = PictoWorld((COLLECTION,), strength=strength)
    rng = np.random.default_rng([SEED, round(100 * strength), 1 + run])
    sample = world.sample(size.pictures, rng=rng)
    table = sample.table().assign(Y_hat=reader(size.backbone).margin(sample))
    estimates = {factor: _estimate(table, world, factor, rng=rng) for factor in PAIRS}
    return {"strength": strength, "run": run, "estimates": estimates}


def _estimate(table: pd.DataFrame, world: PictoWorld, factor: str, *, rng: np.random.Generator) -> Record:
    treated, control = PAIRS[factor]
    arms = [table.Y_hat[table[factor] == level] for level in (treated, control)]
    error = float(np.sqrt(sum(arm.var() / len(arm) for arm in arms)))
    naive: Record = {"value": float(arms[0].mean() - arms[1].mean()), "standard_error": error}
    estimand = causalvlm.identify(world.graph(), treatment=factor, outcome="Y_hat")
    try:
        effect = causalvlm.estimate_effect(table, estimand, rng=rng, treated=treated, control=control)
    except OverlapError as refusal:
        return {"naive": naive, "refusal": str(refusal)}
    found: Record = {"value": effect.value, "low": effect.low, "high": effect.high}
    found |= {"standard_error": effect.standard_error, "effective_sample_size": effect.effective_sample_size}
    return {"naive": naive, "estimate": found, "estimator": effect.estimator, "warned": len(effect.warnings) > 1}


def run_jobs(size: Size, *, workers: int, path: Path | None) -> tuple[list[Record], list[Record]]:
    """Truths and repetitions; those that `path` holds for the same model and settings are not done again."""
    settings = {"settings": asdict(size) | {"model": reader(size.backbone).adapter.backbone.fingerprint}}
    done = _read(path, settings)
    jobs = list(_jobs(size, {_key(record) for record in done}))
    spawn = get_context("spawn")  # a forked process cannot use torch's threads
    with (
        ProcessPoolExecutor(workers, mp_context=spawn) as pool,
        image_bar("rendering and estimating", total=len(jobs)) as advance,
    ):
        for future in as_completed([pool.submit(*job) for job in jobs]):
            done.append(future.result())
            if path is not None:
                with path.open("a") as lines:
                    lines.write(json.dumps(done[-1]) + "\n")
            advance()
    done.sort(key=_key)
    return [one for one in done if "factor" in one], [one for one in done if "run" in one]


def _jobs(size: Size, done: set[str]) -> Iterator[tuple[Callable[..., Record], float, Size, object]]:
    for strength in STRENGTHS:
        for factor in PAIRS:
            if _key({"strength": strength, "factor": factor}) not in done:
                yield truth, strength, size, factor
        for run in range(size.repetitions):
            if _key({"strength": strength, "run": run}) not in done:
                yield repetition, strength, size, run


def _key(record: Record) -> str:
    run = record.get("run")
    return f"{record['strength']} {record['factor'] if run is None else f'{run:06d}'}"


def _read(path: Path | None, settings: Record) -> list[Record]:
    """Finished work; the first line says what it was done with, and a last line cut short by a kill is dropped."""
    if path is None:
        return []
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    if not whole or whole[0] != settings:
        whole = [settings]
    write_bytes(path, "".join(json.dumps(record) + "\n" for record in whole).encode())
    return whole[1:]


def summarise(true: Record, rows: list[Record]) -> Record:
    """One row of the table: how the estimates of one effect compare with its truth."""
    value, margin = true["margin"]["value"], true["margin"]
    own: list[Record] = [row["estimates"][true["factor"]] for row in rows if row["strength"] == true["strength"]]
    found = [one["estimate"] for one in own if "estimate" in one]
    naive = np.array([[one["naive"]["value"], one["naive"]["standard_error"]] for one in own])
    record: Record = {**true, "runs": len(own), "refused": len(own) - len(found), "naive": _judge(naive, margin)}
    if found:
        estimates = np.array([[one["value"], one["standard_error"]] for one in found])
        inside = sum(one["low"] <= value <= one["high"] for one in found)
        record["estimate"] = _judge(estimates, margin) | {"coverage": asdict(wilson(inside / len(found), len(found)))}
        record["estimators"] = sorted({one["estimator"] for one in own if "estimate" in one})
        record["warned"] = sum(bool(one["warned"]) for one in own if "estimate" in one)
        record["effective_sample_size"] = float(np.mean([one["effective_sample_size"] for one in found]))
    return record


def _judge(values: np.ndarray, true: Record) -> Record:
    """Bias with its 95 per cent interval (repetitions and Monte Carlo), spread, claimed error, share that hold it."""
    bias = float(values[:, 0].mean() - true["value"])
    spread = float(values[:, 0].std(ddof=1)) if len(values) > 1 else 0.0
    half = Z * float(np.hypot(spread / np.sqrt(len(values)), true["standard_error"]))
    inside = float((np.abs(values[:, 0] - true["value"]) <= Z * values[:, 1]).mean())
    return {
        "mean": float(values[:, 0].mean()),
        "bias": {"value": bias, "low": bias - half, "high": bias + half},
        "sd": spread,
        "mean_standard_error": float(values[:, 1].mean()),
        "holds_truth": inside,
    }


def draw_scm() -> bytes:
    """The model without the five factors that nothing causes, and what identifies the effect of the background."""
    world = PictoWorld()
    estimand = causalvlm.identify(world.graph(), treatment="background", outcome="Y_hat")
    part = world.graph(uncaused=False)
    return to_bytes(causalvlm.draw_graph(part, treatment="background", outcome="Y_hat", estimand=estimand))


def main(*, smoke: bool, workers: int, backbone: str) -> None:
    """Do what is missing, print the comparison and, unless it is a smoke run, write it."""
    size = Size(2, 2000, 500, backbone) if smoke else Size(backbone=backbone)
    if not smoke:
        CACHE.parent.mkdir(exist_ok=True)
    truths, rows = run_jobs(size, workers=workers, path=None if smoke else CACHE)
    effects = [summarise(true, rows) for true in truths]
    for row in effects:
        shown = row.get("estimate", {"mean": float("nan"), "coverage": {"value": float("nan")}})
        print(
            f"{row['strength']} {row['factor']:<11} true {row['margin']['value']:+.3f}, "
            f"naive {row['naive']['mean']:+.3f}, estimated {shown['mean']:+.3f}, "
            f"coverage {shown['coverage']['value']:.2f}, refused {row['refused']}"
        )
    if smoke:
        return
    model = reader(backbone).adapter.backbone.fingerprint
    record = {**asdict(size), "collection": COLLECTION, "model": model, "seed": SEED, "effects": effects}
    write_bytes(FIGURE, draw_scm())
    write_json(RESULT, {**record, "provenance": cdc.provenance()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two repetitions, nothing written")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--backbone", default="picto", help="another model, for example picto-unconfounded")
    arguments = parser.parse_args()
    main(smoke=arguments.smoke, workers=arguments.workers, backbone=arguments.backbone)
