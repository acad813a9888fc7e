"""Numbers over seeds and data sets: mean and standard deviation, and paired differences with their interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
"""Of the intervals."""


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over runs (of the population, as in the literature).

    Example:
        >>> Spread.of([0.25, 0.75])
        Spread(mean=0.5, std=0.25)
    """

    mean: float
    std: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one score of several runs."""
        return cls(float(np.mean(values)), float(np.std(values)))


@dataclass(frozen=True)
class Difference:
    """By how much one method exceeds another, on the same data sets and seeds.

    Attributes:
        mean: over data sets of the mean over seeds.
        low: lower end of the 95 % interval; None with a single data set, which says nothing about others.
        high: upper end.
        datasets: how many there are.
        pairs: how many (data set, seed) pairs.
    """

    mean: float
    low: float | None
    high: float | None
    datasets: int
    pairs: int

    @classmethod
    def of(cls, pairs: Mapping[str, Sequence[float]]) -> "Difference":
        """From the differences of all seeds by data set.

        The interval is Student's, with data sets as its units: mean +- t s / sqrt(n) over the n means per data set.
        Seeds of one data set share its images and are no units of their own.

        Example:
            >>> Difference.of({"pets": [0.5, 0.5], "cars": [0.25]})
            Difference(mean=0.375, low=-1.2132..., high=1.9632..., datasets=2, pairs=3)
        """
        means = np.array([np.mean(differences) for differences in pairs.values()])
        mean, low, high = float(means.mean()), None, None
        if len(means) > 1:
            quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(means) - 1))
            margin = quantile * float(means.std(ddof=1)) / math.sqrt(len(means))
            low, high = mean - margin, mean + margin
        return cls(mean, low, high, len(means), sum(map(len, pairs.values())))
