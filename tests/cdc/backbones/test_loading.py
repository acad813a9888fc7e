"""`load_backbone`: every kind of name, and one clear line for every way it can go wrong."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import open_clip.pretrained
import pytest
import torch
from safetensors.torch import load_file, save_file

import cdc
from tests.cdc.conftest import KINDS

TINY = "tiny-clip-of-the-tests"
"""Name under which the tests register a small architecture with open_clip."""


@pytest.fixture
def architecture(model_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Register a small architecture with open_clip, for this test alone; returns a checkpoint of it."""
    folder = model_folder("openai")
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / f"{TINY}.json").write_text(json.dumps(config))
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", list(open_clip.factory._MODEL_CONFIG_PATHS))
    open_clip.add_model_config(tmp_path / f"{TINY}.json")
    return folder / "open_clip_model.safetensors"


def one_line(error: pytest.ExceptionInfo[cdc.InputError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


class TestEveryKindOfModel:
    @pytest.mark.parametrize("kind", KINDS)
    def test_embeddings_are_open_clips_own_bit_for_bit(
        self, kind: str, model_folder: Callable[[str], Path], own_model: Callable[..., Any]
    ) -> None:
        backbone = cdc.load_backbone(str(model_folder(kind)))
        model, tokenizer = own_model(kind)
        size = model.visual.image_size
        size = size[0] if isinstance(size, tuple) else size
        pixels = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
        images = backbone.encode_images(pixels)
        assert torch.equal(images, model.encode_image(pixels, normalize=True))
        assert torch.pdist(images).min() > 1e-2
        texts = ["a photo of a dog.", "ice cream", "x"]
        features, own = backbone.encode_texts(texts), model.encode_text(tokenizer(texts), normalize=True)
        if KINDS[kind].transformer is None:
            assert torch.equal(features, own)
        else:  # padding is cut, which leaves another order of summation
            torch.testing.assert_close(features, own, atol=1e-5, rtol=0)
        assert torch.pdist(features).min() > 1e-2
        assert features.shape[1] == images.shape[1] == backbone.dim
        assert backbone.logit_scale == pytest.approx(float(model.logit_scale.exp()))

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_low_precision_stays_close(self, kind: str, precision: Any, model_folder: Callable[[str], Path]) -> None:
        exact, low = (cdc.load_backbone(str(model_folder(kind)), precision=p) for p in ("fp32", precision))
        pixels = torch.randn(3, 3, *[64 if kind == "resnet" else 32] * 2, generator=torch.Generator().manual_seed(0))
        assert low.encode_images(pixels).dtype == torch.float32
        for one, other in (
            (exact.encode_images(pixels), low.encode_images(pixels)),
            (exact.encode_texts(["dog", "x"]), low.encode_texts(["dog", "x"])),
        ):
            assert 0 < (one - other).norm(dim=-1).max() < {"bf16": 0.1, "fp16": 0.02}[precision]
        assert low.logit_scale == exact.logit_scale

    def test_the_bias_of_siglip_is_in_every_logit(
        self, model_folder: Callable[[str], Path], own_model: Callable[..., Any]
    ) -> None:
        backbone = cdc.load_backbone(str(model_folder("siglip")))
        model, tokenizer = own_model("siglip")
        pixels, texts = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)), ["a dog", "x"]
        own, _ = model.get_logits(pixels, tokenizer(texts))
        assert backbone.logit_bias == -10
        torch.testing.assert_close(
            backbone.logits(backbone.encode_images(pixels), backbone.encode_texts(texts)), own, atol=1e-4, rtol=0
        )

    def test_the_towers_are_frozen_and_in_evaluation_mode(self, model_folder: Callable[[str], Path]) -> None:
        backbone = cdc.load_backbone(str(model_folder("resnet")))
        assert not backbone.image_tower.training
        assert not any(weight.requires_grad for weight in backbone.image_tower.parameters())
        assert not backbone.encode_texts(["dog"]).requires_grad


