"""Small open_clip models of every kind the project supports, with random weights, as folders on disk."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, MT5Config, PreTrainedTokenizerFast, RobertaConfig

VIT = {"image_size": 32, "layers": 2, "width": 32, "head_width": 8, "patch_size": 16}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 3}
SHORT = {"context_length": 40, "vocab_size": 80, "width": 32, "heads": 4, "layers": 3, "hf_tokenizer_name": "here"}
HF = {"context_length": 40, "hf_model_name": "here", "hf_tokenizer_name": "here", "hf_proj_type": "linear"}
COCA_TEXT = {**TEXT, "context_length": 76, "embed_cls": True, "output_tokens": True}
COCA_VIT = {**VIT, "attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True}
TIMM = {"timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "linear", "image_size": 32}


@dataclass(frozen=True)
class Kind:
    """A kind of model: its configuration, and what a test must know of it without asking the code under test.

    Attributes:
        config: of open_clip.
        start: special tokens before the first word.
        extra: tokens of a prompt besides start tokens, context and name: full stop and end token.
        pads_with_end: whether the end token is the padding, as SigLIP's is.
        transformer: configuration of a transformers text tower.
    """

    config: dict[str, Any]
    start: int = 1
    extra: int = 2
    pads_with_end: bool = False
    transformer: Any = None


SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 80}
BERT = BertConfig(**SMALL, max_position_embeddings=64, pad_token_id=1)
ROBERTA = RobertaConfig(**SMALL, max_position_embeddings=64, pad_token_id=1)
MT5 = MT5Config(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=80, pad_token_id=1)

KINDS = {
    "openai": Kind({"vision_cfg": VIT, "text_cfg": TEXT}),
    "quickgelu": Kind({"vision_cfg": VIT, "text_cfg": TEXT, "quick_gelu": True}),
    "eos": Kind(
        {"vision_cfg": VIT, "custom_text": True,
         "text_cfg": {**TEXT, "pool_type": "eos", "eos_id": 49407, "ls_init_value": 0.5}}),
    "bias": Kind({"vision_cfg": VIT, "custom_text": True, "text_cfg": {**TEXT, "proj_bias": True}}),
    "siglip": Kind(
        {"vision_cfg": VIT, "custom_text": True, "init_logit_bias": -10.0,
         "text_cfg": {**SHORT, "no_causal_mask": True, "pool_type": "last", "proj_bias": True,
                      "tokenizer_kwargs": {"clean": "canonicalize"}}}, start=0, extra=1, pads_with_end=True),
    "coca": Kind(
        {"vision_cfg": COCA_VIT, "text_cfg": COCA_TEXT, "custom_text": True,
         "multimodal_cfg": {"context_length": 76, "width": 32, "heads": 4, "layers": 1}}),
    "bert": Kind({"vision_cfg": VIT, "text_cfg": {**HF, "hf_pooler_type": "mean_pooler"}}, transformer=BERT),
    "roberta": Kind({"vision_cfg": VIT, "text_cfg": {**HF, "hf_pooler_type": "cls_pooler"}}, transformer=ROBERTA),
    "mt5": Kind({"vision_cfg": VIT, "text_cfg": {**HF, "hf_pooler_type": "mean_pooler"}}, start=0, transformer=MT5),
    "timm": Kind({"vision_cfg": TIMM, "text_cfg": TEXT}),
    "resnet": Kind(
        {"vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8}, "text_cfg": TEXT}),
}  # fmt: skip


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a small model of the kind named, made once."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            write_model(made[kind], KINDS[kind])
        return made[kind]

    return folder


@pytest.fixture(scope="session")
def own_model(model_folder: Callable[[str], Path]) -> Callable[..., Any]:
    """open_clip's own model and tokenizer of the kind named, loaded without the project's code."""

    def load(kind: str, precision: str = "fp32") -> tuple[Any, Any]:
        name = f"local-dir:{model_folder(kind)}"
        model = open_clip.create_model(name, precision=precision, pretrained_text=False)
        return model.eval().requires_grad_(False), open_clip.get_tokenizer(name)

    return load


def write_model(folder: Path, kind: Kind) -> None:
    """Write configuration, tokenizer and weights whose features differ clearly between texts and between images."""
    config = json.loads(json.dumps({"embed_dim": 24, **kind.config}))
    if "hf_tokenizer_name" in config["text_cfg"]:
        write_tokenizer(folder, kind)
    if kind.transformer is not None:
        kind.transformer.save_pretrained(folder)
        config["text_cfg"]["hf_model_name"] = str(folder)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.create_model(f"local-dir:{folder}", pretrained_text=False)
        for name, parameter in model.named_parameters():
            if parameter.ndim == 0 or (parameter.ndim < 2 and not name.endswith("bias")):
                continue
            fan = parameter[0].numel() ** 0.5
            spread = 1.0 if "embed" in name else 0.1 if name.endswith("bias") else 2 / fan
            torch.nn.init.normal_(parameter, std=spread)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")


def write_tokenizer(folder: Path, kind: Kind) -> None:
    """A tokenizer of letters, with the special tokens of the kind."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", ".", "-", "'", *letters, *(f"▁{letter}" for letter in letters)]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=3))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if kind.start else "$A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    pad = "</s>" if kind.pads_with_end else "<pad>"
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": pad, "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
