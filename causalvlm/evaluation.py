"""How good an adapter is on a data set, with what it said of every image: the face of `cdc`'s scores here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jaxtyping import Int
from torch import Tensor

import cdc
from causalvlm.datasets import load_dataset
from causalvlm.errors import InputError
from causalvlm.markup import html_table

if TYPE_CHECKING:
    import pandas as pd

Classes = Literal["base", "new", "all"]
"""The first half of the class names, the second, or all of them."""


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """What an adapter says of the test images of a data set, and how right it is.

    Attributes:
        scores: accuracy, calibration error, area under the risk-coverage curve, number of images.
        prediction: one row per image that can be read, with the names of classes and files.
        labels: the class that each row is of.
        classes: the class names that were the answers: ``"base"``, ``"new"`` or ``"all"``.
        data: name of the data set.
        split_source: where its test split comes from.
        card: of the adapter.
        unreadable: files that were left out, each with the reason.
    """

    scores: cdc.Scores
    prediction: cdc.Prediction
    labels: Int[Tensor, " rows"]
    classes: Classes
    data: str
    split_source: str
    card: cdc.AdapterCard
    unreadable: tuple[tuple[Path, str], ...]

    def __repr__(self) -> str:
        return (
            f"<Evaluation of {self.card.method.name} on {self.data}, {self.classes} classes: "
            f"{self.scores.accuracy:.1%} of {self.scores.n:,} images>"
        )

    def _repr_html_(self) -> str:
        scores = self.scores
        rows = [
            ("right", f"{scores.accuracy:.1%} of {scores.n:,} images"),
            ("calibration error", f"{100 * scores.ece:.1f} points"),
            ("area under the risk-coverage curve", f"{scores.aurc:.3f}, lower is better"),
            ("split", self.split_source),
            *([("left out", f"{len(self.unreadable)} files that cannot be read")] if self.unreadable else []),
        ]
        return html_table(rows, title=f"{self.card.method.name} on {self.data}, {self.classes} classes")

    def to_frame(self) -> "pd.DataFrame":
        """A table with a row for each image: its file, its class, the label it was given, how sure, and whether right.

        Example:
            >>> import torch
            >>> data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
            >>> card = cdc.fit(data, cdc.ZeroShotConfig(), cdc.load_backbone("picto")).card
            >>> said = cdc.Prediction(torch.eye(2), torch.zeros(2), class_names=("cat", "dog"))
            >>> true = torch.tensor([0, 0])
            >>> Evaluation(cdc.score(said, true), said, true, "all", "pets", "own", card, ()).to_frame()
              true label  probability  uncertainty  right
            0  cat   cat          1.0          0.0   True
            1  cat   dog          1.0          0.0  False
        """
        frame = self.prediction.to_frame()
        names = self.prediction.class_names
        frame.insert(frame.columns.get_loc("label"), "true", [names[label] for label in self.labels.tolist()])  # pyright: ignore[reportArgumentType] - one column has the name
        return frame.assign(right=(self.prediction.labels == self.labels).tolist())

    def to_record(self) -> Mapping[str, Any]:
        """Scores, and where they come from, as plain data for JSON; `seconds` are those of the training."""
        card = self.card
        return {
            **asdict(self.scores),
            "classes": self.classes,
            "class_count": len(self.prediction.class_names),
            "mean_uncertainty": float(self.prediction.uncertainty.mean()),
            "seconds": card.training.seconds if card.training else 0.0,
            "method": card.method.name,
            "backbone": card.backbone.name,
            "shots": card.data.shots,
            "seed": card.data.seed,
            "data": self.data,
            "split_source": self.split_source,
            "unreadable": [{"file": str(file), "reason": reason} for file, reason in self.unreadable],
            "card": card.to_record(),
        }


def evaluate(
    adapter: cdc.Adapter | str | Path,
    data: cdc.ImageDataset | str | Path,
    *,
    classes: Classes = "all",
    device: str = "cpu",
) -> Evaluation:
    """Score an adapter on the test split of a data set; files that cannot be read are left out.

    Args:
        adapter: an adapter, or the folder that one was saved in.
        data: a data set, its name, a folder or a CSV file.
        classes: test images of the first half of the classes, of the second, or of all; the answers are their names.
        device: where an adapter given by its folder is loaded.

    Raises:
        InputError: if there is no such adapter or data set, or it has no test image of these classes.

    Example:
        >>> adapter = cdc.fit(load_dataset("picto/mammals"), cdc.ZeroShotConfig(), cdc.load_backbone("picto"))
        >>> evaluate(adapter, "picto/mammals", classes="new").scores.n
        552
    """
    dataset = data if isinstance(data, cdc.ImageDataset) else load_dataset(data)
    half = cdc.select_classes(dataset, classes)
    require_test_images(half)
    loaded = adapter if isinstance(adapter, cdc.Adapter) else cdc.load_adapter(adapter, device=device)
    found = loaded.classify([example.path for example in half.test], half.class_names, progress="encoding test images")
    labels = found.prediction.labels.new_tensor([half.test[row].label for row in found.kept])
    return Evaluation(
        scores=cdc.score(found.prediction, labels),
        prediction=found.prediction,
        labels=labels,
        classes=classes,
        data=dataset.name,
        split_source=dataset.split_source,
        card=loaded.card,
        unreadable=found.unreadable,
    )


def require_test_images(dataset: cdc.ImageDataset) -> None:
    """Refuse a data set without test images, before the work of training as well.

    Example:
        >>> require_test_images(cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=()))
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: a data set must have test images; pets has none of its 2 classes. Add rows or images ...
    """
    if not dataset.test:
        raise InputError(
            f"a data set must have test images; {dataset.name} has none of its {len(dataset.class_names)} classes. Add "
            "rows or images for the test split."
        )
