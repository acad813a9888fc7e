"""The sections of a report: a list, in order, and what each needs beside the diagnosis itself.

A section is a template of its name in ``html/sections/`` and a function here. What the function returns, the template
finds under ``values``; the diagnosis itself and the confidence of intervals it finds beside it.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from causalvlm.diagnosis.columns import Origin
from causalvlm.diagnosis.findings import caveats, limits, say_front_door, say_misalignment, summarize
from causalvlm.diagnosis.front_door import CANNOT_KNOW
from causalvlm.diagnosis.ladder import LIGHTS, Answer, Light
from causalvlm.diagnosis.levels import Cell, largest_loss
from causalvlm.diagnosis.pairs import small_png
from causalvlm.diagnosis.result import Diagnosis, FactorDiagnosis
from causalvlm.diagnosis.scm import node_of
from causalvlm.diagnosis.settings import read_or_none
from causalvlm.diagnosis.worst import WorstCell
from causalvlm.figures.diagnosis import draw_diagnosis, figure_factors
from causalvlm.figures.graph import draw_graph
from causalvlm.figures.ladder import draw_ladder
from causalvlm.figures.misalignment import draw_misalignment
from causalvlm.figures.style import to_bytes
from causalvlm.graphs.graph import CausalGraph
from causalvlm.graphs.paper import paper_scm
from causalvlm.intervals import Estimate, Shift
from causalvlm.phrases import spoken

RUNG_NAMES = ("Decodable?", "Used?", "Goes with the class?", "Effect known?", "Survives?")
"""The rungs of a ladder as columns are headed."""

MARKS: Mapping[Light, str] = {"red": "●", "amber": "◐", "green": "○", "unknown": "?"}
"""Of the lights, told apart without colour."""

GOOD_ANSWERS = {"decodable": "no", "used": "no", "confounded": "no", "identified": "yes", "survives": "yes"}
"""What is good news on each rung."""

GROUPS: Mapping[Origin, str] = {
    "label": "labelled factors", "pixels": "measured factors", "concept": "concepts", "cluster": "clusters",
}  # fmt: skip
"""One node for all factors of a source."""

MOST_DRAWN = 8
"""Factors that the drawn graph has a node for each of."""

SHOWN_CLASSES = 40
"""Classes in the table of a factor, those that lose most margin."""

Values = dict[str, object]
"""What the template of a section is filled with, by name."""

Provenance = Mapping[str, object]
"""More settings to print, such as seed, versions and commit."""


@dataclass(frozen=True)
class Report:
    """What every section is made from."""

    diagnosis: Diagnosis
    provenance: Provenance


def list_settings(settings: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names and values of settings as people write them.

    Example:
        >>> list_settings({"data_set": None, "versions": {"torch": "2"}})
        [('data set', '–'), ('versions', 'torch 2')]
    """
    return [(spoken(name), _plain(value)) for name, value in settings.items()]


def picture_source(content: bytes, *, kind: str = "png") -> str:
    """A picture inside the page, as the source of an image.

    Example:
        >>> picture_source(b"...")
        'data:image/png;base64,Li4u'
    """
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _answer(report: Report) -> Values:
    diagnosis = report.diagnosis
    figure = _svg(draw_ladder(diagnosis)) if diagnosis.graph else None
    ladder = [_row(factor) for factor in by_light(diagnosis)] if diagnosis.graph else []
    return {"headline": summarize(diagnosis)[: 2 if diagnosis.graph else 1], "figure": figure, "ladder": ladder}


def _rungs(report: Report) -> Values:
    rows = []
    for factor in by_light(report.diagnosis) if report.diagnosis.graph else ():
        row = _row(factor)
        named = list(zip(RUNG_NAMES, row["rungs"], strict=True))
        pairs = [
            {**vars(pair), "before": picture_source(pair.before), "after": picture_source(pair.after)}
            for pair in factor.evidence.pairs
        ]
        rows.append({**row, "rungs": named, "sentence": factor.ladder.sentence, "pairs": pairs})
    return {"rows": rows}


