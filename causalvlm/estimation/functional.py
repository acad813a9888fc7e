"""The plug-in for a general formula: its value on the observed frequencies of discrete columns, bootstrapped.

Nodes that the formula leaves free, at each of whose levels it holds, are averaged over as they occur with the
treatment.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from causalvlm.errors import InputError, OverlapError
from causalvlm.estimation.bootstrap import CELLS_AT_ONCE, left_out, multinomial_batches, resampled_batches
from causalvlm.estimation.fit import Fit
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sample import Levels, is_discrete, levels
from causalvlm.estimation.spread import Draws, Spread, from_influence
from causalvlm.identification.estimands import Functional
from causalvlm.identification.evaluation import Table, evaluate
from causalvlm.identification.expressions import probabilities

MOST_CELLS = 100_000
"""Cells of the joint table: with more of them nearly all are empty, and the bootstrap takes minutes."""


@dataclass(frozen=True)
class _Counts:
    """The rows counted by all the columns of a formula, treatment and outcome first."""

    functional: Functional
    columns: tuple[Levels, ...]
    cell: Int[np.ndarray, " rows"]
    table: Float[np.ndarray, "..."]
    scores: Float[np.ndarray, "_ _"]

    @property
    def nodes(self) -> tuple[str, ...]:
        return (self.functional.treatment, self.functional.outcome, *self.functional.others)

    def distributions(self, joint: Table) -> Table:
        """P(outcome | do(level)) in each of the joints, axes joint, level, outcome."""
        found = evaluate(self.functional.averaged, joint, self.nodes)
        arms, values = self.table.shape[:2]
        return np.broadcast_to(found.reshape(len(joint), -1, values), (len(joint), arms, values))


def run_functional(problem: Problem, functional: Functional, *, rng: np.random.Generator) -> Fit:
    """Do-means of a formula, with bootstrap draws.

    Raises:
        InputError: if a column is not discrete, or there are too many cells.
        OverlapError: if a cell is empty that the formula needs.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.expressions import Probability
        >>> functional = Functional("X", "Y", Probability(("Y",), ("X",)), ())
        >>> problem = read_problem(pd.DataFrame({"X": [0, 1, 1] * 9, "Y": [0, 0, 1] * 9}), functional)
        >>> run_functional(problem, functional, rng=np.random.default_rng(0)).means
        array([[0. ],
               [0.5]])
    """
    counts = _count(problem, functional)
    distribution = _defined(counts)
    simple = _draws(counts, multinomial_batches(counts.table, rng=rng))
    if problem.sampling.even:
        return _fit(problem, counts, distribution, simple, simple, notes=left_out(len(simple.values)))
    tables = resampled_batches(counts.cell, counts.table.shape, problem.sampling, rng=rng)
    spread = _draws(counts, tables, problem.sampling.count)
    return _fit(problem, counts, distribution, spread, simple, notes=left_out(len(spread.values)))


def _draws(counts: _Counts, tables: Iterable[Table], clusters: int | None = None) -> Draws:
    drawn = np.concatenate([counts.distributions(table) for table in tables])
    drawn = drawn[np.isfinite(drawn).all((1, 2))]
    return Draws((drawn @ counts.scores).reshape(len(drawn), -1), clusters)


def functional_influence(problem: Problem, functional: Functional) -> Fit:
    """The same do-means with their influence functions: derivatives towards each row, exact by complex steps.

    The influence of a row is the derivative of the formula as the observed frequencies move towards it (Hampel, "The
    influence curve and its role in robust estimation", 1974); a step along the imaginary axis gives it without
    cancellation (Squire, Trapp, SIAM Review 40, 1998).

    Raises:
        InputError: as `run_functional`, or a categorical outcome.
        OverlapError: as `run_functional`.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.expressions import Probability
        >>> functional = Functional("X", "Y", Probability(("Y",), ("X",)), ())
        >>> problem = read_problem(pd.DataFrame({"X": [0, 1, 1] * 9, "Y": [0, 0, 1] * 9}), functional)
        >>> functional_influence(problem, functional).influence[1:3, 1]
        array([-0.75,  0.75])
    """
    _ = problem.outcome  # a mean is wanted
    counts = _count(problem, functional)
    distribution, joint, step = _defined(counts), counts.table / counts.table.sum(), 1e-30
    occupied = np.flatnonzero(counts.table)
    chunk = max(CELLS_AT_ONCE // counts.table.size, 1)
    slopes: list[Table] = []
    for start in range(0, len(occupied), chunk):
        towards = np.eye(counts.table.size)[occupied[start : start + chunk]].reshape(-1, *counts.table.shape) - joint
        slopes.append(np.imag(counts.distributions(joint + 1j * step * towards) @ counts.scores)[..., 0] / step)
    influence = np.concatenate(slopes)[np.searchsorted(occupied, counts.cell)]
    simple, spread = from_influence(influence), from_influence(influence, problem.sampling)
    return _fit(problem, counts, distribution, spread, simple, influence=influence)


def _fit(
    problem: Problem,
    counts: _Counts,
    distribution: Float[np.ndarray, "_ _"],
    spread: Spread,
    simple: Spread,
    *,
    notes: tuple[str, ...] = (),
    influence: Float[np.ndarray, "rows _"] | None = None,
) -> Fit:
    """The effective rows are those that would give the same standard errors if the treatment had been set [ours].

    `simple` is the uncertainty that the estimates had without clusters: these are no lack of overlap.
    """
    means = distribution @ counts.scores
    variances = distribution @ counts.scores**2 - means**2
    rows, share = float(problem.rows), 1.0
    for arm, own in zip(problem.arms.pair, problem.arms.rows(), strict=True):
        weights = np.zeros(means.shape)
        weights[arm, -1] = 1.0
        error = simple.standard_error(weights.ravel())
        if error > 0:
            rows = min(rows, float(variances[arm, -1]) / error**2)
            share = min(share, float(variances[arm, -1]) / error**2 / own)
    classes = counts.columns[1].labels if problem.categorical else None
    return Fit(means, spread, rows, share, None, classes, notes, influence)


def _count(problem: Problem, functional: Functional) -> _Counts:
    nodes, names = (functional.treatment, functional.outcome, *functional.others), problem.roles.all()
    if len(nodes) != len(names):
        raise InputError(
            f"a general formula must have one column for each of its nodes {', '.join(nodes)}; received "
            f"{len(names)} columns. Give each node a single discrete column."
        )
    for name in names:
        if not is_discrete(problem.table, name):
            raise InputError(
                f"a general formula must have discrete columns; received {name!r} with "
                f"{problem.table[name].nunique()} values in {problem.rows} rows. Cut it into a few levels."
            )
    outcome = problem.counted_outcome
    if not isinstance(outcome, Levels):
        raise TypeError(f"a discrete outcome must be counted as levels; received {outcome}")
    columns = (problem.arms.coded(), outcome, *(levels(problem.table, name) for name in names[2:]))
    shape = tuple(len(column.labels) for column in columns)
    if (size := int(np.prod(shape, dtype=float))) > MOST_CELLS:
        sizes = " x ".join(map(str, shape))
        raise InputError(
            f"a general formula must have at most {MOST_CELLS} cells; received {size}, from {sizes} levels of "
            f"{', '.join(names)}. Merge levels."
        )
    cell = np.ravel_multi_index([column.codes for column in columns], shape)
    table = np.bincount(cell, problem.sampling.weights, minlength=size).astype(float).reshape(shape)
    scores = np.eye(shape[1]) if problem.categorical else outcome.numbers()[:, None]
    return _Counts(functional, columns, cell, table, scores)


def _defined(counts: _Counts) -> Float[np.ndarray, "_ _"]:
    """The distributions of the outcome, each of them defined.

    Raises:
        OverlapError: naming a cell that is empty and that the formula needs.
    """
    found = counts.distributions(counts.table[None])[0]
    if np.isfinite(found).all():
        return found
    raise OverlapError(
        f"every cell that the formula needs must occur: {counts.functional.text()}; received {_lacking(counts)}. "
        "Merge rare levels or collect those rows.",
        effective_sample_size=0.0,
    )


def _lacking(counts: _Counts) -> str:
    """The first cell without rows that the formula needs; if there is none, the formula divides by zero."""
    terms = {term: evaluate(term, counts.table, counts.nodes) for term in probabilities(counts.functional.averaged)}
    for term, values in terms.items():
        others = {other: np.nan_to_num(found, nan=1.0) for other, found in terms.items()}
        for cell in np.argwhere(np.isnan(values)):
            alone = np.nan_to_num(values, nan=1.0)
            alone[tuple(cell)] = np.nan
            found = evaluate(counts.functional.averaged, counts.table, counts.nodes, instead={**others, term: alone})
            if not np.isfinite(found).all():
                return f"no row with {_where(counts, term.given, cell)}"
    undefined = ~np.isfinite(counts.distributions(counts.table[None])[0]).all(1)
    return f"a denominator of zero at {_where(counts, [counts.functional.treatment], undefined.argmax(keepdims=True))}"


def _where(counts: _Counts, nodes: Sequence[str], cell: Int[np.ndarray, " _"]) -> str:
    named = zip(counts.nodes, counts.columns, cell, strict=False)
    return " and ".join(f"{column.name}={column.labels[at]!r}" for node, column, at in named if node in nodes)
