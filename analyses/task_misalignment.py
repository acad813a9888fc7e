"""Task misalignment (Fig. 1a of the paper): a picture matches its whole description, but not what the task asks for.

For every test picture of a Picto data set as many texts as there are classes: once the hand-crafted prompt of every
class, once the whole description (concept, style, tint and background) of the picture itself and of one picture of
every other class. Both choices have the same chance level and the same pictures behind the wrong answers.

How to run: python analyses/task_misalignment.py [--smoke]; `--smoke` does two data sets and writes nothing.
How long: a minute on 2 cores.
Expect: descriptions are found nearly as often in tasks as in collections; classes in collections nearly as often as
descriptions, and in tasks far less often.
"""

import argparse
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
from data_sets import CHOOSING, REPORTING
from grids import RESULTS
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

import causalvlm
import cdc
from causalvlm.diagnosis.misalignment import offer_descriptions
from causalvlm.figures.style import STYLES, to_bytes
from causalvlm.worlds.picto.tasks import TASKS
from cdc.files import write_bytes, write_json

FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "task_misalignment.png"
COLLECTIONS = tuple(name for name in (*CHOOSING, *REPORTING) if name.removeprefix("picto/") not in TASKS)
TASK_SETS = tuple(f"picto/{name}" for name in TASKS)
EXAMPLE = "picto/finishes"
SEED = 0
WORDS = {
    "colour": "picture",
    "grey": "grey picture",
    "line": "sketch",
    "silhouette": "silhouette",
    "inverted": "negative",
}


def describe(name: str, data: cdc.ImageDataset, example: cdc.Example) -> str:
    """Everything that captions of the pre-training data name, in one sentence."""
    facts: dict[str, str] = dict(example.factors)
    if task := TASKS.get(name.removeprefix("picto/")):
        levels = list(product(*task.words.values()))[task.class_names.index(data.class_names[example.label])]
        facts |= dict(zip(task.words, levels, strict=True))
    else:
        facts["concept"] = data.class_names[example.label]
    tint = "plain" if facts["tint"] == "none" else facts["tint"]
    ground = (
        facts["background_colour"]
        if facts["background"] == "plain"
        else f"{facts['background']} {facts['background_colour']}"
    )
    return f"a {tint} {WORDS[facts['style']]} of a {facts['concept']} on a {ground} background."


def choices(name: str, backbone: cdc.Backbone) -> dict[str, np.ndarray]:
    """For every test picture, whether its class and whether its description was found; [pictures] each."""
    data = causalvlm.load_dataset(name)
    features = cdc.encode_images(backbone, [example.path for example in data.test]).values
    labels = np.array([example.label for example in data.test])
    prompts = backbone.encode_texts([data.template.format(label) for label in data.class_names])
    found = backbone.logits(features, prompts).argmax(-1).numpy() == labels
    told = backbone.encode_texts([describe(name, data, example) for example in data.test])
    own, rivals = offer_descriptions(backbone.logits(features, told).numpy(), labels, rng=SEED)
    return {"class": found, "description": own > rivals}


def summary(found: Mapping[str, np.ndarray], classes: int) -> dict[str, float]:
    """Shares of the pictures, and how many of those that match their description miss their class."""
    asked, told = found["class"], found["description"]
    return {
        "class": float(asked.mean()),
        "description": float(told.mean()),
        "misaligned": float((told & ~asked).sum() / told.sum()),
        "chance": 1 / classes,
        "pictures": len(asked),
    }


def draw(rows: Mapping[str, Mapping[str, float]], backbone: cdc.Backbone) -> Figure:
    """Left one picture with what it is said to match, right both shares for every data set."""
    figure = Figure(figsize=(10, 5), dpi=110, layout="constrained")
    grid = GridSpec(2, 2, figure, width_ratios=(1, 1.4), height_ratios=(1, 1))
    data = causalvlm.load_dataset(EXAMPLE)
    found = choices(EXAMPLE, backbone)
    place = int(np.flatnonzero(found["description"] & ~found["class"])[0])
    example = data.test[place]
    picture = figure.add_subplot(grid[0, 0])
    picture.imshow(cdc.read_image(example.path))
    picture.set_axis_off()
    picture.set_title(f'found: "{describe(EXAMPLE, data, example)}"', fontsize=9.5)
    bars = figure.add_subplot(grid[1, 0])
    features = cdc.encode_images(backbone, [example.path]).values
    shares = backbone.logits(features, backbone.encode_texts([data.template.format(n) for n in data.class_names]))
    shares = shares.softmax(-1)[0]
    top = shares.argsort(descending=True)[:4].tolist()
    shown = top if example.label in top else [*top, example.label]
    names = [data.template.format(data.class_names[label]) for label in shown]
    colours = [STYLES[3][0] if label == example.label else STYLES[2][0] for label in shown]
    bars.barh(names[::-1], shares[shown].tolist()[::-1], color=colours[::-1], height=0.6)
    bars.set_xlabel("zero-shot probability (green: the right class)", fontsize=9)
    both = figure.add_subplot(grid[:, 1])
    order = sorted(rows, key=lambda name: rows[name]["misaligned"])
    for height, name in enumerate(order):
        row = rows[name]
        both.plot([100 * row["class"], 100 * row["description"]], [height] * 2, color="#bbbbbb", lw=2, zorder=1)
        for key, (colour, marker), label in (
            ("description", STYLES[1], "its whole description"),
            ("class", STYLES[2], "its class, as the task asks"),
        ):
            both.plot(100 * row[key], height, marker, color=colour, label=label if height == 0 else None)
    both.set_yticks(range(len(order)), [name.removeprefix("picto/") for name in order])
    for tick, name in zip(both.get_yticklabels(), order, strict=True):
        tick.set_fontweight("bold" if name in TASK_SETS else "normal")
    both.set_xlim(0, 100)
    both.set_xlabel("percent of pictures that find it (tasks in bold)", fontsize=9)
    both.legend(loc="lower left", frameon=False, fontsize=9)
    for axis in (bars, both):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def main(*, smoke: bool) -> None:
    """Measure every data set, write and draw."""
    backbone = cdc.load_backbone("picto")
    rows: dict[str, dict[str, float]] = {}
    for name in ("picto/mammals", EXAMPLE) if smoke else (*COLLECTIONS, *TASK_SETS):
        rows[name] = summary(choices(name, backbone), len(causalvlm.load_dataset(name).class_names))
        print(f"{name:20}", {key: round(value, 3) for key, value in rows[name].items()})
    if smoke:
        return
    groups = {
        group: {
            key: float(np.mean([rows[name][key] for name in names])) for key in ("class", "description", "misaligned")
        }
        for group, names in (("collections", COLLECTIONS), ("tasks", TASK_SETS))
    }
    write_json(RESULTS / "task_misalignment.json", {"datasets": rows, "mean": groups, "provenance": cdc.provenance()})
    write_bytes(FIGURE, to_bytes(draw(rows, backbone)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two data sets: does it run?")
    main(smoke=parser.parse_args().smoke)
