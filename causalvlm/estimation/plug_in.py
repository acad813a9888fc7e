"""Plug-in estimators for discrete variables: the identifying sum itself, on the observed frequencies."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from causalvlm.estimation.bootstrap import left_out, multinomial_batches, resampled_batches
from causalvlm.estimation.cells import (
    Cells,
    back_door_overlap,
    cell_means,
    count_cells,
    front_door_overlap,
    held_overlap,
    needed,
    nested_overlap,
    require_cells,
)
from causalvlm.estimation.fit import Fit, from_overlap
from causalvlm.estimation.functional import functional_influence, run_functional
from causalvlm.estimation.overlap import Overlap
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sample import Levels
from causalvlm.estimation.spread import Draws
from causalvlm.identification.estimands import Functional

_TINY = float(np.finfo(float).tiny)

Probabilities = Float[np.ndarray, "*_ _ _ _"]
Means = Callable[[Probabilities, Float[np.ndarray, "*_ _ _ _ _"]], Float[np.ndarray, "*_ _ _"]]
"""From P(c, x, s), or counts, and E[Y | c, x, s] to a mean for each setting, a column for each class of the outcome."""


def front_door_means(joint: Probabilities, outcome: Float[np.ndarray, "*_ _ _ _ _"]) -> Float[np.ndarray, "*_ _ _"]:
    """E[Y | do(x)] = sum_c p(c) sum_s p(s | x, c) sum_x' p(x' | c) E[Y | s, x', c] (Pearl 1995, theorem 2, given C).

    Args:
        joint: P(c, x, s), or counts; further axes in front are copies of the problem.
        outcome: E[Y | c, x, s] with a last axis for outcome columns; finite wherever a weight falls on it.

    Returns:
        One row per treatment level, one column per outcome column.

    Example:
        >>> joint = np.full((1, 2, 2), 0.25)
        >>> front_door_means(joint, np.arange(4.0).reshape(1, 2, 2, 1))[..., 0]
        array([1.5, 1.5])
    """
    stratum = joint.sum((-2, -1))
    given_stratum = joint.sum(-1) / np.maximum(stratum, _TINY)[..., None]
    arms = joint.sum(-1, keepdims=True)
    mediator = joint / np.maximum(arms, _TINY)
    over_treatment = np.einsum("...cx,...cxsk->...csk", given_stratum, outcome)
    weights = stratum / stratum.sum(-1, keepdims=True)
    return np.einsum("...c,...cas,...csk->...ak", weights, mediator, over_treatment)


def back_door_means(joint: Probabilities, outcome: Float[np.ndarray, "*_ _ _ _ _"]) -> Float[np.ndarray, "*_ _ _"]:
    """E[Y | do(x)] = sum_c p(c) E[Y | x, c] (Pearl 1993); arguments as in `front_door_means` with one mediator level.

    Example:
        >>> back_door_means(np.full((2, 2, 1), 0.25), np.arange(4.0).reshape(2, 2, 1, 1))[..., 0]
        array([1., 2.])
    """
    stratum = joint.sum((-2, -1))
    weights = stratum / stratum.sum(-1, keepdims=True)
    return np.einsum("...c,...cask->...ak", weights, outcome)


def nested_means(
    joint: Probabilities, outcome: Float[np.ndarray, "*_ _ _ _ _"], *, nested: Sequence[tuple[int, int]]
) -> Float[np.ndarray, "*_ _ _"]:
    """E[Y(a, S(b))] = sum_c p(c) sum_s p(s | b, c) E[Y | a, s, c] for each (a, b) (Pearl, UAI 2001, theorem 2).

    Args:
        joint: P(c, x, s), or counts; further axes in front are copies of the problem.
        outcome: E[Y | c, x, s], one column per outcome class at the end.
        nested: the levels that outcome and mediator see.

    Example:
        >>> nested_means(np.full((1, 2, 2), 0.25), np.arange(4.0).reshape(1, 2, 2, 1), nested=[(0, 0), (1, 0)])[:, 0]
        array([0.5, 2.5])
    """
    weights = joint.sum((-2, -1)) / joint.sum((-3, -2, -1))[..., None]
    law = joint / np.maximum(joint.sum(-1, keepdims=True), _TINY)
    seen, of = (list(levels) for levels in zip(*nested, strict=True))
    return np.einsum("...c,...cas,...cask->...ak", weights, law[..., of, :], outcome[..., seen, :, :])


def held_means(
    joint: Probabilities, outcome: Float[np.ndarray, "*_ _ _ _ _"], *, at: int
) -> Float[np.ndarray, "*_ _ _"]:
    """E[Y | do(x, s)] = sum_c p(c) E[Y | x, s, c] for the mediator level `at`, for each x.

    Example:
        >>> held_means(np.full((1, 2, 2), 0.25), np.arange(4.0).reshape(1, 2, 2, 1), at=1)[:, 0]
        array([1., 3.])
    """
    weights = joint.sum((-2, -1)) / joint.sum((-3, -2, -1))[..., None]
    return np.einsum("...c,...cak->...ak", weights, outcome[..., at, :])


def bootstrap_means(
    cells: Cells,
    means: Means,
    *,
    rng: np.random.Generator,
    batches: Iterable[Float[np.ndarray, "_ _ _ _ _"]] | None = None,
    at: int | None = None,
) -> Float[np.ndarray, "_ _ _"]:
    """Do-means on bootstrap tables, axes draw, level, outcome column; tables with an empty cell are left out.

    Args:
        cells: the counted table.
        means: what is wanted of a table.
        rng: draws the tables.
        batches: tables that have been drawn otherwise, of clusters for instance.
        at: the level at which the mediator is held, if it is.

    Example:
        >>> finest = np.full((1, 2, 1, 1), 50.0)
        >>> cells = Cells(finest[..., 0], 0 * finest, finest, np.zeros((1, 1)))
        >>> bootstrap_means(cells, front_door_means, rng=np.random.default_rng(0)).shape
        (2000, 2, 1)
    """
    if cells.finest is None or cells.scores is None:
        raise ValueError("the multinomial bootstrap needs a discrete outcome")
    empty = ~needed(cells.counts, at)
    drawn: list[Float[np.ndarray, "_ _ _"]] = []
    for tables in multinomial_batches(cells.finest, rng=rng) if batches is None else batches:
        counts = tables.sum(-1)
        full = ((counts > 0) | empty).all((1, 2, 3))
        counts = counts[full]
        drawn.append(means(counts, (tables[full] @ cells.scores) / np.maximum(counts, _TINY)[..., None]))
    return np.concatenate(drawn)


def front_door_influence(
    cells: Cells, place: tuple[Int[np.ndarray, " rows"], ...], outcome: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, "rows _"]:
    """Efficient influence function of each front-door mean (Fulcher et al. 2020, theorem 1), one column per level.

    Args:
        cells: the counted table.
        place: codes of c, x, s for each row.
        outcome: numeric outcome.

    Example:
        >>> x = Levels("X", np.array([0, 0, 1, 1]), (0, 1))
        >>> s = Levels("S", np.array([0, 1, 0, 1]), (0, 1))
        >>> cells = count_cells(Levels("", np.zeros(4, dtype=int), ("all",)), x, s, np.arange(4.0), nominal=False)
        >>> front_door_influence(cells, (np.zeros(4, dtype=int), x.codes, s.codes), np.arange(4.0)).mean(0)
        array([0., 0.])
    """
    c, x, s = place
    counts, mu = cells.counts, cell_means(cells)[..., 0]
    treatment = counts.sum(-1) / counts.sum((-2, -1))[:, None]
    mediator = counts / np.maximum(counts.sum(-1, keepdims=True), _TINY)
    xi = np.einsum("cx,cxs->cs", treatment, mu)
    eta = np.einsum("cas,cxs->cax", mediator, mu)
    theta = np.einsum("cas,cs->ca", mediator, xi)
    psi = counts.sum((1, 2)) @ theta / counts.sum()
    residual = (outcome - mu[c, x, s]) / mediator[c, x, s]
    own = x[:, None] == np.arange(counts.shape[1])
    return (
        mediator[c, :, s] * residual[:, None] + own / treatment[c] * (xi[c, s][:, None] - theta[c]) + eta[c, :, x] - psi
    )


def back_door_influence(
    cells: Cells, place: tuple[Int[np.ndarray, " rows"], ...], outcome: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, "rows _"]:
    """Efficient influence function of each back-door mean (Hahn 1998), one column per level; see the front-door one.

    Example:
        >>> x = Levels("X", np.array([0, 0, 1, 1]), (0, 1))
        >>> one = Levels("", np.zeros(4, dtype=int), ("all",))
        >>> cells = count_cells(one, x, one, np.arange(4.0), nominal=False)
        >>> back_door_influence(cells, (one.codes, x.codes, one.codes), np.arange(4.0)).mean(0)
        array([0., 0.])
    """
    c, x, _ = place
    counts, mu = cells.counts[..., 0], cell_means(cells)[..., 0, 0]
    treatment = counts / counts.sum(1, keepdims=True)
    psi = counts.sum(1) @ mu / counts.sum()
    own = x[:, None] == np.arange(counts.shape[1])
    return own / treatment[c] * (outcome[:, None] - mu[c]) + mu[c] - psi


def nested_influence(
    cells: Cells,
    place: tuple[Int[np.ndarray, " rows"], ...],
    outcome: Float[np.ndarray, " rows"],
    *,
    nested: Sequence[tuple[int, int]],
) -> Float[np.ndarray, "rows _"]:
    """Efficient influence function of each E[Y(a, S(b))] (Tchetgen Tchetgen, Shpitser, Annals of Statistics 40, 2012).

    Example:
        >>> x = Levels("X", np.array([0, 0, 1, 1]), (0, 1))
        >>> s = Levels("S", np.array([0, 1, 0, 1]), (0, 1))
        >>> one = Levels("", np.zeros(4, dtype=int), ("all",))
        >>> cells = count_cells(one, x, s, np.arange(4.0), nominal=False)
        >>> nested_influence(cells, (one.codes, x.codes, s.codes), np.arange(4.0), nested=[(0, 1), (1, 1)]).mean(0)
        array([0., 0.])
    """
    c, x, s = place
    counts, mu = cells.counts, cell_means(cells)[..., 0]
    treatment = counts.sum(-1) / counts.sum((-2, -1))[:, None]
    law = counts / np.maximum(counts.sum(-1, keepdims=True), _TINY)
    columns: list[Float[np.ndarray, " rows"]] = []
    for a, b in nested:
        eta = (law[:, b] * mu[:, a]).sum(-1)
        weight = (x == a) * law[c, b, s] / np.where(x == a, law[c, a, s] * treatment[c, a], 1.0)
        moved = (x == b) / treatment[c, b] * (mu[c, a, s] - eta[c])
        psi = counts.sum((1, 2)) @ eta / counts.sum()
        columns.append(weight * (outcome - mu[c, a, s]) + moved + eta[c] - psi)
    return np.column_stack(columns)


def held_influence(
    cells: Cells, place: tuple[Int[np.ndarray, " rows"], ...], outcome: Float[np.ndarray, " rows"], *, at: int
) -> Float[np.ndarray, "rows _"]:
    """Efficient influence function of each E[Y | do(x, s)]: that of the back door, for both together.

    Example:
        >>> x = Levels("X", np.array([0, 0, 1, 1]), (0, 1))
        >>> s = Levels("S", np.array([0, 1, 0, 1]), (0, 1))
        >>> one = Levels("", np.zeros(4, dtype=int), ("all",))
        >>> cells = count_cells(one, x, s, np.arange(4.0), nominal=False)
        >>> held_influence(cells, (one.codes, x.codes, s.codes), np.arange(4.0), at=1).mean(0)
        array([0., 0.])
    """
    c, x, s = place
    counts, mu = cells.counts, cell_means(cells)[..., at, 0]
    share = counts[..., at] / counts.sum((1, 2))[:, None]
    psi = counts.sum((1, 2)) @ mu / counts.sum()
    own = (x[:, None] == np.arange(counts.shape[1])) & (s == at)[:, None]
    return own / share[c] * (outcome[:, None] - mu[c]) + mu[c] - psi


def run(problem: Problem, *, rng: np.random.Generator) -> Fit:
    """The identifying sum on a problem whose treatment has few levels; bootstrapped where the outcome can be counted.

    Raises:
        OverlapError: if a cell that the sum needs is empty.

    Example:
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> problem = read_problem(smoking().sample(2000, rng=rng), FrontDoor("X", "Y", ("S",)))
        >>> run(problem, rng=rng).means.shape
        (2, 1)
    """
    if isinstance(problem.estimand, Functional):
        return run_functional(problem, problem.estimand, rng=rng)
    cells = _count(problem)
    if cells.finest is None:
        return _analytic(problem, cells)
    overlap = _overlap(problem, cells)
    tables = _resampled(problem, cells, rng=rng)
    draws = bootstrap_means(cells, _formula(problem), rng=rng, batches=tables, at=problem.held_code)
    rows, share = overlap.worst(problem.arms.pair)
    outcome = problem.counted_outcome
    classes = outcome.labels if isinstance(outcome, Levels) and problem.categorical else None
    spread = Draws(draws.reshape(len(draws), -1), problem.sampling.count)
    return Fit(_means(problem, cells), spread, rows, share, overlap.auc, classes, left_out(len(draws)))


def run_analytic(problem: Problem) -> Fit:
    """The same sum for a numeric outcome, its uncertainty from influence functions whatever the outcome's values are.

    Example:
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.discrete import smoking
        >>> table = smoking().sample(2000, rng=np.random.default_rng(0))
        >>> run_analytic(read_problem(table, FrontDoor("X", "Y", ("S",)))).influence.shape
        (2000, 2)
    """
    if isinstance(problem.estimand, Functional):
        return functional_influence(problem, problem.estimand)
    return _analytic(problem, _count(problem))


def _analytic(problem: Problem, cells: Cells) -> Fit:
    places = (problem.strata.codes, problem.codes, problem.mediator_levels.codes)
    match problem.door:
        case "front-door":
            influence = front_door_influence(cells, places, problem.outcome)
        case "mediation" if (at := problem.held_code) is not None:
            influence = held_influence(cells, places, problem.outcome, at=at)
        case "mediation":
            influence = nested_influence(cells, places, problem.outcome, nested=problem.nested)
        case _:
            influence = back_door_influence(cells, places, problem.outcome)
    numbers = _means(problem, cells)[:, 0], influence, _overlap(problem, cells), problem.arms.pair
    return from_overlap(*numbers, sampling=problem.sampling)


def _count(problem: Problem) -> Cells:
    columns = problem.strata, problem.arms.coded(), problem.mediator_levels
    cells = count_cells(*columns, problem.counted_outcome, nominal=problem.categorical, sampling=problem.sampling)
    require_cells(cells, *columns, at=problem.held_code)
    return cells


def _resampled(
    problem: Problem, cells: Cells, *, rng: np.random.Generator
) -> Iterable[Float[np.ndarray, "_ _ _ _ _"]] | None:
    """Tables of resampled clusters or weighted rows, or None, if all rows are drawn alike and by themselves."""
    outcome = problem.counted_outcome
    if problem.sampling.even or cells.finest is None or not isinstance(outcome, Levels):
        return None
    codes = (problem.strata.codes, problem.codes, problem.mediator_levels.codes, outcome.codes)
    cell = np.ravel_multi_index(codes, cells.finest.shape)
    return resampled_batches(cell, cells.finest.shape, problem.sampling, rng=rng)


def _formula(problem: Problem) -> Means:
    match problem.door:
        case "front-door":
            return front_door_means
        case "mediation" if (at := problem.held_code) is not None:
            return partial(held_means, at=at)
        case "mediation":
            return partial(nested_means, nested=problem.nested)
        case _:
            return back_door_means


def _means(problem: Problem, cells: Cells) -> Float[np.ndarray, "_ _"]:
    return _formula(problem)(cells.counts, cell_means(cells))


def _overlap(problem: Problem, cells: Cells) -> Overlap:
    match problem.door:
        case "front-door":
            return front_door_overlap(cells, problem.arms.pair)
        case "mediation" if (at := problem.held_code) is not None:
            return held_overlap(cells, at, problem.arms.pair)
        case "mediation":
            return nested_overlap(cells, problem.nested, problem.arms.pair)
        case _:
            return back_door_overlap(cells, problem.arms.pair)
