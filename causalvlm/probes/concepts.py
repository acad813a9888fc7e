"""Factors that a model names itself: scores of images along directions between texts, and how far wordings agree.

A concept score is the model's own view. It can show what the model takes an image for, not what is on it: where the
model confuses a meadow with a forest, so does the score. Nor does reliability, the agreement of wordings, show that a
concept is seen at all: two invented words give a direction too, and their paraphrases agree. Look at the `examples`.

The levels are a function of the embedding, so that a probe always decodes them: of a concept, ask what goes with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from sklearn.metrics import cohen_kappa_score

from causalvlm.errors import InputError
from cdc.backbones.backbone import Backbone
from cdc.backbones.tokens import fits

FEWEST_PROMPTS = 4
"""Prompts of a level: each half of them is an ensemble of at least two."""

RATED_IMAGES = 5000
"""Images that reliability and kappa are computed from, evenly spaced: more would change the third digit."""

SPLITS = 10
"""Ways to halve the prompts that reliability and kappa are the mean over, or fewer where there are no more."""

RELIABLE = 0.7
"""Least reliability of the scores (Nunnally, Psychometric Theory, 1978, for early research)."""

AGREEING = 0.4
"""Least kappa between the levels by either half of the prompts: "moderate" (Landis & Koch, Biometrics 1977)."""

UNTOLD = 1e-5
"""Scores that spread by less are rounding: the model takes the texts for one and the same."""

EXAMPLES = 5
"""Images kept for every level, those that score highest."""


@dataclass(frozen=True)
class Concept:
    """A factor in words: levels that exclude each other, each with prompts that say the same in different ways.

    Attributes:
        name: of the factor.
        levels: prompts by level; every level has the same number, at least `FEWEST_PROMPTS`.

    Raises:
        InputError: if there are fewer than two levels, or too few or unequal numbers of prompts.

    Example:
        >>> Concept("light", {"day": ("by day", "daytime", "daylight", "sunlit"), "night": ("at night",)})
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: a concept must have ... 'light' has 4 for 'day', 1 for 'night'...
    """

    name: str
    levels: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        counts = [len(prompts) for prompts in self.levels.values()]
        if len(counts) < 2 or len(set(counts)) > 1 or counts[0] < FEWEST_PROMPTS:
            received = ", ".join(f"{len(prompts)} for {level!r}" for level, prompts in self.levels.items())
            raise InputError(
                f"a concept must have at least two levels, with {FEWEST_PROMPTS} prompts or more and equally many for "
                f"each; {self.name!r} has {received or 'none'}. Word every level in the same number of ways."
            )

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts of all levels, level by level."""
        return tuple(prompt for prompts in self.levels.values() for prompt in prompts)


@dataclass(frozen=True, eq=False)
class ConceptScores:
    """How a model scores images along a concept, and whether wordings agree on it.

    Attributes:
        concept: what was asked.
        scores: cosine of every image to the mean text feature of each level, minus the mean over levels.
        levels: the level with the highest score, of every image: the model's zero-shot answer.
        reliability: of the scores: correlation between disjoint halves of the prompts, level by level and pooled,
            stepped up to all prompts, 2 r / (1 + r) (Spearman, British Journal of Psychology 1910; Brown, the same
            issue).
        kappa: agreement, beyond chance, of the levels by either half alone (Cohen, Educational and Psychological
            Measurement 1960).
        examples: rows that score highest for each level, for a person to look at.
    """

    concept: Concept
    scores: Float[np.ndarray, "rows _"] = field(repr=False)
    levels: Shaped[np.ndarray, " rows"] = field(repr=False)
    reliability: float
    kappa: float
    examples: Mapping[str, tuple[int, ...]]

    @property
    def reason(self) -> str:
        """Why the concept is left out; empty for one that wordings agree on."""
        if np.ptp(self.scores, axis=0).max() < UNTOLD:
            return "the model does not tell its texts apart"
        if self.reliability < RELIABLE:
            return f"its scores depend on the wording (reliability {self.reliability:.2f}, below {RELIABLE})"
        if self.kappa < AGREEING:
            return f"its levels depend on the wording (kappa {self.kappa:.2f}, below {AGREEING})"
        return ""

    @property
    def about(self) -> str:
        """What was measured, in words."""
        return (
            f"the model's own answer among {', '.join(map(repr, self.concept.levels))}, in {len(self.concept.prompts)} "
            f"prompts (reliability {self.reliability:.2f}, kappa {self.kappa:.2f})"
        )

    def to_record(self) -> dict[str, Any]:
        """The numbers as plain values for JSON, without those of single images."""
        return {
            "concept": self.concept.name,
            "prompts": {level: list(prompts) for level, prompts in self.concept.levels.items()},
            "reliability": self.reliability,
            "kappa": self.kappa,
            "reason": self.reason,
            "examples": {level: list(rows) for level, rows in self.examples.items()},
        }


