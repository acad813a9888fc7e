"""The README of an adapter on the model hub: what its card knows, in words, and nothing that it does not."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable

from huggingface_hub import ModelCardData

from cdc.backbones.loading import hub_repository, is_known_elsewhere
from cdc.card import AdapterCard
from cdc.methods.registry import method_record

README = "README.md"

MOST_NAMES = 100
"""Class names that the README lists; the card has all of them."""


@runtime_checkable
class Measured(Protocol):
    """What was measured of an adapter: `cdc.Scores` has these."""

    @property
    def n(self) -> int:
        """Number of images."""
        ...

    @property
    def accuracy(self) -> float:
        """Share of right labels."""
        ...

    @property
    def ece(self) -> float:
        """Expected calibration error."""
        ...

    @property
    def aurc(self) -> float:
        """Area under the risk-coverage curve."""
        ...


def readme(
    card: AdapterCard,
    repository: str,
    *,
    licence: str | None = None,
    evaluation: Mapping[str, Measured] | None = None,
) -> str:
    """Markdown with the front matter of the model hub.

    Args:
        card: of the adapter.
        repository: ``"owner/name"`` that it is pushed to.
        licence: the hub's name of it, such as ``"mit"``; nothing is said in its place.
        evaluation: scores by what they were measured on, in words.

    Example:
        >>> import cdc
        >>> data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> card = cdc.fit(data, cdc.ZeroShotConfig(), cdc.load_backbone("picto")).card
        >>> readme(card, "somebody/pets").splitlines()[:2]
        ['---', 'library_name: causalvlm']
    """
    parts = (
        f"---\n{_front_matter(card, licence)}\n---",
        f"# {repository.partition('/')[2]}",
        _summary(card),
        _loading(card, repository),
        "## Training\n\n" + _table(("what", "value"), [(what, _cell(value)) for what, value in _training(card)]),
        f"## Class names\n\n{_class_names(card)}",
        f"## Settings\n\n```json\n{json.dumps(_settings(card), indent=2)}\n```",
        f"## Measured\n\n{_measured(evaluation)}",
        "## Limits\n\n" + "\n".join(f"* {limit}" for limit in _limits(card, licence)),
    )
    return "\n\n".join(parts) + "\n"


def _front_matter(card: AdapterCard, licence: str | None) -> str:
    repository = hub_repository(card.backbone.name, card.backbone.pretrained)
    return ModelCardData(
        library_name="causalvlm",
        tags=["causalvlm", "image-classification", "clip", card.method.name],
        license=licence,
        base_model=repository,
        base_model_relation=None if repository is None else "adapter",
    ).to_yaml()


def _summary(card: AdapterCard) -> str:
    trained = f"trained on at most {card.data.shots} images of each of" if card.training else "without training, for"
    return (
        f"An adapter of a frozen image-text model, {_backbone(card)}: method {_code(card.method.name)}, {trained} "
        f"{len(card.class_names):,} classes. The weights here are those of the adapter alone."
    )


def _backbone(card: AdapterCard) -> str:
    """The backbone's name; not the path of a directory or a checkpoint, which says nothing elsewhere."""
    name, pretrained = card.backbone.name, card.backbone.pretrained
    if not is_known_elsewhere(name, pretrained):
        return "a directory or checkpoint of its author's"
    return _code(name) + (f" with the weights {_code(pretrained)}" if pretrained else "")


def _loading(card: AdapterCard, repository: str) -> str:
    own = is_known_elsewhere(card.backbone.name, card.backbone.pretrained)
    backbone = "" if own else ', backbone=cdc.load_backbone("path/to/the/model")'
    versions = card.provenance.get("versions")
    version = versions.get("causalvlm") if isinstance(versions, Mapping) else None
    return (
        f"## Loading it\n\nWith the package `causalvlm`{f' (version {version} wrote it)' if version else ''}:\n\n"
        f'```python\nimport cdc\n\nadapter = cdc.load_adapter("{repository}"{backbone})\n'
        'print(adapter.predict(["some.jpg"]).to_frame())\n```\n\n'
        "`revision=` with the hash of a commit holds on to one state of it."
    )


def _training(card: AdapterCard) -> list[tuple[str, object]]:
    data, training = card.data, card.training
    rows: list[tuple[str, object]] = [
        ("data set", data.name),
        ("fingerprint of its files and labels", data.fingerprint),
        ("splits", data.split_source),
        ("classes", data.classes),
        ("template", card.template),
        ("precision of the backbone", card.backbone.precision),
        ("fingerprint of the backbone's weights", card.backbone.fingerprint),
    ]
    if training:
        rows += [
            ("images of a class, at most", data.shots),
            ("seed of their draw", data.seed),
            ("seed of training", training.config.seed),
            ("epochs", training.config.epochs),
            ("augmentation", training.augmentation),
            ("images left out as unreadable", len(training.unreadable)),
            ("seconds", f"{training.seconds:.0f}"),
        ]
        if training.losses:
            rows.append(("mean loss of the last epoch", f"{training.losses[-1]:.4g}"))
    return rows


def _class_names(card: AdapterCard) -> str:
    names = card.class_names
    rest = len(names) - MOST_NAMES
    more = f", and {rest:,} more in `card.json`" if rest > 0 else ""
    return ", ".join(map(_code, names[:MOST_NAMES])) + more


def _settings(card: AdapterCard) -> dict[str, Any]:
    return {
        "method": method_record(card.method),
        "training": {**asdict(card.training.config), "views": card.training.views} if card.training else None,
    }


def _measured(evaluation: Mapping[str, Measured] | None) -> str:
    if not evaluation:
        return "Nothing was given with this push."
    columns = ("on", "images", "accuracy", "expected calibration error", "area under the risk-coverage curve")
    return _table(
        columns,
        [
            (_text(what), f"{found.n:,}", f"{found.accuracy:.1%}", f"{found.ece:.3f}", f"{found.aurc:.3f}")
            for what, found in evaluation.items()
        ],
    )


def _limits(card: AdapterCard, licence: str | None) -> list[str]:
    limits = [
        "It runs on the weights with the fingerprint above; others are refused.",
        "It answers with one of the class names it is given, whatever the image shows. Names that it was not trained "
        "on can be given; what is said under Measured holds for what it names, and for nothing else.",
        "A checksum in `card.json` tells that both files are as they were saved. It does not tell who saved them.",
    ]
    if not is_known_elsewhere(card.backbone.name, card.backbone.pretrained):
        limits.append("Its backbone has no public name: pass the same directory or checkpoint as `backbone=`.")
    if licence is None:
        limits.append("No licence was named with this push.")
    return limits


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, ["---"] * len(columns), *rows))


def _cell(value: object) -> str:
    return _code(str(value)).replace("|", r"\|")


def _text(words: str) -> str:
    """Words as words: no markup in them."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~])", r"\\\1", " ".join(words.split()))


def _code(text: str) -> str:
    """Text as it is, whatever is in it: fenced by more backticks than it has in a row (CommonMark, code spans)."""
    line = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " if line[:1] == "`" or line[-1:] == "`" else ""
    return f"{fence}{pad}{line}{pad}{fence}"
