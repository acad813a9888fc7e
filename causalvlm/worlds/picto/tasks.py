"""Tasks in which G_r and G_i trade places: the class is how a picture looks, and the concept in it is noise.

What DTD, EuroSAT and FGVC Aircraft are to the literature: a model that was taught to name things is asked for
something else, and a prompt that names a thing names the wrong one (task misalignment, Fig. 1a of the paper).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Int

from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.scm import PictoSample


@dataclass(frozen=True)
class PictoTask:
    """Classes made of the levels of a few factors.

    Attributes:
        title: what the classes are, for headings.
        words: for each factor that decides on the class, what its levels are called, in order; a level without a word
            is in no class.
        phrase: from the words, by factor, to the name of a class.
        template: hand-crafted prompt with one ``{}`` for the class, as a person would write it.

    Example:
        >>> TASKS["backdrops"].class_names[0], len(TASKS["backdrops"].class_names)
        ('striped white', 56)
    """

    title: str
    words: Mapping[str, Mapping[str, str]]
    phrase: str
    template: str

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of `label`."""
        options = [[(factor, word) for word in words.values()] for factor, words in self.words.items()]
        return tuple(self.phrase.format(**dict(combination)) for combination in product(*options))

    def label(self, sample: PictoSample) -> Int[np.ndarray, " rows"]:
        """Class of each picture; -1 where a level is in no class.

        Example:
            >>> from causalvlm.worlds.picto.scm import PictoWorld
            >>> do = {"style": "line", "tint": "warm"}
            >>> sketch = PictoWorld(("mammals",)).sample(1, do=do, rng=np.random.default_rng(0))
            >>> TASKS["finishes"].class_names[TASKS["finishes"].label(sketch)[0]]
            'warm sketch'
        """
        labels, outside = np.zeros(len(sample), dtype=int), np.zeros(len(sample), dtype=bool)
        for factor, words in self.words.items():
            place = {level: index for index, level in enumerate(words)}
            rank = np.array([place.get(level, -1) for level in FACTORS[factor]])[sample.levels[factor]]
            labels = labels * len(words) + rank
            outside |= rank < 0
        return np.where(outside, -1, labels)


_TEXTURES = {level: level for level in FACTORS["background"] if level != "plain"}
_COLOURS = {level: level for level in FACTORS["background_colour"]}
_STYLES = {
    "colour": "picture",
    "grey": "grey picture",
    "line": "sketch",
    "silhouette": "silhouette",
    "inverted": "negative",
}
_TINTS = {"none": "plain", "warm": "warm", "cool": "cool", "dark": "dark"}
_TURNS = {level: level for level in FACTORS["rotation"]}
_PLACES = {
    "centre": "in the centre",
    **{level: f"on the {level}" for level in FACTORS["position"] if level != "centre"},
}
_SIZES = {level: level for level in FACTORS["scale"]}

TASKS: Mapping[str, PictoTask] = {
    "backdrops": PictoTask(
        "texture and colour of the background",
        {"background": _TEXTURES, "background_colour": _COLOURS},
        "{background} {background_colour}",
        "a picture of a thing on a {} background.",
    ),
    "finishes": PictoTask(
        "style and tint",
        {"style": _STYLES, "tint": _TINTS},
        "{tint} {style}",
        "a {} of a thing.",
    ),
    "prints": PictoTask(
        "style, and texture of the background",
        {"style": _STYLES, "background": _TEXTURES},
        "{style} of a thing on a {background} background",
        "a {}.",
    ),
    "moods": PictoTask(
        "colour of the background, and tint",
        {"background_colour": _COLOURS, "tint": _TINTS},
        "{background_colour} background in {tint} light",
        "a picture of a thing on a {}.",
    ),
    "poses": PictoTask(
        "size, rotation and position, which no caption of the pre-training data names",
        {"rotation": _TURNS, "position": _PLACES, "scale": _SIZES},
        "{scale}, {rotation}, {position}",
        "a picture of a thing, {}.",
    ),
}
"""The tasks by name. All but ``poses`` are confounded like the collections: D decides on the class and on the concept.

Nothing causes what `poses` asks for, so nothing is confounded with it: it is the honest negative.
"""
