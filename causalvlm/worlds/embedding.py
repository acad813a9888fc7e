"""Worlds with an embedding as mediator: planted factors in many dimensions, the truth in closed form."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import expit, ndtr

from causalvlm.errors import InputError
from causalvlm.randomness import Rng, generator


@dataclass(frozen=True)
class EmbeddingWorld:
    """Binary X, latent U, a vector S of `dim` coordinates, scalar Y.

        X ~ Bernoulli(expit(log_odds + confounding U)),  U ~ N(0, 1)
        S = separation X q + leak U r + (1 + spread X) N(0, I)
        Y = effect / separation * q.S + curvature (q.S)^2 + interaction U (q.S) + beta U + direct X + N(0, 1)

    with orthogonal unit vectors q (the planted factor) and r. The outcome also reads coordinates that carry noise.

    Attributes:
        dim: coordinates of the embedding, at least 2.
        effect: the effect of X through a linear S -> Y.
        separation: distance of the two treatment clouds in standard deviations (AUC = Phi(separation / sqrt 2)).
        confounding: U on X (log odds) and U on Y (beta).
        log_odds: base log odds of X = 1.
        leak: U on S (breaks the first stage and the second).
        direct: X on Y past the embedding (breaks full mediation).
        interaction: U times S on Y: harmless to identification, fatal to linear two-stage analysis.
        spread: excess standard deviation of S under X = 1 (the density ratio is then quadratic).
        curvature: quadratic S -> Y.

    Example:
        >>> EmbeddingWorld(dim=16).truth()
        2.4
    """

    dim: int = 64
    effect: float = 2.4
    separation: float = 1.2
    confounding: float = 1.0
    log_odds: float = 0.0
    leak: float = 0.0
    direct: float = 0.0
    interaction: float = 0.0
    spread: float = 0.0
    curvature: float = 0.0

    def __post_init__(self) -> None:
        if self.dim < 2 or self.separation <= 0:
            raise InputError(
                f"dim must be at least 2 and separation positive; received {self.dim} and {self.separation}. "
                "Use LinearWorld for one coordinate."
            )

    @cached_property
    def directions(self) -> Float[np.ndarray, "_ dim"]:
        """The orthonormal directions: planted factor, leak, and one that the outcome reads though X does not move it.

        Example:
            >>> EmbeddingWorld(dim=8).directions.shape
            (3, 8)
        """
        return np.linalg.qr(np.random.default_rng(0).normal(size=(self.dim, min(3, self.dim))))[0].T

    @property
    def columns(self) -> dict[str, list[str]]:
        """The columns that hold the mediator, as `estimate_effect` takes them.

        Example:
            >>> EmbeddingWorld(dim=2).columns
            {'S': ['S0', 'S1']}
        """
        return {"S": [f"S{index}" for index in range(self.dim)]}

    def truth(self) -> float:
        """E[Y | do(X = 1)] - E[Y | do(X = 0)].

        Given do(x), q.S ~ N(separation x, (1 + spread x)^2) and r is orthogonal to q, so that U leaves no trace in it.

        Example:
            >>> round(EmbeddingWorld(direct=0.5, curvature=0.1, spread=1.0).truth(), 6)
            3.344
        """
        second_moment = self.separation**2 + (1 + self.spread) ** 2 - 1
        return self.effect + self.curvature * second_moment + self.direct

    def auc(self) -> float:
        """Best area under the ROC curve for X from S when both clouds have the same spread (binormal model).

        Example:
            >>> round(EmbeddingWorld(separation=1.2).auc(), 3)
            0.802
        """
        return float(ndtr(self.separation / np.sqrt(2)))

    def sample(self, rows: int, *, rng: Rng) -> pd.DataFrame:
        """Draw `rows` rows with columns U, X, Y, S0 ... S(dim - 1); drop U to hide it.

        Example:
            >>> EmbeddingWorld(dim=2).sample(3, rng=np.random.default_rng(0)).columns.tolist()
            ['U', 'X', 'Y', 'S0', 'S1']
        """
        rng = generator(rng)
        factor, leak, other = self.directions[0], self.directions[1], self.directions[-1]
        u = rng.normal(size=rows)
        x = (rng.random(rows) < expit(self.log_odds + self.confounding * u)).astype(np.int64)
        noise = rng.normal(size=(rows, self.dim)) * (1 + self.spread * x)[:, None]
        s = noise + np.outer(self.separation * x, factor) + np.outer(self.leak * u, leak)
        planted, distractor = s @ factor, s @ other
        y = self.effect / self.separation * planted + self.curvature * planted**2 + self.interaction * u * planted
        y = y + 0.5 * distractor + self.confounding * u + self.direct * x + rng.normal(size=rows)
        return pd.DataFrame({"U": u, "X": x, "Y": y}).join(pd.DataFrame(s, columns=self.columns["S"]))


@dataclass(frozen=True)
class CovariateWorld:
    """Front door given an observed covariate: the generating process of the R package fdtmle, truth in closed form.

        C ~ U(0, 1),  X ~ Bernoulli(0.3 + 0.2 C),  U = 1 + X + C + N(0, 1)
        S = 1 + X + C + N(0, 1), or Bernoulli(expit(X + C - 1));  Y = U + S + C + N(0, 1)

    U stands for whatever associates X with Y past S; it is written given X, as only its law given X matters.

    Example:
        >>> CovariateWorld().truth()
        1.0
        >>> round(CovariateWorld(binary=True).truth(), 6)
        0.240229
    """

    binary: bool = False

    def truth(self) -> float:
        """Effect of X through S: one, or the mean over C of expit(C) - expit(C - 1).

        Example:
            >>> CovariateWorld(binary=False).truth()
            1.0
        """
        softplus = np.logaddexp(0.0, [1.0, -1.0, 0.0])
        return float(softplus @ [1.0, 1.0, -2.0]) if self.binary else 1.0

    def sample(self, rows: int, *, rng: Rng) -> pd.DataFrame:
        """Draw `rows` rows with columns C, X, S, Y.

        Example:
            >>> CovariateWorld().sample(3, rng=np.random.default_rng(0)).columns.tolist()
            ['C', 'X', 'S', 'Y']
        """
        rng = generator(rng)
        c = rng.random(rows)
        x = (rng.random(rows) < 0.3 + 0.2 * c).astype(np.int64)
        s = (rng.random(rows) < expit(x + c - 1)).astype(float) if self.binary else 1 + x + c + rng.normal(size=rows)
        y = (1 + x + c + rng.normal(size=rows)) + s + c + rng.normal(size=rows)
        return pd.DataFrame({"C": c, "X": x, "S": s, "Y": y})
