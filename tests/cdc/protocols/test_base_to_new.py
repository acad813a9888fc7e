"""Base-to-new: the numbers are those of the parts, and each score is what its definition says, pair by pair."""

import itertools
from dataclasses import replace

import pytest
import torch

import cdc
from cdc.evaluation import classify_examples

METHODS = {"zero-shot": cdc.ZeroShotConfig(), "cdc": cdc.CDCConfig(templates=2)}
TRAINING = cdc.TrainingConfig(epochs=2, batch_size=4)
SETTINGS = cdc.FitSettings(views=1, cache=None)


@pytest.fixture(scope="module")
def dataset(colour_folder) -> cdc.ImageDataset:
    return cdc.load_dataset(colour_folder)


@pytest.fixture(scope="module")
def result(tiny_backbone, dataset, tmp_path_factory) -> cdc.ProtocolResult:
    out = tmp_path_factory.mktemp("grid")
    ways = {"seeds": (1, 2), "shots": 2, "training": TRAINING, "settings": SETTINGS}
    return cdc.run_protocol("base-to-new", [dataset], METHODS, tiny_backbone, **ways, out=out)


@pytest.fixture(scope="module")
def adapter(tiny_backbone, dataset) -> cdc.Adapter:
    """What the last run trained, made by hand."""
    settings = replace(SETTINGS, shots=2, classes="base", training=replace(TRAINING, seed=2))
    return cdc.fit(dataset, METHODS["cdc"], tiny_backbone, settings)


def test_scores_are_those_of_an_adapter_made_by_hand(result, adapter, dataset):
    run = result.runs[-1]
    assert (run["method"], run["seed"], run["dataset"]) == ("cdc", 2, dataset.name)
    for part, classes in (("base", "base"), ("new", "new"), ("joint", "all")):
        half = cdc.select_classes(dataset, classes)
        scores, _ = cdc.evaluate(adapter, half.test, half.class_names, cache=None)
        assert run[part]["accuracy"] == pytest.approx(scores.accuracy)
        assert run[part]["n"] == len(half.test)
    assert run["harmonic_mean"] == pytest.approx(cdc.harmonic_mean(run["base"]["accuracy"], run["new"]["accuracy"]))
    assert [found["augmentation"] for found in result.runs if found["seed"] == 2] == [None, "set2"]
    assert run["parameters"] == adapter.method.contexts.numel()
    assert run["seconds"] > 0
    assert run["peak_memory"] > 2**20


def test_detection_is_what_pairs_of_images_say(result, adapter, dataset):
    base, new = cdc.select_classes(dataset, "base"), cdc.select_classes(dataset, "new")
    known, known_labels = classify_examples(adapter, base.test, base.class_names, cache=None)
    unknown, unknown_labels = classify_examples(adapter, new.test, new.class_names, cache=None)
    strangers, _ = classify_examples(adapter, new.test, base.class_names, cache=None)
    pairs = list(itertools.product(range(len(base.test)), range(len(new.test))))
    run = result.runs[-1]

    def share(score) -> float:
        return sum(float(score(k, u)) for k, u in pairs) / len(pairs)

    def ahead(r, s):
        return lambda k, u: (s[u] > r[k]) + 0.5 * (s[u] == r[k])

    assert run["ood_auroc"] == pytest.approx(share(ahead(known.uncertainty, strangers.uncertainty)))
    assert run["ood_auroc_energy"] == pytest.approx(share(ahead(known.energy, strangers.energy)))
    assert run["openworld_auc"] == pytest.approx(
        share(
            lambda k, u: (
                known.labels[k] == known_labels[k]
                and unknown.labels[u] == unknown_labels[u]
                and strangers.uncertainty[u] > known.uncertainty[k]
            )
        )
    )


def test_openworld_auc_counts_ties_as_wrong_and_needs_all_three():
    right, wrong = torch.tensor([True]), torch.tensor([False])
    low, high = torch.tensor([0.25]), torch.tensor([0.5])
    score = cdc.openworld_auc
    assert score(low, high, known_right=right, unknown_right=right) == 1
    assert score(low, low, known_right=right, unknown_right=right) == 0
    assert score(high, low, known_right=right, unknown_right=right) == 0
    assert score(low, high, known_right=wrong, unknown_right=right) == 0
    assert score(low, high, known_right=right, unknown_right=wrong) == 0


def test_openworld_auc_by_brute_force():
    generator = torch.Generator().manual_seed(0)
    for known, unknown in ((1, 1), (7, 5), (40, 23)):
        scores = [torch.randint(0, 6, (n,), generator=generator) / 5 for n in (known, unknown)]
        right = [torch.rand(n, generator=generator) < 0.7 for n in (known, unknown)]
        slow = [
            bool(right[0][k] and right[1][u] and scores[1][u] > scores[0][k])
            for k in range(known)
            for u in range(unknown)
        ]
        fast = cdc.openworld_auc(*scores, known_right=right[0], unknown_right=right[1])
        assert fast == pytest.approx(sum(slow) / len(slow))


def test_a_softmax_is_scored_by_its_confidence(result, tiny_backbone, dataset):
    run = result.runs[0]
    assert run["method"] == "zero-shot"
    adapter = cdc.fit(dataset, METHODS["zero-shot"], tiny_backbone, SETTINGS)
    base, new = cdc.select_classes(dataset, "base"), cdc.select_classes(dataset, "new")
    doubts = [
        1 - classify_examples(adapter, half.test, base.class_names, cache=None)[0].probabilities.max(-1).values
        for half in (base, new)
    ]
    assert run["ood_auroc"] == pytest.approx(cdc.separation(*doubts))


def test_both_harmonic_means(result):
    average, row = [row for row in result.table() if row.method == "cdc"]
    runs = [run for run in result.runs if run["method"] == "cdc"]
    assert row.means["harmonic_mean"] == pytest.approx(sum(run["harmonic_mean"] for run in runs) / 2)
    base, new = (sum(run[part]["accuracy"] for run in runs) / 2 for part in ("base", "new"))
    assert row.means["harmonic_mean_of_means"] == pytest.approx(cdc.harmonic_mean(base, new))
    assert average.dataset is None
    assert average.means == pytest.approx(dict(row.means))


def test_a_prediction_without_logits_has_no_energy():
    sure = cdc.Prediction(belief=torch.eye(2), uncertainty=torch.zeros(2))
    assert cdc.energy_auroc(sure, sure) is None
