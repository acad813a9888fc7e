"""What the failure of an assumption does to an effect: the algebra of biased slopes, in shares of variance.

One slope of a linear regression, of a response R on D given W, that a hidden Z confounds is off by at most

    |bias| <= scale sqrt(far near / (1 - near)),  scale = sd(R - fit) / sd(D - E[D | W])

with near = partial R^2 of D with Z given W, and far = that of R with Z given D and W (Cinelli, Hazlett, JRSS-B 82,
2020; scale^2 is the S^2 of Chernozhukov, Cinelli, Newey, Sharma, Syrgkanis, "Long story short", 2022, in the linear
model).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import bisect

from causalvlm.errors import InputError
from causalvlm.intervals import Z

STRONGEST = 1 - 1e-9
"""Share of variance that stands for all of it."""


@dataclass(frozen=True)
class Slope:
    """One slope of a linear regression, or one combination of several.

    Attributes:
        scale: its bias for each unit of sqrt(far near / (1 - near)).
        degrees: residual degrees of freedom; scale / sqrt(degrees) is its standard error.

    Example:
        >>> round(Slope(2.0, 100).bias(0.5, 0.5), 3)
        1.414
    """

    scale: float
    degrees: int

    def bias(self, near: float, far: float) -> float:
        """The most that a hidden cause moves it which explains these shares of what the slope joins."""
        return self.scale * float(np.sqrt(far * near / (1 - near)))


@dataclass(frozen=True)
class Link:
    """A slope that a scenario bends, and which of the scenario's strengths bend it.

    Attributes:
        slope: the slope.
        near: place of the strength at its cause.
        far: place of the strength at its response; None if the cause itself is what reaches there.

    Example:
        >>> Link(Slope(1.0, 10), 0, None).bias((0.5,))
        1.0
    """

    slope: Slope
    near: int
    far: int | None

    def bias(self, strengths: tuple[float, ...]) -> float:
        """The slope's largest bias."""
        return self.slope.bias(strengths[self.near], 1.0 if self.far is None else strengths[self.far])

    def variance(self, strengths: tuple[float, ...]) -> float:
        """Of the slope, had the hidden cause been observed (Cinelli, Hazlett 2020)."""
        near, far = (0.0, 0.0) if self.far is None else (strengths[self.near], strengths[self.far])
        return self.slope.scale**2 / self.slope.degrees * (1 - far) / (1 - near)


@dataclass(frozen=True)
class Scenario:
    """One assumption that may fail, and what the effect is then.

    Attributes:
        name: which.
        ends: what each strength is a share of.
        links: the slopes that are bent.
        value: the effect as estimated.
        standard_error: of it.
        still: variance of the slopes that are not bent.
        benchmarks: strengths that a hidden cause as strong as each observed covariate would have.
        cross: scale of the product of two slopes' biases.

    Example:
        >>> hidden = Scenario("a hidden cause", ("X", "Y"), (Link(Slope(1.0, 100), 0, 1),), 0.5, 0.1, 0.0, {})
        >>> round(hidden.breakdown, 3), hidden.interval(0.1, 0.1) < hidden.interval(0.0, 0.0)
        (0.39, True)
    """

    name: str
    ends: tuple[str, ...]
    links: tuple[Link, ...]
    value: float
    standard_error: float
    still: float
    benchmarks: Mapping[str, tuple[float, ...]]
    cross: float = 0.0

    def bias(self, *strengths: float) -> float:
        """The most that the estimate may be off; one strength is that of every end.

        Raises:
            InputError: if a strength is no share, or their number is not that of the ends.
        """
        each = self._each(strengths)
        both = float(np.prod([link.bias(each) / link.slope.scale for link in self.links])) if self.cross else 0.0
        return sum(link.bias(each) for link in self.links) + self.cross * both

    def interval(self, *strengths: float) -> tuple[float, float]:
        """The 95 per cent interval of all effects that such strengths allow."""
        half = self._half(self._each(strengths))
        return self.value - half, self.value + half

    @property
    def breakdown(self) -> float:
        """The smallest strength, the same at every end, that allows an effect of zero."""
        return _smallest(lambda strength: self.bias(strength) - abs(self.value))

    @property
    def breakdown_of_interval(self) -> float:
        """The smallest strength, the same at every end, with which the interval holds zero."""
        return _smallest(lambda strength: self._half(self._each((strength,))) - abs(self.value))

    def to_record(self) -> dict[str, object]:
        """Plain data for JSON."""
        return {
            "name": self.name,
            "ends": list(self.ends),
            "breakdown": self.breakdown,
            "breakdown_of_interval": self.breakdown_of_interval,
            "benchmarks": {
                name: {"strengths": list(found), "bias": self.bias(*found), "interval": list(self.interval(*found))}
                for name, found in self.benchmarks.items()
            },
        }

    def _half(self, each: tuple[float, ...]) -> float:
        """Half of the interval: the bias, and the error that an estimate had to which the hidden cause was known."""
        before, after = (
            self.still + sum(link.variance(at) for link in self.links) for at in ((0.0,) * len(each), each)
        )
        return self.bias(*each) + Z * self.standard_error * float(np.sqrt(after / before))

    def _each(self, strengths: tuple[float, ...]) -> tuple[float, ...]:
        each = strengths * len(self.ends) if len(strengths) == 1 else strengths
        if len(each) != len(self.ends) or not all(0 <= one < 1 for one in each):
            raise InputError(
                f"strengths must be shares from 0 to below 1, one for all or for each of {', '.join(self.ends)}; "
                f"received {strengths}. Pass partial R^2."
            )
        return each


@dataclass(frozen=True, repr=False)
class Sensitivity:
    """What the failure of each assumption could do to an effect.

    Attributes:
        value: the effect as estimated.
        scenarios: the assumptions.

    Example:
        >>> Sensitivity(0.5, ()).to_record()
        {'value': 0.5, 'scenarios': []}
    """

    value: float
    scenarios: tuple[Scenario, ...]

    def __repr__(self) -> str:
        return f"<Sensitivity of {self.value:.3g}: {self.text() if self.scenarios else 'nothing is asked'}>"

    @property
    def weakest(self) -> Scenario:
        """The hidden cause that need explain least to cancel the effect; a direct path, measured otherwise, aside."""
        hidden = [one for one in self.scenarios if len(one.ends) > 1]
        return min(hidden, key=lambda scenario: scenario.breakdown)

    def text(self) -> str:
        """The breakdown point in a sentence."""
        worst, others = self.weakest, [one for one in self.scenarios if len(one.ends) == 1]
        found = (
            f"{worst.name} could cancel the effect if it explains {worst.breakdown:.1%} of what is left of "
            f"{', '.join(worst.ends)} each, and bring the interval to zero with {worst.breakdown_of_interval:.1%}"
        )
        return found + "".join(f"; so could {one.name} of {one.breakdown:.1%} of {one.ends[0]}" for one in others)

    def to_record(self) -> dict[str, object]:
        """Plain data for JSON."""
        return {"value": self.value, "scenarios": [scenario.to_record() for scenario in self.scenarios]}


def _smallest(over: Callable[[float], float]) -> float:
    """Where an increasing function of the strength crosses zero; 0 or 1 if it does not."""
    if over(0.0) >= 0:
        return 0.0
    if over(STRONGEST) <= 0:
        return 1.0
    return bisect(over, 0.0, STRONGEST)  # pyright: ignore[reportReturnType] - a root, as full_output is not asked for