def _graph(report: Report) -> Values:
    diagnosis = report.diagnosis
    if diagnosis.graph is None:
        return {"figure": None}
    effects = [
        {"factor": one.factor, "effect": effect, "made": _made(one, effect.treated)}
        for one in by_light(diagnosis)
        if (effect := one.evidence.effect)
    ]
    figure = _svg(draw_graph(_overview_of(diagnosis, diagnosis.graph)))
    text = str(diagnosis.graph)
    return {"figure": figure, "text": text, "independencies": diagnosis.independencies, "effects": effects}


def _overview_of(diagnosis: Diagnosis, graph: CausalGraph) -> CausalGraph:
    """The graph itself or, of many factors, one with a node for all that come from one source."""
    if len(diagnosis.factors) <= MOST_DRAWN:
        return graph
    groups = {node_of(one.factor): GROUPS[one.source] for one in diagnosis.factors}

    def named(node: str) -> str:
        return groups.get(node, node)

    edges = {(named(a), named(b)) for a, b in graph.directed} - {(group, group) for group in groups.values()}
    bidirected = {(named(a), named(b)) for a, b in graph.bidirected if named(a) != named(b)}
    return CausalGraph(edges, bidirected=bidirected, latent=graph.latent)


def _front_door(report: Report) -> Values:
    effect = report.diagnosis.front_door
    if effect is None:
        return {"effect": None}
    groups = [{**vars(one), "pictures": _small(one.files)} for one in effect.groups]
    rows: list[tuple[str, Estimate | Shift | None, str]] = [("as images are", effect.association, "")]
    rows.append(("by the front door, through S", effect.front_door, effect.refusal and "refused"))
    if effect.adjusted_for:
        named = ", ".join(spoken(name) for name in effect.adjusted_for)
        rows.append((f"by the back door, with {named} held fixed", effect.back_door, effect.back_door_refusal))
    return {
        "effect": effect, "words": say_front_door(effect), "groups": groups, "rows": rows, "limits": CANNOT_KNOW,
        "figure": _svg(draw_graph(paper_scm("front_door"))),
    }  # fmt: skip


def _misalignment(report: Report) -> Values:
    found = report.diagnosis.misalignment
    if found is None:
        return {"found": None}
    certain = found.gap.low > 0  # one image that is misaligned proves nothing
    files = (found.example.file,) if certain and found.example and found.example.file else ()
    return {
        "found": found, "words": say_misalignment(found), "figure": _svg(draw_misalignment(found)),
        "picture": next(iter(_small(files)), None), "matches": (found.whole, found.by_class, *found.components),
    }  # fmt: skip


def _small(files: Sequence[str]) -> list[str]:
    """The files that can still be read, as small pictures."""
    images = (read_or_none(Path(file)) for file in files)
    return [picture_source(small_png(image)) for image in images if image is not None]


def _made(factor: FactorDiagnosis, level: str | None) -> Shift | None:
    return next((one.accuracy for one in factor.evidence.interventions if one.level == level), None)


def _remedies(report: Report) -> Values:
    rows = report.diagnosis.remedies
    helped = {one.factor for one in rows if one.helps}
    tried = dict.fromkeys(spoken(one.factor) for one in rows if one.tried and one.factor not in helped)
    return {"rows": rows, "hopeless": list(tried)}


def _worst(report: Report) -> Values:
    rows = [{**vars(cell), "pictures": _thumbnails(cell)} for cell in report.diagnosis.worst]
    return {"rows": rows}


def _thumbnails(cell: WorstCell) -> list[dict[str, str]]:
    """The images of a cell that can still be read, small."""
    pictures = []
    for file, answer in zip(cell.files, cell.answers, strict=False):
        image = read_or_none(Path(file))
        if image is not None:
            pictures.append({"source": picture_source(small_png(image)), "answer": answer})
    return pictures


