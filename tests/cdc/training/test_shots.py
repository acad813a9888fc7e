"""What a method trains on: its own augmentation unless the run asks for another, and the image as it is where asked."""

from dataclasses import replace

import pytest
import torch

import causalvlm
import cdc
from cdc.images.encode import encode_images, encode_views
from cdc.images.views import ViewPlan
from cdc.training.shots import gather_shots


@pytest.fixture
def data(colour_folder):
    return causalvlm.load_dataset(colour_folder)


def gather(data, backbone, trains_on, plan):
    method = cdc.methods.coop.CoOp(backbone, cdc.CoOpConfig(), cdc.Task(data.class_names, "a {}.", seed=1))
    method.trains_on = trains_on
    shots, _ = gather_shots(data, method, plan, seed=1, cache=None)
    return shots


def test_half_of_the_draws_are_the_image_as_at_test_time(data, tiny_backbone):
    plan = ViewPlan("set1", templates=4, views=3)
    shots = gather(data, tiny_backbone, cdc.CachedViews(templates=2, half_clean=True), plan)
    paths = [example.path for example in data.train]
    clean = encode_images(tiny_backbone, paths, cache=None).values
    views = encode_views(tiny_backbone, paths, replace(plan, seed=0), cache=None).values
    assert shots.values.shape == (len(paths), 2, 6, tiny_backbone.dim)
    torch.testing.assert_close(shots.values[:, :, :3], clean[:, None, None].expand(-1, 2, 3, -1), atol=1e-6, rtol=0)
    torch.testing.assert_close(shots.values[:, :, 3:], views[:, :2], atol=1e-6, rtol=0)


def test_without_augmentation_every_view_is_the_image_as_at_test_time(data, tiny_backbone):
    clean = encode_images(tiny_backbone, [example.path for example in data.train], cache=None).values
    shots = gather(data, tiny_backbone, cdc.CachedViews(), ViewPlan("none"))
    assert (shots.values - clean[:, None, None]).abs().max() < 1e-6
    pixels = gather(data, tiny_backbone, cdc.Pixels(), ViewPlan("none"))
    images, labels = next(pixels.batches(len(clean), epoch=3, generator=torch.Generator().manual_seed(0)))
    order = torch.randperm(len(clean), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tiny_backbone.encode_images(images), clean[order], atol=1e-5, rtol=0)
    assert torch.equal(labels, shots.labels[order])


@pytest.mark.parametrize(("asked", "used"), [(None, "crop-flip"), ("none", "none"), ("set1", "set1")])
def test_a_run_may_ask_for_another_augmentation_than_the_methods_own(data, tiny_backbone, asked, used):
    training = cdc.TrainingConfig(epochs=1, batch_size=16)
    settings = cdc.FitSettings(shots=2, training=training, views=1, cache=None, augmentation=asked)
    assert cdc.fit(data, cdc.KgCoOpConfig(), tiny_backbone, settings).card.training.augmentation == used
