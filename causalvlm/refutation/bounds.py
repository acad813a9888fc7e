"""What the data still say of the effect when an assumption is dropped: linear programs over response types.

A response type says what a unit does at every setting of its causes; with binary X, S and Y they are few, and every
quantity below is linear in their probabilities (Balke, Pearl 1997).
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

Dropped = Literal["full mediation", "second stage"]


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


def bounds(joint: Float[np.ndarray, "2 2 2"], *, dropped: Dropped) -> Bounds:
    """Bound P(Y=1 | do(X=1)) - P(Y=1 | do(X=0)) with one front-door assumption dropped, the others kept.

    "full mediation": X may act on Y past S. "second stage": S and Y may share a latent cause, X and S may not.

    Args:
        joint: P(X, S, Y), axes in this order; every P(x) positive.
        dropped: the assumption that is given up.

    Example:
        >>> from causalvlm.worlds.discrete import smoking
        >>> found = bounds(smoking().observed()[0], dropped="full mediation")
        >>> round(found.low, 3), round(found.high, 3)
        (-0.877, 0.122)
    """
    problem = _mediation_program(joint) if dropped == "full mediation" else _second_stage_program(joint)
    objective, equalities, values = problem
    ends = [
        linprog(sign * objective, A_eq=equalities, b_eq=values, bounds=(0, None), method="highs").fun
        for sign in (1.0, -1.0)
    ]
    return Bounds(float(ends[0]), float(-ends[1]))


Program = tuple[Float[np.ndarray, " _"], Float[np.ndarray, "_ _"], Float[np.ndarray, " _"]]


def _mediation_program(joint: Float[np.ndarray, "2 2 2"]) -> Program:
    """Variables q[x, t]: share of units with treatment x and outcome type t, a function of (s, x).

    S is independent of the types given X, so that P(Y=1 | s, x) p(x) = sum_t q[x, t] t(s, x), and the do-mean of a is
    sum_s p(s | a) sum_{x, t} q[x, t] t(s, a).
    """
    types = np.array(list(product((0, 1), repeat=4))).reshape(16, 2, 2)  # t, s, x
    p_x = joint.sum((1, 2))
    p_s = joint.sum(2) / p_x[:, None]
    rate = joint[..., 1] / np.maximum(joint.sum(2), np.finfo(float).tiny)
    do = [np.tile(np.einsum("s,ts->t", p_s[a], types[:, :, a]), 2) for a in (0, 1)]
    rows, values = [], []
    for x in (0, 1):
        rows.append(np.kron(np.eye(2)[x], np.ones(16)))
        values.append(p_x[x])
        for s in (0, 1):
            rows.append(np.kron(np.eye(2)[x], types[:, s, x]))
            values.append(rate[x, s] * p_x[x])
    return do[1] - do[0], np.array(rows), np.array(values)


def _second_stage_program(joint: Float[np.ndarray, "2 2 2"]) -> Program:
    """Variables q[x, u, v], mediator type u (function of x) and outcome type v (function of s), then r[u] = P(u).

    X is independent of u (first stage); u and v may depend on each other, as may x and v.
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
    return do[1] - do[0], np.array(rows), np.array(values)
