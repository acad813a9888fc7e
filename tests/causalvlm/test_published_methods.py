"""The published baselines go everywhere that a method goes: adapt, save, load, evaluate, base-to-new, a kill."""

from dataclasses import replace

import pytest
import torch

import causalvlm
import cdc

PUBLISHED = [cdc.KgCoOpConfig(), cdc.CoCoOpConfig(), cdc.MaPLeConfig(), cdc.PromptSRCConfig(gpa_mean=3.0)]
NAMES = [config.name for config in PUBLISHED]
RATES = {"kgcoop": 1e-5, "cocoop": 2e-3, "maple": 2e-3, "promptsrc": 2e-4}
"""At which the loss falls on the tiny CLIP: its random towers make KgCoOp's pull steep."""


@pytest.fixture
def settings() -> cdc.FitSettings:
    training = cdc.TrainingConfig(epochs=5, batch_size=8, learning_rate=0.002)
    return cdc.FitSettings(shots=4, training=training, views=2, cache=None)


@pytest.mark.parametrize("name", NAMES)
def test_adapt_evaluate_save_load_and_swap_the_classes(name, colour_folder, tiny_backbone, settings, tmp_path):
    slow = replace(settings, training=replace(settings.training, learning_rate=RATES[name]))
    adapter = causalvlm.adapt(colour_folder, name, tiny_backbone, shots=4, settings=slow)
    assert adapter.card.training.losses[-1] < adapter.card.training.losses[0]
    assert adapter.card.training.augmentation == "crop-flip"
    data = causalvlm.load_dataset(colour_folder)
    files = [example.path for example in data.test]
    scores, prediction = cdc.evaluate(adapter, data.test, data.class_names, cache=None)
    assert scores.n == len(files)
    torch.testing.assert_close(prediction.probabilities, adapter.predict(files).probabilities, atol=1e-5, rtol=1e-4)
    adapter.save(tmp_path / "saved")
    loaded = cdc.load_adapter(tmp_path / "saved")
    assert torch.equal(adapter.predict(files).belief, loaded.predict(files).belief)
    new = ["pink", "red", "dark sky"]
    assert torch.equal(adapter.predict(files, new).belief, loaded.predict(files, new).belief)


@pytest.mark.parametrize("config", PUBLISHED, ids=NAMES)
def test_base_to_new(config, colour_folder, tiny_backbone, settings, tmp_path):
    data = causalvlm.load_dataset(colour_folder)
    ways = {"seeds": (1,), "shots": 4, "training": settings.training, "settings": settings, "out": tmp_path}
    result = cdc.run_protocol("base-to-new", [data], {config.name: config}, tiny_backbone, **ways)
    (run,) = result.runs
    assert run["base"]["n"] + run["new"]["n"] == run["joint"]["n"] == len(data.test)
    again = cdc.run_protocol("base-to-new", [data], {config.name: config}, tiny_backbone, **ways)
    assert again.to_record() == result.to_record()


@pytest.mark.parametrize("config", PUBLISHED, ids=NAMES)
def test_killed_and_resumed_to_the_bit(config, colour_folder, tiny_backbone, settings, tmp_path, monkeypatch):
    entry = cdc.find_method(config.name)
    data = cdc.few_shot(causalvlm.load_dataset(colour_folder), shots=4, seed=1)
    whole = cdc.fit_shots(data, config, tiny_backbone, settings).method

    class StopError(Exception):
        pass

    end_epoch = entry.method.end_epoch

    def stop(method: cdc.Trainable, finished: int, total: int) -> None:
        if finished == 3:
            raise StopError
        end_epoch(method, finished, total)

    resumable = cdc.FitSettings(training=settings.training, views=2, cache=None, checkpoint=tmp_path / "checkpoint")
    with monkeypatch.context() as patched:
        patched.setattr(entry.method, "end_epoch", stop)
        with pytest.raises(StopError):
            cdc.fit_shots(data, config, tiny_backbone, resumable)
    assert (tmp_path / "checkpoint").exists()
    resumed = cdc.fit_shots(data, config, tiny_backbone, resumable).method
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
