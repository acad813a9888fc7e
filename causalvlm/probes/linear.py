"""Is a factor decodable from an embedding? A cross-fitted linear probe, beside what one can guess without it."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import softmax

from causalvlm.errors import InputError
from causalvlm.intervals import (
    Estimate,
    Shift,
    balanced_share,
    clustered_share,
    clustered_shift,
    mean_shift,
    wilson,
)
from causalvlm.probes.folds import assign_folds, join_groups
from causalvlm.probes.ridge import cross_fit, fit_all
from causalvlm.randomness import Rng, generator

FEWEST_FOLDS = 3
"""The penalty for a fold is chosen among the others, of which one is held out."""


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """A linear reader of a factor, for features as they come from the tower; its arrays are read-only.

    Fitted on every image with the penalty that cross-fitting found best, so that it may be applied to others; how well
    it reads images that it has not seen is what the `ProbeResult` beside it says.

    Attributes:
        levels: what it reads.
        weights: one direction of feature space per level.
        offset: of each level's logit.

    Raises:
        InputError: on use, if features have another width than those that it was fitted on.

    Example:
        >>> probe = LinearProbe(("day", "night"), weights=np.array([[-1.0, 1.0]]), offset=np.zeros(2))
        >>> probe.predict(np.array([[2.0], [-2.0]]))
        ('night', 'day')
    """

    levels: tuple[str, ...]
    weights: Float[np.ndarray, "dim _"]
    offset: Float[np.ndarray, " _"]

    def __post_init__(self) -> None:
        for name in ("weights", "offset"):
            copy = np.array(getattr(self, name))
            copy.setflags(write=False)
            object.__setattr__(self, name, copy)

    def logits(self, features: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows _"]:
        """Log-probabilities of the levels up to a constant per row."""
        if features.shape[1] != len(self.weights):
            raise InputError(
                f"a probe must read features as wide as those it was fitted on ({len(self.weights)}); received "
                f"{features.shape[1]} columns. Embed the images with the same backbone."
            )
        return features @ self.weights + self.offset

    def probabilities(self, features: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows _"]:
        """Probabilities of the levels; rows sum to one."""
        return softmax(self.logits(features), axis=1)

    def predict(self, features: Float[np.ndarray, "rows dim"]) -> tuple[str, ...]:
        """Most probable level of each row."""
        return tuple(self.levels[code] for code in self.logits(features).argmax(axis=1))

    def directions(self) -> Float[np.ndarray, "dim _"]:
        """Orthonormal basis of what the probe looks at: the span of the differences between the levels' weights.

        To features without their part in this span the probe gives every row the same probabilities. At most one
        direction fewer than there are levels.

        Example:
            >>> probe = LinearProbe(("day", "night"), weights=np.array([[-3.0, 3.0], [0.0, 0.0]]), offset=np.zeros(2))
            >>> np.abs(probe.directions())
            array([[1.], [0.]])
        """
        # A softmax does not change when every level's weights move alike: what remains without their mean counts.
        basis, sizes, _ = np.linalg.svd(self.weights - self.weights.mean(axis=1, keepdims=True), full_matrices=False)
        negligible = max(self.weights.shape) * np.finfo(sizes.dtype).eps * sizes.max()
        return basis[:, sizes > negligible]

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON, from which the probe can be made again."""
        return {"levels": list(self.levels), "weights": self.weights.tolist(), "offset": self.offset.tolist()}


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
        probe: the probe itself, fitted on all images.
        groups: number of groups of images that stayed in one fold and that the intervals take as independent; None
            where these are the images themselves.
    """

    factor: str
    levels: tuple[str, ...]
    n: int
    accuracy: Estimate
    balanced_accuracy: Estimate
    majority: float
    class_majority: float
    bits: Shift
    bits_given_class: Shift | None
    entropy_bits: float
    folds: int
    probe: LinearProbe = field(repr=False, compare=False)
    groups: int | None = None

    @property
    def decodable(self) -> bool:
        """Whether the embedding certainly tells more of the factor than its frequencies do: bits above zero.

        Of this factor alone: a diagnosis, which asks of several, corrects for their number.
        """
        return self.bits.low > 0

    @property
    def decodable_given_class(self) -> bool:
        """Whether it does so even when the class is known."""
        return self.bits_given_class is not None and self.bits_given_class.low > 0

    def to_record(self) -> dict[str, Any]:
        """The numbers as plain values for JSON, without the probe."""
        shown = (one.name for one in fields(self) if one.name != "probe")
        return {name: _plain(getattr(self, name)) for name in shown}


def fit_probe(
    features: Float[np.ndarray, "_ dim"],
    factor: Shaped[np.ndarray, " _"],
    labels: Int[np.ndarray, " _"],
    *,
    name: str = "factor",
    folds: int = 5,
    rng: Rng,
    groups: Shaped[np.ndarray, " _"] | None = None,
) -> ProbeResult:
    """Read a factor from embeddings with a multinomial logistic probe, never from an image that it was fitted on.

    Features are standardised on the training folds, and the ridge penalty is chosen by cross-validation among these.
    The penalty draws the probe towards the frequencies that it is compared with. Folds are balanced over level and
    class, and images with equal features stay in one fold. Intervals take the images as independent and the fitted
    probes as given; with groups, a group stays in one fold and it is the groups that are taken as independent.

    Args:
        features: embeddings.
        factor: level of each image.
        labels: class of each image, as an index.
        name: of the factor, for the result and for messages.
        folds: at least 3.
        rng: deals the images into folds; or a seed.
        groups: images that are not independent of each other: the video, the photographer or the patient of each.

    Raises:
        InputError: if the factor has one level only, a level has fewer different images (or groups) than there are
            folds, a feature is not finite, or the columns differ in length.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> level = np.repeat(["day", "night"], 50)
        >>> features = rng.normal(size=(100, 4)) + 3 * (level == "night")[:, None]
        >>> result = fit_probe(features, level, np.tile([0, 1], 50), name="light", rng=rng)
        >>> result.majority, result.accuracy.value > 0.95, result.decodable
        (0.5, True, True)
    """
    levels, codes, units = prepare(features, factor, labels, groups, name=name, folds=folds)
    assigned = assign_folds(features, codes, labels, folds=folds, rng=generator(rng), groups=units)
    found = cross_fit(features, codes, np.zeros_like(codes), assigned)
    right = (found.probe.argmax(axis=1) == codes).astype(float)
    shares = np.bincount(codes) / len(codes)
    names = tuple(str(level) for level in levels)
    return ProbeResult(
        factor=name,
        levels=names,
        n=len(codes),
        accuracy=wilson(float(right.mean()), len(right))
        if units is None
        else clustered_share(right, np.zeros_like(codes), units),
        balanced_accuracy=balanced_share([right[codes == code] for code in range(len(levels))])
        if units is None
        else clustered_share(right, codes, units),
        majority=float(shares.max()),
        class_majority=float(_count(codes, labels).max(axis=1).sum() / len(codes)),
        bits=_bits(found.probe, found.frequencies, codes, units),
        bits_given_class=_given_class(features, codes, labels, assigned, units),
        entropy_bits=float(-(shares * np.log2(shares)).sum()),
        folds=folds,
        probe=LinearProbe(names, *fit_all(features, codes, found.strength)),
        groups=None if units is None else len(np.unique(units)),
    )


def prepare(
    features: Float[np.ndarray, "_ dim"],
    factor: Shaped[np.ndarray, " _"],
    labels: Int[np.ndarray, " _"],
    groups: Shaped[np.ndarray, " _"] | None,
    *,
    name: str,
    folds: int,
) -> tuple[Shaped[np.ndarray, " _"], Int[np.ndarray, " _"], Int[np.ndarray, " _"] | None]:
    """Check what a probe is given: the levels, each image's as an index, and its group as an index if there are any.

    Groups that share an image are joined.

    Raises:
        InputError: as `fit_probe`.

    Example:
        >>> prepare(np.arange(6.0)[:, None], np.array(["b", "a"] * 3), np.zeros(6, int), None, name="letter", folds=3)
        (array(['a', 'b'], dtype='<U1'), array([1, 0, 1, 0, 1, 0]), None)
    """
    _refuse(features, factor, labels, name=name, folds=folds)
    levels, codes = np.unique(factor, return_inverse=True)
    return levels, codes, None if groups is None else _units(features, codes, levels, groups, name=name, folds=folds)


def _given_class(
    features: Float[np.ndarray, "rows dim"],
    codes: Int[np.ndarray, " rows"],
    labels: Int[np.ndarray, " rows"],
    assigned: Int[np.ndarray, " rows"],
    units: Int[np.ndarray, " rows"] | None,
) -> Shift | None:
    """Bits about the level beyond the class, from the images of classes that occur at several levels."""
    mixed = ((_count(codes, labels) > 0).sum(axis=1) > 1)[labels]
    if not mixed.any() or (units is not None and len(np.unique(units[mixed])) < 2):
        return None
    found = cross_fit(features[mixed], codes[mixed], labels[mixed], assigned[mixed])
    return _bits(found.probe, found.frequencies, codes[mixed], None if units is None else units[mixed])


def _plain(value: object) -> object:
    return asdict(value) if isinstance(value, Estimate | Shift) else value


def _bits(
    probe: Float[np.ndarray, "rows _"],
    frequencies: Float[np.ndarray, "rows _"],
    codes: Int[np.ndarray, " rows"],
    units: Int[np.ndarray, " rows"] | None,
) -> Shift:
    bits = (probe - frequencies)[np.arange(len(codes)), codes] / np.log(2)
    return mean_shift(bits) if units is None else clustered_shift(bits, units)


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


def _units(
    features: Float[np.ndarray, "rows dim"],
    codes: Int[np.ndarray, " rows"],
    levels: Shaped[np.ndarray, " _"],
    groups: Shaped[np.ndarray, " _"],
    *,
    name: str,
    folds: int,
) -> Int[np.ndarray, " rows"]:
    """What is independent: the groups, those that share an image joined."""
    if len(groups) != len(codes):
        raise InputError(
            f"groups must have one row per image; received {len(groups)} rows for {len(codes)} images. Take them from "
            "the same images."
        )
    units = join_groups(np.unique(features, axis=0, return_inverse=True)[1].reshape(-1), groups)
    for code, level in enumerate(levels):
        number = len(np.unique(units[codes == code]))
        if number < folds:
            raise InputError(
                f"the images of every level must come from at least as many groups as there are folds ({folds}); "
                f"{name!r} has {number} at level {str(level)!r}. Merge that level with another, drop its images, or "
                "take fewer folds."
            )
    return units


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
