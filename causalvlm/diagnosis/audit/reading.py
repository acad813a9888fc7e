"""Pictures shown to a model that is no adapter: its answers, and the embeddings that stand beside them."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

import cdc
from causalvlm.embeddings.model import Model, Pictures, encode_pictures
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from cdc.progress import image_bar

AT_ONCE = 64
"""Pictures in memory at once."""


def read_model(
    model: Model,
    dataset: cdc.ImageDataset,
    examples: tuple[cdc.Example, ...],
    backbone: cdc.Backbone | None = None,
    *,
    progress: str | None = None,
) -> EmbeddingTable:
    """A table of what a model says of image files; those that cannot be read are left out and named.

    Args:
        model: asked.
        dataset: whose class names the model must know.
        examples: which of its images.
        backbone: makes the embeddings; without, the model's own.
        progress: label of a progress bar, shown on a terminal.

    Raises:
        InputError: if there is no image, nothing makes embeddings, or the class names differ.

    Example:
        >>> from causalvlm.embeddings.model import model_from
        >>> pets = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> read_model(model_from(lambda pictures: np.zeros((0, 2)), ("cat", "cow")), pets, (), None)
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: a model must answer with the class names of the data, cat, dog; received cat, cow...
    """
    if model.class_names != dataset.class_names:
        raise InputError(
            f"a model must answer with the class names of the data, {', '.join(dataset.class_names)}; received "
            f"{', '.join(model.class_names)}. Give both the same names in the same order."
        )
    if backbone is None and model.encode is None:
        raise InputError(
            f"the embedding X must come from somewhere; received {model.name} without one and no backbone. Pass "
            "backbone=, the name of a frozen model such as 'photo'."
        )
    parts: list[tuple[Float[np.ndarray, "_ _"], Float[np.ndarray, "_ _"]]] = []
    kept: list[cdc.Example] = []
    unreadable: list[tuple[Path, str]] = []
    with image_bar(progress, total=len(examples)) as advance:
        for start in range(0, len(examples), AT_ONCE):
            pictures: list[Image.Image] = []
            for item in examples[start : start + AT_ONCE]:
                try:
                    pictures.append(cdc.read_image(item.path))
                    kept.append(item)
                except cdc.UnreadableImageError as error:
                    unreadable.append((item.path, error.reason))
                advance()
            if pictures:
                parts.append((_encoded(model, backbone, pictures), model.answer(pictures)))
    if not kept:
        raise InputError(f"there must be images to audit; {dataset.name} has none that can be read. Check its files.")
    return EmbeddingTable(
        features=np.concatenate([features for features, _ in parts]),
        logits=np.concatenate([logits for _, logits in parts]),
        labels=np.array([item.label for item in kept]),
        factors={name: np.array([item.factors[name] for item in kept]) for name in dataset.factor_names},
        class_names=dataset.class_names,
        files=tuple(item.path for item in kept),
        unreadable=tuple(unreadable),
    )


def _encoded(model: Model, backbone: cdc.Backbone | None, pictures: Pictures) -> Float[np.ndarray, "_ _"]:
    if backbone is not None:
        return encode_pictures(backbone, pictures)
    assert model.encode is not None  # noqa: S101 - refused above
    return model.encode(pictures)
