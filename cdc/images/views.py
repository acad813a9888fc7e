"""Augmented views: in training, each template sees an image through an augmentation set of its own (VSD)."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from cdc.errors import InputError

AugmentationSet = Literal["set1", "set2", "crop-flip", "none"]

DEFAULT_AUGMENTATION: AugmentationSet = "set2"
"""Of views, unless a method or a run says otherwise."""

CROP_AREA = 0.08
"""Smallest share of the area that `crop-flip` keeps, as in CoOp's configuration and those of its successors."""

STRENGTHS = (1.0, 1.5, 0.5, 2.0)
"""Strength of templates 0 to 3, 4 to 7, 8 to 11 and 12 to 15, then again from the first."""


@dataclass(frozen=True)
class ViewPlan:
    """Which views of an image the templates see in training.

    That every template has an augmentation set A_m of its own, and that set 2 is set 1 with a random crop in each, is
    the paper's ("Rethinking Misalignment in Vision-Language Model Adaptation from a Causal Perspective", NeurIPS
    2024, visual-language dual semantic decoupling). The augmentations themselves, their strengths and the number of
    views are ours: see `augment`.

    Attributes:
        set: ``"set1"``, common augmentations; ``"set2"``, the same followed by a random resized crop;
            ``"crop-flip"``, what CoOp and its successors train on, the same for every template; ``"none"``, the image
            as it is.
        templates: M, number of templates.
        views: views of an image per template.
        seed: of all draws.

    Raises:
        InputError: if the set is unknown or a number too small.

    Example:
        >>> ViewPlan("set2", templates=2).pictures
        8
    """

    set: AugmentationSet = DEFAULT_AUGMENTATION
    templates: int = 4
    views: int = 4
    seed: int = 1

    def __post_init__(self) -> None:
        if self.set not in get_args(AugmentationSet):
            known = ", ".join(map(repr, get_args(AugmentationSet)))
            raise InputError(f"an augmentation set must be one of {known}; received {self.set!r}. See `augment`.")
        for name, number in (("templates", self.templates), ("views", self.views)):
            if number < 1:
                raise InputError(f"{name} of a ViewPlan must be at least 1; received {number}. Pass {name}=4.")

    @property
    def pictures(self) -> int:
        """Pictures made of one image."""
        return self.templates * self.views


