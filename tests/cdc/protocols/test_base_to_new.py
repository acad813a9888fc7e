"""Base-to-new: the numbers are those of the parts, a finished run is not repeated, settings cannot be mixed up."""

import json
from dataclasses import replace

import pytest

import cdc
from cdc.protocols.base_to_new import base_to_new

METHODS = {"zero-shot": cdc.ZeroShotConfig(), "cdc": cdc.CDCConfig(templates=2)}


@pytest.fixture(scope="module")
def dataset(colour_folder) -> cdc.ImageDataset:
    return cdc.load_dataset(colour_folder)


@pytest.fixture(scope="module")
def settings() -> cdc.FitSettings:
    return cdc.FitSettings(shots=2, training=cdc.TrainingConfig(epochs=2, batch_size=4), views=1, cache=None)


def test_scores_are_those_of_an_adapter_made_by_hand(tiny_backbone, dataset, settings, tmp_path):
    results = base_to_new(dataset, METHODS, tiny_backbone, settings, seeds=(1, 2), out=tmp_path)
    run = results["cdc"].to_record()["runs"][1]
    training = replace(settings.training, seed=2)
    adapter = cdc.fit(dataset, METHODS["cdc"], tiny_backbone, replace(settings, classes="base", training=training))
    for classes in ("base", "new"):
        half = cdc.select_classes(dataset, classes)
        scores, _ = cdc.evaluate(adapter, half.test, half.class_names, cache=None)
        assert run[classes]["accuracy"] == pytest.approx(scores.accuracy)
        assert run[classes]["n"] == len(half.test)
    assert run["harmonic_mean"] == pytest.approx(cdc.harmonic_mean(run["base"]["accuracy"], run["new"]["accuracy"]))
    means = results["cdc"].to_record()
    assert means["harmonic_mean_of_means"] == pytest.approx(
        cdc.harmonic_mean(means["base_accuracy"]["mean"], means["new_accuracy"]["mean"])
    )


def test_a_finished_run_is_read_and_other_settings_are_refused(tiny_backbone, dataset, settings, tmp_path):
    first = base_to_new(dataset, METHODS, tiny_backbone, settings, seeds=(1,), out=tmp_path)
    file = tmp_path / "cdc-seed_1.json"
    marked = json.loads(file.read_text())
    marked["base"]["accuracy"] = 0.123
    file.write_text(json.dumps(marked))
    again = base_to_new(dataset, METHODS, tiny_backbone, settings, seeds=(1,), out=tmp_path)
    assert again["cdc"].runs[0].base.accuracy == 0.123
    assert first["zero-shot"] == again["zero-shot"]
    with pytest.raises(cdc.InputError, match="must hold a run of these settings; its shots is 2, not 3"):
        base_to_new(dataset, METHODS, tiny_backbone, replace(settings, shots=3), seeds=(1,), out=tmp_path)
