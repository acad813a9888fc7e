"""The bundled models: open_clip's own, offline, the same wherever they lie, and what a prompt learner needs of them."""

import fnmatch
import json
import os
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional

import cdc
from cdc.backbones.tokens import count_tokens
from cdc.prompts.text_encoding import initial_contexts

NAMES = ("picto", "picto-unconfounded")
ROOT = Path(cdc.__file__).parent.parent
WEIGHTS = ROOT / "cdc" / "backbones" / "weights"
MEGABYTES = 20
"""Most that a bundled model may take on disk."""


@pytest.fixture(scope="module", params=NAMES)
def backbone(request: pytest.FixtureRequest) -> cdc.Backbone:
    return cdc.load_backbone(request.param)


@pytest.fixture(scope="module")
def own(backbone: cdc.Backbone) -> tuple[Any, Any]:
    """open_clip's model and tokenizer of the same folder, loaded without the project's code."""
    name = f"local-dir:{WEIGHTS / backbone.name}"
    return open_clip.create_model(name).eval().requires_grad_(False), open_clip.get_tokenizer(name)


class TestTowers:
    def test_template_features_are_open_clips_own(self, backbone: cdc.Backbone, own: tuple[Any, Any]) -> None:
        model, tokenizer = own
        phrases, classes = ["a photo of a", "a line drawing of"], ["dog", "polar_bear", "zyzzyva"]
        features = cdc.encode_templates(backbone, initial_contexts(backbone, phrases), classes)
        for row, phrase in zip(features, phrases, strict=True):
            texts = [f"{phrase} {name.replace('_', ' ')}." for name in classes]
            torch.testing.assert_close(row, model.encode_text(tokenizer(texts), normalize=True), atol=1e-5, rtol=0)
        assert torch.pdist(features.flatten(0, 1)).min() > 1e-2

    def test_image_features_are_open_clips_own(self, backbone: cdc.Backbone, own: tuple[Any, Any]) -> None:
        pixels = torch.randn(3, 3, 60, 60, generator=torch.Generator().manual_seed(0))
        assert torch.equal(backbone.encode_images(pixels), own[0].encode_image(pixels, normalize=True))

    def test_a_picture_of_its_size_is_only_normalised(self, backbone: cdc.Backbone) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
        expected = (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - 0.5) / 0.25
        torch.testing.assert_close(backbone.preprocess(Image.fromarray(pixels)), expected)

    def test_dimensions(self, backbone: cdc.Backbone) -> None:
        text = backbone.text
        assert (backbone.dim, text.width, text.layers, text.context_length, text.start_tokens) == (192, 128, 3, 24, 1)
        assert text.shares_prefix
        assert 1 < backbone.logit_scale <= 100.001
        assert backbone.pretrained is None

    def test_the_twins_differ_in_weights_alone(self) -> None:
        one, other = (json.loads((WEIGHTS / name / "open_clip_config.json").read_text()) for name in NAMES)
        assert one == other
        assert len({cdc.load_backbone(name).fingerprint for name in NAMES}) == 2


class TestTokenizer:
    def test_the_placeholder_and_the_words_of_starting_phrases_are_one_token_each(self, backbone: cdc.Backbone) -> None:
        for phrase, tokens in {"X": 1, "a photo of a": 4, "a picture of the": 4, "this is a good": 4, "dog": 1}.items():
            assert count_tokens(backbone.text.tokenizer, phrase, 24) - backbone.text.start_tokens == tokens, phrase

    @pytest.mark.parametrize("word", ["zyzzyva", "xylograph", "~{|}_@#1920", "sphinxofblackquartzjudge"])
    def test_an_unknown_word_is_spelled_and_not_lost(self, word: str, own: tuple[Any, Any]) -> None:
        tokenizer = own[1].tokenizer
        ids = tokenizer(f"a {word}.")["input_ids"]
        assert "".join(tokenizer.convert_ids_to_tokens(ids[2:-2])).replace("</w>", "") == word

    def test_every_printable_character_has_a_token(self, own: tuple[Any, Any]) -> None:
        for code in range(33, 127):
            assert len(own[1].tokenizer(chr(code))["input_ids"]) == 3, chr(code)

    def test_accents_and_capitals_do_not_matter(self, backbone: cdc.Backbone) -> None:
        one, other = backbone.text.tokenize(["Café ÉCLAIR", "cafe eclair"])
        assert torch.equal(one, other)

    @pytest.mark.parametrize("text", ["", "dog", "word " * 50])
    def test_the_end_token_has_the_highest_id_and_is_always_there(self, text: str, backbone: cdc.Backbone) -> None:
        (ids,) = backbone.text.tokenize([text])
        vocabulary = json.loads((WEIGHTS / backbone.name / "open_clip_config.json").read_text())
        highest = vocabulary["model_cfg"]["text_cfg"]["vocab_size"] - 1
        assert (ids == highest).sum() == 1
        assert (ids[int((ids == highest).nonzero()) + 1 :] == 0).all()


