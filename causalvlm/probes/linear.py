"""Is a factor decodable from an embedding? A cross-fitted linear probe, beside what one can guess without it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from causalvlm.errors import InputError
from causalvlm.intervals import Estimate, balanced_share, mean_interval, wilson
from causalvlm.probes.ridge import cross_fit

FEWEST_FOLDS = 3
"""The penalty for a fold is chosen among the others, of which one is held out."""


@dataclass(frozen=True)
class ProbeResult:
    """How well a linear probe reads a factor from images that it was not fitted on.

    Attributes:
        factor: its name.
        levels: its levels, sorted.
        n: number of images.
        accuracy: share of images whose level is read right, with Wilson's interval.
        balanced_accuracy: mean over the levels of that share; 1 / levels is chance.
        majority: accuracy of always guessing the most frequent level.
        class_majority: accuracy of guessing from the image's class alone: its most frequent level.
        bits: usable information (Xu et al., ICLR 2020): bits per image by which the probe's predictions beat the
            frequencies of the levels; at most `entropy_bits`, negative where the probe is worse than those.
        bits_given_class: the same against the frequencies within the image's class, which the probe then knows too:
            what the embedding tells of the factor beyond what the class does. Only images of classes that occur at
            several levels count; None where there is no such class, and the question has no answer.
        entropy_bits: entropy of the levels, in bits.
        folds: each image is predicted by a probe fitted on the other folds.
    """

    factor: str
    levels: tuple[str, ...]
    n: int
    accuracy: Estimate
    balanced_accuracy: Estimate
    majority: float
    class_majority: float
    bits: Estimate
    bits_given_class: Estimate | None
    entropy_bits: float
    folds: int

    @property
    def decodable(self) -> bool:
        """Whether the embedding certainly tells more of the factor than its frequencies do: bits above zero."""
        return self.bits.low > 0

    @property
    def decodable_given_class(self) -> bool:
        """Whether it does so even when the class is known."""
        return self.bits_given_class is not None and self.bits_given_class.low > 0


def fit_probe(
    features: Float[np.ndarray, "_ dim"],
    factor: Shaped[np.ndarray, " _"],
    labels: Int[np.ndarray, " _"],
    *,
    name: str = "factor",
    folds: int = 5,
    rng: np.random.Generator,
) -> ProbeResult:
    """Read a factor from embeddings with a multinomial logistic probe, never from an image that it was fitted on.

    Features are standardised on the training folds, and the ridge penalty is chosen by cross-validation among these.
    The penalty draws the probe towards the frequencies that it is compared with. Folds are balanced over level and
    class, and images with equal features stay in one fold. Intervals take the images as independent and the fitted
    probes as given.

    Args:
        features: embeddings.
        factor: level of each image.
        labels: class of each image, as an index.
        name: of the factor, for the result and for messages.
        folds: at least 3.
        rng: deals the images into folds.

    Raises:
        InputError: if the factor has one level only, a level has fewer different images than there are folds, a
            feature is not finite, or the columns differ in length.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> level = np.repeat(["day", "night"], 50)
        >>> features = rng.normal(size=(100, 4)) + 3 * (level == "night")[:, None]
        >>> result = fit_probe(features, level, np.tile([0, 1], 50), name="light", rng=rng)
        >>> result.majority, result.accuracy.value > 0.95, result.decodable
        (0.5, True, True)
    """
    _refuse(features, factor, labels, name=name, folds=folds)
    levels, codes = np.unique(factor, return_inverse=True)
    assigned = assign_folds(features, codes, labels, folds=folds, rng=rng)
    plain, frequencies = cross_fit(features, codes, np.zeros_like(codes), assigned)
    right = (plain.argmax(axis=1) == codes).astype(float)
    shares = np.bincount(codes) / len(codes)
    return ProbeResult(
        factor=name,
        levels=tuple(str(level) for level in levels),
        n=len(codes),
        accuracy=wilson(float(right.mean()), len(right)),
        balanced_accuracy=balanced_share([right[codes == code] for code in range(len(levels))]),
        majority=float(shares.max()),
        class_majority=float(_count(codes, labels).max(axis=1).sum() / len(codes)),
        bits=_bits(plain, frequencies, codes),
        bits_given_class=_given_class(features, codes, labels, assigned),
        entropy_bits=float(-(shares * np.log2(shares)).sum()),
        folds=folds,
    )


def assign_folds(
    features: Float[np.ndarray, "rows dim"],
    codes: Int[np.ndarray, " rows"],
    labels: Int[np.ndarray, " rows"],
    *,
    folds: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, " rows"]:
    """Deal images into folds: sorted by level, then class, then at random, each next one goes to the next fold.

    Numbers of images per level, and per level and class, then differ by at most one between folds. Images with equal
    features are one image.

    Example:
        >>> features = np.array([[0.0], [0.0], [1.0], [2.0]])
        >>> fold = assign_folds(features, np.zeros(4, int), np.zeros(4, int), folds=2, rng=np.random.default_rng(0))
        >>> bool(fold[0] == fold[1])
        True
    """
    _, first, image = np.unique(features, axis=0, return_index=True, return_inverse=True)
    order = np.lexsort((rng.random(len(first)), labels[first], codes[first]))
    fold = np.empty(len(first), dtype=np.int64)
    fold[order] = np.arange(len(first)) % folds
    return fold[image.reshape(-1)]


def _given_class(
    features: Float[np.ndarray, "rows dim"],
    codes: Int[np.ndarray, " rows"],
    labels: Int[np.ndarray, " rows"],
    assigned: Int[np.ndarray, " rows"],
) -> Estimate | None:
    """Bits about the level beyond the class, from the images of classes that occur at several levels."""
    mixed = ((_count(codes, labels) > 0).sum(axis=1) > 1)[labels]
    if not mixed.any():
        return None
    probe, frequencies = cross_fit(features[mixed], codes[mixed], labels[mixed], assigned[mixed])
    return _bits(probe, frequencies, codes[mixed])


def _bits(
    probe: Float[np.ndarray, "rows _"], frequencies: Float[np.ndarray, "rows _"], codes: Int[np.ndarray, " rows"]
) -> Estimate:
    rows = np.arange(len(codes))
    return mean_interval((probe - frequencies)[rows, codes] / np.log(2))


def _count(codes: Int[np.ndarray, " rows"], groups: Int[np.ndarray, " rows"]) -> Int[np.ndarray, "_ _"]:
    """Images by group and level."""
    counts = np.zeros((int(groups.max()) + 1, int(codes.max()) + 1), dtype=np.int64)
    np.add.at(counts, (groups, codes), 1)
    return counts


def _refuse(
    features: Float[np.ndarray, "_ dim"],
    factor: Shaped[np.ndarray, " _"],
    labels: Int[np.ndarray, " _"],
    *,
    name: str,
    folds: int,
) -> None:
    if not len(features) == len(factor) == len(labels):
        raise InputError(
            f"features, factor and labels must have one row per image; received {len(features)}, {len(factor)} and "
            f"{len(labels)} rows. Take them from the same images."
        )
    if folds < FEWEST_FOLDS:
        raise InputError(
            f"a probe needs at least {FEWEST_FOLDS} folds; received {folds}. Pass folds=5, the usual number."
        )
    if not np.isfinite(features).all():
        broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
        raise InputError(
            f"features must be finite; {len(broken)} of {len(features)} rows are not, the first is row {broken[0]}. "
            "Drop those rows, or encode in fp32."
        )
    check_levels(factor, name=name, folds=folds)
    for level in np.unique(factor):
        images = len(np.unique(features[factor == level], axis=0))
        if images < folds:
            raise _too_few(images, f"different images at level {str(level)!r}", name=name, folds=folds)


def check_levels(factor: Shaped[np.ndarray, " _"], *, name: str, folds: int) -> None:
    """Refuse a factor that cannot be probed, before anything is computed.

    Raises:
        InputError: if there are fewer than two levels, or a level has fewer images than there are folds.

    Example:
        >>> check_levels(np.array(["day"] * 9), name="light", folds=5)
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: a factor must have at least two levels ...; 'light' has only 'day'...
    """
    levels, counts = np.unique(factor, return_counts=True)
    if len(levels) < 2:
        raise InputError(
            f"a factor must have at least two levels to be decoded; {name!r} has "
            f"{f'only {str(levels[0])!r}' if len(levels) else 'no image'}. Leave it out, or add images at another "
            "level."
        )
    if counts.min() < folds:
        level = f"images at level {str(levels[counts.argmin()])!r}"
        raise _too_few(int(counts.min()), level, name=name, folds=folds)


def _too_few(images: int, what: str, *, name: str, folds: int) -> InputError:
    return InputError(
        f"every level must have at least as many different images as there are folds ({folds}); {name!r} has {images} "
        f"{what}. Merge that level with another, drop its images, or take fewer folds."
    )
