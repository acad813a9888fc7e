"""Adapters of every method and kind of tower as ONNX files, beside the adapters themselves; and what is refused."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cdc
from cdc import export

onnxruntime = pytest.importorskip("onnxruntime")

NAMES = ("cat", "dog", "polar_bear")
DATA = cdc.ImageDataset("pets", NAMES, train=(), validation=(), test=())


def untrained(method: str, backbone: cdc.Backbone) -> cdc.Adapter:
    """An adapter of a method as it starts: with a card, and tokens that nobody has trained."""
    made = cdc.METHODS[method].method(backbone, cdc.method_config(method), cdc.Task(NAMES, "a photo of a {}.", seed=1))
    card = cdc.fit(DATA, cdc.ZeroShotConfig(), backbone).card
    return cdc.Adapter(made, replace(card, method=made.config))


def noise(rows: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)) for _ in range(rows)]


def assert_same(path, adapter: cdc.Adapter) -> list[str]:
    """The file gives the adapter's answers to one picture and to seven; the names of its outputs."""
    session = onnxruntime.InferenceSession(str(path))
    outputs = [output.name for output in session.get_outputs()]
    for rows in (1, 7):
        pictures = noise(rows)
        meant = adapter.predict(pictures)
        pixels = torch.stack([adapter.backbone.preprocess(picture) for picture in pictures]).numpy()
        for name, said in zip(outputs, session.run(None, {"pixels": pixels}), strict=True):
            np.testing.assert_allclose(said, getattr(meant, name), atol=1e-5)
    return outputs


@pytest.mark.parametrize("method", ["zero-shot", "coop", "kgcoop", "cdc", "maple", "promptsrc"])
def test_every_method_on_a_vision_transformer(tiny_backbone, method, tmp_path):
    adapter = untrained(method, tiny_backbone)
    written = cdc.export_onnx(adapter, tmp_path / "a.onnx")
    expected = ["probabilities", "uncertainty"] if method == "cdc" else ["probabilities"]
    assert assert_same(tmp_path / "a.onnx", adapter) == expected == list(written.outputs)
    assert written.difference < 1e-4


@pytest.mark.parametrize("kind", ["siglip", "timm", "resnet", "coca"])
def test_every_kind_of_image_tower(model_folder, kind, tmp_path):
    adapter = untrained("cdc", cdc.load_backbone(str(model_folder(kind))))
    cdc.export_onnx(adapter, tmp_path / "a.onnx")
    assert_same(tmp_path / "a.onnx", adapter)


def test_two_exports_are_the_same_file(tiny_backbone, tmp_path):
    for name in ("a", "b"):
        cdc.export_onnx(untrained("cdc", tiny_backbone), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_conditional_method_is_refused(tiny_backbone, tmp_path):
    with pytest.raises(cdc.InputError, match="text features must be the same for every image"):
        cdc.export_onnx(untrained("cocoop", tiny_backbone), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_half_precision_is_refused(tiny_clip_folder, tmp_path):
    backbone = cdc.load_backbone(str(tiny_clip_folder), precision="bf16")
    with pytest.raises(cdc.InputError, match="towers must be in fp32 to be exported; received bf16"):
        cdc.export_onnx(untrained("cdc", backbone), tmp_path / "a.onnx")


def test_a_tower_beyond_one_file_is_refused(tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MOST_BYTES", 1000)
    with pytest.raises(cdc.InputError, match="the image tower must fit the 2 GiB of one ONNX file"):
        cdc.export_onnx(untrained("cdc", tiny_backbone), tmp_path / "a.onnx")


def test_preprocessing_that_has_no_words_is_refused(tiny_backbone, tmp_path):
    adapter = untrained("zero-shot", replace(tiny_backbone, preprocessing=None))
    with pytest.raises(cdc.InputError, match="a resize and a crop that a file can describe"):
        cdc.export_onnx(adapter, tmp_path / "a.onnx")


def test_a_missing_package_is_named_with_its_extra(tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "PACKAGES", ("no_such_package",))
    with pytest.raises(cdc.InputError, match=r"'no_such_package' is not installed.*'causalvlm\[onnx\]'"):
        cdc.export_onnx(untrained("cdc", tiny_backbone), tmp_path / "a.onnx")


@dataclass(frozen=True)
class OddConfig:
    name: ClassVar[str] = "odd"


class Odd(nn.Module, cdc.Method):
    """A method whose classifier is given, for what may go wrong in one's own."""

    answer = staticmethod(lambda images: images)

    def __init__(self, backbone, config, task):
        super().__init__()
        self.backbone, self.config, self.task = backbone, config, task

    def classifier(self, class_names):
        backbone, answer = self.backbone, self.answer

        class Given:
            reads = "features"

            def __call__(self, images):
                return cdc.Prediction.from_logits(answer(images)[:, : len(class_names)])

        given = Given()
        given.class_names = tuple(class_names)
        assert backbone.dim >= len(class_names)
        return given


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda images: images * torch.ones(len(images), 1), "run for every number of rows"),
        (lambda images: images + images.mean() * 50 * torch.rand(images.shape), "say what the adapter says"),
        (lambda images: images * float(images.sum()), "must be one graph of tensor operations"),
    ],
    ids=["rows", "random", "python"],
)
def test_what_a_method_of_ones_own_may_do_wrong_is_said(tiny_backbone, answer, message, tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(cdc.METHODS, "odd", replace(cdc.METHODS["zero-shot"], config=OddConfig, method=Odd))
    monkeypatch.setattr(Odd, "answer", staticmethod(answer))
    with pytest.raises(cdc.InputError, match=message):
        cdc.export_onnx(untrained("odd", tiny_backbone), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
    assert "def forward" not in capfd.readouterr().err
