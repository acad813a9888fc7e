"""Settings of the methods and of training: frozen, validated, at most eight fields each."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from cdc.beliefs.evidence import EvidenceFunction
from cdc.errors import InputError


@dataclass(frozen=True)
class ZeroShotConfig:
    """The frozen model with the data set's hand-crafted template: nothing to train."""


@dataclass(frozen=True)
class CoOpConfig:
    """Context optimisation (Zhou et al., IJCV 2022): one learnable template, cross-entropy.

    Attributes:
        context_tokens: d, learnable tokens before the class name.
    """

    context_tokens: int = 4

    def __post_init__(self) -> None:
        _at_least("context_tokens", self.context_tokens, 1)


@dataclass(frozen=True)
class CDCConfig:
    """CDC: M learnable templates, each an opinion of its own, fused by Dempster-Shafer theory.

    Attributes:
        templates: M.
        context_tokens: d, learnable tokens of each template before the class name.
        anchoring: share of the hand-crafted template t^0 in the text features of class names that training did not
            see; 0 leaves them to the learned templates alone, 1 to t^0. [ours]
        evidence: how logits become evidence. [ours]
        independence: see `cdc.combine`; 1 is Dempster's rule. [ours]
        diversity_weight: beta of L_de.
        consistency_weight: gamma of L_con.
        kl_weight: value that lambda_t, the weight of the divergence in L_tce, rises to; see `docs/method.md`. [ours]
    """

    templates: int = 4
    context_tokens: int = 4
    anchoring: float = 0.8
    evidence: EvidenceFunction = field(default_factory=EvidenceFunction)
    independence: float = 0.5
    diversity_weight: float = 1.0
    consistency_weight: float = 0.0
    kl_weight: float = 0.005

    def __post_init__(self) -> None:
        _at_least("templates", self.templates, 1)
        _at_least("context_tokens", self.context_tokens, 1)
        for name in ("diversity_weight", "consistency_weight", "kl_weight"):
            _at_least(name, getattr(self, name), 0)
        for name in ("independence", "anchoring"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be between 0 and 1; received {getattr(self, name)}.")


MethodConfig = ZeroShotConfig | CoOpConfig | CDCConfig
"""The methods that `train` knows, by type."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train on cached features.

    Attributes:
        epochs: passes over the training shots.
        batch_size: images in a step.
        learning_rate: peak, reached after the warm-up epoch and followed by a cosine (see `learning_rate_at`).
        optimizer: ``"sgd"`` (momentum 0.9) or ``"adamw"``.
        weight_decay: of the optimizer.
        seed: of sampling, shuffling and initial noise.
    """

    epochs: int = 50
    batch_size: int = 32
    learning_rate: float = 2e-3
    optimizer: Literal["sgd", "adamw"] = "sgd"
    weight_decay: float = 5e-4
    seed: int = 1

    def __post_init__(self) -> None:
        _at_least("epochs", self.epochs, 1)
        _at_least("batch_size", self.batch_size, 1)
        _at_least("weight_decay", self.weight_decay, 0)
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate must be positive; received {self.learning_rate}.")
        if self.optimizer not in ("sgd", "adamw"):
            raise InputError(f"optimizer must be sgd or adamw; received {self.optimizer!r}.")


def default_training(backbone_name: str) -> TrainingConfig:
    """How a method is trained on a backbone unless the user says otherwise.

    CLIP models get CoOp's published rate, batch and number of epochs for its largest data set (Zhou et al., IJCV 2022).
    The word embeddings of `photo` are about five times larger and its logits five times smaller, so its rate is its
    own, chosen on validation images (`analyses/choose_settings.py`); so is that of the bundled models
    (`analyses/choose_picto_rate.py`).

    Example:
        >>> [default_training(name).learning_rate for name in ("ViT-B-16", "photo", "picto")]
        [0.002, 0.1, 0.01]
    """
    match backbone_name:
        case "photo":
            return TrainingConfig(epochs=15, batch_size=80, learning_rate=0.1)
        case "picto" | "picto-unconfounded":
            return TrainingConfig(learning_rate=0.01)
        case _:
            return TrainingConfig()


def to_settings(config: object) -> dict[str, Any]:
    """A config as plain values for JSON, with its type's name.

    Example:
        >>> to_settings(CoOpConfig())
        {'type': 'CoOpConfig', 'context_tokens': 4}
    """
    return {"type": type(config).__name__, **asdict(config)}  # pyright: ignore[reportArgumentType]


def from_settings(settings: dict[str, Any]) -> MethodConfig:
    """The method config that `to_settings` wrote; unknown types and keys are refused.

    Raises:
        InputError: if the type or a key is unknown.

    Example:
        >>> from_settings({"type": "CDCConfig", "templates": 2}).templates
        2
    """
    types: dict[str, type[MethodConfig]] = {kind.__name__: kind for kind in (ZeroShotConfig, CoOpConfig, CDCConfig)}
    values = dict(settings)
    kind = types.get(values.pop("type", ""))
    if kind is None:
        raise InputError(f"method type must be one of {', '.join(types)}; received {settings.get('type')!r}.")
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(values) - known):
        raise InputError(f"{kind.__name__} must hold only {', '.join(sorted(known))}; received {', '.join(unknown)}.")
    if isinstance(values.get("evidence"), dict):
        values["evidence"] = EvidenceFunction(**values["evidence"])
    return kind(**values)


def _at_least(name: str, value: int | float, bound: int) -> None:
    if value < bound:
        raise InputError(f"{name} must be at least {bound}; received {value}.")
