"""Does a model answer otherwise when a factor is erased from its embeddings? LEACE, against erasing at random.

Erasure asks less than setting the factor: it takes away what is linearly decodable, from pictures that stay as they
are. It stands beside counterfactual pairs, and in for them where a factor cannot be set.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from sklearn.covariance import ledoit_wolf_shrinkage
from threadpoolctl import threadpool_limits

from causalvlm.embeddings.model import Classify
from causalvlm.embeddings.table import logit_margins
from causalvlm.errors import InputError
from causalvlm.intervals import Estimate, Shift, mean_shift, wilson
from causalvlm.probes.folds import assign_folds
from causalvlm.probes.linear import check_levels
from causalvlm.randomness import Rng, draw_evenly, generator

DRAWS = 299
"""Erasures at random: the smallest p-value is then 1 / 300, which survives the correction for a dozen factors."""

AT_ONCE = 32
"""Draws whose directions are found by one product."""

MOST_IMAGES = 4000
"""Images that erasers are fitted on and the model is asked about, as equally many of every class as there are."""

FOLDS = 5
"""Parts of the images; each is erased by what was fitted on the others."""

NEGLIGIBLE = 1e-10
"""Singular values of the covariance between whitened features and levels below this are rounding."""


@dataclass(frozen=True, eq=False)
class Eraser:
    """An affine map of embeddings after which no linear probe finds the factor in those that it was fitted on.

    Attributes:
        centre: mean of the embeddings, which stays where it is.
        left: what is taken away, one direction a column.
        right: what tells how much of it.
    """

    centre: Float[np.ndarray, " dim"]
    left: Float[np.ndarray, "dim _"]
    right: Float[np.ndarray, "_ dim"]

    @property
    def rank(self) -> int:
        """Directions that are taken away, at most one fewer than the factor has levels."""
        return self.left.shape[1]

    def __call__(self, features: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
        """The embeddings without the factor."""
        return features - ((features - self.centre) @ self.right.T) @ self.left.T


def fit_eraser(
    features: Float[np.ndarray, "rows dim"],
    levels: Shaped[np.ndarray, " rows"],
    labels: Int[np.ndarray, " rows"] | None = None,
    *,
    shrink: bool = False,
) -> Eraser:
    """Least-squares concept erasure (LEACE; Belrose et al., NeurIPS 2023, arXiv 2306.03819, equation 1).

    r(x) = x - W^+ P W (x - E[x]) with W the inverse square root of the features' covariance and P the projector onto
    the columns of W Cov(x, z): of all affine maps after which the covariance with the factor is zero, the one that
    moves features least. With labels, both covariances are those within classes [ours]: what goes with the factor only
    because classes differ in it is not taken for the factor, and the map does without the label.

    Args:
        features: embeddings.
        levels: level of the factor of each.
        labels: class of each, to erase what is left of the factor within classes.
        shrink: draw the covariance towards a multiple of the identity (Ledoit & Wolf, JMVA 2004), for features that are
            not many times as many as they are wide; the covariance with the factor becomes zero all the same.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> level = rng.integers(2, size=200)
        >>> features = rng.normal(size=(200, 3)) + 2 * level[:, None]
        >>> eraser = fit_eraser(features, level)
        >>> erased = eraser(features)
        >>> eraser.rank, bool(np.allclose(erased[level == 0].mean(axis=0), erased[level == 1].mean(axis=0)))
        (1, True)
    """
    classes = np.zeros(len(features), dtype=np.int64) if labels is None else labels
    space = _Whitened.of(features, classes, shrink=shrink)
    basis = space.basis(_one_hot(levels))
    basis = basis[:, basis.any(axis=0)]
    return Eraser(space.centre, space.colour @ basis, basis.T @ space.whiten)


def varies_within(levels: Shaped[np.ndarray, " rows"], labels: Int[np.ndarray, " rows"]) -> bool:
    """Whether some class occurs at several levels: else class and factor cannot be told apart.

    Example:
        >>> varies_within(np.array(["day", "night"]), np.array([0, 1]))
        False
    """
    return any(len(np.unique(levels[labels == label])) > 1 for label in np.unique(labels))


@dataclass(frozen=True, eq=False)
class _Whitened:
    """Features made ready to erase any factor from them.

    Attributes:
        centre: their mean.
        whitened: within their class, with identity covariance.
        whiten: the symmetric inverse square root of their covariance within classes.
        colour: the square root itself.
    """

    centre: Float[np.ndarray, " dim"]
    whitened: Float[np.ndarray, "rows dim"]
    whiten: Float[np.ndarray, "dim dim"]
    colour: Float[np.ndarray, "dim dim"]

    @classmethod
    def of(
        cls, features: Float[np.ndarray, "rows dim"], labels: Int[np.ndarray, " rows"], *, shrink: bool
    ) -> "_Whitened":
        features = features.astype(np.float64)
        means = np.stack([features[labels == label].mean(axis=0) for label in np.unique(labels)])
        within = features - means[np.unique(labels, return_inverse=True)[1]]
        covariance = within.T @ within / len(within)
        if shrink:
            part = float(ledoit_wolf_shrinkage(within, assume_centered=True))
            identity = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
            covariance = (1 - part) * covariance + part * identity
        sizes, basis = np.linalg.eigh(covariance)
        kept = sizes > sizes.max() * len(sizes) * np.finfo(np.float64).eps
        sizes, basis = sizes[kept], basis[:, kept]
        whiten = (basis / np.sqrt(sizes)) @ basis.T
        return cls(features.mean(axis=0), within @ whiten, whiten, (basis * np.sqrt(sizes)) @ basis.T)

    def basis(self, factor: Float[np.ndarray, "rows ..."]) -> Float[np.ndarray, "..."]:
        """Orthonormal columns that span what goes with a factor, zero beyond; of one factor or of a stack of them."""
        together = np.tensordot(self.whitened, factor, axes=(0, 0)) / len(factor)  # dim, (draws,) levels
        columns = np.moveaxis(together, 0, -2)
        basis, sizes, _ = np.linalg.svd(columns, full_matrices=False)
        return basis * (sizes > NEGLIGIBLE)[..., None, :]


def _one_hot(levels: Shaped[np.ndarray, " rows"]) -> Float[np.ndarray, "rows _"]:
    known, codes = np.unique(levels, return_inverse=True)
    return np.eye(len(known))[codes]


@dataclass(frozen=True)
class Erasure:
    """What erasing a factor from embeddings does to a model's answers.

    Attributes:
        factor: its name.
        n: images.
        rank: directions that were erased.
        margin: mean change of the logit margin, in nats, with Student's interval.
        change: mean absolute change of the margin, what the p-value is about.
        random_change: the same where levels were permuted within classes: mean over the draws and their 2.5 and 97.5
            per cent quantiles.
        flips: share of images whose answer changes, with Wilson's interval.
        random_flips: as `random_change`.
        p_value: share of draws, this erasure included, that change the margins at least as much: of "within classes
            the features know nothing of the factor", and small only where the model also reads what they know.
        draws: how many.
    """

    factor: str
    n: int
    rank: int
    margin: Shift
    change: float
    random_change: Estimate
    flips: Estimate
    random_flips: Estimate
    p_value: float
    draws: int

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


@threadpool_limits.wrap(limits=1)  # hundreds of small products: threads would spend their time waiting for each other
def erase_and_ask(
    classify: Classify,
    features: Float[np.ndarray, "_ dim"],
    labels: Int[np.ndarray, " _"],
    levels: Shaped[np.ndarray, " _"],
    *,
    factor: str = "factor",
    rng: Rng,
    draws: int = DRAWS,
    most: int = MOST_IMAGES,
) -> Erasure | None:
    """Erase what is left of a factor within classes from embeddings, and compare what a model answers.

    Each fold is erased by what was fitted on the others. What the change is held against is the same with levels
    permuted within classes (Elazar et al., TACL 2021, arXiv 2006.00995, compare with random directions): erasing
    anything of this rank disturbs answers. Embeddings are not brought back to unit length: that would change what a
    model makes of all that was not erased.

    Args:
        classify: `Model.classify`.
        features: embeddings.
        labels: class of each.
        levels: level of the factor of each.
        factor: its name.
        rng: draws images, folds and permutations; or a seed.
        draws: permutations.
        most: images that are used.

    Returns:
        The result; None where each class occurs at one level only, so that the question has no answer.

    Raises:
        InputError: if the factor has fewer than two levels or a level fewer images than there are folds.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels, level = np.tile([0, 1], 100), np.repeat([0, 1], 100)
        >>> features = rng.normal(size=(200, 20)) + 3 * np.eye(20)[labels] + 3 * level[:, None] * np.eye(20)[19]
        >>> found = erase_and_ask(lambda x: x[:, :2] + x[:, [19, 18]], features, labels, level, rng=0, draws=49)
        >>> found.rank, found.p_value, found.change > found.random_change.high
        (1, 0.02, True)
    """
    if not len(features) == len(labels) == len(levels):
        raise InputError(
            f"features, labels and levels must have one row per image; received {len(features)}, {len(labels)} and "
            f"{len(levels)} rows. Take them from the same images."
        )
    rng = generator(rng)
    rows = draw_evenly(labels, most, rng=rng)
    features, labels, levels = np.asarray(features[rows]), labels[rows], levels[rows]
    check_levels(levels, name=factor, folds=FOLDS)
    if not varies_within(levels, labels):
        return None
    erasing = _Erasing.of(classify, features, labels, rng)
    one_hot = _one_hot(levels)
    (found,) = erasing.ask(one_hot[:, None])
    change = float(np.abs(found.margins).mean())
    random: list[tuple[float, float]] = []
    for start in range(0, draws, AT_ONCE):
        orders = [_permute_within(labels, rng) for _ in range(min(AT_ONCE, draws - start))]
        for drawn in erasing.ask(np.stack([one_hot[order] for order in orders], axis=1)):
            random.append((float(np.abs(drawn.margins).mean()), float(drawn.changed.mean())))
    random_changes, random_flips = np.array(random).T
    return Erasure(
        factor=factor,
        n=len(labels),
        rank=found.rank,
        margin=mean_shift(found.margins),
        change=change,
        random_change=_spread(random_changes),
        flips=wilson(float(found.changed.mean()), len(labels)),
        random_flips=_spread(random_flips),
        p_value=float((1 + (random_changes >= change).sum()) / (1 + draws)),
        draws=draws,
    )


@dataclass(frozen=True, eq=False)
class _Answer:
    """What an erasure changes: every margin, and whether the answer; and the directions that were erased at most."""

    margins: Float[np.ndarray, " rows"]
    changed: Bool[np.ndarray, " rows"]
    rank: int


@dataclass(frozen=True, eq=False)
class _Fold:
    """Images that are erased by what was fitted on the others, whitened as these."""

    others: Int[np.ndarray, " _"]
    held_out: Int[np.ndarray, " _"]
    space: _Whitened
    whitened: Float[np.ndarray, "_ dim"]


@dataclass(frozen=True, eq=False)
class _Erasing:
    """Embeddings whose answers are known, to be erased time and again."""

    classify: Classify
    features: Float[np.ndarray, "rows dim"]
    labels: Int[np.ndarray, " rows"]
    folds: tuple[_Fold, ...]
    margins: Float[np.ndarray, " rows"]
    answers: Int[np.ndarray, " rows"]

    @classmethod
    def of(
        cls,
        classify: Classify,
        features: Float[np.ndarray, "rows dim"],
        labels: Int[np.ndarray, " rows"],
        rng: np.random.Generator,
    ) -> "_Erasing":
        assigned = assign_folds(features, labels, labels, folds=FOLDS, rng=rng)
        logits = classify(features)
        folds: list[_Fold] = []
        for fold in range(FOLDS):
            others, held_out = np.flatnonzero(assigned != fold), np.flatnonzero(assigned == fold)
            space = _Whitened.of(features[others], labels[others], shrink=True)
            whitened = (features[held_out] - space.centre) @ space.whiten
            folds.append(_Fold(others, held_out, space, whitened.astype(features.dtype)))
        margins, answers = logit_margins(logits, labels), logits.argmax(axis=1)
        return cls(classify, features, labels, tuple(folds), margins, answers)

    def ask(self, factors: Float[np.ndarray, "rows _ _"]) -> Iterator[_Answer]:
        """What changes when each of a stack of factors is erased."""
        bases = [fold.space.basis(factors[fold.others]) for fold in self.folds]
        lefts = [fold.space.colour @ basis for fold, basis in zip(self.folds, bases, strict=True)]
        erased = np.empty_like(self.features)
        for draw in range(factors.shape[1]):
            for fold, basis, left in zip(self.folds, bases, lefts, strict=True):
                amounts = fold.whitened @ basis[draw].astype(erased.dtype)
                erased[fold.held_out] = self.features[fold.held_out] - amounts @ left[draw].T.astype(erased.dtype)
            logits = self.classify(erased)
            yield _Answer(
                margins=logit_margins(logits, self.labels) - self.margins,
                changed=logits.argmax(axis=1) != self.answers,
                rank=max(int(basis[draw].any(axis=0).sum()) for basis in bases),
            )


def _permute_within(labels: Int[np.ndarray, " rows"], rng: np.random.Generator) -> Int[np.ndarray, " rows"]:
    """Rows in an order that is random within classes and keeps every class where it is."""
    order = np.empty(len(labels), dtype=np.int64)
    order[np.argsort(labels, kind="stable")] = np.lexsort((rng.random(len(labels)), labels))
    return order


def _spread(values: Float[np.ndarray, " _"]) -> Estimate:
    low, high = np.quantile(values, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))
