"""What an adapter did to the effect of a factor: its shift of margin and accuracy minus zero-shot's, paired."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from jaxtyping import Float, Int, Shaped

from causalvlm.diagnosis.audit.setting import Pictured
from causalvlm.diagnosis.levels import FEWEST_IMAGES
from causalvlm.embeddings.table import logit_margins
from causalvlm.intervals import Shift, difference_of_means, mean_shift
from causalvlm.multiplicity import holm

Logits = Float[np.ndarray, "rows classes"]
Codes = Int[np.ndarray, " rows"]


@dataclass(frozen=True)
class Comparison:
    """What the adapter did to the effect of one level of a factor, compared with zero-shot on identical images.

    Attributes:
        reference: the level that it is compared with.
        margin: difference in differences of the logit margin, in nats; below zero, the level costs more than before.
        accuracy: the same of the share of right answers.
        p_value: of no difference in margin, corrected for all levels of all factors (Holm 1979).
        classes: how many have images at both levels; photographs weigh them alike, a factor that is set its images.
        how: "photographs", an association, or "set", an effect: the factor alone was changed.
    """

    reference: str
    margin: Shift
    accuracy: Shift
    p_value: float
    classes: int
    how: str

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


Compared = Mapping[str, Mapping[str, Comparison]]
"""By factor and level."""


def compare_levels(
    after: Logits, before: Logits, labels: Codes, levels: Shaped[np.ndarray, " rows"], reference: str
) -> dict[str, Comparison]:
    """Every level against the reference, class by class, from different photographs.

    Each image's score is its own margin under the adapter minus that under zero-shot, so that what is hard about an
    image cancels; the difference of these between levels is taken within each class and averaged over classes (Welch).

    Args:
        after: what the adapter says.
        before: what zero-shot says of the same images.
        labels: true classes.
        levels: of the factor.
        reference: the level to compare with.

    Example:
        >>> labels, levels = np.tile([0, 1], 20), np.repeat(["day", "night"], 20)
        >>> before = np.random.default_rng(0).normal(size=(40, 2))
        >>> after = before + (levels == "night")[:, None] * np.eye(2)[labels]
        >>> round(compare_levels(after, before, labels, levels, "day")["night"].margin.value, 6)
        1.0
    """
    scores = _changes(after, before, labels)
    found: dict[str, Comparison] = {}
    for level in (str(one) for one in np.unique(levels)):
        counts = [np.bincount(labels[levels == one], minlength=after.shape[1]) for one in (level, reference)]
        shared = np.flatnonzero((counts[0] >= FEWEST_IMAGES) & (counts[1] >= FEWEST_IMAGES))
        if level == reference or not len(shared):
            continue

        def shift(values: Float[np.ndarray, " _"], here: str = level, shared: Int[np.ndarray, " _"] = shared) -> Shift:
            cells = [[values[(levels == one) & (labels == k)] for k in shared] for one in (here, reference)]
            return difference_of_means(*cells)

        found[level] = _compared(reference, scores, shift, len(shared), "photographs")
    return found


def compare_set(pictured: Pictured, labels: Int[np.ndarray, " _"]) -> dict[str, Comparison]:
    """Every level against the first, in pictures of the same images.

    Args:
        pictured: what was said at each level, before and after.
        labels: true classes of its images.
    """
    if pictured.before is None or len(labels) < FEWEST_IMAGES:
        return {}
    changes = [
        _changes(after.logits, before.logits, labels)
        for after, before in zip(pictured.said, pictured.before, strict=True)
    ]
    first = pictured.levels[0]
    return {
        level: _compared(
            first, tuple(one - base for one, base in zip(change, changes[0], strict=True)), mean_shift,
            len(np.unique(labels)), "set",
        )
        for level, change in zip(pictured.levels[1:], changes[1:], strict=True)
    }  # fmt: skip


def corrected(compared: Compared) -> dict[str, dict[str, Comparison]]:
    """The comparisons with p-values corrected for each other."""
    raw = {(name, level): one.p_value for name, levels in compared.items() for level, one in levels.items()}
    adjusted = holm(raw)
    return {
        name: {level: replace(one, p_value=adjusted[name, level]) for level, one in levels.items()}
        for name, levels in compared.items()
    }


def _changes(after: Logits, before: Logits, labels: Codes) -> tuple[Float[np.ndarray, " rows"], ...]:
    """From before to after, in margin and in being right, image by image."""
    one, other = logit_margins(after, labels), logit_margins(before, labels)
    return one - other, (one > 0).astype(float) - (other > 0).astype(float)


def _compared(
    reference: str,
    scores: tuple[Float[np.ndarray, " _"], ...],
    shift: Callable[[Float[np.ndarray, " _"]], Shift],
    classes: int,
    how: str,
) -> Comparison:
    margin, accuracy = (shift(one) for one in scores)
    return Comparison(reference, margin, accuracy, margin.p_value, classes, how)
