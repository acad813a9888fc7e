"""Fixtures that several test files share."""

import json
import os
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import cdc

TINY_CLIP = {
    "model_cfg": {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}
"""A CLIP small enough to run in milliseconds, with the real tokenizer."""


@pytest.fixture(scope="session")
def tiny_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip model folder with random weights, large enough to tell classes apart."""
    folder = tmp_path_factory.mktemp("tiny-clip")
    (folder / "open_clip_config.json").write_text(json.dumps(TINY_CLIP))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model(f"local-dir:{folder}")
        state = {name: value * 3 if value.ndim > 1 else value for name, value in model.state_dict().items()}
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def tiny_backbone(tiny_clip_folder: Path) -> cdc.Backbone:
    """The tiny CLIP, loaded as a user would load it."""
    return cdc.load_backbone(str(tiny_clip_folder))


@pytest.fixture(scope="session")
def photographs() -> Path:
    """The folder of real photographs, or a skip."""
    folder = Path(os.environ.get("CAUSALVLM_DATA", "../shared/data"))
    if not folder.exists():
        pytest.skip(f"no photographs in {folder}: set CAUSALVLM_DATA to a folder with caltech-101/ and pacs/")
    return folder


@pytest.fixture(scope="session")
def colour_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 4 classes x 12 noisy pictures that differ in colour: any image tower tells them apart."""
    root = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for name, colour in {
        "red": (220, 30, 30),
        "green": (30, 200, 40),
        "blue": (30, 40, 220),
        "grey": (128,) * 3,
    }.items():
        (root / name).mkdir()
        for index in range(12):
            pixels = np.clip(np.array(colour) + rng.normal(0, 40, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index:02d}.png")
    return root
