"""Elementary changes of a picture: tone curves, colour, a frame, JPEG, background; and how strong one has to be."""

from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO

import numpy as np
from jaxtyping import Float, Int
from PIL import Image, ImageDraw, ImageEnhance
from scipy.optimize import brentq

from causalvlm.errors import InputError

NEAR = 0.01
"""Part of a goal by which it may be missed."""

FRAME = 0.05
"""Width of a frame, in shorter sides."""

FRAMES = {"white": (255, 255, 255), "black": (0, 0, 0), "coloured": (128, 128, 128)}
"""Colours of frames."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in luma (ITU-R BT.601)."""

TONES = np.arange(256.0)

Curves = Float[np.ndarray, "3 256"]
"""What becomes of every tone of red, green and blue."""

Histogram = Int[np.ndarray, "3 256"]
"""Pixels with every tone of red, green and blue."""


def solve(found: Callable[[float], float], goal: float, low: float, high: float, *, near: float = NEAR) -> float:
    """The strength at which what grows with it meets the goal nearly, or the end that comes nearest.

    Brent's method (Algorithms for Minimization without Derivatives, 1973, chapter 4).

    Example:
        >>> round(solve(lambda strength: strength**2, 9.0, 0.0, 10.0), 1), solve(abs, 9.0, 0.0, 1.0)
        (3.0, 1.0)
    """

    @cache
    def miss(strength: float) -> float:
        gap = found(strength) - goal
        return 0.0 if abs(gap) <= near * abs(goal) else gap

    if miss(low) >= 0:
        return low
    if miss(high) <= 0:
        return high
    return float(brentq(miss, low, high, xtol=1e-4 * (high - low)))  # pyright: ignore[reportArgumentType] - a root


def histogram_of(picture: Image.Image) -> Histogram:
    """Pixels of an RGB picture by channel and tone.

    Example:
        >>> histogram_of(Image.new("RGB", (2, 3), "red"))[:, 255]
        array([6, 0, 0])
    """
    return np.array(picture.histogram()).reshape(3, 256)


def brightness_of(curves: Curves, histogram: Histogram) -> float:
    """Mean luma, 0 to 255, of a picture of this histogram after the curves.

    Example:
        >>> round(brightness_of(np.tile(TONES, (3, 1)), histogram_of(Image.new("RGB", (2, 3), "red"))), 1)
        76.2
    """
    return float(LUMA @ (histogram * curves).sum(axis=1) / histogram[0].sum())


def draw_curves(picture: Image.Image, curves: Curves) -> Image.Image:
    """The picture with every tone replaced.

    Example:
        >>> draw_curves(Image.new("RGB", (1, 1), "red"), np.tile(255 - TONES, (3, 1))).getpixel((0, 0))
        (0, 255, 255)
    """
    return picture.point(np.round(curves).astype(int).reshape(-1).tolist())


def hold_brightness(curves: Curves, histogram: Histogram) -> Curves:
    """The curves within 0 to 255, raised or lowered so that what is clipped does not change the mean luma.

    Example:
        >>> histogram = histogram_of(Image.new("RGB", (2, 3), "red"))
        >>> brightness_of(hold_brightness(np.tile(TONES / 2, (3, 1)), histogram), histogram).__round__()
        76
    """
    before = brightness_of(np.tile(TONES, (3, 1)), histogram)

    def lifted(lift: float) -> float:
        return brightness_of(np.clip(curves + lift, 0, 255), histogram)

    lift = solve(lifted, before, -255.0, 255.0, near=NEAR / 100)
    return np.clip(curves + lift, 0, 255)


def gamma_curves(exponent: float) -> Curves:
    """Tones to the power of an exponent: below one brighter, above one darker, black and white as they are.

    Example:
        >>> gamma_curves(2.0)[0, [0, 128, 255]].round()
        array([  0.,  64., 255.])
    """
    return np.tile(255 * (TONES / 255) ** exponent, (3, 1))


def tint(picture: Image.Image, gains: Sequence[float] | Float[np.ndarray, " 3"]) -> Image.Image:
    """Every channel times its gain, as under coloured light.

    Example:
        >>> tint(Image.new("RGB", (1, 1), "white"), (1.0, 0.5, 0.0)).getpixel((0, 0))
        (255, 128, 0)
    """
    return draw_curves(picture, np.clip(np.outer(gains, TONES), 0, 255))


def scale_colour(picture: Image.Image, gain: float) -> Image.Image:
    """Every pixel at `gain` times its distance from the grey of its luma; 0 is greyscale.

    Interpolation and extrapolation of images (Haeberli & Voorhies, Iris Universe 1994), as Pillow has it.

    Example:
        >>> scale_colour(Image.new("RGB", (1, 1), "red"), 0.0).getpixel((0, 0))
        (76, 76, 76)
    """
    return ImageEnhance.Color(picture).enhance(gain)


def draw_frame(picture: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """A frame of one colour over the outermost pixels, `FRAME` wide.

    Example:
        >>> draw_frame(Image.new("RGB", (40, 40)), (255, 255, 255)).getpixel((1, 20))
        (255, 255, 255)
    """
    framed = picture.copy()
    width = max(1, round(FRAME * min(picture.size)))
    ImageDraw.Draw(framed).rectangle((0, 0, picture.width - 1, picture.height - 1), outline=colour, width=width)
    return framed


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """The picture after it was written as a JPEG and read again, in memory.

    Example:
        >>> as_jpeg(Image.new("RGB", (8, 8), "red"), 10).format
        'JPEG'
    """
    written = BytesIO()
    picture.save(written, "JPEG", quality=quality)
    read = Image.open(written, formats=("JPEG",))
    read.load()
    return read


def swap_background(picture: Image.Image, mask: Image.Image, background: Image.Image | None = None) -> Image.Image:
    """Put what a mask keeps before another background.

    Args:
        picture: in RGB.
        mask: greyscale, of the picture's size: 255 what stays, 0 what goes.
        background: resized to fit; by default mid grey.

    Raises:
        InputError: if the mask has another size.

    Example:
        >>> red = Image.new("RGB", (4, 4), "red")
        >>> swap_background(red, Image.new("L", (4, 4), 0)).getpixel((0, 0))
        (128, 128, 128)
    """
    if mask.size != picture.size:
        raise InputError(f"a mask must have its picture's size {picture.size}; received {mask.size}. Resize it to fit.")
    behind = background.convert("RGB").resize(picture.size) if background else Image.new("RGB", picture.size, "#808080")
    return Image.composite(picture, behind, mask.convert("L"))
