"""Scores: the curve against its definition and against chance, and what is no prediction is not scored."""

import pytest
import torch

import cdc
from cdc.beliefs.fusion import Prediction


def prediction(confidence: torch.Tensor) -> Prediction:
    """Two classes, of which the first is believed by `confidence`."""
    return Prediction(torch.stack([confidence, 1 - confidence], dim=-1), torch.zeros(len(confidence)))


def area(wrong: torch.Tensor) -> float:
    """Mean over coverages of the share of wrong answers so far, `wrong` in the order of confidence."""
    return sum(float(wrong[: n + 1].double().mean()) for n in range(len(wrong))) / len(wrong)


class TestRiskCoverage:
    def test_without_ties_it_is_its_definition(self):
        generator = torch.Generator().manual_seed(0)
        confidence = 0.5 + torch.randperm(50, generator=generator) / 100
        labels = (torch.rand(50, generator=generator) < 0.3).long()
        by_hand = area((labels != 0)[confidence.argsort(descending=True)])
        assert cdc.score(prediction(confidence), labels).aurc == pytest.approx(by_hand, abs=1e-12)

    def test_with_ties_it_is_the_mean_over_orders_whatever_the_order(self):
        generator = torch.Generator().manual_seed(1)
        confidence = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.9, 0.8, 0.8, 0.8, 0.7, 0.7, 0.7, 0.7])
        wrong = torch.tensor([0, 1, 0, 0, 1, 0, 1, 1, 1, 0, 0, 1])
        areas: list[float] = []
        for _ in range(4000):
            order = torch.randperm(12, generator=generator)
            areas.append(area(wrong[order][confidence[order].argsort(descending=True, stable=True)]))
        error = 4 * float(torch.tensor(areas).std()) / len(areas) ** 0.5  # four standard errors

        found = [
            cdc.score(prediction(c), y).aurc for c, y in ((confidence, wrong), (confidence.flip(0), wrong.flip(0)))
        ]

        assert error < 0.01
        assert found[0] == pytest.approx(sum(areas) / len(areas), abs=error)
        assert found[1] == pytest.approx(found[0], abs=1e-12)

    def test_where_all_are_equally_sure_it_is_the_error_rate(self):
        labels = (torch.arange(9) < 3).long()
        assert cdc.score(prediction(torch.ones(9)), labels).aurc == pytest.approx(1 / 3)


class TestRefusals:
    @pytest.mark.parametrize("broken", [float("nan"), float("inf")])
    def test_a_probability_that_is_not_finite(self, broken: float):
        belief = torch.tensor([[1.0, 0.0], [broken, 0.0]])
        with pytest.raises(cdc.InputError, match="probabilities must be finite; received 1 of 2 images with others"):
            cdc.score(Prediction(belief, torch.zeros(2)), torch.tensor([0, 0]))

    @pytest.mark.parametrize("label", [-1, 2])
    def test_a_label_that_is_no_class(self, label: int):
        with pytest.raises(cdc.InputError, match=r"labels must index the 2 classes .* from 0 to 1; received .*\. Pass"):
            cdc.score(prediction(torch.ones(2)), torch.tensor([0, label]))

    @pytest.mark.parametrize("scores", [[], [0.5, float("nan")], [float("inf")]])
    def test_scores_of_a_side_that_are_none(self, scores: list[float]):
        good, bad = torch.tensor([0.5]), torch.tensor(scores)
        right, rights = torch.ones(1, dtype=torch.bool), torch.ones(len(scores), dtype=torch.bool)
        said = f"images must have at least one score, and finite ones only; received {len(scores)}, "
        with pytest.raises(cdc.InputError, match=rf"^known {said}"):
            cdc.separation(bad, good)
        with pytest.raises(cdc.InputError, match=rf"^unknown {said}"):
            cdc.separation(good, bad)
        with pytest.raises(cdc.InputError, match=rf"^unknown {said}"):
            cdc.openworld_auc(good, bad, known_right=right, unknown_right=rights)
