"""Zero-shot: the frozen model with the data set's hand-crafted template."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import nn

from cdc.backbones.backbone import Backbone
from cdc.methods.method import CosineClassifier, Method, Task
from cdc.prompts.templates import encode_template


@dataclass(frozen=True)
class ZeroShotConfig:
    """The frozen model with the data set's hand-crafted template: nothing to train (Radford et al., ICML 2021)."""

    name: ClassVar[str] = "zero-shot"


@final
class ZeroShot(nn.Module, Method):
    """Softmax of scaled cosines with the hand-crafted prompts."""

    def __init__(self, backbone: Backbone, config: ZeroShotConfig, task: Task) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self._template = task.template

    @torch.no_grad()
    def classifier(self, class_names: Sequence[str]) -> CosineClassifier:
        """Scaled cosines with the hand-crafted prompts of `class_names`."""
        return CosineClassifier(
            self.backbone, tuple(class_names), encode_template(self.backbone, self._template, class_names)
        )
