"""The result of a protocol as Markdown, CSV and LaTeX. None of them holds a time, so that a rerun writes the same."""

import csv
import io
from collections.abc import Iterable, Sequence

from cdc.protocols.protocol import Column
from cdc.protocols.published import BACKBONES, PUBLISHED
from cdc.protocols.registry import find_protocol
from cdc.protocols.result import ProtocolResult, Row
from cdc.protocols.spreads import Difference

NONE = "\N{EN DASH}"
"""What a cell without a number shows."""

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", NONE: "--", "±": r"$\pm$", "\N{MINUS SIGN}": "$-$",
    }
)  # fmt: skip


def markdown(result: ProtocolResult) -> str:
    """Averages, differences from the reference, every data set, published numbers where they fit, what is missing."""
    rows = result.table()
    averages, single = _split(rows)
    parts = [f"# {_title(result)}", find_protocol(result.protocol).help.capitalize() + "."]
    if averages:
        parts += ["## Average over data sets", _averages(result.columns, averages)]
        parts += _differences(result)
        parts += [
            "## By data set",
            _by_dataset(result.columns, single),
            "Mean ± population standard deviation over seeds. Accuracies and areas in percent.",
        ]
    if result.protocol == "base-to-new" and result.backbone in BACKBONES:
        parts += ["## Published", _published()]
    missing = [(item.dataset, item.reason) for item in result.skipped]
    missing += [(item.run, item.reason) for item in result.failed]
    if missing:
        parts += ["## Left out", _markdown_table(("what", "why"), missing)]
    return "\n\n".join(parts) + "\n"


def comma_separated(result: ProtocolResult) -> str:
    """Every score, one line per average, whose data set is empty, and per data set and method; shares from 0 to 1."""
    rows = result.table()
    metrics = list(dict.fromkeys(metric for row in rows for metric in row.means))
    heads = [f"{metric}_{kind}" for metric in metrics for kind in ("mean", "std")]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["dataset", "method", "sees", "augmentation", "datasets", "seeds", *heads])
    for row in rows:
        cells = [_six(numbers.get(metric)) for metric in metrics for numbers in (row.means, row.stds)]
        writer.writerow(
            [row.dataset or "", row.method, row.sees, row.augmentation or "", row.datasets, row.seeds, *cells]
        )
    return stream.getvalue()


def latex(result: ProtocolResult) -> str:
    """The averages and every data set as one table, for a paper that uses booktabs."""
    columns = result.columns
    averages, single = _split(result.table())
    blocks = [("average", averages)]
    blocks += [
        (name, [row for row in single if row.dataset == name]) for name in dict.fromkeys(r.dataset for r in single)
    ]
    lines = [
        f"% {_title(result)}; needs \\usepackage{{booktabs}}",
        rf"\begin{{tabular}}{{llll{'r' * len(columns)}}}",
        r"\toprule",
        _latex_line(["data set", "method", "allowed to see", "augmentation", *(column.heading for column in columns)]),
    ]
    for name, rows in blocks:
        if rows:
            lines.append(r"\midrule")
        for row in rows:
            facts = (name or "", row.method, row.sees, row.augmentation or NONE)
            lines.append(_latex_line([*facts, *(cell(column, row) for column in columns)]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def timings(result: ProtocolResult) -> str:
    """Seconds of the fit and peak memory in bytes of every run, as CSV."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["dataset", "method", "shots", "seed", "seconds", "peak_memory"])
    for run in result.runs:
        facts = [run["dataset"], run["method"], run["settings"]["shots"], run["seed"]]
        writer.writerow([*facts, f"{run['seconds']:.3f}", run["peak_memory"]])
    return stream.getvalue()


def cell(column: Column, row: Row) -> str:
    """A score as tables show it, with its standard deviation over seeds where it has one.

    Example:
        >>> accuracy = Column("base_accuracy", "base")
        >>> row = Row("pets", "cdc", "shots", "set2", 3, 1, {"base_accuracy": 0.8269}, {"base_accuracy": 0.0042})
        >>> cell(accuracy, row)
        '82.69 ± 0.42'
    """
    mean, std = row.means.get(column.metric), row.stds.get(column.metric)
    if mean is None:
        return NONE
    scale, digits = (100, 2) if column.digits is None else (1, column.digits)
    spread = f" ± {scale * std:.{digits}f}" if std is not None and digits else ""
    return f"{scale * mean:.{digits}f}{spread}"


def _title(result: ProtocolResult) -> str:
    shots, seeds = (" ".join(map(str, numbers)) for numbers in (result.shots, result.seeds))
    return f"{result.protocol} with {result.backbone}: {shots} shots, seeds {seeds}"


def _split(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Averages, and the rows of single data sets, those of one data set together."""
    single = [row for row in rows if row.dataset is not None]
    order = list(dict.fromkeys(row.dataset for row in single))
    return [row for row in rows if row.dataset is None], sorted(single, key=lambda row: order.index(row.dataset))


def _averages(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    heads = ("method", "allowed to see", "augmentation", "data sets", *(column.heading for column in columns))
    facts = [(row.method, row.sees, row.augmentation or NONE, str(row.datasets)) for row in rows]
    cells = [tuple(cell(column, row) for column in columns) for row in rows]
    return _markdown_table(heads, [left + right for left, right in zip(facts, cells, strict=True)])


def _by_dataset(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    heads = ("data set", "method", "seeds", *(column.heading for column in columns))
    lines = [
        (row.dataset or "", row.method, str(row.seeds), *(cell(column, row) for column in columns)) for row in rows
    ]
    return _markdown_table(heads, lines)


def _differences(result: ProtocolResult) -> list[str]:
    """The section of paired differences; none where there is only one method."""
    columns = [column for column in result.columns if column.compared]
    lines: list[tuple[str, ...]] = []
    for label in result.methods:
        found = result.paired(label, result.reference) if label != result.reference else {}
        if found:
            lines.append((label, *(_difference(found.get(column.metric)) for column in columns)))
    if not lines:
        return []
    return [
        f"## Difference from {result.reference}",
        _markdown_table(("method", *(column.heading for column in columns)), lines),
        "Points, over the same data sets and seeds. In brackets the 95 % interval of Student's t over the mean "
        "differences of the data sets; a single data set has none.",
    ]


def _difference(found: Difference | None) -> str:
    if found is None:
        return NONE
    if found.low is None or found.high is None:
        return _points(found.mean)
    return f"{_points(found.mean)} ({_points(found.low)} to {_points(found.high)})"


def _points(share: float) -> str:
    return f"{100 * share:+.2f}".replace("-", "\N{MINUS SIGN}")


def _published() -> str:
    heads = ("method", "allowed to see", "base", "new", "HM", "source")
    lines = [
        (row.method, row.sees, f"{row.base:.2f}", f"{row.new:.2f}", f"{row.harmonic_mean:.2f}", row.source)
        for row in PUBLISHED
    ]
    note = "Averages over the eleven data sets of the literature, ViT-B/16 of OpenAI, 16 shots, seeds 1 2 3."
    return f"{note}\n\n{_markdown_table(heads, lines)}"


def _markdown_table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cell.translate(_LATEX) for cell in cells) + r" \\"


def _six(number: float | None) -> str:
    return "" if number is None else f"{number:.6f}"
