"""How a picture becomes the pixels of an image tower, as plain values: what a reader without torch has to do again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop the middle, divide by 255, subtract the mean, divide by the standard deviation.

    Attributes:
        size: height and width of the pixels.
        short_side: what the shorter side is resized to before the crop; None where both sides are resized to `size`.
        interpolation: of the resize, with the antialiasing that Pillow always has.
        mean: of red, green and blue.
        std: of red, green and blue.

    Example:
        >>> Preprocessing((224, 224), 256, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).to_record()["short_side"]
        256
    """

    size: tuple[int, int]
    short_side: int | None
    interpolation: Literal["bicubic", "bilinear"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def of_open_clip(settings: Mapping[str, Any]) -> Preprocessing | None:
    """What open_clip's settings of a test-time transform say; None where that pads, or crops what is no square.

    Args:
        settings: `preprocess_cfg` of an open_clip image tower.

    Example:
        >>> of_open_clip({"size": 60, "resize_mode": "shortest", "mean": [0.5] * 3, "std": [0.25] * 3}).short_side
        60
        >>> of_open_clip({"size": 60, "resize_mode": "longest", "mean": [0.5] * 3, "std": [0.25] * 3}) is None
        True
    """
    size = settings["size"]
    height, width = size if isinstance(size, tuple | list) else (size, size)
    mode = settings.get("resize_mode") or "shortest"
    if mode == "longest" or (mode == "shortest" and height != width):
        return None
    return Preprocessing(
        size=(height, width),
        short_side=height if mode == "shortest" else None,
        interpolation="bilinear" if settings.get("interpolation") == "bilinear" else "bicubic",
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
    )
