"""Natural direct and indirect effects, where the graph identifies them and nowhere else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from causalvlm.errors import NotIdentifiedError
from causalvlm.estimation.arms import read_arms
from causalvlm.estimation.cells import count_cells, require_cells
from causalvlm.estimation.problem import Problem, Roles, read_columns
from causalvlm.estimation.sample import Level, check_columns, check_fixable, is_discrete, numbers
from causalvlm.estimation.spread import Contrast, Draws, contrast
from causalvlm.graphs.graph import CausalGraph
from causalvlm.randomness import Rng, generator

_ROW_DRAWS = 300
_MOST_SUBSETS = 10

Outcome = Float[np.ndarray, " rows"]


@dataclass(frozen=True)
class NaturalEffects:
    """How much of an effect passes through the mediator.

    Attributes:
        direct: E[Y(treated, S(control))] - E[Y(control, S(control))].
        indirect: E[Y(treated, S(treated))] - E[Y(treated, S(control))].
        total: their sum.
        covariates: the nodes that were adjusted for.
        estimator: "plug-in" for discrete columns, else "linear" (one outcome model per treatment level).

    Example:
        >>> none = Contrast(0.0, 0.0, 0.0, 0.0)
        >>> NaturalEffects(none, none, none, (), "plug-in").covariates
        ()
    """

    direct: Contrast
    indirect: Contrast
    total: Contrast
    covariates: tuple[str, ...]
    estimator: str


def natural_effects(
    table: pd.DataFrame,
    graph: CausalGraph,
    *,
    treatment: str,
    outcome: str,
    mediators: Sequence[str],
    rng: Rng,
    treated: Level | None = None,
    control: Level | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> NaturalEffects:
    """Split the effect of a discrete treatment into direct and indirect (Pearl, UAI 2001, theorem 2 and eq. 17).

    Raises:
        NotIdentifiedError: if treatment, mediators and outcome are confounded beyond the observed covariates; under a
            front-door graph they always are, and the front-door effect is then the indirect one.
        InputError: a mistake in the table, the graph or the levels.
        OverlapError: if a needed cell of a discrete table is empty.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.integers(0, 2, 4000)
        >>> s = x + rng.normal(size=4000)
        >>> table = pd.DataFrame({"X": x, "S": s, "Y": 2 * s + 3 * x + rng.normal(size=4000)})
        >>> graph = CausalGraph("X -> S -> Y; X -> Y")
        >>> found = natural_effects(table, graph, treatment="X", outcome="Y", mediators=["S"], rng=rng)
        >>> round(found.direct.value), round(found.indirect.value)
        (3, 2)
    """
    mapping, rng = read_columns(columns or {}), generator(rng)
    covariates = _identify(graph, treatment, outcome, tuple(mediators))
    held = tuple(column for node in mediators for column in mapping.get(node, (node,)))
    parts = Roles(treatment, outcome, held, covariates, front_door=True)
    check_columns(table, parts.all())
    check_fixable(table, (*held, *covariates))
    problem = Problem(table, parts, read_arms(table, treatment, treated, control))
    discrete = all(is_discrete(table, name) for name in (*held, *covariates))
    means_of = (_cells if discrete else _lines)(problem, numbers(table, outcome))
    means = means_of(np.arange(problem.rows))
    draws = np.array([means_of(rng.integers(0, problem.rows, problem.rows)) for _ in range(_ROW_DRAWS)])
    weights = {"direct": (-1.0, 1.0, 0.0), "indirect": (0.0, -1.0, 1.0), "total": (-1.0, 0.0, 1.0)}
    spread = Draws(draws[np.isfinite(draws).all(1)])
    effects = {name: contrast(means, np.array(row), spread) for name, row in weights.items()}
    return NaturalEffects(**effects, covariates=covariates, estimator="plug-in" if discrete else "linear")


def _identify(graph: CausalGraph, treatment: str, outcome: str, mediators: tuple[str, ...]) -> tuple[str, ...]:
    """A smallest set of observed non-effects of X under which sequential ignorability holds in the graph."""
    graph.known([treatment, outcome, *mediators], "a node of the question")
    effects = graph.descendants(treatment)
    related = graph.ancestors([treatment, outcome, *mediators])
    allowed = [node for node in graph.observed if node in related and node not in effects]
    sizes = range(len(allowed) + 1) if len(allowed) <= _MOST_SUBSETS else [len(allowed)]
    for size in sizes:
        for chosen in combinations(allowed, size):
            if not any(path for _, path in _open_paths(graph, treatment, outcome, mediators, chosen)):
                return chosen
    failed = [(name, str(path)) for name, path in _open_paths(graph, treatment, outcome, mediators, allowed) if path]
    name, path = failed[0]
    raise NotIdentifiedError(
        "natural effects need treatment, mediator and outcome to be unconfounded given observed covariates; received a "
        f"graph in which {name} stay confounded along {path}. Observe a node on that path, or ask for the front-door "
        "effect, which is the indirect one.",
        condition=f"{name} unconfounded",
        open_path=path,
        remedies=(),
    )


def _open_paths(
    graph: CausalGraph, treatment: str, outcome: str, mediators: tuple[str, ...], given: Sequence[str]
) -> list[tuple[str, object]]:
    """Back-door paths that stay open: from X to S and Y given W, from S to Y given W and X."""
    cut, behind = graph.without_effects(treatment), graph.without_effects(*mediators)
    return [
        ("treatment and mediator", cut.open_path(treatment, mediators, given=given)),
        ("treatment and outcome", cut.open_path(treatment, outcome, given=given)),
        ("mediator and outcome", behind.open_path(mediators, outcome, given=[*given, treatment])),
    ]


Means = Callable[[Int[np.ndarray, " rows"]], Float[np.ndarray, " _"]]
"""E[Y(a, S(a'))] for (control, control), (treated, control) and (treated, treated), from the rows given."""


def _cells(problem: Problem, outcome: Outcome) -> Means:
    """sum_c p(c) sum_s p(s | a', c) E[Y | a, s, c] on the cells of a table; not a number where a cell is empty."""
    stratum, treatment, mediator = problem.strata, problem.arms.coded(), problem.mediator_levels
    cells = count_cells(stratum, treatment, mediator, outcome, nominal=False)
    require_cells(cells, stratum, treatment, mediator)
    shape = cells.counts.shape
    place = np.ravel_multi_index((stratum.codes, treatment.codes, mediator.codes), shape)
    needed = np.broadcast_to(cells.counts.sum(1, keepdims=True) > 0, shape)
    treated, control = problem.arms.pair

    def means(rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, " _"]:
        counts = np.bincount(place[rows], minlength=needed.size).astype(float).reshape(shape)
        if (needed & (counts == 0)).any():
            return np.full(3, np.nan)
        sums = np.bincount(place[rows], weights=outcome[rows], minlength=needed.size).reshape(shape)
        rate = sums / np.maximum(counts, 1.0)
        law = counts / counts.sum(-1, keepdims=True)
        weight = counts.sum((1, 2)) / counts.sum()
        pairs = ((control, control), (treated, control), (treated, treated))
        return np.array([weight @ (law[:, other] * rate[:, arm]).sum(-1) for arm, other in pairs])

    return means


def _lines(problem: Problem, outcome: Outcome) -> Means:
    """Linear models of Y on S and C, and of S on C, fitted to each treatment level; both are averaged over C."""
    codes, mediator, (treated, control) = problem.codes, problem.mediator, problem.arms.pair
    given = np.hstack([np.ones((problem.rows, 1)), problem.covariates])
    design = np.hstack([given, mediator])

    def means(rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, " _"]:
        centre = given[rows].mean(0)
        at: dict[int, Float[np.ndarray, " _"]] = {}
        slopes: dict[int, Float[np.ndarray, " _"]] = {}
        for arm in (treated, control):
            own = rows[codes[rows] == arm]
            at[arm] = centre @ np.linalg.lstsq(given[own], mediator[own], rcond=None)[0]
            slopes[arm] = np.linalg.lstsq(design[own], outcome[own], rcond=None)[0]
        pairs = ((control, control), (treated, control), (treated, treated))
        return np.array([np.concatenate([centre, at[other]]) @ slopes[arm] for arm, other in pairs])

    return means
