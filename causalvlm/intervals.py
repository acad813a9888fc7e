"""Intervals for proportions and for differences of class-balanced means."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import ndtri
from scipy.stats import binomtest
from scipy.stats import t as student

CONFIDENCE = 0.95
Z = float(ndtri(0.5 + CONFIDENCE / 2))


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 per cent interval.

    Example:
        >>> Estimate(0.5, low=0.4, high=0.6).excludes(0.0)
        True
    """

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside the interval."""
        return not self.low <= value <= self.high


@dataclass(frozen=True)
class Shift:
    """A difference of means with its 95 per cent interval and the two-sided p-value of "no difference".

    Example:
        >>> Shift(-1.0, low=-1.5, high=-0.5, p_value=0.001).value
        -1.0
    """

    value: float
    low: float
    high: float
    p_value: float


def widened(shift: Shift, choices: int) -> Shift:
    """The interval and p-value of a difference that was chosen among several for being the largest (Bonferroni).

    Both ends move away from the value as far as the normal quantile does, so that the intervals of all of them would
    hold together.

    Args:
        shift: the one that was chosen.
        choices: among how many.

    Example:
        >>> one = Shift(1.0, low=0.0, high=2.0, p_value=0.02)
        >>> found = widened(one, 4)
        >>> round(found.low, 2), round(found.high, 2), found.p_value, widened(one, 1) == one
        (-0.27, 2.27, 0.08, True)
    """
    scale = float(ndtri(1 - (1 - CONFIDENCE) / (2 * choices))) / Z if choices > 1 else 1.0
    low, high = (shift.value + scale * (end - shift.value) for end in (shift.low, shift.high))
    return Shift(shift.value, low, high, min(1.0, choices * shift.p_value))


def wilson(share: float, n: int | float) -> Estimate:
    """Score interval of a share among `n` images (Wilson, JASA 1927); `n` may be an effective number.

    Example:
        >>> interval = wilson(1.0, 60)
        >>> round(interval.low, 3), interval.high
        (0.94, 1.0)
    """
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return Estimate(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))


def mean_interval(values: Float[np.ndarray, " rows"]) -> Estimate:
    """Mean with Student's interval.

    Example:
        >>> mean_interval(np.array([1.0, 1.0])).low
        1.0
    """
    mean = float(values.mean())
    half = float(values.std(ddof=1) / math.sqrt(len(values)) * student.ppf(0.5 + CONFIDENCE / 2, len(values) - 1))
    return Estimate(mean, mean - half, mean + half)


def mean_shift(values: Float[np.ndarray, " rows"]) -> Shift:
    """Mean with Student's interval, as a difference from zero with its p-value.

    Example:
        >>> mean_shift(np.array([1.0, -1.0, 1.0, -1.0])).p_value
        1.0
    """
    interval = mean_interval(values)
    spread = float(values.std(ddof=1))
    if spread == 0:
        return Shift(interval.value, interval.low, interval.high, p_value=float(interval.value == 0))
    score = abs(interval.value) * math.sqrt(len(values)) / spread
    return Shift(interval.value, interval.low, interval.high, p_value=float(2 * student.sf(score, len(values) - 1)))


def balanced_share(cells: Sequence[Float[np.ndarray, " _"]]) -> Estimate:
    """Mean over cells of the share of ones in each, with an interval that stays inside [0, 1].

    The variance of the stratified mean is turned into an effective number of images, for which the score interval is
    taken (Korn & Graubard, Survey Methodology 1998, with Wilson's interval in place of Clopper's).

    Args:
        cells: zeros and ones of the images of each cell, at least one image in each.

    Example:
        >>> share = balanced_share([np.array([1.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0])])
        >>> share.value, round(share.low, 2), round(share.high, 2)
        (0.625, 0.19, 0.92)
    """
    means = [float(cell.mean()) for cell in cells]
    share = float(np.mean(means))
    total = float(sum(len(cell) for cell in cells))
    variance = sum(
        mean * (1 - mean) / max(1, len(cell) - 1) for mean, cell in zip(means, cells, strict=True)
    ) / len(cells) ** 2  # fmt: skip
    return wilson(share, share * (1 - share) / variance if variance > 0 else total)


def difference_of_shares(
    treated: Sequence[Float[np.ndarray, " _"]], control: Sequence[Float[np.ndarray, " _"]]
) -> Estimate:
    """Difference of two balanced shares, treated minus control.

    Example:
        >>> ones, zeros = [np.ones(50)], [np.zeros(50)]
        >>> difference = difference_of_shares(ones, zeros)
        >>> difference.value, round(difference.low, 2), difference.high
        (1.0, 0.9, 1.0)
    """
    return newcombe(balanced_share(treated), balanced_share(control))


def newcombe(a: Estimate, b: Estimate) -> Estimate:
    """Difference of two independent shares, a minus b (Newcombe, Statistics in Medicine 1998, method 10).

    Example:
        >>> moved, seen = Estimate(0.5, low=0.4, high=0.6), Estimate(0.9, low=0.8, high=1.0)
        >>> newcombe(moved, seen).high < 0
        True
    """
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, max(-1.0, low), min(1.0, high))


def difference_of_means(
    treated: Sequence[Float[np.ndarray, " _"]], control: Sequence[Float[np.ndarray, " _"]]
) -> Shift:
    """Difference of two means that weigh every cell alike, treated minus control (Welch, Biometrika 1938).

    Cell by cell the same class at two levels of a factor: a difference in class mix cannot enter. The degrees of
    freedom are Satterthwaite's over all cells.

    Args:
        treated: scores of the images of each cell, at least two images in each.
        control: the same cells at the control level.

    Example:
        >>> shift = difference_of_means([np.array([1.0, 2.0, 3.0])], [np.array([1.0, 2.0, 3.0])])
        >>> shift.value, round(shift.high, 2), shift.p_value
        (0.0, 2.27, 1.0)
    """
    value = float(np.mean([a.mean() - b.mean() for a, b in zip(treated, control, strict=True)]))
    parts = np.array([cell.var(ddof=1) / len(cell) for cell in (*treated, *control)]) / len(treated) ** 2
    freedom = np.array([len(cell) - 1 for cell in (*treated, *control)])
    error = math.sqrt(parts.sum())
    if error == 0:  # every image of a cell scores alike: no spread to measure the difference by
        return Shift(value, value, value, p_value=1.0 if value == 0 else 0.0)
    degrees = float(parts.sum() ** 2 / (parts**2 / freedom).sum())
    half = error * float(student.ppf(0.5 + CONFIDENCE / 2, degrees))
    return Shift(value, value - half, value + half, p_value=float(2 * student.sf(abs(value) / error, degrees)))


def paired_shares(after: Bool[np.ndarray, " rows"], before: Bool[np.ndarray, " rows"]) -> Shift:
    """Difference of two shares among the same images, after minus before.

    The interval is Wald's with one image more that changes each way (Bonett & Price, Journal of Educational and
    Behavioral Statistics 2012, equation 4); the p-value is exact, of the binomial of the images that change (McNemar,
    Psychometrika 1947). Where few images change the two may disagree by an image.

    Args:
        after: whether each image counts, such as being answered rightly, after a change.
        before: the same without it; at least one image.

    Example:
        >>> shift = paired_shares(np.zeros(50, dtype=bool), np.arange(50) < 10)
        >>> shift.value, round(shift.low, 2), round(shift.high, 2), round(shift.p_value, 4)
        (-0.2, -0.31, -0.07, 0.002)
    """
    n, gained, lost = len(after), int((after & ~before).sum()), int((before & ~after).sum())
    value = (gained - lost) / n
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = Z * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    p_value = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return Shift(value, max(-1.0, min(value, up - down - half)), min(1.0, max(value, up - down + half)), p_value)


def clustered_shift(values: Float[np.ndarray, " rows"], groups: Int[np.ndarray, " rows"]) -> Shift:
    """Mean, as a difference from zero, where images of one group may go together.

    The variance is that of the groups' sums of deviations (Liang & Zeger, Biometrika 1986), times G / (G - 1), and
    Student's quantile has G - 1 degrees of freedom. With few groups, or groups of very different sizes, it is still too
    small (Cameron, Gelbach & Miller, Review of Economics and Statistics 2008).

    Args:
        values: one number per image.
        groups: group of each image, as an index; at least two groups.

    Example:
        >>> twice = clustered_shift(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1]))
        >>> twice == mean_shift(np.array([1.0, 3.0]))
        True
    """
    mean = float(values.mean())
    error = _clustered_error((values - mean) / len(values), groups)
    if error == 0:
        return Shift(mean, mean, mean, p_value=float(mean == 0))
    freedom = len(np.unique(groups)) - 1
    half = error * float(student.ppf(0.5 + CONFIDENCE / 2, freedom))
    return Shift(mean, mean - half, mean + half, p_value=float(2 * student.sf(abs(mean) / error, freedom)))


def clustered_share(
    values: Float[np.ndarray, " rows"], cells: Int[np.ndarray, " rows"], groups: Int[np.ndarray, " rows"]
) -> Estimate:
    """Mean over cells of the share of ones, where images of one group may go together.

    As `balanced_share`, with the variance as in `clustered_shift`, and with the number of images that it is worth
    lowered by the ratio of squared quantiles, normal to Student's (Korn & Graubard, Survey Methodology 1998). Where all
    images of a cell are alike, there are as many as there are groups.

    Args:
        values: zeros and ones.
        cells: cell of each image, as an index; all alike for a plain share.
        groups: group of each image, as an index; at least two groups.

    Example:
        >>> right, one = np.array([1.0, 1.0, 0.0, 0.0]), np.zeros(4, int)
        >>> alone, pairs = (clustered_share(right, one, groups) for groups in (np.arange(4), np.array([0, 0, 1, 1])))
        >>> pairs.value, pairs.low < alone.low
        (0.5, True)
    """
    counts = np.bincount(cells)
    means = np.bincount(cells, values) / np.maximum(counts, 1)
    occupied = int((counts > 0).sum())
    share = float(means.sum() / occupied)
    number = len(np.unique(groups))
    error = _clustered_error((values - means[cells]) / (occupied * counts[cells]), groups)
    if error == 0:
        return wilson(share, number)
    worth = share * (1 - share) / error**2 * (Z / float(student.ppf(0.5 + CONFIDENCE / 2, number - 1))) ** 2
    return wilson(share, min(worth, len(values)))


def _clustered_error(parts: Float[np.ndarray, " rows"], groups: Int[np.ndarray, " rows"]) -> float:
    """Standard error of a sum whose parts go together within groups."""
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], parts)
    return math.sqrt(len(sums) / (len(sums) - 1) * float(sums @ sums))
