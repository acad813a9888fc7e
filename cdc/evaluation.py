"""How good a prediction is: accuracy, calibration, and whether its uncertainty knows what it does not know."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.metrics import roc_auc_score
from torch import Tensor

from cdc.adapter import Adapter
from cdc.beliefs.fusion import Prediction
from cdc.data.dataset import Example
from cdc.errors import InputError
from cdc.images.encode import CacheFolder

CALIBRATION_BINS = 15
"""Equal-width confidence bins of the calibration error (Guo et al., ICML 2017)."""


@dataclass(frozen=True)
class Scores:
    """Scores of one prediction on labelled images.

    Attributes:
        accuracy: share of right labels, 0 to 1.
        ece: expected calibration error, 0 to 1.
        aurc: area under the risk-coverage curve, 0 to 1, lower is better; its expectation over the order of images
            that are equally sure.
        n: number of images.
    """

    accuracy: float
    ece: float
    aurc: float
    n: int


def evaluate(
    adapter: Adapter, examples: Sequence[Example], class_names: Sequence[str], *, cache: CacheFolder = "default"
) -> tuple[Scores, Prediction]:
    """Scores of an adapter on labelled files, with the prediction behind them.

    Files that cannot be read are left out; `Scores.n` counts the rest.

    Args:
        adapter: trained, or zero-shot.
        examples: files with labels that index `class_names`.
        class_names: the closed set of answers.
        cache: folder of cached features, or None.
    """
    prediction, labels = classify_examples(adapter, examples, class_names, cache=cache)
    return score(prediction, labels), prediction


def classify_examples(
    adapter: Adapter, examples: Sequence[Example], class_names: Sequence[str], *, cache: CacheFolder = "default"
) -> tuple[Prediction, Int[Tensor, " rows"]]:
    """What an adapter makes of labelled files that can be read, and their labels.

    The labels are those of the examples: where `class_names` are not theirs, they say nothing about the prediction.
    """
    paths = [example.path for example in examples]
    found = adapter.classify(paths, class_names, cache=cache, progress="encoding test images")
    labels = torch.tensor([examples[row].label for row in found.kept], device=found.prediction.belief.device)
    return found.prediction, labels


def score(prediction: Prediction, labels: Int[Tensor, " rows"]) -> Scores:
    """Accuracy, expected calibration error and area under the risk-coverage curve.

    Raises:
        InputError: if there are no images, not one label per image, a label that is no class, or a probability that is
            not finite.

    Example:
        >>> sure = Prediction(belief=torch.eye(2), uncertainty=torch.zeros(2))
        >>> score(sure, torch.tensor([0, 1]))
        Scores(accuracy=1.0, ece=0.0, aurc=0.0, n=2)
    """
    if len(labels) == 0 or len(labels) != len(prediction.belief):
        raise InputError(
            f"evaluation needs one label per image and at least one; received {len(labels)} labels for "
            f"{len(prediction.belief)} images."
        )
    classes = prediction.belief.shape[-1]
    if bool(((labels < 0) | (labels >= classes)).any()):
        raise InputError(
            f"labels must index the {classes} classes of the prediction, from 0 to {classes - 1}; received "
            f"{int(labels.min())} to {int(labels.max())}. Pass labels that belong to its class names."
        )
    probabilities = prediction.probabilities
    broken = int((~probabilities.isfinite()).any(-1).sum())
    if broken:
        raise InputError(
            f"probabilities must be finite; received {broken} of {len(labels)} images with others. Check the features "
            "and the weights that they were made from."
        )
    confidence = probabilities.max(-1).values
    right = prediction.labels == labels
    return Scores(
        accuracy=float(right.float().mean()),
        ece=expected_calibration_error(confidence, right.float()),
        aurc=_risk_coverage_area(confidence, right),
        n=len(labels),
    )


def expected_calibration_error(confidence: Float[Tensor, " rows"], right: Float[Tensor, " rows"]) -> float:
    """Mean distance between confidence and accuracy over 15 equal-width bins, weighted by their sizes.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, eq. 3.

    Example:
        >>> expected_calibration_error(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0]))
        0.5
    """
    bins = (confidence * CALIBRATION_BINS).long().clamp(0, CALIBRATION_BINS - 1)
    gaps = torch.zeros(CALIBRATION_BINS, dtype=torch.float64)
    gaps = gaps.index_add(0, bins.cpu(), (confidence - right).double().cpu())
    return float(gaps.abs().sum() / len(confidence))


def _risk_coverage_area(confidence: Tensor, right: Tensor) -> float:
    """Mean error rate over all coverages, most confident images first (Geifman & El-Yaniv, NeurIPS 2017).

    Images that are equally sure come in any order: each counts as wrong as all of them are on average. [derived]
    """
    confidence, order = confidence.sort(descending=True)
    _, group, size = confidence.unique_consecutive(return_inverse=True, return_counts=True)
    wrong = torch.zeros_like(size, dtype=torch.float64).index_add(0, group, (~right[order]).double())
    expected = (wrong / size)[group]
    coverage = torch.arange(1, len(expected) + 1, device=right.device)
    return float((expected.cumsum(0) / coverage).mean())


def separation(known: Float[Tensor, " rows"], unknown: Float[Tensor, " _"]) -> float:
    """Area under the ROC curve when a score must tell unknown images (higher score) from known ones.

    Raises:
        InputError: if a side has no image, or a score is not finite.

    Example:
        >>> separation(torch.tensor([0.1, 0.2]), torch.tensor([0.8, 0.9]))
        1.0
    """
    _require_scores(known, unknown)
    scores = torch.cat([known, unknown]).cpu().numpy()
    return float(roc_auc_score(np.r_[np.zeros(len(known)), np.ones(len(unknown))], scores))


def _require_scores(known: Tensor, unknown: Tensor) -> None:
    for name, scores in (("known", known), ("unknown", unknown)):
        finite = int(scores.isfinite().sum())
        if finite < max(1, len(scores)):
            raise InputError(
                f"{name} images must have at least one score, and finite ones only; received {len(scores)}, {finite} "
                "of them finite. Pass images of both kinds, and check the features that they were scored by."
            )


def ood_auroc(known: Prediction, unknown: Prediction) -> float:
    """How well the uncertainty tells images of unknown classes from images of known ones, as area under the ROC curve.

    The score is the prediction's own (`doubt`).

    Example:
        >>> sure = Prediction(belief=torch.eye(2), uncertainty=torch.zeros(2))
        >>> unsure = Prediction(belief=torch.full((2, 2), 0.5), uncertainty=torch.zeros(2))
        >>> ood_auroc(sure, unsure)
        1.0
    """
    return separation(doubt(known), doubt(unknown))


def energy_auroc(known: Prediction, unknown: Prediction) -> float | None:
    """`ood_auroc` with the energy of the logits as the score (Liu et al., NeurIPS 2020), which every softmax has.

    Returns:
        The area, or None for predictions that were not made from logits.

    Example:
        >>> energy_auroc(Prediction.from_logits(torch.eye(2)), Prediction.from_logits(torch.zeros(2, 2)))
        1.0
    """
    if known.energy is None or unknown.energy is None:
        return None
    return separation(known.energy, unknown.energy)


def openworld_auc(
    known: Float[Tensor, " rows"],
    unknown: Float[Tensor, " _"],
    *,
    known_right: Bool[Tensor, " rows"],
    unknown_right: Bool[Tensor, " _"],
) -> float:
    """OpenworldAUC: share of pairs of a known and an unknown image of which all is right.

    E[1(x_b right among base names) 1(r(x_n) > r(x_b)) 1(x_n right among new names)] over pairs of a base image x_b and
    a new one x_n (Hua et al., OpenworldAUC, ICML 2025). It is at most the product of both accuracies, and at most the
    area under the ROC curve of the score r; equal scores count as wrong.

    Args:
        known: score r of the images of base classes, higher for strangers.
        unknown: score r of the images of new classes.
        known_right: whether each is classified right among the base names.
        unknown_right: whether each is classified right among the new names.

    Raises:
        InputError: if a side has no image, or a score is not finite.

    Example:
        >>> right = torch.tensor([True, False])
        >>> openworld_auc(torch.tensor([0.1, 0.2]), torch.tensor([0.8, 0.9]), known_right=right, unknown_right=right)
        0.25
    """
    _require_scores(known, unknown)
    below = known[known_right].sort().values
    pairs = torch.searchsorted(below, unknown[unknown_right].contiguous()).sum()
    return float(pairs) / (len(known) * len(unknown))


def doubt(prediction: Prediction) -> Float[Tensor, " rows"]:
    """How strange each image is to a prediction: its uncertainty mass or, if it has none, 1 - its confidence.

    The latter is the score of Hendrycks & Gimpel, ICLR 2017.

    Example:
        >>> doubt(Prediction(belief=torch.tensor([[0.75, 0.25]]), uncertainty=torch.zeros(1)))
        tensor([0.2500])
    """
    if bool((prediction.uncertainty > 0).any()):
        return prediction.uncertainty
    return 1 - prediction.probabilities.max(-1).values


def harmonic_mean(base: float, new: float) -> float:
    """Harmonic mean of two accuracies; 0 if either is.

    Example:
        >>> round(harmonic_mean(0.8269, 0.6322), 4)
        0.7166
    """
    return 0.0 if min(base, new) <= 0 else 2 * base * new / (base + new)
