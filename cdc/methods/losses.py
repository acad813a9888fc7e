"""The three losses of CDC: trusted cross-entropy, diversity of templates, consistency with the hand-crafted one.

The paper names them; the formulas are those of Trusted Multi-View Classification (Han et al., ICLR 2021) for the
first and [ours] for the other two.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

ASYMPTOTIC_FROM = 1e4
"""Where Stirling's series takes over: below, its first terms say too little; above, rounding eats the exact form."""

SMALLEST_RESIDUAL = 1e-2
"""Residuals shorter than this count as having no direction: a template that equals the hand-crafted one."""


def trusted_cross_entropy(
    evidence: Float[Tensor, "*_ rows classes"], labels: Int[Tensor, " rows"], *, kl_weight: float
) -> Float[Tensor, ""]:
    """Expected cross-entropy under the Dirichlet plus a penalty on evidence for wrong classes, mean over rows.

    sum_k y_k (psi(A) - psi(alpha_k)) + kl_weight * KL(Dir(alpha~) || Dir(1)), alpha~ = y + (1 - y) alpha
    (Han et al., ICLR 2021, eq. 7 to 9; Sensoy et al., NeurIPS 2018).

    Args:
        evidence: non-negative, any number of leading axes (they are averaged too).
        labels: class of each row.
        kl_weight: lambda_t, which rises from 0 over training; see `LossWeights.divergence`.

    Example:
        >>> right = trusted_cross_entropy(torch.tensor([[9.0, 0.0]]), torch.tensor([0]), kl_weight=1.0)
        >>> wrong = trusted_cross_entropy(torch.tensor([[9.0, 0.0]]), torch.tensor([1]), kl_weight=1.0)
        >>> float(right) < float(wrong)
        True
    """
    alpha = evidence.double() + 1
    # Not `one_hot`, which looks at every label first and makes the CPU wait for a GPU.
    target = (labels[:, None] == torch.arange(alpha.shape[-1], device=labels.device)).to(alpha)
    strength = alpha.sum(-1)
    correct = (alpha * target).sum(-1)
    expected = torch.digamma(strength) - torch.digamma(correct)
    penalty = divergence_from_uniform(target + (1 - target) * alpha)
    return (expected + kl_weight * penalty).mean().float()


def divergence_from_uniform(alpha: Float[Tensor, "*_ classes"]) -> Float[Tensor, "*_"]:
    """KL(Dir(alpha) || Dir(1)) in nats, right for any strength.

    ln Gamma(A) - ln Gamma(K) - sum_k ln Gamma(alpha_k) + sum_k (alpha_k - 1) (psi(alpha_k) - psi(A)) is
    G(A, K) - sum_k G(alpha_k, 1) - ln Gamma(K) with G(x, c) = ln Gamma(x) + (x - c) (1 - psi(x)), in which what grows
    like x ln x cancels within each term. [derived; tests/cdc/methods/test_losses.py]

    Example:
        >>> float(divergence_from_uniform(torch.ones(1, 5).double()))
        0.0
    """
    classes = alpha.shape[-1]
    constant = torch.lgamma(torch.tensor(classes, dtype=alpha.dtype))  # a scalar on the CPU needs no copy to a GPU
    return _settled(alpha.sum(-1), classes) - _settled(alpha, 1).sum(-1) - constant


def _settled(x: Float[Tensor, "*_"], count: int) -> Float[Tensor, "*_"]:
    """G(x, count) of `divergence_from_uniform`; for large x by Stirling's series (DLMF 5.11.1 and 5.11.2)."""
    exact = torch.lgamma(x) + (x - count) * (1 - torch.digamma(x))
    constant = (math.log(2 * math.pi) + 1) / 2 - count
    series = (count - 0.5) * x.log() + constant + (1 / 6 - count / 2) / x - count / (12 * x.square())
    return torch.where(x < ASYMPTOTIC_FROM, exact, series)


def diversity(
    features: Float[Tensor, "templates classes dim"], anchor: Float[Tensor, "classes dim"]
) -> Float[Tensor, ""]:
    """Mean squared cosine between the residuals of two templates against the hand-crafted one, class by class.

    [ours]

    0 where templates leave the anchor in orthogonal directions, 1 where they all leave it the same way; 0 for one
    template.

    Example:
        >>> anchor = torch.zeros(1, 2)
        >>> float(diversity(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]), anchor))
        0.0
    """
    templates = len(features)
    if templates < 2:
        return features.new_zeros(())
    directions = functional.normalize(features - anchor, dim=-1, eps=SMALLEST_RESIDUAL)
    cosines = torch.einsum("mkd,nkd->kmn", directions, directions)
    first, second = torch.triu_indices(templates, templates, offset=1, device=features.device)
    return cosines[:, first, second].square().mean()


def consistency(
    features: Float[Tensor, "templates classes dim"], anchor: Float[Tensor, "classes dim"]
) -> Float[Tensor, ""]:
    """Mean of 1 - cosine between each template's features and the hand-crafted one's, class by class.

    [ours]

    Example:
        >>> unit = torch.eye(2)[None]
        >>> float(consistency(unit, unit[0]))
        0.0
    """
    return (1 - functional.cosine_similarity(features, anchor.expand_as(features), dim=-1)).mean()
