"""Adapt a CLIP-like model to a data set: the face of `cdc` in this package."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import cdc
from causalvlm.datasets import load_dataset
from causalvlm.errors import InputError

METHODS: dict[str, type[cdc.CDCConfig | cdc.CoOpConfig | cdc.ZeroShotConfig]] = {
    "cdc": cdc.CDCConfig,
    "coop": cdc.CoOpConfig,
    "zero-shot": cdc.ZeroShotConfig,
}
"""Methods by the names that commands and results use."""

Data = cdc.ImageDataset | str | Path
"""A data set, or what `load_dataset` finds one by."""


def adapt(
    data: Data,
    method: str | cdc.MethodConfig = "cdc",
    backbone: str | cdc.Backbone = "picto",
    *,
    shots: int = 16,
    seed: int = 1,
    classes: Literal["base", "new", "all"] = "all",
    settings: cdc.FitSettings | None = None,
) -> cdc.Adapter:
    """Adapt `backbone` to `data` with a few images per class.

    Args:
        data: a data set, its name, a folder or a CSV file.
        method: ``"cdc"``, ``"coop"``, ``"zero-shot"``, or a config with settings of its own.
        backbone: a loaded backbone, or the name of one (CPU, float32); ``"picto"`` knows pictograms, not photographs.
        shots: training images per class.
        seed: of the drawn shots, the initial tokens and the shuffling.
        classes: train on the first half of the classes, on the second, or on all.
        settings: anything else, such as epochs and the cache; its shots, seed and classes are set by the above.

    Returns:
        An adapter: `predict`, `save`, new class names after training.

    Raises:
        InputError: if the method, backbone or data set is unknown, or a class has fewer images than `shots`.

    Example:
        >>> data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> adapt(data, "zero-shot").class_names
        ('cat', 'dog')
    """
    config = method_config(method) if isinstance(method, str) else method
    dataset = data if isinstance(data, cdc.ImageDataset) else load_dataset(data)
    towers = cdc.load_backbone(backbone) if isinstance(backbone, str) else backbone
    settings = settings or cdc.FitSettings(training=cdc.default_training(towers.name))
    training = replace(settings.training, seed=seed)
    return cdc.fit(dataset, config, towers, replace(settings, shots=shots, classes=classes, training=training))


def method_config(name: str) -> cdc.MethodConfig:
    """The default settings of a method.

    Raises:
        InputError: if there is no such method.

    Example:
        >>> method_config("coop").context_tokens
        4
    """
    if name not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}; received {name!r}.")
    return METHODS[name]()
