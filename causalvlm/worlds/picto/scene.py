"""Scenes: every factor of a batch of pictures, and the renderer that makes pixels of them.

Rendering is a function of the scene alone: what is random (jitter, phases, grain) was drawn before and is part of it,
so that a picture can be rendered again with one factor changed and nothing else.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from causalvlm.errors import InputError
from causalvlm.worlds.picto.assets import Sprites, load_sprites
from causalvlm.worlds.picto.factors import FACTORS, level_code
from causalvlm.worlds.picto.textures import GRAIN_COUNT, GRAIN_SIZE, confetti, grain, texture

JITTERS = 24
"""Uniform numbers per picture for everything that no named factor decides."""

BATCH = 128
"""Pictures rendered at a time."""

_COLOURS = {
    "white": (0.97, 0.97, 0.96), "yellow": (0.97, 0.86, 0.42), "green": (0.56, 0.78, 0.52), "blue": (0.50, 0.70, 0.92),
    "pink": (0.96, 0.67, 0.76), "grey": (0.66, 0.67, 0.69), "orange": (0.96, 0.66, 0.38), "purple": (0.71, 0.59, 0.86),
}  # fmt: skip
_TINTS = {"none": (1.0, 1.0, 1.0), "warm": (1.0, 0.88, 0.68), "cool": (0.72, 0.90, 1.0), "dark": (0.55, 0.55, 0.58)}
_SCALES = {"large": 0.95, "medium": 0.72, "small": 0.5}
_ANGLES = {"upright": 0.0, "tilted left": -35.0, "tilted right": 35.0, "upside down": 180.0}
_PLACES = {"centre": (0.0, 0.0), "left": (-1.0, 0.0), "right": (1.0, 0.0), "top": (0.0, -1.0), "bottom": (0.0, 1.0)}
_PIECES = {"none": 0, "some": 5, "much": 12}
_INK = 0.13
_NOISE = 0.1
_LUMINANCE = (0.299, 0.587, 0.114)


@dataclass(frozen=True, eq=False)
class Scenes:
    """What is on each of n pictures.

    Attributes:
        concepts: index of the concept in `Sprites.concepts`.
        levels: for each factor, the code of its level.
        jitter: uniform numbers in [0, 1) that decide all the rest.
    """

    concepts: Int[Tensor, " rows"]
    levels: Mapping[str, Int[Tensor, " rows"]]
    jitter: Float[Tensor, "rows _"]

    def __len__(self) -> int:
        return len(self.concepts)

    def __getitem__(self, rows: slice | Tensor) -> "Scenes":
        levels = {factor: codes[rows] for factor, codes in self.levels.items()}
        return Scenes(self.concepts[rows], levels, self.jitter[rows])

    def with_level(self, factor: str, level: str) -> "Scenes":
        """The same scenes with one factor set to one level: counterfactuals.

        Raises:
            InputError: if there is no such factor or level.

        Example:
            >>> scenes = plain_scenes(["dog", "cat"])
            >>> scenes.with_level("style", "line").levels["style"]
            tensor([2, 2])
        """
        codes = torch.full_like(self.concepts, level_code(factor, level))
        return replace(self, levels={**self.levels, factor: codes})


def plain_scenes(concepts: list[str]) -> Scenes:
    """One scene per concept with every factor at its first level and all jitter in the middle.

    Raises:
        InputError: if a name is no concept of Picto.

    Example:
        >>> len(plain_scenes(["dog", "cat"]))
        2
    """
    known = {name: index for index, name in enumerate(load_sprites().concepts)}
    unknown = sorted(set(concepts) - set(known))
    if unknown:
        raise InputError(
            f"a concept must be one of Picto's; received {unknown}. See causalvlm.worlds.picto.collections."
        )
    rows = torch.tensor([known[name] for name in concepts])
    return Scenes(rows, {factor: torch.zeros_like(rows) for factor in FACTORS}, torch.full((len(rows), JITTERS), 0.5))


def render(scenes: Scenes, *, size: int = 64, device: torch.device | str = "cpu") -> UInt8[Tensor, "rows 3 _ _"]:
    """Draw every scene.

    The same scenes give the same pixels, in whatever batches (on one device: a GPU may round otherwise).

    Args:
        scenes: what to draw.
        size: pixels on a side.
        device: where to draw.

    Returns:
        Pixels on `device`, 0 to 255.

    Example:
        >>> render(plain_scenes(["dog"])).shape
        torch.Size([1, 3, 64, 64])
    """
    sprites = _premultiplied(torch.device(device))
    pixels = torch.empty(len(scenes), 3, size, size, dtype=torch.uint8, device=device)
    for start in range(0, len(scenes), BATCH):
        batch = scenes[start : start + BATCH]
        moved = {factor: codes.to(device) for factor, codes in batch.levels.items()}
        batch = Scenes(batch.concepts.to(device), moved, batch.jitter.to(device))
        pixels[start : start + BATCH] = _draw(batch, sprites, size)
    return pixels


@cache
def _premultiplied(device: torch.device) -> Float[Tensor, "_ _ 4 _ _"]:
    """The colour drawings and the line drawings, colours multiplied by opacity: what may be interpolated."""
    sprites: Sprites = load_sprites()
    both = torch.stack([sprites.colour, sprites.line]).to(device).float() / 255
    both[:, :, :3] *= both[:, :, 3:]
    return both


def _draw(scenes: Scenes, sprites: Tensor, size: int) -> UInt8[Tensor, "rows 3 _ _"]:
    figure = _figure(scenes, sprites, size)
    ground = _ground(scenes, size)
    picture = figure[:, :3] + (1 - figure[:, 3:]) * ground
    picture *= _table(_TINTS, picture)[scenes.levels["tint"]][:, :, None, None]
    return (_degrade(picture, scenes) * 255).round_().clamp_(0, 255).to(torch.uint8)


def _figure(scenes: Scenes, sprites: Tensor, size: int) -> Float[Tensor, "rows 4 _ _"]:
    """The pictogram in its style, turned, scaled and placed; premultiplied RGBA."""
    style = scenes.levels["style"]
    line = level_code("style", "line")
    drawn = sprites[(style == line).long(), scenes.concepts]
    figure = functional.grid_sample(drawn, _placement(scenes, size), align_corners=False)
    colour, opacity = figure[:, :3], figure[:, 3:]
    weights = torch.tensor(_LUMINANCE, device=figure.device)
    grey = style == level_code("style", "grey")
    colour[grey] = torch.einsum("nchw,c->nhw", colour[grey], weights)[:, None].expand(-1, 3, -1, -1)
    inverted = style == level_code("style", "inverted")
    colour[inverted] = opacity[inverted] - colour[inverted]
    silhouette = style == level_code("style", "silhouette")
    colour[silhouette] = opacity[silhouette] * _INK
    return figure


def _placement(scenes: Scenes, size: int) -> Float[Tensor, "rows _ _ 2"]:
    """Where each pixel of the picture looks into the sprite."""
    jitter = scenes.jitter
    angle = _table(_ANGLES, jitter)[scenes.levels["rotation"]] + 16 * (jitter[:, 0] - 0.5)
    scale = _table(_SCALES, jitter)[scenes.levels["scale"]] * (1 + 0.12 * (jitter[:, 1] - 0.5))
    room = 1.05 - scale
    place = _table(_PLACES, jitter)[scenes.levels["position"]] * room[:, None] + 0.12 * (jitter[:, 2:4] - 0.5)
    cos, sin = torch.cos(angle * math.pi / 180) / scale, torch.sin(angle * math.pi / 180) / scale
    turn = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)
    shift = -(turn @ place[:, :, None])
    return functional.affine_grid(torch.cat([turn, shift], -1), [len(scenes), 1, size, size], align_corners=False)


def _ground(scenes: Scenes, size: int) -> Float[Tensor, "rows 3 _ _"]:
    """The textured background with its clutter."""
    jitter = scenes.jitter
    base = _table(_COLOURS, jitter)[scenes.levels["background_colour"]] + 0.06 * (jitter[:, 4:7] - 0.5)
    shade = base * 0.72
    pattern = texture(scenes.levels["background"], jitter[:, 7:10], size)
    ground = base[:, :, None, None] + pattern[:, None] * (shade - base)[:, :, None, None]
    pieces = torch.tensor(list(_PIECES.values()), device=jitter.device)[scenes.levels["clutter"]]
    return confetti(ground, pieces, jitter[:, 10])


def _degrade(picture: Float[Tensor, "rows 3 _ _"], scenes: Scenes) -> Float[Tensor, "rows 3 _ _"]:
    """Blur or grain, in place, for the pictures that have it."""
    quality, size = scenes.levels["quality"], picture.shape[-1]
    blurred = quality == level_code("quality", "blurred")
    if blurred.any():
        padded = functional.pad(picture[blurred], (2, 2, 2, 2), mode="replicate")
        picture[blurred] = functional.avg_pool2d(functional.avg_pool2d(padded, 3, stride=1), 3, stride=1)
    noisy = quality == level_code("quality", "noisy")
    if noisy.any():
        which, across, down = (scenes.jitter[noisy, 11:14] * torch.tensor(
            [GRAIN_COUNT, GRAIN_SIZE, GRAIN_SIZE], device=picture.device
        )).long().unbind(-1)  # fmt: skip
        steps = torch.arange(size, device=picture.device)
        rows, columns = (down[:, None] + steps) % GRAIN_SIZE, (across[:, None] + steps) % GRAIN_SIZE
        picture[noisy] += (
            _NOISE * grain(picture.device)[which[:, None, None], rows[:, :, None], columns[:, None]][:, None]
        )
    return picture


def _table(values: Mapping[str, float] | Mapping[str, tuple[float, ...]], like: Tensor) -> Tensor:
    """A mapping from levels to numbers as a tensor that level codes index."""
    return torch.tensor(list(values.values()), device=like.device, dtype=like.dtype)
