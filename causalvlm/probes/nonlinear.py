"""What a small non-linear probe reads of a factor beyond the linear one, in bits, on the same folds."""

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import log_softmax
from sklearn.kernel_approximation import Nystroem
from threadpoolctl import threadpool_limits

from causalvlm.intervals import Estimate, Shift, clustered_share, clustered_shift, mean_shift, wilson
from causalvlm.probes.folds import assign_folds
from causalvlm.probes.linear import prepare
from causalvlm.probes.ridge import CrossFit, cross_fit, fit_path, fit_weights, predict_held_out
from causalvlm.probes.sampling import PROBED_IMAGES, sample_rows
from causalvlm.randomness import Rng, generator

COMPONENTS = 32
"""Principal components of the embeddings that the kernel sees: what is not in them it cannot find."""

LANDMARKS = 300
"""Images that the kernel measures likeness to, at most half of them all."""

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse penalties C that the non-linear part is offered, beside having no such part."""


@dataclass(frozen=True)
class NonlinearProbe:
    """What a non-linear probe adds to the linear one, on images that neither was fitted on.

    Attributes:
        factor: its name.
        n: number of images.
        accuracy: share of images whose level the non-linear probe reads right, with its interval.
        linear: usable information (Xu et al., ICLR 2020) of the linear probe, in bits per image.
        nonlinear: that of both parts together.
        beyond: their difference, image by image: zero where the choice among the penalties is to do without.
        folds: each image is predicted by probes fitted on the other folds.
    """

    factor: str
    n: int
    accuracy: Estimate
    linear: Shift
    nonlinear: Shift
    beyond: Shift
    folds: int

    @property
    def bends(self) -> bool:
        """Whether the embedding certainly holds more of the factor than the linear probe reads."""
        return self.beyond.low > 0

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: asdict(value) if isinstance(value, Estimate | Shift) else value for name, value in values.items()}


def fit_nonlinear(
    features: Float[np.ndarray, "_ dim"],
    factor: Shaped[np.ndarray, " _"],
    labels: Int[np.ndarray, " _"],
    *,
    name: str = "factor",
    folds: int = 5,
    rng: Rng,
    groups: Shaped[np.ndarray, " _"] | None = None,
) -> NonlinearProbe:
    """Ask whether a kernel reads a factor from embeddings better than the linear probe does.

    The linear probe's log-probabilities are where the kernel's part starts from, so that without such a part nothing is
    lost: a multinomial ridge regression on Nystroem features (Williams & Seeger, NIPS 2000) of a Gaussian kernel whose
    width is the median distance between images. For each fold, the linear predictions of the other folds come from
    probes that have seen neither that fold nor theirs, and the penalty is chosen on one of the others. Up to
    `PROBED_IMAGES` images, folds are those of `fit_probe` with the same seed.

    Args:
        features: embeddings.
        factor: level of each image.
        labels: class of each image, as an index; folds are balanced over it.
        name: of the factor, for the result and for messages.
        folds: at least 3.
        rng: deals the images into folds, draws images and landmarks; or a seed.
        groups: images that are not independent of each other, as in `fit_probe`.

    Raises:
        InputError: as `fit_probe`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> features = rng.normal(size=(400, 3))
        >>> ring = np.where((features**2).sum(axis=1) > 2.4, "out", "in")  # no plane tells these apart
        >>> found = fit_nonlinear(features, ring, np.zeros(400, dtype=int), rng=0)
        >>> found.linear.value < 0.1, found.beyond.low > 0.4
        (True, True)
    """
    rng = generator(rng)
    levels, codes, units = prepare(features, factor, labels, groups, name=name, folds=folds)
    images = np.unique(features, axis=0, return_inverse=True)[1].reshape(-1)
    drawn = sample_rows(levels[codes], images, most=PROBED_IMAGES, fewest=folds, rng=rng)
    rows = np.arange(len(codes)) if drawn is None else drawn
    features, codes, labels = features[rows], codes[rows], labels[rows]
    units = None if units is None else units[rows]
    assigned = assign_folds(features, codes, labels, folds=folds, rng=rng, groups=units)
    linear = cross_fit(features, codes, np.zeros_like(codes), assigned)
    both = _add_kernel(features, codes, assigned, linear, _kernel_features(features, rng))
    frequencies, of_linear, of_both = (_true(part, codes) for part in (linear.frequencies, linear.probe, both))
    right = (both.argmax(axis=1) == codes).astype(float)
    return NonlinearProbe(
        factor=name,
        n=len(codes),
        accuracy=wilson(float(right.mean()), len(right))
        if units is None
        else clustered_share(right, np.zeros_like(codes), units),
        linear=_shift(of_linear - frequencies, units),
        nonlinear=_shift(of_both - frequencies, units),
        beyond=_shift(of_both - of_linear, units),
        folds=folds,
    )


def _kernel_features(features: Float[np.ndarray, "rows dim"], rng: np.random.Generator) -> Float[np.ndarray, "rows _"]:
    """Standardised Nystroem features and a column of ones, made without the levels: no fold tells of another."""
    centred = (features - features.mean(axis=0)).astype(np.float64)
    points = centred @ np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :COMPONENTS]
    pairs = points[rng.permutation(len(points))[: len(points) // 2 * 2]].reshape(2, -1, points.shape[1])
    apart = ((pairs[0] - pairs[1]) ** 2).sum(axis=1)
    width = float(np.median(apart[apart > 0]))
    kernel = Nystroem(
        gamma=1 / width, n_components=min(LANDMARKS, len(points) // 2), random_state=int(rng.integers(2**31))
    )
    likeness = kernel.fit_transform(points)
    likeness = (likeness - likeness.mean(axis=0)) / np.maximum(likeness.std(axis=0), 1e-12)
    return np.column_stack([likeness, np.ones(len(likeness))])


@threadpool_limits.wrap(limits=1)
def _add_kernel(
    features: Float[np.ndarray, "rows dim"],
    codes: Int[np.ndarray, " rows"],
    assigned: Int[np.ndarray, " rows"],
    linear: CrossFit,
    inputs: Float[np.ndarray, "rows _"],
) -> Float[np.ndarray, "rows _"]:
    """Held-out log-probabilities of the linear probe with the kernel's part."""
    both = np.empty_like(linear.probe)
    for fold, strength in enumerate(linear.chosen):
        start = _nested(features, codes, assigned, fold, strength)
        here, check = assigned == fold, assigned == (fold + 1) % len(linear.chosen)
        weights = _choose(inputs, codes, start, ~here & ~check, check)
        if weights is None:
            both[here] = linear.probe[here]
            continue
        fitted = fit_weights(inputs[~here], codes[~here], start[~here], weights[0], start=weights[1])
        both[here] = log_softmax(inputs[here] @ fitted + linear.probe[here], axis=1)
    return both


