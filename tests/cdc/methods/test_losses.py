"""Losses against torch.distributions, plain loops and finite differences."""

import itertools
import math

import mpmath
import pytest
import torch
from torch.distributions import Dirichlet, kl_divergence

from cdc.methods.losses import consistency, divergence_from_uniform, diversity, trusted_cross_entropy


def test_divergence_is_that_of_torch_distributions():
    alpha = torch.rand(20, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 30 + 1
    expected = kl_divergence(Dirichlet(alpha), Dirichlet(torch.ones_like(alpha)))
    torch.testing.assert_close(divergence_from_uniform(alpha), expected)


@pytest.mark.parametrize(
    ("classes", "size"),
    [*itertools.product((2, 30), (0.0, 1e2, 9.9e3, 1e4 - 1, 1e8, 1e12, 1e30)), (1000, 1e4), (1000, 1e30)],
)
def test_divergence_and_gradient_are_those_of_fifty_digits(classes, size):
    """On one large alpha, on all large, and on alphas of every size up to it."""
    share = torch.rand(classes, dtype=torch.float64, generator=torch.Generator().manual_seed(classes))
    alone = torch.nn.functional.one_hot(torch.tensor(1), classes).double()
    rows = torch.stack([1 + size * alone, 1 + size * share, (1 + size) ** share]).requires_grad_()

    found = divergence_from_uniform(rows)
    (slopes,) = torch.autograd.grad(found.sum(), rows)

    for row, value, slope in zip(rows.tolist(), found.tolist(), slopes.tolist(), strict=True):
        expected, expected_slopes = divergence_in_fifty_digits(row)
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)
        # Per nat of evidence, which is what a logit moves; torch's own polygamma is good to nine digits.
        per_nat = [a * s for a, s in zip(row, slope, strict=True)]
        assert per_nat == pytest.approx([a * s for a, s in zip(row, expected_slopes, strict=True)], abs=2e-8)


def divergence_in_fifty_digits(row: list[float]) -> tuple[float, list[float]]:
    with mpmath.workdps(50):
        alpha = [mpmath.mpf(value) for value in row]
        strength, classes = mpmath.fsum(alpha), len(alpha)
        at_strength = mpmath.digamma(strength)
        value = mpmath.loggamma(strength) - mpmath.loggamma(classes)
        value += mpmath.fsum((a - 1) * (mpmath.digamma(a) - at_strength) - mpmath.loggamma(a) for a in alpha)
        common = (strength - classes) * mpmath.polygamma(1, strength)
        return float(value), [float((a - 1) * mpmath.polygamma(1, a) - common) for a in alpha]


def test_expected_cross_entropy_is_the_mean_over_the_dirichlet():
    evidence = torch.tensor([[4.0, 1.0, 0.5]])
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    samples = Dirichlet(evidence[0].double() + 1).sample((400_000,))
    torch.random.set_rng_state(generator_state)
    sampled = -samples[:, 0].log()
    error = 4 * float(sampled.std()) / math.sqrt(len(sampled))  # four standard errors
    assert abs(float(trusted_cross_entropy(evidence, torch.tensor([0]), kl_weight=0.0)) - float(sampled.mean())) < error


def test_the_penalty_ignores_evidence_for_the_right_class_and_not_for_wrong_ones():
    def penalty(evidence: list[float]) -> float:
        values, label = torch.tensor([evidence]), torch.tensor([0])
        full = trusted_cross_entropy(values, label, kl_weight=1.0)
        return float(full - trusted_cross_entropy(values, label, kl_weight=0.0))

    assert penalty([50.0, 0.0, 0.0]) == pytest.approx(0, abs=1e-6)
    assert penalty([0.0, 50.0, 0.0]) > 1


def test_loss_averages_over_templates():
    evidence = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(1)) * 4
    labels = torch.tensor([0, 1, 2, 3])
    each = [float(trusted_cross_entropy(row, labels, kl_weight=0.5)) for row in evidence]
    assert float(trusted_cross_entropy(evidence, labels, kl_weight=0.5)) == pytest.approx(sum(each) / 3, rel=1e-5)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6, 5e21])
def test_loss_and_gradient_stay_finite(size):
    evidence = torch.full((2, 3, 1000), size).requires_grad_()
    loss = trusted_cross_entropy(evidence, torch.tensor([0, 1, 2]), kl_weight=1.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(evidence.grad).all()


def test_diversity_against_a_loop():
    generator = torch.Generator().manual_seed(3)
    features, anchor = torch.randn(4, 5, 8, generator=generator), torch.randn(5, 8, generator=generator)
    cosines = [
        float(torch.cosine_similarity(features[m, k] - anchor[k], features[n, k] - anchor[k], dim=0)) ** 2
        for k in range(5) for m in range(4) for n in range(m)
    ]  # fmt: skip
    assert float(diversity(features, anchor)) == pytest.approx(sum(cosines) / len(cosines), rel=1e-5)


def test_diversity_is_one_for_equal_templates_zero_for_one_and_finite_at_the_anchor():
    anchor = torch.eye(3)
    same = (anchor + 0.3).expand(2, -1, -1)
    assert float(diversity(same, anchor)) == pytest.approx(1, rel=1e-5)
    assert float(diversity(same[:1], anchor)) == 0
    at_anchor = anchor.expand(2, -1, -1).clone().requires_grad_()
    diversity(at_anchor, anchor).backward()
    assert torch.isfinite(at_anchor.grad).all()


def test_consistency_is_zero_at_the_anchor_and_two_opposite_to_it():
    anchor = torch.eye(3)
    assert float(consistency(anchor[None], anchor)) == pytest.approx(0, abs=1e-6)
    assert float(consistency(-anchor[None], anchor)) == pytest.approx(2, rel=1e-6)
