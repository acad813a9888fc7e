"""How two columns of levels go together: a test, within strata too, and a size that does not grow with the rows."""

import math
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.optimize import root_scalar
from scipy.stats import chi2, ncx2

from causalvlm.errors import InputError
from causalvlm.intervals import CONFIDENCE

MOST_CELLS = 2500
"""Degrees of freedom of a test within strata: its covariance takes their square in memory."""


@dataclass(frozen=True)
class Association:
    """How two columns of levels go together.

    Attributes:
        statistic: of the test, chi-squared if they do not.
        freedom: its degrees of freedom; 0 where no stratum can tell.
        p_value: 1 where no stratum can tell.
        size: Cramér's V, bias-corrected, 0 for independence to 1; None within strata.
        low: lower end of its 95 per cent interval; None likewise.
        high: upper end likewise.
    """

    statistic: float
    freedom: int
    p_value: float
    size: float | None = None
    low: float | None = None
    high: float | None = None

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def associate(a: Shaped[np.ndarray, " rows"], b: Shaped[np.ndarray, " rows"]) -> Association:
    """Test whether two columns of levels are independent, and say how far they are from it.

    The test is Pearson's, with n - 1 in place of n, as it is without strata in `associate_within`. The size is
    Cramér's V with Bergsma's correction of its bias (Journal of the Korean Statistical Society 2013); its interval
    inverts the non-central chi-squared distribution of the statistic (Smithson, Confidence Intervals, 2003).

    Example:
        >>> day, dog = np.repeat(["day", "night"], 50), np.tile(["cat", "dog"], 50)
        >>> found = associate(day, dog)
        >>> found.p_value, found.size, associate(day, day).size
        (1.0, 0.0, 1.0)
    """
    table = _count(a, b)
    n, (rows, columns) = int(table.sum()), table.shape
    if min(rows, columns) < 2 or n < 2:
        return Association(0.0, 0, 1.0, 0.0, 0.0, 0.0)
    expected = np.outer(table.sum(1), table.sum(0)) / n
    statistic = float(((table - expected) ** 2 / expected).sum() * (n - 1) / n)
    freedom = (rows - 1) * (columns - 1)
    # A table that is more even than chance makes it is no proof of independence: the upper end is one of an even table.
    ends = zip((statistic, max(statistic, float(freedom))), _TAILS, strict=True)
    low, high = (_size(_centre(seen, freedom, tail) + freedom, n, rows, columns) for seen, tail in ends)
    size = _size(statistic, n, rows, columns)
    return Association(statistic, freedom, float(chi2.sf(statistic, freedom)), size, min(low, size), max(high, size))


def associate_within(
    a: Shaped[np.ndarray, " rows"], b: Shaped[np.ndarray, " rows"], strata: Int[np.ndarray, " rows"]
) -> Association:
    """Test whether two columns of levels are independent within every stratum.

    The generalised Cochran-Mantel-Haenszel test of general association (Agresti, Categorical Data Analysis, 3rd
    edition, section 8.4): given the margins of every stratum its counts are hypergeometric, so that thousands of small
    strata serve as well as a few large ones. It sees what the strata have in common; an association that turns round
    from one to the next cancels.

    Args:
        a: levels.
        b: other levels.
        strata: which stratum each row belongs to.

    Raises:
        InputError: if the columns have too many levels together.

    Example:
        >>> season = np.repeat([0, 1], 40)
        >>> light = np.where(np.arange(80) % 4 == 0, season, 1 - season)
        >>> associate(light, season).p_value < 0.001, associate_within(light, season, season).p_value
        (True, 1.0)
    """
    _, first = np.unique(a, return_inverse=True)
    _, second = np.unique(b, return_inverse=True)
    rows, columns = int(first.max()) + 1, int(second.max()) + 1
    if (rows - 1) * (columns - 1) > MOST_CELLS:
        raise InputError(
            f"two columns that are compared within strata must have at most {MOST_CELLS} combinations of levels; "
            f"received {rows} and {columns} levels. Merge some."
        )
    surplus = np.zeros((rows, columns))
    spread = np.zeros(((rows - 1) * (columns - 1),) * 2)
    for members in _groups(strata):
        n = len(members)
        table = np.zeros((rows, columns))
        np.add.at(table, (first[members], second[members]), 1)
        across, down = table.sum(1), table.sum(0)
        if n < 2 or across.max() == n or down.max() == n:
            continue
        surplus += table - np.outer(across, down) / n
        one, other = (n * np.diag(margin[:-1]) - np.outer(margin[:-1], margin[:-1]) for margin in (across, down))
        spread += np.kron(one, other) / (n**2 * (n - 1))
    freedom = int(np.linalg.matrix_rank(spread, hermitian=True))
    if freedom == 0:
        return Association(0.0, 0, 1.0)
    moved = surplus[:-1, :-1].ravel()
    statistic = float(moved @ np.linalg.pinv(spread, hermitian=True) @ moved)
    return Association(statistic, freedom, float(chi2.sf(statistic, freedom)))


_TAILS = (0.5 + CONFIDENCE / 2, 0.5 - CONFIDENCE / 2)


def _groups(strata: Int[np.ndarray, " rows"]) -> list[Int[np.ndarray, " _"]]:
    order = np.argsort(strata, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(strata[order])) + 1)


def _count(a: Shaped[np.ndarray, " rows"], b: Shaped[np.ndarray, " rows"]) -> Float[np.ndarray, "_ _"]:
    (one, first), (other, second) = np.unique(a, return_inverse=True), np.unique(b, return_inverse=True)
    table = np.zeros((len(one), len(other)))
    np.add.at(table, (first, second), 1)
    return table


def _size(statistic: float, n: int, rows: int, columns: int) -> float:
    """Cramér's V with Bergsma's correction, from the chi-squared statistic."""
    phi = max(0.0, statistic / (n - 1) - (rows - 1) * (columns - 1) / (n - 1))
    fewer = min(side - (side - 1) ** 2 / (n - 1) for side in (rows, columns)) - 1
    return math.sqrt(min(1.0, phi / fewer)) if fewer > 0 else 0.0


def _centre(statistic: float, freedom: int, share: float) -> float:
    """The non-centrality at which a share of the distribution lies below the statistic; 0 if even that is too large."""

    def below(centre: float) -> float:
        return float(ncx2.cdf(statistic, freedom, centre) if centre > 0 else chi2.cdf(statistic, freedom)) - share

    if below(0.0) <= 0:
        return 0.0
    largest = statistic + 10 * math.sqrt(4 * statistic + 2 * freedom) + 20
    return float(root_scalar(below, bracket=(0.0, largest)).root)
