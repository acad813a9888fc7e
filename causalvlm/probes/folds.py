"""Images dealt into folds: as even in levels and classes as can be, equal images and those of one group together."""

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def assign_folds(
    features: Float[np.ndarray, "rows dim"],
    codes: Int[np.ndarray, " rows"],
    labels: Int[np.ndarray, " rows"],
    *,
    folds: int,
    rng: np.random.Generator,
    groups: Shaped[np.ndarray, " rows"] | None = None,
) -> Int[np.ndarray, " rows"]:
    """Deal images into folds: sorted by level, then class, then at random, each next one goes to the next fold.

    Numbers of images per level, and per level and class, then differ by at most one between folds. Images with equal
    features are one image.

    With groups, which stay whole, the largest is dealt first, each to the fold that keeps levels and cells (a level
    within a class) most even: the least sum over them of squared images per fold, each against its total [ours, after
    the greedy rule of Graham, SIAM J. Appl. Math. 1969]. Groups that share an image are one group.

    Args:
        features: embeddings.
        codes: level of each image, as an index.
        labels: class of each image, as an index.
        folds: how many.
        rng: breaks ties.
        groups: group of each image (its video, its photographer).

    Example:
        >>> features = np.array([[0.0], [0.0], [1.0], [2.0]])
        >>> fold = assign_folds(features, np.zeros(4, int), np.zeros(4, int), folds=2, rng=np.random.default_rng(0))
        >>> bool(fold[0] == fold[1])
        True
    """
    _, first, image = np.unique(features, axis=0, return_index=True, return_inverse=True)
    image = image.reshape(-1)
    if groups is not None:
        return _deal_groups(join_groups(image, groups), codes, labels, folds=folds, rng=rng)
    order = np.lexsort((rng.random(len(first)), labels[first], codes[first]))
    fold = np.empty(len(first), dtype=np.int64)
    fold[order] = np.arange(len(first)) % folds
    return fold[image]


def join_groups(images: Int[np.ndarray, " rows"], groups: Shaped[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    """Groups as indices, those that share an image joined.

    Args:
        images: which image each row shows, as an index.
        groups: group of each row.

    Example:
        >>> join_groups(np.array([0, 1, 1, 2]), np.array(["a", "a", "b", "c"]))
        array([0, 0, 0, 1])
    """
    names, codes = np.unique(groups, return_inverse=True)
    size = len(names) + int(images.max()) + 1
    links = coo_array((np.ones(len(codes)), (codes, len(names) + images)), shape=(size, size))
    parts = connected_components(links, directed=False)[1]
    return np.unique(parts[codes], return_inverse=True)[1]


def _deal_groups(
    groups: Int[np.ndarray, " rows"],
    codes: Int[np.ndarray, " rows"],
    labels: Int[np.ndarray, " rows"],
    *,
    folds: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, " rows"]:
    levels = int(codes.max()) + 1
    cells = levels + np.unique(np.column_stack([codes, labels]), axis=0, return_inverse=True)[1].reshape(-1)
    sizes = np.bincount(groups)
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])
    totals = np.bincount(np.concatenate([codes, cells]))
    held = np.zeros((folds, len(totals)))
    fold = np.empty(len(codes), dtype=np.int64)
    for group in np.lexsort((rng.random(len(sizes)), -sizes)):
        rows = members[group]
        columns, counts = np.unique(np.concatenate([codes[rows], cells[rows]]), return_counts=True)
        rise = held[:, columns] @ (counts / totals[columns])
        best = np.lexsort((held.sum(axis=1), rise))[0]
        held[best, columns] += counts
        fold[rows] = best
    return fold
