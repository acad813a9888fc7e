"""Methods trained as remedies: on some of the images, judged on the others by what became of a factor's effect."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int

import cdc
from causalvlm.diagnosis.audit.comparison import compare_levels
from causalvlm.diagnosis.columns import Columns
from causalvlm.diagnosis.ladder import StatedEffect
from causalvlm.diagnosis.remedies import Remedy, compare_shares, paying_level, tell_tried
from causalvlm.embeddings.model import Model, model_of
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.phrases import difference
from cdc.progress import image_bar

SHOTS = 16
"""Images of a class that a method is trained on; at most half of the class."""

Logits = Float[np.ndarray, "_ classes"]


def check_methods(methods: Sequence[str], model: Model | None) -> None:
    """Refuse, before any work, what cannot be trained.

    Raises:
        InputError: if a method is unknown or learns nothing, or the model is not zero-shot with a backbone.

    Example:
        >>> check_methods(("cdc",), None)
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: a method can be trained where the model is zero-shot with its backbone; received ...
    """
    for name in methods:
        if isinstance(cdc.method_config(name), cdc.ZeroShotConfig):
            raise InputError(f"a method that is tried must learn; received {name!r}. Name for example 'cdc'.")
    if methods and (model is None or model.backbone is None or model.reword is None):
        raise InputError(
            "a method can be trained where the model is zero-shot with its backbone; received another. Diagnose "
            "images, without an adapter."
        )


def train_remedies(
    columns: Columns,
    effects: Mapping[str, StatedEffect],
    model: Model,
    methods: Sequence[str],
    *,
    rng: np.random.Generator,
    progress: bool = False,
) -> tuple[Remedy, ...]:
    """Train every method on some of the images, and compare it on all others with the zero-shot model.

    The methods see the same `SHOTS` images a class, drawn at random, and their embeddings as they are: without the
    augmented views that CDC is otherwise trained on. Beside accuracy stands the effect: what the level that pays loses
    against the other, class by class on the held-out images, after minus before.

    Args:
        columns: factors of a table.
        effects: of the factors to mend; without one nothing is trained.
        model: the zero-shot model that answered.
        methods: names, such as ``("cdc", "coop")``.
        rng: draws the images, and seeds the training.
        progress: show a bar, on a terminal.

    Returns:
        For every factor a remedy per method.

    Raises:
        InputError: if a method trains on pixels, or no class has two images.
    """
    table = columns.table
    if not effects or not methods:
        return ()
    shots, held = _split(table, rng)
    seed = int(rng.integers(2**31))
    answers: dict[str, Logits] = {}
    with image_bar("training remedies" if progress else None, total=len(methods), unit="methods") as advance:
        for name in methods:
            answers[name] = _train(table, shots, held, name, model, seed)
            advance()
    return tuple(
        _remedy(columns, factor, effect, name, answers, held, len(shots))
        for factor, effect in effects.items()
        for name in methods
    )


def _split(table: EmbeddingTable, rng: np.random.Generator) -> tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]:
    """Rows to train on, different images of every class, and the rows that show none of these."""
    order = rng.permutation(np.unique(table.images, return_index=True)[1])
    chosen: list[Int[np.ndarray, " _"]] = []
    for label in np.unique(table.labels):
        own = order[table.labels[order] == label]
        chosen.append(own[: min(SHOTS, len(own) // 2)])
    shots = np.sort(np.concatenate(chosen))
    if not len(shots):
        raise InputError("a method needs a class with two different images to be trained; received none. Add images.")
    return shots, np.flatnonzero(~np.isin(table.images, table.images[shots]))


def _train(
    table: EmbeddingTable,
    shots: Int[np.ndarray, " _"],
    held: Int[np.ndarray, " _"],
    name: str,
    model: Model,
    seed: int,
) -> Logits:
    config, towers = cdc.method_config(name), model.backbone
    if towers is None:  # check_methods has been here
        raise InputError("a method needs the backbone of the model; received none.")
    training = replace(cdc.default_training(towers.name, config), seed=seed)
    settings = cdc.FitSettings(shots=SHOTS, training=training, allow_fewer=True)
    features, labels = torch.from_numpy(table.features[shots]), torch.from_numpy(table.labels[shots])
    adapter = cdc.fit_features(features, labels, table.class_names, config, towers, settings, template=model.template)
    classify = model_of(adapter, table.class_names).classify
    if classify is None:
        raise InputError(f"a method must read features to be tried; received {name!r}. Use causalvlm.adapt for it.")
    return classify(table.features[held])


def _remedy(
    columns: Columns,
    factor: str,
    effect: StatedEffect,
    name: str,
    answers: Mapping[str, Logits],
    held: Int[np.ndarray, " _"],
    shots: int,
) -> Remedy:
    table, paying = columns.table, paying_level(effect)
    levels, labels = columns.factors[factor].levels[held], table.labels[held]
    predicted = answers[name].argmax(1)
    what = f"train {name} on {shots:,} of these images, and ask of the other {len(held):,}"
    found = tell_tried(columns, factor, "train", paying, predicted, what, rows=held)
    other = effect.reference if paying == effect.level else effect.level
    changed = compare_levels(answers[name], table.logits[held], labels, levels, other).get(paying)
    told = [found.advice]
    if changed is not None:
        points = difference(changed.accuracy, unit="points", scale=100, digits=1, words=("farther behind", "nearer to"))
        told.append(f"{paying!r} is {points.replace(' (', f' {other!r} (', 1)} than before")
    here = levels == paying
    for rival, logits in answers.items() if name.partition(":")[0] == "cdc" else ():
        one, another = (predictions[here] == labels[here] for predictions in (predicted, logits.argmax(1)))
        if rival != name and (against := compare_shares(one, another)):
            told.append(f"at {paying!r} against {rival} {difference(against, unit='points', scale=100, digits=1)}")
    return replace(found, effect=changed.accuracy if changed else None, method=name, advice="; ".join(told))