def augment(image: Image.Image, plan: ViewPlan, *, template: int, view: int, key: str) -> Image.Image:
    """What `template` sees of `image` in one of its views.

    All four augmentations are [ours]. Each changes one kind of task-irrelevant factor, so that its template is led to
    disregard that one; with s the strength of the template, at half strength in view 0:

    0. placement: mirrored or not, and a window of at least 1 - 0.15 s of each side (a slight zoom and shift);
    1. colour: brightness, contrast and saturation changed by up to 0.4 s, hue by up to 0.05 s of a turn;
    2. tone: 50 to 100 % of the colour removed (times s, up to all of it), up to 4 s of 8 bits a channel dropped;
    3. detail: rotated by up to 10 s degrees, and blurred (up to 0.8 s % of the short side) or sharpened.

    Template m takes number m mod 4 at strength ``STRENGTHS[m // 4 mod 4]``. Set 2 ends with a random resized crop to a
    square: at least 1 - 0.6 s of the area (never under 0.1), aspect ratio 3:4 to 4:3. Its other draws are those of set
    1, so that the two sets differ in the crop alone. No view shows a border that the image does not have.

    ``"crop-flip"`` is none of this: a random resized crop of 8 to 100 % of the area, aspect ratio 3:4 to 4:3, mirrored
    or not (Zhou et al., CoOp, IJCV 2022, and its public configuration), drawn anew for every template and view.

    Args:
        image: RGB picture, left unchanged.
        plan: which views there are.
        template: m, from 0.
        view: number of the view, from 0.
        key: content hash of the image file: views follow an image wherever it is stored.

    Returns:
        RGB picture of a size of its own; the same one on each call.

    Raises:
        InputError: if the picture is not RGB, or `template` or `view` is outside the plan.

    Example:
        >>> image = Image.new("RGB", (40, 30), "red")
        >>> augment(image, ViewPlan("set2"), template=3, view=0, key="a").getpixel((0, 0))
        (255, 0, 0)
    """
    _check_request(image, plan, template, view)
    if plan.set == "none":
        return image
    if plan.set == "crop-flip":
        rng = _generator(plan.seed, template, view, key)
        cropped = _crop_resized(image, CROP_AREA, rng)
        return ImageOps.mirror(cropped) if rng.random() < 0.5 else cropped
    strength = STRENGTHS[template // len(AUGMENTATIONS) % len(STRENGTHS)] / (2 if view == 0 else 1)
    change = list(AUGMENTATIONS.values())[template % len(AUGMENTATIONS)]
    rng = _generator(plan.seed, template, view, key)
    changed = change(image, strength, rng)
    return changed if plan.set == "set1" else _crop_resized(changed, max(0.1, 1 - 0.6 * strength), rng)


def shrink(image: Image.Image, *, short_side: int) -> Image.Image:
    """The image itself, or a smaller copy whose short side is `short_side` pixels.

    Example:
        >>> shrink(Image.new("RGB", (4000, 3000)), short_side=448).size
        (597, 448)
    """
    scale = short_side / min(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)


def _check_request(image: Image.Image, plan: ViewPlan, template: int, view: int) -> None:
    if image.mode != "RGB":
        raise InputError(f"an image must be RGB; received mode {image.mode!r}. Use image.convert('RGB').")
    for name, number, limit in (("template", template, plan.templates), ("view", view, plan.views)):
        if not 0 <= number < limit:
            raise InputError(f"{name} must be from 0 to {limit - 1} in this plan; received {number}.")


def _generator(seed: int, template: int, view: int, key: str) -> np.random.Generator:
    """A stream of its own for every view of every image."""
    digest = hashlib.blake2b(f"{seed}/{template}/{view}/{key}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def _place(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    mirrored = ImageOps.mirror(image) if rng.random() < 0.5 else image
    share = 1 - 0.15 * strength * rng.random()
    return mirrored.crop(_window(image.size, image.width * share, image.height * share, rng))


def _recolour(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    for enhancement in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhancement(image).enhance(1 + 0.4 * strength * rng.uniform(-1, 1))
    turn = round(256 * 0.05 * strength * rng.uniform(-1, 1))
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([(level + turn) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def _flatten(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    removed = min(1.0, strength) * rng.uniform(0.5, 1)
    bits = max(1, 8 - round(4 * strength * rng.random()))
    return ImageOps.posterize(ImageEnhance.Color(image).enhance(1 - removed), bits)


def _defocus(image: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    turned = _rotate(image, 10 * strength * rng.uniform(-1, 1))
    amount = strength * rng.uniform(-1, 1)
    if amount < 0:
        return turned.filter(ImageFilter.GaussianBlur(-0.008 * amount * min(image.size)))
    return ImageEnhance.Sharpness(turned).enhance(1 + 2 * amount)


def _rotate(image: Image.Image, degrees: float) -> Image.Image:
    """Rotate about the centre and keep the largest upright window of the same shape that lies inside the image."""
    turn = math.radians(abs(degrees))
    share = 1 / (math.cos(turn) + max(image.size) / min(image.size) * math.sin(turn))
    # A pixel less on each side: the middle of an odd and an even side lies half a pixel apart.
    width, height = (math.floor(side * share) - 2 for side in image.size)
    if min(width, height) < 1:
        return image  # four pixels high, say: turned, nothing of it would be left
    left, top = (image.width - width) // 2, (image.height - height) // 2
    turned = image.rotate(degrees, Image.Resampling.BICUBIC)
    return turned.crop((left, top, left + width, top + height))


def _crop_resized(image: Image.Image, smallest: float, rng: np.random.Generator) -> Image.Image:
    """A square from a window of at least the share `smallest` of the area."""
    area = image.width * image.height * rng.uniform(smallest, 1)
    stretch = (4 / 3) ** (rng.uniform(-1, 1) / 2)
    box = _window(image.size, math.sqrt(area) * stretch, math.sqrt(area) / stretch, rng)
    side = min(box[2] - box[0], box[3] - box[1])
    return image.resize((side, side), Image.Resampling.BICUBIC, box=box)


def _window(size: tuple[int, int], width: float, height: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A window of about this width and height, somewhere inside a picture of this size."""
    wide, high = (max(1, min(limit, round(side))) for limit, side in zip(size, (width, height), strict=True))
    left, top = int(rng.integers(size[0] - wide + 1)), int(rng.integers(size[1] - high + 1))
    return left, top, left + wide, top + high


AUGMENTATIONS: dict[str, Callable[[Image.Image, float, np.random.Generator], Image.Image]] = {
    "placement": _place,
    "colour": _recolour,
    "tone": _flatten,
    "detail": _defocus,
}
"""A_1 to A_4 in the order of the templates: from picture, strength and generator to what the template sees."""
