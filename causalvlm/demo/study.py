"""Measure: accuracy by regime, what factors do, true and estimated effects, and adaptation with CDC."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

import cdc
from causalvlm.adaptation import adapt, load_dataset
from causalvlm.demo.answers import Model, load_model
from causalvlm.demo.results import Adaptation, DemoEffect, DemoResult, HalfScores, Outcome, RefusedEffect
from causalvlm.demo.results import RegimeAccuracy as Accuracy
from causalvlm.demo.settings import CONTROL, MODEL, DemoSettings
from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.diagnosis.result import Diagnosis
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
    regimes = tuple(_accuracy(which, samples[regime]) for which in (model, control) for regime in REGIMES)
    observed = worlds[STUDIED].sample(settings.observed, rng=rng)
    diagnosis, named = _observe(model, observed, probed=settings.probed, rng=rng)
    effects = [_effect(question, observed, named, model, settings) for question in QUESTIONS]
    result = DemoResult(
        regimes=regimes,
        diagnosis=diagnosis,
        effects=tuple(effect for effect in effects if isinstance(effect, DemoEffect)),
        refused=tuple(effect for effect in effects if isinstance(effect, RefusedEffect)),
        adaptation=_adapt(model, settings),
    )
    return result, Pictures(model, samples)


def _accuracy(model: Model, sample: PictoSample) -> Accuracy:
    table = model.table(sample, progress=f"{model.name} reads {sample.world.regime} pictures")
    share = wilson(float(table.correct.mean()), len(sample))
    return Accuracy(model.name, sample.world.regime, len(sample), share)


def _observe(
    model: Model, observed: PictoSample, *, probed: int, rng: np.random.Generator
) -> tuple[Diagnosis, Int[np.ndarray, " rows"]]:
    """A diagnosis on the first pictures, and the concept named on each of all pictures."""
    table = model.table(observed, progress=f"{model.name} reads pictures to study")
    first = replace(
        table,
        features=table.features[:probed],
        logits=table.logits[:probed],
        labels=table.labels[:probed],
        factors={name: column[:probed] for name, column in table.factors.items()},
    )
    reference = {factor: levels[0] for factor, levels in FACTORS.items()}
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


def _adapt(model: Model, settings: DemoSettings) -> Adaptation:
    data = load_dataset(f"picto/{settings.collection}")
    backbone = model.reader.adapter.backbone
    training = cdc.default_training(backbone.name)
    if settings.epochs is not None:
        training = replace(training, epochs=settings.epochs)
    fit = cdc.FitSettings(training=training)
    adapter = adapt(data, "cdc", backbone, shots=settings.shots, seed=settings.seed, classes="base", settings=fit)
    plain = adapt(data, "zero-shot", backbone)
    halves = {half: cdc.select_classes(data, half) for half in ("base", "new")}
    right = {half: (_right(plain, part), _right(adapter, part)) for half, part in halves.items()}
    shifts = {half: mean_interval(after - before) for half, (before, after) in right.items()}
    zero, after = (HalfScores(*(float(right[half][which].mean()) for half in halves)) for which in (0, 1))
    counts = {f"{half}_classes": len(part.class_names) for half, part in halves.items()}
    counts |= {f"{half}_pictures": len(part.test) for half, part in halves.items()} | {"shots": settings.shots}
    return Adaptation(
        zero,
        after,
        shifts["base"],
        shifts["new"],
        counts,
        adapter.card.training.seconds if adapter.card.training else 0.0,
    )


def _right(adapter: cdc.Adapter, part: cdc.ImageDataset) -> Float[np.ndarray, " rows"]:
    """One where the adapter is right on a test picture, else zero."""
    _, prediction = cdc.evaluate(adapter, part.test, part.class_names)
    labels = np.array([example.label for example in part.test])
    return (prediction.labels.cpu().numpy() == labels).astype(float)
