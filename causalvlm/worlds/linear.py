"""Linear Gaussian worlds: truth and large-sample limits in closed form."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from causalvlm.randomness import Rng, generator


@dataclass(frozen=True)
class LinearWorld:
    """X -> S -> Y with scalar mediator and latent confounders U, V, W, all noises independent and Gaussian.

        X = confounding_x U + first_x W + noise
        S = first X + leak U + second_s V + first_s W + mediator_noise * noise
        Y = second S + confounding_y U + second_y V + direct X + noise

    Attributes:
        first: effect of X on S.
        second: effect of S on Y.
        confounding_x: U on X.
        confounding_y: U on Y.
        direct: X on Y past the mediator (breaks full mediation).
        leak: U on S (breaks the first stage and the second).
        second_s: V on S (with `second_y`, breaks the second stage).
        second_y: V on Y.
        first_x: W on X (with `first_s`, breaks the first stage).
        first_s: W on S.
        mediator_noise: standard deviation of S given its causes.

    Example:
        >>> LinearWorld().truth()
        3.0
    """

    first: float = 2.0
    second: float = 1.5
    confounding_x: float = 1.0
    confounding_y: float = 2.0
    direct: float = 0.0
    leak: float = 0.0
    second_s: float = 0.0
    second_y: float = 0.0
    first_x: float = 0.0
    first_s: float = 0.0
    mediator_noise: float = 1.0

    def truth(self) -> float:
        """E[Y | do(X = x + 1)] - E[Y | do(X = x)]: the product along X -> S -> Y plus the direct effect.

        Example:
            >>> LinearWorld(direct=0.5).truth()
            3.5
        """
        return self.first * self.second + self.direct

    def covariance(self) -> Float[np.ndarray, "_ _"]:
        """Population covariance of U, V, W, X, S, Y, from (I - B)^-1 diag(noise) (I - B)^-T (Bollen 1989).

        Example:
            >>> round(float(LinearWorld().covariance()[3, 3]), 9)
            2.0
        """
        coefficients = np.zeros((6, 6))  # row: effect, column: cause; order U V W X S Y
        coefficients[3, :3] = self.confounding_x, 0.0, self.first_x
        coefficients[4, :4] = self.leak, self.second_s, self.first_s, self.first
        coefficients[5, :5] = self.confounding_y, self.second_y, 0.0, self.direct, self.second
        total = np.linalg.inv(np.eye(6) - coefficients)
        return total @ np.diag([1, 1, 1, 1, self.mediator_noise**2, 1]) @ total.T

    def front_door_limit(self) -> float:
        """What the linear front-door formula converges to: (slope of S on X) times (slope of Y on S given X).

        It equals `truth` exactly while full mediation and both stages hold; the difference is the bias.

        Example:
            >>> round(LinearWorld(direct=0.5).front_door_limit(), 12)  # the direct effect is missed
            3.0
        """
        covariance = self.covariance()
        first = covariance[3, 4] / covariance[3, 3]
        slopes = np.linalg.solve(covariance[3:5, 3:5], covariance[3:5, 5])
        return float(first * slopes[1])

    def naive_limit(self) -> float:
        """Slope of Y on X, confounding included.

        Example:
            >>> LinearWorld().naive_limit()
            4.0
        """
        covariance = self.covariance()
        return float(covariance[3, 5] / covariance[3, 3])

    def sample(self, rows: int, *, rng: Rng) -> pd.DataFrame:
        """Draw `rows` rows with float columns U, V, W, X, S, Y; drop the first three to hide them.

        Example:
            >>> LinearWorld().sample(2, rng=np.random.default_rng(0)).shape
            (2, 6)
        """
        rng = generator(rng)
        u, v, w, e_x, e_s, e_y = rng.normal(size=(6, rows))
        x = self.confounding_x * u + self.first_x * w + e_x
        s = self.first * x + self.leak * u + self.second_s * v + self.first_s * w + self.mediator_noise * e_s
        y = self.second * s + self.confounding_y * u + self.second_y * v + self.direct * x + e_y
        return pd.DataFrame({"U": u, "V": v, "W": w, "X": x, "S": s, "Y": y})
