"""What is behind the pictogram: textures, confetti, and the grain of a noisy picture."""

from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from causalvlm.worlds.picto.factors import FACTORS

GRAIN_COUNT, GRAIN_SIZE = 8, 128
"""Fields of grain, and pixels on their sides."""

CONFETTI_LAYOUTS, CONFETTI_MOST = 64, 12
"""Ways to lie, and most pieces on one picture."""

Plane = Float[Tensor, "rows _ _"]
Pattern = Callable[[Plane, Plane, Plane], Plane]


def texture(codes: Int[Tensor, " rows"], jitter: Float[Tensor, "rows 3"], size: int) -> Plane:
    """How much of the darker shade each pixel has, 0 to 1.

    Args:
        codes: levels of the factor background.
        jitter: horizontal phase, vertical phase and fineness.
        size: pixels on a side.

    Example:
        >>> texture(torch.tensor([0]), torch.zeros(1, 3), 4).unique()
        tensor([0.])
    """
    steps = (torch.arange(size, device=jitter.device) + 0.5) / size
    shades = torch.zeros(len(codes), size, size, device=jitter.device)
    for code, level in enumerate(FACTORS["background"]):
        rows = (codes == code).nonzero().squeeze(-1)
        if len(rows) and level in _PATTERNS:
            phase_x, phase_y, fineness = jitter[rows].unbind(-1)
            x = (steps + phase_x[:, None])[:, None, :].expand(-1, size, -1)
            y = (steps + phase_y[:, None])[:, :, None].expand(-1, -1, size)
            shades[rows] = _PATTERNS[level](x, y, 4 + 2 * fineness[:, None, None])
    return shades


def _wave(x: Plane) -> Plane:
    """A square wave of period one with soft edges, 0 to 1."""
    return (torch.sin(2 * torch.pi * x) * 4).clamp(-1, 1) * 0.5 + 0.5


def _speckled(x: Plane, y: Plane, fineness: Plane) -> Plane:
    cell = torch.sin(torch.floor(x * fineness * 4) * 12.9898 + torch.floor(y * fineness * 4) * 78.233) * 43758.5453
    return ((cell - torch.floor(cell)) > 0.65).float()


_PATTERNS: dict[str, Pattern] = {
    "striped": lambda x, y, fineness: _wave((x + y) * fineness),
    "dotted": lambda x, y, f: ((torch.sin(2 * torch.pi * x * f) * torch.sin(2 * torch.pi * y * f) - 0.35) * 4).clamp(
        0, 1
    ),
    "checked": lambda x, y, fineness: (_wave(x * fineness) - _wave(y * fineness)).abs(),
    "gradient": lambda _x, y, _fineness: 1.3 * (y - y.amin((1, 2), keepdim=True)),
    "wavy": lambda x, y, fineness: _wave(y * fineness + 0.35 * torch.sin(2 * torch.pi * x * 3)),
    "ringed": lambda x, y, fineness: _wave(fineness * 1.4 * torch.hypot(x - 0.5, y - 0.5)),
    "speckled": _speckled,
}
"""All but plain, which is bare."""


def confetti(
    ground: Float[Tensor, "rows 3 _ _"], pieces: Int[Tensor, " rows"], jitter: Float[Tensor, " rows"]
) -> Float[Tensor, "rows 3 _ _"]:
    """Strew coloured squares over the ground, in place.

    Args:
        ground: what to strew them on.
        pieces: how many on each picture.
        jitter: which of the layouts.

    Example:
        >>> confetti(torch.zeros(1, 3, 8, 8), torch.tensor([0]), torch.zeros(1)).any()
        tensor(False)
    """
    rows = pieces.nonzero().squeeze(-1)
    if not len(rows):
        return ground
    places, colours, side = _confetti_layouts(ground.device)
    size = ground.shape[-1]
    layout = (jitter[rows] * CONFETTI_LAYOUTS).long()
    steps = (torch.arange(size, device=ground.device) + 0.5) / size
    strewn = ground[rows]
    for piece in range(int(pieces.max())):
        there = (pieces[rows] > piece).float()[:, None, None]
        across = ((steps - places[layout, piece, :1]).abs() < side).float()
        down = ((steps - places[layout, piece, 1:]).abs() < side).float()
        mask = (there * down[:, :, None] * across[:, None, :])[:, None]
        strewn = torch.lerp(strewn, colours[layout, piece][:, :, None, None], mask)
    ground[rows] = strewn
    return ground


@cache
def _confetti_layouts(device: torch.device) -> tuple[Tensor, Tensor, float]:
    generator = torch.Generator().manual_seed(1)
    places = torch.rand(CONFETTI_LAYOUTS, CONFETTI_MOST, 2, generator=generator)
    colours = torch.rand(CONFETTI_LAYOUTS, CONFETTI_MOST, 3, generator=generator)
    return places.to(device), colours.to(device), 0.045


@cache
def grain(device: torch.device) -> Float[Tensor, "_ _ _"]:
    """Fixed fields of Gaussian noise that pictures take their grain from.

    Example:
        >>> grain(torch.device("cpu")).shape
        torch.Size([8, 128, 128])
    """
    generator = torch.Generator().manual_seed(0)
    return torch.randn(GRAIN_COUNT, GRAIN_SIZE, GRAIN_SIZE, generator=generator).to(device)
