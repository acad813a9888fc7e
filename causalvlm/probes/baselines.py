"""What the numbers of a probe stand beside: colours alone, a network that has learnt nothing, and arbitrary labels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn import functional

from causalvlm.errors import InputError
from causalvlm.intervals import Estimate, Shift, clustered_shift, mean_shift, wilson
from causalvlm.probes.folds import assign_folds
from causalvlm.probes.linear import prepare
from causalvlm.probes.pixels import read_each
from causalvlm.probes.ridge import cross_fit
from causalvlm.probes.sampling import PROBED_IMAGES, sample_rows
from causalvlm.randomness import Rng, generator
from cdc.data.images import UnreadableImageError, lend_image

BINS = 4
"""Intervals that each of red, green and blue is cut into: 64 colours."""

SEEN_SIDE = 128
"""Colours are counted on a picture reduced about so far, by averaging blocks."""

INPUT_SIDE = 64
"""Pixels on a side of what the untrained network sees."""

CHANNELS = (3, 32, 64, 128, 256)
"""Of the untrained network: four convolutions of 3 by 3 with stride 2, each followed by a rectifier."""

IMAGES_PER_TYPE = 20
"""Images of a class that share a type, about."""

CONTROLS = 5
"""Arbitrary labellings that the control accuracy is the mean over."""

ABOUT: Mapping[str, str] = {
    "colours": "square roots of the shares of 64 colours, 4 by 4 by 4 of RGB (Swain & Ballard, IJCV 1991)",
    "untrained network": "mean and spread of 256 channels of a convolutional network with random weights (He et al., "
    "ICCV 2015, for their scale; Saxe et al., ICML 2011, for what such a network can do)",
}
"""What each baseline reads instead of the embedding."""


@dataclass(frozen=True, eq=False)
class BaselineFeatures:
    """What the baselines see of image files, one row per readable file.

    Attributes:
        values: features by the name of the baseline, as in `ABOUT`.
        kept: row i belongs to ``paths[kept[i]]``.
        unreadable: files that were left out, each with the reason.
    """

    values: Mapping[str, Float[np.ndarray, "rows _"]]
    kept: tuple[int, ...]
    unreadable: tuple[tuple[Path, str], ...]


@dataclass(frozen=True)
class Baseline:
    """A probe of the same kind and on the same folds, of something simpler than the embedding.

    Attributes:
        name: what it reads.
        accuracy: share of images whose level it reads right, with Wilson's interval.
        bits: its usable information, in bits per image.
        beyond: bits of the embedding's probe minus its own, image by image.
    """

    name: str
    accuracy: Estimate
    bits: Shift
    beyond: Shift

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "about": ABOUT.get(self.name, "")}


@dataclass(frozen=True)
class Selectivity:
    """How much better a probe reads a factor than labels that mean nothing (Hewitt & Liang, EMNLP 2019).

    A control task gives every image of one type, images of one class that look alike, the same level, drawn at random.
    What a probe reads of it, it has learnt by heart.

    Attributes:
        n: number of images.
        types: number of types.
        accuracy: of the probe on the factor.
        control: mean accuracy over the control tasks.
        selectivity: accuracy minus control, with an interval that takes the types as independent.
    """

    n: int
    types: int
    accuracy: float
    control: float
    selectivity: Shift

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def measure_baselines(paths: Sequence[Path], *, progress: str | None = None) -> BaselineFeatures:
    """What the baselines see of image files; each is read once.

    Args:
        paths: image files.
        progress: label of a progress bar, shown on a terminal.

    Raises:
        InputError: if there is no file, or none can be read.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> file = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (64, 48), "red").save(file)
        >>> found = measure_baselines([file])
        >>> {name: values.shape for name, values in found.values.items()}
        {'colours': (1, 64), 'untrained network': (1, 512)}
    """
    kept: list[int] = []
    rows: list[tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]] = []
    unreadable: list[tuple[Path, str]] = []
    for row, found in enumerate(read_each(paths, _read, progress=progress)):
        if isinstance(found, UnreadableImageError):
            unreadable.append((paths[row], found.reason))
        else:
            kept.append(row)
            rows.append(found)
    if not rows:
        raise InputError(
            f"at least one image must be readable to be measured; received {len(paths)} files and can read none. Check "
            "the paths."
        )
    values = {name: np.stack(column) for name, column in zip(ABOUT, zip(*rows, strict=True), strict=True)}
    return BaselineFeatures(values, tuple(kept), tuple(unreadable))


def compare_baselines(
    features: Float[np.ndarray, "_ dim"],
    factor: Shaped[np.ndarray, " _"],
    labels: Int[np.ndarray, " _"],
    baselines: Mapping[str, Float[np.ndarray, "_ _"]],
    *,
    name: str = "factor",
    folds: int = 5,
    rng: Rng,
) -> tuple[Baseline, ...]:
    """Probe the baselines' features as the embedding is probed, and hold one against the other image by image.

    Args:
        features: embeddings.
        factor: level of each image.
        labels: class of each image, as an index; folds are balanced over it.
        baselines: features of the same images, by name: `BaselineFeatures.values`, or those of another model.
        name: of the factor, for messages.
        folds: at least 3.
        rng: draws images and deals them into folds; or a seed.

    Raises:
        InputError: as `fit_probe`, or if a baseline has another number of rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> level = np.repeat(["day", "night"], 50)
        >>> features = rng.normal(size=(100, 4)) + 3 * (level == "night")[:, None]
        >>> others = {"noise": rng.normal(size=(100, 2))}
        >>> (noise,) = compare_baselines(features, level, np.zeros(100, int), others, rng=0)
        >>> noise.beyond.low > 0.5
        True
    """
    for other, values in baselines.items():
        if len(values) != len(features):
            raise InputError(
                f"a baseline must have one row per image ({len(features)}); {other!r} has {len(values)}. Take it from "
                "the same images."
            )
    rows, codes, assigned = _deal(features, factor, labels, name=name, folds=folds, rng=generator(rng))
    one = np.zeros_like(codes)
    of_embedding = cross_fit(features[rows], codes, one, assigned).probe
    results: list[Baseline] = []
    for other, values in baselines.items():
        found = cross_fit(np.asarray(values[rows], dtype=float), codes, one, assigned)
        right = found.probe.argmax(axis=1) == codes
        results.append(
            Baseline(
                name=other,
                accuracy=wilson(float(right.mean()), len(right)),
                bits=mean_shift(_true(found.probe - found.frequencies, codes)),
                beyond=mean_shift(_true(of_embedding - found.probe, codes)),
            )
        )
    return tuple(results)


def fit_selectivity(
    features: Float[np.ndarray, "_ dim"],
    factor: Shaped[np.ndarray, " _"],
    labels: Int[np.ndarray, " _"],
    *,
    name: str = "factor",
    folds: int = 5,
    rng: Rng,
) -> Selectivity:
    """Hold a probe's accuracy against its accuracy on control tasks.

    Types are clusters of about `IMAGES_PER_TYPE` images within a class (k-means on the embeddings), and the levels of a
    control task are about as frequent as the factor's. A random level for every image instead would only test chance.

    Args:
        features: embeddings.
        factor: level of each image.
        labels: class of each image, as an index.
        name: of the factor, for messages.
        folds: at least 3.
        rng: draws images, types and levels, and deals images into folds; or a seed.

    Raises:
        InputError: as `fit_probe`, or if there are fewer types than levels.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> level = np.repeat(["day", "night"], 100)
        >>> features = rng.normal(size=(200, 4)) + 3 * (level == "night")[:, None]
        >>> found = fit_selectivity(features, level, np.zeros(200, dtype=int), rng=rng)
        >>> found.types, found.selectivity.low > 0
        (10, True)
    """
    rng = generator(rng)
    rows, codes, assigned = _deal(features, factor, labels, name=name, folds=folds, rng=rng)
    types = find_types(features[rows], labels[rows], rng=rng)
    levels, number = int(codes.max()) + 1, int(types.max()) + 1
    if number < levels:
        raise InputError(
            f"a control task needs at least as many types of images as there are levels ({levels}); received {number} "
            f"types among {len(rows)} images of {name!r}. Add images, or merge levels."
        )
    read = features[rows]
    right = _right(read, codes, assigned)
    controls = [_right(read, draw_control(codes, types, rng=rng), assigned) for _ in range(CONTROLS)]
    control = np.mean(controls, axis=0)
    return Selectivity(
        n=len(rows),
        types=number,
        accuracy=float(right.mean()),
        control=float(control.mean()),
        selectivity=clustered_shift(right - control, types),
    )


def find_types(
    features: Float[np.ndarray, "rows dim"], labels: Int[np.ndarray, " rows"], *, rng: np.random.Generator
) -> Int[np.ndarray, " rows"]:
    """Type of each image, as an index: clusters within its class, of about `IMAGES_PER_TYPE` images.

    Example:
        >>> find_types(np.arange(6.0)[:, None], np.array([0, 0, 0, 2, 2, 2]), rng=np.random.default_rng(0))
        array([0, 0, 0, 1, 1, 1])
    """
    types = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        different = len(np.unique(features[rows], axis=0))
        number = max(1, different // IMAGES_PER_TYPE)
        parts = KMeans(number, random_state=int(rng.integers(2**31))).set_params(n_init=1).fit_predict(features[rows])
        types[rows] = types.max() + 1 + parts
    return np.unique(types, return_inverse=True)[1]


def draw_control(
    codes: Int[np.ndarray, " rows"], types: Int[np.ndarray, " rows"], *, rng: np.random.Generator
) -> Int[np.ndarray, " rows"]:
    """A level for every type, at random, about as frequent among images as in `codes`, and none left out.

    Args:
        codes: level of each image, as an index.
        types: type of each image, as an index; at least as many as there are levels.
        rng: draws.

    Example:
        >>> draw_control(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), rng=np.random.default_rng(0))
        array([0, 0, 1, 1])
    """
    shares = np.bincount(codes) / len(codes)
    order = rng.permutation(int(types.max()) + 1)
    sizes = np.bincount(types)[order] / len(types)
    middles = np.cumsum(sizes) - sizes / 2
    given = np.minimum(np.searchsorted(np.cumsum(shares), middles), len(shares) - 1)
    for level in np.flatnonzero(np.bincount(given, minlength=len(shares)) == 0):
        commonest = np.bincount(given, minlength=len(shares)).argmax()
        given[np.flatnonzero(given == commonest)[0]] = level
    level_of = np.empty_like(order)
    level_of[order] = given
    return level_of[types]


def _deal(
    features: Float[np.ndarray, "_ dim"],
    factor: Shaped[np.ndarray, " _"],
    labels: Int[np.ndarray, " _"],
    *,
    name: str,
    folds: int,
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
    """The rows that are probed, their levels as indices, and their folds."""
    levels, codes, _ = prepare(features, factor, labels, None, name=name, folds=folds)
    images = np.unique(features, axis=0, return_inverse=True)[1].reshape(-1)
    drawn = sample_rows(levels[codes], images, most=PROBED_IMAGES, fewest=folds, rng=rng)
    rows = np.arange(len(codes)) if drawn is None else drawn
    return rows, codes[rows], assign_folds(features[rows], codes[rows], labels[rows], folds=folds, rng=rng)


def _right(
    features: Float[np.ndarray, "rows dim"], codes: Int[np.ndarray, " rows"], assigned: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    found = cross_fit(features, codes, np.zeros_like(codes), assigned)
    return (found.probe.argmax(axis=1) == codes).astype(float)


def _true(
    log_probabilities: Float[np.ndarray, "rows _"], codes: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """Log-probability of the true level, in bits."""
    return log_probabilities[np.arange(len(codes)), codes] / np.log(2)


def _read(path: Path) -> tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]:
    with lend_image(path) as image:
        reduced = np.asarray(image.reduce(-(-max(image.size) // SEEN_SIDE)))
        small = np.asarray(image.resize((INPUT_SIDE, INPUT_SIDE)), dtype=np.float32)
    return _colours(reduced), _untrained(small)


def _colours(rgb: Shaped[np.ndarray, "_ _ 3"]) -> Float[np.ndarray, " _"]:
    """Square roots of the shares of the colours: distances between them are Hellinger's."""
    red, green, blue = (rgb.reshape(-1, 3).astype(np.int64) * BINS // 256).T
    counts = np.bincount((red * BINS + green) * BINS + blue, minlength=BINS**3)
    return np.sqrt(counts / counts.sum())


@torch.no_grad()
def _untrained(rgb: Float[np.ndarray, "_ _ 3"]) -> Float[np.ndarray, " _"]:
    """Mean and spread over the picture of the last channels."""
    values = torch.from_numpy(rgb).permute(2, 0, 1)[None] / 127.5 - 1
    for weight in _weights():
        values = functional.relu(functional.conv2d(values, weight, stride=2, padding=1))
    channels = values[0].flatten(1)
    return torch.cat([channels.mean(dim=1), channels.std(dim=1)]).double().numpy()


@cache
def _weights() -> tuple[Float[Tensor, "_ _ 3 3"], ...]:
    """Normal with variance two by the number of inputs, always the same."""
    draw = torch.Generator().manual_seed(0)
    pairs = pairwise(CHANNELS)
    return tuple(torch.randn(out, into, 3, 3, generator=draw) * (2 / (9 * into)) ** 0.5 for into, out in pairs)
