"""The settings of the treatment whose outcomes are compared."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from causalvlm.errors import InputError
from causalvlm.estimation.sample import Level, Levels, find_level, is_discrete, numbers, treatment_levels

SMALLEST_STEP = 1e-6
"""Doses that differ by a smaller share of the treatment's range are refused: rounding would pass for certainty."""


@dataclass(frozen=True)
class Arms:
    """Settings of the treatment: its levels, or two values of a continuous one.

    Attributes:
        levels: the levels and each row's code; None for a continuous treatment.
        labels: what the settings are called.
        pair: positions of treated and control among the labels.
        design: regression columns of the treatment: 0/1 for every level but the first, or its value.
        settings: the same columns at each label.

    Example:
        >>> read_arms(pd.DataFrame({"X": [0, 1, 2] * 2}), "X").pair
        (2, 0)
    """

    levels: Levels | None
    labels: tuple[Level, ...]
    pair: tuple[int, int]
    design: Float[np.ndarray, "rows _"]
    settings: Float[np.ndarray, "_ _"]

    def contrast(self, treated: int, control: int) -> Float[np.ndarray, " _"]:
        """Weights of the difference of two settings' means.

        Example:
            >>> read_arms(pd.DataFrame({"X": [0, 1, 2] * 2}), "X").contrast(2, 0)
            array([-1.,  0.,  1.])
        """
        weights = np.zeros(len(self.labels))
        weights[treated] += 1.0
        weights[control] -= 1.0
        return weights

    def rows(self) -> tuple[float, ...]:
        """Rows of the two levels that are compared; none are, of a continuous treatment.

        Example:
            >>> read_arms(pd.DataFrame({"X": [0, 0, 1]}), "X").rows()
            (1.0, 2.0)
        """
        if self.levels is None:
            return ()
        counts = np.bincount(self.levels.codes, minlength=len(self.labels))
        return tuple(float(counts[place]) for place in self.pair)

    def coded(self) -> Levels:
        """The levels, where an estimator needs them.

        Raises:
            InputError: if the treatment is continuous.

        Example:
            >>> read_arms(pd.DataFrame({"X": ["a", "b"]}), "X").coded().labels
            ('a', 'b')
        """
        if self.levels is None:
            raise InputError(
                "this estimator needs a treatment with few levels; received a continuous one. Cut it into levels, "
                "or use 'two-stage' (front door) or 'partially-linear' (back door)."
            )
        return self.levels

    def doses(self) -> Float[np.ndarray, " rows"]:
        """The amounts, where an estimator needs a continuous treatment.

        Raises:
            InputError: if the treatment has few levels.

        Example:
            >>> read_arms(pd.DataFrame({"X": np.linspace(0, 1, 50)}), "X").doses().shape
            (50,)
        """
        if self.levels is not None:
            raise InputError(
                f"this estimator needs a continuous treatment; received {len(self.labels)} levels. Use 'aipw', which "
                "compares levels."
            )
        return self.design[:, 0]

    def extrapolations(self) -> tuple[str, ...]:
        """A note for every setting outside the range of a continuous treatment.

        Example:
            >>> read_arms(pd.DataFrame({"X": np.linspace(0, 1, 50)}), "X", treated=3).extrapolations()
            ("3.0 lies outside the treatment's range [0, 1]: extrapolated.",)
        """
        if self.levels is not None:
            return ()
        low, high = float(self.design.min()), float(self.design.max())
        outside = [label for label in self.labels if not low <= float(label) <= high]
        return tuple(
            f"{label} lies outside the treatment's range [{low:.3g}, {high:.3g}]: extrapolated." for label in outside
        )


def read_arms(table: pd.DataFrame, name: str, treated: Level | None = None, control: Level | None = None) -> Arms:
    """Read the treatment column and the two settings to compare.

    Without a choice these are the last and the first level, or 1 and 0 for a continuous treatment: a step of one unit.

    Raises:
        InputError: if the treatment is constant, or a setting is no level of it, or both are the same or nearly so.

    Example:
        >>> read_arms(pd.DataFrame({"X": ["a", "b"]}), "X", treated="a", control="b").pair
        (0, 1)
    """
    if not is_discrete(table, name):
        high = 1.0 if treated is None else read_dose(name, treated)
        low = 0.0 if control is None else read_dose(name, control)
        _require_distinct(high, low)
        doses = numbers(table, name)
        if abs(high - low) < SMALLEST_STEP * np.ptp(doses):
            raise InputError(
                f"treated and control must differ by {SMALLEST_STEP:g} of the range of {name!r} or more; received "
                f"{high:g} and {low:g} in a range of {np.ptp(doses):.3g}. Pass doses that lie further apart."
            )
        return Arms(None, (low, high), (1, 0), doses[:, None], np.array([[low], [high]]))
    levels = treatment_levels(table, name)
    labels = levels.labels
    first = 0 if control is None else find_level(name, labels, control)
    last = len(labels) - 1 if treated is None else find_level(name, labels, treated)
    _require_distinct(labels[last], labels[first])
    dummies = np.eye(len(labels))[:, 1:]
    return Arms(levels, labels, (last, first), dummies[levels.codes], dummies)


def read_dose(name: str, given: Level) -> float:
    """A dose of a continuous treatment.

    Raises:
        InputError: if it is no finite number.

    Example:
        >>> read_dose("X", "0.5")
        0.5
    """
    try:
        dose = float(given)
    except (TypeError, ValueError, OverflowError):
        dose = float("nan")
    if not np.isfinite(dose):
        raise InputError(
            f"treated and control must be finite numbers, as {name!r} is continuous; received {given!r}. Pass numbers."
        )
    return dose


def _require_distinct(treated: Level, control: Level) -> None:
    if treated == control:
        raise InputError(f"treated and control must differ; received {treated!r} for both. Pass treated= and control=.")
