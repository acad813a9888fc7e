"""Many questions asked of one table: verdicts of which, with one false-alarm rate, hardly any is wrong."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

from causalvlm.intervals import CONFIDENCE

FALSE_ALARM_RATE = 1 - CONFIDENCE
"""That any verdict on one question is wrong, over all factors and levels of a diagnosis that have nothing to find."""

Key = TypeVar("Key", bound=Hashable)


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """P-values made larger so that those below a rate hold together (Holm, Scandinavian Journal of Statistics 1979).

    Whatever the dependence between the tests, the chance that any true hypothesis falls below the rate is at most that
    rate.

    Example:
        >>> holm({"brightness": 0.01, "hue": 0.04, "size": 0.03})
        {'brightness': 0.03, 'hue': 0.06, 'size': 0.06}
    """
    adjusted: dict[Key, float] = {}
    largest = 0.0
    for place, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[key]))
        adjusted[key] = largest
    return {key: adjusted[key] for key in p_values}
