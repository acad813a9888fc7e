"""The sections of a report: a list, in order, and what each needs beside the diagnosis itself.

A section is a template of its name in ``html/sections/`` and, where it needs more than the diagnosis, a function here.
"""

import base64
from collections.abc import Callable, Mapping

from causalvlm.diagnosis.diagnose import Diagnosis, FactorDiagnosis
from causalvlm.diagnosis.findings import CAVEAT, summarize
from causalvlm.diagnosis.levels import Cell, largest_loss
from causalvlm.figures.diagnosis import draw_diagnosis
from causalvlm.figures.style import to_bytes

SHOWN_CLASSES = 40
"""Classes in the table of a factor, those that lose most margin."""

Values = dict[str, object]
"""What a template is filled with, by name."""

Provenance = Mapping[str, object]
"""More settings to print, such as seed, versions and commit."""


def list_settings(settings: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names and values of settings as people write them.

    Example:
        >>> list_settings({"data_set": None, "versions": {"torch": "2"}})
        [('data set', '–'), ('versions', 'torch 2')]
    """
    return [(name.replace("_", " "), _plain(value)) for name, value in settings.items()]


def picture_source(content: bytes, *, kind: str = "png") -> str:
    """A picture inside the page, as the source of an image.

    Example:
        >>> picture_source(b"...")
        'data:image/png;base64,Li4u'
    """
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _answer(diagnosis: Diagnosis, provenance: Provenance) -> Values:
    del provenance
    return {"answer": summarize(diagnosis), "caveat": CAVEAT}


def _figure(diagnosis: Diagnosis, provenance: Provenance) -> Values:
    del provenance
    return {"figure": picture_source(to_bytes(draw_diagnosis(diagnosis)))}


def _factors(diagnosis: Diagnosis, provenance: Provenance) -> Values:
    del provenance
    rows = {factor.factor: _rows(factor) for factor in diagnosis.factors}
    return {
        "rows": {name: found[:SHOWN_CLASSES] for name, found in rows.items()},
        "hidden": {name: max(0, len(found) - SHOWN_CLASSES) for name, found in rows.items()},
    }


def _unreadable(diagnosis: Diagnosis, provenance: Provenance) -> Values:
    del diagnosis, provenance
    return {}


def _settings(diagnosis: Diagnosis, provenance: Provenance) -> Values:
    return {"settings": list_settings({**diagnosis.settings, **provenance})}


SECTIONS: dict[str, Callable[[Diagnosis, Provenance], Values]] = {
    "answer": _answer,
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
