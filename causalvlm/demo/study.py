"""Measure: accuracy by regime, what factors do, true and estimated effects, and adaptation with CDC."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int

import cdc
from causalvlm.adaptation import adapt, load_dataset
from causalvlm.demo.answers import Model, load_model
from causalvlm.demo.results import (
    Adaptation,
    DemoEffect,
    DemoResult,
    HalfScores,
    Outcome,
    RefusedEffect,
    RegimeAccuracy,
)
from causalvlm.demo.settings import CONTROL, MENDED, MODEL, DemoSettings
from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.diagnosis.result import Diagnosis
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import OverlapError
from causalvlm.estimation.effect import estimate_effect
from causalvlm.identification.estimands import BackDoor
from causalvlm.identification.identify import identify
from causalvlm.intervals import Estimate, mean_interval, wilson
from causalvlm.worlds.picto.effects import true_effect
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.scm import CONFOUNDED, PictoSample, PictoWorld, Regime

REGIMES: tuple[Regime, ...] = get_args(Regime)
STUDIED: Regime = "downstream"
"""Where effects are estimated and the model is adapted: the pictures that a user of the model would have."""

QUESTIONS: tuple[tuple[str, Outcome], ...] = (
    *((factor, "right") for factor in (*CONFOUNDED, "rotation")),
    *((factor, "drawn") for factor in CONFOUNDED),
)
"""The confounded factors, and one without a cause for comparison; each from its first level to its last."""

PREDICTION = "Y_hat"

Right = Bool[np.ndarray, " rows"]
"""Whether each picture is named right."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """The models, and the pictures that the report shows examples of.

    Attributes:
        model: the confounded model.
        samples: a sample of every regime.
    """

    model: Model
    samples: Mapping[str, PictoSample]


def run_study(settings: DemoSettings) -> tuple[DemoResult, Pictures]:
    """Measure everything; minutes on two cores, nothing is downloaded.

    Args:
        settings: sizes and seed.

    Returns:
        The results, and what the report draws its examples from.

    Raises:
        InputError: if the collection is unknown, or the pictograms are not installed.

    Example:
        >>> run_study(DemoSettings(collection="mamals"))
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: a Picto collection must be one of ...
    """
    rng = np.random.default_rng(settings.seed)
    worlds = {regime: PictoWorld((settings.collection,), regime) for regime in REGIMES}
    model, control = (load_model(name, settings.collection) for name in (MODEL, CONTROL))
    samples = {regime: world.sample(settings.pictures, rng=rng) for regime, world in worlds.items()}
    read, twin = (_read(which, samples) for which in (model, control))
    observed = worlds[STUDIED].sample(settings.observed, rng=rng)
    diagnosis, named = _observe(model, observed, probed=settings.probed, rng=rng)
    effects = [_effect(question, observed, named, model, settings) for question in QUESTIONS]
    adaptation, mended = _adapt(model, read, settings)
    right = {MODEL: _correct(read), MENDED: mended, CONTROL: _correct(twin)}
    result = DemoResult(
        regimes=tuple(
            _accuracy(name, regime, which) for name, all_of in right.items() for regime, which in all_of.items()
        ),
        diagnosis=diagnosis,
        effects=tuple(effect for effect in effects if isinstance(effect, DemoEffect)),
        refused=tuple(effect for effect in effects if isinstance(effect, RefusedEffect)),
        adaptation=adaptation,
    )
    return result, Pictures(model, samples)


def _read(model: Model, samples: Mapping[str, PictoSample]) -> dict[str, EmbeddingTable]:
    return {
        regime: model.table(sample, progress=f"{model.name} reads {regime} pictures")
        for regime, sample in samples.items()
    }


def _correct(tables: Mapping[str, EmbeddingTable]) -> dict[str, Right]:
    return {regime: table.correct for regime, table in tables.items()}


def _accuracy(model: str, regime: str, right: Right) -> RegimeAccuracy:
    return RegimeAccuracy(model, regime, len(right), wilson(float(right.mean()), len(right)))


def _observe(
    model: Model, observed: PictoSample, *, probed: int, rng: np.random.Generator
) -> tuple[Diagnosis, Int[np.ndarray, " rows"]]:
    """A diagnosis on the first pictures, and the concept named on each of all pictures."""
    table = model.table(observed, progress=f"{model.name} reads pictures to study")
    reference = {factor: levels[0] for factor, levels in FACTORS.items()}
    first = table.take(np.arange(min(probed, len(table))))
    return diagnose(first, reference=reference, causes=False, rng=rng), table.predicted


def at_home(collection: str, factor: str, level: str) -> Bool[np.ndarray, " _"]:
    """For each concept, whether pre-training shows it at `level` more often than it shows the others there.

    Example:
        >>> at_home("mammals", "background", "striped").mean() < 0.5
        np.True_
    """
    world = PictoWorld((collection,), "pretraining")
    joint = world.source_probabilities[:, None] * world.concept_probabilities()
    given_concept = (joint / joint.sum(0)).T @ world.level_probabilities(factor)[:, FACTORS[factor].index(level)]
    return given_concept > given_concept.mean() + 1e-9


def _scorer(outcome: Outcome, factor: str, collection: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """From named and true concepts to the outcome of each picture, 0 or 1."""
    if outcome == "right":
        return lambda named, true: (named == true).astype(float)
    drawing = at_home(collection, factor, FACTORS[factor][-1])
    return lambda named, _: drawing[named].astype(float)


def _effect(
    question: tuple[str, Outcome],
    observed: PictoSample,
    named: Int[np.ndarray, " rows"],
    model: Model,
    settings: DemoSettings,
) -> DemoEffect | RefusedEffect:
    factor, outcome = question
    control, treated = FACTORS[factor][0], FACTORS[factor][-1]
    score = _scorer(outcome, factor, settings.collection)
    table = observed.table().assign(**{PREDICTION: score(named, observed.labels)})
    estimand = identify(observed.world.graph(), treatment=factor, outcome=PREDICTION)
    rng = np.random.default_rng([settings.seed, 1])
    try:
        estimated = estimate_effect(table, estimand, rng=rng, estimator="aipw", treated=treated, control=control)
    except OverlapError as refusal:
        return RefusedEffect(factor, outcome, str(refusal))
    truth = true_effect(
        observed.world,
        lambda sample: score(model.named(sample), sample.labels),
        factor,
        treated=treated,
        control=control,
        n=settings.pairs,
        rng=np.random.default_rng([settings.seed, 2]),  # the same pictures for every question
        progress=f"rendering pictures again with another {factor.replace('_', ' ')}",
    )
    return DemoEffect(
        factor=factor,
        treated=treated,
        control=control,
        outcome=outcome,
        true=Estimate(truth.value, low=truth.low, high=truth.high),
        estimate=Estimate(estimated.value, low=estimated.low, high=estimated.high),
        naive=_naive(table, factor, treated, control),
        adjustment=estimand.adjustment if isinstance(estimand, BackDoor) else (),
        estimator=estimated.estimator,
    )


def _naive(table: pd.DataFrame, factor: str, treated: str, control: str) -> float:
    level, outcome = table[factor].to_numpy(), table[PREDICTION].to_numpy(dtype=float)
    return float(outcome[level == treated].mean() - outcome[level == control].mean())


def _adapt(
    model: Model, read: Mapping[str, EmbeddingTable], settings: DemoSettings
) -> tuple[Adaptation, dict[str, Right]]:
    """CDC trained on the base classes and tested on both halves; and trained on all, and tested in every regime."""
    data = load_dataset(f"picto/{settings.collection}")
    backbone = model.reader.adapter.backbone
    training = cdc.default_training(backbone.name)
    if settings.epochs is not None:
        training = replace(training, epochs=settings.epochs)
    fit = cdc.FitSettings(training=training)
    based, whole = (
        adapt(data, "cdc", backbone, shots=settings.shots, seed=settings.seed, classes=part, settings=fit)
        for part in ("base", "all")
    )
    plain = adapt(data, "zero-shot", backbone)
    halves = {half: cdc.select_classes(data, half) for half in ("base", "new")}
    right = {half: (_right(plain, part), _right(based, part)) for half, part in halves.items()}
    shifts = {half: mean_interval(after - before) for half, (before, after) in right.items()}
    zero, after = (HalfScores(*(float(right[half][which].mean()) for half in halves)) for which in (0, 1))
    counts = {f"{half}_classes": len(part.class_names) for half, part in halves.items()}
    counts |= {f"{half}_pictures": len(part.test) for half, part in halves.items()} | {"shots": settings.shots}
    classify = whole.classifier(model.reader.class_names)
    mended = {
        regime: classify(torch.tensor(table.features, device=backbone.device)).labels.cpu().numpy() == table.labels
        for regime, table in read.items()
    }
    return (
        Adaptation(
            zero_shot=zero,
            adapted=after,
            base_shift=shifts["base"],
            new_shift=shifts["new"],
            regime_shifts={
                regime: mean_interval(mended[regime].astype(float) - table.correct) for regime, table in read.items()
            },
            counts=counts,
            seconds=sum(one.card.training.seconds for one in (based, whole) if one.card.training),
        ),
        mended,
    )


def _right(adapter: cdc.Adapter, part: cdc.ImageDataset) -> Float[np.ndarray, " rows"]:
    """One where the adapter is right on a test picture, else zero."""
    _, prediction = cdc.evaluate(adapter, part.test, part.class_names)
    labels = np.array([example.label for example in part.test])
    return (prediction.labels.cpu().numpy() == labels).astype(float)