class TestWeights:
    def test_a_checkpoint_may_be_safetensors_or_pt(self, architecture: Path, tmp_path: Path) -> None:
        state = load_file(architecture)
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "training.pt")
        one = cdc.load_backbone(TINY, str(architecture))
        other = cdc.load_backbone(TINY, str(tmp_path / "training.pt"))
        assert one.fingerprint == other.fingerprint
        assert torch.equal(one.encode_texts(["dog"]), other.encode_texts(["dog"]))
        assert one.pretrained == str(architecture)

    def test_a_tag_brings_its_activation(self, architecture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tags = {
            "quick": {"file": str(architecture), "quick_gelu": True},
            "plain": {"file": str(architecture)},
        }
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, TINY, tags)
        monkeypatch.setattr("cdc.hub.HUB_TIMEOUT", 0.01)
        quick, plain = cdc.load_backbone(TINY, "quick"), cdc.load_backbone(TINY, "plain")
        features = quick.encode_texts(["dog"])
        assert (features - plain.encode_texts(["dog"])).norm() > 1e-3
        own = open_clip.create_model(TINY, str(architecture), force_quick_gelu=True).eval()
        torch.testing.assert_close(features, own.encode_text(open_clip.tokenize(["dog"]), normalize=True).detach())
        assert quick.fingerprint != plain.fingerprint == cdc.load_backbone(TINY, str(architecture)).fingerprint

    def test_random_weights_are_said_aloud_and_always_the_same(
        self, architecture: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert architecture.exists()
        state, handlers = torch.get_rng_state(), list(logging.getLogger().handlers)
        one, other = cdc.load_backbone(TINY), cdc.load_backbone(TINY)
        assert one.fingerprint == other.fingerprint
        assert torch.equal(torch.get_rng_state(), state)
        assert {record.name for record in caplog.records} == {"cdc"}
        assert caplog.messages[0] == f"{TINY} has random weights. Pass pretrained=, the path of a checkpoint."
        assert logging.getLogger().handlers == handlers
        assert "Model initialized" not in "".join(capfd.readouterr())

    def test_loaded_weights_warn_of_nothing(
        self, model_folder: Callable[[str], Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        cdc.load_backbone(str(model_folder("openai")))
        assert not caplog.records


class Malicious:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("false",)


class TestMistakes:
    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("ViT-B16", "'ViT-B-16'"),
            ("vit-l-14", "'ViT-L-14'"),
            ("fotos", "'photo'"),
            ("pict", "'picto'"),
            ("RN-50", "'RN50'"),
        ],
    )
    def test_an_unknown_name_suggests_near_ones(self, name: str, near: str) -> None:
        with pytest.raises(cdc.InputError, match=f"received '{name}'. Did you mean.*{near}"):
            cdc.load_backbone(name)

    def test_a_name_near_nothing_lists_all(self) -> None:
        with pytest.raises(cdc.InputError, match=r"received 'qqqq'. Known are .*ViT-B-16,"):
            cdc.load_backbone("qqqq")

    def test_an_unknown_tag_suggests_near_ones(self) -> None:
        with pytest.raises(cdc.InputError, match=r"received 'opneai'\. Did you mean 'openai'") as error:
            cdc.load_backbone("ViT-B-32", "opneai")
        one_line(error)

    def test_an_architecture_without_tags_asks_for_a_checkpoint(self, architecture: Path) -> None:
        assert architecture.exists()
        with pytest.raises(cdc.InputError, match=r"received 'openai'\. It has no tags: pass the path of a checkpoint"):
            cdc.load_backbone(TINY, "openai")

    @pytest.mark.parametrize("device", ["gpu", "tpu:0", "meta", "", "cpu:5"])
    def test_an_unknown_device(self, device: str) -> None:
        with pytest.raises(cdc.InputError, match=f"device must be cpu, cuda or cuda:N; received '{device}'"):
            cdc.load_backbone("photo", device=device)

    def test_an_absent_device(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        with pytest.raises(cdc.InputError, match="device 'cuda:1' must be present; 1 CUDA devices were found"):
            cdc.load_backbone("photo", device="cuda:1")

    @pytest.mark.parametrize("name", ["photo", "picto", "picto-unconfounded", "hf-hub:some/model"])
    def test_weights_for_a_model_that_brings_its_own(self, name: str) -> None:
        with pytest.raises(cdc.InputError, match=f"'{name}' brings its own weights; received pretrained='openai'"):
            cdc.load_backbone(name, "openai")

    def test_a_checkpoint_of_another_architecture(
        self, architecture: Path, model_folder: Callable[[str], Path]
    ) -> None:
        assert architecture.exists()
        with pytest.raises(cdc.InputError, match=f"must load; Error.*Pass a checkpoint of {TINY}") as error:
            cdc.load_backbone(TINY, str(model_folder("resnet") / "open_clip_model.safetensors"))
        one_line(error)

    @pytest.mark.parametrize("name", ["broken.safetensors", "broken.pt", "empty.pt"])
    def test_a_damaged_checkpoint(self, name: str, architecture: Path, tmp_path: Path) -> None:
        assert architecture.exists()
        (tmp_path / name).write_bytes(b"" if name.startswith("empty") else b"no weights at all")
        with pytest.raises(cdc.InputError, match=f"the weights of '{TINY}' .*{name}.* must load; ") as error:
            cdc.load_backbone(TINY, str(tmp_path / name))
        one_line(error)

    def test_a_file_with_code_in_it_is_refused_in_our_own_words(self, architecture: Path, tmp_path: Path) -> None:
        assert architecture.exists()
        torch.save({"state_dict": {"weight": Malicious()}}, tmp_path / "weights.pt")
        with pytest.raises(cdc.InputError, match=r"must load; it holds \w+.system, which is code") as error:
            cdc.load_backbone(TINY, str(tmp_path / "weights.pt"))
        assert "pass the weights as .safetensors" in one_line(error)
        assert "weights_only" not in str(error.value)

    def test_a_directory_without_configuration(self, tmp_path: Path) -> None:
        with pytest.raises(cdc.InputError, match=r"must load; .* A directory needs open_clip_config.json") as error:
            cdc.load_backbone(str(tmp_path))
        one_line(error)

    def test_a_directory_without_weights(self, model_folder: Callable[[str], Path], tmp_path: Path) -> None:
        shutil.copy(model_folder("openai") / "open_clip_config.json", tmp_path)
        with pytest.raises(cdc.InputError, match=r"A directory needs open_clip_config.json and weights") as error:
            cdc.load_backbone(str(tmp_path))
        one_line(error)

    @pytest.mark.parametrize(("name", "tag"), [("ViT-B-32", "openai"), ("hf-hub:timm/ViT-B-16-SigLIP", None)])
    def test_a_hub_out_of_reach_is_said_at_once(
        self,
        name: str,
        tag: str | None,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.invalid")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        started = time.monotonic()
        with pytest.raises(cdc.InputError, match=r"must be fetched.*https://hub.invalid cannot be reached") as error:
            cdc.load_backbone(name, tag)
        assert "pass the path of a downloaded checkpoint, or use 'picto' or 'photo'" in one_line(error)
        assert time.monotonic() - started < 30  # with its retries the hub's own library takes most of a minute
        assert "Retrying" not in "".join(capfd.readouterr())

    @pytest.mark.parametrize("with_weights", [False, True])
    def test_a_tokenizer_out_of_reach_is_said_before_anything_is_built(
        self, with_weights: bool, architecture: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS[TINY]["text_cfg"], "hf_tokenizer_name", "nobody/letters")
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.invalid")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr("cdc.backbones.open_clip_models._build", lambda *_: pytest.fail("the towers were built"))
        said = rf"tokenizer and text settings of '{TINY}' \(nobody/letters\) must load; https://hub.invalid cannot be"
        with pytest.raises(cdc.InputError, match=said) as error:
            cdc.load_backbone(TINY, str(architecture) if with_weights else None)
        assert "pass a local directory with open_clip_config.json, weights and the tokenizer's files" in one_line(error)

    def test_a_directory_without_its_tokenizer(self, model_folder: Callable[[str], Path], tmp_path: Path) -> None:
        folder = shutil.copytree(model_folder("siglip"), tmp_path / "copy", ignore=shutil.ignore_patterns("tok*"))
        with pytest.raises(
            cdc.InputError, match=r"the tokenizer and .* must load; .* Put the tokenizer's files"
        ) as error:
            cdc.load_backbone(str(folder))
        one_line(error)

    @pytest.mark.parametrize("asks", [{"tokenizer_kwargs": {"trust_remote_code": True}}, {}])
    @pytest.mark.parametrize(
        ("kind", "file", "change"),
        [
            ("siglip", "tokenizer_config.json",
             {"auto_map": {"AutoTokenizer": [None, "theirs.Words"]}, "tokenizer_class": "Words"}),
            ("bert", "config.json", {"auto_map": {"AutoConfig": "theirs.Tower"}, "model_type": "theirs"}),
        ],
    )  # fmt: skip
    def test_code_that_comes_with_a_model_is_never_run(
        self,
        kind: str,
        file: str,
        change: dict[str, Any],
        asks: dict[str, Any],
        model_folder: Callable[[str], Path],
        tmp_path: Path,
    ) -> None:
        folder, ran = shutil.copytree(model_folder(kind), tmp_path / "model"), tmp_path / "ran"
        (folder / "theirs.py").write_text(
            f"open({str(ran)!r}, 'w').close()\nfrom transformers import BertConfig, PreTrainedTokenizerFast\n"
            "class Words(PreTrainedTokenizerFast): ...\nclass Tower(BertConfig): ...\n"
        )
        (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | change))
        config = json.loads((folder / "open_clip_config.json").read_text())
        text = config["model_cfg"]["text_cfg"]
        text |= asks | ({"hf_model_name": str(folder)} if "hf_model_name" in text else {})
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        with pytest.raises(
            cdc.InputError, match=r"must load; Python code comes with them, which is never run"
        ) as error:
            cdc.load_backbone(str(folder))
        assert "trust_remote_code" not in one_line(error)
        assert not ran.exists()

    def test_a_pooler_that_cannot_run(self, model_folder: Callable[[str], Path], tmp_path: Path) -> None:
        folder = shutil.copytree(model_folder("bert"), tmp_path / "copy")
        config = json.loads((folder / "open_clip_config.json").read_text())
        config["model_cfg"]["text_cfg"]["hf_pooler_type"] = "max_pooler"
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        with pytest.raises(cdc.InputError, match="received max_pooler, which fails in open_clip itself") as error:
            cdc.load_backbone(str(folder))
        one_line(error)


class TestFingerprint:
    def test_it_is_the_same_in_every_process_and_for_every_copy(
        self, model_folder: Callable[[str], Path], tmp_path: Path
    ) -> None:
        copies = [str(shutil.copytree(model_folder(kind), tmp_path / kind)) for kind in ("openai", "bert")]
        command = f"import cdc; print(*[cdc.load_backbone(copy).fingerprint for copy in {copies}])"
        done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
        here = [cdc.load_backbone(str(model_folder(kind))).fingerprint for kind in ("openai", "bert")]
        assert done.stdout.split() == here

    def test_it_sees_a_single_weight_and_leaves_the_precision_to_the_identity(
        self, model_folder: Callable[[str], Path], tmp_path: Path
    ) -> None:
        folder = shutil.copytree(model_folder("openai"), tmp_path / "copy")
        before = cdc.load_backbone(str(folder))
        state = load_file(folder / "open_clip_model.safetensors")
        state["token_embedding.weight"][12345, 7] += 1e-3
        save_file(state, folder / "open_clip_model.safetensors")
        after = cdc.load_backbone(str(folder))
        half = cdc.load_backbone(str(folder), precision="bf16")
        assert before.fingerprint != after.fingerprint == half.fingerprint
        assert (after.identity, half.identity) == (after.fingerprint, f"{after.fingerprint}-bf16")

    @pytest.mark.parametrize(
        ("part", "change"), [("preprocess_cfg", {"mean": [0.1, 0.2, 0.3]}), ("model_cfg", {"quick_gelu": True})]
    )
    def test_it_sees_preprocessing_and_activation(
        self, part: str, change: dict[str, Any], model_folder: Callable[[str], Path], tmp_path: Path
    ) -> None:
        folder = shutil.copytree(model_folder("openai"), tmp_path / "copy")
        before = cdc.load_backbone(str(folder)).fingerprint
        config = json.loads((folder / "open_clip_config.json").read_text())
        config[part].update(change)
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        assert cdc.load_backbone(str(folder)).fingerprint != before
