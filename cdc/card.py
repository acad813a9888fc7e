"""What an adapter is, in words and settings: the card that lies beside its weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from reprlib import repr as short
from typing import Any

from cdc.backbones.backbone import Backbone, Precision
from cdc.errors import InputError
from cdc.methods.method import MethodConfig
from cdc.methods.registry import method_from_record, method_record
from cdc.methods.schedule import TrainingConfig
from cdc.records import restore

MOST_CLASSES = 25_000
"""Class names of an adapter; the largest data set in use, ImageNet-21k, has 21,841."""


@dataclass(frozen=True)
class BackboneRecord:
    """Which frozen model an adapter belongs to.

    Attributes:
        name: what `cdc.load_backbone` was given.
        pretrained: tag or checkpoint, if any.
        precision: of the towers.
        fingerprint: of the weights, whatever the precision.
    """

    name: str
    pretrained: str | None
    precision: Precision
    fingerprint: str

    @classmethod
    def of(cls, backbone: Backbone) -> "BackboneRecord":
        """What a card says of `backbone`."""
        return cls(backbone.name, backbone.pretrained, backbone.precision, backbone.fingerprint)


@dataclass(frozen=True)
class DataRecord:
    """What an adapter was trained on.

    Attributes:
        name: of the data set.
        fingerprint: of its files and labels.
        split_source: where its splits come from.
        shots: training images of a class, counted; of the class with the most, where they differ; 0 for a method that
            does not train.
        seed: of the draw.
        classes: ``"base"``, ``"new"`` or ``"all"``.
    """

    name: str
    fingerprint: str
    split_source: str
    shots: int
    seed: int
    classes: str


@dataclass(frozen=True)
class TrainingRecord:
    """How an adapter was trained.

    Attributes:
        config: epochs, batch size, optimizer, seed.
        losses: mean loss of every epoch.
        seconds: of the training and its rehearsals, without encoding.
        views: cached views per image and template.
        augmentation: of the views.
        unreadable: training images that were left out, each with the reason.
    """

    config: TrainingConfig
    losses: tuple[float, ...]
    seconds: float
    views: int
    augmentation: str
    unreadable: tuple[str, ...]

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON, the settings beside the rest."""
        record = asdict(self)
        return {**record.pop("config"), **record, "losses": list(self.losses), "unreadable": list(self.unreadable)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "TrainingRecord":
        """Read back what `to_record` wrote."""
        config = {name: value for name, value in record.items() if name in TrainingConfig.__dataclass_fields__}
        rest = {name: value for name, value in record.items() if name not in config}
        return restore(cls, {"config": config, **rest})


@dataclass(frozen=True, repr=False)
class AdapterCard:
    """What an adapter is, in words and settings; lies beside the weights as JSON.

    Attributes:
        method: settings of the method, which name it.
        backbone: the frozen model it belongs to.
        class_names: classes it was trained on.
        template: hand-crafted template t^0.
        data: what it was trained on.
        training: how; None for a method that does not train.
        provenance: versions, device and commit.

    Raises:
        InputError: if a class has no name or there are too many, or the template has not exactly one ``{}``.

    Example:
        >>> import cdc
        >>> data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> card = cdc.fit(data, cdc.ZeroShotConfig(), cdc.load_backbone("picto")).card
        >>> AdapterCard.from_record(card.to_record()) == card
        True
    """

    method: MethodConfig
    backbone: BackboneRecord
    class_names: tuple[str, ...]
    template: str
    data: DataRecord
    training: TrainingRecord | None
    provenance: Mapping[str, object]

    def __repr__(self) -> str:
        data = f"{self.data.shots} shots of {self.data.name}" if self.training else "no training"
        return f"<AdapterCard of {self.method.name} on {self.backbone.name}: {len(self.class_names)} classes, {data}>"

    def __post_init__(self) -> None:
        if not 0 < len(self.class_names) <= MOST_CLASSES or not all(name.strip() for name in self.class_names):
            raise InputError(
                f"an adapter must have 1 to {MOST_CLASSES:,} class names, none of them empty; received "
                f"{len(self.class_names):,}: {short(self.class_names)}. Name every class."
            )
        if self.template.count("{}") != 1:
            raise InputError(f"template must contain '{{}}' exactly once; received {short(self.template)}.")

    def is_of(self, other: "AdapterCard") -> bool:
        """Whether both say that the same was trained in the same way, wherever and with whatever outcome."""
        return self._asked() == other._asked()

    def _asked(self) -> "AdapterCard":
        outcome = {"losses": (), "seconds": 0.0, "unreadable": ()}
        return replace(self, training=self.training and replace(self.training, **outcome), provenance={})

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "method": method_record(self.method),
            "backbone": asdict(self.backbone),
            "class_names": list(self.class_names),
            "template": self.template,
            "data": asdict(self.data),
            "training": self.training.to_record() if self.training else {},
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "AdapterCard":
        """Read back what `to_record` wrote.

        Raises:
            InputError: if a field is missing, unknown or of another type, or the method is not registered.
        """
        if not isinstance(record.get("method"), Mapping) or not isinstance(record.get("training"), Mapping):
            raise InputError(
                f"a card must hold the settings of a method and of its training; received {short(record)}. Save the "
                "adapter again."
            )
        training = TrainingRecord.from_record(record["training"]) if record["training"] else None
        return restore(cls, {**record, "method": method_from_record(record["method"]), "training": training})
