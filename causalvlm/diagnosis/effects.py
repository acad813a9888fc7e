"""The effect of each factor on being right, estimated from images as they are, or refused with the reason."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import ndtr

from causalvlm.diagnosis.columns import Columns
from causalvlm.diagnosis.scm import PREDICTION, node_of, study_table
from causalvlm.errors import CausalVLMError, NotIdentifiedError, OverlapError
from causalvlm.estimation.effect import Effect, estimate_effect
from causalvlm.graphs.graph import CausalGraph
from causalvlm.identification.estimands import Estimand
from causalvlm.identification.identify import identify
from causalvlm.intervals import Shift, widened
from causalvlm.multiplicity import FALSE_ALARM_RATE, holm
from causalvlm.probes.sampling import sample_rows
from causalvlm.refutation.refute import refute
from causalvlm.refutation.verdict import Verdicts

STUDIED_IMAGES = 10_000
"""Images that an effect is estimated from: cross-fitted models of more would take minutes a factor."""

FEWEST_AT_LEVEL = 5

UNNAMED = (
    "A cluster of embeddings is nothing that could be set. Look at its images, name what they share, and diagnose "
    "again with that as a labelled factor."
)

MOST_LEFT_OUT = 3
"""Levels, the rarest first, that are left out until the others overlap."""

TRIED_PAIRS = 3
"""Levels that are compared with the reference until one overlaps with it."""


@dataclass(frozen=True, eq=False, repr=False)
class FactorEffect:
    """What images as they are say of the effect that a factor has on being right.

    Attributes:
        factor: its name.
        treated: the level whose effect is largest; None after a refusal.
        control: the reference.
        formula: what identifies the effect; empty where nothing does.
        assumptions: what must hold for that.
        shift: share of right answers at `treated` minus that at `control`, had each been set; None after a refusal.
            Its interval and p-value allow for the choice among the levels.
        adjusted: that p-value corrected for all factors; 1 after a refusal.
        n: images.
        warnings: of the estimate.
        verdicts: attempts to refute a certain effect; None where none were made.
        refusal: why there is no number, and what would mend it; empty where there is one.
    """

    factor: str
    treated: str | None
    control: str
    formula: str
    assumptions: tuple[str, ...]
    shift: Shift | None
    n: int
    warnings: tuple[str, ...] = ()
    refusal: str = ""
    verdicts: Verdicts | None = None
    adjusted: float = 1.0

    def __repr__(self) -> str:
        said = f"{self.shift.value:+.3f} at {self.treated}" if self.shift else "refused"
        return f"<FactorEffect of {self.factor!r} on being right: {said}>"

    @property
    def certain(self) -> bool:
        """Whether there certainly is an effect, among all factors."""
        return self.shift is not None and self.adjusted < FALSE_ALARM_RATE

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the attempts to refute it that succeeded."""
        return tuple(one.name for one in self.verdicts or () if one.outcome == "failed")

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        shift = self.shift
        return {
            "treated": self.treated,
            "control": self.control,
            "formula": self.formula,
            "assumptions": list(self.assumptions),
            "value": shift.value if shift else None,
            "low": shift.low if shift else None,
            "high": shift.high if shift else None,
            "adjusted_p_value": self.adjusted if shift else None,
            "n": self.n,
            "warnings": list(self.warnings),
            "refusal": self.refusal,
            "verdicts": [one.to_record() for one in self.verdicts or ()],
        }


def estimate_effects(
    columns: Columns,
    graph: CausalGraph,
    references: Mapping[str, str],
    *,
    known: Collection[str] = (),
    rng: np.random.Generator,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, FactorEffect]:
    """Identify, estimate and try to refute the effect of every factor on being right.

    Each effect is that of the level which moves the share of right answers most against the reference; interval and
    p-value allow for the choice (`widened`), and all factors are corrected together (Holm).

    Args:
        columns: the factors of a table.
        graph: with a node for every factor, for the class and for the answer.
        references: the level of every factor that the others are compared with.
        known: factors that were set in the images: what that showed stands beside their estimates, so that attempts to
            refute these, the slow part, are left out.
        rng: for folds, draws and the choice of images where there are more than `STUDIED_IMAGES`.
        advance: called after every factor.

    Example:
        >>> from causalvlm.diagnosis.columns import labelled_columns
        >>> from causalvlm.diagnosis.scm import data_graph
        >>> from causalvlm.embeddings.table import EmbeddingTable
        >>> rng, labels = np.random.default_rng(0), np.tile([0, 1], 400)
        >>> light = rng.choice(["day", "night"], size=800)
        >>> right = rng.random(800) < np.where(light == "day", 0.9, 0.6)
        >>> answers = np.eye(2)[np.where(right, labels, 1 - labels)]
        >>> table = EmbeddingTable(features=rng.normal(size=(800, 2)), logits=answers, labels=labels,
        ...                        factors={"light": light}, class_names=("cat", "dog"))
        >>> columns = labelled_columns(table)
        >>> found = estimate_effects(columns, data_graph(columns), {"light": "day"}, rng=rng)["light"]
        >>> found.certain, round(found.shift.value, 1), found.failed
        (True, -0.3, ())
    """
    right = columns.table.correct.astype(float)
    study = study_table(columns).assign(**{PREDICTION: right})
    seed = int(rng.integers(2**31))
    answers: dict[str, _Answer] = {}
    for name, control in references.items():
        if columns.factors[name].source == "cluster":
            answers[name] = _Answer(FactorEffect(name, None, control, "", (), None, len(study), refusal=UNNAMED), study)
        else:
            answers[name] = _ask(_rows(study, node_of(name), rng), graph, name, control, seed)
        advance()
    corrected = holm({name: one.said.shift.p_value for name, one in answers.items() if one.said.shift})
    said = {
        name: replace(one, said=replace(one.said, adjusted=corrected.get(name, 1.0))) for name, one in answers.items()
    }
    return {name: one.said if name in known else _refute(one, seed) for name, one in said.items()}


