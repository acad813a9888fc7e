"""S, X and Y as the readers of an audit are given them: checked, centred, reduced, and dealt into folds."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import softmax

from causalvlm.errors import InputError
from causalvlm.probes.beyond import left_over
from causalvlm.probes.folds import assign_folds

MOST_COMPONENTS = 64
"""Principal components of S that a reader is given; further ones are left out of it, and of what X says beyond S."""

MOST_PROBABILITIES, MULTIPLIED = 32, 6
"""Components of the templates' probabilities beside those, and how many of the first are squared and multiplied."""

MOST_EMBEDDED = 256
"""Principal components of the embedding, after what S says of it is taken out."""

ROWS_TAKEN_OUT = 3
"""Rows for every component that is taken out of other columns before they are read; labels play no part in that."""

FEWEST_IMAGES = 30
"""Below this nothing is asked."""

FEWEST_AT_LEVEL = 10
"""Images without which a level is merged with others: two in each of five folds."""

Opinions = Float[np.ndarray, "templates rows classes"]
Matrix = Float[np.ndarray, "rows _"]
Codes = Int[np.ndarray, " rows"]


@dataclass(frozen=True, eq=False)
class Mediator:
    """S, X, the true labels, and the folds that every reader of them shares.

    Attributes:
        opinions: of every template on every image, log-probabilities up to a constant per row.
        features: X, the embeddings.
        labels: Y, the true class of each image, as an index.
        assigned: fold of each image.
        rng: for what is planted.
    """

    opinions: Opinions
    features: Matrix
    labels: Codes
    assigned: Codes
    rng: np.random.Generator


def prepare(opinions: Opinions, features: Matrix, labels: Codes, *, folds: int, rng: np.random.Generator) -> Mediator:
    """Check the arrays and deal the images into folds.

    Raises:
        InputError: as `audit_mediator`.
    """
    counts = {"opinions": opinions.shape[1], "features": len(features), "labels": len(labels)}
    if len(set(counts.values())) > 1 or len(labels) < FEWEST_IMAGES or len(np.unique(labels)) < 2:
        raise InputError(
            f"an audit needs one row per image everywhere, at least {FEWEST_IMAGES} images and two classes among them; "
            f"received {', '.join(f'{count} rows of {name}' for name, count in counts.items())} and "
            f"{len(np.unique(labels))} classes. Add images, or take all arrays from the same ones."
        )
    if folds < 3:
        raise InputError(f"an audit needs at least 3 folds; received {folds}. Pass folds=5, the usual number.")
    for name, values in (("opinions", opinions), ("features", features)):
        if not np.isfinite(values).all():
            raise InputError(f"{name} must be finite; received NaN or infinity. Drop those rows, or encode in fp32.")
    if labels.min() < 0 or labels.max() >= opinions.shape[2]:
        raise InputError(
            f"every label must index one of the {opinions.shape[2]} classes that S speaks of; received "
            f"{labels.min()} to {labels.max()}. Pass the opinions on all classes of the labels."
        )
    features = features.astype(np.float64)
    assigned = assign_folds(features, np.zeros_like(labels), labels, folds=folds, rng=rng)
    return Mediator(centred(opinions), features, labels, assigned, rng)


def level_codes(levels: Shaped[np.ndarray, " rows"]) -> Codes:
    """Levels as indices; those with fewer than `FEWEST_AT_LEVEL` images become one, with the smallest other if need be.

    Example:
        >>> level_codes(np.repeat(["day", "dusk", "night"], [30, 2, 20])).tolist() == [0] * 30 + [1] * 22
        True
    """
    names, codes, counts = np.unique(levels, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    merged = np.empty(len(names), dtype=np.int64)
    merged[order] = np.arange(len(names))
    rare = counts < FEWEST_AT_LEVEL
    if rare.any():
        common = int((~rare).sum())
        enough = counts[rare].sum() >= FEWEST_AT_LEVEL or common == 0
        merged[rare] = common if enough else common - 1
    return merged[codes.reshape(-1)]


def centred(opinions: Opinions) -> Opinions:
    """Opinions without their constants per row: the classes of every template and image have mean zero.

    Example:
        >>> centred(np.array([[[1.0, 3.0]]]))
        array([[[-1.,  1.]]])
    """
    return opinions.astype(np.float64) - opinions.astype(np.float64).mean(-1, keepdims=True)


def flat(opinions: Opinions) -> Matrix:
    """The opinions of all templates side by side, a row per image."""
    return opinions.transpose(1, 0, 2).reshape(opinions.shape[1], -1)


def whole(given: Mediator) -> Matrix:
    """S as a reader is given it: at most `MOST_COMPONENTS` principal components."""
    return components(flat(given.opinions), MOST_COMPONENTS)


def components(columns: Matrix, most: int, *, rows_each: int = 10) -> Matrix:
    """Principal components, those that vary most first; at most `most`, and one for every `rows_each` rows.

    Example:
        >>> components(np.random.default_rng(0).normal(size=(50, 9)), 64).shape
        (50, 5)
    """
    return left_over(columns, np.zeros((len(columns), 0)), most=max(1, min(most, len(columns) // rows_each)))


def read_from(opinions: Opinions) -> Matrix:
    """What a reader of Y sees of S: log-probabilities, probabilities, and products of the first components."""
    logs = components(flat(opinions), MOST_COMPONENTS)
    shares = components(flat(softmax(opinions, axis=-1)), MOST_PROBABILITIES)
    first = logs[:, :MULTIPLIED]
    places = np.triu_indices(first.shape[1])
    return np.hstack([logs, shares, first[:, places[0]] * first[:, places[1]]])


def readable(codes: Codes, assigned: Codes) -> bool:
    """Whether every level occurs outside of every two folds, which is what a reader is fitted on."""
    folds = np.unique(assigned)
    return (
        len(folds) >= 3
        and len(np.unique(codes)) > 1
        and bool((np.bincount(codes)[np.unique(codes)] >= FEWEST_AT_LEVEL).all())
    )


def mixed(codes: Codes, labels: Codes) -> Bool[np.ndarray, " rows"]:
    """The images of classes that occur at several levels."""
    counts = np.zeros((int(labels.max()) + 1, int(codes.max()) + 1), dtype=np.int64)
    np.add.at(counts, (labels, codes), 1)
    return ((counts > 0).sum(axis=1) > 1)[labels]


def indicators(codes: Codes) -> Matrix:
    """A column for every level."""
    return np.eye(int(codes.max()) + 1)[codes]
