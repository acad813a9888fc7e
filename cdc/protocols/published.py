"""Published averages of base-to-new over the eleven data sets of the literature, to hold one's own beside."""

from dataclasses import dataclass

BACKBONES = ("ViT-B-16", "ViT-B-16-quickgelu")
"""Names of the model that these numbers were measured with, with OpenAI's weights."""


@dataclass(frozen=True)
class Published:
    """A row of a published table: 16 shots, mean of seeds 1 2 3, averaged over eleven data sets.

    Attributes:
        method: as its authors call it.
        sees: what it was allowed to learn from.
        base: accuracy on base classes among base names, percent.
        new: accuracy on new classes among new names, percent.
        harmonic_mean: of the two averages, percent.
        source: where the row was read.
    """

    method: str
    sees: str
    base: float
    new: float
    harmonic_mean: float
    source: str


_MAPLE = "README of MaPLe (Khattak et al., CVPR 2023)"
_PROMPTSRC = "README of PromptSRC (Khattak et al., ICCV 2023)"
_LIST = "zhengli97/Awesome-Prompt-Adapter-Learning-for-VLMs"

PUBLISHED = (
    Published("CLIP", "nothing", 69.34, 74.22, 71.70, _MAPLE),
    Published("CoOp", "shots", 82.69, 63.22, 71.66, _MAPLE),
    Published("CoCoOp", "shots", 80.47, 71.69, 75.83, _MAPLE),
    Published("KgCoOp", "shots", 80.73, 73.60, 77.00, _LIST),
    Published("MaPLe", "shots", 82.28, 75.14, 78.55, _MAPLE),
    Published("TCP", "shots", 84.13, 75.36, 79.51, _LIST),
    Published("PromptSRC", "shots", 84.26, 76.10, 79.97, _PROMPTSRC),
    Published("CoPrompt", "shots, language model", 84.00, 77.23, 80.48, _LIST),
    Published("MMRL", "shots", 85.68, 77.16, 81.20, _LIST),
    Published(
        "PromptKD", "shots, names of new classes, unlabelled images of all classes, teacher", 86.96, 80.73, 83.73, _LIST
    ),
)
"""In the order of their harmonic means."""
