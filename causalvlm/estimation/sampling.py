"""How the rows were drawn: the clusters in which they hang together, and how many others each of them stands for.

Frames of one video or crops of one picture are no independent rows. An estimate is then as uncertain as the sums of its
influence function over clusters say (Liang, Zeger, Biometrika 73, 1986); with few clusters by a factor G / (G - 1)
more, and read with Student's t of G - 1 degrees of freedom (Cameron, Miller, Journal of Human Resources 50, 2015).
Weights enter every mean (Hajek 1971), and with it every nuisance function and the influence function.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Shaped
from scipy.sparse import csr_array
from scipy.stats import t as student

from causalvlm.errors import InputError
from causalvlm.estimation.sample import check_columns, is_nominal
from causalvlm.intervals import CONFIDENCE, Z

FEWEST_CLUSTERS = 10
"""With fewer clusters nothing is claimed: a variance of so few sums is a guess."""

FEW_CLUSTERS = 30
"""With fewer a reader is told (Cameron, Miller 2015, section VI, call 20 to 50 few)."""

Rows = Int[np.ndarray, " _"]
Weights = Float[np.ndarray, " _"] | None
Mean = Any
"""A number, of a column, or an array."""


@dataclass(frozen=True, eq=False)
class Sampling:
    """Clusters and weights of the rows of a table; either may be absent, and both are in `EVEN`.

    Attributes:
        cluster: column that names the cluster of each row.
        weight: column of the weights.
        codes: the cluster of each row, from zero on.
        weights: of the rows, with mean one.

    Example:
        >>> Sampling("video", None, np.array([0, 0, 1])).count
        2
    """

    cluster: str | None = None
    weight: str | None = None
    codes: Int[np.ndarray, " rows"] | None = None
    weights: Float[np.ndarray, " rows"] | None = None

    @cached_property
    def count(self) -> int | None:
        """Number of clusters; None if every row is one of its own."""
        return None if self.codes is None else int(self.codes.max()) + 1

    @property
    def even(self) -> bool:
        """Whether every row was drawn by itself, and all alike."""
        return self.codes is None and self.weights is None

    def on(self, table: pd.DataFrame) -> "Sampling":
        """The same columns of another table, however few clusters it has.

        Example:
            >>> Sampling("video", None, np.array([0, 1])).on(pd.DataFrame({"video": ["b", "a", "b"]})).codes
            array([0, 1, 0])
        """
        codes = None if self.cluster is None else pd.factorize(table[self.cluster])[0].astype(np.int64)
        weights = None if self.weight is None else table[self.weight].to_numpy(dtype=float)
        return Sampling(self.cluster, self.weight, codes, None if weights is None else weights / weights.mean())

    def take(self, rows: Rows) -> "Sampling":
        """That of some rows, numbered anew.

        Example:
            >>> Sampling("video", None, np.array([0, 1, 2, 2])).take(np.array([2, 3, 0])).codes
            array([1, 1, 0])
        """
        codes = None if self.codes is None else np.unique(self.codes[rows], return_inverse=True)[1]
        return Sampling(self.cluster, self.weight, codes, self.at(rows))

    def at(self, rows: Rows) -> Weights:
        """Weights of some rows, or None.

        Example:
            >>> Sampling(weights=np.array([0.5, 1.5])).at(np.array([1])), EVEN.at(np.array([1]))
            (array([1.5]), None)
        """
        return None if self.weights is None else self.weights[rows]

    def weigh(self, values: Float[np.ndarray, "rows ..."]) -> Float[np.ndarray, "rows ..."]:
        """Values times the weights of their rows.

        Example:
            >>> Sampling(weights=np.array([0.5, 1.5])).weigh(np.ones((2, 1))).ravel()
            array([0.5, 1.5])
        """
        return values if self.weights is None else weighed(values, self.weights)

    def root(self, values: Float[np.ndarray, "rows ..."]) -> Float[np.ndarray, "rows ..."]:
        """Values times the roots of the weights: least squares on such columns is weighted least squares.

        Example:
            >>> Sampling(weights=np.array([0.25, 1.75])).root(np.ones(2)).round(2)
            array([0.5 , 1.32])
        """
        return values if self.weights is None else weighed(values, np.sqrt(self.weights))

    def mean(self, values: Float[np.ndarray, "rows ..."]) -> Mean:
        """Weighted mean over the rows.

        Example:
            >>> Sampling(weights=np.array([0.5, 1.5])).mean(np.array([0.0, 1.0]))
            np.float64(0.75)
        """
        return self.weigh(values).mean(0)

    def variance(self, values: Float[np.ndarray, "rows ..."]) -> Mean:
        """Weighted variance over the rows.

        Example:
            >>> Sampling(weights=np.array([0.5, 1.5])).variance(np.array([0.0, 1.0]))
            np.float64(0.1875)
        """
        return values.var(0) if self.weights is None else self.mean((values - self.mean(values)) ** 2)

    def cross(
        self, left: Float[np.ndarray, "rows _"], right: Float[np.ndarray, "rows ..."]
    ) -> Float[np.ndarray, "..."]:
        """Weighted products of columns, added up over the rows.

        Example:
            >>> Sampling(weights=np.array([0.5, 1.5])).cross(np.ones((2, 1)), np.array([[1.0], [2.0]]))
            array([[3.5]])
        """
        return self.weigh(left).T @ right

    def sums(self, values: Float[np.ndarray, "rows ..."]) -> Float[np.ndarray, "_ ..."]:
        """Sums over the rows of each cluster, as they are, or the rows themselves.

        Example:
            >>> Sampling(codes=np.array([0, 1, 0])).sums(np.array([1.0, 2.0, 3.0]))
            array([4., 2.])
        """
        return values if self.codes is None else self._members @ values

    def totals(self, values: Float[np.ndarray, "rows ..."]) -> Float[np.ndarray, "_ ..."]:
        """Weighted sums over the rows of each cluster: what is independent of each other.

        Example:
            >>> Sampling(codes=np.array([0, 1, 0]), weights=np.array([2.0, 0.5, 0.5])).totals(np.ones(3))
            array([2.5, 0.5])
        """
        return self.sums(self.weigh(values))

    def error(self, influence: Float[np.ndarray, " rows"]) -> float:
        """Standard error of an estimate from its influence function.

        Example:
            >>> EVEN.error(np.array([1.0, -1.0, 1.0, -1.0]))
            0.5
        """
        totals = self.totals(influence)
        return float(np.sqrt(correction(self.count) * (totals @ totals))) / len(influence)

    def widened(self, error: float) -> float:
        """A standard error as wide as Student's t of the clusters has it, where a normal law will be read into it.

        Example:
            >>> EVEN.widened(1.0), round(Sampling(codes=np.arange(21)).widened(1.0), 3)
            (1.0, 1.064)
        """
        return error * (quantile(self.count) / Z)

    @cached_property
    def _members(self) -> csr_array:
        """A row for each cluster, with a one for each of its rows."""
        codes = self._codes
        rows = np.arange(len(codes))
        return csr_array((np.ones(len(rows)), (codes, rows)), shape=(self.count, len(rows)))

    @property
    def _codes(self) -> Int[np.ndarray, " rows"]:
        if self.codes is None:
            raise ValueError("there are no clusters here")
        return self.codes

    def shuffled(self, *, within: Shaped[np.ndarray, " rows"] | None = None, rng: np.random.Generator) -> Rows:
        """A row for each row to take something from that has nothing to do with it: whole clusters change places.

        What hangs together in a cluster still does then, as the standard error expects. A cluster that is given to a
        larger one is repeated, a larger one is cut off.

        Args:
            within: the level of each row; clusters change places among those that lie in one level alone, the same.
            rng: draws the places.

        Example:
            >>> Sampling(codes=np.array([0, 1, 0, 1, 2])).shuffled(rng=np.random.default_rng(1))
            array([4, 0, 4, 2, 1])
        """
        codes = self._codes
        order, sizes = np.argsort(codes, kind="stable"), np.bincount(codes)
        starts = np.cumsum(sizes) - sizes
        levels = np.zeros(len(sizes)) if within is None else within[order[starts]]
        source = np.empty(len(sizes), dtype=np.int64)
        source[np.argsort(levels, kind="stable")] = np.lexsort((rng.random(len(sizes)), levels))
        place = np.empty(len(codes), dtype=np.int64)
        place[order] = np.arange(len(codes)) - np.repeat(starts, sizes)
        given = source[codes]
        return order[starts[given] + place % sizes[given]]

    def constant(self, values: Shaped[np.ndarray, " rows"]) -> bool:
        """Whether no cluster has two of these values.

        Example:
            >>> Sampling(codes=np.array([0, 0, 1])).constant(np.array([5, 5, 7]))
            True
        """
        return len(np.unique(self._codes + 1j * values)) == self.count

    def to_record(self) -> dict[str, object] | None:
        """Plain data for JSON; None if there is nothing to say.

        Example:
            >>> Sampling("video", None, np.array([0, 0, 1])).to_record()
            {'cluster': 'video', 'clusters': 2, 'weights': None}
        """
        return None if self.even else {"cluster": self.cluster, "clusters": self.count, "weights": self.weight}

    def text(self) -> str:
        """What a reader of the numbers must know, in a few words; empty if there is nothing.

        Example:
            >>> Sampling("video", "w", np.array([0, 0, 1]), np.ones(3)).text()
            "standard errors by 2 clusters of 'video', rows weighted by 'w'"
        """
        said = [f"standard errors by {self.count} clusters of {self.cluster!r}"] if self.cluster else []
        said += [f"rows weighted by {self.weight!r}"] if self.weight else []
        return ", ".join(said)


EVEN = Sampling()
"""Every row drawn by itself, and all alike."""


def quantile(clusters: int | None) -> float:
    """Of the normal law, or of Student's with a degree of freedom less than there are clusters.

    Example:
        >>> round(quantile(None), 2), round(quantile(21), 2)
        (1.96, 2.09)
    """
    return Z if clusters is None else float(student.ppf(0.5 + CONFIDENCE / 2, clusters - 1))


def correction(clusters: int | None) -> float:
    """G / (G - 1), by which the variance of so few sums is too small; one of rows, which are many.

    Example:
        >>> correction(None), correction(11)
        (1.0, 1.1)
    """
    return 1.0 if clusters is None else clusters / (clusters - 1)


def weighed(values: Float[np.ndarray, "rows ..."], weights: Weights) -> Float[np.ndarray, "rows ..."]:
    """Rows times their weights; None leaves them.

    Example:
        >>> weighed(np.ones((2, 1)), np.array([2.0, 3.0])).ravel(), weighed(np.ones(2), None)
        (array([2., 3.]), array([1., 1.]))
    """
    return values if weights is None else values * weights.reshape(-1, *[1] * (values.ndim - 1))


def weighted_mean(values: Float[np.ndarray, "rows ..."], weights: Weights) -> Mean:
    """Mean over rows whose weights need not have mean one.

    Example:
        >>> weighted_mean(np.array([0.0, 1.0]), np.array([1.0, 3.0]))
        np.float64(0.75)
    """
    return values.mean(0) if weights is None else np.average(values, axis=0, weights=weights)


def read_sampling(
    table: pd.DataFrame, used: Sequence[str], *, cluster: str | None, weights: str | None
) -> tuple[pd.DataFrame, Sampling]:
    """Check the columns; rows of weight zero stand for none, and are dropped.

    Args:
        table: one row per unit; not changed.
        used: columns that play another part.
        cluster: column that names the cluster of each row.
        weights: column of weights.

    Returns:
        The rows that count, and their sampling.

    Raises:
        InputError: if a column is missing, plays another part or has missing values; weights are negative or all zero;
            there are fewer than `FEWEST_CLUSTERS` clusters.

    Example:
        >>> table = pd.DataFrame({"X": range(20), "w": [0.0, 1.0] * 10})
        >>> kept, sampling = read_sampling(table, ["X"], cluster=None, weights="w")
        >>> len(kept), float(sampling.weights.sum())
        (10, 10.0)
    """
    if cluster is None and weights is None:
        return table, EVEN
    _require_columns(table, used, cluster, weights)
    if weights is not None:
        kept = _counted(table, weights)
        table = table if kept.all() else table.iloc[np.flatnonzero(kept)].reset_index(drop=True)
    found = Sampling(cluster, weights).on(table)
    if found.count is not None and found.count < FEWEST_CLUSTERS:
        raise InputError(
            f"cluster= must name a column with at least {FEWEST_CLUSTERS} clusters; received {found.count} in "
            f"{cluster!r}. Use finer clusters, or adjust for the column in place of clustering by it."
        )
    return table, found


def few_clusters(sampling: Sampling) -> tuple[str, ...]:
    """A sentence if there are few clusters.

    Example:
        >>> few_clusters(Sampling("video", None, np.arange(12)))[0][:34]
        "there are few clusters (12 of 'vid"
    """
    if sampling.count is None or sampling.count >= FEW_CLUSTERS:
        return ()
    return (
        f"there are few clusters ({sampling.count} of {sampling.cluster!r}): intervals by Student's t hold if these "
        "are about alike, and are too narrow if one is far larger than the others.",
    )


def _require_columns(table: pd.DataFrame, used: Sequence[str], cluster: str | None, weights: str | None) -> None:
    given = {"cluster": cluster, "weights": weights}
    for argument, name in ((argument, name) for argument, name in given.items() if name is not None):
        if not isinstance(name, str) or list(table.columns).count(name) != 1:
            shown = repr(name) if isinstance(name, str) else f"a {type(name).__name__}"
            raise InputError(
                f"{argument}= must be the name of one column of the table; received {shown}. Columns: "
                f"{', '.join(map(str, table.columns[:12]))}. Add one, or check the spelling."
            )
        if name in used or cluster == weights:
            raise InputError(
                f"{argument}= must name a column that plays no other part; received {name!r}, which does. Copy it "
                "under another name if that is meant."
            )
        if missing := int(table[name].isna().to_numpy().sum()):
            raise InputError(
                f"{argument}= must name a column without missing values; received {missing} in {name!r}. Drop those "
                "rows, or fill them."
            )


def _counted(table: pd.DataFrame, name: str) -> Bool[np.ndarray, " _"]:
    """Which rows have a weight."""
    values = np.zeros(0) if is_nominal(table, name) else table[name].to_numpy(dtype=float)
    if is_nominal(table, name):
        wrong = "text"
    else:
        wrong = "negative ones" if (values < 0).any() else "" if values.any() else "zeros alone"
    if wrong:
        raise InputError(
            f"weights= must name a column of numbers of at least zero, some of them above; received {wrong} in "
            f"{name!r}. Correct them, or leave weights= out."
        )
    check_columns(table, [name])
    return values > 0
