"""A reader against the way over picture files and `Adapter.predict`."""

import numpy as np
import pytest
import torch
from PIL import Image

import cdc
from causalvlm.errors import InputError
from causalvlm.worlds.picto.reader import read_with
from causalvlm.worlds.picto.scene import BATCH
from causalvlm.worlds.picto.scm import PictoWorld

WORLD = PictoWorld(("mammals",))
TEMPLATE = "a picture of a {}."


@pytest.fixture(scope="module")
def sample():
    return WORLD.sample(20, rng=np.random.default_rng(0))


def test_margins_are_those_of_pictures_that_went_through_the_preprocessing(tiny_backbone, sample):
    pictures = [Image.fromarray(pixels) for pixels in sample.render(size=32).permute(0, 2, 3, 1).numpy()]
    features = tiny_backbone.encode_images(torch.stack([tiny_backbone.preprocess(picture) for picture in pictures]))
    text = tiny_backbone.encode_texts([TEMPLATE.format(name) for name in WORLD.concepts])
    logits = (tiny_backbone.logit_scale * features @ text.T).numpy()
    rivals = [np.delete(row, label).max() for row, label in zip(logits, sample.labels, strict=True)]
    expected = logits[np.arange(20), sample.labels] - rivals
    reader = read_with(tiny_backbone, WORLD.concepts, template=TEMPLATE)
    assert reader.margin(sample) == pytest.approx(expected, abs=1e-3)
    assert reader.correct(sample).tolist() == (logits.argmax(1) == sample.labels).tolist()


def test_an_adapter_reads_as_it_predicts(tiny_backbone, sample):
    data = cdc.ImageDataset("mammals", WORLD.concepts, (), (), (), template=TEMPLATE)
    adapter = cdc.fit(data, cdc.ZeroShotConfig(), tiny_backbone)
    pictures = [Image.fromarray(pixels) for pixels in sample.render(size=32).permute(0, 2, 3, 1).numpy()]
    predicted = adapter.predict(pictures).labels.numpy()
    assert read_with(adapter, WORLD.concepts).correct(sample).tolist() == (predicted == sample.labels).tolist()


def test_class_names_may_be_more_and_in_any_order(tiny_backbone, sample):
    reader = read_with(tiny_backbone, WORLD.concepts)
    turned = read_with(tiny_backbone, WORLD.concepts[::-1])
    assert turned.margin(sample) == pytest.approx(reader.margin(sample), abs=1e-4)
    more = read_with(tiny_backbone, (*WORLD.concepts, "teapot", "piano"))
    assert (more.margin(sample) <= reader.margin(sample) + 1e-4).all()


def test_batches_change_nothing(tiny_backbone):
    reader, rng = read_with(tiny_backbone, WORLD.concepts), np.random.default_rng(1)
    many = WORLD.sample(BATCH + 3, rng=rng)
    tail = type(many)(WORLD, many.noise[-3:], {})
    assert reader.margin(many)[-3:] == pytest.approx(reader.margin(tail), abs=1e-4)
    assert reader.margin(WORLD.sample(0, rng=rng)).shape == (0,)


def test_mistakes_are_named(tiny_backbone, sample):
    with pytest.raises(InputError, match=r"received none for 'badger' \(1 of 47 are missing\)"):
        read_with(tiny_backbone, WORLD.concepts[1:]).margin(sample)
    with pytest.raises(InputError, match="at least two"):
        read_with(tiny_backbone, ["badger"])
    adapter = read_with(tiny_backbone, WORLD.concepts).adapter
    with pytest.raises(InputError, match=r"received the template 'a \{\}\.'"):
        read_with(adapter, WORLD.concepts, template="a {}.")
