"""The report of the demonstration: one HTML file with its pictures inside."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from causalvlm.demo.figures import draw_effects, draw_regimes
from causalvlm.demo.results import DemoResult
from causalvlm.demo.settings import MENDED, MODEL, DemoSettings
from causalvlm.demo.study import PREDICTION, STUDIED, Pictures
from causalvlm.demo.wording import OUTCOMES, tell
from causalvlm.figures.graph import draw_graph
from causalvlm.figures.style import to_bytes
from causalvlm.identification.identify import identify
from causalvlm.phrases import spoken
from causalvlm.report.sections import list_settings, picture_source
from causalvlm.report.write import fill_template
from causalvlm.worlds.picto.assets import ATTRIBUTION
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.scene import render
from causalvlm.worlds.picto.scm import PictoSample

PIXELS = 96
"""Side of a picture in the report; the model sees smaller ones."""

CONCEPTS, EACH, PAIRS = 4, 2, 4
"""Concepts in the contact strip, pictures of each in a regime, and counterfactual pairs."""

SHOWN_FACTOR = "background_colour"
"""The factor whose graph and counterfactual pairs are shown, named in advance: a colour is seen at a glance."""


@dataclass(frozen=True)
class Picture:
    """A picture with what stands beneath it.

    Attributes:
        source: data URI.
        text: what the reader is told of it.
        right: whether a prediction is right; None where there is none.
    """

    source: str
    text: str
    right: bool | None = None


@dataclass(frozen=True)
class Pair:
    """One picture drawn twice, with one factor changed."""

    concept: str
    before: Picture
    after: Picture


def to_page(result: DemoResult, pictures: Pictures, settings: DemoSettings, provenance: Mapping[str, object]) -> str:
    """The report as text; whatever is named in it is escaped.

    Args:
        result: what was measured.
        pictures: where examples come from.
        settings: of the study.
        provenance: more to print, such as versions and device.
    """
    sample = pictures.samples[STUDIED]
    pairs, changed = _pairs(pictures)
    estimand = identify(sample.world.graph(), treatment=SHOWN_FACTOR, outcome=PREDICTION)
    drawings = {
        "regimes": draw_regimes(result.regimes),
        "graph": draw_graph(
            sample.world.graph(uncaused=False), treatment=SHOWN_FACTOR, outcome=PREDICTION, estimand=estimand
        ),
        **{
            f"effects_{outcome}": draw_effects(result.effects, outcome)
            for outcome in OUTCOMES
            if any(effect.outcome == outcome for effect in result.effects)
        },
    }
    values: dict[str, object] = {
        "story": tell(result),
        "result": result,
        "outcomes": OUTCOMES,
        "strip": _strip(pictures.samples),
        "pairs": pairs,
        "changed": changed,
        "models": (MODEL, MENDED),
        "shown": (spoken(SHOWN_FACTOR), FACTORS[SHOWN_FACTOR][0], FACTORS[SHOWN_FACTOR][-1]),
        "drawings": {name: picture_source(to_bytes(figure)) for name, figure in drawings.items()},
        "estimand": estimand.text(),
        "attribution": ATTRIBUTION,
        "settings": list_settings({**vars(settings), **provenance}),
    }
    return fill_template("demo.html", values)


def _strip(samples: Mapping[str, PictoSample]) -> dict[str, list[Picture]]:
    """The first pictures of the first concepts with different habits, in every regime."""
    world = samples["pretraining"].world
    first = {int(home): place for place, home in reversed(list(enumerate(world.homes)))}
    concepts = sorted(first.values())[:CONCEPTS]
    rows: dict[str, list[Picture]] = {}
    for regime, sample in samples.items():
        found = [torch.from_numpy((sample.labels == concept).nonzero()[0][:EACH]) for concept in concepts]
        pixels = _draw(sample, torch.cat(found))
        names = [world.concepts[int(sample.labels[int(row)])] for row in torch.cat(found)]
        rows[regime] = [Picture(_picture_uri(one), name) for one, name in zip(pixels, names, strict=True)]
    return rows


def _pairs(pictures: Pictures) -> tuple[list[Pair], float]:
    """The first pictures whose answer changes with the factor, and the share of pictures whose answer does."""
    sample, model = pictures.samples[STUDIED], pictures.model
    control, treated = FACTORS[SHOWN_FACTOR][0], FACTORS[SHOWN_FACTOR][-1]
    versions = [sample.intervene({SHOWN_FACTOR: level}) for level in (control, treated)]
    named = [model.named(version) for version in versions]
    differs = named[0] != named[1]
    rows = torch.from_numpy(differs.nonzero()[0][:PAIRS])
    drawn = [_draw(version, rows) for version in versions]
    concepts = sample.world.concepts
    pairs: list[Pair] = []
    for place, row in enumerate(rows.tolist()):
        shown = [
            Picture(_picture_uri(pixels[place]), concepts[answers[row]], bool(answers[row] == sample.labels[row]))
            for pixels, answers in zip(drawn, named, strict=True)
        ]
        pairs.append(Pair(concepts[sample.labels[row]], *shown))
    return pairs, float(differs.mean())


def _draw(sample: PictoSample, rows: Tensor) -> UInt8[Tensor, "rows 3 _ _"]:
    return render(sample.scenes[rows], size=PIXELS)


def _picture_uri(pixels: UInt8[Tensor, "3 _ _"]) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(stream, format="JPEG", quality=90)
    return picture_source(stream.getvalue(), kind="jpeg")
