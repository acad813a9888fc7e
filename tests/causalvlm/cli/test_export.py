"""`export` as a person types it, and its file read as `docs/export.md` says, without torch."""

import json
import re
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

import causalvlm
import cdc
from causalvlm.cli.main import run
from cdc.backbones.preprocessing import of_open_clip

onnxruntime = pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def data() -> cdc.ImageDataset:
    return causalvlm.load_dataset("picto/mammals")


@pytest.fixture(scope="module")
def adapter(data) -> cdc.Adapter:
    config = cdc.CDCConfig(calibrate=False)
    training = cdc.TrainingConfig(epochs=2, learning_rate=0.01)
    return cdc.fit(data, config, cdc.load_backbone("picto"), cdc.FitSettings(2, training=training, views=1))


@pytest.fixture(scope="module")
def folder(adapter, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    adapter.save(folder)
    return folder


@pytest.fixture(scope="module")
def reader(folder, tmp_path_factory, data):
    """Everything that the example of the page defines, run in a folder where its files lie."""
    place = tmp_path_factory.mktemp("reader")
    assert run(["export", str(folder), "--out", str(place / "pets.onnx"), "--json", str(place / "export.json")]) == 0
    for name, example in zip(("one.png", "two.png"), data.test, strict=False):
        (place / name).write_bytes(example.path.read_bytes())
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    names = {"__name__": "reader", "place": place}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        exec(compile(code, "export.md", "exec"), names)
    return names


def test_225_pictures_get_the_adapters_own_answers(reader, adapter, data):
    files = [example.path for example in data.test[::5]][:225]
    assert len(files) == 225
    meant = adapter.predict(files)
    pixels = np.stack([reader["pixels"](file) for file in files])
    for size in (1, 7, 225):
        parts = [reader["session"].run(None, {"pixels": pixels[i : i + size]}) for i in range(0, len(pixels), size)]
        probabilities, uncertainty = (np.concatenate(part) for part in zip(*parts, strict=True))
        np.testing.assert_allclose(probabilities, meant.probabilities, atol=1e-5)
        np.testing.assert_allclose(uncertainty, meant.uncertainty, atol=1e-5)
    assert len(np.unique(meant.labels)) > 20  # pictures of many classes: one wrong picture would show


def test_the_file_says_what_it_is(reader, adapter, data):
    facts = reader["facts"]
    assert reader["names"] == list(data.class_names)
    assert json.loads(facts["method"]) == adapter.card.to_record()["method"]
    assert json.loads(facts["backbone"]) == adapter.card.to_record()["backbone"]
    assert json.loads(facts["preprocessing"]) == {
        "size": [60, 60], "short_side": 60, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.25] * 3
    }  # fmt: skip
    assert (facts["template"], facts["version"]) == (data.template, metadata.version("causalvlm"))
    result = json.loads((reader["place"] / "export.json").read_text())
    assert result["outputs"] == ["probabilities", "uncertainty"]
    assert result["metadata"] == facts
    assert result["size"] == (reader["place"] / "pets.onnx").stat().st_size
    assert 0 < result["difference"] < 1e-4


@pytest.mark.parametrize(("mode", "size"), [("shortest", 48), ("squash", 48), ("squash", (40, 48))])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("picture", [(70, 51), (33, 91), (20, 20)])
def test_the_page_preprocesses_as_open_clip_does(reader, mode, size, interpolation, picture, tmp_path, monkeypatch):
    settings = PreprocessCfg(size=size, resize_mode=mode, interpolation=interpolation)
    monkeypatch.setitem(reader, "how", json.loads(json.dumps(of_open_clip(asdict(settings)).to_record())))
    Image.effect_noise(picture, 90).convert("RGB").save(tmp_path / "noise.png")
    meant = image_transform_v2(settings, is_train=False)(Image.open(tmp_path / "noise.png"))
    np.testing.assert_allclose(reader["pixels"](tmp_path / "noise.png"), meant, atol=1e-6)


def test_the_page_preprocesses_as_photo_does(reader, tmp_path, monkeypatch):
    photo = cdc.load_backbone("photo")
    monkeypatch.setitem(reader, "how", photo.preprocessing.to_record())
    Image.effect_noise((400, 301), 90).convert("RGB").save(tmp_path / "noise.png")
    meant = photo.preprocess(Image.open(tmp_path / "noise.png"))
    np.testing.assert_allclose(reader["pixels"](tmp_path / "noise.png"), meant, atol=1e-6)


def test_nothing_in_the_file_tells_where_it_was_made(reader):
    content = (reader["place"] / "pets.onnx").read_bytes()
    assert str(ROOT).encode() not in content
    assert b".py" not in content


def test_it_speaks_before_the_work_and_refuses_to_overwrite_without_force(folder, tmp_path, capsys, monkeypatch):
    out = tmp_path / "mine.onnx"
    out.write_bytes(b"mine")
    assert run(["export", str(folder), "--out", str(out)]) == 2
    assert capsys.readouterr().err.endswith("mine.onnx. Choose another name, or pass --force.\n")
    monkeypatch.setattr(cdc, "load_adapter", lambda _, device: pytest.fail(f"loaded on {device}"))
    with pytest.raises(pytest.fail.Exception, match="loaded"):
        run(["export", str(folder), "--out", str(out), "--force"])
    assert capsys.readouterr().err.startswith("causalvlm: exporting ")
    assert out.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [out]


def test_other_class_names(folder, tmp_path):
    out = tmp_path / "two.onnx"
    assert run(["export", str(folder), "--out", str(out), "--class-name", "cat", "--class-name", "bat"]) == 0
    session = onnxruntime.InferenceSession(str(out))
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == ["cat", "bat"]
    assert session.get_outputs()[0].shape[1] == 2
