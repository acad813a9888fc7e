"""Captions as the pre-training data have them: they name the concept, and sometimes its style and background."""

import re
from collections.abc import Sequence

import numpy as np

from causalvlm.worlds.picto.collections import all_collections
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.scm import PictoSample

_STYLE_WORDS = {
    "colour": ("picture", "photo", "image", "drawing", "icon"),
    "grey": ("grey picture", "grey photo", "grey image"),
    "line": ("line drawing", "sketch", "outline"),
    "silhouette": ("silhouette", "black shape"),
    "inverted": ("negative", "inverted picture", "inverted image"),
}
_PLAIN = ("a picture of a {}.", "a photo of a {}.", "an image of one {}.", "this is a good {}.", "a picture of the {}.")
_BARE = ("{}", "a {}.", "the {}.")
_STYLED = ("a {style} of a {concept}.", "{style} of the {concept}.")
_PLACED = ("a {style} of a {concept} on a {ground} background.", "a {concept} on a {ground} background.")
_TINTED = ("a {tint} {style} of a {concept}.", "a {style} of a {concept} in {tint} light.")

KINDS = {"plain": 0.3, "bare": 0.1, "collection": 0.15, "styled": 0.2, "placed": 0.2, "tinted": 0.05}
"""Shares of the kinds of caption."""


def captions(sample: PictoSample, *, rng: np.random.Generator) -> list[str]:
    """One caption per picture.

    Example:
        >>> from causalvlm.worlds.picto.scm import PictoWorld
        >>> sample = PictoWorld(("mammals",)).sample(1, do={"concept": "badger"}, rng=np.random.default_rng(0))
        >>> "badger" in captions(sample, rng=np.random.default_rng(0))[0]
        True
    """
    templates = {name: entry.template for entry in all_collections().values() for name in entry.concepts}
    kinds = rng.choice(list(KINDS), size=len(sample), p=list(KINDS.values()))
    picks = rng.random((len(sample), 2))
    rows = sample.table().to_dict("records")
    return [
        _caption(kind, row, templates[row["concept"]], pick) for kind, row, pick in zip(kinds, rows, picks, strict=True)
    ]


def vocabulary_texts() -> list[str]:
    """Texts that hold every word a caption can hold, for a tokenizer to be made from.

    Example:
        >>> any("striped" in text for text in vocabulary_texts())
        True
    """
    entries = all_collections().values()
    texts = [entry.template.format(name) for entry in entries for name in entry.concepts]
    frames = [*_PLAIN, *_BARE, *_STYLED, *_PLACED, *_TINTED]
    words = [word for styles in _STYLE_WORDS.values() for word in styles]
    return [*texts, *frames, *words, *(level for levels in FACTORS.values() for level in levels)]


def _caption(kind: str, row: dict[str, str], template: str, pick: np.ndarray) -> str:
    concept = row["concept"]
    if kind == "collection":
        return template.format(concept)
    if kind == "plain":  # prompts as people write them for CLIP, whatever the article
        return _pick(_PLAIN, pick[0]).format(concept)
    if kind == "bare":
        return _article(_pick(_BARE, pick[0]).format(concept))
    frames = {"styled": _STYLED, "placed": _PLACED, "tinted": _TINTED}[kind]
    ground = (
        row["background_colour"] if row["background"] == "plain" else f"{row['background']} {row['background_colour']}"
    )
    tint = "plain" if row["tint"] == "none" else row["tint"]
    style = _pick(_STYLE_WORDS[row["style"]], pick[1])
    return _article(_pick(frames, pick[0]).format(style=style, concept=concept, ground=ground, tint=tint))


def _article(text: str) -> str:
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def _pick(options: Sequence[str], share: float) -> str:
    return options[int(share * len(options))]
