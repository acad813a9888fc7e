"""How good a prediction is: accuracy, calibration, and whether its uncertainty knows what it does not know."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
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
        aurc: area under the risk-coverage curve, 0 to 1, lower is better.
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
    paths = [example.path for example in examples]
    found = adapter.classify(paths, class_names, cache=cache, progress="encoding test images")
    labels = torch.tensor([examples[row].label for row in found.kept], device=found.prediction.belief.device)
    return score(found.prediction, labels), found.prediction


def score(prediction: Prediction, labels: Int[Tensor, " rows"]) -> Scores:
    """Accuracy, expected calibration error and area under the risk-coverage curve.

    Raises:
        InputError: if there are no images, or not one label per image.

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
    probabilities = prediction.probabilities
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
    """Mean error rate over all coverages, most confident images first (Geifman & El-Yaniv, NeurIPS 2017)."""
    wrong = (~right[confidence.argsort(descending=True, stable=True)]).double()
    coverage = torch.arange(1, len(wrong) + 1, device=wrong.device)
    return float((wrong.cumsum(0) / coverage).mean())


def separation(known: Float[Tensor, " rows"], unknown: Float[Tensor, " _"]) -> float:
    """Area under the ROC curve when a score must tell unknown images (higher score) from known ones.

    Example:
        >>> separation(torch.tensor([0.1, 0.2]), torch.tensor([0.8, 0.9]))
        1.0
    """
    scores = torch.cat([known, unknown]).cpu().numpy()
    return float(roc_auc_score(np.r_[np.zeros(len(known)), np.ones(len(unknown))], scores))


def ood_auroc(known: Prediction, unknown: Prediction) -> float:
    """How well the uncertainty tells images of unknown classes from images of known ones, as area under the ROC curve.

    A prediction without uncertainty mass, such as a softmax, is scored by 1 - confidence (Hendrycks & Gimpel, ICLR
    2017).

    Example:
        >>> sure = Prediction(belief=torch.eye(2), uncertainty=torch.zeros(2))
        >>> unsure = Prediction(belief=torch.full((2, 2), 0.5), uncertainty=torch.zeros(2))
        >>> ood_auroc(sure, unsure)
        1.0
    """
    return separation(_doubt(known), _doubt(unknown))


def _doubt(prediction: Prediction) -> Tensor:
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
