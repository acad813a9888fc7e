"""What the data still say of the effect when an assumption is dropped: linear programs over response types.

A response type says what a unit does at every setting of its causes; with binary X, S and Y they are few, and every
quantity below is linear in their probabilities (Balke, Pearl 1997).
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

from causalvlm.estimation.problem import Problem
from causalvlm.refutation.case import Case
from causalvlm.refutation.verdict import Verdict

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
    program = _mediation_program if dropped == "full mediation" else _second_stage_program
    objective, equalities, values = program(joint)
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


def judge(case: Case) -> tuple[Verdict, ...]:
    """Whether the sign of a front-door effect stands with either assumption dropped.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.refutation.case import open_case
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> table = smoking().sample(5000, rng=rng)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> [verdict.outcome for verdict in judge(open_case(effect, table, rng=rng))]
        ['inconclusive', 'inconclusive']
    """
    if not case.problem.front_door:
        return ()
    joint = _binary_joint(case.problem)
    return tuple(_verdict(case.problem, joint, dropped) for dropped in get_args(Dropped))


def _verdict(problem: Problem, joint: Float[np.ndarray, "2 2 2"] | None, dropped: Dropped) -> Verdict:
    name = f"bounds without {dropped}"
    if joint is None:
        return Verdict(name, "inconclusive", None, "computed for binary treatment, mediator and outcome only.")
    treated, control = problem.arms.pair
    found = bounds(joint if treated > control else joint[::-1], dropped=dropped)
    reason = f"the effect lies in [{found.low:.3f}, {found.high:.3f}] if {dropped} is not assumed"
    if found.low > 0 or found.high < 0:
        return Verdict(name, "passed", found.low if found.low > 0 else found.high, f"{reason}: its sign stands.")
    return Verdict(name, "inconclusive", 0.0, f"{reason}: its sign rests on that assumption.")


def _binary_joint(problem: Problem) -> Float[np.ndarray, "2 2 2"] | None:
    """P(X, S, Y) of a binary problem with a 0/1 outcome and no covariate, else None."""
    table, parts = problem.table, problem.roles
    names = [parts.treatment, *parts.mediators, parts.outcome]
    if len(names) != 3 or parts.covariates or any(table[name].nunique() != 2 for name in names):
        return None
    if problem.categorical or set(problem.outcome) != {0.0, 1.0}:
        return None
    counts = table.groupby(names, observed=True).size().unstack(fill_value=0).stack().to_numpy(dtype=float)
    return counts.reshape(2, 2, 2) / counts.sum() if counts.size == 8 else None
