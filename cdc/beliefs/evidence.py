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


@dataclass(frozen=True)
class EvidenceFunction:
    """How logits become evidence, e = g((logits - centre) / temperature - offset); [ours], the source names no g.

    Attributes:
        kind: g, a name in `EVIDENCE`: ``"exp"``, ``"softplus"`` or ``"relu"``.
        centred: subtract each row's mean logit over the classes, so that evidence is relative to the class list.
        temperature: divides the logits; larger means less evidence.
        offset: subtracted after centring and scaling; larger means that only clear winners gather evidence.
    """

    kind: str = "exp"
    centred: bool = True
    temperature: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in EVIDENCE:
            raise InputError(f"evidence kind must be one of {', '.join(EVIDENCE)}; received {self.kind!r}.")
        if not self.temperature > 0:
            raise InputError(f"evidence temperature must be positive; received {self.temperature}.")

    def __call__(self, logits: Float[Tensor, "*_ classes"]) -> Float[Tensor, "*_ classes"]:
        """Evidence, non-negative and finite for any finite logits, computed in float32.

        Example:
            >>> import torch
            >>> EvidenceFunction("relu", centred=False)(torch.tensor([[-1.0, 2.0]]))
            tensor([[0., 2.]])
        """
        scores = logits.float()
        if self.centred:
            scores = scores - scores.mean(-1, keepdim=True)
        return EVIDENCE[self.kind](scores / self.temperature - self.offset)


@dataclass(frozen=True, eq=False)
class Opinion:
    """Subjective opinions of M templates on N images over K classes; each row's masses sum to one.

    Attributes:
        belief: [M, N, K], mass on each class.
        uncertainty: [M, N], mass on "I do not know".
    """

    belief: Float[Tensor, "templates rows classes"]
    uncertainty: Float[Tensor, "templates rows"]


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