def _words(report: Report) -> Values:
    return {"paragraphs": summarize(report.diagnosis)}


def _limits(report: Report) -> Values:
    return {"limits": limits(report.diagnosis), "caveat": caveats(report.diagnosis)}


def _overview(report: Report) -> Values:
    return {"shown": len(report.diagnosis.factors) > 1 or bool(report.diagnosis.left_out)}


def _figure(report: Report) -> Values:
    drawn = figure_factors(report.diagnosis)
    return {
        "figure": picture_source(to_bytes(draw_diagnosis(report.diagnosis))),
        "hidden": len(report.diagnosis.factors) - len(drawn),
    }


def _factors(report: Report) -> Values:
    rows = {factor.factor: _rows(factor) for factor in report.diagnosis.factors}
    return {
        "rows": {name: found[:SHOWN_CLASSES] for name, found in rows.items()},
        "hidden": {name: max(0, len(found) - SHOWN_CLASSES) for name, found in rows.items()},
    }


def _unreadable(report: Report) -> Values:
    return {"files": report.diagnosis.unreadable}


def _settings(report: Report) -> Values:
    return {"settings": list_settings({**report.diagnosis.settings, **report.provenance})}


SECTIONS: dict[str, Callable[[Report], Values]] = {
    "answer": _answer,
    "rungs": _rungs,
    "misalignment": _misalignment,
    "remedies": _remedies,
    "worst": _worst,
    "graph": _graph,
    "front_door": _front_door,
    "words": _words,
    "limits": _limits,
    "overview": _overview,
    "figure": _figure,
    "factors": _factors,
    "unreadable": _unreadable,
    "settings": _settings,
}
"""Every section by the name of its template, in the order of the page."""


def by_light(diagnosis: Diagnosis) -> list[FactorDiagnosis]:
    """The factors from what must be mended to what is not known, the largest effect first.

    Example:
        >>> import numpy as np
        >>> from causalvlm.diagnosis.diagnose import diagnose
        >>> from causalvlm.embeddings.table import EmbeddingTable
        >>> rng, level = np.random.default_rng(0), np.repeat(["day", "night"], 20)
        >>> table = EmbeddingTable(features=rng.normal(size=(40, 3)), logits=rng.normal(size=(40, 2)),
        ...                        labels=np.tile([0, 1], 20), factors={"light": level}, class_names=("cat", "dog"))
        >>> [factor.factor for factor in by_light(diagnose(table))]
        ['light']
    """
    return sorted(
        diagnosis.factors,
        key=lambda one: (LIGHTS.index(one.ladder.light), -abs(one.ladder.effect.value) if one.ladder.effect else 0.0),
    )


def _row(factor: FactorDiagnosis) -> dict[str, Any]:
    ladder = factor.ladder
    rungs = [
        {"answer": rung.answer, "reason": rung.reason, "tone": _tone(name, rung.answer)}
        for name, rung in ladder.rungs.items()
    ]
    return {"factor": factor.factor, "light": ladder.light, "mark": MARKS[ladder.light], "rungs": rungs}


def _tone(name: str, answer: Answer) -> str:
    if answer == "unknown":
        return "unknown"
    return "good" if answer == GOOD_ANSWERS[name] else "bad"


def _svg(figure: Figure) -> str:
    return picture_source(to_bytes(figure, "svg"), kind="svg+xml")


def _rows(factor: FactorDiagnosis) -> list[tuple[str, dict[str, Cell]]]:
    """Cells of each class by level, the class that loses most first."""
    rows: dict[str, dict[str, Cell]] = {}
    for cell in factor.cells:
        rows.setdefault(cell.class_name, {})[cell.level] = cell
    return sorted(rows.items(), key=lambda row: largest_loss(row[1].values()))


def _plain(value: object) -> str:
    """A setting as people write it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items())
    return "–" if value is None else str(value)
