"""Edits of photographs: those that set a measured factor to a value, and free ones that put a model under stress.

An edit changes one thing as far as pixels allow, and what must change along with it is said where it is described. A
setter goes as near to its target as it can: whether that is near enough is for measuring again to say.
"""

import colorsys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from causalvlm.errors import InputError
from causalvlm.probes.pixels import BORDER_TOLERANCE, HUES, MEASURES, Picture
from causalvlm.probes.retouch import (
    FRAMES,
    TONES,
    Curves,
    as_jpeg,
    brightness_of,
    draw_curves,
    draw_frame,
    gamma_curves,
    histogram_of,
    hold_brightness,
    scale_colour,
    solve,
    tint,
)
from causalvlm.randomness import Rng, generator

Value = float | str
"""A number, or a word where the factor has kinds."""

TRIAL_SIDE = 128
"""Strengths are found on a picture of at most this many pixels a side: reduced for tone, its middle for detail."""

MOST_GAIN = 4.0
"""By how much contrast or colour is multiplied at most: beyond, the noise of a grey picture's JPEG is in colour."""

MOST_GAMMA = 3.0
"""Exponent of a gamma curve at most, and its inverse at least."""

MOST_SHARPENING = 150
"""Per cent of unsharp masking at most: sharpening restores no detail, and more of it draws halos."""

