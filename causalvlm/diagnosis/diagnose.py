"""First diagnosis: does the model see a task-irrelevant factor, and does it pay for it?

Every comparison is made class by class, so that a level that holds harder classes is not blamed for them. What is
compared are different photographs: the shifts are associations with the factor, not yet its effects.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from causalvlm.diagnosis.columns import (
    FEWEST_IMAGES,
    Columns,
    FactorColumn,
    Origin,
    choose_reference,
    labelled_columns,
    pixel_columns,
)
from causalvlm.diagnosis.levels import Answers, Cell, LevelDiagnosis, diagnose_cell, diagnose_level
from causalvlm.embeddings.encode import AdapterChoice, BackboneChoice, Data, embed
from causalvlm.embeddings.table import EmbeddingTable, Source
from causalvlm.errors import InputError
from causalvlm.intervals import Estimate, wilson
from causalvlm.markup import html_table
from causalvlm.multiplicity import FALSE_ALARM_RATE, AdjustedPValues, holm
from causalvlm.phrases import difference, percent, percents
from causalvlm.probes.linear import ProbeResult, fit_probe
from causalvlm.randomness import Rng, generator
from cdc.progress import image_bar

CORRECTION = f"Holm, {FALSE_ALARM_RATE:.0%} for each question over all factors and levels"
"""How often a diagnosis that has nothing to find says otherwise, in words."""


@dataclass(frozen=True, repr=False)
class FactorDiagnosis:
    """What a model does with one factor.

    Attributes:
        factor: its name.
        reference: the level that the others are compared with.
        probe: is the factor decodable from the embedding?
        levels: the reference first, then from the largest loss of margin to the smallest.
        cells: every class at every level that has images of it.
        source: whether it came with the images or was measured from their pixels.
        about: what was measured, with unit and source; empty for a labelled factor.
        adjusted: p-values corrected for all factors of the diagnosis, which the verdicts follow.
    """

    factor: str
    reference: str
    probe: ProbeResult
    levels: tuple[LevelDiagnosis, ...]
    cells: tuple[Cell, ...]
    source: Origin
    about: str
    adjusted: AdjustedPValues

    def __repr__(self) -> str:
        said = "decodable" if self.decodable else "not decodable"
        moves = "moves the margin" if self.moves_margin else "does not move the margin"
        return f"<FactorDiagnosis of {self.factor!r}, {len(self.levels)} levels: {said}, {moves}>"

    @property
    def decodable(self) -> bool:
        """Whether the embedding certainly tells of the factor, among all factors that were asked about."""
        return self.probe.bits.value > 0 and self.adjusted.bits < FALSE_ALARM_RATE

    @property
    def decodable_given_class(self) -> bool:
        """Whether it does so even when the class is known."""
        bits, p_value = self.probe.bits_given_class, self.adjusted.bits_given_class
        return bits is not None and p_value is not None and bits.value > 0 and p_value < FALSE_ALARM_RATE

    @property
    def moving_levels(self) -> tuple[LevelDiagnosis, ...]:
        """The levels whose margin certainly differs from the reference's."""
        return tuple(level for level in self.levels if self.adjusted.margin.get(level.level, 1.0) < FALSE_ALARM_RATE)

    @property
    def moves_margin(self) -> bool:
        """Whether some level's margin certainly differs from the reference's."""
        return bool(self.moving_levels)

    @property
    def farthest(self) -> LevelDiagnosis | None:
        """The level whose margin is farthest from the reference's, a certain one where there is one."""
        compared = self.moving_levels or tuple(level for level in self.levels if level.margin_shift)
        return max(
            compared, key=lambda level: abs(level.margin_shift.value) if level.margin_shift else 0.0, default=None
        )

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON, with the verdicts."""
        return {
            "factor": self.factor,
            "source": self.source,
            "about": self.about,
            "reference": self.reference,
            "probe": self.probe.to_record(),
            "levels": [asdict(level) for level in self.levels],
            "cells": [asdict(cell) for cell in self.cells],
            "adjusted_p_values": self.adjusted.to_record(),
            "decodable": self.decodable,
            "decodable_given_class": self.decodable_given_class,
            "moves_margin": self.moves_margin,
        }


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What a model does with every factor of a data set.

    Attributes:
        n: images.
        accuracy: over all of them.
        class_names: the closed set of answers.
        factors: one diagnosis each: the labelled ones as they came, then those measured from pixels, the one that goes
            with the largest certain shift of the margin first.
        unreadable: files that were left out, each with the reason.
        source: the images and the model behind the table; None where it came without.
        folds: of the probes.
        references: the level of every factor that the others are compared with.
        left_out: measured factors that the images do not differ in, each with the reason.
    """

    n: int
    accuracy: Estimate
    class_names: tuple[str, ...]
    factors: tuple[FactorDiagnosis, ...]
    unreadable: tuple[tuple[str, str], ...]
    source: Source | None
    folds: int
    references: Mapping[str, str]
    left_out: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        count = len(self.factors)
        return f"<Diagnosis of {self._model}: {count} factor{'s' if count > 1 else ''}>"

    def _repr_html_(self) -> str:
        rows = [
            (
                factor.factor,
                "yes" if factor.decodable else "not for certain",
                "yes" if factor.moves_margin else "not for certain",
                _farthest(factor),
            )
            for factor in self.factors
        ]
        header = ("factor", "decodable from the embedding", "moves the margin", "level farthest from the reference")
        return html_table(rows, header=header, title=f"Diagnosis of {self._model}")

    @property
    def _model(self) -> str:
        source = f"{self.source.backbone} on {self.source.data}" if self.source else "an embedding table"
        right = f"right on {percent(self.accuracy.value)} ({percents(self.accuracy)}) of {self.n:,} images"
        return f"{source}, {right}"

    @property
    def settings(self) -> dict[str, object]:
        """Data, model and how the numbers were made, as plain values."""
        source = self.source.to_record() if self.source else {}
        return {**source, "folds": self.folds, "references": dict(self.references), "correction": CORRECTION}

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "n": self.n,
            "accuracy": asdict(self.accuracy),
            "class_names": self.class_names,
            "factors": [factor.to_record() for factor in self.factors],
            "unreadable": self.unreadable,
            "left_out": self.left_out,
            "settings": self.settings,
        }


