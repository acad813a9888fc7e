"""Do edits of pictures say what drawing them again says? Both of the same pictures, where Picto has the factor.

A picture is drawn with a factor at its reference and at another level. The first is then edited until it measures what
the second does (its noise, sharpness, brightness, hue, as a diagnosis sets them), and a model is
asked about all three. What an edit should show is what drawing again does.

Run:    OMP_NUM_THREADS=1 python analyses/edits.py            (about 5 minutes on one core)
        OMP_NUM_THREADS=1 python analyses/edits.py --smoke    (a few pictures, writes nothing)
Expect: the same sign wherever both are certain; edits of detail that are weaker or stronger than the true change,
        because equal measurements do not make equal pictures.
Writes: analyses/results/edits.json; `analyses/tables.py` puts it into docs/diagnosis.md.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

import cdc
from causalvlm.embeddings.model import Model, model_of
from causalvlm.embeddings.table import logit_margins
from causalvlm.intervals import mean_shift, paired_shares
from causalvlm.probes.edits import measure, set_factor
from causalvlm.worlds.picto.collections import collection
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.reader import read_with
from causalvlm.worlds.picto.scm import PictoWorld
from cdc.files import write_json

RESULT = Path(__file__).parent / "results" / "edits.json"
COLLECTION, PICTURES, BLOCK, SEED = "vehicles", 1000, 100, 5
PAIRS = (
    ("quality", "blurred", "sharpness"),
    ("quality", "noisy", "noise"),
    ("tint", "dark", "brightness"),
    ("tint", "warm", "dominant hue"),
    ("tint", "cool", "dominant hue"),
)
"""A factor of Picto, the level that its first one is changed to, and what is measured and edited instead.

Picto's grey style is none: it greys the pictogram alone, an edit the whole picture.
"""


def edit(before: Image.Image, after: Image.Image, name: str, rng: np.random.Generator) -> Image.Image:
    """The first picture, edited until it measures what the second does, as near as it can be brought."""
    return set_factor(name, before, now=measure(name, before), target=measure(name, after), rng=rng)[0]


def answer(model: Model, pictures: list[Image.Image]) -> Float[np.ndarray, "rows classes"]:
    """Log-probabilities of the concepts, a block of pictures at a time."""
    starts = range(0, len(pictures), BLOCK)
    return np.concatenate([model.answer(pictures[start : start + BLOCK]) for start in starts]).astype(np.float64)


def compare(backbone: str, pictures: int) -> list[dict[str, object]]:
    """A row for every pair of a factor and an edit."""
    chosen = collection(COLLECTION)
    reader = read_with(cdc.load_backbone(backbone), chosen.concepts, template=chosen.template)
    model = model_of(reader.adapter, reader.class_names)
    world = PictoWorld((COLLECTION,), "downstream")
    sample = world.sample(pictures, rng=np.random.default_rng(SEED))
    size = reader.adapter.backbone.preprocess(Image.new("RGB", (64, 64))).shape[-1]
    rows: list[dict[str, object]] = []
    for factor, level, measured in PAIRS:
        reference = FACTORS[factor][0]
        drawn = [sample.intervene({factor: one}).render(size=size) for one in (reference, level)]
        before, after = ([Image.fromarray(one) for one in part.permute(0, 2, 3, 1).numpy()] for part in drawn)
        rng = np.random.default_rng(SEED)
        edited = [edit(*pair, measured, rng) for pair in zip(before, after, strict=True)]
        said = [answer(model, part) for part in (before, after, edited)]
        was, drawn_again, changed = (one.argmax(1) for one in said)
        base, true, made = (logit_margins(one, sample.labels) for one in said)
        rows.append(
            {
                "backbone": backbone,
                "factor": factor,
                "reference": reference,
                "level": level,
                "edit": measured,
                "accuracy": {
                    "drawn_again": asdict(paired_shares(drawn_again == sample.labels, was == sample.labels)),
                    "edited": asdict(paired_shares(changed == sample.labels, was == sample.labels)),
                    "difference": asdict(paired_shares(changed == sample.labels, drawn_again == sample.labels)),
                },
                "margin": {
                    "drawn_again": asdict(mean_shift(true - base)),
                    "edited": asdict(mean_shift(made - base)),
                    "correlation": float(np.corrcoef(true - base, made - base)[0, 1]),
                },
                "same_answer": float((changed == drawn_again).mean()),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main(*, smoke: bool) -> None:
    """Both bundled models."""
    pictures = 20 if smoke else PICTURES
    rows = [row for name in ("picto", "picto-unconfounded") for row in compare(name, pictures)]
    if not smoke:
        settings = {"collection": COLLECTION, "pictures": PICTURES, "seed": SEED}
        write_json(RESULT, {"settings": settings, "rows": rows, "provenance": cdc.provenance()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few pictures, nothing written")
    main(smoke=parser.parse_args().smoke)