class TestLoading:
    def test_without_network_and_without_a_word(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        attempts: list[object] = []

        def refuse(*arguments: object, **_: object) -> None:
            attempts.append(arguments)
            raise OSError("no network")

        for name in ("connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, name, refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        for name in NAMES:
            assert cdc.load_backbone(name).name == name
        assert not attempts
        assert not caplog.records

    def test_in_a_process_that_may_use_no_hub(self, tmp_path: Path) -> None:
        command = (
            "import cdc; print(cdc.load_backbone('picto').fingerprint, cdc.load_backbone('picto-unconfounded').name)"
        )
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", command],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env=environment,
        )
        assert done.stdout.split() == [cdc.load_backbone("picto").fingerprint, "picto-unconfounded"]
        assert done.stderr == ""

    def test_the_fingerprint_does_not_depend_on_the_place(self, backbone: cdc.Backbone, tmp_path: Path) -> None:
        copy = shutil.copytree(WEIGHTS / backbone.name, tmp_path / "elsewhere")
        assert cdc.load_backbone(str(copy)).fingerprint == backbone.fingerprint

    def test_a_folder_of_the_same_name_does_not_hide_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "picto").mkdir()
        monkeypatch.chdir(tmp_path)
        assert cdc.load_backbone("picto").dim == 192

    def test_damaged_weights_are_one_line(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        folder = shutil.copytree(WEIGHTS / "picto", tmp_path / "picto")
        (folder / "open_clip_model.safetensors").write_bytes(b"damaged")
        monkeypatch.setattr("cdc.backbones.picto._WEIGHTS", tmp_path)
        with pytest.raises(cdc.InputError, match="must load; "):
            cdc.load_backbone("picto")


class TestFiles:
    @pytest.mark.parametrize("name", NAMES)
    def test_half_precision_and_small(self, name: str) -> None:
        weights = load_file(WEIGHTS / name / "open_clip_model.safetensors")
        assert {weight.dtype for weight in weights.values()} == {torch.float16}
        assert all(weight.isfinite().all() for weight in weights.values())
        assert sum(file.stat().st_size for file in (WEIGHTS / name).iterdir()) < MEGABYTES * 2**20

    def test_all_of_them_go_into_the_wheel(self) -> None:
        patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["cdc"]
        files = [file.relative_to(ROOT / "cdc").as_posix() for file in WEIGHTS.rglob("*") if file.is_file()]
        assert len(files) >= 2 * 4
        for file in files:
            assert any(fnmatch.fnmatchcase(file, pattern) for pattern in patterns), file


def test_an_adapter_on_it_is_saved_and_loaded(tmp_path: Path, colour_folder: Path) -> None:
    data = cdc.load_dataset(colour_folder)
    settings = cdc.FitSettings(shots=2, training=cdc.TrainingConfig(epochs=1), cache=None, allow_fewer=True)
    adapter = cdc.fit(data, cdc.CDCConfig(templates=2), cdc.load_backbone("picto"), settings)
    adapter.save(tmp_path / "adapter")
    loaded = cdc.load_adapter(tmp_path / "adapter")
    assert loaded.card.backbone.name == "picto"
    pictures = [Image.open(example.path) for example in data.test[:4]]
    names = ["dog", "polar bear", "red"]
    before, after = (one.predict(pictures, class_names=names) for one in (adapter, loaded))
    assert torch.equal(before.belief, after.belief)
    features = adapter.classifier(names).text
    torch.testing.assert_close(functional.normalize(features, dim=-1), features)
