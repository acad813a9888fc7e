"""Multinomial ridge regression that starts from known frequencies, cross-fitted."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.special import log_softmax
from threadpoolctl import threadpool_limits

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse penalties C that the inner cross-validation chooses from, on standardised features."""


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Log-probabilities of the levels for every image, from fits that did not see it.

    Attributes:
        probe: by the probe.
        frequencies: by the frequencies alone.
        strength: inverse penalty C with the least held-out loss over all folds.
        chosen: that of each fold, by the loss on the others.
    """

    probe: Float[np.ndarray, "rows _"]
    frequencies: Float[np.ndarray, "rows _"]
    strength: float
    chosen: tuple[float, ...]


@threadpool_limits.wrap(limits=1)  # the matrices are small: threads would spend their time waiting for each other
def cross_fit(
    features: Float[np.ndarray, "rows dim"],
    codes: Int[np.ndarray, " rows"],
    groups: Int[np.ndarray, " rows"],
    assigned: Int[np.ndarray, " rows"],
) -> CrossFit:
    """Log-probabilities of the levels for every image, without fitting or choosing anything on that image.

    The probe that leaves out two folds serves twice: to choose the penalty for the first by its loss on the second,
    and for the second by its loss on the first.

    Args:
        features: embeddings.
        codes: level of each image, as an index.
        groups: group of each image (its class, or one for all), whose frequencies of levels the probe starts from.
        assigned: fold of each image.

    Example:
        >>> codes = np.tile([0, 1], 30)
        >>> features = np.where(codes, 1.0, -1.0)[:, None]
        >>> found = cross_fit(features, codes, np.zeros(60, int), np.arange(60) // 2 % 3)
        >>> np.exp(found.probe[0]).round(1), np.exp(found.frequencies[0]).round(1)
        (array([1., 0.]), array([0.5, 0.5]))
    """
    folds = range(int(assigned.max()) + 1)
    losses = np.zeros((len(folds), len(STRENGTHS)))
    for f, g in itertools.combinations(folds, 2):
        held_out = np.isin(assigned, (f, g))
        for choice, predicted in enumerate(predict_held_out(features, codes, groups, held_out, STRENGTHS)[0]):
            loss = -predicted[np.arange(len(predicted)), codes[held_out]]
            losses[f, choice] += loss[assigned[held_out] == g].sum()
            losses[g, choice] += loss[assigned[held_out] == f].sum()
    probe = np.empty((len(codes), int(codes.max()) + 1))
    frequencies = np.empty_like(probe)
    best = losses.argmin(axis=1)
    for f in folds:
        held_out = assigned == f
        predicted, frequencies[held_out] = predict_held_out(
            features, codes, groups, held_out, STRENGTHS[: int(best[f]) + 1]
        )
        probe[held_out] = predicted[-1]
    chosen = tuple(STRENGTHS[place] for place in best)
    return CrossFit(probe, frequencies, STRENGTHS[int(losses.sum(axis=0).argmin())], chosen)


@threadpool_limits.wrap(limits=1)
def fit_all(
    features: Float[np.ndarray, "rows dim"], codes: Int[np.ndarray, " rows"], strength: float
) -> tuple[Float[np.ndarray, "dim _"], Float[np.ndarray, " _"]]:
    """Weights and offset of the probe that has seen every image, for features as they are.

    Args:
        features: embeddings.
        codes: level of each image, as an index.
        strength: inverse penalty C.

    Example:
        >>> codes = np.tile([0, 1], 30)
        >>> weights, offset = fit_all(np.where(codes, 3.0, 1.0)[:, None], codes, 1.0)
        >>> (np.array([[3.0]]) @ weights + offset).argmax()
        np.int64(1)
    """
    centre, scale = centre_and_scale(features)
    inputs = standardise(features, centre, scale)
    frequencies = log_frequencies(np.bincount(codes)[None].astype(float))[0]
    start = np.zeros((inputs.shape[1], len(frequencies)))
    fitted = fit_weights(inputs, codes, np.tile(frequencies, (len(codes), 1)), strength, start=start)
    weights = fitted[:-1] / scale[:, None]
    return weights, fitted[-1] + frequencies - centre @ weights


def centre_and_scale(train: Float[np.ndarray, "_ dim"]) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, " dim"]]:
    """Mean and spread of every feature; one in place of the spread of a feature that never varies."""
    spread = train.std(axis=0)
    return train.mean(axis=0), np.where(spread > 0, spread, 1.0)


def standardise(
    features: Float[np.ndarray, "rows dim"], centre: Float[np.ndarray, " dim"], scale: Float[np.ndarray, " dim"]
) -> Float[np.ndarray, "rows _"]:
    """Standardised features, and a column of ones for the offset."""
    return np.column_stack([(features - centre) / scale, np.ones(len(features))])


def log_frequencies(counts: Float[np.ndarray, "_ _"]) -> Float[np.ndarray, "_ _"]:
    """Of the levels in each group, with half an image more of every level: one not shown so far is not impossible."""
    return np.log((counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True))


def predict_held_out(
    features: Float[np.ndarray, "rows dim"],
    codes: Int[np.ndarray, " rows"],
    groups: Int[np.ndarray, " rows"],
    held_out: Bool[np.ndarray, " rows"],
    strengths: tuple[float, ...],
) -> tuple[list[Float[np.ndarray, "_ _"]], Float[np.ndarray, "_ _"]]:
    """Log-probabilities of the held-out rows, by the probes of all strengths and by the frequencies of the others.

    Args:
        features: embeddings.
        codes: level of each image, as an index.
        groups: whose frequencies of levels the probe starts from.
        held_out: the rows that are predicted; the others are fitted.
        strengths: inverse penalties C, from small to large.

    Example:
        >>> codes = np.tile([0, 1], 30)
        >>> (predicted,), _ = predict_held_out(
        ...     np.where(codes, 1.0, -1.0)[:, None], codes, np.zeros(60, int), np.arange(60) < 4, (1.0,))
        >>> predicted.argmax(axis=1)
        array([0, 1, 0, 1])
    """
    inputs = standardise(features, *centre_and_scale(features[~held_out]))
    counts = np.zeros((int(groups.max()) + 1, int(codes.max()) + 1))
    np.add.at(counts, (groups[~held_out], codes[~held_out]), 1)
    frequencies = log_frequencies(counts)[groups]
    path = fit_path(inputs[~held_out], codes[~held_out], frequencies[~held_out], strengths)
    shown, start = inputs[held_out], frequencies[held_out]
    return [log_softmax(shown @ weights + start, axis=1) for weights in path], start


def fit_path(
    inputs: Float[np.ndarray, "rows dim"],
    codes: Int[np.ndarray, " rows"],
    offsets: Float[np.ndarray, "rows _"],
    strengths: Sequence[float],
) -> list[Float[np.ndarray, "dim _"]]:
    """The weights of `fit_weights` at every strength, each sought from where the one before ended.

    Args:
        inputs: features with a column of ones.
        codes: level of each row, as an index.
        offsets: log-probabilities that the weights add to.
        strengths: inverse penalties C, from small to large.

    Example:
        >>> inputs, codes = np.array([[1.0], [-1.0]]), np.array([1, 0])
        >>> [weights[0].round(2).tolist() for weights in fit_path(inputs, codes, np.zeros((2, 2)), (0.1, 1.0))]
        [[-0.09, 0.09], [-0.52, 0.52]]
    """
    gram = inputs.T @ inputs
    path: list[Float[np.ndarray, "dim _"]] = []
    weights = np.zeros((inputs.shape[1], offsets.shape[1]))
    for strength in strengths:
        weights = fit_weights(inputs, codes, offsets, strength, start=weights, gram=gram)
        path.append(weights)
    return path


def fit_weights(
    inputs: Float[np.ndarray, "rows dim"],
    codes: Int[np.ndarray, " rows"],
    offsets: Float[np.ndarray, "rows _"],
    strength: float,
    *,
    start: Float[np.ndarray, "dim _"],
    gram: Float[np.ndarray, "dim dim"] | None = None,
) -> Float[np.ndarray, "dim _"]:
    """Weights W that maximise sum log softmax(inputs W + offsets)[codes] - |W|^2 / (2 strength).

    Multinomial ridge regression as in scikit-learn (`strength` is its C), with the offsets that it does not take.

    Args:
        inputs: features with a column of ones.
        codes: level of each row, as an index.
        offsets: log-probabilities that the weights add to.
        strength: inverse penalty C.
        start: where the search begins.
        gram: ``inputs.T @ inputs``, if it is known: it takes as long as ten steps of the search.

    Example:
        >>> inputs, codes = np.array([[1.0], [-1.0]]), np.array([1, 0])
        >>> fit_weights(inputs, codes, np.zeros((2, 2)), 1.0, start=np.zeros((1, 2))).round(2)
        array([[-0.52,  0.52]])
    """
    target = np.eye(offsets.shape[1])[codes]
    # Coordinates in which the objective is nearly round: features of an embedding go together, and L-BFGS would take
    # hundreds of steps where it now takes ten. A level's share p gives curvature p (1 - p).
    share = target.mean(axis=0)
    gram = inputs.T @ inputs if gram is None else gram
    curvature = float((share * (1 - share)).mean()) * gram + np.eye(inputs.shape[1]) / strength
    root = np.linalg.cholesky(curvature)
    to_weights = solve_triangular(root.T, np.eye(len(root)))

    def objective(flat: Float[np.ndarray, " _"]) -> tuple[float, Float[np.ndarray, " _"]]:
        weights = to_weights @ flat.reshape(start.shape)
        log_probabilities = log_softmax(inputs @ weights + offsets, axis=1)
        value = -(target * log_probabilities).sum() + (weights * weights).sum() / (2 * strength)
        gradient = inputs.T @ (np.exp(log_probabilities) - target) + weights / strength
        return float(value), (to_weights.T @ gradient).reshape(-1)

    first = (root.T @ start).reshape(-1)
    found = minimize(objective, first, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-3})
    return to_weights @ found.x.reshape(start.shape)
