"""What an audit found: a frozen value that shows itself as sentences, a table, or plain data."""

from collections.abc import Mapping
from dataclasses import dataclass

from causalvlm.diagnosis.audit.comparison import Compared
from causalvlm.diagnosis.audit.verdicts import MEANING, Finding
from causalvlm.markup import html_table

NO_FACTOR = (
    "No factor is labelled. Whether a hidden one opens a back door from S to Y no data can show; label those that may, "
    "and it can be asked of them."
)


@dataclass(frozen=True)
class Leak:
    """Whether S carries one factor.

    S is a function of the image, so that a leak means that S carries G_i, not that G_i reaches S past the image.

    Attributes:
        finding: the one that decides: what setting the factor does, where it was set, else what S tells of it.
        told: does S tell the factor beyond the class?
        templates: the same of every template alone; empty where there is one.
        moved: for each level that the factor was set to, how far that moves each template.
        source: whether the factor came with the images or was measured from their pixels; "set" if neither.
    """

    finding: Finding
    told: Finding | None
    templates: tuple[Finding, ...]
    moved: Mapping[str, tuple[Finding, ...]]
    source: str

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            **self.finding.to_record(),
            "source": self.source,
            "told": self.told.to_record() if self.told else None,
            "templates": [one.to_record() for one in self.templates],
            "set": {level: [one.to_record() for one in found] for level, found in self.moved.items()},
        }


@dataclass(frozen=True, repr=False)
class Audit:
    """What the audit of an adapter found; `MEANING` says what the verdicts mean.

    Attributes:
        name: of the method.
        data: of the data set.
        n: images.
        templates: how many opinions S has of each image.
        class_names: the closed set of answers.
        mediation: does X say more of Y than S does?
        leaks: for each factor, does S carry it?
        second_stage: is a back door from S to Y open past X, for any labelled factor?
        second_stages: the same for each.
        overlap: do coarse values of X share values of S?
        factor_overlap: the same for the levels of each factor.
        compared: what the adapter did to the effect of each factor, by level; empty without a zero-shot model.
        left_out: measured factors that could not be asked about, each with the reason.
        unreadable: files that were left out, each with the reason.
        settings: how the numbers were made.
    """

    name: str
    data: str
    n: int
    templates: int
    class_names: tuple[str, ...]
    mediation: Finding
    leaks: Mapping[str, Leak]
    second_stage: Finding
    second_stages: Mapping[str, Finding]
    overlap: Finding
    factor_overlap: Mapping[str, Finding]
    compared: Compared
    left_out: tuple[tuple[str, str], ...]
    unreadable: tuple[tuple[str, str], ...]
    settings: Mapping[str, object]

    def __repr__(self) -> str:
        said = ", ".join(f"{name} {finding.verdict}" for name, finding in self.questions.items())
        return f"<Audit of {self.name} on {self.data}, {self.n:,} images: {said}>"

    def _repr_html_(self) -> str:
        from causalvlm.diagnosis.audit.words import numbers

        rows = [(name, finding.verdict, numbers(finding), finding.reason) for name, finding in self.questions.items()]
        header = ("question", "verdict", "measured", "why")
        return html_table(rows, header=header, title=f"Audit of {self.name} on {self.data}, {self.n:,} images")

    @property
    def questions(self) -> dict[str, Finding]:
        """Every question by name, leaks one by one."""
        leaks = {f"leak of {name}": leak.finding for name, leak in self.leaks.items()}
        return {
            "mediation": self.mediation,
            **leaks,
            "second stage": self.second_stage,
            "overlap": self.overlap,
        }

    @property
    def summary(self) -> tuple[str, ...]:
        """The audit in a few plain sentences."""
        from causalvlm.diagnosis.audit.words import summarize

        return summarize(self)

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""

        def records(found: Mapping[str, Finding]) -> dict[str, object]:
            return {name: finding.to_record() for name, finding in found.items()}

        return {
            "method": self.name,
            "data": self.data,
            "n": self.n,
            "templates": self.templates,
            "class_names": self.class_names,
            "mediation": self.mediation.to_record(),
            "leaks": {name: leak.to_record() for name, leak in self.leaks.items()},
            "second_stage": {**self.second_stage.to_record(), "factors": records(self.second_stages)},
            "overlap": {**self.overlap.to_record(), "factors": records(self.factor_overlap)},
            "compared": {
                name: {level: one.to_record() for level, one in levels.items()}
                for name, levels in self.compared.items()
            },
            "left_out": self.left_out,
            "unreadable": self.unreadable,
            "meaning": dict(MEANING),
            "settings": dict(self.settings),
            "summary": self.summary,
        }


def worst(findings: tuple[Finding, ...]) -> Finding:
    """The violated one that is most certain, else one that cannot be told, else any."""
    if not findings:
        return Finding("cannot tell", None, None, None, None, "bits", "the second stage", NO_FACTOR)
    order = ("violated", "cannot tell", "valid")
    return min(findings, key=lambda one: (order.index(one.verdict), 1.0 if one.p_value is None else one.p_value))
