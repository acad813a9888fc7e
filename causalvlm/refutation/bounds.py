"""What the data still say of an effect when the second stage may be confounded: a linear program over response types.

A response type says what a unit does at every setting of its causes; with binary X, S and Y they are few, and every
quantity below is linear in their probabilities (Balke, Pearl 1997).
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import linprog

from causalvlm.errors import InputError
from causalvlm.estimation.effect import Effect, question_of
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.sample import levels


@dataclass(frozen=True)
class Bounds:
    """The effects that are compatible with P(X, S, Y).

    Attributes:
        low: the least.
        high: the greatest.

    Example:
        >>> Bounds(-0.1, 0.2).high
        0.2
    """

    low: float
    high: float


def bounds(effect: Effect, table: pd.DataFrame) -> Bounds:
    """Bound a front-door effect of binary columns whose mediator and outcome may share a hidden cause.

    Full mediation and an unconfounded first stage are kept. With full mediation dropped instead, the bounds would be
    those that need no mediator (Manski 1990), one wide whatever the data are: they are not worth a function.

    Args:
        effect: what `estimate_effect` returned.
        table: the same table; not changed.

    Raises:
        InputError: if treatment, mediator and outcome are not binary, or there is a covariate.

    Example:
        >>> import numpy as np
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> table = smoking().sample(5000, rng=rng)
        >>> found = bounds(estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng), table)
        >>> round(found.low, 1), round(found.high, 1)
        (-0.9, 0.1)
    """
    problem = question_of(effect, table)
    treated, control = problem.arms.pair
    joint = _binary_joint(problem)
    return second_stage_bounds(joint if treated > control else joint[::-1])


def second_stage_bounds(joint: Float[np.ndarray, "2 2 2"]) -> Bounds:
    """Bound P(Y=1 | do(X=1)) - P(Y=1 | do(X=0)) where S and Y may share a latent cause; X and S may not.

    Variables of the program are q[x, u, v], shares of units with treatment x, mediator type u (a function of x) and
    outcome type v (a function of s), then r[u] = P(u). X is independent of u (first stage); u and v may depend on each
    other, as may x and v.

    Args:
        joint: P(X, S, Y), axes in this order; every P(x) positive.

    Example:
        >>> from causalvlm.worlds.discrete import smoking
        >>> found = second_stage_bounds(smoking().observed()[0])
        >>> round(found.low, 2), round(found.high, 2)
        (-0.88, 0.12)
    """
    types = np.array(list(product((0, 1), repeat=2)))  # type, argument
    p_x = joint.sum((1, 2))
    shape = (2, 4, 4)
    do = []
    for a in (0, 1):
        answer = np.array([[types[v, types[u, a]] for v in range(4)] for u in range(4)], dtype=float)
        do.append(np.concatenate([np.broadcast_to(answer, shape).ravel(), np.zeros(4)]))
    rows, values = [], []
    for x, s, y in product((0, 1), repeat=3):
        mask = np.zeros(shape)
        mask[x] = np.outer(types[:, x] == s, types[:, s] == y)
        rows.append(np.concatenate([mask.ravel(), np.zeros(4)]))
        values.append(joint[x, s, y])
    for x, u in product((0, 1), range(4)):
        mask = np.zeros(shape)
        mask[x, u] = 1.0
        rows.append(np.concatenate([mask.ravel(), -p_x[x] * np.eye(4)[u]]))
        values.append(0.0)
    objective, equalities = do[1] - do[0], np.array(rows)
    low, high = (
        linprog(sign * objective, A_eq=equalities, b_eq=values, bounds=(0, None), method="highs").fun
        for sign in (1.0, -1.0)
    )
    return Bounds(float(low), float(-high))


def _binary_joint(problem: Problem) -> Float[np.ndarray, "2 2 2"]:
    """P(X, S, Y) of a binary problem with a 0/1 outcome and no covariate."""
    table, parts = problem.table, problem.roles
    names = [parts.treatment, *parts.mediators, parts.outcome]
    binary = len(names) == 3 and problem.front_door and all(table[name].nunique() == 2 for name in names)
    if not binary or parts.covariates or problem.categorical or set(problem.outcome) != {0.0, 1.0}:
        raise InputError(
            "bounds need a front door of a binary treatment, a binary mediator and an outcome of 0 and 1, without "
            f"covariates; received {', '.join(problem.roles.all())}. Ask `sensitivity`, which takes any columns."
        )
    codes = [levels(table, name).codes for name in names]
    place = np.ravel_multi_index(codes, (2, 2, 2))
    counts = np.bincount(place, problem.sampling.weights, minlength=8).astype(float)
    return counts.reshape(2, 2, 2) / counts.sum()
