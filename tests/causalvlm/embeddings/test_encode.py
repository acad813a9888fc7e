"""`embed` against the towers called by hand, zero-shot and through an adapter."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax

import cdc
from causalvlm.embeddings.encode import embed
from causalvlm.errors import InputError


@pytest.fixture
def dataset(colour_folder):
    return cdc.load_dataset(colour_folder)


def by_hand(backbone, paths):
    pixels = torch.stack([backbone.preprocess(Image.open(path).convert("RGB")) for path in paths])
    return backbone.encode_images(pixels)


def test_zero_shot_logits_are_scaled_cosines_of_all_images(dataset, tiny_backbone):
    table = embed(dataset, tiny_backbone, cache=None)
    assert len(table) == len(dataset.examples) == 48
    images = by_hand(tiny_backbone, table.files)
    texts = tiny_backbone.encode_texts([dataset.template.format(name) for name in dataset.class_names])
    np.testing.assert_allclose(table.features, images, atol=1e-5)
    np.testing.assert_allclose(table.logits, tiny_backbone.logit_scale * images @ texts.T, atol=1e-3)
    assert table.labels.tolist() == [item.label for item in dataset.examples]
    assert table.source.images == "all images"
    assert table.source.method == "zero-shot"


@pytest.mark.parametrize("config", [cdc.CDCConfig(templates=2), cdc.CoOpConfig()])
def test_an_adapter_is_diagnosed_on_the_test_split_by_its_own_probabilities(dataset, tiny_backbone, config, tmp_path):
    settings = cdc.FitSettings(shots=2, training=cdc.TrainingConfig(epochs=1), cache=None)
    adapter = cdc.fit(dataset, config, tiny_backbone, settings)
    table = embed(dataset, adapter=adapter, cache=None)
    assert table.files == tuple(item.path for item in dataset.test)
    expected = adapter.predict(table.files, dataset.class_names).probabilities
    np.testing.assert_allclose(softmax(table.logits, axis=1), expected, atol=1e-4)
    assert "test split" in table.source.images
    adapter.save(tmp_path / "saved")
    again = embed(dataset, adapter=tmp_path / "saved", cache=None)
    np.testing.assert_array_equal(again.logits, table.logits)


def test_factors_follow_the_rows_and_unreadable_files_are_named(tiny_backbone, tmp_path):
    examples = []
    for index, domain in enumerate(["day", "night", "day"]):
        path = tmp_path / f"{index}.png"
        Image.new("RGB", (16, 16), (80 * index, 0, 0)).save(path)
        examples.append(cdc.Example(path, index % 2, {"light": domain}))
    examples[0].path.write_bytes(b"not an image")
    data = cdc.ImageDataset("toy", ("cat", "dog"), train=(), validation=(), test=tuple(examples))
    table = embed(data, tiny_backbone, cache=None)
    assert table.factors["light"].tolist() == ["night", "day"]
    assert table.labels.tolist() == [1, 0]
    assert [path for path, _ in table.unreadable] == [examples[0].path]


def test_a_backbone_that_is_not_the_adapters_is_refused(dataset, tiny_backbone):
    adapter = cdc.fit(dataset, cdc.ZeroShotConfig(), tiny_backbone)
    with pytest.raises(InputError, match=r"received 'ViT-B-32'\. Leave the backbone out"):
        embed(dataset, "ViT-B-32", adapter)
    assert len(embed(dataset, tiny_backbone, adapter, cache=None)) == len(dataset.test)


def test_no_test_image_is_a_mistake(tiny_backbone, dataset):
    adapter = cdc.fit(dataset, cdc.ZeroShotConfig(), tiny_backbone)
    empty = cdc.ImageDataset("toy", ("cat", "dog"), train=dataset.train[:1], validation=(), test=())
    with pytest.raises(InputError, match="none in its test split"):
        embed(empty, adapter=adapter)