def _nested(
    features: Float[np.ndarray, "rows dim"],
    codes: Int[np.ndarray, " rows"],
    assigned: Int[np.ndarray, " rows"],
    fold: int,
    strength: float,
) -> Float[np.ndarray, "rows _"]:
    """Linear log-probabilities of the other folds' rows, from probes that saw neither `fold` nor the row's own."""
    start = np.zeros((len(codes), int(codes.max()) + 1))
    for other in set(range(int(assigned.max()) + 1)) - {fold}:
        held_out = np.isin(assigned, (fold, other))
        (predicted,), _ = predict_held_out(features, codes, np.zeros_like(codes), held_out, (strength,))
        start[assigned == other] = predicted[assigned[held_out] == other]
    return start


def _choose(
    inputs: Float[np.ndarray, "rows _"],
    codes: Int[np.ndarray, " rows"],
    start: Float[np.ndarray, "rows _"],
    train: Bool[np.ndarray, " rows"],
    check: Bool[np.ndarray, " rows"],
) -> tuple[float, Float[np.ndarray, "_ _"]] | None:
    """The strength with the largest likelihood of the checked rows, and its weights; None if no part is better."""
    best, found = float(_true(start[check], codes[check]).mean()), None
    path = fit_path(inputs[train], codes[train], start[train], STRENGTHS)
    for strength, weights in zip(STRENGTHS, path, strict=True):
        predicted = log_softmax(inputs[check] @ weights + start[check], axis=1)
        likelihood = float(_true(predicted, codes[check]).mean())
        if likelihood > best:
            best, found = likelihood, (strength, weights)
    return found


def _true(log_probabilities: Float[np.ndarray, "_ _"], codes: Int[np.ndarray, " _"]) -> Float[np.ndarray, " _"]:
    """Log-probability of the true level, in bits."""
    return log_probabilities[np.arange(len(codes)), codes] / np.log(2)


def _shift(bits: Float[np.ndarray, " rows"], units: Int[np.ndarray, " rows"] | None) -> Shift:
    return mean_shift(bits) if units is None else clustered_shift(bits, units)
