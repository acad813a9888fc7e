"""Examples for the eye: one image with a factor at two levels, answered differently."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int
from PIL import Image

from causalvlm.diagnosis.interventions import Intervention
from causalvlm.diagnosis.settings import Setting
from causalvlm.embeddings.model import Model
from causalvlm.randomness import Rng, draw_evenly

SHOWN_PAIRS = 3
SEARCHED = 48
"""Images among which examples are looked for."""

FEWEST_FLIPS = 0.05
"""Share of answers that must change for examples to be worth the search."""

SIDE = 160
"""Pixels of the longer side of an example."""


@dataclass(frozen=True)
class Pair:
    """One image at two levels of a factor.

    Attributes:
        level: what the factor was set to.
        reference: what it was set to for comparison.
        class_name: true class.
        answers: at the reference and at the level.
        before: the picture at the reference, as PNG.
        after: the picture at the level, as PNG.
    """

    level: str
    reference: str
    class_name: str
    answers: tuple[str, str]
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)


def find_pairs(
    model: Model,
    labels: Int[np.ndarray, " rows"],
    setting: Setting,
    interventions: Sequence[Intervention],
    *,
    rng: Rng,
) -> tuple[Pair, ...]:
    """A few images that are answered rightly at the reference and wrongly at the level that costs most accuracy.

    They are found, not drawn at random: how many images change is what the `Intervention` says.

    Args:
        model: what is asked.
        labels: true class of every image.
        setting: how the factor is set.
        interventions: what setting it does.
        rng: draws the images that are looked at; or a seed.

    Returns:
        Nothing where hardly an answer changes.

    Example:
        >>> from causalvlm.diagnosis.interventions import intervene
        >>> from causalvlm.embeddings.model import model_from
        >>> def light(pictures):
        ...     bright = np.array([np.asarray(picture).mean() / 255 for picture in pictures])
        ...     return np.column_stack([bright, 1 - bright])
        >>> setting = Setting(("day", "night"), "re-rendered", "the lamp on and off",
        ...                   lambda row, level: Image.new("RGB", (8, 8), "white" if level == "day" else "black"))
        >>> model, labels = model_from(light, ("cat", "dog")), np.zeros(20, dtype=int)
        >>> made = intervene(model, labels, setting, factor="light", reference="day")
        >>> find_pairs(model, labels, setting, made, rng=0)[0].answers
        ('cat', 'dog')
    """
    most = min(interventions, key=lambda one: one.accuracy.value)
    if most.flips.value < FEWEST_FLIPS:
        return ()
    found: list[Pair] = []
    for row in draw_evenly(labels, SEARCHED, rng=rng).tolist():
        before, after = (setting.picture(row, level) for level in (most.reference, most.level))
        if before is None or after is None:
            continue
        was, now = model.answer([before, after]).argmax(axis=1).tolist()
        if was == labels[row] != now:
            names = model.class_names
            answers = (names[was], names[now])
            found.append(
                Pair(most.level, most.reference, names[labels[row]], answers, small_png(before), small_png(after))
            )
        if len(found) == SHOWN_PAIRS:
            break
    return tuple(found)


def small_png(picture: Image.Image) -> bytes:
    """A picture of at most `SIDE` pixels a side, as PNG.

    Example:
        >>> small_png(Image.new("RGB", (640, 480)))[1:4]
        b'PNG'
    """
    copy = picture.convert("RGB")
    copy.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    copy.save(stream, format="PNG")
    return stream.getvalue()
