"""Clusters of embeddings that classes share, shown as example images for a person to name.

Embeddings are centred class by class: what is left is how images of a class differ, and clusters of that are what
several classes have in common, such as a style or a surrounding. A cluster has no name and need not be one thing; it is
a function of the embedding, so that a probe always decodes it. Ask what goes with it, after looking at the examples.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.sparse import coo_array
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from causalvlm.errors import InputError
from causalvlm.randomness import Rng, generator

FEWEST_IMAGES = 100
"""Different images without which nothing is looked for."""

FITTED_IMAGES = 5000
"""Images, drawn at random, that the clusters are found among; the others are given the nearest centre."""

COMPONENTS = 32
"""Principal components that the clusters are found in."""

MOST_CLUSTERS = 8
"""Largest number of clusters that is tried: as many levels as a person may want to name."""

HALVINGS = 10
"""Times that the images are halved to see whether both halves give the same clusters."""

STABLE = 0.8
"""Least adjusted Rand index between the clusters of two halves."""

REFERENCES = 39
"""Clouds without clusters that the tightness is compared with: one that beats all of them has p = 1 / 40."""

FALSE_ALARM_RATE = 0.025
"""A p-value of the tightness up to which there are clusters."""

STARTS = 5
"""Starts of k-means, of which the best is kept."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Groups of images that look alike to the model, whatever their class.

    Attributes:
        levels: "cluster 1", the largest, and so on, of every image.
        number: how many clusters: the most that are stable; where none are, the number that comes nearest.
        stability: by number of clusters, the mean adjusted Rand index (Hubert & Arabie, Journal of Classification
            1985) between the clusters of two disjoint halves of the images, on all of them (after Ben-Hur, Elisseeff
            & Guyon, PSB 2002).
        p_value: of clusters no tighter than those in a Gaussian cloud with the same variances (Liu, Hayes, Nobel &
            Marron, JASA 2008); 1 where no number is stable, and the question is not asked.
        examples: of each cluster, the image of every class in it that is nearest to the centre, the nearest first.
    """

    levels: Shaped[np.ndarray, " rows"] = field(repr=False)
    number: int
    stability: Mapping[int, float]
    p_value: float
    examples: Mapping[str, tuple["Medoid", ...]] = field(repr=False)

    @property
    def reason(self) -> str:
        """Why the clusters are left out; empty for some that hold."""
        found = self.stability[self.number]
        if found < STABLE:
            return f"other images would give other clusters (adjusted Rand index {found:.2f}, below {STABLE})"
        if self.p_value > FALSE_ALARM_RATE:
            return f"its clusters are no tighter than those of a cloud without any (p = {self.p_value:.2f})"
        return ""

    @property
    def about(self) -> str:
        """What was found, in words."""
        return (
            f"{self.number} clusters of the embeddings, centred by class (adjusted Rand index of two halves "
            f"{self.stability[self.number]:.2f})"
        )

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON, without the levels of single images."""
        return {
            "number": self.number,
            "stability": {str(number): index for number, index in self.stability.items()},
            "p_value": self.p_value,
            "reason": self.reason,
            "examples": {level: [asdict(one) for one in medoids] for level, medoids in self.examples.items()},
        }


@dataclass(frozen=True)
class Medoid:
    """The image of a class that lies nearest to the centre of a cluster: the class's image that is most like it.

    Attributes:
        label: index of the class.
        row: of the image.
    """

    label: int
    row: int


def find_clusters(
    features: Float[np.ndarray, "rows dim"],
    labels: Int[np.ndarray, " rows"],
    *,
    most: int = MOST_CLUSTERS,
    rng: Rng,
) -> Clusters:
    """Look for groups of images that are alike to the model beyond their class.

    K-means on the leading principal components of the embeddings, each minus the mean of its class. The number of
    clusters is the largest that two halves of the images agree on.

    Args:
        features: embeddings.
        labels: class of each image, as an index.
        most: largest number of clusters to try, at least 2.
        rng: draws images, halves and starts; or a seed.

    Raises:
        InputError: if there are fewer than `FEWEST_IMAGES` different images, or `most` is below 2.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels, style = rng.integers(3, size=300), rng.integers(2, size=300)
        >>> features = rng.normal(size=(300, 6)) + 4 * np.eye(6)[labels] + 6 * np.eye(6)[3 + style]
        >>> found = find_clusters(features, labels, rng=rng)
        >>> found.number, found.reason, len(set(zip(found.levels, style)))
        (2, '', 2)
    """
    rng = generator(rng)
    if most < 2:
        raise InputError(f"at least 2 clusters must be allowed; received most={most}. Pass most=8, the usual number.")
    drawn = rng.permutation(len(features))[:FITTED_IMAGES]
    if len(np.unique(features[drawn], axis=0)) < FEWEST_IMAGES:
        raise InputError(
            f"clusters must be looked for among at least {FEWEST_IMAGES} different images; received "
            f"{len(np.unique(features, axis=0))}. Add images."
        )
    points = _reduce(features, labels, drawn)
    fitted = points[drawn]
    stability = {number: _stability(fitted, number, rng) for number in range(2, most + 1)}
    stable = [number for number, index in stability.items() if index >= STABLE]
    number = max(stable, default=max(stability, key=stability.__getitem__))
    model = _cluster(fitted, number, rng)
    codes, centres = _largest_first(np.asarray(model.predict(points)), model.cluster_centers_)
    names = np.array([f"cluster {place + 1}" for place in range(number)])
    return Clusters(
        levels=names[codes],
        number=number,
        stability=stability,
        p_value=_tightness(fitted, number, float(np.asarray(model.inertia_)), rng) if stable else 1.0,
        examples={
            str(name): _medoids(points, labels, codes, place, centres[place]) for place, name in enumerate(names)
        },
    )


