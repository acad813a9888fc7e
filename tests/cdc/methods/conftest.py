"""What tests of several methods start from."""

import pytest

import cdc


@pytest.fixture
def parts(own_model, model_folder):
    """A backbone, and open_clip's own model and tokenizer of the same weights."""
    return cdc.load_backbone(str(model_folder("openai"))), *own_model("openai")