def score_concept(features: Float[np.ndarray, "rows dim"], concept: Concept, backbone: Backbone) -> ConceptScores:
    """Score images along a concept.

    Args:
        features: embeddings of the images by the backbone.
        concept: levels in words.
        backbone: its text tower reads the prompts.

    Raises:
        InputError: if features are not the backbone's, or a prompt does not fit its text tower.

    Example:
        >>> import cdc
        >>> backbone = cdc.load_backbone("picto")
        >>> words = {"line": ("a line drawing", "a sketch", "an outline", "a line sketch"),
        ...          "dark": ("a silhouette", "a black shape", "black silhouette", "a dark silhouette")}
        >>> found = score_concept(backbone.encode_texts(["sketch", "black"]).numpy(), Concept("style", words), backbone)
        >>> found.levels.tolist()
        ['line', 'dark']
    """
    if features.shape[1] != backbone.dim:
        raise InputError(
            f"concepts must be scored by the backbone that made the features, {backbone.dim} numbers an image; "
            f"received {features.shape[1]}. Pass that backbone."
        )
    images = np.asarray(features, dtype=np.float32)
    images = images / np.maximum(np.linalg.norm(images, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    texts = _encode(concept, backbone)
    names = np.array(list(concept.levels))
    scores = _score(images, texts)
    halves = list(_halves(texts.shape[1]))
    rated = images[:: max(1, len(images) // RATED_IMAGES)]
    pairs = [(_score(rated, texts[:, one]), _score(rated, texts[:, other])) for one, other in halves]
    best = np.argsort(-scores, axis=0, kind="stable")[:EXAMPLES].T
    return ConceptScores(
        concept=concept,
        scores=scores,
        levels=names[scores.argmax(axis=1)],
        reliability=_step_up(float(np.mean([_correlate(*pair) for pair in pairs]))),
        kappa=float(np.mean([_agree(one.argmax(axis=1), other.argmax(axis=1)) for one, other in pairs])),
        examples={str(name): tuple(map(int, rows)) for name, rows in zip(names, best, strict=True)},
    )


def score_concepts(
    features: Float[np.ndarray, "rows dim"], backbone: Backbone, concepts: Sequence[Concept]
) -> tuple[ConceptScores, ...]:
    """Score images along several concepts, as `score_concept` along one.

    Example:
        >>> import cdc
        >>> score_concepts(np.eye(192)[:3], cdc.load_backbone("picto"), ())
        ()
    """
    return tuple(score_concept(features, concept, backbone) for concept in concepts)


def _encode(concept: Concept, backbone: Backbone) -> Float[np.ndarray, "_ _ dim"]:
    """Unit-length features of the prompts: level, prompt, dimension."""
    prompts = concept.prompts
    for prompt, fit in zip(prompts, fits(backbone.text.tokenizer, prompts, backbone.text.context_length), strict=True):
        if not fit:
            raise InputError(
                f"a prompt must fit the {backbone.text.context_length} tokens of the text tower; received {prompt!r} "
                f"in {concept.name!r}. Shorten it."
            )
    return backbone.encode_texts(prompts).cpu().numpy().reshape(len(concept.levels), -1, backbone.dim)


def _score(images: Float[np.ndarray, "rows dim"], texts: Float[np.ndarray, "_ _ dim"]) -> Float[np.ndarray, "rows _"]:
    """Cosines to the levels' mean text features (Radford et al., ICML 2021, section 3.1.4), centred over levels."""
    means = texts.mean(axis=1)
    cosines = images @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    return cosines - cosines.mean(axis=1, keepdims=True)


def _halves(prompts: int) -> Iterator[tuple[list[int], list[int]]]:
    """Disjoint halves of the prompts' places, up to `SPLITS` of them, evenly from all there are."""
    ways = [way for way in combinations(range(prompts), prompts // 2) if prompts % 2 or 0 in way]
    for way in ways[:: max(1, len(ways) // SPLITS)][:SPLITS]:
        yield list(way), [place for place in range(prompts) if place not in way]


def _correlate(one: Float[np.ndarray, "rows _"], other: Float[np.ndarray, "rows _"]) -> float:
    """Correlation of scores within levels, pooled; zero where one of them does not spread."""
    a, b = (scores - scores.mean(axis=0) for scores in (one, other))
    spread = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / spread) if min(a.std(), b.std()) > UNTOLD else 0.0


def _step_up(correlation: float) -> float:
    """Reliability of twice the prompts, 2 r / (1 + r); what is below zero stays."""
    return 2 * correlation / (1 + correlation) if correlation > 0 else correlation


def _agree(one: Int[np.ndarray, " rows"], other: Int[np.ndarray, " rows"]) -> float:
    """Cohen's kappa; zero where both give one and the same level to every image, for which it is not defined."""
    if len(np.unique(np.concatenate([one, other]))) == 1:
        return 0.0
    return float(cohen_kappa_score(one, other))
