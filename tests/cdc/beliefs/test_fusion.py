"""Dempster's rule in closed form against the two-by-two fold written from the rule itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import cdc
from cdc.beliefs.evidence import EvidenceFunction, Opinion, to_opinion
from cdc.beliefs.fusion import Prediction, combine_evidence, fuse_evidence


def fold(belief: torch.Tensor, uncertainty: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The reduced rule applied pair by pair, in float64, masses as the paper's equation has them.

    The rule divides by 1 - C, which is small and only right for masses that sum to one: what float32 lost of that sum
    grows by a factor of about ten with every opinion, so it is restored first.
    """
    masses = torch.cat([belief, uncertainty.unsqueeze(-1)], dim=-1).double()
    masses = masses / masses.sum(-1, keepdim=True)
    belief, uncertainty = masses[..., :-1], masses[..., -1]
    b, u = belief[0], uncertainty[0]
    for b2, u2 in zip(belief[1:], uncertainty[1:], strict=True):
        conflict = b.sum(-1) * b2.sum(-1) - (b * b2).sum(-1)
        scale = (1 - conflict).unsqueeze(-1)
        b = (b * b2 + b * u2.unsqueeze(-1) + b2 * u.unsqueeze(-1)) / scale
        u = u * u2 / scale.squeeze(-1)
    return b, u


