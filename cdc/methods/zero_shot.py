"""Zero-shot: the frozen model with the data set's hand-crafted template, or with an ensemble of templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import nn

from cdc.backbones.backbone import Backbone
from cdc.backbones.clip_templates import select_templates
from cdc.methods.method import CosineClassifier, Method, Task
from cdc.prompts.templates import encode_ensemble, encode_template


@dataclass(frozen=True)
class ZeroShotConfig:
    """The frozen model with the data set's hand-crafted template: nothing to train (Radford et al., ICML 2021).

    Attributes:
        ensemble: average the class features of that template and of CLIP's seven select ones.
    """

    name: ClassVar[str] = "zero-shot"

    ensemble: bool = False


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
        """Scaled cosines with one text feature for each of `class_names`: of its prompt, or averaged over prompts."""
        if self.config.ensemble:
            text = encode_ensemble(self.backbone, (self._template, *select_templates()), class_names)
        else:
            text = encode_template(self.backbone, self._template, class_names)
        return CosineClassifier(self.backbone, tuple(class_names), text)
