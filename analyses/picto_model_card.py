"""Figures of the bundled models' cards: zero-shot accuracy of `picto` and its twin, at home and away.

    python analyses/picto_model_card.py            2,000 pictures per collection and regime, 5 minutes on 2 cores
    python analyses/picto_model_card.py --smoke    seconds: two collections, 40 pictures each, nothing written

Each of the eleven collections is a task: its class names in its hand-crafted template, pictures drawn in four regimes.
In `pretraining` a concept has the background and style that it had when `picto` was trained, in `shifted` those of
others, in `downstream` a mixture, and in `unconfounded` any. Both models see the same pictures. Intervals are over
pictures, for these eleven collections; the standard deviation is over collections.

Writes analyses/results/picto_model_card.json and the tables of the model cards beside the weights.

Expected: `picto` at 70 percent or more in `pretraining` and far lower in `shifted`; no such fall of the twin.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

import cdc
from causalvlm.intervals import balanced_share, difference_of_means, difference_of_shares
from causalvlm.worlds.picto.collections import all_collections
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.reader import PictoReader, read_with
from causalvlm.worlds.picto.scm import PictoSample, PictoWorld, Regime
from cdc.files import write_json

RESULT = Path(__file__).parent / "results" / "picto_model_card.json"
MODELS = ("picto", "picto-unconfounded")
REGIMES: dict[str, tuple[Regime, float | None]] = {
    "pretraining": ("pretraining", None),
    "downstream": ("downstream", None),
    "shifted": ("shifted", None),
    "unconfounded": ("pretraining", 0.0),
}
"""Name in the result: regime and strength of Picto."""

BY_LEVEL = ("style", "background")
"""Factors whose levels are told apart, in the regime where they go with nothing else."""

PICTURES = 2000
"""Per collection and regime."""

SEED = 0
GOAL = 0.7

Right = Bool[np.ndarray, " rows"]
Cells = dict[str, dict[str, list[Right]]]
"""For each model and regime, which pictures of each collection were told right."""


def draw(collections: Sequence[str], pictures: int) -> dict[str, list[PictoSample]]:
    """The pictures of each regime, one sample per collection."""
    return {
        regime: [
            PictoWorld((name,), regime=base, strength=strength).sample(
                pictures, rng=np.random.default_rng([SEED, number, index])
            )
            for index, name in enumerate(collections)
        ]
        for number, (regime, (base, strength)) in enumerate(REGIMES.items())
    }


def ask(samples: dict[str, list[PictoSample]], collections: Sequence[str]) -> Cells:
    """Let every model read every picture."""
    cells: Cells = {model: {regime: [] for regime in samples} for model in MODELS}
    for model in MODELS:
        backbone = cdc.load_backbone(model)
        for index, name in enumerate(collections):
            entry = all_collections()[name]
            reader: PictoReader = read_with(backbone, entry.concepts, template=entry.template)
            for regime, parts in samples.items():
                cells[model][regime].append(reader.correct(parts[index]))
            print(f"{model}: {name} done", flush=True)
    return cells


def summarise(right: list[Right], collections: Sequence[str]) -> dict[str, Any]:
    """Mean over collections with its interval, and what it is a mean of."""
    shares = [float(cell.mean()) for cell in right]
    return {
        **asdict(balanced_share(_floats(right))),
        "std": float(np.std(shares, ddof=1)),
        "collections": dict(zip(collections, shares, strict=True)),
    }


def drop(cells: dict[str, list[Right]]) -> dict[str, float]:
    """Accuracy in `pretraining` less that in `shifted`."""
    before, after = _floats(cells["pretraining"]), _floats(cells["shifted"])
    by_collection = [b.mean() - a.mean() for b, a in zip(before, after, strict=True)]
    return {**asdict(difference_of_shares(before, after)), "std": float(np.std(by_collection, ddof=1))}


def difference_of_drops(cells: Cells) -> dict[str, float]:
    """By how much the first model's drop exceeds the second's; both saw the same pictures."""
    one, other = (cells[model] for model in MODELS)
    ahead = {
        regime: [a - b for a, b in zip(_floats(one[regime]), _floats(other[regime]), strict=True)]
        for regime in ("pretraining", "shifted")
    }
    return asdict(difference_of_means(ahead["pretraining"], ahead["shifted"]))


def by_level(right: list[Right], parts: list[PictoSample], factor: str) -> dict[str, dict[str, float]]:
    """Accuracy at each level of a factor, collections weighing alike."""
    rows: dict[str, dict[str, float]] = {}
    for code, level in enumerate(FACTORS[factor]):
        chosen = [cell[part.levels[factor] == code] for cell, part in zip(right, parts, strict=True)]
        seen = _floats([cell for cell in chosen if len(cell)])
        if seen:
            rows[level] = {**asdict(balanced_share(seen)), "n": sum(map(len, seen))}
    return rows


def _floats(right: list[Right]) -> list[Float[np.ndarray, " _"]]:
    return [cell.astype(float) for cell in right]


def measure(collections: Sequence[str], pictures: int) -> dict[str, Any]:
    """All figures of both cards."""
    samples = draw(collections, pictures)
    cells = ask(samples, collections)
    models = {
        model: {
            "fingerprint": cdc.load_backbone(model).fingerprint,
            "zero_shot": {regime: summarise(right, collections) for regime, right in cells[model].items()},
            "drop": drop(cells[model]),
            "levels": {
                factor: by_level(cells[model]["unconfounded"], samples["unconfounded"], factor) for factor in BY_LEVEL
            },
        }
        for model in MODELS
    }
    return {
        "pictures": pictures,
        "seed": SEED,
        "classes": {name: len(all_collections()[name].concepts) for name in collections},
        "strength": {
            regime: PictoWorld(regime=base, strength=strength).confounding
            for regime, (base, strength) in REGIMES.items()
        },
        "models": models,
        "difference_of_drops": difference_of_drops(cells),
    }


def report(result: dict[str, Any]) -> None:
    """Print the means and how they compare with what is expected."""
    for model, row in result["models"].items():
        means = "  ".join(f"{regime} {100 * cell['value']:.1f}" for regime, cell in row["zero_shot"].items())
        print(f"{model:<19} {means}  drop {100 * row['drop']['value']:.1f}")
    reached = result["models"][MODELS[0]]["zero_shot"]["pretraining"]["value"]
    print(f"goal in pretraining: {100 * GOAL:.0f}; {MODELS[0]} has {100 * reached:.1f}")


def main(*, smoke: bool) -> None:
    """Measure, report, and write the result and the cards."""
    collections = tuple(all_collections())
    if smoke:
        report(measure(collections[:2], 40))
        return
    result = measure(collections, PICTURES)
    report(result)
    write_json(RESULT, {**result, "provenance": cdc.provenance()})
    import tables  # the script beside this one

    tables.main()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two collections, few pictures, nothing written")
    main(smoke=parser.parse_args().smoke)
