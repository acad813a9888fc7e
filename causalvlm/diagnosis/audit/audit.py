"""The audit of an adapter: is S, the opinions of its templates, a valid mediator for the front door X -> S -> Y?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

import cdc
from causalvlm.datasets import load_dataset
from causalvlm.diagnosis.audit.arrays import level_codes, prepare, whole
from causalvlm.diagnosis.audit.comparison import Compared, Comparison, compare_levels, compare_set, corrected
from causalvlm.diagnosis.audit.mediator import MediatorFindings, assemble, measure
from causalvlm.diagnosis.audit.opinions import Said, Subject, subject_from, subject_of
from causalvlm.diagnosis.audit.overlap import measure_overlap
from causalvlm.diagnosis.audit.reading import read_model
from causalvlm.diagnosis.audit.result import Audit, Leak, worst
from causalvlm.diagnosis.audit.setting import MOST_SET, Pictured, Setter, levels_of, measure_setting, picture
from causalvlm.diagnosis.audit.verdicts import Finding, Key, Measured, settle
from causalvlm.diagnosis.columns import Columns, FactorColumn, choose_reference, labelled_columns, pixel_columns
from causalvlm.embeddings.encode import BackboneChoice, Data, embed
from causalvlm.embeddings.model import Model
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.multiplicity import FALSE_ALARM_RATE
from causalvlm.randomness import Rng, generator
from cdc.progress import image_bar

MOST_IMAGES = 5000
"""Images that the readers are fitted on, drawn at random from more."""

CORRECTION = f"Holm, {FALSE_ALARM_RATE:.0%} over all tests of the audit"


def audit(
    adapter: cdc.Adapter | Model | str | Path,
    data: Data,
    *,
    backbone: BackboneChoice = None,
    pixels: bool | None = None,
    set_factors: Mapping[str, Setter] | None = None,
    levels: Mapping[str, Sequence[str]] | None = None,
    folds: int = 5,
    clusters: int = 4,
    rng: Rng = 0,
    cache: Path | Literal["default"] | None = "default",
    progress: bool = False,
) -> Audit:
    """Ask whether the opinions of an adapter's templates, S, are a valid mediator for the front door X -> S -> Y.

    Full mediation, leaks of task-irrelevant factors into S, the second stage and overlap, each with a number, its
    interval and a verdict; and what the adapter did to the effect of every factor, compared with zero-shot on the same
    images. docs/audit.md says how each number is made and what it does not show.

    Args:
        adapter: trained or zero-shot; the folder that one was saved in; or any model, whose S is its answer.
        data: a data set, its name, a folder or a CSV file. The test split is audited; a model without one gets all.
        backbone: X is its embedding, and its zero-shot classifier what is compared with; by default the adapter's own,
            for a model what the model says.
        pixels: measure factors from the images themselves too; by default if no labelled factor is given.
        set_factors: for factors that can be set, a function from the place of an image among those audited and a level
            to its picture with the factor at that level.
        levels: of factors that are set, the first to compare with; by default those that occur.
        folds: of the readers, at least 3.
        clusters: coarse values of X that must overlap in S.
        rng: deals images into folds, draws those in which factors are set, and plants what must be found; or a seed.
        cache: folder of cached features; None turns caching off.
        progress: show bars, on a terminal.

    Raises:
        InputError: if adapter, data and backbone do not fit, fewer than 30 images or one class are left, or a factor
            is set wrongly.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder, noise = Path(tempfile.mkdtemp()), np.random.default_rng(0)
        >>> for row in range(40):
        ...     pixels = noise.integers(0, 255, size=(16, 16, 3), dtype=np.uint8)
        ...     Image.fromarray(pixels).save(folder / f"{row}.png")
        >>> test = tuple(cdc.Example(folder / f"{row}.png", row % 2, {"side": "ab"[row // 20]}) for row in range(40))
        >>> pets = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=test)
        >>> adapter = cdc.fit(pets, cdc.ZeroShotConfig(), cdc.load_backbone("picto"))
        >>> audit(adapter, pets, cache=None).templates
        1
    """
    rng, dataset = generator(rng), data if isinstance(data, cdc.ImageDataset) else load_dataset(data)
    asked = _asked(adapter, dataset, backbone, cache=cache, progress=progress)
    if pixels or (pixels is None and not asked.table.factors):
        label = "measuring pixels" if progress else None
        columns = pixel_columns(asked.table, folds=folds, rng=rng, progress=label)
    else:
        columns = labelled_columns(asked.table)
    return _audited(
        replace(asked, table=columns.table), columns, set_factors or {}, levels or {},
        folds=folds, clusters=clusters, rng=rng, progress=progress,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Asked:
    """Who is audited, on which images, and who stands beside it."""

    subject: Subject
    before: Subject | None
    table: EmbeddingTable
    examples: tuple[cdc.Example, ...]
    data: str

    def said(self, subject: Subject) -> Said:
        """What is said of the table's images, as they are."""
        if subject.of_features is not None:
            return subject.of_features(self.table.features)
        return Said(self.table.logits[None], self.table.logits)

    def places(self) -> Int[np.ndarray, " _"]:
        """Which of the examples each row of the table is: files that cannot be read are left out in order."""
        found: list[int] = []
        place = 0
        for file in self.table.files:
            while self.examples[place].path != file:
                place += 1
            found.append(place)
            place += 1
        return np.array(found, dtype=np.int64)


def _asked(
    adapter: cdc.Adapter | Model | str | Path,
    dataset: cdc.ImageDataset,
    backbone: BackboneChoice,
    *,
    cache: Path | Literal["default"] | None,
    progress: bool,
) -> _Asked:
    label, names = "encoding images" if progress else None, dataset.class_names
    if isinstance(adapter, Model):
        towers = cdc.load_backbone(backbone) if isinstance(backbone, str) else backbone
        examples = dataset.test or dataset.examples
        table = read_model(adapter, dataset, examples, towers, progress=label)
        before = subject_of(_zero_shot(dataset, towers), names) if towers else None
        return _Asked(subject_from(adapter), before, table, examples, dataset.name)
    towers = backbone if isinstance(backbone, cdc.Backbone) else None
    trained = adapter if isinstance(adapter, cdc.Adapter) else cdc.load_adapter(adapter, backbone=towers)
    table = embed(dataset, backbone, trained, cache=cache, progress=label)
    is_zero_shot = isinstance(trained.card.method, cdc.ZeroShotConfig)
    before = None if is_zero_shot else subject_of(_zero_shot(dataset, trained.backbone), names)
    return _Asked(subject_of(trained, names), before, table, dataset.test, dataset.name)


def _zero_shot(dataset: cdc.ImageDataset, towers: cdc.Backbone) -> cdc.Adapter:
    return cdc.fit(dataset, cdc.ZeroShotConfig(), towers)


def _audited(
    asked: _Asked,
    columns: Columns,
    setters: Mapping[str, Setter],
    levels: Mapping[str, Sequence[str]],
    *,
    folds: int,
    clusters: int,
    rng: np.random.Generator,
    progress: bool,
) -> Audit:
    table, said = asked.table, asked.said(asked.subject)
    chosen = np.sort(rng.permutation(len(table))[:MOST_IMAGES])
    given = prepare(said.opinions[:, chosen], table.features[chosen], table.labels[chosen], folds=folds, rng=rng)
    factors = {name: column.levels[chosen] for name, column in columns.factors.items()}
    labelled = {name: factors[name] for name, column in columns.factors.items() if column.source == "label"}
    pictured = _pictured(asked, columns, setters, levels, rng=rng, progress=progress)
    measured: dict[Key, Measured] = {}
    label = "reading factors from S" if progress else None
    with image_bar(label, total=len(factors) + 1, unit="questions") as advance:
        measured |= measure(given, factors, labelled, advance=advance)
    for name, shown in pictured.items():
        measured |= measure_setting(name, shown, given.opinions, given.labels)
    codes = {name: level_codes(column) for name, column in factors.items()}
    overlap = measure_overlap(whole(given), given.features, codes, clusters=clusters, rng=rng)
    settled = settle(measured)
    found = assemble(settled, overlap)
    return Audit(
        name=asked.subject.name,
        data=asked.data,
        n=len(table),
        templates=len(said.opinions),
        class_names=table.class_names,
        mediation=found.mediation,
        leaks=_leaks(found, settled, columns.factors),
        second_stage=worst(tuple(found.second_stage.values())),
        second_stages=found.second_stage,
        overlap=found.overlap,
        factor_overlap=found.factor_overlap,
        compared=_compare(asked, columns, said, pictured),
        left_out=columns.left_out,
        unreadable=tuple((str(path), reason) for path, reason in table.unreadable),
        settings={
            "folds": folds, "clusters": clusters, "read_images": len(chosen), "set_images": MOST_SET,
            "set_factors": tuple(setters), "correction": CORRECTION,
            "source": table.source.to_record() if table.source else {},
        },
    )  # fmt: skip


def _pictured(
    asked: _Asked,
    columns: Columns,
    setters: Mapping[str, Setter],
    levels: Mapping[str, Sequence[str]],
    *,
    rng: np.random.Generator,
    progress: bool,
) -> dict[str, Pictured]:
    """Every factor that can be set, set in some of the images."""
    unknown = sorted(set(levels) - set(setters))
    if unknown:
        raise InputError(
            f"levels must be those of factors that are set ({', '.join(setters) or 'none'}); received levels of "
            f"{', '.join(unknown)}. Pass set_factors for them too."
        )
    known = {name: column.levels.tolist() for name, column in columns.factors.items()}
    wanted = {name: levels_of(name, known, levels) for name in setters}
    rows = np.sort(rng.permutation(len(asked.table))[:MOST_SET])
    places = asked.places()[rows] if setters else rows
    found: dict[str, Pictured] = {}
    for name, setter in setters.items():
        label = f"setting {name}" if progress else None
        with image_bar(label, total=len(rows) * len(wanted[name]), unit="pictures") as advance:
            found[name] = picture(setter, places, rows, wanted[name], asked.subject, asked.before, advance=advance)
    return found


def _leaks(
    found: MediatorFindings, settled: Mapping[Key, Finding], columns: Mapping[str, FactorColumn]
) -> dict[str, Leak]:
    """The leaks of all factors; where a factor was set, that decides."""
    moved: dict[str, dict[str, list[Finding]]] = {}
    for key, finding in settled.items():
        if len(key) == 5 and key[2] == "set":
            moved.setdefault(str(key[1]), {}).setdefault(str(key[3]), []).append(finding)
    leaks: dict[str, Leak] = {}
    for name in {**found.leaks, **moved}:
        steps = {level: tuple(one) for level, one in moved.get(name, {}).items()}
        every = tuple(one for level in steps.values() for one in level)
        told = found.leaks.get(name)
        deciding = worst(every) if every else found.leaks[name]
        source = columns[name].source if name in columns else "set"
        leaks[name] = Leak(deciding, told, found.templates.get(name, ()), steps, source)
    return leaks


def _compare(asked: _Asked, columns: Columns, said: Said, pictured: Mapping[str, Pictured]) -> Compared:
    """What the adapter did to the effect of every factor, from pictures where it was set, else from photographs."""
    if asked.before is None:
        return {}
    table = asked.table
    before = asked.said(asked.before).logits
    compared: dict[str, Mapping[str, Comparison]] = {
        name: compare_set(shown, table.labels[shown.rows]) for name, shown in pictured.items()
    }
    for name, column in columns.factors.items():
        if name not in pictured:
            reference = choose_reference(table, column)
            compared[name] = compare_levels(said.logits, before, table.labels, column.levels, reference)
    return corrected(compared)
