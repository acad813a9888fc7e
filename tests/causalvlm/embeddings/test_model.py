"""`Model`: the same answers as the adapter behind it, from pictures and from embeddings."""

import numpy as np
import pytest
from PIL import Image
from scipy.special import log_softmax

import cdc
from causalvlm.embeddings.encode import embed
from causalvlm.embeddings.model import model_from, model_of
from causalvlm.errors import InputError


def test_pictures_files_and_embeddings_are_answered_alike(colour_folder, tiny_backbone):
    data = cdc.load_dataset(colour_folder)
    adapter = cdc.fit(data, cdc.ZeroShotConfig(), tiny_backbone)
    model, table = model_of(adapter, data.class_names), embed(data, tiny_backbone, cache=None)
    pictures = [Image.open(path) for path in table.files[:5]]
    expected = log_softmax(table.logits[:5], axis=1)
    np.testing.assert_allclose(log_softmax(model.answer(pictures), axis=1), expected, atol=1e-4)
    np.testing.assert_allclose(log_softmax(model.classify(table.features[:5]), axis=1), expected, atol=1e-4)
    np.testing.assert_allclose(model.encode(pictures), table.features[:5], atol=1e-5)


def test_a_function_is_a_model_and_what_it_gives_is_checked():
    sure = model_from(lambda pictures: np.tile([1.0, 0.0], (len(pictures), 1)), ("cat", "dog"), name="sure")
    assert sure.answer([Image.new("RGB", (4, 4))] * 3).shape == (3, 2)
    assert np.isfinite(sure.answer([Image.new("RGB", (4, 4))])).all()
    assert (sure.encode, sure.classify, sure.name) == (None, None, "sure")
    logits = model_from(lambda pictures: np.tile([3.0, -2.0], (len(pictures), 1)), ("cat", "dog"))
    with pytest.raises(InputError, match=r"one probability for each of 1 pictures and 2 class names; .*smallest -2"):
        logits.answer([Image.new("RGB", (4, 4))])
