"""Bends and bumps of features: what a flexible nuisance function is linear in."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from causalvlm.estimation.nuisance import QUADRATIC_COLUMNS, reduction, standardiser

WIDEST = 100
"""Columns that flexible learners see; more are reduced to their principal components."""

_KNOTS = (-1.2, -0.4, 0.4, 1.2)
_NARROW = 1 / 9  # of the squared width of a wide bump: in many dimensions every distance is about the same

Matrix = Float[np.ndarray, "_ _"]
Expand = Callable[[Matrix], Matrix]
"""From features to the columns that a model is linear in."""


def dictionary(train: Matrix, *, landmarks: int = 100) -> Expand:
    """A function from features to standardised columns: the features, bends of each, and Gaussian bumps.

    A bend |z - k| turns a line at k, in standard deviations. A bump exp(-|z - l|^2 / 2b^2) is centred at one of
    `landmarks` rows of `train` (Nystroem's features: Williams, Seeger, NIPS 2000); b^2 is the number of columns and,
    where they are few, a ninth of it too.

    Args:
        train: rows whose moments, principal components (of more than a hundred columns) and landmarks are taken.
        landmarks: the most bumps of one width.

    Example:
        >>> dictionary(np.random.default_rng(0).normal(size=(200, 2)))(np.zeros((3, 2))).shape
        (3, 210)
    """
    project = reduction(train, WIDEST)
    scale = standardiser(project(train))
    places = np.linspace(0, len(train) - 1, min(landmarks, len(train))).astype(int)
    centres = scale(project(train[places]))
    narrow = train.shape[1] <= QUADRATIC_COLUMNS

    def columns(values: Matrix) -> Matrix:
        scaled = scale(project(values))
        bends = [np.abs(scaled - knot) for knot in (_KNOTS if narrow else (0.0,))]
        squared = (scaled**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * scaled @ centres.T
        widths = [scaled.shape[1] * factor for factor in ((1.0, _NARROW) if narrow else (1.0,))]
        return np.hstack([scaled, *bends, *(np.exp(squared / (-2 * width)) for width in widths)])

    return standardised(columns, train)


def standardised(columns: Expand, train: Matrix) -> Expand:
    """Columns on the scale that they have at the training rows, which are expanded once.

    Args:
        columns: from features to columns.
        train: rows that have mean zero and variance one in each column.

    Example:
        >>> standardised(np.square, np.array([[0.0], [2.0]]))(np.array([[2.0]]))
        array([[1.]])
    """
    found = columns(train)
    scale = standardiser(found)
    of_train = scale(found)
    return lambda values: of_train if values is train else scale(columns(values))
