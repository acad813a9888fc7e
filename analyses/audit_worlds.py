"""How often the audit of a mediator says what is true, in worlds where S is valid and in worlds where it is not.

Every world draws a task-relevant vector r, a binary task-irrelevant factor G, the embedding X of both, the opinions S
of one template or two, of which the last may leak, and the label Y:

    X = (r, 1.5 G, distractors) + noise;   S_m = 1.2 r' + leak_m X_G w + open G w + noise, r' the part of X that shows r
    Y ~ softmax(mean of S + direct X_d v + (open + hidden) G v)

so that S is valid where leak, direct and open are zero, whatever `hidden` is: then G moves X and Y, as in the
front-door graph. G is labelled, but in the world "hidden cause, not labelled".

Run:    OMP_NUM_THREADS=1 python analyses/audit_worlds.py [WORLD ...]   (4 minutes a world on one core; draws are kept)
        OMP_NUM_THREADS=1 python analyses/audit_worlds.py --smoke       (two draws of each, writes nothing)
Expect: "violated" in at most 5 % of the draws wherever nothing is wrong, over all questions together; in most draws
        where something is. Without a label, "cannot tell": a hidden cause of X and Y looks like a path past S.
Writes: analyses/results/audit_worlds.json; `analyses/tables.py` puts it into docs/audit.md.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import cdc
from causalvlm.diagnosis.audit.mediator import MediatorFindings, audit_mediator
from causalvlm.diagnosis.audit.verdicts import Verdict
from causalvlm.intervals import wilson
from cdc.files import write_json

RESULTS = Path(__file__).parent / "results" / "audit_worlds.json"
DRAWS_KEPT = Path("out/audit_worlds")
DRAWS, ROWS, CLASSES, WIDTH = 100, 800, 3, 10
QUESTIONS = ("mediation", "leak", "template 1", "template 2", "second stage", "overlap")
VERDICTS: tuple[Verdict, ...] = ("violated", "cannot tell", "valid")


@dataclass(frozen=True)
class World:
    """What is wrong in a world, and which questions should therefore be answered with "violated"."""

    leak: float = 0.0
    direct: float = 0.0
    open: float = 0.0
    hidden: float = 0.0
    certain: bool = False
    labelled: bool = True
    templates: int = 1
    violated: tuple[str, ...] = ()

    def draw(self, rng: np.random.Generator) -> MediatorFindings:
        """One data set of the world, audited."""
        factor = rng.integers(2, size=ROWS)
        features = rng.normal(size=(ROWS, WIDTH))
        features[:, CLASSES] += 1.5 * factor
        features += 0.3 * rng.normal(size=features.shape)
        w, v = (np.linalg.qr(rng.normal(size=(CLASSES, CLASSES)))[0][0] for _ in range(2))
        w, v = ((one - one.mean()) / np.linalg.norm(one - one.mean()) for one in (w, v))
        group = rng.integers(CLASSES, size=ROWS) if self.certain else None
        if group is not None:
            features[:, :CLASSES] += 6 * np.eye(CLASSES)[group]
        noise = 0.02 if self.certain else 1.0
        opinions = 1.2 * features[None, :, :CLASSES] + noise * rng.normal(size=(self.templates, ROWS, CLASSES))
        opinions[-1] += self.leak * np.outer(features[:, CLASSES], w)
        opinions += self.open * np.outer(factor - 0.5, w)
        past = self.direct * np.outer(features[:, CLASSES + 1], v)
        logits = opinions.mean(0) + past + (self.open + self.hidden) * np.outer(factor - 0.5, v)
        labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)
        levels = {"G": np.where(factor == 1, "on", "off")} if self.labelled else {}
        return audit_mediator(opinions, features, labels, levels, rng=rng)


WORLDS: Mapping[str, World] = {
    "valid": World(),
    "valid, hidden cause, labelled": World(hidden=2.0),
    "hidden cause, not labelled": World(hidden=2.0, labelled=False),
    "leak": World(leak=1.0, templates=2, violated=("leak", "template 2")),
    "leak, weak": World(leak=0.5, templates=2, violated=("leak", "template 2")),
    "direct path": World(direct=1.0, violated=("mediation",)),
    "direct path, weak": World(direct=0.5, violated=("mediation",)),
    "open second stage": World(open=2.5, violated=("leak", "second stage")),
    "open second stage, weak": World(open=1.25, violated=("leak", "second stage")),
    "S determined by X": World(certain=True, labelled=False, violated=("overlap",)),
}


def one_draw(name: str, draw: int) -> dict[str, str]:
    """The verdict on every question."""
    world = WORLDS[name]
    found = world.draw(np.random.default_rng([draw, 71]))
    verdicts = {"mediation": found.mediation.verdict, "overlap": found.overlap.verdict}
    if world.labelled:
        verdicts |= {"leak": found.leaks["G"].verdict, "second stage": found.second_stage["G"].verdict}
        verdicts |= {f"template {place}": one.verdict for place, one in enumerate(found.templates["G"], 1)}
    return verdicts


def read_draws(name: str) -> list[dict[str, str]]:
    """The draws of a world that are there."""
    kept = DRAWS_KEPT / f"{name}.jsonl"
    return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []


def draw_more(name: str, pool: ProcessPoolExecutor) -> None:
    """Draw what is missing, each on disk as soon as it is there."""
    DRAWS_KEPT.mkdir(parents=True, exist_ok=True)
    there = len(read_draws(name))
    with (DRAWS_KEPT / f"{name}.jsonl").open("a") as file:
        for verdicts in pool.map(one_draw, [name] * (DRAWS - there), range(there, DRAWS)):
            file.write(json.dumps(verdicts) + "\n")
            file.flush()


def shares(name: str, every: Sequence[Mapping[str, str]]) -> list[dict[str, object]]:
    """Shares of every verdict, with Wilson's intervals; and of any false alarm of a test."""
    world = WORLDS[name]
    rows: list[dict[str, object]] = []
    for question in (one for one in QUESTIONS if one in every[0]):
        said = [one[question] for one in every]
        rows.append(
            {
                "world": name,
                "question": question,
                "truth": "violated" if question in world.violated else "valid",
                **{verdict: _share([one == verdict for one in said]) for verdict in VERDICTS},
            }
        )
    innocent = [question for question in every[0] if question not in world.violated and question != "overlap"]
    alarms = [any(one[question] == "violated" for question in innocent) for one in every]
    return [*rows, {"world": name, "question": "any false alarm", "truth": "valid", "violated": _share(alarms)}]


