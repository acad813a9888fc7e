"""First diagnosis: does the model see a task-irrelevant factor, and does it pay for it?

Every comparison is made class by class, so that a level that holds harder classes is not blamed for them. What is
compared are different photographs: the shifts are associations with the factor, not yet its effects.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from causalvlm.diagnosis.levels import Answers, Cell, LevelDiagnosis, diagnose_cell, diagnose_level
from causalvlm.embeddings.encode import AdapterChoice, BackboneChoice, Data, embed
from causalvlm.embeddings.table import EmbeddingTable, Source
from causalvlm.errors import InputError
from causalvlm.intervals import CONFIDENCE, Estimate, wilson
from causalvlm.probes.linear import ProbeResult, fit_probe


@dataclass(frozen=True)
class FactorDiagnosis:
    """What a model does with one factor.

    Attributes:
        factor: its name.
        reference: the level that the others are compared with.
        probe: is the factor decodable from the embedding?
        levels: the reference first, then from the largest loss of margin to the smallest.
        cells: every class at every level that has images of it.
    """

    factor: str
    reference: str
    probe: ProbeResult
    levels: tuple[LevelDiagnosis, ...]
    cells: tuple[Cell, ...]

    @property
    def moves_margin(self) -> bool:
        """Whether some level's margin differs from the reference's.

        Wrong at most once in twenty factors that move nothing: Bonferroni's correction for the number of levels.
        """
        p_values = [level.margin_shift.p_value for level in self.levels if level.margin_shift]
        return bool(p_values) and min(p_values) * len(p_values) < 1 - CONFIDENCE

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON, with the verdicts."""
        return {
            "factor": self.factor,
            "reference": self.reference,
            "probe": self.probe.to_record(),
            "levels": [asdict(level) for level in self.levels],
            "cells": [asdict(cell) for cell in self.cells],
            "decodable": self.probe.decodable,
            "decodable_given_class": self.probe.decodable_given_class,
            "moves_margin": self.moves_margin,
        }


@dataclass(frozen=True)
class Diagnosis:
    """What a model does with every factor of a data set.

    Attributes:
        n: images.
        accuracy: over all of them.
        class_names: the closed set of answers.
        factors: one diagnosis each.
        unreadable: files that were left out, each with the reason.
        source: the images and the model behind the table; None where it came without.
        folds: of the probes.
        references: the level of every factor that the others are compared with.
    """

    n: int
    accuracy: Estimate
    class_names: tuple[str, ...]
    factors: tuple[FactorDiagnosis, ...]
    unreadable: tuple[tuple[str, str], ...]
    source: Source | None
    folds: int
    references: Mapping[str, str]

    @property
    def settings(self) -> dict[str, object]:
        """Data, model and how the numbers were made, as plain values."""
        source = self.source.to_record() if self.source else {}
        return {**source, "folds": self.folds, "references": dict(self.references)}

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "n": self.n,
            "accuracy": asdict(self.accuracy),
            "class_names": self.class_names,
            "factors": [factor.to_record() for factor in self.factors],
            "unreadable": self.unreadable,
            "settings": self.settings,
        }


def diagnose(
    data: Data | EmbeddingTable,
    backbone: BackboneChoice = None,
    adapter: AdapterChoice = None,
    *,
    reference: Mapping[str, str] | None = None,
    folds: int = 5,
    rng: np.random.Generator | None = None,
) -> Diagnosis:
    """Ask of every factor: is it decodable, does it move accuracy and margin, which classes pay, what goes wrong?

    Args:
        data: an embedding table, or images to embed: a data set with factors, its name, a folder or a CSV file.
        backbone: of the model to diagnose; by default the adapter's, or ``"picto"``.
        adapter: diagnose it on the test split; without, the zero-shot classifier on all images.
        reference: for each factor the level to compare with; by default the one with most images, and among equals
            the one with the highest accuracy.
        folds: of the probes.
        rng: deals images into folds; by default one with seed 0.

    Returns:
        One diagnosis per factor.

    Raises:
        InputError: if the data have no factor, a factor has one level only or a level too few images for the probe,
            the reference is no level of the factor, or a table comes with a model.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels, level = np.tile([0, 1], 60), np.repeat(["day", "night"], 60)
        >>> logits = 2 * np.eye(2)[labels] - 1.5 * np.eye(2)[labels] * (level == "night")[:, None]
        >>> table = EmbeddingTable(features=rng.normal(size=(120, 4)), logits=logits + rng.normal(size=(120, 2)),
        ...                        labels=labels, factors={"light": level}, class_names=("cat", "dog"))
        >>> (factor,) = diagnose(table).factors
        >>> factor.reference, factor.probe.decodable, factor.moves_margin
        ('day', False, True)
    """
    if isinstance(data, EmbeddingTable):
        _refuse_model(backbone, adapter)
        table = data
    else:
        table = embed(data, backbone, adapter)
    if not table.factors:
        raise InputError(
            "a diagnosis needs at least one task-irrelevant factor of the images; received data without any. Name the "
            "folder levels (factors='domain/class'), or a CSV file with a column file and one column per factor "
            "(factors='factors.csv')."
        )
    chosen = _references(table, reference or {})
    rng = rng or np.random.default_rng(0)
    return Diagnosis(
        n=len(table),
        accuracy=wilson(float(table.correct.mean()), len(table)),
        class_names=table.class_names,
        factors=tuple(_diagnose_factor(table, name, level, folds=folds, rng=rng) for name, level in chosen.items()),
        unreadable=tuple((str(path), reason) for path, reason in table.unreadable),
        source=table.source,
        folds=folds,
        references=chosen,
    )


def _refuse_model(backbone: BackboneChoice, adapter: AdapterChoice) -> None:
    if backbone is not None or adapter is not None:
        raise InputError(
            "an embedding table must come without a backbone or adapter: its logits are a model's already; received "
            f"{'a backbone' if adapter is None else 'an adapter'} beside it. Embed the images with that model instead."
        )


def _references(table: EmbeddingTable, asked: Mapping[str, str]) -> dict[str, str]:
    """The reference level of every factor: as asked, or the largest, the most accurate among equals."""
    unknown = sorted(set(asked) - set(table.factors))
    if unknown:
        raise InputError(
            f"a reference must belong to a factor of the data ({', '.join(table.factors)}); received "
            f"{', '.join(unknown)}. Correct the name."
        )
    chosen: dict[str, str] = {}
    for name, column in table.factors.items():
        levels = [str(level) for level in np.unique(column)]
        if name in asked and asked[name] not in levels:
            raise InputError(
                f"the reference of {name!r} must be one of its levels ({', '.join(levels)}); received "
                f"{asked[name]!r}. Correct the level."
            )
        largest = max(levels, key=lambda level, at=column: (np.sum(at == level), table.correct[at == level].mean()))
        chosen[name] = asked.get(name, largest)
    return chosen


def _diagnose_factor(
    table: EmbeddingTable, name: str, reference: str, *, folds: int, rng: np.random.Generator
) -> FactorDiagnosis:
    probe = fit_probe(table.features, table.factors[name], table.labels, name=name, folds=folds, rng=rng)
    answers = Answers.of(table)
    at = {level: answers.where(table.factors[name] == level) for level in probe.levels}
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
    )
