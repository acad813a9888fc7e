"""A factor set to each of its levels in the same images: does it move S, and what does it do to the answer?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from causalvlm.diagnosis.audit.arrays import FEWEST_IMAGES, centred
from causalvlm.diagnosis.audit.opinions import Said, Subject
from causalvlm.diagnosis.audit.verdicts import NEGLIGIBLE_SHIFT, Key, Measured
from causalvlm.errors import InputError
from causalvlm.intervals import Shift
from causalvlm.probes.beyond import gain

Setter = Callable[[int, str], Image.Image]
"""From the place of an image and a level to the picture of that image with the factor set to that level."""

MOST_SET = 200
"""Images in which a factor is set."""

AT_ONCE = 64
"""Pictures in memory at once."""

FOLDS = 5
"""Of the direction in which S moves: it is found in images other than those in which the movement is measured."""

Opinions = Float[np.ndarray, "templates rows classes"]


@dataclass(frozen=True, eq=False)
class Pictured:
    """What was said of the same images at every level of a factor.

    Attributes:
        rows: the images, as places in the audited table.
        levels: those of the factor, the one that the others are compared with first.
        said: by the audited subject, level by level.
        before: by zero-shot; None where there is none.
    """

    rows: Int[np.ndarray, " _"]
    levels: tuple[str, ...]
    said: tuple[Said, ...]
    before: tuple[Said, ...] | None


def picture(
    setter: Setter,
    places: Int[np.ndarray, " _"],
    rows: Int[np.ndarray, " _"],
    levels: Sequence[str],
    subject: Subject,
    before: Subject | None,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Pictured:
    """Have every image drawn at every level, and ask what is said of it.

    Args:
        setter: draws them.
        places: what it knows the images by.
        rows: where they stand in the table.
        levels: of the factor.
        subject: asked.
        before: asked too, of the same pictures.
        advance: called after each picture.

    Raises:
        InputError: if the setter returns something else than a picture.
    """
    said: list[Said] = []
    earlier: list[Said] = []
    for level in levels:
        parts: list[Said] = []
        others: list[Said] = []
        for start in range(0, len(places), AT_ONCE):
            pictures: list[Image.Image] = []
            for place in places[start : start + AT_ONCE]:
                pictures.append(_drawn(setter, int(place), level))
                advance()
            parts.append(subject.of_pictures(pictures))
            if before:
                others.append(before.of_pictures(pictures))
        said.append(_joined(parts))
        if before:
            earlier.append(_joined(others))
    return Pictured(rows, tuple(levels), tuple(said), tuple(earlier) if before else None)


def measure_setting(
    factor: str, pictured: Pictured, natural: Opinions, labels: Int[np.ndarray, " _"]
) -> dict[Key, Measured]:
    """How far setting the factor moves S, for every level and template.

    S of one image at a level minus S of the same image at the first level is projected on the direction in which the
    other images move on average. In units of the standard deviation that S has along it among images of one class, the
    mean of these is the movement; it is zero in expectation if S does not move in any direction on average. [ours]

    Args:
        factor: its name.
        pictured: what was said at each level.
        natural: S of all audited images, as they are, centred.
        labels: their classes.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> natural = centred(rng.normal(size=(1, 60, 3)))
        >>> still, moved = (Said(natural + shift, natural[0]) for shift in (0.0, np.array([1.0, 0.0, 0.0])))
        >>> pictured = Pictured(np.arange(60), ("day", "night"), (still, moved), None)
        >>> found = measure_setting("light", pictured, natural, np.zeros(60, int))
        >>> found["leaks", "light", "set", "night", 1].shift.value > 0.5
        True
    """
    found: dict[Key, Measured] = {}
    first = centred(pictured.said[0].opinions)
    for level, said in zip(pictured.levels[1:], pictured.said[1:], strict=True):
        moved = centred(said.opinions) - first
        for place, (steps, spread) in enumerate(zip(moved, natural, strict=True)):
            who = f"template {place + 1}" if len(natural) > 1 else "S"
            found["leaks", factor, "set", level, place + 1] = Measured(
                shift=movement(steps, within(spread, labels)) if len(steps) >= FEWEST_IMAGES else None,
                negligible=NEGLIGIBLE_SHIFT,
                unit="standard deviations",
                measured=(
                    f"how far {who} moves when {factor!r} is set from {pictured.levels[0]!r} to {level!r}, in standard "
                    "deviations that it has among images of one class"
                ),
                harm=f"Setting {factor!r} to {level!r} moves {who}: it carries the factor.",
                fine=f"Setting {factor!r} to {level!r} does not move {who} by anything that counts.",
                unknown=f"At least {FEWEST_IMAGES} images must be set; more would tell.",
            )
    return found


def movement(steps: Float[np.ndarray, "rows classes"], spread: Float[np.ndarray, "_ classes"]) -> Shift:
    """Mean movement along the direction in which other rows move, in standard deviations of the spread along it.

    Args:
        steps: of S, image by image.
        spread: of S around its class means.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> movement(rng.normal(size=(100, 3)) + 1.0, rng.normal(size=(500, 3))).p_value < 1e-6
        True
    """
    if not steps.any():
        return Shift(0.0, 0.0, 0.0, 1.0)
    along = np.empty(len(steps))
    assigned = np.arange(len(steps)) % FOLDS
    for fold in range(FOLDS):
        held = assigned == fold
        direction = steps[~held].mean(0)
        size = float((spread @ direction).std())
        along[held] = steps[held] @ direction / size if size > 0 else 0.0
    return gain(along)


def within(opinions: Float[np.ndarray, "rows classes"], labels: Int[np.ndarray, " rows"]) -> np.ndarray:
    """Opinions minus their mean in each class.

    Example:
        >>> within(np.array([[1.0, 0.0], [3.0, 0.0]]), np.array([0, 0])).tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """
    left = opinions.astype(np.float64)
    for label in np.unique(labels):
        left[labels == label] -= left[labels == label].mean(0)
    return left


def _drawn(setter: Setter, place: int, level: str) -> Image.Image:
    drawn = setter(place, level)
    if not isinstance(drawn, Image.Image):
        raise InputError(
            f"a factor must be set by a function from the place of an image and a level to a PIL picture; received "
            f"{type(drawn).__name__} for image {place} at {level!r}. Return a PIL.Image."
        )
    return drawn


def _joined(parts: Sequence[Said]) -> Said:
    return Said(
        np.concatenate([part.opinions for part in parts], axis=1), np.concatenate([part.logits for part in parts])
    )


def levels_of(factor: str, known: Mapping[str, Sequence[str]], asked: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The levels that a factor is set to: as asked, or those that occur.

    Raises:
        InputError: if there are fewer than two.

    Example:
        >>> levels_of("light", {"light": ["night", "day", "day"]}, {})
        ('day', 'night')
    """
    levels = tuple(asked[factor]) if factor in asked else tuple(sorted({str(level) for level in known.get(factor, ())}))
    if len(levels) < 2 or len(set(levels)) < len(levels):
        raise InputError(
            f"a factor that is set needs at least two different levels; received {', '.join(levels) or 'none'} for "
            f"{factor!r}. Name them: levels={{{factor!r}: (...)}}."
        )
    return levels
