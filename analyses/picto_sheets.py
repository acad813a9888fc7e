"""What Picto looks like: contact sheets of its concepts, factors, regimes and counterfactuals, and how fast it draws.

Run:     python analyses/picto_sheets.py            (a minute on 2 cores; --smoke: seconds, writes nothing)
Writes:  docs/figures/picto_collections.png, picto_factors.png, picto_regimes.png, picto_counterfactuals.png, and
         analyses/results/picto_renderer.json with the pictures per second
Expect:  2,000 pictures a second or more on two cores that do nothing else; the JSON file says how busy they were.
"""

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import cdc
from causalvlm.worlds.picto.assets import ATTRIBUTION
from causalvlm.worlds.picto.collections import all_collections
from causalvlm.worlds.picto.datasets import Plan, draw_balanced
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.scene import plain_scenes, render
from causalvlm.worlds.picto.scm import PictoWorld, Regime
from cdc.files import write_json

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "figures"
RESULT = ROOT / "analyses" / "results" / "picto_renderer.json"
TILE, GAP, MARGIN = 72, 4, 12
GREY, DARK = (110, 110, 110), (30, 30, 30)
REGIMES: dict[Regime, str] = {
    "pretraining": "what the model was trained on: a concept nearly always comes with the habits of its source",
    "downstream": "a collection as one would gather it: other habits, and weaker ones",
    "shifted": "what a confounded model gets wrong: concepts nearly always meet the habits of others",
}
SHOWN = ("dog", "horse", "fox", "monkey")  # of four sources
INTERVENTIONS: Sequence[tuple[str, str]] = (
    ("background", "checked"),
    ("background_colour", "blue"),
    ("style", "line"),
    ("tint", "warm"),
    ("rotation", "upside down"),
    ("clutter", "much"),
    ("quality", "noisy"),
    ("concept", "panda"),
)


@dataclass(frozen=True)
class Row:
    """Pictures beside each other.

    Attributes:
        label: what stands to their left.
        pictures: one per column.
        captions: what stands below each; none for no captions.
        heading: opens a block of rows.
        remark: goes on with the heading, less loud.
    """

    label: str
    pictures: UInt8[Tensor, "_ 3 _ _"]
    captions: Sequence[str] = ()
    heading: str = ""
    remark: str = ""


def main(*, smoke: bool) -> None:
    """Draw the sheets and measure the speed."""
    count = 3 if smoke else 12
    sheets = {
        "collections": draw_sheet(collection_rows(count), label_width=112),
        "factors": draw_sheet(factor_rows("dog"), label_width=112),
        "regimes": draw_sheet(regime_rows(count), label_width=72),
        "counterfactuals": draw_sheet(counterfactual_rows(min(count, 10)), label_width=152),
    }
    load = os.getloadavg()[0]  # threads that want a core, ours among them
    pictures, repeats = (128, 2) if smoke else (1024, 5)
    speed = {f"threads_{threads}": measure_speed(threads, pictures, repeats) for threads in (1, 2)}
    for name, rates in speed.items():
        print(name, {rate: round(value) for rate, value in rates.items()})
    if smoke:
        return
    for name, sheet in sheets.items():
        # 256 colours keep the file small; the eye does not miss the others at this size.
        sheet.quantize(256).save(FIGURES / f"picto_{name}.png", optimize=True)
    settings = {"pictures": pictures, "repeats": repeats, "size": 64, "cores": os.cpu_count(), "load": load}
    write_json(RESULT, {"pictures_per_second": speed, **settings, "provenance": cdc.provenance("cpu")})


def collection_rows(count: int) -> list[Row]:
    """Concepts at even steps through each collection (with names that fit), every factor at its first level."""
    rows: list[Row] = []
    for entry in all_collections().values():
        short = [name for name in entry.concepts if ImageFont.load_default(11).getlength(name) <= TILE]
        concepts = [short[step] for step in np.linspace(0, len(short) - 1, count).round().astype(int)]
        rows.append(Row(f"{entry.name}\n{len(entry.concepts)} concepts", render_tiles(concepts), concepts))
    return rows


def render_tiles(concepts: list[str]) -> UInt8[Tensor, "_ 3 _ _"]:
    """Plain pictures of concepts."""
    return render(plain_scenes(concepts), size=TILE)


def factor_rows(concept: str) -> list[Row]:
    """Every level of every factor on one concept, all else plain."""
    rows: list[Row] = []
    for factor, levels in FACTORS.items():
        plain = plain_scenes([concept])
        if factor == "position":
            plain = plain.with_level("scale", "small")  # a large pictogram has no room to move
        pictures = [render(plain.with_level(factor, level), size=TILE) for level in levels]
        rows.append(Row(factor.replace("_", "\n"), torch.cat(pictures), levels))
    return rows