def _share(hits: Sequence[bool]) -> dict[str, float]:
    interval = wilson(float(np.mean(hits)), len(hits))
    return {"share": interval.value, "low": interval.low, "high": interval.high}


def main(wanted: Sequence[str], *, smoke: bool, workers: int) -> None:
    """Draw what is wanted and not there yet; the result holds the worlds that are complete."""
    with ProcessPoolExecutor(workers) as pool:
        for name in wanted:
            if smoke:
                print(json.dumps(shares(name, [*pool.map(one_draw, [name] * 2, range(2))])))
            else:
                draw_more(name, pool)
                print(name, flush=True)
    if not smoke:
        write_json(RESULTS, collect())


def collect() -> dict[str, object]:
    """The rows of every world and where they come from: its draws if all are here, else as they were written before."""
    before: dict[str, Any] = json.loads(RESULTS.read_text())
    rows: list[dict[str, object]] = []
    provenance = before["provenance"]
    for name in WORLDS:
        every = read_draws(name)
        if len(every) == DRAWS:
            rows += shares(name, every)
            provenance[name] = cdc.provenance()
        else:
            rows += [row for row in before["worlds"] if row["world"] == name]
    return {"draws": DRAWS, "rows": ROWS, "worlds": rows, "provenance": provenance}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worlds", nargs="*", help=f"of {', '.join(WORLDS)}; all by default")
    parser.add_argument("--smoke", action="store_true", help="two draws of each, nothing written")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    arguments = parser.parse_args()
    main(arguments.worlds or list(WORLDS), smoke=arguments.smoke, workers=arguments.workers)
