"""Does anything go wrong in silence? Worlds that break common estimators, with the default estimator unless named.

A miss is silent if the interval misses the truth and the estimate came without a warning; refuters are not asked, so
that the share is an upper bound. Every world is a few lines of structural equations; its truth comes from setting the
treatment in them, never from an estimator.

Run:    OMP_NUM_THREADS=1 python analyses/hard_worlds.py [WORLD ...]  (an hour on 2 cores; finished worlds are kept)
        OMP_NUM_THREADS=1 python analyses/hard_worlds.py --smoke      (two runs of each, writes nothing)
Expect: coverage of 0.93 to 0.97 where nothing was refused or warned; silent misses below 7 % in every world and below
        5.5 % over all.
Writes: analyses/results/hard_worlds.json; `analyses/tables.py` puts it into docs/acceptance.md.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

import causalvlm
import cdc
from causalvlm.errors import OverlapError
from causalvlm.identification.estimands import BackDoor, Estimand, FrontDoor, Instrument, Mediation
from cdc.files import write_json

RESULTS = Path(__file__).parent / "results" / "hard_worlds.json"
ROWS = Path("out/hard_worlds")
RUNS, TRUTH_ROWS, TRUTH_PARTS = 500, 100_000, 40

Vector = Float[np.ndarray, " rows"]
Draw = Callable[[np.random.Generator, int, float | None], pd.DataFrame]
"""Rows of a world; the treatment is set for all if a value is given. The same generator gives the same noise."""


@dataclass(frozen=True)
class World:
    """A world, and the question that is asked in it."""

    draw: Draw
    rows: int
    estimand: Estimand
    runs: int = RUNS
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    known: float | None = None

    def truth(self) -> float:
        """E[Y | do(1)] - E[Y | do(0)], on the same noise, or what is known of a part of it."""
        if self.known is not None:
            return self.known
        parts = []
        for part in range(TRUTH_PARTS):
            set_to = [self.draw(np.random.default_rng([part, 31]), TRUTH_ROWS, value).Y.mean() for value in (1.0, 0.0)]
            parts.append(set_to[0] - set_to[1])
        return float(np.mean(parts))


def chosen(rng: np.random.Generator, logits: Vector, do: float | None) -> Vector:
    """A binary treatment by its log-odds, unless it is set."""
    drawn = (rng.random(len(logits)) < 1 / (1 + np.exp(-logits))).astype(float)
    return drawn if do is None else np.full(len(logits), do)


def amount(drawn: Vector, do: float | None) -> Vector:
    """A continuous treatment, unless it is set."""
    return drawn if do is None else np.full(len(drawn), do)


def vector(x: Vector, s: Float[np.ndarray, "rows dim"], y: Vector, name: str = "S") -> pd.DataFrame:
    """A table with one vector in columns S0, S1, ..."""
    columns = {f"{name}{place}": column for place, column in enumerate(s.T)}
    return pd.DataFrame({"X": x.astype(int) if set(np.unique(x)) <= {0.0, 1.0} else x, **columns, "Y": y})


def names(dim: int, name: str = "S") -> dict[str, list[str]]:
    """The columns of a vector."""
    return {name: [f"{name}{place}" for place in range(dim)]}


FRONT = FrontDoor("X", "Y", ("S",))
BACK = BackDoor("X", "Y", ("Z",))


def ring(dim: int) -> Draw:
    """Front door: the treatment spreads a vector out in half of its directions, and the outcome answers to its norm."""

    def draw(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
        u = rng.normal(size=rows)
        x = chosen(rng, 0.8 * u, do)
        scale = np.where(np.arange(dim) % 2 == 0, 0.25, 0.0)
        s = rng.normal(size=(rows, dim)) * (1 + x[:, None] * scale) + 0.3 * x[:, None] / np.sqrt(dim)
        return vector(x, s, np.sqrt((s**2).sum(1)) + u + rng.normal(size=rows))

    return draw


def threshold(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Front door, d = 8: the outcome jumps where two coordinates are large together."""
    u = rng.normal(size=rows)
    x = chosen(rng, u - 0.3, do)
    s = rng.normal(size=(rows, 8)) + 0.6 * x[:, None] * (np.arange(8) < 3)
    return vector(x, s, 3.0 * ((s[:, 0] > 0.5) & (s[:, 1] > 0)) + u + rng.normal(size=rows))