def diagnose(
    data: Data | EmbeddingTable,
    backbone: BackboneChoice = None,
    adapter: AdapterChoice = None,
    *,
    reference: Mapping[str, str] | None = None,
    pixels: bool | None = None,
    folds: int = 5,
    rng: Rng = 0,
    progress: bool = False,
) -> Diagnosis:
    """Ask of every factor: is it decodable, does it move accuracy and margin, which classes pay, what goes wrong?

    Args:
        data: an embedding table, or images to embed: a data set with factors, its name, a folder or a CSV file.
        backbone: of the model to diagnose; by default the adapter's, or ``"picto"``.
        adapter: diagnose it on the test split; without, the zero-shot classifier on all images.
        reference: for each factor the level to compare with; by default the middle one of measured thirds, else the
            one with most images, and among equals the one with the highest accuracy.
        pixels: measure factors from the images themselves (brightness, sharpness, a watermark, ...) and ask about them
            too; by default if no labelled factor is given.
        folds: of the probes.
        rng: deals images into folds; or a seed.
        progress: show bars, on a terminal.

    Returns:
        One diagnosis per factor.

    Raises:
        InputError: if the data have no factor and pixels are not to be measured, or the images are alike in all that
            is; a labelled factor has one level only or a level too few images for the probe; the reference is no level
            of the factor; or a table comes with a model.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels, level = np.tile([0, 1], 60), np.repeat(["day", "night"], 60)
        >>> logits = 2 * np.eye(2)[labels] - 1.5 * np.eye(2)[labels] * (level == "night")[:, None]
        >>> table = EmbeddingTable(features=rng.normal(size=(120, 4)), logits=logits + rng.normal(size=(120, 2)),
        ...                        labels=labels, factors={"light": level}, class_names=("cat", "dog"))
        >>> (factor,) = diagnose(table).factors
        >>> factor.reference, factor.decodable, factor.moves_margin
        ('day', False, True)
    """
    if isinstance(data, EmbeddingTable):
        _refuse_model(backbone, adapter)
        table = data
    else:
        table = embed(data, backbone, adapter)
    rng = generator(rng)
    if pixels or (pixels is None and not table.factors):
        columns = pixel_columns(table, folds=folds, rng=rng, progress="measuring pixels" if progress else None)
    else:
        columns = labelled_columns(table)
    _require_factors(columns)
    chosen = _references(columns, reference or {})
    table = columns.table
    answers = Answers.of(table)
    factors: list[FactorDiagnosis] = []
    with image_bar(
        "reading factors from the embeddings" if progress else None, total=len(chosen), unit="factors"
    ) as advance:
        for name, column in columns.factors.items():
            factors.append(_diagnose_factor(table, answers, name, column, chosen[name], folds=folds, rng=rng))
            advance()
    return Diagnosis(
        n=len(table),
        accuracy=wilson(float(table.correct.mean()), len(table)),
        class_names=table.class_names,
        factors=tuple(sorted(_correct(factors), key=_order)),
        unreadable=tuple((str(path), reason) for path, reason in table.unreadable),
        source=table.source,
        folds=folds,
        references=chosen,
        left_out=columns.left_out,
    )


def _farthest(factor: FactorDiagnosis) -> str:
    level = factor.farthest
    if level is None or level.margin_shift is None:
        return "unknown"
    shift = difference(level.margin_shift, unit="nats", digits=1)
    return f"{level.level}: margin {shift} than at {factor.reference}"


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
    return [
        replace(
            one,
            adjusted=AdjustedPValues(
                bits=bits[one.factor],
                bits_given_class=given.get(one.factor),
                margin={level: p_value for (name, level), p_value in margin.items() if name == one.factor},
            ),
        )
        for one in factors
    ]


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
    *,
    folds: int,
    rng: np.random.Generator,
) -> FactorDiagnosis:
    rows = slice(None) if column.probed is None else column.probed
    probe = fit_probe(table.features[rows], column.levels[rows], table.labels[rows], name=name, folds=folds, rng=rng)
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
        probe=probe,
        levels=(diagnose_level(reference, base, None), *others),
        cells=tuple(cell for row in cells for cell in row if cell),
        source=column.source,
        about=column.about,
        adjusted=AdjustedPValues(bits=probe.bits.p_value),
    )
