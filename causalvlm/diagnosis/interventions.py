"""Is a factor used? The same pictures asked about with the factor at one level and at another: counterfactual pairs.

The effect on the margin is the causal concept effect of Goyal et al. (2019, arXiv 1907.07165, equation 1): nothing but
the factor, and what its setting says must change along, differs within a pair.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image

from causalvlm.diagnosis.settings import How, Setting, read_or_none
from causalvlm.embeddings.model import Model
from causalvlm.embeddings.table import logit_margins
from causalvlm.errors import InputError
from causalvlm.intervals import Estimate, Shift, mean_shift, paired_shares, wilson
from causalvlm.probes.edits import EDITS, Edit
from causalvlm.probes.retouch import swap_background
from causalvlm.randomness import Rng, draw_evenly, generator
from cdc.progress import image_bar

MOST_IMAGES = 200
"""Images that a factor is set in, as equally many of every class as there are."""

BATCH = 16
"""Pictures in memory, and asked about, at a time."""

FEWEST_PAIRS = 2
"""Pairs without which the spread of the differences, and so the effect, is unknown."""

UNTOUCHED = "untouched"
"""The level of a picture that no edit was made of."""

SWAPPED = "background swapped"
"""The edit that masks are needed for."""


@dataclass(frozen=True)
class ClassEffect:
    """The effect on the images of one class.

    Attributes:
        class_name: the class.
        n: pairs of pictures.
        margin: mean difference of the margin, level minus reference; None with fewer than two pairs.
    """

    class_name: str
    n: int
    margin: Shift | None


@dataclass(frozen=True)
class Intervention:
    """What setting a factor to a level does to a model's answers, against setting it to the reference.

    Intervals take the images as independent, and are of one comparison: who makes several corrects the p-values.

    Attributes:
        factor: its name.
        level: what it was set to.
        reference: what it was set to in the same pictures for comparison.
        how: by editing pictures or by taking them again.
        about: what was changed, in words.
        n: pairs of pictures.
        moved: share of the images asked about that could be set to both levels, with Wilson's interval.
        margin: mean difference of the logit margin, in nats, with Student's interval.
        accuracy: difference of the shares of right answers, with the interval of Bonett and Price and McNemar's exact
            p-value.
        flips: share of images whose answer changes, with Wilson's interval.
        classes: the effect on every class that has a pair.
    """

    factor: str
    level: str
    reference: str
    how: How
    about: str
    n: int
    moved: Estimate
    margin: Shift
    accuracy: Shift
    flips: Estimate
    classes: tuple[ClassEffect, ...]

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def intervene(
    model: Model,
    labels: Int[np.ndarray, " rows"],
    setting: Setting,
    *,
    factor: str,
    reference: str,
    levels: Sequence[str] | None = None,
    rows: Int[np.ndarray, " _"] | None = None,
    most: int = MOST_IMAGES,
    rng: Rng = 0,
    progress: str | None = None,
) -> tuple[Intervention, ...]:
    """Set a factor in pictures, to each of its levels and to the reference, and compare what a model answers.

    The reference is set too, so that traces of editing are in both pictures of a pair.

    Args:
        model: what is asked.
        labels: true class of every image.
        setting: how the factor is set.
        factor: its name.
        reference: the level that the others are compared with.
        levels: which others; all by default.
        rows: images that may be asked about; all by default.
        most: of these, so many are drawn, as equally many of every class as there are.
        rng: draws them; or a seed.
        progress: label of a progress bar over the pictures, shown on a terminal.

    Returns:
        One result for every level that two pictures or more could be set to, in the setting's order.

    Raises:
        InputError: if a level is none of the setting's, or there is no row.

    Example:
        >>> from causalvlm.embeddings.model import model_from
        >>> def light(pictures):
        ...     bright = np.array([np.asarray(picture).mean() / 255 for picture in pictures])
        ...     return np.column_stack([bright, 1 - bright])
        >>> setting = Setting(("day", "night"), "re-rendered", "the lamp on and off",
        ...                   lambda row, level: Image.new("L", (8, 8), 150 + row if level == "day" else 90))
        >>> (effect,) = intervene(model_from(light, ("day", "night")), np.zeros(20, dtype=int), setting,
        ...                       factor="light", reference="day")
        >>> effect.n, effect.flips.value, effect.accuracy.value, effect.margin.high < -0.8
        (20, 1.0, -1.0, True)
    """
    others = [level for level in (setting.levels if levels is None else levels) if level != reference]
    unknown = [level for level in (reference, *others) if level not in setting.levels]
    if unknown:
        raise InputError(
            f"{factor!r} must be set to one of the levels of its setting ({', '.join(setting.levels)}); received "
            f"{unknown[0]!r}. Correct the level."
        )
    rows = np.arange(len(labels)) if rows is None else rows
    if not len(rows):
        raise InputError(f"{factor!r} must be set in some image; received no row. Leave rows out to take all images.")
    rows = rows[draw_evenly(labels[rows], most, rng=generator(rng))]
    asked = _ask(model, setting, rows, (reference, *others), progress)
    answers = _Answers(*asked, labels[rows], model.class_names)
    made = (
        answers.compare(place, setting, factor=factor, level=level, reference=reference)
        for place, level in enumerate(others, start=1)
    )
    return tuple(one for one in made if one)


def stress(
    model: Model,
    pictures: Sequence[Image.Image | Path],
    labels: Int[np.ndarray, " rows"],
    *,
    edits: Mapping[str, Edit] = EDITS,
    masks: Sequence[Image.Image | None] | None = None,
    most: int = MOST_IMAGES,
    rng: Rng = 0,
    progress: str | None = None,
) -> tuple[Intervention, ...]:
    """Edit pictures one way at a time and compare what a model answers with its answers to the untouched ones.

    Args:
        model: what is asked.
        pictures: upright pictures, or image files.
        labels: true class of each.
        edits: by name.
        masks: of the same sizes, 255 where the object is; with them, the background is swapped for mid grey too.
        most: so many pictures are drawn, as equally many of every class as there are.
        rng: draws them; or a seed.
        progress: label of a progress bar, shown on a terminal.

    Returns:
        One result per edit: the factor is ``"edit"``, the level its name, the reference `UNTOUCHED`.

    Raises:
        InputError: if pictures, labels and masks differ in number.

    Example:
        >>> from causalvlm.embeddings.model import model_from
        >>> model = model_from(lambda pictures: np.full((len(pictures), 2), 0.5), ("cat", "dog"))
        >>> effects = stress(model, [Image.new("RGB", (32, 32))] * 4, np.array([0, 0, 1, 1]))
        >>> len(effects), effects[0].level, effects[0].margin.value
        (11, 'blurred', 0.0)
    """
    if not len(pictures) == len(labels) == len(masks or pictures):
        raise InputError(
            f"pictures, labels and masks must be of the same images; received {len(pictures)}, {len(labels)} and "
            f"{len(masks or pictures)}. Take them from the same list."
        )

    def picture(row: int, level: str) -> Image.Image | None:
        given = pictures[row]
        image = given.convert("RGB") if isinstance(given, Image.Image) else read_or_none(given)
        if image is None or level == UNTOUCHED:
            return image
        if level in edits:
            return edits[level].change(image)
        mask = masks[row] if masks else None
        return swap_background(image, mask) if mask else None

    levels = (UNTOUCHED, *edits, *((SWAPPED,) if masks else ()))
    about = "one edit at a time, against the picture as it is"
    setting = Setting(levels, "edited", about, picture)
    return intervene(model, labels, setting, factor="edit", reference=UNTOUCHED, most=most, rng=rng, progress=progress)


@dataclass(frozen=True, eq=False)
class _Answers:
    """What was asked: log-probabilities by level (the reference first), image and class, and where there are any."""

    logits: Float[np.ndarray, "_ rows classes"]
    there: Bool[np.ndarray, "_ rows"]
    labels: Int[np.ndarray, " rows"]
    class_names: tuple[str, ...]

    def compare(self, place: int, setting: Setting, *, factor: str, level: str, reference: str) -> Intervention | None:
        paired = self.there[0] & self.there[place]
        labels, before, after = self.labels[paired], self.logits[0, paired], self.logits[place, paired]
        n = len(labels)
        if n < FEWEST_PAIRS:
            return None
        shift = logit_margins(after, labels) - logit_margins(before, labels)
        was, now = before.argmax(axis=1), after.argmax(axis=1)
        return Intervention(
            factor=factor,
            level=level,
            reference=reference,
            how=setting.how,
            about=setting.about,
            n=n,
            moved=wilson(n / len(paired), len(paired)),
            margin=mean_shift(shift),
            accuracy=paired_shares(now == labels, was == labels),
            flips=wilson(float((now != was).mean()), n),
            classes=tuple(self._by_class(shift, labels)),
        )

    def _by_class(self, shift: Float[np.ndarray, " _"], labels: Int[np.ndarray, " _"]) -> Iterator[ClassEffect]:
        for label in np.unique(labels):
            own = shift[labels == label]
            margin = mean_shift(own) if len(own) >= FEWEST_PAIRS else None
            yield ClassEffect(self.class_names[label], len(own), margin)


def _ask(
    model: Model, setting: Setting, rows: Int[np.ndarray, " _"], levels: tuple[str, ...], progress: str | None
) -> tuple[Float[np.ndarray, "_ rows classes"], Bool[np.ndarray, "_ rows"]]:
    """What the model says of every row at every level, and which could be set; a batch in memory at a time."""
    logits = np.zeros((len(levels), len(rows), len(model.class_names)))
    there = np.zeros((len(levels), len(rows)), dtype=bool)
    with ThreadPoolExecutor(os.cpu_count()) as pool, image_bar(progress, total=there.size) as advance:
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH].tolist()
            for place, level in enumerate(levels):
                set_to = list(pool.map(setting.picture, batch, [level] * len(batch)))
                pictures = [picture for picture in set_to if picture is not None]
                here = there[place, start : start + len(batch)]  # a view
                here[:] = [picture is not None for picture in set_to]
                if pictures:
                    logits[place, start + np.flatnonzero(here)] = model.answer(pictures)
                for _ in batch:
                    advance()
    return logits, there
