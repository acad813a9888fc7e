"""What an adapter is, in words and settings: the card that lies beside its weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cdc.backbones.backbone import Backbone
from cdc.errors import InputError
from cdc.methods.method import MethodConfig
from cdc.methods.registry import method_from_record, method_record
from cdc.methods.schedule import TrainingConfig


@dataclass(frozen=True)
class BackboneRecord:
    """Which frozen model an adapter belongs to.

    Attributes:
        name: what `cdc.load_backbone` was given.
        pretrained: tag or checkpoint, if any.
        precision: of the towers.
        fingerprint: of the weights.
    """

    name: str
    pretrained: str | None
    precision: str
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
        shots: images asked for per class; 0 for a method that does not train.
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
        values = dict(record)
        config = TrainingConfig(**{name: values.pop(name) for name in TrainingConfig.__dataclass_fields__})
        lists = {name: tuple(values.pop(name)) for name in ("losses", "unreadable")}
        return cls(config=config, **lists, **values)


@dataclass(frozen=True)
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
            InputError: if a field is missing or unknown, or the method is not registered.
        """
        try:
            return cls(
                method=method_from_record(record["method"]),
                backbone=BackboneRecord(**record["backbone"]),
                class_names=tuple(record["class_names"]),
                template=record["template"],
                data=DataRecord(**record["data"]),
                training=TrainingRecord.from_record(record["training"]) if record["training"] else None,
                provenance=record["provenance"],
            )
        except (KeyError, TypeError) as error:
            raise InputError(
                f"a card must hold the fields of an adapter card; received one whose fields do not fit ({error}). Save "
                "the adapter again."
            ) from error
