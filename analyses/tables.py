"""Write the tables of README and docs from the JSON files that the other scripts wrote.

A page holds a block `<!-- table: NAME -->` ... `<!-- end -->`; this script replaces what lies between. A test checks
that every block is what this script would write.

How to run: python analyses/tables.py
How long: a second.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "analyses" / "results"
BENCHMARKS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _percent(value: dict[str, float]) -> str:
    return f"{100 * value['mean']:.1f} ± {100 * value['std']:.1f}"


def base_to_new() -> str:
    """Caltech-101 base-to-new, mean and standard deviation over seeds."""
    results = _read(RESULTS / "caltech_base_to_new.json")
    lines = [
        "| method | base | new | harmonic mean | HM of means | ECE base / new | OOD AUROC | minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in results["methods"].items():
        ece = f"{row['base_ece']['mean']:.3f} / {row['new_ece']['mean']:.3f}"
        lines.append(
            f"| {name} | {_percent(row['base_accuracy'])} | {_percent(row['new_accuracy'])} | "
            f"{_percent(row['harmonic_mean'])} | {100 * row['harmonic_mean_of_means']:.1f} | {ece} | "
            f"{row['ood_auroc']['mean']:.3f} | {row['seconds']['mean'] / 60:.1f} |"
        )
    return "\n".join(lines) + "\n"


def text_encoding() -> str:
    """Speed and memory of the text path against the usual way."""
    results = _read(BENCHMARKS / "text_encoding.json")["results"]
    lines = [
        "| class names | usual way | ours | faster | activations kept, usual : ours |",
        "|---|---|---|---|---|",
    ]
    names = {"dtd": "DTD, base", "imagenet": "ImageNet, base"}
    for case, row in results.items():
        usual, ours = (row["seconds"][way]["median"] for way in ("usual", "ours"))
        lines.append(
            f"| {names[case]} ({row['classes']}) | {usual:.2f} s | {ours:.2f} s | {row['time_ratio']:.1f} times | "
            f"{row['memory_ratio']:.1f} : 1 |"
        )
    return "\n".join(lines) + "\n"


def choose_settings() -> str:
    """Settings judged on validation images of base classes, the halves standing in for base and new."""
    results = _read(RESULTS / "choose_settings.json")
    lines = ["| setting | base | stand-in for new | HM | ECE | AURC | OOD AUROC |", "|---|---|---|---|---|---|---|"]
    for name, row in results["rows"].items():
        mean = row["mean"]
        lines.append(
            f"| {name} | {mean['base_accuracy']:.3f} | {mean['new_accuracy']:.3f} | {mean['harmonic_mean']:.3f} | "
            f"{mean['base_ece']:.3f} / {mean['new_ece']:.3f} | {mean['base_aurc']:.3f} / {mean['new_aurc']:.3f} | "
            f"{mean['ood_auroc']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def pacs() -> str:
    """PACS by domain: accuracy and margin, and what a probe reads."""
    factor = _read(RESULTS / "pacs_diagnosis.json")["factors"][0]
    lines = ["| domain | accuracy | accuracy against photo, points | margin against photo, nats |", "|---|---|---|---|"]
    for level in factor["levels"]:
        cells = [_interval(level["accuracy"], 100, 1)]
        cells += [
            _interval(level[key], *scale) for key, scale in (("accuracy_shift", (100, 0)), ("margin_shift", (1, 1)))
        ]
        lines.append(f"| {level['level']} | {' | '.join(cells)} |")
    probe = factor["probe"]
    lines += [
        "",
        f"A probe reads the domain of {_interval(probe['accuracy'], 100, 0)} percent of the images, where guessing "
        f"names {100 * probe['majority']:.0f}: {probe['bits']['value']:.2f} of {probe['entropy_bits']:.2f} bits.",
    ]
    return "\n".join(lines) + "\n"


def _interval(value: dict[str, float] | None, scale: float, digits: int) -> str:
    if value is None:
        return "reference"
    number, low, high = (
        f"{scale * value[key]:.{digits}f}".replace("-", "\N{MINUS SIGN}") for key in ("value", "low", "high")
    )
    return f"{number} ({low} to {high})"


def adaptation() -> str:
    """Seconds of a training epoch and the cost of several templates when predicting."""
    results = _read(BENCHMARKS / "adaptation.json")
    epoch, ratio = results["epoch_seconds"], results["predict_ratio"]
    return (
        f"A CDC training epoch on cached features ({results['images_per_epoch']} images, {results['classes']} classes, "
        f"M = {results['templates']}, {results['threads']} CPU cores) takes {epoch['median']:.1f} s "
        f"({epoch['min']:.1f} to {epoch['max']:.1f}); predicting with M = {results['templates']} templates reaches "
        f"{ratio['median']:.2f} of zero-shot's images a second ({ratio['min']:.2f} to {ratio['max']:.2f}).\n"
    )


TABLES: dict[str, Callable[[], str]] = {
    "base-to-new": base_to_new,
    "text-encoding": text_encoding,
    "adaptation": adaptation,
    "choose-settings": choose_settings,
    "pacs": pacs,
}


def fill(page: str) -> str:
    """`page` with every block replaced by its table."""
    return BLOCK.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", page)


def pages() -> list[Path]:
    """Pages that may hold blocks."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def main() -> None:
    """Rewrite every page."""
    for page in pages():
        page.write_text(fill(page.read_text()))


if __name__ == "__main__":
    main()
