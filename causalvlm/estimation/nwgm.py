"""The normalised weighted geometric mean: vision-language practice for the front-door sum, beside the sum itself."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from causalvlm.errors import InputError


@dataclass(frozen=True)
class Approximation:
    """An approximation that is labelled as one, with its exact error.

    Attributes:
        approximate: softmax of the averaged logits.
        exact: average of the softmax: the front-door sum.
        total_variation: half the sum of absolute differences, between 0 and 1.
        same_class: whether both name the same class.

    Example:
        >>> nwgm(np.zeros((2, 2, 3)), np.full(2, 0.5), np.full(2, 0.5)).total_variation
        0.0
    """

    approximate: Float[np.ndarray, " classes"]
    exact: Float[np.ndarray, " classes"]
    total_variation: float
    same_class: bool


def nwgm(
    logits: Float[np.ndarray, "_ _ classes"], mediator: Float[np.ndarray, " _"], treatment: Float[np.ndarray, " _"]
) -> Approximation:
    """Compare softmax(E[f(s, x')]) with E[softmax(f(s, x'))] over p(s | x) p(x').

    The approximation moves the expectation into the softmax (Xu et al., Show, attend and tell, ICML 2015, section
    4.2.1, reused by causal attention). It is exact only if f varies over (s, x') by shifts that
    all classes share; with logits as large as CLIP's it is often far off, and the exact sum costs as little.

    Args:
        logits: f(s, x'), axes s, x', class.
        mediator: p(s | x).
        treatment: p(x').

    Raises:
        InputError: if a distribution does not sum to one.

    Example:
        >>> sharp = np.zeros((2, 1, 2))
        >>> sharp[0, 0, 0], sharp[1, 0, 1] = 20.0, 2.0  # sure of class 0, and fairly sure of class 1
        >>> found = nwgm(sharp, np.array([0.4, 0.6]), np.array([1.0]))
        >>> found.same_class, round(found.total_variation, 2)
        (False, 0.53)
    """
    for name, weights in (("mediator", mediator), ("treatment", treatment)):
        if (weights < 0).any() or not np.isclose(weights.sum(), 1.0):
            raise InputError(f"{name} must be a distribution; received a sum of {weights.sum():.4g}. Normalise it.")
    joint = np.multiply.outer(mediator, treatment)
    approximate = softmax(np.tensordot(joint, logits, axes=2), axis=-1)
    exact = np.tensordot(joint, softmax(logits, axis=-1), axes=2)
    distance = float(np.abs(approximate - exact).sum() / 2)
    return Approximation(approximate, exact, distance, bool(approximate.argmax() == exact.argmax()))