FILTERS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares that a coloured filter takes of all channels but its own; the least that gives a picture its hue is taken."""


@dataclass(frozen=True)
class Goal:
    """What a picture shall measure.

    Attributes:
        now: what it measures.
        target: what it shall measure.
        rng: draws grain.
    """

    now: Value
    target: Value
    rng: np.random.Generator


@dataclass(frozen=True)
class Setter:
    """How a measured factor is set.

    Attributes:
        about: what is changed and how, what must change along, and the source.
        change: brings a picture as near to the goal as it can; the same object where there is nothing to do.
    """

    about: str
    change: Callable[[Image.Image, Goal], Image.Image]


@dataclass(frozen=True)
class Edit:
    """A free edit.

    Attributes:
        about: what is changed, and how strongly.
        change: from a picture to the edited one, of the same size but for a crop.
    """

    about: str
    change: Callable[[Image.Image], Image.Image]


def set_factor(name: str, picture: Image.Image, *, now: Value, target: Value, rng: Rng) -> tuple[Image.Image, Value]:
    """Bring a picture as near to a value of a measured factor as its setter can.

    Args:
        name: of the factor, one of `SETTERS`.
        picture: upright, in 8-bit RGB.
        now: what the picture measures, by `MEASURES`.
        target: what it shall measure.
        rng: draws the grain that is added as noise; a seed gives two pictures of one photograph the same grain.

    Returns:
        The picture, and what it measures now.

    Raises:
        InputError: if the factor has no setter.

    Example:
        >>> grey = Image.new("RGB", (64, 64), (100, 100, 100))
        >>> edited, found = set_factor("brightness", grey, now=100 / 255, target=0.6, rng=0)
        >>> edited.getpixel((0, 0)), round(found, 2)
        ((153, 153, 153), 0.6)
    """
    if name not in SETTERS:
        raise InputError(f"a factor that is set must be one of {', '.join(SETTERS)}; received {name!r}. Name one.")
    edited = SETTERS[name].change(picture, Goal(now, target, generator(rng)))
    return (edited, now) if edited is picture else (edited, measure(name, edited))


def measure(name: str, picture: Image.Image) -> Value:
    """What a picture in memory measures.

    Example:
        >>> measure("dominant hue", Image.new("RGB", (8, 8), "blue"))
        'blue'
    """
    return MEASURES[name].of(Picture.of(picture))


def _reduced(picture: Image.Image) -> Image.Image:
    return picture.reduce(-(-max(picture.size) // TRIAL_SIDE))


def _middle(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    left, top = max(0, width - TRIAL_SIDE) // 2, max(0, height - TRIAL_SIDE) // 2
    return picture.crop((left, top, min(width, left + TRIAL_SIDE), min(height, top + TRIAL_SIDE)))


def _tune(
    name: str, trial: Image.Image, goal: Goal, change: Callable[[Image.Image, float], Image.Image],
    low: float, high: float,
) -> float:  # fmt: skip
    """The strength that moves the measure of a trial picture in the proportion that the whole one has to move in."""
    at_rest, target = float(measure(name, trial)), float(goal.target)
    aim = target * at_rest / float(goal.now) if at_rest and float(goal.now) else target
    return solve(lambda strength: float(measure(name, change(trial, strength))), aim, low, high)


def _set_brightness(picture: Image.Image, goal: Goal) -> Image.Image:
    histogram, target, most = histogram_of(picture), 255 * float(goal.target), np.log(MOST_GAMMA)
    plain = np.tile(TONES, (3, 1))
    now = brightness_of(plain, histogram)
    if target < now:
        return draw_curves(picture, plain * (target / now))

    def curves_at(strength: float) -> Curves:
        return gamma_curves(np.exp(-strength))

    strength = solve(lambda strength: brightness_of(curves_at(strength), histogram), target, 0.0, most)
    curves = curves_at(strength)
    reached = brightness_of(curves, histogram)
    veil = (target - reached) / (255.0 - reached) if strength == most else 0.0
    return draw_curves(picture, curves + veil * (255.0 - curves))


def _set_contrast(picture: Image.Image, goal: Goal) -> Image.Image:
    histogram = histogram_of(picture)
    middle = brightness_of(np.tile(TONES, (3, 1)), histogram)

    def stretch(trial: Image.Image, gain: float) -> Image.Image:
        curves = np.tile(middle + gain * (TONES - middle), (3, 1))
        return draw_curves(trial, hold_brightness(curves, histogram))

    return stretch(picture, _tune("contrast", _reduced(picture), goal, stretch, 0.0, MOST_GAIN))


def _set_saturation(picture: Image.Image, goal: Goal) -> Image.Image:
    return scale_colour(picture, _tune("saturation", _reduced(picture), goal, scale_colour, 0.0, MOST_GAIN))


def _set_colourfulness(picture: Image.Image, goal: Goal) -> Image.Image:
    return scale_colour(picture, _tune("colourfulness", _reduced(picture), goal, scale_colour, 0.0, MOST_GAIN))


def _set_hue(picture: Image.Image, goal: Goal) -> Image.Image:
    if goal.target not in HUES:
        return scale_colour(picture, 0.0)
    pure = np.array(colorsys.hsv_to_rgb(HUES.index(str(goal.target)) / len(HUES), 1.0, 1.0))
    trial = _reduced(picture)
    for colour in (1.0, 0.0):
        for taken in FILTERS:
            gains = 1 - taken * (1 - pure)
            if measure("dominant hue", tint(scale_colour(trial, colour), gains)) == goal.target:
                return tint(scale_colour(picture, colour), gains)
    return picture


def _set_sharpness(picture: Image.Image, goal: Goal) -> Image.Image:
    trial = _middle(picture)
    if float(goal.target) > float(goal.now):
        percent = _tune("sharpness", trial, goal, _sharpen, 0.0, float(MOST_SHARPENING))
        return _sharpen(picture, percent)
    radius = -_tune("sharpness", trial, goal, _unblur, -8.0, 0.0)
    return picture.filter(ImageFilter.GaussianBlur(radius))


def _sharpen(picture: Image.Image, percent: float) -> Image.Image:
    return picture.filter(ImageFilter.UnsharpMask(radius=1, percent=round(percent), threshold=0))


def _unblur(picture: Image.Image, minus_radius: float) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(-minus_radius))


def _set_noise(picture: Image.Image, goal: Goal) -> Image.Image:
    if float(goal.target) <= float(goal.now):
        return picture
    grain = goal.rng.standard_normal((picture.height, picture.width, 1), dtype=np.float32)

    def add(trial: Image.Image, spread: float) -> Image.Image:
        noisy = np.asarray(trial, dtype=np.float32) + np.float32(spread) * grain[: trial.height, : trial.width]
        return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))

    trial = _middle(picture)
    before = float(measure("noise", trial))
    aim = np.sqrt(before**2 + float(goal.target) ** 2 - float(goal.now) ** 2)  # variances add up
    spread = solve(lambda spread: float(measure("noise", add(trial, spread))), float(aim), 0.0, 64.0)
    return add(picture, spread)


def _set_size(picture: Image.Image, goal: Goal) -> Image.Image:
    scale = np.sqrt(float(goal.target) * 1e6 / (picture.width * picture.height))
    if scale >= 1:
        return picture
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _set_aspect(picture: Image.Image, goal: Goal) -> Image.Image:
    width, height = picture.size
    width, height = min(width, round(height * float(goal.target))), min(height, round(width / float(goal.target)))
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + max(1, width), top + max(1, height)))


def _set_border(picture: Image.Image, goal: Goal) -> Image.Image:
    if goal.target in FRAMES:
        return draw_frame(picture, FRAMES[str(goal.target)])
    if goal.now == "none":
        return picture
    pixels = np.asarray(picture)
    ring = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    flat = Image.new("RGB", picture.size, tuple(np.median(ring, axis=0).astype(int).tolist()))
    apart = ImageChops.difference(picture, flat).convert("L").point((255 * (TONES > 2 * BORDER_TOLERANCE)).tolist())
    left, top, right, bottom = apart.getbbox() or (0, 0, *picture.size)
    inside = left + 1, top + 1, right - 1, bottom - 1  # the edge of a border that was a JPEG's is neither
    return picture.crop(inside) if right - left > 2 and bottom - top > 2 else picture


def _set_rendition(picture: Image.Image, goal: Goal) -> Image.Image:
    return scale_colour(picture, 0.0) if goal.target == "greyscale" else picture


def _set_jpeg(picture: Image.Image, goal: Goal) -> Image.Image:
    possible = np.isfinite(float(goal.target)) and not float(goal.now) <= float(goal.target)
    return as_jpeg(picture, round(float(goal.target))) if possible else picture


SETTERS: Mapping[str, Setter] = {
    "brightness": Setter(
        "darker as by less light: tones times a gain; brighter by a gamma curve, beyond it a white veil; contrast "
        "changes along, with a gamma curve saturation too",
        _set_brightness,
    ),
    "contrast": Setter("tones stretched around the mean luma, which is kept; saturation changes along", _set_contrast),
    "saturation": Setter(
        "each pixel moved from or to its luma (Haeberli & Voorhies, Iris Universe 1994)", _set_saturation
    ),
    "dominant hue": Setter(
        "a coloured filter, which takes a share of all channels but its own, over the grey picture where its colours "
        "are too strong; to grey by the luma alone; brightness and saturation change along [ours]",
        _set_hue,
    ),
    "colourfulness": Setter("as saturation", _set_colourfulness),
    "sharpness": Setter(
        "Gaussian blur, or mild unsharp masking; no detail comes back; noise changes along", _set_sharpness
    ),
    "noise": Setter("Gaussian grain added to the luma; none is taken away; sharpness changes along", _set_noise),
    "size": Setter("reduced with Lanczos' filter, never enlarged; fine detail goes along", _set_size),
    "aspect ratio": Setter("cropped from the middle, so that content at the margins goes along", _set_aspect),
    "border": Setter("a frame drawn over the outermost 5 % of the shorter side, or a uniform one cut off", _set_border),
    "rendition": Setter("colour replaced by luma; grey pictures are not coloured", _set_rendition),
    "jpeg quality": Setter("written and read again at that quality, never at a better one", _set_jpeg),
}
"""How measured factors are set, by the name of the measure; those that pixels cannot be brought to are not here."""


def _blur(picture: Image.Image) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(0.015 * min(picture.size)))


def _texture(picture: Image.Image) -> Image.Image:
    """Diagonal stripes whose period is an eighth of the shorter side."""
    down, across = np.mgrid[: picture.height, : picture.width]
    stripes = 255 * ((down + across) * 16 // max(16, min(picture.size)) % 2)
    return Image.blend(picture, Image.fromarray(stripes.astype(np.uint8)).convert("RGB"), 0.25)


def _watermark(picture: Image.Image) -> Image.Image:
    ink = Image.new("L", picture.size, 0)
    font = ImageFont.load_default(max(8, min(picture.size) // 8))
    middle = picture.width / 2, 0.8 * picture.height
    ImageDraw.Draw(ink).text(middle, "SAMPLE", fill=180, font=font, anchor="mm")
    return Image.composite(Image.new("RGB", picture.size, "white"), picture, ink)


def _crop(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    return picture.crop((width // 5, height // 5, width - width // 5, height - height // 5))


EDITS: Mapping[str, Edit] = {
    "blurred": Edit("Gaussian blur with a standard deviation of 1.5 % of the shorter side", _blur),
    "grey": Edit("colour replaced by luma (BT.601)", lambda picture: scale_colour(picture, 0.0)),
    "warm": Edit("channels times 1, 0.88 and 0.68", lambda picture: tint(picture, (1.0, 0.88, 0.68))),
    "cool": Edit("channels times 0.72, 0.9 and 1", lambda picture: tint(picture, (0.72, 0.9, 1.0))),
    "brighter": Edit("gamma curve with exponent 1/2", lambda picture: draw_curves(picture, gamma_curves(0.5))),
    "darker": Edit("gamma curve with exponent 2", lambda picture: draw_curves(picture, gamma_curves(2.0))),
    "texture": Edit("diagonal black and white stripes laid over at 25 %", _texture),
    "watermark": Edit("the word SAMPLE in white at 70 %, low in the middle, an eighth of the shorter side", _watermark),
    "white border": Edit(
        "a white frame over the outermost 5 % of the shorter side", lambda picture: draw_frame(picture, FRAMES["white"])
    ),
    "jpeg 10": Edit("written and read again as a JPEG of quality 10", lambda picture: as_jpeg(picture, 10)),
    "centre crop": Edit("cropped to the middle 60 % of width and height, away from the background", _crop),
}
"""Free edits with fixed strengths [ours], in the order of a report: strong to the eye, harmless to what is shown."""
