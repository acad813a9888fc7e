"""The sections of a report: a list, in order, and what each needs beside the diagnosis itself.

A section is a template of its name in ``html/sections/`` and a function here. What the function returns, the template
finds under ``values``; the diagnosis itself and the confidence of intervals it finds beside it.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from causalvlm.diagnosis.diagnose import Diagnosis, FactorDiagnosis
from causalvlm.diagnosis.findings import caveats, summarize
from causalvlm.diagnosis.levels import Cell, largest_loss
from causalvlm.figures.diagnosis import draw_diagnosis, figure_factors
from causalvlm.figures.style import to_bytes
from causalvlm.phrases import spoken

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
    return {"answer": summarize(report.diagnosis), "caveat": caveats(report.diagnosis)}


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
    "overview": _overview,
    "figure": _figure,
    "factors": _factors,
    "unreadable": _unreadable,
    "settings": _settings,
}
"""Every section by the name of its template, in the order of the page."""


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
