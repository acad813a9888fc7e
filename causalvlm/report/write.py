"""A diagnosis as one HTML file that needs nothing beside it, and as plain data."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from causalvlm.diagnosis.findings import caveats, limits, summarize
from causalvlm.diagnosis.result import Diagnosis
from causalvlm.intervals import CONFIDENCE
from causalvlm.phrases import INTERVAL, minus, spoken
from causalvlm.report.sections import MARKS, RUNG_NAMES, SECTIONS, Provenance, Report, by_light
from cdc.files import refuse_overwrite, write_bytes


def render_report(
    diagnosis: Diagnosis,
    path: Path | str,
    *,
    provenance: Provenance | None = None,
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
    refuse_overwrite(path, force=force)  # before the work, not after it
    write_bytes(path, to_html(diagnosis, provenance or {}).encode(errors="backslashreplace"), force=force)
    return path


def fill_template(template: str, values: Mapping[str, object]) -> str:
    """Fill one of the package's HTML templates; every value is escaped, and a missing one is an error.

    Every template knows how certain intervals are, as `confidence` and in words as `interval`, how numbers and names
    are said, as the filters `minus` and `spoken`, and how a policy names a piece of the page, as the filter `sha256`.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.PackageLoader("causalvlm.report", "html")
    )
    environment.filters |= {"minus": minus, "spoken": spoken, "sha256": _content_hash}
    return environment.get_template(template).render(confidence=CONFIDENCE, interval=INTERVAL, **values)


def _content_hash(text: str) -> str:
    """How a Content-Security-Policy names a style or script inside the page (CSP Level 3, section 2.3.1)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


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
    return {"answer": list(summarize(diagnosis)), "caveat": caveats(diagnosis), **diagnosis.to_record()}


def to_markdown(diagnosis: Diagnosis) -> str:
    """The first screen of the report, the remedies and the limits as text.

    Example:
        >>> import numpy as np
        >>> from causalvlm.diagnosis.diagnose import diagnose
        >>> from causalvlm.embeddings.table import EmbeddingTable
        >>> rng, level = np.random.default_rng(0), np.repeat(["day", "night"], 20)
        >>> table = EmbeddingTable(features=rng.normal(size=(40, 3)), logits=rng.normal(size=(40, 2)),
        ...                        labels=np.tile([0, 1], 20), factors={"light": level}, class_names=("cat", "dog"))
        >>> to_markdown(diagnose(table)).splitlines()[0]
        '# Diagnosis: embedding table'
    """
    lines = [f"# Diagnosis: {title_of(diagnosis)}", *summarize(diagnosis)]
    if diagnosis.graph is not None:
        header = ("factor", *RUNG_NAMES, "what it does")
        rows = [
            (f"{MARKS[one.ladder.light]} {spoken(one.factor)}", *(rung.answer for rung in one.ladder.rungs.values()),
             one.ladder.sentence)
            for one in by_light(diagnosis)
        ]  # fmt: skip
        cells = [header, ("---",) * len(header), *rows]
        lines.append("\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in cells))
    if diagnosis.remedies:
        lines += ["## What to do", "\n".join(f"* {spoken(one.factor)}: {one.advice}" for one in diagnosis.remedies)]
    lines += ["## What this does not show", "\n".join(f"* {limit}" for limit in limits(diagnosis)), caveats(diagnosis)]
    return "\n\n".join(lines) + "\n"


def title_of(diagnosis: Diagnosis) -> str:
    """Which model on which data."""
    source = diagnosis.source
    return f"{source.backbone} on {source.data}" if source else "embedding table"


def to_html(diagnosis: Diagnosis, provenance: Provenance) -> str:
    """The report as text; whatever comes from file names and class names is escaped."""
    report = Report(diagnosis, provenance)
    values: dict[str, object] = {
        "title": title_of(diagnosis),
        "diagnosis": diagnosis,
        "sections": {name: values_of(report) for name, values_of in SECTIONS.items()},
        "download": _download({**to_record(diagnosis), "provenance": dict(provenance)}),
    }
    return fill_template("report.html", values)


def _download(record: Mapping[str, object]) -> str:
    """Plain data inside the page, as what a link saves: without a script, and offline."""
    content = (json.dumps(record, indent=2, allow_nan=False) + "\n").encode()
    return f"data:application/json;base64,{base64.b64encode(content).decode()}"
