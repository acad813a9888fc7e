"""What may mend a factor that costs accuracy: tried on images that the remedy has not seen, or advised."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from causalvlm.diagnosis.columns import Columns
from causalvlm.diagnosis.ladder import StatedEffect
from causalvlm.embeddings.model import Model
from causalvlm.intervals import Shift, paired_shares
from causalvlm.phrases import difference, spoken
from causalvlm.probes.erasure import fit_eraser, varies_within
from causalvlm.probes.folds import assign_folds

FOLDS = 5
"""Parts of the images; from each the factor is erased by what was fitted on the others."""

FEW_IMAGES = 5
"""Images of a class at a level below which more of them are advised."""

NAMED_CELLS = 8
"""Classes that are named as lacking images."""

MOST_PROMPTS = 12
"""Levels of a factor whose names go into an ensemble of prompts."""

Kind = Literal["erase", "prompts", "collect", "adapt", "train"]


@dataclass(frozen=True)
class Remedy:
    """One way to mend one factor.

    Attributes:
        factor: its name.
        kind: erase its direction from embeddings, name its levels in the prompts, collect images, train an adapter, or
            "train" for one that was trained to see.
        tried: whether it was.
        overall: change of the share of right answers, with its paired interval; None if it was not tried.
        at_level: the same on images at the level that pays.
        advice: what was done or is to be done, and what came of it.
        method: that was trained; empty for another kind.
        effect: of a method that was trained, the change of what the level that pays loses against the other, class by
            class; above zero it loses less.
    """

    factor: str
    kind: Kind
    tried: bool
    overall: Shift | None
    at_level: Shift | None
    advice: str
    method: str = ""
    effect: Shift | None = None

    @property
    def helps(self) -> bool:
        """Whether it certainly made answers better; of a method that was trained, at the level that pays."""
        shifts = (self.at_level,) if self.kind == "train" else (self.overall, self.at_level)
        return any(shift is not None and shift.low > 0 for shift in shifts)

    @property
    def widens(self) -> bool:
        """Whether the level that pays certainly falls farther behind the other, whatever became of accuracy."""
        return self.effect is not None and self.effect.high < 0

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {**asdict(self), "helps": self.helps, "widens": self.widens}


def find_remedies(
    columns: Columns, effects: Mapping[str, StatedEffect], model: Model | None, *, rng: np.random.Generator
) -> tuple[Remedy, ...]:
    """Try what can be tried for every factor that costs accuracy, and say what could be done beside.

    Args:
        columns: factors of a table.
        effects: of the factors to mend.
        model: what answers; None, and nothing can be tried.
        rng: deals images into folds.
    """
    found: list[Remedy] = []
    for name, effect in effects.items():
        paying = paying_level(effect)
        if model is not None:
            tried = (_erase(columns, name, paying, model, rng), _reword(columns, name, paying, model))
            found += [one for one in tried if one]
        found.append(_collect(columns, name, paying))
        found.append(_adapt(name))
    return tuple(found)


def paying_level(effect: StatedEffect) -> str:
    """The level of the two that has fewer right answers."""
    return effect.level if effect.value < 0 else effect.reference


def _erase(columns: Columns, name: str, paying: str, model: Model, rng: np.random.Generator) -> Remedy | None:
    """LEACE within classes (Belrose et al., NeurIPS 2023), each fold erased by what was fitted on the others."""
    table, levels = columns.table, columns.factors[name].levels
    codes = np.unique(levels, return_inverse=True)[1]
    if model.classify is None or not varies_within(codes, table.labels):
        return None
    folds = assign_folds(table.features, codes, table.labels, folds=FOLDS, rng=rng)
    predicted = np.empty(len(table), dtype=np.int64)
    for fold in range(FOLDS):
        kept, held = folds != fold, folds == fold
        if held.any():
            eraser = fit_eraser(table.features[kept], levels[kept], table.labels[kept], shrink=True)
            erased = eraser(table.features[held].astype(np.float64))
            predicted[held] = model.classify(erased.astype(np.float32)).argmax(1)
    what = f"erase the direction of {spoken(name)} from the embeddings"
    return tell_tried(columns, name, "erase", paying, predicted, what)


def _reword(columns: Columns, name: str, paying: str, model: Model) -> Remedy | None:
    """Prompts that name the levels, averaged: the factor then belongs to every class alike."""
    column, table = columns.factors[name], columns.table
    levels = [str(level) for level in np.unique(column.levels)]
    if model.reword is None or column.source not in ("label", "concept") or len(levels) > MOST_PROMPTS:
        return None
    stem = model.template.rstrip(". ")
    classify = model.reword([f"{stem}, {spoken(level)}." for level in levels])
    told = f"average the prompts over {', '.join(spoken(level) for level in levels)}"
    return tell_tried(columns, name, "prompts", paying, classify(table.features).argmax(1), told)


def tell_tried(
    columns: Columns,
    name: str,
    kind: Kind,
    paying: str,
    predicted: Int[np.ndarray, " _"],
    what: str,
    *,
    rows: Int[np.ndarray, " _"] | None = None,
) -> Remedy:
    """What a remedy that was tried came to.

    Args:
        columns: factors of a table.
        name: of the factor.
        kind: of the remedy.
        paying: the level to be mended.
        predicted: the class that is answered now, of every row.
        what: was done.
        rows: that were asked; all by default.
    """
    table, rows = columns.table, np.arange(len(columns.table)) if rows is None else rows
    before, after = table.correct[rows], predicted == table.labels[rows]
    here = columns.factors[name].levels[rows] == paying
    overall, at_level = compare_shares(after, before), compare_shares(after[here], before[here])
    said = "; ".join(
        f"{where} {difference(shift, unit='points', scale=100, digits=1)}"
        for where, shift in (("all images", overall), (f"at {paying!r}", at_level))
        if shift is not None
    )
    return Remedy(name, kind, True, overall, at_level, f"{what}: {said}")


def compare_shares(after: Bool[np.ndarray, " rows"], before: Bool[np.ndarray, " rows"]) -> Shift | None:
    """The change of the share of right answers; None of fewer than two images."""
    return paired_shares(after, before) if len(after) > 1 else None


def _collect(columns: Columns, name: str, paying: str) -> Remedy:
    table = columns.table
    here = columns.factors[name].levels == paying
    counts = np.bincount(table.labels[here], minlength=len(table.class_names))
    few = [int(place) for place in np.argsort(counts, kind="stable") if counts[place] < FEW_IMAGES]
    if not few:
        advice = f"every class has {counts.min()} images or more at {paying!r}: none need be collected to look closer"
    else:
        cells = ", ".join(f"{table.class_names[place]} ({counts[place]})" for place in few[:NAMED_CELLS])
        more = f" and {len(few) - NAMED_CELLS} more" if len(few) > NAMED_CELLS else ""
        advice = f"collect images at {paying!r} of {cells}{more}"
    return Remedy(name, "collect", False, None, None, advice)


def _adapt(name: str) -> Remedy:
    advice = f"train CDC on images at all levels of {spoken(name)} (causalvlm adapt), and diagnose the adapter again"
    return Remedy(name, "adapt", False, None, None, advice)
