"""CDC beyond its parts: what its evidence is measured from, what rehearsals teach it, and its named settings."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

import causalvlm
import cdc
from cdc.methods.cdc import CDC
from cdc.training.rehearsal import plan_rehearsals

NAMES = ("dog", "cat", "house", "polar bear")


@pytest.fixture
def method(tiny_backbone):
    return CDC(tiny_backbone, cdc.CDCConfig(templates=2), cdc.Task(NAMES, "a photo of a {}.", seed=1))


def some_images(backbone, rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, backbone.dim, generator=generator), dim=-1)


def test_level_is_the_mean_logit_of_the_hand_crafted_prompts(method, tiny_backbone):
    views = some_images(tiny_backbone, 12).view(3, 2, 2, -1)
    method.begin(views)
    text = tiny_backbone.encode_texts([f"a photo of a {name}." for name in NAMES])
    torch.testing.assert_close(method.level, tiny_backbone.logits(views.flatten(0, 2), text).mean())


def test_uncertainty_orders_images_as_their_energy_does_for_one_template(tiny_backbone):
    config = cdc.CDCConfig(templates=1)
    single = CDC(tiny_backbone, config, cdc.Task(NAMES, "a photo of a {}.", seed=1))
    prediction = single.classifier(NAMES)(some_images(tiny_backbone, 50))
    assert torch.equal(prediction.energy.argsort(), prediction.uncertainty.argsort())


def test_rehearsals_fit_a_temperature_for_trained_and_for_other_classes(method, tiny_backbone):
    images = some_images(tiny_backbone, 40)
    sure = method.classifier(NAMES)(images).labels  # always right: the sharpest temperature is the best
    never = (sure + 1) % len(NAMES)  # always wrong: the flattest
    rehearsal = cdc.Rehearsal(method, cdc.HeldOut(images, sure, NAMES), cdc.HeldOut(images, never, NAMES))

    method.learn_from([rehearsal])

    known, new = method.scales.tolist()
    assert known == pytest.approx(torch.e**-2, rel=0.01)
    assert new == pytest.approx(torch.e**2, rel=0.01)
    assert float(method.classifier(NAMES).scale) == pytest.approx(known)
    assert float(method.classifier((*NAMES, "pear")).scale) == pytest.approx(new)


def test_the_fitted_temperature_is_the_best_of_a_grid(method, tiny_backbone):
    images = some_images(tiny_backbone, 200)
    labels = torch.randint(len(NAMES), (200,), generator=torch.Generator().manual_seed(1))
    labels[:120] = method.classifier(NAMES)(images[:120]).labels
    held = cdc.HeldOut(images, labels, NAMES)

    def surprise(scale):
        prediction = replace(method.classifier(NAMES), scale=torch.tensor(scale))(images)
        return float(-prediction.probabilities.gather(1, labels[:, None]).log().mean())

    method.learn_from([cdc.Rehearsal(method, held, held)])
    fitted = float(method.scales[0])
    method.scales.fill_(1)
    assert surprise(fitted) <= min(surprise(2 ** (step / 8)) for step in range(-16, 17)) + 1e-6


def test_rehearsals_keep_images_and_classes_from_their_trainings(colour_folder):
    data = causalvlm.load_dataset(colour_folder)
    parts = plan_rehearsals(cdc.few_shot(data, shots=4, seed=1), seed=1)
    assert len(parts) == 2
    for part in parts:
        trained, known, new = ({e.path for e in data.train} for data in (part.trained, part.known, part.new))
        assert (len(trained), len(known), len(new)) == (2 * 3, 2 * 1, 2 * 4)
        assert not trained & (known | new)
        assert set(part.trained.class_names) | set(part.new.class_names) == set(data.class_names)
    assert parts[0].trained.class_names == parts[1].new.class_names


@pytest.mark.parametrize(("shots", "classes"), [(3, "all"), (4, "base")])
def test_too_few_shots_or_classes_leave_the_temperature_as_it_is(colour_folder, tiny_backbone, shots, classes):
    settings = cdc.FitSettings(shots=shots, classes=classes, training=cdc.TrainingConfig(epochs=1), views=1, cache=None)
    adapter = cdc.fit(causalvlm.load_dataset(colour_folder), cdc.CDCConfig(templates=2), tiny_backbone, settings)
    assert adapter.method.scales.tolist() == [1, 1]


def test_a_killed_rehearsal_goes_on(colour_folder, tiny_backbone, tmp_path, monkeypatch):
    data, config = causalvlm.load_dataset(colour_folder), cdc.CDCConfig(templates=2)
    settings = cdc.FitSettings(shots=4, training=cdc.TrainingConfig(epochs=3), views=1, cache=None)
    whole = cdc.fit(data, config, tiny_backbone, settings).method
    resumable = replace(settings, checkpoint=tmp_path / "checkpoint.safetensors")
    steps = 0

    def stop(*_):
        nonlocal steps
        steps += 1
        if steps == 5:  # in the second rehearsal
            raise KeyboardInterrupt

    monkeypatch.setattr(CDC, "end_epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        cdc.fit(data, config, tiny_backbone, resumable)
    assert len(list(tmp_path.iterdir())) == 2
    resumed = cdc.fit(data, config, tiny_backbone, resumable).method
    assert steps == 5 + 2 + 3
    assert list(tmp_path.iterdir()) == []
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_papers_settings_have_a_name():
    paper = cdc.method_config("cdc:paper")
    assert (paper.independence, paper.half_clean, paper.weights.consistency) == (1.0, False, 1.0)
    assert cdc.method_from_record(cdc.method_record(paper)) == paper
