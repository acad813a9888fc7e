"""Sensitivity: the effect and its interval as functions of how strongly an assumption fails, in shares of variance.

A back door is one slope, of Y on X given the adjustment set. A front door is the product of two, of S on X and of Y on
S given X; so is an indirect effect. docs/sensitivity.md derives from it what each assumption is worth.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float

from causalvlm.errors import InputError
from causalvlm.estimation.effect import Effect, question_of
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sample import matrix, matrix_at
from causalvlm.estimation.sampling import Sampling, correction
from causalvlm.estimation.scenario import STRONGEST, Link, Scenario, Sensitivity, Slope
from causalvlm.estimation.score_test import pseudo_inverse
from causalvlm.identification.estimands import FrontDoor, Mediation


def sensitivity(effect: Effect, table: pd.DataFrame) -> Sensitivity:
    """How strong a violation of each assumption would have to be to explain an effect away, in the linear model.

    For a back door: a hidden cause of X and Y; for an instrument, one of Z and Y. For a front door: a direct path from
    X to Y; a hidden cause of S and Y; and one of X and S, which reaches Y too, as it meets there what confounds X and
    Y. For a part of an effect: a hidden cause of S and Y; and one of all three, or of X and Y past S. Strengths are
    shares of residual variance (partial R^2).

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
    unserved = several or problem.door == "general" or (problem.front_door and not parts.mediators)
    if problem.categorical or unserved:
        raise InputError(
            "sensitivity needs a numeric outcome, and an effect by the back door, through or past a mediator, or by an "
            f"instrument of one column; received {effect.estimand.text()}. Code one class as 0/1, or ask of another "
            "estimand."
        )
    if parts.instruments:
        return Sensitivity(effect.value, _instrument(problem))
    arms = problem.arms
    treated, control = arms.pair
    shift = np.zeros(problem.given.shape[1])
    shift[1 : 1 + arms.design.shape[1]] = arms.settings[treated] - arms.settings[control]
    match problem.estimand:
        case FrontDoor():
            scenarios = _front_door(effect, problem, shift)
        case Mediation(part="indirect" | "direct" | "controlled"):
            scenarios = _mediation(effect, problem, shift)
        case _:
            scenarios = _back_door(effect, problem, shift)
    return Sensitivity(effect.value, scenarios)


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
    index = mediator @ _Line(both, outcome, np.zeros(both.shape[1])).slopes[given.shape[1] :]
    moved = shift @ _Line(given, mediator, shift).slopes
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


def _mediation(effect: Effect, problem: Problem, shift: Float[np.ndarray, " _"]) -> tuple[Scenario, ...]:
    """A hidden cause of S and Y; for what goes through S one of all three, for what goes past it one of X and Y."""
    root, parts, seconds, places = problem.sampling.root, problem.roles, _seconds(problem), _covariates(problem)
    given, mediator, outcome = root(problem.given), root(problem.mediator), root(problem.outcome)
    cause, response = parts.treatment, parts.outcome
    width, error = problem.arms.design.shape[1], problem.sampling.widened(effect.standard_error)
    moved = {
        name: _strongest(line.benchmark(slice(at.start - width, at.stop - width)) for line in seconds)
        for name, at in places.items()
    }
    links = tuple(Link(line.slope(), 0, 1) for line in seconds)
    ends = f"the mediator given {cause}", f"{response} given both"
    still = max(error**2 - sum(link.variance((0.0, 0.0)) for link in links), 0.0)
    numbers = effect.value, error
    between = Scenario("a hidden cause of mediator and outcome", ends, links, *numbers, still, moved)
    if not problem.through_mediators:
        past = _Line(np.hstack([given, mediator]), outcome, np.concatenate([shift, np.zeros(mediator.shape[1])]))
        link = Link(past.slope(), 0, 1)
        still = max(error**2 - link.variance((0.0, 0.0)), 0.0)
        ends = f"{cause} given the mediator", f"{response} given both"
        marks = {name: past.benchmark(at) for name, at in places.items()}
        return between, Scenario("a hidden cause of treatment and outcome", ends, (link,), *numbers, still, marks)
    second = seconds[0]
    first = _Line(given, mediator @ second.slopes[-mediator.shape[1] :], shift)
    marks = {name: first.benchmark(at) for name, at in places.items()}
    marks = {name: (at[0], max(at[1], moved[name][0]), moved[name][1]) for name, at in marks.items()}
    both = Link(first.slope(), 0, 1), Link(second.slope(), 1, 2)
    ones, of_level = given[:, 0], second.design[:, 0]  # the intercepts, in the roots of the weights
    cross = float(np.sqrt(second.left() * (ones @ ones) / (of_level @ of_level) * first.spread()))
    ends = f"{cause} given the covariates" if places else cause, *ends
    return between, Scenario("a hidden cause of all three", ends, both, *numbers, 0.0, marks, cross)


def _seconds(problem: Problem) -> list["_Line"]:
    """The slopes of Y on S that a part of an effect rests on: those of a level, away from the mediators that it has."""
    root, width = problem.sampling.root, problem.arms.design.shape[1]
    given, mediator, outcome = root(problem.given), root(problem.mediator), root(problem.outcome)
    fixed = np.delete(given, np.s_[1 : 1 + width], axis=1)
    centre = root(np.ones(problem.rows)) @ fixed / problem.rows
    rows = [problem.codes == arm for arm in problem.arms.pair]
    own = [centre @ _Line(fixed[one], mediator[one], np.zeros(fixed.shape[1])).slopes for one in rows]
    if problem.held:
        held = matrix_at(problem.table, problem.roles.mediators, problem.held)
        moves = [held - at for at in own]
    else:
        moves = [own[1] - own[0]]  # the outcome under treatment, with the mediators of the control
    still = np.zeros(fixed.shape[1])
    return [
        _Line(np.hstack([fixed[one], mediator[one]]), outcome[one], np.concatenate([still, move]))
        for one, move in zip(rows, moves, strict=False)
    ]


def _strongest(strengths: Iterable[tuple[float, float]]) -> tuple[float, float]:
    near, far = zip(*strengths, strict=True)
    return max(near), max(far)


@dataclass(frozen=True)
class _Line:
    """A least-squares fit, and the combination of its slopes that is wanted."""

    design: Float[np.ndarray, "rows _"]
    response: Float[np.ndarray, "rows ..."]
    weights: Float[np.ndarray, " _"]

    @property
    def value(self) -> float:
        return float(self.weights @ self.slopes)

    @cached_property
    def slopes(self) -> Float[np.ndarray, "_ ..."]:
        return self._inverse @ (self.design.T @ self.response)

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
        near = max(1 - without.spread() / self.spread(), 0.0) if self.weights.any() else 0.0
        far = max(1 - self.left() / without.left(), 0.0)
        odds = near / (1 - near)
        shared = near**2 / ((1 - near) * (1 - near))
        factor = (1 + np.sqrt(min(shared, STRONGEST))) ** 2 / (1 - min(shared, STRONGEST))
        return min(odds, STRONGEST), float(min(factor * far / (1 - far), STRONGEST))

    def left(self) -> float:
        """Residual sum of squares."""
        return float(self._residual @ self._residual)

    def spread(self) -> float:
        """Variance of the combination for a residual variance of one: one over the squares that carry it."""
        return float(self.weights @ self._inverse @ self.weights)

    @cached_property
    def _residual(self) -> Float[np.ndarray, " rows"]:
        return self.response - self.design @ self.slopes

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
