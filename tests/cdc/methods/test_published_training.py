"""Each published method is trained as its authors train it for base-to-new, unless the user says otherwise."""

from dataclasses import fields

import pytest

import cdc

PUBLISHED = {  # epochs, batch size, peak rate
    "coop": (50, 32, 0.002),
    "cocoop": (10, 1, 0.002),
    "kgcoop": (100, 128, 0.002),
    "maple": (5, 4, 0.0035),
    "promptsrc": (20, 4, 0.0025),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_defaults_are_the_published_ones(name):
    config = cdc.method_config(name)
    training = cdc.default_training("ViT-B-16", config)
    assert (training.epochs, training.batch_size, training.learning_rate) == PUBLISHED[name]
    assert (training.optimizer, training.weight_decay) == ("sgd", 5e-4)
    assert "published" not in {field.name for field in fields(config)}


@pytest.mark.parametrize(("name", "factor"), [("kgcoop", 5), ("maple", 1), ("coop", 1)])
def test_the_rate_goes_with_the_backbone_and_the_method(name, factor):
    config = cdc.method_config(name)
    clip, picto, photo = (cdc.default_training(backbone, config) for backbone in ("ViT-B-16", "picto", "photo"))
    assert picto.learning_rate == factor * clip.learning_rate
    assert photo.learning_rate == 50 * clip.learning_rate


@pytest.mark.parametrize("name", PUBLISHED)
def test_all_of_them_train_on_the_augmentation_of_the_literature(name, tiny_backbone):
    task = cdc.Task(("dog", "cat"), "a photo of a {}.", seed=1)
    method = cdc.find_method(name).method(tiny_backbone, cdc.method_config(name), task)
    assert method.trains_on.augmentation == "crop-flip"