def centre_by_class(
    features: Float[np.ndarray, "rows dim"], labels: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, "rows dim"]:
    """Features minus the mean of their class.

    Example:
        >>> centre_by_class(np.array([[1.0], [3.0], [7.0]]), np.array([0, 0, 1])).ravel()
        array([-1.,  1.,  0.])
    """
    counts = np.bincount(labels)
    chosen = coo_array((np.ones(len(labels), features.dtype), (labels, np.arange(len(labels)))))
    means = chosen.tocsr() @ features / np.maximum(counts, 1)[:, None].astype(features.dtype)
    return features - means[labels]


def _reduce(
    features: Float[np.ndarray, "rows dim"], labels: Int[np.ndarray, " rows"], drawn: Int[np.ndarray, " _"]
) -> Float[np.ndarray, "rows _"]:
    """Leading principal components, found among the drawn images, of all of them."""
    centred = centre_by_class(np.asarray(features, dtype=np.float32), labels)
    sample = centred[drawn].astype(np.float64)
    _, axes = np.linalg.eigh(sample.T @ sample)
    return (centred @ axes[:, ::-1][:, :COMPONENTS].astype(np.float32)).astype(np.float64)


def _cluster(points: Float[np.ndarray, "_ _"], number: int, rng: np.random.Generator) -> KMeans:
    return KMeans(number, random_state=int(rng.integers(2**31))).set_params(n_init=STARTS).fit(points)


def _stability(points: Float[np.ndarray, "_ _"], number: int, rng: np.random.Generator) -> float:
    """Mean adjusted Rand index of the clusters that two halves of the images give to all of them."""
    found: list[float] = []
    for _ in range(HALVINGS):
        halves = np.array_split(rng.permutation(len(points)), 2)
        one, other = (_cluster(points[half], number, rng).predict(points) for half in halves)
        found.append(float(adjusted_rand_score(one, other)))
    return float(np.mean(found))


def _tightness(points: Float[np.ndarray, "_ _"], number: int, inertia: float, rng: np.random.Generator) -> float:
    """Rank of the share of variance within clusters among those of Gaussian clouds with the same variances."""
    share, spread = inertia / float((points**2).sum()), points.std(axis=0)
    looser = 0
    for _ in range(REFERENCES):
        cloud = rng.normal(size=points.shape) * spread
        looser += float(np.asarray(_cluster(cloud, number, rng).inertia_)) / float((cloud**2).sum()) > share
    return (1 + REFERENCES - looser) / (1 + REFERENCES)


def _largest_first(
    codes: Int[np.ndarray, " rows"], centres: Float[np.ndarray, "_ _"]
) -> tuple[Int[np.ndarray, " rows"], Float[np.ndarray, "_ _"]]:
    """Clusters numbered by size."""
    order = np.argsort(-np.bincount(codes, minlength=len(centres)), kind="stable")
    return np.argsort(order)[codes], centres[order]


def _medoids(
    points: Float[np.ndarray, "rows _"],
    labels: Int[np.ndarray, " rows"],
    codes: Int[np.ndarray, " rows"],
    place: int,
    centre: Float[np.ndarray, " _"],
) -> tuple[Medoid, ...]:
    """The image nearest to the centre of a cluster, of each class that occurs in it, the nearest first."""
    rows = np.flatnonzero(codes == place)
    nearest = rows[np.argsort(((points[rows] - centre) ** 2).sum(axis=1), kind="stable")]
    _, first = np.unique(labels[nearest], return_index=True)
    return tuple(Medoid(int(labels[row]), int(row)) for row in nearest[np.sort(first)])
