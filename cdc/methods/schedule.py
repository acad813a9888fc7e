"""How long and how fast a method trains: settings of the optimizer, and the learning rate of every epoch."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from cdc.errors import InputError, require_at_least

WARM_UP_RATE = 1e-5
"""Constant learning rate of the first epoch (CoOp's published schedule)."""

RATE_FACTORS = {"photo": 50, "picto": 5, "picto-unconfounded": 5}
"""By what to multiply learning rates that were published for CLIP models, for backbones that are not one."""

OWN_RATE_FACTORS = {
    (backbone, method): 1
    for backbone in ("picto", "picto-unconfounded")
    for method in ("coop", "cocoop", "maple", "promptsrc")
}
"""The same for methods that another factor suits better (`analyses/baseline_rates.py`; PromptSRC has MaPLe's)."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train a method.

    Attributes:
        epochs: passes over the training shots.
        batch_size: images in a step.
        learning_rate: peak, reached after the warm-up epoch and followed by a cosine (see `learning_rate_at`).
        optimizer: ``"sgd"`` (momentum 0.9) or ``"adamw"``.
        weight_decay: of the optimizer.
        drop_last: leave out the last batch of an epoch unless it is whole or the only one, as the published code of
            CoOp and its successors does.
        seed: of sampling, shuffling and initial noise.
    """

    epochs: int = 50
    batch_size: int = 32
    learning_rate: float = 2e-3
    optimizer: Literal["sgd", "adamw"] = "sgd"
    weight_decay: float = 5e-4
    drop_last: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        require_at_least("epochs", self.epochs, 1)
        require_at_least("batch_size", self.batch_size, 1)
        require_at_least("weight_decay", self.weight_decay, 0)
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate must be positive; received {self.learning_rate}.")
        if self.optimizer not in ("sgd", "adamw"):
            raise InputError(f"optimizer must be sgd or adamw; received {self.optimizer!r}.")


def default_training(backbone_name: str, method: object = None) -> TrainingConfig:
    """How a method is trained on a backbone unless the user says otherwise.

    A method whose settings have a class variable `published`, a `TrainingConfig`, is trained as its paper says.

    CLIP models get CoOp's published rate, batch and number of epochs for its largest data set (Zhou et al., IJCV 2022).
    The word embeddings of `photo` are about five times larger and its logits five times smaller, so its rate is its
    own, chosen on validation images (`analyses/choose_settings.py`); so is that of the bundled models
    (`analyses/choose_picto_rate.py`).

    Example:
        >>> [default_training(name).learning_rate for name in ("ViT-B-16", "photo", "picto")]
        [0.002, 0.1, 0.01]
        >>> from cdc.methods.maple import MaPLeConfig
        >>> default_training("picto", MaPLeConfig()).epochs
        5
    """
    published = getattr(method, "published", None)
    factor = OWN_RATE_FACTORS.get((backbone_name, getattr(method, "name", "")), RATE_FACTORS.get(backbone_name, 1))
    if isinstance(published, TrainingConfig):
        return replace(published, learning_rate=factor * published.learning_rate)
    recipe = TrainingConfig(epochs=15, batch_size=80) if backbone_name == "photo" else TrainingConfig()
    return replace(recipe, learning_rate=factor * recipe.learning_rate)


def learning_rate_at(epoch: int, config: TrainingConfig) -> float:
    """Learning rate of an epoch counted from 0: one epoch at 1e-5, then a cosine over the epochs.

    lr (1 + cos(pi (e - 2) / E)) / 2 for e = epoch + 1 >= 2, the schedule of CoOp and its successors.

    Example:
        >>> [round(learning_rate_at(e, TrainingConfig(epochs=5, learning_rate=3.5e-3)), 7) for e in range(5)]
        [1e-05, 0.0035, 0.0031658, 0.0022908, 0.0012092]
    """
    if epoch == 0:
        return WARM_UP_RATE
    return config.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / config.epochs)) / 2
