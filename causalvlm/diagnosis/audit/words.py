"""An audit in plain words: a few sentences, and a page of Markdown."""

from collections.abc import Iterable, Mapping

from causalvlm.diagnosis.audit.comparison import Comparison
from causalvlm.diagnosis.audit.result import Audit, Leak
from causalvlm.diagnosis.audit.verdicts import MEANING, Finding
from causalvlm.multiplicity import FALSE_ALARM_RATE
from causalvlm.phrases import INTERVAL, difference

LEAK_MEANS = (
    "S is a function of the image. A leak therefore means that S carries the factor, not that it reaches S past "
    "the image."
)
"""What must be said wherever a leak is claimed."""

Row = tuple[str, ...]


def numbers(finding: Finding) -> str:
    """Value, interval and p-value of a finding.

    Example:
        >>> numbers(Finding("valid", 0.01, -0.01, 0.03, 0.4, "bits", "X beyond S", "nothing"))
        '0.010 bits (-0.010 to 0.030), p = 0.4'
    """
    if finding.value is None:
        return "not measured"
    ends = f"{finding.value:.3f} {finding.unit} ({finding.low:.3f} to {finding.high:.3f})"
    return ends if finding.p_value is None else f"{ends}, p = {finding.p_value:.2g}"


def summarize(audit: Audit) -> tuple[str, ...]:
    """The audit in a few plain sentences: one on S, one a question, one on what the adapter changed.

    Args:
        audit: of any adapter.
    """
    many = f"the opinions of {audit.templates} templates" if audit.templates > 1 else "the answer"
    return (
        f"S is {many} of {audit.name} on {audit.n:,} images of {audit.data}.",
        f"Full mediation: {audit.mediation.verdict} ({numbers(audit.mediation)}). {audit.mediation.reason}",
        _leaks(audit.leaks),
        f"Second stage: {audit.second_stage.verdict} ({numbers(audit.second_stage)}). {audit.second_stage.reason}",
        f"Overlap: {audit.overlap.verdict}. {audit.overlap.reason}",
        _compared(audit),
    )


def to_markdown(audit: Audit) -> str:
    """The audit as a page: the sentences, a table of the questions, templates and levels, and what verdicts mean.

    Args:
        audit: of any adapter.
    """
    questions = [(name, one.verdict, numbers(one), one.measured) for name, one in audit.questions.items()]
    details = [
        *((name, f"template {place}", one) for name, leak in audit.leaks.items() for place, one in _enumerated(leak)),
        *(
            (name, f"set to {level}, template {place}", one)
            for name, leak in audit.leaks.items()
            for level, found in leak.moved.items()
            for place, one in enumerate(found, 1)
        ),
        *((name, "second stage", one) for name, one in audit.second_stages.items()),
        *((name, "overlap of its levels", one) for name, one in audit.factor_overlap.items()),
    ]
    return "\n".join(
        [
            f"# Audit of {audit.name} on {audit.data}",
            "",
            *(f"{sentence}\n" for sentence in audit.summary),
            *_table(("question", "verdict", f"measured, {INTERVAL} interval", "what"), questions),
            *_table(
                ("factor", "asked", "verdict", f"measured, {INTERVAL} interval"),
                [(name, asked, one.verdict, numbers(one)) for name, asked, one in details],
            ),
            *_table(
                ("factor", "level, against", "margin, nats", "accuracy, points", "p", "from"),
                [_comparison(name, level, one) for name, level, one in _comparisons(audit)],
            ),
            "Verdicts of tests: "
            + "; ".join(f"**{verdict}**: {meaning}" for verdict, meaning in MEANING.items())
            + ".",
            "",
        ]
    )


def _leaks(leaks: Mapping[str, Leak]) -> str:
    if not leaks:
        return "Leaks: cannot tell, for no factor is labelled or could be measured."
    by_verdict: dict[str, list[str]] = {}
    for name, leak in leaks.items():
        by_verdict.setdefault(leak.finding.verdict, []).append(name)
    words = {
        "violated": "S carries {}",
        "valid": "it carries nothing that counts of {}",
        "cannot tell": "whether it carries {} cannot be told",
    }
    said = "; ".join(
        words[verdict].format(", ".join(by_verdict[verdict])) for verdict in words if verdict in by_verdict
    )
    return f"Leaks: {said}. {LEAK_MEANS}"


def _compared(audit: Audit) -> str:
    certain = [(name, level, one) for name, level, one in _comparisons(audit) if one.p_value < FALSE_ALARM_RATE]
    if not audit.compared:
        return "No zero-shot model stands beside it, so that what it changed is not said."
    if not certain:
        return "Compared with zero-shot on the same images, no level's margin has certainly changed."
    name, level, one = max(certain, key=lambda found: abs(found[2].margin.value))
    shift = difference(one.margin, unit="nats", digits=1)
    return (
        f"Compared with zero-shot on the same images, the margin at {len(certain)} level"
        f"{'s' if len(certain) > 1 else ''} has certainly changed; most at {name} {level}: {shift} than there, "
        f"measured against {one.reference}."
    )


def _comparisons(audit: Audit) -> list[tuple[str, str, Comparison]]:
    return [(name, level, one) for name, levels in audit.compared.items() for level, one in levels.items()]


def _comparison(name: str, level: str, one: Comparison) -> Row:
    margin, accuracy = one.margin, one.accuracy
    return (
        name,
        f"{level}, {one.reference}",
        f"{margin.value:+.2f} ({margin.low:+.2f}, {margin.high:+.2f})",
        f"{100 * accuracy.value:+.1f} ({100 * accuracy.low:+.1f}, {100 * accuracy.high:+.1f})",
        f"{one.p_value:.2g}",
        one.how,
    )


def _enumerated(leak: Leak) -> Iterable[tuple[int, Finding]]:
    return enumerate(leak.templates, 1)


def _table(header: Row, rows: list[Row]) -> list[str]:
    """Lines of a Markdown table; none without rows."""
    if not rows:
        return []
    cells = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in (header, ("---",) * len(header), *rows)]
    return [*(f"| {row} |" for row in cells), ""]
