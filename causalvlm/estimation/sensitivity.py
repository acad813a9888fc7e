"""Sensitivity: the effect and its interval as functions of how strongly an assumption fails, in shares of variance.

One slope of a linear regression, of a response R on D given W, that a hidden Z confounds is off by at most

    |bias| <= scale sqrt(far near / (1 - near)),  scale = sd(R - fit) / sd(D - E[D | W])

with near = partial R^2 of D with Z given W, and far = that of R with Z given D and W (Cinelli, Hazlett, JRSS-B 82,
2020; scale^2 is the S^2 of Chernozhukov, Cinelli, Newey, Sharma, Syrgkanis, "Long story short", 2022, in the linear
model). A back door is one such slope. A front door is the product of two, of S on X and of Y on S given X;
docs/sensitivity.md derives from it what each of its assumptions is worth.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import bisect

from causalvlm.errors import InputError
from causalvlm.estimation.effect import Effect, question_of
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sample import matrix
from causalvlm.estimation.sampling import Sampling, correction
from causalvlm.estimation.score_test import pseudo_inverse
from causalvlm.intervals import Z

_STRONGEST = 1 - 1e-9


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


def sensitivity(effect: Effect, table: pd.DataFrame) -> Sensitivity:
    """How strong a violation of each assumption would have to be to explain an effect away, in the linear model.

    For a back door: a hidden cause of X and Y; for an instrument, one of Z and Y. For a front door: a direct path from
    X to Y; a hidden cause of S and Y; and one of X and S, which reaches Y too, as it meets there what confounds X and
    Y. Strengths are shares of residual variance (partial R^2).

    Args:
        effect: what `estimate_effect` returned.
        table: the same table; not changed.

    Raises:
        InputError: if the outcome is categorical, or the effect that of a general formula or of no mediator.

    Example:
        >>> import causalvlm.worlds.linear
        >>> table = causalvlm.worlds.linear.LinearWorld().sample(1000, rng=0)
        >>> effect = causalvlm.estimate_effect(table, causalvlm.FrontDoor("X", "Y", ("S",)), rng=0)
        >>> found = sensitivity(effect, table)
        >>> found.scenarios[0].name, round(found.scenarios[0].breakdown, 1)
        ('a direct path', 0.4)
    """
    return sensitivity_of(effect, question_of(effect, table))


def sensitivity_of(effect: Effect, problem: Problem) -> Sensitivity:
    """As `sensitivity`, of a problem that has been read.

    Raises:
        InputError: as `sensitivity`.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import BackDoor
        >>> from causalvlm.worlds.linear import LinearWorld
        >>> table = LinearWorld().sample(1000, rng=0)
        >>> effect = estimate_effect(table, BackDoor("X", "Y", ("U",)), rng=0)
        >>> found = sensitivity_of(effect, question_of(effect, table))
        >>> list(found.weakest.benchmarks)
        ['U']
    """
    parts = problem.roles
    several = problem.instrument.shape[1] > 1
    unserved = several or problem.door in ("general", "mediation") or (problem.front_door and not parts.mediators)
    if problem.categorical or unserved:
        raise InputError(
            "sensitivity needs a numeric outcome, and an effect by the back door, through a mediator or by an "
            f"instrument of one column; received {effect.estimand.text()}. Code one class as 0/1, or ask of another "
            "estimand."
        )
    if parts.instruments:
        return Sensitivity(effect.value, _instrument(problem))
    arms = problem.arms
    treated, control = arms.pair
    shift = np.zeros(problem.given.shape[1])
    shift[1 : 1 + arms.design.shape[1]] = arms.settings[treated] - arms.settings[control]
    scenarios = _front_door if problem.front_door else _back_door
    return Sensitivity(effect.value, scenarios(effect, problem, shift))


def _back_door(effect: Effect, problem: Problem, shift: Float[np.ndarray, " _"]) -> tuple[Scenario, ...]:
    root, parts = problem.sampling.root, problem.roles
    line = _Line(root(problem.given), root(problem.outcome), shift)
    ends = f"{parts.treatment} given the adjustment set", f"{parts.outcome} given that and {parts.treatment}"
    links = (Link(line.slope(), 0, 1),)
    benchmarks = {name: line.benchmark(columns) for name, columns in _covariates(problem).items()}
    numbers = effect.value, problem.sampling.widened(effect.standard_error), 0.0, benchmarks
    return (Scenario("a hidden cause", ends, links, *numbers),)


def _instrument(problem: Problem) -> tuple[Scenario, ...]:
    """The effect is zero where the slope of Y on Z is, given the covariates (Cinelli, Hazlett, "... IV", 2022)."""
    parts, width = problem.roles, problem.covariates.shape[1]
    design = np.hstack([np.ones((problem.rows, 1)), problem.covariates, problem.instrument])
    line = _Line(problem.sampling.root(design), problem.sampling.root(problem.outcome), np.eye(width + 2)[-1])
    slope, name = line.slope(), parts.instruments[0]
    ends = f"{name} given the covariates", f"{parts.outcome} given these and {name}"
    error = slope.scale / np.sqrt(slope.degrees) if problem.sampling.codes is None else line.error(problem.sampling)
    return (Scenario("a hidden cause", ends, (Link(slope, 0, 1),), line.value, float(error), 0.0, {}),)


def _front_door(effect: Effect, problem: Problem, shift: Float[np.ndarray, " _"]) -> tuple[Scenario, ...]:
    root, parts = problem.sampling.root, problem.roles
    given, mediator, outcome = root(problem.given), root(problem.mediator), root(problem.outcome)
    both = np.hstack([given, mediator])
    slopes = pseudo_inverse(both.T @ both) @ (both.T @ outcome)
    index = mediator @ slopes[given.shape[1] :]
    moved = shift @ (pseudo_inverse(given.T @ given) @ (given.T @ mediator))
    first = _Line(given, index, shift)
    second = _Line(both, outcome, np.concatenate([np.zeros_like(shift), moved]))
    direct = _Line(both, outcome, np.concatenate([shift, np.zeros(mediator.shape[1])]))
    cause = parts.treatment
    through, response = f"the mediator given {cause}", f"{parts.outcome} given both"
    one, two = first.slope(), second.slope()
    variances = one.scale**2 / one.degrees, two.scale**2 / two.degrees
    ends_of = {name: (first.benchmark(at), second.benchmark(at)) for name, at in _covariates(problem).items()}
    value, error = effect.value, problem.sampling.widened(effect.standard_error)
    past = direct.value**2 / direct.slope().scale ** 2
    return (
        Scenario(
            "a direct path",
            (f"{parts.outcome} given the mediator",),
            (Link(direct.slope(), 0, None),),
            value,
            error,
            sum(variances),
            {f"all of {parts.treatment} past the mediator": (past / (1 + past),)},
        ),
        Scenario(
            "a hidden cause of the second stage",
            (through, response),
            (Link(two, 0, 1),),
            value,
            error,
            variances[0],
            {name: found[1] for name, found in ends_of.items()},
        ),
        Scenario(
            "a hidden cause that leaks into the mediator",
            (cause, through, response),
            (Link(one, 0, 1), Link(two, 1, 2)),
            value,
            error,
            0.0,
            {name: (a[0], max(a[1], b[0]), b[1]) for name, (a, b) in ends_of.items()},
            cross=float(np.sqrt(second.left() * first.spread())),
        ),
    )


@dataclass(frozen=True)
class _Line:
    """A least-squares fit, and the combination of its slopes that is wanted."""

    design: Float[np.ndarray, "rows _"]
    response: Float[np.ndarray, " rows"]
    weights: Float[np.ndarray, " _"]

    @property
    def value(self) -> float:
        return float(self.weights @ (self._inverse @ (self.design.T @ self.response)))

    def slope(self) -> Slope:
        degrees = max(len(self.response) - self.design.shape[1], 1)
        return Slope(float(np.sqrt(self.left() * self.spread())), degrees)

    def error(self, sampling: Sampling) -> float:
        """Standard error of `value` by clusters, of columns that the roots of the weights are in."""
        sums = sampling.sums(self._residual * (self.design @ (self._inverse @ self.weights)))
        return sampling.widened(float(np.sqrt(correction(sampling.count) * (sums @ sums))))

    def benchmark(self, columns: slice) -> tuple[float, float]:
        """Strengths of a hidden cause as strong as these columns are (Cinelli, Hazlett 2020, section 4.4, k = 1)."""
        kept = np.delete(np.arange(self.design.shape[1]), columns)
        without = _Line(self.design[:, kept], self.response, self.weights[kept])
        near, far = max(1 - without.spread() / self.spread(), 0.0), max(1 - self.left() / without.left(), 0.0)
        odds = near / (1 - near)
        shared = near**2 / ((1 - near) * (1 - near))
        factor = (1 + np.sqrt(min(shared, _STRONGEST))) ** 2 / (1 - min(shared, _STRONGEST))
        return min(odds, _STRONGEST), float(min(factor * far / (1 - far), _STRONGEST))

    def left(self) -> float:
        """Residual sum of squares."""
        return float(self._residual @ self._residual)

    def spread(self) -> float:
        """Variance of the combination for a residual variance of one: one over the squares that carry it."""
        return float(self.weights @ self._inverse @ self.weights)

    @cached_property
    def _residual(self) -> Float[np.ndarray, " rows"]:
        return self.response - self.design @ (self._inverse @ (self.design.T @ self.response))

    @cached_property
    def _inverse(self) -> Float[np.ndarray, "_ _"]:
        return pseudo_inverse(self.design.T @ self.design)


def _covariates(problem: Problem) -> dict[str, slice]:
    """Where the columns of each covariate are in `given`."""
    places: dict[str, slice] = {}
    start = 1 + problem.arms.design.shape[1]
    for name in problem.roles.covariates:
        width = matrix(problem.table, [name]).shape[1]
        places[name] = slice(start, start + width)
        start += width
    return places


def _smallest(over: Callable[[float], float]) -> float:
    """Where an increasing function of the strength crosses zero; 0 or 1 if it does not."""
    if over(0.0) >= 0:
        return 0.0
    if over(_STRONGEST) <= 0:
        return 1.0
    return bisect(over, 0.0, _STRONGEST)  # pyright: ignore[reportReturnType] - a root, as full_output is not asked for
