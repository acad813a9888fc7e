"""What a diagnosis found, as values: every factor with the rungs of its ladder and the numbers behind them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

from causalvlm.diagnosis.columns import Origin
from causalvlm.diagnosis.evidence import AdjustedPValues, Evidence
from causalvlm.diagnosis.front_door import ImageEffect
from causalvlm.diagnosis.ladder import RUNGS, Ladder, climb
from causalvlm.diagnosis.levels import Cell, LevelDiagnosis
from causalvlm.diagnosis.misalignment import Misalignment
from causalvlm.diagnosis.remedies import Remedy
from causalvlm.diagnosis.scm import Independence
from causalvlm.diagnosis.worst import WorstCell
from causalvlm.embeddings.table import Source
from causalvlm.graphs.graph import CausalGraph
from causalvlm.intervals import Estimate
from causalvlm.markup import html_table
from causalvlm.multiplicity import FALSE_ALARM_RATE
from causalvlm.phrases import percent, percents
from causalvlm.probes.linear import ProbeResult

CORRECTION = f"Holm, {FALSE_ALARM_RATE:.0%} for each question over all factors and levels"
"""How often a diagnosis that has nothing to find says otherwise, in words."""


@dataclass(frozen=True, repr=False)
class FactorDiagnosis:
    """What a model does with one factor.

    Attributes:
        factor: its name.
        reference: the level that the others are compared with.
        evidence: all that is known of it beside.
        levels: the reference first, then from the largest loss of margin to the smallest.
        cells: every class at every level that has images of it.
        source: whether it came with the images or was measured from their pixels.
        about: what was measured, with unit and source; empty for a labelled factor.
    """

    factor: str
    reference: str
    evidence: Evidence
    levels: tuple[LevelDiagnosis, ...]
    cells: tuple[Cell, ...]
    source: Origin
    about: str

    def __repr__(self) -> str:
        said = "decodable" if self.decodable else "not decodable"
        moves = "moves the margin" if self.moves_margin else "does not move the margin"
        return f"<FactorDiagnosis of {self.factor!r}, {len(self.levels)} levels: {said}, {moves}>"

    @property
    def probe(self) -> ProbeResult:
        """What the embedding tells of the factor."""
        return self.evidence.probe

    @property
    def adjusted(self) -> AdjustedPValues:
        """P-values corrected for all factors of the diagnosis, which the verdicts follow."""
        return self.evidence.adjusted

    @cached_property
    def ladder(self) -> Ladder:
        """Where the factor stands: decodable, used, confounded, identified, survives."""
        return climb(self.evidence)

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
            "levels": [asdict(level) for level in self.levels],
            "cells": [asdict(cell) for cell in self.cells],
            **self.evidence.to_record(),
            **self.ladder.to_record(),
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
        graph: the causal graph that effects were identified in; None if causes were not asked about.
        independencies: what the graph implies of the table, tested.
        worst: the classes that pay most at a level of a factor, with images.
        remedies: what may mend the factors that are red, and what it did where it was tried.
        front_door: what the image does to the true label through S; None if causes were not asked about.
        misalignment: whether the prompts ask for what images are matched by; None unless the model is zero-shot and the
            levels of a labelled factor are words.
        groups: the labelled column by which images belong together, for the probes; empty for none.
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
    graph: CausalGraph | None = None
    independencies: tuple[Independence, ...] = ()
    worst: tuple[WorstCell, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    front_door: ImageEffect | None = None
    misalignment: Misalignment | None = None
    groups: str = ""

    def __repr__(self) -> str:
        count = len(self.factors)
        return f"<Diagnosis of {self._model}: {count} factor{'s' if count > 1 else ''}>"

    def _repr_html_(self) -> str:
        rows = [
            (factor.factor, *(rung.answer for rung in factor.ladder.rungs.values()), factor.ladder.sentence)
            for factor in self.factors
        ]
        header = ("factor", *RUNGS, "what it does")
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
        groups = {"groups": self.groups} if self.groups else {}
        return {**source, "folds": self.folds, **groups, "references": dict(self.references), "correction": CORRECTION}

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "n": self.n,
            "accuracy": asdict(self.accuracy),
            "class_names": self.class_names,
            "factors": [factor.to_record() for factor in self.factors],
            "graph": str(self.graph) if self.graph else None,
            "independencies": [one.to_record() for one in self.independencies],
            "worst": [one.to_record() for one in self.worst],
            "remedies": [one.to_record() for one in self.remedies],
            "misalignment": self.misalignment.to_record() if self.misalignment else None,
            "front_door": self.front_door.to_record() if self.front_door else None,
            "unreadable": self.unreadable,
            "left_out": self.left_out,
            "settings": self.settings,
        }
