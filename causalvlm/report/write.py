"""A diagnosis as one HTML file that needs nothing beside it, and as plain data."""

import base64
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2

from causalvlm.diagnosis.diagnose import Diagnosis, FactorDiagnosis
from causalvlm.diagnosis.findings import CAVEAT, summarize
from causalvlm.diagnosis.levels import Cell, largest_loss
from causalvlm.errors import InputError
from causalvlm.figures.diagnosis import draw_diagnosis
from causalvlm.figures.style import to_png

SHOWN_CLASSES = 40
"""Classes in the table of a factor, those that lose most margin."""


def render_report(
    diagnosis: Diagnosis,
    path: Path | str,
    *,
    provenance: Mapping[str, object] | None = None,
    force: bool = False,
) -> Path:
    """Write a diagnosis as HTML: the answer in words, figure, tables and settings.

    Args:
        diagnosis: what `diagnose` returned.
        path: the file to write, with styles and figure inside.
        provenance: more settings to print, such as seed, versions and commit.
        force: replace an existing file.

    Returns:
        The path.

    Raises:
        InputError: if the file exists and `force` is false.

    Example:
        >>> import numpy as np, tempfile
        >>> from causalvlm.diagnosis.diagnose import diagnose
        >>> from causalvlm.embeddings.table import EmbeddingTable
        >>> rng, level = np.random.default_rng(0), np.repeat(["day", "night"], 20)
        >>> table = EmbeddingTable(features=rng.normal(size=(40, 3)), logits=rng.normal(size=(40, 2)),
        ...                        labels=np.tile([0, 1], 20), factors={"light": level}, class_names=("cat", "dog"))
        >>> render_report(diagnose(table), Path(tempfile.mkdtemp()) / "report.html").read_text()[:15]
        '<!doctype html>'
    """
    path = Path(path)
    if path.exists() and not force:
        raise InputError(f"a report must not exist yet; received {path}. Choose another name or pass force=True.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(to_html(diagnosis, provenance or {}), encoding="utf-8")
    partial.replace(path)
    return path


def fill_template(template: str, values: Mapping[str, object]) -> str:
    """Fill one of the package's HTML templates; every value is escaped, and a missing one is an error."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.PackageLoader("causalvlm.report", "html")
    )
    return environment.get_template(template).render(**values)


def list_settings(settings: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names and values of settings as people write them.

    Example:
        >>> list_settings({"data_set": None, "versions": {"torch": "2"}})
        [('data set', '–'), ('versions', 'torch 2')]
    """
    return [(name.replace("_", " "), _plain(value)) for name, value in settings.items()]


def to_record(diagnosis: Diagnosis) -> dict[str, Any]:
    """A diagnosis with its verdicts and its answer in words, as plain data for JSON.

    Example:
        >>> import numpy as np
        >>> from causalvlm.diagnosis.diagnose import diagnose
        >>> from causalvlm.embeddings.table import EmbeddingTable
        >>> rng, level = np.random.default_rng(0), np.repeat(["day", "night"], 20)
        >>> table = EmbeddingTable(features=rng.normal(size=(40, 3)), logits=rng.normal(size=(40, 2)),
        ...                        labels=np.tile([0, 1], 20), factors={"light": level}, class_names=("cat", "dog"))
        >>> to_record(diagnose(table))["factors"][0]["moves_margin"]
        False
    """
    record = asdict(diagnosis)
    for factor, entry in zip(diagnosis.factors, record["factors"], strict=True):
        entry["decodable"] = factor.probe.decodable
        entry["decodable_given_class"] = factor.probe.decodable_given_class
        entry["moves_margin"] = factor.moves_margin
    return {"answer": list(summarize(diagnosis)), "caveat": CAVEAT, **record}


def to_html(diagnosis: Diagnosis, provenance: Mapping[str, object]) -> str:
    """The report as text; whatever comes from file names and class names is escaped."""
    rows = {factor.factor: _rows(factor) for factor in diagnosis.factors}
    settings = {**diagnosis.settings, **provenance}
    values: dict[str, object] = {
        "title": f"{settings['backbone']} on {settings['data']}" if "backbone" in settings else "embedding table",
        "diagnosis": diagnosis,
        "answer": summarize(diagnosis),
        "caveat": CAVEAT,
        "figure": base64.b64encode(to_png(draw_diagnosis(diagnosis))).decode(),
        "rows": {name: found[:SHOWN_CLASSES] for name, found in rows.items()},
        "hidden": {name: max(0, len(found) - SHOWN_CLASSES) for name, found in rows.items()},
        "settings": list_settings(settings),
    }
    return fill_template("report.html", values)


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
