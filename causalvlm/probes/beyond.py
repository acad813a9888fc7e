"""What columns say beyond others: a cross-fitted reader that starts from what a reader of the others has said."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize_scalar, root_scalar
from scipy.special import log_softmax
from scipy.stats import t as student
from threadpoolctl import threadpool_limits

from causalvlm.intervals import Shift, mean_interval
from causalvlm.probes.ridge import STRENGTHS, centre_and_scale, fit_path, log_frequencies, standardise

LARGEST_LOG_SCALE = 5.0
"""A start is scaled by a factor between e^-5 and e^5, fitted on the training rows."""

SMALLEST_SPREAD = 1e-6
"""Directions with less than this share of the largest spread are rounding, not columns."""

Matrix = Float[np.ndarray, "rows _"]
Part = Float[np.ndarray, "_ _"]
Codes = Int[np.ndarray, " rows"]


@dataclass(frozen=True, eq=False)
class Beyond:
    """Log-probabilities of the true levels' set for every image, from fits that did not see it.

    Attributes:
        base: by the reader of the base columns.
        both: by the reader of base and added columns.
    """

    base: Matrix
    both: Matrix

    def bits(self, codes: Codes) -> Shift:
        """Bits that the added columns say beyond the base; the p-value is of "no more than nothing", one-sided.

        Example:
            >>> one = np.log(np.full((4, 2), 0.5))
            >>> Beyond(one, one).bits(np.array([0, 1, 0, 1]))
            Shift(value=0.0, low=0.0, high=0.0, p_value=1.0)
        """
        rows = np.arange(len(codes))
        return gain((self.both - self.base)[rows, codes] / np.log(2))


def gain(bits: Float[np.ndarray, " rows"]) -> Shift:
    """Mean of held-out bits, with Student's interval and the one-sided p-value of "no more than nothing".

    A reader that has found nothing loses a little by having looked, so that the test errs to the safe side.

    Example:
        >>> round(gain(np.array([1.0, 2.0, 3.0])).p_value, 3)
        0.037
    """
    interval, spread = mean_interval(bits), float(bits.std(ddof=1))
    if spread == 0:
        return Shift(interval.value, interval.low, interval.high, p_value=float(interval.value <= 0))
    score = interval.value * np.sqrt(len(bits)) / spread
    return Shift(interval.value, interval.low, interval.high, p_value=float(student.sf(score, len(bits) - 1)))


def left_over(added: Matrix, base: Matrix, *, most: int) -> Matrix:
    """Principal components of what a linear function of the base leaves of the added columns, at most `most`.

    What the base says linearly is not in them, so that no reader of them can mend what a penalised reader of the base
    has missed. Labels play no part.

    Args:
        added: columns.
        base: columns.
        most: components kept, those that vary most; scaled alike, so that their mean variance is one.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> base, noise = rng.normal(size=(2, 50, 3))
        >>> left_over(base @ np.ones((3, 2)), base, most=8).shape, left_over(base + noise, base, most=2).shape
        ((50, 0), (50, 2))
    """
    design = np.column_stack([base, np.ones(len(base))])
    scale = np.maximum(np.abs(design).max(0), np.finfo(float).tiny)
    found = added - design / scale @ np.linalg.lstsq(design / scale, added, rcond=None)[0]
    whole = float(np.linalg.norm(added - added.mean(0), axis=0).max(initial=0.0))
    left, sizes, _ = np.linalg.svd(found, full_matrices=False)
    kept = int((sizes > SMALLEST_SPREAD * max(whole, np.finfo(float).tiny)).sum())
    parts = (left * sizes)[:, : min(kept, most)]
    return parts / np.sqrt(parts.var(0).mean()) if parts.shape[1] else parts


@dataclass(frozen=True, eq=False)
class Base:
    """What the reader of the base columns says, as a second reader starts from it.

    Attributes:
        codes: level of each image, as an index.
        assigned: fold of each image.
        held_out: log-probabilities of every image, from a fit that did not see it.
        offsets: the same of every image for each fold that is left out, from fits that saw neither the image nor that
            fold.
    """

    codes: Codes
    assigned: Codes
    held_out: Matrix
    offsets: Float[np.ndarray, "_ rows _"]

    @threadpool_limits.wrap(limits=1)
    def beyond(self, added: Matrix) -> Beyond:
        """What a reader says that sees the added columns too, best what `left_over` leaves of them."""
        return Beyond(self.held_out, _second(added, self.codes, self.assigned, self.offsets))


@threadpool_limits.wrap(limits=1)
def read_base(
    columns: Matrix, codes: Codes, assigned: Codes, *, start: Matrix | None = None, levels: int | None = None
) -> Base:
    """Read the level of every image from some columns, cross-fitted, so that a second reader can go on from there.

    This reader is a ridge regression that starts from frequencies and, if given, a scaled `start`. A second starts from
    what it says of rows that it has not seen, so that to add nothing is among its choices. [ours: usable information
    beyond other columns, Xu et al., ICLR 2020, read by nested models]

    Args:
        columns: what it reads.
        codes: level of each image, as an index.
        assigned: fold of each image, from 0 on, at least 3 of them.
        start: a column for each level to start from, such as a model's own log-probabilities.
        levels: how many there are; by default as many as occur.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> columns, added = rng.normal(size=(2, 300, 2))
        >>> codes = (columns[:, 0] + added[:, 0] > 0).astype(int)
        >>> read_base(columns, codes, np.arange(300) % 5).beyond(added).bits(codes).low > 0.2
        True
    """
    levels = levels or int(codes.max()) + 1
    starts = np.zeros((len(codes), levels)) if start is None else start
    first = _First(columns, codes, assigned, starts, levels)
    folds = range(int(assigned.max()) + 1)
    found = np.empty((len(codes), levels))
    offsets = np.empty((len(folds), len(codes), levels))
    pairs = {(f, g): first.path(np.isin(assigned, (f, g)), STRENGTHS) for f, g in itertools.combinations(folds, 2)}
    for f in folds:
        choice = _best(pairs, f, codes, assigned)
        held = assigned == f
        found[held] = first.path(held, STRENGTHS[: choice + 1])[-1]
        offsets[f][held] = found[held]
        for g in folds:
            if g != f:
                both = np.isin(assigned, (f, g))
                offsets[f][assigned == g] = pairs[min(f, g), max(f, g)][choice][assigned[both] == g]
    return Base(codes, assigned, found, offsets)


@threadpool_limits.wrap(limits=1)
def planted_bits(base: Matrix, added: Matrix, assigned: Codes, *, bits: float, rng: np.random.Generator) -> Shift:
    """What a reader of the added columns finds of levels that are drawn so that those columns do say `bits` more.

    The levels are drawn from the base probabilities, tilted along one random direction of the added columns until the
    tilt is worth `bits`. A reader that finds much less could not have seen a violation of that size. [ours]

    Args:
        base: log-probabilities of the levels without the added columns.
        added: columns.
        assigned: fold of each image.
        bits: planted.
        rng: draws the direction and the levels.

    Returns:
        What was found; zero where there are no columns to plant in.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> base, added = np.log(np.full((2000, 2), 0.5)), rng.normal(size=(2000, 3))
        >>> 0.05 < planted_bits(base, added, np.arange(2000) % 5, bits=0.1, rng=rng).value < 0.15
        True
    """
    direction = added @ rng.normal(size=added.shape[1])
    spread = float(direction.std()) if added.shape[1] else 0.0
    if spread == 0:
        return Shift(0.0, 0.0, 0.0, 1.0)
    tilt = rng.normal(size=base.shape[1])
    tilt = np.outer((direction - direction.mean()) / spread, (tilt - tilt.mean()) / tilt.std())

    def worth(size: float) -> float:
        tilted = log_softmax(base + size * tilt, axis=1)
        return float((np.exp(tilted) * (tilted - base)).sum(1).mean() / np.log(2)) - bits

    largest = next((size for size in 2.0 ** np.arange(-4, 8) if worth(size) > 0), None)
    if largest is None:  # the base leaves no room for so many bits
        return Shift(0.0, 0.0, 0.0, 1.0)
    tilted = np.exp(log_softmax(base + float(root_scalar(worth, bracket=(0.0, float(largest))).root) * tilt, axis=1))
    codes = (tilted.cumsum(1) < rng.random(len(base))[:, None]).sum(1).clip(max=base.shape[1] - 1)
    inputs = np.column_stack([added, np.ones(len(added))])
    found = np.empty((len(STRENGTHS), *base.shape))
    for f in range(int(assigned.max()) + 1):
        held = assigned == f
        found[:, held] = _path(inputs, codes, base, ~held, held, STRENGTHS)
    best = found[:, np.arange(len(codes)), codes].sum(1).argmax()  # the penalty that suits best: chosen on these rows
    return Beyond(base, found[best]).bits(codes)


@dataclass(frozen=True, eq=False)
class _First:
    """The reader of the base columns."""

    base: Matrix
    codes: Codes
    assigned: Codes
    start: Matrix
    levels: int

    def path(self, held: Bool[np.ndarray, " rows"], strengths: tuple[float, ...]) -> list[Part]:
        """Log-probabilities of the rows held out, for every strength of the penalty."""
        seen = self.codes[~held]
        frequencies = log_frequencies(np.bincount(seen, minlength=self.levels)[None].astype(float))
        offsets = self._scale(~held, frequencies) * self.start + frequencies
        inputs = standardise(self.base, *centre_and_scale(self.base[~held]))
        path = fit_path(inputs[~held], seen, offsets[~held], strengths)
        return [log_softmax(inputs[held] @ weights + offsets[held], axis=1) for weights in path]

    def _scale(self, train: Bool[np.ndarray, " rows"], frequencies: Part) -> float:
        """The factor of the start under which the training rows are least surprising (a temperature)."""
        if not self.start.any():
            return 0.0
        start, codes = self.start[train], self.codes[train]
        rows = np.arange(len(codes))

        def surprise(log_scale: float) -> float:
            return -float(log_softmax(np.exp(log_scale) * start + frequencies, axis=1)[rows, codes].sum())

        bounds = (-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)
        return math.exp(minimize_scalar(surprise, bounds=bounds, method="bounded").x)  # pyright: ignore[reportAttributeAccessIssue]


def _best(pairs: Mapping[tuple[int, int], list[Part]], f: int, codes: Codes, assigned: Codes) -> int:
    """The strength with the least loss on every other fold, of readers that saw neither that fold nor `f`."""
    losses = np.zeros(len(STRENGTHS))
    for (one, other), path in pairs.items():
        if f in (one, other):
            both = np.isin(assigned, (one, other))
            unseen = assigned[both] != f
            rows, truth = np.flatnonzero(unseen), codes[both][unseen]
            losses -= [float(predicted[rows, truth].sum()) for predicted in path]
    return int(losses.argmin())


def _second(added: Matrix, codes: Codes, assigned: Codes, offsets: Float[np.ndarray, "_ rows _"]) -> Matrix:
    """Log-probabilities by a reader of the added columns that starts from the offsets, fold by fold."""
    inputs = np.column_stack([added, np.ones(len(added))])
    found = np.empty(offsets.shape[1:])
    for f, start in enumerate(offsets):
        outer, held = assigned != f, assigned == f
        if not added.shape[1]:
            found[held] = start[held]
            continue
        losses = np.zeros(len(STRENGTHS) + 1)
        for g in np.unique(assigned[outer]):
            train, kept = outer & (assigned != g), assigned == g
            path = [start[kept], *_path(inputs, codes, start, train, kept, STRENGTHS)]
            losses -= [float(one[np.arange(kept.sum()), codes[kept]].sum()) for one in path]
        choice = int(losses.argmin())
        path = _path(inputs, codes, start, outer, held, STRENGTHS[:choice])
        found[held] = path[-1] if path else start[held]
    return found


def _path(
    inputs: Matrix,
    codes: Codes,
    offsets: Matrix,
    train: Bool[np.ndarray, " rows"],
    held: Bool[np.ndarray, " rows"],
    strengths: tuple[float, ...],
) -> list[Part]:
    path = fit_path(inputs[train], codes[train], offsets[train], strengths)
    return [log_softmax(inputs[held] @ weights + offsets[held], axis=1) for weights in path]