def heavy(dim: int) -> Draw:
    """Front door: noise of outcome and vector with three to five degrees of freedom."""

    def draw(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
        u = rng.normal(size=rows)
        x = chosen(rng, u, do)
        s = rng.standard_t(5, size=(rows, dim)) + 0.7 * x[:, None] * (np.arange(dim) < 4)
        return vector(x, s, s @ (0.5 * (np.arange(dim) < 4)) + u + rng.standard_t(3, size=rows))

    return draw


def answers(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Front door, d = 16: a yes-or-no outcome, logistic in the vector and the hidden cause."""
    u = rng.normal(size=rows)
    x = chosen(rng, u, do)
    s = rng.normal(size=(rows, 16)) + 0.8 * x[:, None] * (np.arange(16) < 4)
    return vector(x, s, (rng.random(rows) < 1 / (1 + np.exp(-(s[:, :4].sum(1) * 0.6 + u - 1)))).astype(float))


def saturating(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Front door, continuous treatment: the mediator saturates."""
    u = rng.normal(size=rows)
    x = amount(u + rng.normal(size=rows), do)
    s = 2.0 * np.tanh(x) + 0.5 * rng.normal(size=rows)
    return pd.DataFrame({"X": x, "S": s, "Y": s + u + rng.normal(size=rows)})


def straight(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Front door, continuous treatment, all lines; the noise grows with the treatment."""
    u = rng.normal(size=rows)
    x = amount(u + rng.normal(size=rows), do)
    s = 0.8 * x + (0.5 + 0.5 * np.abs(x)) * rng.normal(size=rows)
    return pd.DataFrame({"X": x, "S": s, "Y": s + u + rng.normal(size=rows)})


def checkerboard(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Back door: treatment and outcome follow the signs of two covariates, multiplied."""
    z = rng.normal(size=(rows, 2))
    sign = np.sign(z[:, 0] * z[:, 1])
    x = chosen(rng, 1.2 * sign, do)
    return vector(x, z, x + 2 * sign + rng.normal(size=rows), "Z")


def waves(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Back door: everything follows a wave of one covariate, and the effect differs along it."""
    z = rng.uniform(-3, 3, size=(rows, 1))
    wave = np.sin(2 * z[:, 0])
    x = chosen(rng, 1.5 * wave, do)
    return vector(x, z, x * (1 + 0.5 * wave) + 3 * wave + rng.normal(size=rows), "Z")


def sine_and_step(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Back door: treatment and outcome follow the same sine of one covariate and the same step of another."""
    z = rng.normal(size=(rows, 2))
    cause = np.sin(3 * z[:, 0]) + 1.5 * (z[:, 1] > 0.5)
    x = chosen(rng, 1.2 * cause, do)
    return vector(x, z, x + 1.5 * cause + rng.normal(size=rows), "Z")


def rare(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Back door: 4 % are treated, by ten covariates of which three count."""
    z = rng.normal(size=(rows, 10))
    x = chosen(rng, -3.7 + 0.8 * z[:, 0] + 0.5 * z[:, 1], do)
    return vector(x, z, x + z[:, 0] + z[:, 1] ** 2 + z[:, 2] + rng.normal(size=rows), "Z")


def incomes(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Back door: a log-normal covariate, an outcome with heavy tails and noise that grows with the covariate."""
    z = np.exp(rng.normal(size=rows))
    x = chosen(rng, np.log(z), do)
    return vector(x, z[:, None], x + 2 * np.sqrt(z) + np.sqrt(z) * rng.standard_t(4, size=rows), "Z")


def sparse(dim: int) -> Draw:
    """Back door: many covariates, four of which confound, one of them by its square."""

    def draw(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
        z = rng.normal(size=(rows, dim))
        x = chosen(rng, 0.6 * z[:, 0] - 0.4 * z[:, 1] + 0.5 * (z[:, 3] ** 2 - 1), do)
        return vector(x, z, x + z[:, 0] + z[:, 1] + 0.7 * z[:, 2] + z[:, 3] ** 2 + rng.normal(size=rows), "Z")

    return draw


def bent(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Back door, continuous treatment: the covariate acts through an exponential on both, the treatment by a line."""
    z = rng.normal(size=rows)
    x = amount(np.exp(0.5 * z) + rng.normal(size=rows), do)
    return pd.DataFrame({"X": x, "Z": z, "Y": x + 2 * np.exp(0.5 * z) + rng.normal(size=rows)})


def dose(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Back door, continuous treatment: the answer to the dose bends."""
    z = rng.normal(size=rows)
    x = amount(0.8 * z + rng.normal(size=rows), do)
    return pd.DataFrame({"X": x, "Z": z, "Y": np.sin(1.5 * x) + z + rng.normal(size=rows)})


def bits(rng: np.random.Generator, probability: Vector) -> Vector:
    """Yes or no."""
    return (rng.random(len(probability)) < probability).astype(float)


def napkin(strength: float) -> Draw:
    """Neither door: W -> Z -> X -> Y, hidden causes of W and X and of W and Y."""

    def draw(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
        a, b = bits(rng, np.full(rows, 0.5)), bits(rng, np.full(rows, 0.5))
        w = bits(rng, 0.1 + 0.4 * a + 0.4 * b)
        z = bits(rng, 0.5 + strength * (w - 0.5))
        x = bits(rng, 0.1 + 0.3 * z + 0.5 * a)
        x = x if do is None else np.full(rows, do)
        y = bits(rng, 0.1 + 0.3 * x + 0.5 * b)
        return pd.DataFrame({"W": w, "Z": z, "X": x, "Y": y}).astype(int)

    return draw


def verma(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Neither door: A -> B -> X -> Y and A -> X, a hidden cause of B and Y."""
    u = bits(rng, np.full(rows, 0.5))
    a = bits(rng, np.full(rows, 0.5))
    b = bits(rng, 0.1 + 0.3 * a + 0.5 * u)
    x = bits(rng, 0.2 + 0.4 * b + 0.2 * a)
    x = x if do is None else np.full(rows, do)
    y = bits(rng, 0.1 + 0.3 * x + 0.5 * u)
    return pd.DataFrame({"A": a, "B": b, "X": x, "Y": y}).astype(int)


def pushed(strength: float) -> Draw:
    """Instrument: it moves a treatment that a hidden cause confounds."""

    def draw(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
        z, u = rng.normal(size=(2, rows))
        x = amount(strength * z + u + rng.normal(size=rows), do)
        return pd.DataFrame({"Z": z, "X": x, "Y": x + 2 * u + rng.normal(size=rows)})

    return draw


def assigned(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Instrument: half of the units follow their assignment, the others a hidden cause; one covariate moves both."""
    w, u = rng.normal(size=(2, rows))
    z = bits(rng, 1 / (1 + np.exp(-w)))
    x = np.where(rng.random(rows) < 0.5, z, u > 0.3)
    x = x if do is None else np.full(rows, do)
    y = x + 2 * u + w**2 + rng.normal(size=rows)
    return pd.DataFrame({"W": w, "Z": z.astype(int), "X": x.astype(int), "Y": y})


def passed_on(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Mediation: lines; three of the effect go past the mediator, two through it."""
    c = rng.normal(size=rows)
    x = chosen(rng, c, do)
    s = x + 0.5 * c + rng.normal(size=rows)
    return pd.DataFrame({"C": c, "X": x.astype(int), "S": s, "Y": 2 * s + 3 * x + c + rng.normal(size=rows)})


def passed_on_bent(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Mediation: all of the effect goes through the mediator, whose square counts."""
    c = rng.normal(size=rows)
    x = chosen(rng, c, do)
    s = x + 0.5 * c + rng.normal(size=rows)
    return pd.DataFrame({"C": c, "X": x.astype(int), "S": s, "Y": s**2 + c + rng.normal(size=rows)})


def parabola(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Front door, continuous treatment: the mediator bends with the square of the treatment."""
    u = rng.normal(size=rows)
    x = amount(u + rng.normal(size=rows), do)
    s = x + 0.6 * x**2 + rng.normal(size=rows)
    return pd.DataFrame({"X": x, "S": s, "Y": s + u + rng.normal(size=rows)})


def swell(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Front door, continuous treatment: a wave that a covariate tilts, an outcome with a product of mediator and U."""
    u, c = rng.normal(size=(2, rows))
    x = amount(u + 0.7 * c + rng.normal(size=rows), do)
    s = np.sin(x) + 0.5 * c + 0.3 * c * x + rng.normal(size=rows)
    return pd.DataFrame({"X": x, "C": c, "S": s, "Y": s + 0.5 * s * u + u + c + rng.normal(size=rows)})


def tight(rng: np.random.Generator, rows: int, do: float | None) -> pd.DataFrame:
    """Front door, continuous treatment: the mediator nearly repeats it, and little is left to compare."""
    u = rng.normal(size=rows)
    x = amount(u + rng.normal(size=rows), do)
    s = x + 0.4 * rng.normal(size=rows)
    return pd.DataFrame({"X": x, "S": s, "Y": s + u + rng.normal(size=rows)})


def identified(text: str) -> Estimand:
    """What `identify` says of the effect of X on Y."""
    return causalvlm.identify(causalvlm.CausalGraph(text), treatment="X", outcome="Y")


NAPKIN = identified("W -> Z -> X -> Y; W <-> X; W <-> Y")
VERMA = identified("A -> B -> X -> Y; A -> X; B <-> Y; X <-> A")
DOSE = {"estimator": "dose-response"}
MOVED, THROUGH = Instrument("X", "Y", "Z"), Mediation("X", "Y", ("S",), ("C",))

WORLDS: Mapping[str, World] = {
    "front, ring, d = 16": World(ring(16), 4000, FRONT, 200, names(16)),
    "front, ring, d = 64": World(ring(64), 5000, FRONT, 200, names(64)),
    "front, threshold, d = 8": World(threshold, 3000, FRONT, 200, names(8)),
    "front, heavy tails, d = 16": World(heavy(16), 2000, FRONT, columns=names(16)),
    "front, heavy tails, d = 256": World(heavy(256), 5000, FRONT, 200, names(256)),
    "front, yes or no, d = 16": World(answers, 3000, FRONT, 2000, names(16)),  # cheap, and close to the limit
    "front, amounts, saturating": World(saturating, 2000, FRONT),
    "front, amounts, unequal spread": World(straight, 2000, FRONT),
    "back, checkerboard": World(checkerboard, 3000, BACK, 200, names(2, "Z")),
    "back, waves": World(waves, 2000, BACK, 200, names(1, "Z")),
    "back, sine and step": World(sine_and_step, 2000, BACK, 200, names(2, "Z")),
    "back, rare treatment": World(rare, 5000, BACK, 200, names(10, "Z")),
    "back, heavy tails": World(incomes, 3000, BACK, 200, names(1, "Z")),
    "back, sparse, d = 64": World(sparse(64), 4000, BACK, 200, names(64, "Z")),
    "back, amounts, exponential": World(bent, 2000, BACK),
    "back, amounts, bent dose": World(dose, 2000, BACK),
    "back, amounts, bent dose, curve": World(dose, 2000, BACK, 200, options=DOSE),
    "napkin": World(napkin(0.8), 1000, NAPKIN),
    "napkin, weak": World(napkin(0.3), 1000, NAPKIN),
    "Verma's graph": World(verma, 1000, VERMA),
    "instrument, strong": World(pushed(0.5), 1000, MOVED),
    "instrument, weak": World(pushed(0.12), 1000, MOVED),
    "instrument, two levels": World(assigned, 2000, Instrument("X", "Y", "Z", ("W",)), 200),
    "mediation": World(passed_on, 500, THROUGH, known=2.0),
    "mediation, bent": World(passed_on_bent, 500, THROUGH),
    "front, amounts, parabola, curve": World(parabola, 2000, FRONT, 100, options=DOSE),
    "front, amounts, wave given C, curve": World(
        swell, 2000, FrontDoor("X", "Y", ("S",), ("C",)), 100, options=DOSE, known=float(np.sin(1.0))
    ),
    "front, amounts, saturating, curve": World(saturating, 2000, FRONT, 100, options=DOSE),
    "front, amounts, tight, curve": World(tight, 2000, FRONT, 100, options=DOSE),
}


def one_run(name: str, run: int) -> tuple[str, float, float, float, tuple[str, ...]]:
    """How a run ended, the estimate with its interval, and the warnings."""
    world, rng = WORLDS[name], np.random.default_rng([run, 30])
    table = world.draw(rng, world.rows, None)
    try:
        effect = causalvlm.estimate_effect(table, world.estimand, rng=rng, columns=world.columns, **world.options)
    except OverlapError as refusal:
        return "refused", np.nan, np.nan, np.nan, (str(refusal),)
    return effect.estimator, effect.value, effect.low, effect.high, effect.warnings


def measure(name: str, runs: int, pool: ProcessPoolExecutor) -> dict[str, object]:
    """Counts over the runs of a world."""
    world, truth, started = WORLDS[name], WORLDS[name].truth(), time.perf_counter()
    ends, values, lows, highs, warnings = zip(*pool.map(one_run, [name] * runs, range(runs)), strict=True)
    refused = np.array(ends) == "refused"
    warned = np.array([bool(found) for found in warnings]) & ~refused
    inside = (np.array(lows) <= truth) & (truth <= np.array(highs))
    silent = ~refused & ~warned
    said: dict[str, int] = {}
    for found in warnings:
        for warning in found:
            said[_gist(warning)] = said.get(_gist(warning), 0) + 1
    return {
        "world": name,
        "estimators": sorted(set(ends) - {"refused"}),
        "rows": world.rows,
        "runs": runs,
        "truth": truth,
        "mean": float(np.nanmean(values)) if not refused.all() else None,
        "covered": float(inside[~refused].mean()) if not refused.all() else None,
        "covered_in_silence": float(inside[silent].mean()) if silent.any() else None,
        "refused": float(refused.mean()),
        "warned": float(warned.mean()),
        "silent_misses": float((silent & ~inside).mean()),
        "said": said,
        "seconds_per_run": (time.perf_counter() - started) / runs,
    }


def _gist(warning: str) -> str:
    """The words before the first number, by which alike warnings are counted."""
    words = warning.split()
    numbers = (place for place, word in enumerate(words) if any(letter.isdigit() for letter in word))
    return " ".join(words[: next(numbers, len(words))][:12])


def main(wanted: Sequence[str], *, smoke: bool) -> None:
    """Measure what is wanted and not there yet; the result holds the worlds that are there."""
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        for name in wanted:
            kept = ROWS / f"{name}.json"
            if not smoke and kept.exists():
                continue
            row = measure(name, 2 if smoke else WORLDS[name].runs, pool)
            print(json.dumps(row), flush=True)
            if not smoke:
                ROWS.mkdir(parents=True, exist_ok=True)
                write_json(kept, {**row, "provenance": cdc.provenance()})
    if not smoke:
        finished = [ROWS / f"{name}.json" for name in WORLDS if (ROWS / f"{name}.json").exists()]
        write_json(RESULTS, {"worlds": [json.loads(path.read_text()) for path in finished]})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worlds", nargs="*", help=f"of {', '.join(WORLDS)}; all by default")
    parser.add_argument("--smoke", action="store_true", help="two runs of each, nothing written")
    arguments = parser.parse_args()
    main(arguments.worlds or list(WORLDS), smoke=arguments.smoke)