def regime_rows(count: int) -> list[Row]:
    """The first pictures that each regime happens to have of a few concepts."""
    rows: list[Row] = []
    for regime, remark in REGIMES.items():
        world = PictoWorld(("mammals",), regime=regime)
        pictures = draw_balanced(Plan(regime, world, {}), count, do={}, rng=np.random.default_rng(0)).render(size=TILE)
        for concept in SHOWN:
            first = world.concepts.index(concept) * count
            heading = f"{regime} (strength {world.confounding:g})" if concept == SHOWN[0] else ""
            rows.append(Row(concept, pictures[first : first + count], heading=heading, remark=remark))
    return rows


def counterfactual_rows(count: int) -> list[Row]:
    """Pictures as drawn, and the same ones had a factor been another."""
    seen = PictoWorld(regime="downstream").sample(count, rng=np.random.default_rng(2))
    rows = [Row("as drawn", seen.render(size=TILE), seen.table()["concept"].tolist())]
    for factor, level in INTERVENTIONS:
        changed = seen.intervene({factor: level})
        rows.append(Row(f"do({factor.replace('_', ' ')}\n= {level})", changed.render(size=TILE)))
    return rows


def draw_sheet(rows: list[Row], *, label_width: int) -> Image.Image:
    """Lay rows below each other: headings, labels to the left, captions below, the attribution at the end."""
    columns = max(len(row.pictures) for row in rows)
    width = 2 * MARGIN + label_width + columns * (TILE + GAP)
    heights = [(24 if row.heading else 0) + TILE + (17 if row.captions else GAP) for row in rows]
    sheet = Image.new("RGB", (width, 2 * MARGIN + sum(heights) + 16), "white")
    pen, top = ImageDraw.Draw(sheet), MARGIN
    for row, height in zip(rows, heights, strict=True):
        draw_row(sheet, row, top=top, left=MARGIN + label_width)
        top += height
    pen.text((width - MARGIN, top + 6), ATTRIBUTION, fill=GREY, font=ImageFont.load_default(10), anchor="ra")
    return sheet


def draw_row(sheet: Image.Image, row: Row, *, top: int, left: int) -> None:
    """One row of a sheet, its heading first."""
    pen = ImageDraw.Draw(sheet)
    if row.heading:
        font = ImageFont.load_default(15)
        pen.text((MARGIN, top + 18), row.heading, fill=DARK, font=font, anchor="ls", stroke_width=0.3)
        after = MARGIN + pen.textlength(row.heading, font=font) + 10
        pen.text((after, top + 18), row.remark, fill=GREY, font=ImageFont.load_default(12), anchor="ls")
        top += 24
    pen.multiline_text(
        (MARGIN, top + TILE // 2), row.label, fill=DARK, font=ImageFont.load_default(13), anchor="lm", spacing=3
    )
    for column, pixels in enumerate(row.pictures):
        x = left + column * (TILE + GAP)
        sheet.paste(Image.fromarray(pixels.permute(1, 2, 0).numpy()), (x, top))
        if row.captions:
            font = fitting_font(row.captions[column])
            pen.text((x + TILE // 2, top + TILE + 1), row.captions[column], fill=GREY, font=font, anchor="ma")


def fitting_font(text: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest font in which a caption is no wider than its picture."""
    sizes = [size for size in (11, 10, 9) if ImageFont.load_default(size).getlength(text) <= TILE + GAP]
    return ImageFont.load_default(max(sizes, default=8))


def measure_speed(threads: int, pictures: int, repeats: int) -> dict[str, float]:
    """Pictures per second at 64 x 64, sprites loaded and scenes drawn beforehand.

    By the clock (median and best of the repeats), and per second of processor time, which work beside it slows less.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    scenes = PictoWorld().sample(pictures, rng=np.random.default_rng(0)).scenes
    render(scenes)
    by_clock: list[float] = []
    by_processor: list[float] = []
    for _ in range(repeats):
        clock, processor = time.perf_counter(), time.process_time()
        render(scenes)
        by_clock.append(pictures / (time.perf_counter() - clock))
        by_processor.append(pictures / (time.process_time() - processor))
    torch.set_num_threads(before)
    return {"median": median(by_clock), "best": max(by_clock), "per_processor_second": median(by_processor)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="small sheets, nothing written")
    arguments = parser.parse_args()
    main(smoke=arguments.smoke)
