"""From logits to evidence to subjective opinions (Jøsang, Subjective Logic, 2016; Han et al., ICLR 2021).

For K classes and evidence e_k >= 0: alpha_k = e_k + 1, strength A = sum alpha = K + sum e, belief b_k = e_k / A,
uncertainty u = K / A, and u + sum b = 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from cdc.errors import InputError

EXPONENT_LIMIT = 50.0
"""Largest exponent of `exp` evidence: e^50 is certainty for any purpose, and float32 holds it."""

EVIDENCE: dict[str, Callable[[Tensor], Tensor]] = {
    "exp": lambda scores: scores.clamp(max=EXPONENT_LIMIT).exp(),
    "softplus": functional.softplus,
    "relu": functional.relu,
}
"""The functions g by name: never negative, finite for finite scores."""

CENTRES = ("level", "row", "none")
"""What logits are measured from."""


@dataclass(frozen=True)
class EvidenceFunction:
    """How logits become evidence, e = g((logits - centre) / temperature); [ours], the source names no g.

    With ``"exp"`` and one centre for all rows, the uncertainty K / (K + sum e) of a class list is a monotone function
    of the energy -logsumexp(logits / temperature), which tells strangers (Liu et al., NeurIPS 2020); a centre of each
    row's own discards the level of the logits, and with it that.

    Attributes:
        kind: g, a name in `EVIDENCE`: ``"exp"``, ``"softplus"`` or ``"relu"``.
        centre: ``"level"``, one number for all rows that whoever calls has found on the training shots; ``"row"``, each
            row's mean logit over the classes; or ``"none"``.
        temperature: divides the logits; larger means less evidence.
    """

    kind: str = "exp"
    centre: str = "level"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in EVIDENCE:
            raise InputError(f"evidence kind must be one of {', '.join(EVIDENCE)}; received {self.kind!r}.")
        if self.centre not in CENTRES:
            raise InputError(f"evidence centre must be one of {', '.join(CENTRES)}; received {self.centre!r}.")
        if not self.temperature > 0:
            raise InputError(f"evidence temperature must be positive; received {self.temperature}.")

    def __call__(
        self,
        logits: Float[Tensor, "*_ classes"],
        *,
        level: Float[Tensor, ""] | float = 0.0,
        scale: Float[Tensor, ""] | float = 1.0,
    ) -> Float[Tensor, "*_ classes"]:
        """Evidence, non-negative and finite for any finite logits, computed in float32.

        Args:
            logits: of any number of rows.
            level: subtracted where `centre` is ``"level"``.
            scale: multiplies the temperature.

        Example:
            >>> import torch
            >>> EvidenceFunction("relu")(torch.tensor([[-1.0, 4.0]]), level=1.0)
            tensor([[0., 3.]])
        """
        scores = logits.float()
        if self.centre == "row":
            scores = scores - scores.mean(-1, keepdim=True)
        if self.centre == "level":
            scores = scores - level
        return EVIDENCE[self.kind](scores / (self.temperature * scale))


@dataclass(frozen=True, eq=False, repr=False)
class Opinion:
    """Subjective opinions of M templates on N images over K classes; each row's masses sum to one.

    Attributes:
        belief: [M, N, K], mass on each class.
        uncertainty: [M, N], mass on "I do not know".
    """

    belief: Float[Tensor, "templates rows classes"]
    uncertainty: Float[Tensor, "templates rows"]

    def __repr__(self) -> str:
        templates, rows, classes = self.belief.shape
        return f"<Opinion of {templates} templates on {rows:,} images over {classes} classes>"


def to_opinion(evidence: Float[Tensor, "templates rows classes"]) -> Opinion:
    """Belief b_k = e_k / A and uncertainty u = K / A with A = K + sum e.

    Example:
        >>> import torch
        >>> opinion = to_opinion(torch.tensor([[[2.0, 0.0]]]))
        >>> opinion.belief, opinion.uncertainty
        (tensor([[[0.5000, 0.0000]]]), tensor([[0.5000]]))
    """
    strength = evidence.shape[-1] + evidence.sum(-1, keepdim=True)
    return Opinion(belief=evidence / strength, uncertainty=(evidence.shape[-1] / strength).squeeze(-1))