@st.composite
def opinions(draw: st.DrawFn) -> Opinion:
    templates, rows, classes = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(2, 9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    scale = draw(st.sampled_from([0.1, 1.0, 10.0, 100.0]))
    evidence = torch.rand(templates, rows, classes, generator=generator) * scale
    return to_opinion(evidence)


def close(first: Prediction, second: Prediction) -> bool:
    return torch.allclose(first.belief, second.belief, atol=1e-5) and torch.allclose(
        first.uncertainty, second.uncertainty, atol=1e-5
    )


@given(opinions())
@settings(deadline=None)
def test_equals_the_pairwise_fold(opinion: Opinion):
    belief, uncertainty = fold(opinion.belief, opinion.uncertainty)
    fused = cdc.combine(opinion)
    torch.testing.assert_close(fused.belief.double(), belief, atol=2e-6, rtol=1e-4)
    torch.testing.assert_close(fused.uncertainty.double(), uncertainty, atol=1e-6, rtol=1e-3)


@given(opinions(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_does_not_matter(opinion: Opinion, random):
    order = list(range(len(opinion.belief)))
    random.shuffle(order)
    assert close(cdc.combine(opinion), cdc.combine(Opinion(opinion.belief[order], opinion.uncertainty[order])))


@given(opinions())
@settings(deadline=None)
def test_fusing_in_groups_does_not_matter(opinion: Opinion):
    if len(opinion.belief) < 3:
        return
    first = cdc.combine(Opinion(opinion.belief[:2], opinion.uncertainty[:2]))
    nested = Opinion(
        torch.cat([first.belief[None], opinion.belief[2:]]),
        torch.cat([first.uncertainty[None], opinion.uncertainty[2:]]),
    )
    assert close(cdc.combine(opinion), cdc.combine(nested))


@given(opinions())
@settings(deadline=None)
def test_an_ignorant_opinion_changes_nothing_and_an_informed_one_does(opinion: Opinion):
    rows, classes = opinion.belief.shape[1:]

    def joined(evidence: torch.Tensor) -> Prediction:
        other = to_opinion(evidence)
        return cdc.combine(
            Opinion(torch.cat([opinion.belief, other.belief]), torch.cat([opinion.uncertainty, other.uncertainty]))
        )

    assert close(cdc.combine(opinion), joined(torch.zeros(1, rows, classes)))
    informed = torch.zeros(1, rows, classes)
    informed[..., 0] = 5.0
    assert not close(cdc.combine(opinion), joined(informed)) or opinion.uncertainty.max() < 0.02


@given(opinions())
@settings(deadline=None)
def test_masses_sum_to_one(opinion: Opinion):
    fused = cdc.combine(opinion)
    torch.testing.assert_close(fused.belief.sum(-1) + fused.uncertainty, torch.ones(len(fused.uncertainty)))
    torch.testing.assert_close(fused.probabilities.sum(-1), torch.ones(len(fused.uncertainty)))
    assert (fused.labels == fused.belief.argmax(-1)).all()


@given(opinions())
@settings(deadline=None)
def test_dependent_fusion_of_equal_opinions_is_that_opinion(opinion: Opinion):
    same = Opinion(opinion.belief[:1].expand(3, -1, -1), opinion.uncertainty[:1].expand(3, -1))
    fused = cdc.combine(same, independence=0.0)
    torch.testing.assert_close(fused.belief, opinion.belief[0], atol=1e-5, rtol=1e-4)
    if float(opinion.uncertainty[0].min()) < 0.9:  # Dempster's rule itself counts the same source three times
        assert float(cdc.combine(same).uncertainty.min()) < float(fused.uncertainty.min())


@pytest.mark.parametrize("kind", ["exp", "softplus", "relu"])
@pytest.mark.parametrize("centre", ["row", "level", "none"])
def test_no_overflow_at_logits_of_100_and_1000_classes(kind, centre):
    logits = (torch.rand(4, 3, 1000, generator=torch.Generator().manual_seed(0)) * 200 - 100).requires_grad_()
    function = EvidenceFunction(kind, centre=centre)
    evidence = function(logits)
    fused = combine_evidence(evidence)
    through_masses = cdc.combine(to_opinion(evidence.detach()))
    assert torch.isfinite(fused.belief).all()
    assert torch.isfinite(fused.uncertainty).all()
    torch.testing.assert_close(fused.belief.sum(-1) + fused.uncertainty, torch.ones(3))
    assert (through_masses.labels == fused.labels).all()
    (fused.belief.square().sum() + fused.uncertainty.sum()).backward()
    assert torch.isfinite(logits.grad).all()


def test_fused_evidence_gives_the_same_opinion_as_the_fused_masses():
    evidence = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(1)) * 7
    fused = to_opinion(fuse_evidence(evidence)[None])
    torch.testing.assert_close(fused.belief[0].float(), cdc.combine(to_opinion(evidence)).belief)


def test_gradients_are_those_of_the_rule():
    evidence = (
        torch.rand(3, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 5
    ).requires_grad_()
    strength = 4 + evidence.sum(-1, keepdim=True)
    belief, _ = fold(evidence / strength, (4 / strength).squeeze(-1))
    weights = torch.arange(8.0, dtype=torch.float64).reshape(2, 4)
    (expected,) = torch.autograd.grad((belief * weights).sum(), evidence)
    (ours,) = torch.autograd.grad((combine_evidence(evidence).belief * weights).sum(), evidence)
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-4)


def test_masses_that_do_not_sum_to_one_are_refused():
    with pytest.raises(cdc.InputError, match=r"must sum to one in every row; received sums from 2 to 2"):
        cdc.combine(Opinion(torch.ones(1, 1, 2), torch.zeros(1, 1)))


@pytest.mark.parametrize(
    ("belief", "uncertainty", "received"),
    [
        ([1.2, -0.2], 0.0, r"sums from 1 to 1 and masses down to -0\.2"),
        ([0.7, 0.5], -0.2, r"sums from 1 to 1 and masses down to -0\.2"),
        ([float("nan"), 0.5], 0.5, "sums from nan to nan"),
    ],
)
def test_masses_that_are_none_are_refused(belief, uncertainty, received):
    with pytest.raises(
        cdc.InputError, match=f"must be at least 0 and must sum to one in every row; received {received}"
    ):
        cdc.combine(Opinion(torch.tensor([[belief]]), torch.tensor([[uncertainty]])))


@pytest.mark.parametrize("independence", [-0.1, 1.5])
def test_independence_out_of_range_is_refused(independence):
    with pytest.raises(cdc.InputError, match=f"between 0 and 1; received {independence}"):
        cdc.combine(to_opinion(torch.ones(2, 1, 2)), independence=independence)


def test_dissonance_is_the_sum_over_pairs_of_its_definition():
    belief = torch.tensor([[0.5, 0.3, 0.1, 0.0], [0.25, 0.25, 0.25, 0.25], [0.9, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])

    def by_hand(b: list[float]) -> float:
        total = 0.0
        for k, own in enumerate(b):
            rivals = [other for j, other in enumerate(b) if j != k]
            balance = [1 - abs(own - other) / (own + other) if own + other else 0.0 for other in rivals]
            if sum(rivals):
                total += own * sum(r * x for r, x in zip(rivals, balance, strict=True)) / sum(rivals)
        return total

    found = Prediction(belief, 1 - belief.sum(-1)).dissonance

    torch.testing.assert_close(found, torch.tensor([by_hand(row) for row in belief.double().tolist()]))


def test_joined_predictions_keep_their_energy_where_all_have_one():
    logits = torch.tensor([[1.0, 2.0], [0.0, -3.0]])
    whole = Prediction.from_logits(logits)

    joined = Prediction.join([Prediction.from_logits(logits[:1]), Prediction.from_logits(logits[1:])])
    bare = Prediction.join([whole, Prediction(whole.belief, whole.uncertainty)])

    torch.testing.assert_close(joined.energy, -torch.logsumexp(logits, -1))
    assert bare.energy is None


def test_the_most_probable_classes_come_with_their_names():
    prediction = Prediction(
        torch.tensor([[0.1, 0.5, 0.2], [0.6, 0.1, 0.1]]), torch.tensor([0.2, 0.2]), class_names=("cat", "dog", "elk"),
        files=("a.jpg", "b.jpg"),
    )  # fmt: skip
    first, second = prediction.top(2)
    assert [name for name, _ in first] == ["dog", "elk"]
    assert [name for name, _ in second] == ["cat", "dog"]
    assert first[0][1] == pytest.approx(0.5 + 0.2 / 3)
    assert len(prediction.top(9)[0]) == 3
    with pytest.raises(cdc.InputError, match="k must be at least 1; received 0"):
        prediction.top(0)
    frame = Prediction.join([prediction, prediction]).to_frame()
    assert frame.columns.tolist() == ["file", "label", "probability", "uncertainty"]
    assert frame.file.tolist() == ["a.jpg", "b.jpg"] * 2
    assert frame.label.tolist() == ["dog", "cat"] * 2
    assert frame.probability.tolist() == pytest.approx(prediction.probabilities.amax(-1).tolist() * 2)
    assert repr(prediction) == "<Prediction of 2 images over 3 classes, mean uncertainty 0.20>"
