"""Captions say nothing that is not on the picture."""

import re

import numpy as np
import pytest
from scipy.stats import chisquare

from causalvlm.refutation.verdict import FALSE_ALARM_RATE
from causalvlm.worlds.picto.captions import KINDS, captions, vocabulary_texts
from causalvlm.worlds.picto.collections import all_collections
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.scm import PictoWorld

STYLE_OF = {
    "grey ": "grey", "line drawing": "line", "sketch": "line", "outline": "line", "silhouette": "silhouette",
    "black shape": "silhouette", "negative": "inverted", "inverted": "inverted",
}  # fmt: skip


@pytest.fixture(scope="module")
def described():
    """Rows of factors, each with its caption, and the caption without the concept."""
    sample = PictoWorld(strength=0.3).sample(6000, rng=np.random.default_rng(0))
    rows = sample.table().to_dict("records")
    texts = captions(sample, rng=np.random.default_rng(1))
    return [(row, text, re.sub(rf"\b{row['concept']}\b", "_", text)) for row, text in zip(rows, texts, strict=True)]


def test_every_caption_names_its_concept(described):
    assert all(rest.count("_") == 1 for _, _, rest in described)


def test_a_caption_names_no_level_but_the_pictures_own(described):
    for row, text, rest in described:
        if "background" in rest:
            own = {"plain": ""}.get(row["background"], row["background"])
            assert f"{own} {row['background_colour']} background".strip() in rest, text
            assert not any(other in rest for other in FACTORS["background"][1:] if other != own), text
        if found := re.search(r"\b(warm|cool|dark)\b", rest):
            assert row["tint"] == found[0], text


def test_a_caption_names_no_style_but_the_pictures_own(described):
    for row, text, rest in described:
        without_ground = re.sub(r"on an? .* background", "", rest)
        for words, style in STYLE_OF.items():
            if re.search(rf"\b{words}", without_ground):
                assert row["style"] == style, text


def test_style_background_and_tint_are_all_told_of_sometimes(described):
    rests = [rest for _, _, rest in described]
    for words in (*STYLE_OF, *FACTORS["background"][1:], *FACTORS["background_colour"], *FACTORS["tint"][1:]):
        assert any(words in rest for rest in rests), words


def test_kinds_come_in_their_shares(described):
    kinds = {
        "placed": r"background\.$",
        "bare": r"^_$|^(an?|the) _\.$",
        "tinted": r"\bin (\w+) light|^an? (plain|warm|cool|dark) ",
    }
    for kind, pattern in kinds.items():
        count = sum(bool(re.search(pattern, rest)) for _, _, rest in described)
        expected = [KINDS[kind] * len(described), (1 - KINDS[kind]) * len(described)]
        assert chisquare([count, len(described) - count], expected).pvalue > FALSE_ALARM_RATE, kind
    assert sum(KINDS.values()) == pytest.approx(1)


def test_collections_templates_are_among_them(described):
    templates = {name: entry.template for entry in all_collections().values() for name in entry.concepts}
    share = np.mean([text == templates[row["concept"]].format(row["concept"]) for row, text, _ in described])
    assert share >= 0.8 * KINDS["collection"]


def test_the_vocabulary_holds_every_word(described):
    known = {word for text in vocabulary_texts() for word in re.findall(r"[a-z]+", text)}
    assert {word for _, text, _ in described for word in re.findall(r"[a-z]+", text)} <= known | {"an"}


def test_captions_follow_from_the_random_source_alone():
    sample = PictoWorld(("mammals",)).sample(50, rng=np.random.default_rng(0))
    assert captions(sample, rng=np.random.default_rng(1)) == captions(sample, rng=np.random.default_rng(1))
    assert captions(sample, rng=np.random.default_rng(1)) != captions(sample, rng=np.random.default_rng(2))
