"""Diagnosis: does the model see a task-irrelevant factor, does it pay for it, and is the factor what it pays for?

Every comparison of levels is made class by class, so that a level that holds harder classes is not blamed for them.
These shifts are associations with the factor; which of them are its effects, `find_causes` asks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Shaped

from causalvlm.diagnosis.association import associate
from causalvlm.diagnosis.beside import probe_beside, take_groups
from causalvlm.diagnosis.causes import FEWEST_PAIRS, Causes, correct_causes, find_causes
from causalvlm.diagnosis.columns import (
    FEWEST_IMAGES,
    Columns,
    FactorColumn,
    choose_reference,
    join_columns,
    labelled_columns,
    pixel_columns,
)
from causalvlm.diagnosis.evidence import AdjustedPValues, Evidence
from causalvlm.diagnosis.front_door import ask_front_door
from causalvlm.diagnosis.interventions import MOST_IMAGES
from causalvlm.diagnosis.ladder import StatedEffect
from causalvlm.diagnosis.levels import Answers, diagnose_cell, diagnose_level
from causalvlm.diagnosis.misalignment import Misalignment, ask_misalignment, words_of
from causalvlm.diagnosis.remedies import Remedy, find_remedies
from causalvlm.diagnosis.result import Diagnosis, FactorDiagnosis
from causalvlm.diagnosis.settings import Setting
from causalvlm.diagnosis.trained import check_methods, train_remedies
from causalvlm.diagnosis.unlabelled import cluster_columns, concept_columns
from causalvlm.diagnosis.worst import find_worst
from causalvlm.embeddings.encode import AdapterChoice, BackboneChoice, Data, embed_with_model
from causalvlm.embeddings.model import Model
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.graphs.graph import CausalGraph
from causalvlm.intervals import wilson
from causalvlm.multiplicity import holm
from causalvlm.probes.linear import fit_probe
from causalvlm.probes.sampling import PROBED_IMAGES, sample_rows
from causalvlm.randomness import Rng, generator
from cdc.progress import image_bar


def diagnose(
    data: Data | EmbeddingTable,
    backbone: BackboneChoice = None,
    adapter: AdapterChoice = None,
    *,
    model: Model | None = None,
    reference: Mapping[str, str] | None = None,
    pixels: bool | None = None,
    concepts: bool = False,
    graph: CausalGraph | None = None,
    settings: Mapping[str, Setting] | None = None,
    description: str | None = None,
    causes: bool = True,
    pairs: int = MOST_IMAGES,
    train: Sequence[str] = (),
    probes: Literal["linear", "full"] = "linear",
    groups: str | None = None,
    folds: int = 5,
    rng: Rng = 0,
    progress: bool = False,
) -> Diagnosis:
    """Ask of every factor: is it decodable, used, confounded with the class, what is its effect, does that survive?

    The answers are the rungs of each factor's ladder. Beside them stand accuracy and margin at every level and class.
    Levels are compared on all images; probes read at most 5,000 of them, each level with its share.

    Args:
        data: an embedding table, or images to embed: a data set with factors, its name, a folder or a CSV file.
        backbone: of the model to diagnose; by default the adapter's, or ``"picto"``.
        adapter: diagnose it on the test split; without, the zero-shot classifier on all images.
        model: of a table, what gave its logits: it is then asked of changed images; see `model_of` and `model_from`.
        reference: for each factor the level to compare with; by default the middle one of measured thirds, else the
            one with most images, and among equals the one with the highest accuracy.
        pixels: ask about factors that need no label too: measured from the images (brightness, sharpness, a watermark,
            ...), and clusters of embeddings; by default if no labelled one is given.
        concepts: with them, about concepts in words as the model itself sees them (indoors, at night, ...). That their
            wordings agree does not show that the model knows them: it is for looking, not for claims.
        graph: of the data, with a node for every factor, for the class (``Y``) and for the answer (``Y_hat``); by
            default the paper's, `data_graph`.
        settings: how factors are set in the images, by name, beside those that are known: factors measured from pixels
            are set by editing, those of Picto by drawing again.
        description: of an image, for a zero-shot model: what it matches beside its class, such as ``"a {style} of a
            {class}"``; by default the prompt and the levels of the labelled factors that are words.
        causes: set the factors, erase what cannot be set, estimate their effects and try to refute them, and ask what
            the image does to its label through S: the slow part.
        pairs: of pictures with a factor at two levels, for each level that it is set to, at most: more of them find
            smaller effects, and take longer.
        train: names of methods to train as remedies of the factors that are red, on some of the images and judged on
            the others, such as ``("cdc", "coop")``.
        probes: ``"full"`` holds each linear probe against a kernel, colours, an untrained network and labels that mean
            nothing.
        groups: a labelled column that is no factor but says which images belong together, such as the video of a
            frame: the probes keep each in one fold, and their intervals count groups. All other intervals take images
            as independent.
        folds: of the probes.
        rng: deals images into folds and draws those that factors are set in; or a seed.
        progress: show bars, on a terminal.

    Returns:
        One diagnosis per factor.

    Raises:
        InputError: if the data have no factor and pixels are not to be measured, or the images are alike in all that
            is; a labelled factor has one level only or a level too few images for the probe; the reference is no level
            of the factor; a graph lacks a factor, a setting is of none; pairs are too few; a method cannot be trained,
            groups are no labelled column; or a table comes with a backbone or adapter.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels, level = np.tile([0, 1], 60), np.repeat(["day", "night"], 60)
        >>> logits = 2 * np.eye(2)[labels] - 1.5 * np.eye(2)[labels] * (level == "night")[:, None]
        >>> table = EmbeddingTable(features=rng.normal(size=(120, 4)), logits=logits + rng.normal(size=(120, 2)),
        ...                        labels=labels, factors={"light": level}, class_names=("cat", "dog"))
        >>> (factor,) = diagnose(table).factors
        >>> factor.reference, factor.decodable, factor.moves_margin
        ('day', False, True)
        >>> factor.ladder.light, factor.ladder.effect.how
        ('red', 'back-door')
    """
    table, model = _answers(data, backbone, adapter, model)
    check_methods(train, model)
    if pairs < FEWEST_PAIRS:
        raise InputError(f"pairs must be at least {FEWEST_PAIRS}; received {pairs}. Pass 200, the usual number.")
    if probes not in ("linear", "full"):
        raise InputError(f"probes must be 'linear' or 'full'; received {probes!r}. Choose one.")
    if pixels is None and set(table.factors) == {groups}:
        pixels = True  # what says which images belong together is no factor
    rng = generator(rng)
    columns = _columns(table, model, pixels=pixels, concepts=concepts, folds=folds, rng=rng, progress=progress)
    columns, together = take_groups(columns, groups)
    _require_factors(columns)
    chosen, table = _references(columns, reference or {}), columns.table
    answers = Answers.of(table)
    factors: list[FactorDiagnosis] = []
    with image_bar(
        "reading factors from the embeddings" if progress else None, total=len(chosen), unit="factors"
    ) as advance:
        for name, column in columns.factors.items():
            factors.append(_diagnose_factor(table, answers, name, column, chosen[name], together, folds=folds, rng=rng))
            advance()
    if probes == "full":
        beside = probe_beside(columns, folds=folds, rng=rng, groups=together, progress=progress)
        factors = [replace(one, evidence=replace(one.evidence, beside=beside.get(one.factor))) for one in factors]
    found = None
    if causes:
        found = find_causes(
            columns, chosen, model=model, graph=graph, settings=settings or {}, most=pairs, rng=rng, progress=progress
        )
    evidence = correct_causes({one.factor: _add_causes(one, found) for one in _correct(factors)})
    factors = sorted((replace(one, evidence=evidence[one.factor]) for one in factors), key=_order)
    return Diagnosis(
        n=len(table),
        accuracy=wilson(float(table.correct.mean()), len(table)),
        class_names=table.class_names,
        factors=tuple(factors),
        unreadable=tuple((str(path), reason) for path, reason in table.unreadable),
        source=table.source,
        folds=folds,
        references=chosen,
        left_out=columns.left_out,
        graph=found.graph if found else None,
        independencies=found.independencies if found else (),
        worst=find_worst(columns, {one.factor: one.cells for one in factors}),
        remedies=_remedies(columns, factors, model, train, rng=rng, progress=progress) if causes else (),
        front_door=ask_front_door(columns, model, rng=rng) if causes else None,
        misalignment=_misalignment(table, model, description, rng) if causes else None,
        groups=groups or "",
    )


def _remedies(
    columns: Columns,
    factors: Sequence[FactorDiagnosis],
    model: Model | None,
    train: Sequence[str],
    *,
    rng: np.random.Generator,
    progress: bool,
) -> tuple[Remedy, ...]:
    """What was tried first, factor by factor; that one could train is no advice where it was done."""
    effects = _costly(factors)
    found = find_remedies(columns, effects, model, rng=rng)
    if model is None or not train or not effects:
        return found
    trained = train_remedies(columns, effects, model, train, rng=rng, progress=progress)
    every = (*(one for one in found if one.kind != "adapt"), *trained)
    return tuple(sorted(every, key=lambda one: (list(effects).index(one.factor), not one.tried)))


def _misalignment(
    table: EmbeddingTable, model: Model | None, description: str | None, rng: np.random.Generator
) -> Misalignment | None:
    """Asked of zero-shot models alone: what an adapter has learnt is no prompt that says what it asks for."""
    described = description is not None or words_of(table.factors)[0]
    several = len(np.unique(table.labels)) > 1
    if model is None or model.backbone is None or model.reword is None or not described or not several:
        return None
    return ask_misalignment(table, model.backbone, description=description, rng=rng)


def _costly(factors: Sequence[FactorDiagnosis]) -> dict[str, StatedEffect]:
    """The effects that ask for a remedy."""
    return {one.factor: effect for one in factors if (effect := one.ladder.effect) and one.ladder.light == "red"}


def _answers(
    data: Data | EmbeddingTable, backbone: BackboneChoice, adapter: AdapterChoice, model: Model | None
) -> tuple[EmbeddingTable, Model | None]:
    if not isinstance(data, EmbeddingTable):
        if model is not None:
            raise InputError(
                "a model must come with the embedding table that it answered; received one beside images. Pass its "
                "adapter, or make the table first."
            )
        return embed_with_model(data, backbone, adapter)
    _refuse_model(backbone, adapter)
    if model is not None and model.class_names != data.class_names:
        raise InputError(
            f"a model must answer with the class names of its table; received {len(model.class_names)} names that "
            f"differ from its {len(data.class_names)}. Pass the model that made the table."
        )
    return data, model


def _columns(
    table: EmbeddingTable,
    model: Model | None,
    *,
    pixels: bool | None,
    concepts: bool,
    folds: int,
    rng: np.random.Generator,
    progress: bool,
) -> Columns:
    """The labelled factors and, where they are wanted, those that need no label."""
    if pixels is False or (pixels is None and table.factors and not concepts):
        return labelled_columns(table)
    columns = pixel_columns(table, folds=folds, rng=rng, progress="measuring pixels" if progress else None)
    found = [cluster_columns(columns.table, folds=folds, rng=rng)]
    if concepts and model is not None and model.backbone is not None:
        found.insert(0, concept_columns(columns.table, model.backbone, folds=folds, rng=rng))
    return join_columns(columns, *found)


def _add_causes(factor: FactorDiagnosis, found: Causes | None) -> Evidence:
    if found is None:
        return factor.evidence
    name = factor.factor
    return replace(
        factor.evidence,
        effect=found.effects[name],
        interventions=found.interventions.get(name, ()),
        erasure=found.erasures.get(name),
        pairs=found.pairs.get(name, ()),
    )


def _require_factors(columns: Columns) -> None:
    if columns.factors:
        return
    if columns.left_out:
        name, reason = columns.left_out[0]
        raise InputError(
            "images that are diagnosed by their pixels must differ in something, at least "
            f"{FEWEST_IMAGES} of them from the others; received {len(columns.table)} images with {name}: {reason}, and "
            "likewise all that is measured. Add images, or name a labelled factor."
        )
    raise InputError(
        "a diagnosis needs at least one task-irrelevant factor of the images; received data without any. Name the "
        "folder levels (factors='domain/class'), or a CSV file with a column file and one column per factor "
        "(factors='factors.csv'), or have factors measured from the images (pixels=True)."
    )


def _refuse_model(backbone: BackboneChoice, adapter: AdapterChoice) -> None:
    if backbone is not None or adapter is not None:
        raise InputError(
            "an embedding table must come without a backbone or adapter: its logits are a model's already; received "
            f"{'a backbone' if adapter is None else 'an adapter'} beside it. Embed the images with that model instead."
        )


def _references(columns: Columns, asked: Mapping[str, str]) -> dict[str, str]:
    """The reference level of every factor: as asked, or as `choose_reference` says."""
    unknown = sorted(set(asked) - set(columns.factors))
    if unknown:
        raise InputError(
            f"a reference must belong to a factor of the data ({', '.join(columns.factors)}); received "
            f"{', '.join(unknown)}. Correct the name."
        )
    for name, level in asked.items():
        levels = [str(known) for known in np.unique(columns.factors[name].levels)]
        if level not in levels:
            raise InputError(
                f"the reference of {name!r} must be one of its levels ({', '.join(levels)}); received {level!r}. "
                "Correct the level."
            )
    return {
        name: asked[name] if name in asked else choose_reference(columns.table, column)
        for name, column in columns.factors.items()
    }


def _correct(factors: list[FactorDiagnosis]) -> list[FactorDiagnosis]:
    """The factors with p-values corrected for each other, question by question."""
    bits = holm({factor.factor: factor.probe.bits.p_value for factor in factors})
    given = holm({one.factor: one.probe.bits_given_class.p_value for one in factors if one.probe.bits_given_class})
    margin = holm(
        {
            (factor.factor, level.level): level.margin_shift.p_value
            for factor in factors
            for level in factor.levels
            if level.margin_shift
        }
    )

    def corrected(name: str) -> AdjustedPValues:
        levels = {level: p_value for (factor, level), p_value in margin.items() if factor == name}
        return AdjustedPValues(bits=bits[name], bits_given_class=given.get(name), margin=levels)

    return [replace(one, evidence=replace(one.evidence, adjusted=corrected(one.factor))) for one in factors]


def _order(factor: FactorDiagnosis) -> tuple[bool, float]:
    """Labelled factors first; measured ones from the largest certain shift of the margin down."""
    if factor.source == "label":
        return False, 0.0
    shift = factor.farthest.margin_shift if factor.moves_margin and factor.farthest else None
    return True, -abs(shift.value) if shift else 0.0


def _diagnose_factor(
    table: EmbeddingTable,
    answers: Answers,
    name: str,
    column: FactorColumn,
    reference: str,
    groups: Shaped[np.ndarray, " rows"] | None,
    *,
    folds: int,
    rng: np.random.Generator,
) -> FactorDiagnosis:
    rows = column.probed
    if rows is None:
        rows = sample_rows(column.levels, table.images, most=PROBED_IMAGES, fewest=max(FEWEST_IMAGES, folds), rng=rng)
    rows = np.arange(len(table)) if rows is None else rows
    probe = fit_probe(
        table.features[rows], column.levels[rows], table.labels[rows], name=name, folds=folds, rng=rng,
        groups=None if groups is None else groups[rows],
    )  # fmt: skip
    at = {level: answers.where(column.levels == level) for level in probe.levels}
    base = at.pop(reference)
    others = [diagnose_level(level, here, base) for level, here in at.items()]
    others.sort(key=lambda level: level.margin_shift.value if level.margin_shift else np.inf)
    cells = [
        [diagnose_cell(reference, label, base, None), *(diagnose_cell(level, label, at[level], base) for level in at)]
        for label in range(len(table.class_names))
    ]
    return FactorDiagnosis(
        factor=name,
        reference=reference,
        evidence=Evidence(
            probe,
            associate(column.levels, table.labels),
            AdjustedPValues(bits=probe.bits.p_value),
            source=column.source,
        ),
        levels=(diagnose_level(reference, base, None), *others),
        cells=tuple(cell for row in cells for cell in row if cell),
        source=column.source,
        about=column.about,
    )
