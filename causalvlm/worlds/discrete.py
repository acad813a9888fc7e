"""Worlds of finite tables: the truth is an exact sum."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from causalvlm.errors import InputError
from causalvlm.randomness import Rng, generator

Table = Float[np.ndarray, "..."]
_AXES = {"p_c": 1, "p_u": 2, "p_x": 3, "p_s": 4, "p_y": 5}


@dataclass(frozen=True)
class Dials:
    """How strongly each assumption holds or fails in a world drawn by `draw_world`; all are scales of log odds.

    Attributes:
        confounding: latent `U` on treatment and outcome; zero removes the confounder.
        separation: treatment on mediator; large values leave no overlap.
        interaction: how much the mediator's effect on the outcome varies with `U`.
        leak: `U` on mediator, which breaks the first stage and the second.
        second_stage: a further latent cause of mediator and outcome, which breaks the second stage alone.
        direct: treatment on outcome past the mediator, which breaks full mediation.
        covariate: observed `C` on treatment, mediator and outcome; it must be adjusted for unless zero.

    Example:
        >>> Dials(leak=1.0).direct
        0.0
    """

    confounding: float = 1.0
    separation: float = 0.6
    interaction: float = 0.0
    leak: float = 0.0
    second_stage: float = 0.0
    direct: float = 0.0
    covariate: float = 0.0


@dataclass(frozen=True)
class DiscreteWorld:
    """Covariate `C`, latent `U`, treatment `X`, mediator `S`, outcome `Y` by conditional probability tables.

    Attributes:
        p_c: P(C), one axis.
        p_u: P(U | C), axes c, u.
        p_x: P(X | C, U), axes c, u, x.
        p_s: P(S | C, U, X), axes c, u, x, s. The front door is valid if it does not vary with u.
        p_y: P(Y | C, U, S, X), axes c, u, s, x, y. The front door is valid if it does not vary with x.

    Raises:
        InputError: if an axis count is wrong or a row is not a probability distribution.

    Example:
        >>> world = smoking()
        >>> float(round(world.truth(1)[1] - world.truth(0)[1], 4))
        0.045
    """

    p_c: Table
    p_u: Table
    p_x: Table
    p_s: Table
    p_y: Table

    def __post_init__(self) -> None:
        for name, axes in _AXES.items():
            table = getattr(self, name)
            if table.ndim != axes:
                raise InputError(
                    f"{name} must have {axes} axes; received {table.ndim}. See DiscreteWorld for their order."
                )
            if (table < 0).any() or not np.allclose(table.sum(-1), 1.0):
                raise InputError(
                    f"{name} must sum to one over its last axis; received {table.sum(-1).tolist()}. Normalise it."
                )

    def joint(self) -> Float[np.ndarray, "_ _ _ _ _"]:
        """P(C, U, X, S, Y), every variable included.

        Example:
            >>> float(round(smoking().joint().sum(), 12))
            1.0
        """
        return np.einsum("c,cu,cux,cuxs,cusxy->cuxsy", self.p_c, self.p_u, self.p_x, self.p_s, self.p_y)

    def observed(self) -> Float[np.ndarray, "_ _ _ _"]:
        """P(C, X, S, Y): what an infinite table shows when `U` is hidden.

        Example:
            >>> smoking().observed().shape
            (1, 2, 2, 2)
        """
        return self.joint().sum(1)

    def truth(self, level: int) -> Float[np.ndarray, " _"]:
        """P(Y | do(X = level)) by the truncated factorisation, summed exactly (Pearl, Causality, eq. 3.10).

        Example:
            >>> smoking().truth(0).round(4)
            array([0.4975, 0.5025])
        """
        return np.einsum(
            "c,cu,cus,cusy->y", self.p_c, self.p_u, self.p_s[:, :, level], self.p_y[:, :, :, level], optimize=True
        )

    def naive(self, level: int) -> Float[np.ndarray, " _"]:
        """P(Y | X = level): what conditioning gives instead, confounding included.

        Example:
            >>> smoking().naive(1).round(4)
            array([0.8525, 0.1475])
        """
        joint = self.joint()[:, :, level].sum((0, 1, 2))
        return joint / joint.sum()

    def sample(self, rows: int, *, rng: Rng) -> pd.DataFrame:
        """Draw `rows` rows with integer columns C, U, X, S, Y; drop U (and C, if it has one level) to hide it.

        Example:
            >>> smoking().sample(3, rng=np.random.default_rng(0)).columns.tolist()
            ['C', 'U', 'X', 'S', 'Y']
        """
        rng = generator(rng)
        joint = self.joint()
        flat = rng.choice(joint.size, size=rows, p=joint.ravel() / joint.sum())
        return pd.DataFrame(dict(zip("CUXSY", np.unravel_index(flat, joint.shape), strict=True)))


def draw_world(
    dials: Dials, *, rng: np.random.Generator, treatments: int = 2, mediators: int = 2, outcomes: int = 2
) -> DiscreteWorld:
    """Draw a world with random tables whose violations have the strengths that `dials` names.

    `U` has four levels, the pairs of a confounder of X and Y and a confounder of S and Y (`second_stage`).

    Example:
        >>> world = draw_world(Dials(), rng=np.random.default_rng(0), mediators=3)
        >>> world.p_s.shape
        (1, 4, 2, 3)
    """
    strata = 2 if dials.covariate else 1
    sign = np.array([-1.0, 1.0])
    confounder, shared = np.repeat(sign, 2)[:, None], np.tile(sign, 2)[:, None]
    covariate = dials.covariate * sign[:strata, None, None]
    lean_x, lean_s, lean_y = (np.linspace(-1.0, 1.0, size) for size in (treatments, mediators, outcomes))
    base_s = rng.normal(scale=0.3, size=(treatments, mediators)) + dials.separation * np.outer(lean_x, lean_s)
    base_y = rng.normal(scale=0.3, size=(mediators, outcomes)) + np.outer(lean_s, lean_y)

    log_x = rng.normal(scale=0.3, size=treatments) + (dials.confounding * confounder + covariate) * lean_x
    from_latent = dials.leak * confounder + dials.second_stage * shared + covariate
    log_s = base_s + from_latent[:, :, None, :] * lean_s
    push = dials.confounding * confounder + dials.second_stage * shared + covariate
    push_s = dials.interaction * confounder[:, :, None] * lean_s[:, None] + push[..., None]
    log_y = base_y[:, None] + (push_s[..., None] + dials.direct * lean_x[:, None]) * lean_y
    return DiscreteWorld(
        p_c=np.full(strata, 1.0 / strata),
        p_u=np.full((strata, 4), 0.25),
        p_x=_softmax(np.broadcast_to(log_x, (strata, 4, treatments))),
        p_s=_softmax(np.broadcast_to(log_s, (strata, 4, treatments, mediators))),
        p_y=_softmax(np.broadcast_to(log_y, (strata, 4, mediators, treatments, outcomes))),
    )


def smoking() -> DiscreteWorld:
    """Smoking, tar and cancer; the effect of smoking is +0.0450 (Pearl, Glymour, Jewell, Primer, table 3.1).

    Example:
        >>> float(round(smoking().truth(1)[1], 4))
        0.5475
    """
    counts = np.array([[[38, 342], [1, 19]], [[18, 2], [323, 57]]], dtype=float)  # smoker, tar, cancer
    return from_observed(counts / counts.sum())


def smoking_reversed() -> DiscreteWorld:
    """The variant with cancer rates of 10, 90, 5 and 85 per cent, effect -0.0450 (Pearl, Causality, table 3.1).

    Example:
        >>> world = smoking_reversed()
        >>> float(round(world.truth(1)[1] - world.truth(0)[1], 4))
        -0.045
    """
    tar = np.array([[380, 20], [20, 380]])
    cancer = np.array([[0.10, 0.05], [0.90, 0.85]])
    joint = np.stack([tar * (1 - cancer), tar * cancer], axis=-1)
    return from_observed(joint / joint.sum())


def from_observed(joint: Float[np.ndarray, "_ _ _"]) -> DiscreteWorld:
    """A world that shows P(X, S, Y) = `joint` and satisfies the front door: its `U` is the treatment's only cause.

    Example:
        >>> uniform = np.full((2, 2, 2), 1 / 8)
        >>> bool(np.allclose(from_observed(uniform).observed()[0], uniform))
        True
    """
    treatments = joint.shape[0]
    p_x = joint.sum((1, 2))
    p_s = joint.sum(2) / p_x[:, None]
    p_y = joint / joint.sum(2, keepdims=True)
    return DiscreteWorld(
        p_c=np.ones(1),
        p_u=p_x[None],
        p_x=np.eye(treatments)[None],
        p_s=np.broadcast_to(p_s, (1, treatments, *p_s.shape)),
        p_y=np.broadcast_to(p_y[None, :, :, None], (1, *p_y.shape[:2], treatments, p_y.shape[2])),
    )


def independent_outcomes() -> DiscreteWorld:
    """Outcome Y_s read at the mediator's value; risk difference 0.1275 (Brumback, fciR, simulation 8.1).

    A linear two-stage analysis converges to 0.1976 here, because the mediator's effect varies with the confounder.

    Example:
        >>> world = independent_outcomes()
        >>> float(round(world.truth(1)[1] - world.truth(0)[1], 4))
        0.1275
    """
    rates = np.array([0.05, 0.20])  # of Y_0 and Y_1, independent
    p_u = np.outer([1 - rates[0], rates[0]], [1 - rates[1], rates[1]]).ravel()
    p_x = np.array([[1 - p, p] for p in (0.1, 0.8, 0.1, 0.8)])  # U = (Y_0, Y_1); treatment given Y_1
    p_s = np.array([[0.95, 0.05], [0.10, 0.90]])
    outcome = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])  # U by S
    return DiscreteWorld(
        p_c=np.ones(1),
        p_u=p_u[None],
        p_x=p_x[None],
        p_s=np.broadcast_to(p_s, (1, 4, 2, 2)),
        p_y=np.broadcast_to(np.eye(2)[outcome][None, :, :, None], (1, 4, 2, 2, 2)),
    )


def _softmax(logits: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)
