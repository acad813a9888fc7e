"""Two identified routes to one effect must agree: their difference and its standard error."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Difference:
    """Difference of two estimates from the same rows.

    Attributes:
        value: first minus second.
        standard_error: allows for their correlation.

    Example:
        >>> Difference(0.2, 0.1).score()
        2.0
    """

    value: float
    standard_error: float

    def score(self) -> float:
        """The difference in standard errors."""
        return self.value / self.standard_error if self.standard_error > 0 else 0.0


def difference(
    first: float, second: float, influence: Float[np.ndarray, " rows"], other: Float[np.ndarray, " rows"]
) -> Difference:
    """Hausman's (1978) comparison by influence functions: the variance of the difference is that of their difference.

    Args:
        first: one estimate.
        second: another estimate of the same effect.
        influence: influence function of the first, row by row.
        other: influence function of the second, of the same rows.

    Example:
        >>> difference(1.0, 0.0, np.array([1.0, -1.0]), np.array([-2.0, -5.0])).standard_error
        2.5
    """
    gap = influence - other
    return Difference(first - second, float(np.sqrt(gap @ gap)) / len(gap))
