"""Adapt a CLIP-like model to a data set: the face of `cdc` in this package."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import cdc
from causalvlm.datasets import load_dataset

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
    device: str = "cpu",
    settings: cdc.FitSettings | None = None,
    out: Path | None = None,
    force: bool = False,
) -> cdc.Adapter:
    """Adapt `backbone` to `data` with a few images per class.

    Args:
        data: a data set, its name, a folder or a CSV file.
        method: the name of a registered method or of a variant (such as ``"maple"`` or ``"cdc:paper"``), or a config
            with settings of your own.
        backbone: a loaded backbone, or the name of one (float32); ``"picto"`` knows pictograms, not photographs.
        shots: training images per class.
        seed: of the drawn shots, the initial tokens and the shuffling.
        classes: train on the first half of the classes, on the second, or on all.
        device: where a backbone given by name is loaded.
        settings: anything else, such as epochs and the cache; its shots, seed and classes are set by the above.
        out: folder to save the adapter in; killed at any moment, the same call goes on from there.
        force: replace the adapter in `out`.

    Returns:
        An adapter: `predict`, `save`, new class names after training.

    Raises:
        InputError: if the method, backbone or data set is unknown, a class has fewer images than `shots`, or another
            adapter lies in `out` and `force` is false.

    Example:
        >>> data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
        >>> adapt(data, "zero-shot").class_names
        ('cat', 'dog')
    """
    config = cdc.method_config(method) if isinstance(method, str) else method
    dataset = data if isinstance(data, cdc.ImageDataset) else load_dataset(data)
    towers = cdc.load_backbone(backbone, device=device) if isinstance(backbone, str) else backbone
    settings = settings or cdc.FitSettings(training=cdc.default_training(towers.name, config))
    training = replace(settings.training, seed=seed)
    settings = replace(settings, shots=shots, classes=classes, training=training)
    if out is not None:
        return cdc.fit_into(out, dataset, config, towers, settings, force=force)
    return cdc.fit(dataset, config, towers, settings)