def shift_of(effect: Effect) -> Shift:
    """The value of an effect with its interval and the normal p-value of "none"."""
    error = effect.standard_error
    p_value = float(2 * ndtr(-abs(effect.value) / error)) if error > 0 else 1.0
    return Shift(effect.value, effect.low, effect.high, p_value)


@dataclass(frozen=True, eq=False)
class _Answer:
    """What was said, and what it takes to doubt it."""

    said: FactorEffect
    table: pd.DataFrame
    effect: Effect | None = None


def _ask(table: pd.DataFrame, graph: CausalGraph, name: str, control: str, seed: int) -> _Answer:
    said = FactorEffect(name, None, control, "", (), None, len(table))
    try:
        unmeasured = [node for node in graph.observed if node not in table.columns]  # such as the image itself
        estimand = identify(graph.hide(*unmeasured), node_of(name), PREDICTION)
        effect, table = _estimate_overlapping(table, estimand, control, seed)
    except NotIdentifiedError as error:
        return _Answer(replace(said, refusal=_with_remedy(error)), table)
    except CausalVLMError as error:
        return _Answer(replace(said, refusal=str(error)), table)
    choices = len(effect.do_means) - 1
    said = replace(
        said,
        treated=str(effect.treated),
        formula=estimand.text(),
        assumptions=estimand.assumptions(),
        shift=widened(shift_of(effect), choices),
        warnings=tuple(note for note in effect.warnings if "Choose others" not in note),
    )
    return _Answer(said, table, effect)


def _estimate_overlapping(
    table: pd.DataFrame, estimand: Estimand, control: str, seed: int
) -> tuple[Effect, pd.DataFrame]:
    """The effect, and the rows that it is of: without the rarest levels, where only the others overlap."""
    left_out: list[str] = []
    while True:
        try:
            effect = _estimate(table, estimand, control, seed)
        except OverlapError:
            counts = table[estimand.treatment].value_counts().drop(control)
            if len(counts) < 2 or len(left_out) == MOST_LEFT_OUT:
                raise
            left_out.append(str(counts.index[-1]))
            table = table.loc[table[estimand.treatment] != left_out[-1]].reset_index(drop=True)
        else:
            note = f"images at {', '.join(map(repr, left_out))} are left out: they do not overlap with the others."
            return (replace(effect, warnings=(*effect.warnings, note)) if left_out else effect), table


def _estimate(table: pd.DataFrame, estimand: Estimand, control: str, seed: int) -> Effect:
    """The effect of the level that moves the mean most; one that does not overlap with the reference is passed over.

    One fit gives the means of all levels, but its guards look at two: the level that is chosen is fitted again.
    """
    levels = [str(level) for level in table[estimand.treatment].value_counts().index if level != control]
    first = _first_overlapping(table, estimand, levels, control, seed)
    moved = {level: abs(first.contrast(level, control).value) for level in levels}
    order = sorted(levels, key=lambda level: -moved[level])
    farther = order[: order.index(str(first.treated))]
    chosen = _first_overlapping(table, estimand, farther, control, seed, otherwise=first)
    passed = order[: order.index(str(chosen.treated))]
    if not passed:
        return chosen
    note = f"{', '.join(map(repr, passed))} cannot be compared with {control!r}: their images do not overlap."
    return replace(chosen, warnings=(*chosen.warnings, note))


def _first_overlapping(
    table: pd.DataFrame, estimand: Estimand, levels: list[str], control: str, seed: int, otherwise: Effect | None = None
) -> Effect:
    """The effect of the first of these levels that can be compared, of the first few that are tried."""
    refusal: OverlapError | None = None
    for level in levels[:TRIED_PAIRS]:
        try:
            return estimate_effect(table, estimand, rng=seed, treated=level, control=control)
        except OverlapError as error:
            refusal = refusal or error
    if otherwise is None:
        raise refusal or OverlapError(f"images at two levels are needed; {control!r} is the only one.")
    return otherwise


def _refute(answer: _Answer, seed: int) -> FactorEffect:
    if answer.effect is None or not answer.said.certain:
        return answer.said
    return replace(answer.said, verdicts=refute(answer.effect, answer.table, rng=seed))


def _rows(study: pd.DataFrame, name: str, rng: np.random.Generator) -> pd.DataFrame:
    levels = study[name].to_numpy(dtype=str)
    rows = sample_rows(levels, np.arange(len(study)), most=STUDIED_IMAGES, fewest=FEWEST_AT_LEVEL, rng=rng)
    return study if rows is None else study.iloc[rows].reset_index(drop=True)


def _with_remedy(error: NotIdentifiedError) -> str:
    return f"{error} {error.remedies[0]}" if error.remedies and error.remedies[0] not in str(error) else str(error)
