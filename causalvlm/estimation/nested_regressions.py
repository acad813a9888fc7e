"""Parts of an effect by linear models of the outcome and of the mediators, one of each treatment level.

E[Y(a, S(b))] is the line of Y in level a, at the mean covariates and at the mediators that the lines of S in level b
have there (Pearl, UAI 2001, theorem 2, with lines that may differ between levels; VanderWeele, Vansteelandt, Statistics
and Its Interface 2, 2009). The weight of each row in such a mean shows how far it is extrapolated (Chattopadhyay,
Zubizarreta, Biometrika 110, 2023). With mediators held at s, E[Y | do(a, s)] is the line of Y in level a, at the mean
covariates and s.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from causalvlm.errors import OverlapError
from causalvlm.estimation.arm_means import cross_fit_arms, separate
from causalvlm.estimation.cross_fitting import Candidates, decoded, folds
from causalvlm.estimation.fit import Fit, from_overlap
from causalvlm.estimation.nuisance import least_squares
from causalvlm.estimation.overlap import Overlap, kish, pair_auc
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sample import is_discrete, matrix_at
from causalvlm.estimation.sampling import EVEN, Sampling


@dataclass(frozen=True)
class Nested:
    """Means of outcomes whose mediators are those of a level of their own.

    Attributes:
        means: E[Y(a, S(b))] for each pair of levels.
        influence: influence function of each mean.
        sizes: effective rows (Kish) of the weights of the outcomes in each mean.
        shares: those sizes as shares of the rows of level a.

    Example:
        >>> Nested(np.zeros(2), np.zeros((9, 2)), np.array([3.0, 4.0]), np.array([0.7, 0.8])).sizes.min()
        np.float64(3.0)
    """

    means: Float[np.ndarray, " _"]
    influence: Float[np.ndarray, "rows _"]
    sizes: Float[np.ndarray, " _"]
    shares: Float[np.ndarray, " _"]


def nested_regressions(
    mediator: Float[np.ndarray, "rows dim"],
    treatment: Int[np.ndarray, " rows"],
    outcome: Float[np.ndarray, " rows"],
    *,
    covariates: Float[np.ndarray, "rows _"],
    nested: Sequence[tuple[int, int]],
    held: Float[np.ndarray, " dim"] | None = None,
    sampling: Sampling = EVEN,
) -> Nested:
    """Estimate E[Y(a, S(b))] for each (a, b); the influence functions carry the slopes of both models.

    Args:
        mediator: S.
        treatment: codes of the levels.
        outcome: Y.
        covariates: C, possibly with no column.
        nested: the levels that outcome and mediator see.
        held: where the mediators are held instead, whatever b is.
        sampling: clusters and weights of the rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.integers(0, 2, 20_000)
        >>> s = x[:, None] + rng.normal(size=(20_000, 1))
        >>> y = (2 + x) * s[:, 0] + 3 * x + rng.normal(size=20_000)
        >>> nested = [(0, 0), (1, 0), (1, 1)]
        >>> nested_regressions(s, x, y, covariates=np.zeros((20_000, 0)), nested=nested).means.round(1) + 0.0
        array([0., 3., 6.])
    """
    rows = len(outcome)
    given = np.hstack([np.ones((rows, 1)), covariates])
    design = np.hstack([given, mediator])
    centre = sampling.mean(given)
    root = sampling.root(np.ones(rows))
    means, columns, sizes, shares = [], [], [], []
    for a, b in nested:
        seen, of = treatment == a, treatment == b
        first = np.linalg.pinv(given[of] * root[of, None])  # from mediators in level b to their lines
        lines = first @ (mediator[of] * root[of, None])
        lines = lines if held is None else np.zeros_like(lines)
        at = np.concatenate([centre, centre @ lines if held is None else held])
        second = np.linalg.pinv(design[seen] * root[seen, None])
        slopes = second @ (outcome[seen] * root[seen])
        index = slopes[given.shape[1] :]
        means.append(at @ slopes)
        influence = (given - centre) @ (slopes[: given.shape[1]] + lines @ index)
        weights = at @ second
        influence[seen] += rows * weights * (outcome[seen] - design[seen] @ slopes) / root[seen]
        if held is None:
            influence[of] += rows * (centre @ first) * ((mediator[of] - given[of] @ lines) @ index) / root[of]
        columns.append(influence)
        sizes.append(kish(weights * root[seen]))
        shares.append(sizes[-1] / seen.sum())
    return Nested(np.array(means), np.column_stack(columns), np.array(sizes), np.array(shares))


def run(problem: Problem, *, rng: np.random.Generator) -> Fit:
    """Nested regressions on a problem with a numeric outcome and a treatment of few levels.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import Mediation
        >>> rng = np.random.default_rng(0)
        >>> table = pd.DataFrame({"X": [0, 1] * 200, "S": rng.normal(size=400), "Y": rng.normal(size=400)})
        >>> run(read_problem(table, Mediation("X", "Y", ("S",), ())), rng=rng).means.shape
        (2, 1)
    """
    codes, mediator, covariates, sampling = problem.codes, problem.mediator, problem.covariates, problem.sampling
    columns, held = (mediator, codes, problem.outcome), _held(problem)
    found = nested_regressions(*columns, covariates=covariates, nested=problem.nested, held=held, sampling=sampling)
    features, pair = np.hstack([mediator, covariates]), problem.arms.pair
    auc = pair_auc(decoded(features, codes, rng=rng, sampling=sampling), codes, pair, sampling)
    lines, assigned = Candidates([separate(least_squares(1))]), folds(codes, rng=rng, sampling=sampling)
    judged = cross_fit_arms(lines, features, codes, problem.outcome, assigned, sampling)
    notes = judged.notes("line of the outcome in each level", "Use 'plug-in', with columns cut into levels.")
    overlap = Overlap(auc, found.sizes, found.shares)
    return from_overlap(found.means, found.influence, overlap, pair, notes, sampling=sampling)


def _held(problem: Problem) -> Float[np.ndarray, " dim"] | None:
    """Where the mediators are held; each within the range that it has in both compared levels.

    Raises:
        OverlapError: if it lies outside.
    """
    if not problem.held:
        return None
    names, table = problem.roles.mediators, problem.table
    held = matrix_at(table, names, problem.held)
    for name, value in zip(names, problem.held, strict=True):
        if is_discrete(table, name):
            continue
        number, column = float(value), table[name].to_numpy(dtype=float)
        for place in problem.arms.pair:
            low, high = (float(end(column[problem.codes == place])) for end in (np.min, np.max))
            if not low <= number <= high:
                raise OverlapError(
                    f"a mediator must be held where it is found in each compared level; received {name}={number:.4g}, "
                    f"and {low:.4g} to {high:.4g} with {problem.roles.treatment}={problem.arms.labels[place]!r}. Hold "
                    "it in that range.",
                    effective_sample_size=0.0,
                )
    return held
