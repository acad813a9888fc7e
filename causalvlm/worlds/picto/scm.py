"""The structural causal model of Picto: D -> G_r and D -> G_i, factors -> X, G_r -> Y, with a dial for confounding.

D is the hidden source that a picture comes from. Every source has its habits (a background, a colour, a style, a tint)
and its own concepts: the paper's pre-training data, in which "the photograph of a cow" means grass as well.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal
from zlib import crc32

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from causalvlm.errors import InputError
from causalvlm.graphs.graph import CausalGraph
from causalvlm.randomness import Rng, generator
from causalvlm.worlds.picto.assets import load_sprites
from causalvlm.worlds.picto.collections import all_collections, collection
from causalvlm.worlds.picto.factors import FACTORS, level_code
from causalvlm.worlds.picto.scene import JITTERS, Scenes, render

SOURCES = 8
"""Values of D."""

CONFOUNDED = ("style", "background", "background_colour", "tint")
"""The factors that D decides on; the others have no cause."""

_HABITS: Mapping[str, tuple[str, ...]] = {
    "style": ("colour", "colour", "colour", "colour", "grey", "line", "silhouette", "inverted"),
    "background": FACTORS["background"],
    "background_colour": FACTORS["background_colour"],
    "tint": ("none", "none", "warm", "cool", "dark", "none", "warm", "cool"),
}
"""For each source, its habitual level of each confounded factor."""

_HABIT_SHARE: Mapping[str, float] = {"style": 0.6, "background": 1.0, "background_colour": 1.0, "tint": 1.0}
"""How habitual: the rest of a source's pictures has the factor's first level."""

_FREE: Mapping[str, tuple[float, ...]] = {
    "scale": (0.5, 0.35, 0.15),
    "rotation": (0.7, 0.125, 0.125, 0.05),
    "position": (0.6, 0.1, 0.1, 0.1, 0.1),
    "clutter": (0.6, 0.25, 0.15),
    "quality": (0.7, 0.15, 0.15),
}
"""Probabilities of the levels of the factors without a cause."""

Regime = Literal["pretraining", "downstream", "shifted"]

_STRENGTHS: Mapping[str, float] = {"pretraining": 0.9, "downstream": 0.5, "shifted": 0.9}
_MOVES: Mapping[str, int] = {"pretraining": 0, "downstream": 3, "shifted": 4}
"""By how many sources each concept has moved from where pre-training has it: no concept stays."""


@dataclass(frozen=True)
class PictoWorld:
    """Pictures of the concepts of one collection (or of several) as one regime has them.

        D ~ by the concepts each source owns;  concept | D ~ one of D's own with probability `strength`, else any
        style, background, background_colour, tint | D ~ D's habit with probability `strength`, else the mixture of all
        sources' habits;  scale, rotation, position, clutter, quality ~ fixed;  X = render(all);  Y = concept

    Every marginal distribution is the same at every strength and in every regime (up to the rounding of sources over
    concepts); only what goes with what differs. A model that learned no confounding has nothing to lose in `shifted`.

    Attributes:
        collections: names of collections; all eleven by default.
        regime: which concepts belong to which source: as in pre-training, or moved.
        strength: of the confounding, 0 to 1; None is the regime's own (pretraining 0.9, downstream 0.5, shifted 0.9).

    Raises:
        InputError: if a collection or regime is unknown, or the strength is outside 0 to 1.

    Example:
        >>> world = PictoWorld(("mammals",))
        >>> print(world.graph().open_path("background", "Y"))
        background <- D -> concept -> Y
        >>> pictures = world.sample(4, do={"background": "striped"}, rng=np.random.default_rng(0))
        >>> pictures.table()["background"].unique().tolist(), pictures.render().shape
        (['striped'], torch.Size([4, 3, 64, 64]))
    """

    collections: tuple[str, ...] = field(default_factory=lambda: tuple(all_collections()))
    regime: Regime = "pretraining"
    strength: float | None = None

    def __post_init__(self) -> None:
        for name in self.collections:
            collection(name)
        if self.regime not in _STRENGTHS:
            close = difflib.get_close_matches(self.regime, _STRENGTHS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise InputError(f"regime must be one of {', '.join(_STRENGTHS)}; received {self.regime!r}.{hint}")
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise InputError(f"strength must be from 0 (no confounding) to 1; received {self.strength}.")

    @property
    def confounding(self) -> float:
        """The strength in force."""
        return _STRENGTHS[self.regime] if self.strength is None else self.strength

    @cached_property
    def concepts(self) -> tuple[str, ...]:
        """Names of the concepts, collection by collection; their order is that of `PictoSample.labels`.

        Example:
            >>> PictoWorld(("mammals",)).concepts[0]
            'badger'
        """
        return tuple(name for key in self.collections for name in collection(key).concepts)

    @cached_property
    def homes(self) -> Int[np.ndarray, " _"]:
        """For each concept, the source that owns it.

        Example:
            >>> PictoWorld(("mammals",)).homes.max().item()
            7
        """
        homes = [_pretraining_homes(name) for name in self.collections]
        return (np.concatenate(homes) + _MOVES[self.regime]) % SOURCES

    @cached_property
    def source_probabilities(self) -> Float[np.ndarray, " _"]:
        """P(D): the share of concepts that each source owns, so that concepts are equally frequent.

        Example:
            >>> round(float(PictoWorld().source_probabilities.sum()), 6)
            1.0
        """
        return np.bincount(self.homes, minlength=SOURCES) / len(self.homes)

    def concept_probabilities(self) -> Float[np.ndarray, "_ _"]:
        """P(concept | D).

        Example:
            >>> PictoWorld(("mammals",)).concept_probabilities().sum(1).round(6).tolist()
            [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
        """
        owned = (self.homes == np.arange(SOURCES)[:, None]).astype(float)
        counts = owned.sum(1, keepdims=True)
        uniform = np.full_like(owned, 1 / len(self.homes))
        own = np.where(counts > 0, owned / np.maximum(counts, 1), uniform)
        return self.confounding * own + (1 - self.confounding) * uniform

    def level_probabilities(self, factor: str) -> Float[np.ndarray, "_ _"]:
        """P(level of `factor` | D); rows are equal for a factor without a cause.

        Example:
            >>> PictoWorld(strength=1.0).level_probabilities("background").diagonal().tolist()
            [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
        """
        if factor in _FREE:
            return np.tile(np.array(_FREE[factor]), (SOURCES, 1))
        habits = np.zeros((SOURCES, len(FACTORS[factor])))
        for source, level in enumerate(_HABITS[factor]):
            habits[source, level_code(factor, level)] += _HABIT_SHARE[factor]
            habits[source, 0] += 1 - _HABIT_SHARE[factor]
        return self.confounding * habits + (1 - self.confounding) * (self.source_probabilities @ habits)

    def graph(self, *, uncaused: bool = True) -> CausalGraph:
        """The model as a causal graph, with Y the label and Y_hat any model's prediction from the picture X.

        Args:
            uncaused: with the five factors that nothing causes; without, it is easier to look at, and all effects of
                the others are identified in the same way.

        Example:
            >>> PictoWorld(strength=0.0).graph().open_path("background", "Y") is None
            True
        """
        edges = [(factor, "X") for factor in (FACTORS if uncaused else CONFOUNDED)] + [
            ("concept", "X"),
            ("concept", "Y"),
            ("X", "Y_hat"),
        ]
        if self.confounding > 0:
            edges += [("D", "concept"), *(("D", factor) for factor in CONFOUNDED)]
        return CausalGraph(edges, latent=["D"] if self.confounding > 0 else [])

    def sample(self, n: int, *, do: Mapping[str, str] | None = None, rng: Rng) -> "PictoSample":
        """Draw n pictures, observed or under an intervention.

        Args:
            n: how many.
            do: levels that are set, whatever their causes: ``{"background": "striped"}``, also ``{"concept": "dog"}``.
            rng: source of randomness, or a seed.

        Raises:
            InputError: if n is negative, or a factor, level or concept is unknown.

        Example:
            >>> badgers = PictoWorld(("mammals",)).sample(2, do={"concept": "badger"}, rng=np.random.default_rng(0))
            >>> badgers.labels.tolist()
            [0, 0]
        """
        if n < 0:
            raise InputError(f"the number of pictures must not be negative; received {n}.")
        noise = generator(rng).random((n, 2 + len(FACTORS) + JITTERS))
        sample = PictoSample(self, noise, {})
        return sample.intervene(do or {})


@dataclass(frozen=True, eq=False)
class PictoSample:
    """Pictures drawn from a world, kept as their exogenous noise: everything else is a function of it.

    Attributes:
        world: where they come from.
        noise: uniform numbers, one row per picture: for D, the concept, each factor, and the renderer's jitter.
        interventions: levels that were set.
    """

    world: PictoWorld
    noise: Float[np.ndarray, "rows _"]
    interventions: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.noise)

    def intervene(self, do: Mapping[str, str]) -> "PictoSample":
        """The same pictures under an intervention: counterfactuals, with the same noise.

        Raises:
            InputError: if a factor, level or concept is unknown.

        Example:
            >>> seen = PictoWorld(("mammals",)).sample(3, rng=np.random.default_rng(0))
            >>> striped = seen.intervene({"background": "striped"})
            >>> bool((seen.labels == striped.labels).all()), striped.table()["background"].tolist()
            (True, ['striped', 'striped', 'striped'])
        """
        for factor, level in do.items():
            if factor == "concept":
                self._concept_index(level)
            else:
                level_code(factor, level)
        return replace(self, interventions={**self.interventions, **do})

    def _concept_index(self, name: str) -> int:
        if name not in self.world.concepts:
            close = difflib.get_close_matches(name, self.world.concepts, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise InputError(
                f"concept must be one of this world's {len(self.world.concepts)}; received {name!r}.{hint}"
            )
        return self.world.concepts.index(name)

    @cached_property
    def sources(self) -> Int[np.ndarray, " rows"]:
        """D of each picture, which a study must not see."""
        return _inverse_cdf(self.world.source_probabilities, self.noise[:, 0])

    @cached_property
    def labels(self) -> Int[np.ndarray, " rows"]:
        """Y: index of the concept in `PictoWorld.concepts`."""
        if "concept" in self.interventions:
            return np.full(len(self), self._concept_index(self.interventions["concept"]))
        return _inverse_cdf(self.world.concept_probabilities()[self.sources], self.noise[:, 1])

    @cached_property
    def levels(self) -> Mapping[str, Int[np.ndarray, " rows"]]:
        """Level codes of every factor."""
        codes: dict[str, Int[np.ndarray, " rows"]] = {}
        for column, factor in enumerate(FACTORS, start=2):
            if factor in self.interventions:
                codes[factor] = np.full(len(self), level_code(factor, self.interventions[factor]))
            else:
                codes[factor] = _inverse_cdf(
                    self.world.level_probabilities(factor)[self.sources], self.noise[:, column]
                )
        return codes

    def table(self) -> pd.DataFrame:
        """Concept and factors of each picture, as words: what a study may observe.

        Example:
            >>> PictoWorld().sample(0, rng=np.random.default_rng(0)).table().columns[:2].tolist()
            ['concept', 'style']
        """
        words = {"concept": np.array(self.world.concepts)[self.labels]}
        words |= {factor: np.array(FACTORS[factor])[codes] for factor, codes in self.levels.items()}
        return pd.DataFrame(words)

    @cached_property
    def scenes(self) -> Scenes:
        """What the renderer draws."""
        known = {name: index for index, name in enumerate(load_sprites().concepts)}
        rows = torch.tensor([known[name] for name in self.world.concepts])
        levels = {factor: torch.from_numpy(codes) for factor, codes in self.levels.items()}
        return Scenes(rows[self.labels], levels, torch.from_numpy(self.noise[:, -JITTERS:]).float())

    def render(self, *, size: int = 64, device: torch.device | str = "cpu") -> UInt8[Tensor, "rows 3 _ _"]:
        """Pixels of every picture (see `scene.render`).

        Example:
            >>> PictoWorld().sample(2, rng=np.random.default_rng(0)).render(size=32).shape
            torch.Size([2, 3, 32, 32])
        """
        return render(self.scenes, size=size, device=device)


def _pretraining_homes(name: str) -> Int[np.ndarray, " _"]:
    """Sources dealt out over a collection's concepts in a fixed shuffled order."""
    rng = np.random.default_rng(crc32(name.encode()))
    count = len(collection(name).concepts)
    return rng.permutation((np.arange(count) + rng.integers(SOURCES)) % SOURCES)


def _inverse_cdf(
    probabilities: Float[np.ndarray, "*_ _"], uniforms: Float[np.ndarray, " rows"]
) -> Int[np.ndarray, " rows"]:
    """The level that each uniform number falls to."""
    below = probabilities.cumsum(-1)[..., :-1] <= uniforms[:, None]
    return below.sum(-1)
