"""Every attempt to refute an effect, in order. To add a refuter, write its file and its line here."""

from collections.abc import Callable, Sequence

import pandas as pd

from causalvlm.estimation.effect import Effect
from causalvlm.identification.estimands import Estimand
from causalvlm.randomness import Rng, generator
from causalvlm.refutation import (
    implied,
    instrument,
    leak,
    misspecification,
    over_identification,
    overlap,
    placebos,
    robustness,
    subset,
    untestable,
)
from causalvlm.refutation.case import Case, open_case
from causalvlm.refutation.verdict import Found, Verdicts, settle

REFUTERS: tuple[Callable[[Case], Sequence[Found]], ...] = (
    placebos.judge,
    subset.judge,
    misspecification.judge,
    overlap.judge,
    robustness.judge,
    leak.judge,
    implied.judge,
    instrument.judge,
    over_identification.judge,
    untestable.judge,
)
"""Judges in the order of their verdicts; one that does not apply to a case gives none."""


def refute(
    effect: Effect,
    table: pd.DataFrame,
    *,
    rng: Rng,
    alternative: Estimand | None = None,
    suspects: Sequence[str] = (),
    repeats: int | None = None,
    instruments: Sequence[str] = (),
) -> Verdicts:
    """Try to refute `effect` on the table that it came from.

    If nothing is wrong, any test at all fails in at most one call of a hundred (`FALSE_ALARM_RATE`).

    Args:
        effect: what `estimate_effect` returned.
        table: the same table; not changed.
        rng: for permutations, folds and bootstrap draws, or a seed.
        alternative: another estimand that identifies the same effect, such as the back door through an annotated
            confounder: the two estimates must then agree.
        suspects: observed columns that may stand for the latent confounder; mediator or instrument must not depend on
            them.
        repeats: repetitions of every placebo; by default ten of counted cells, and four of models.
        instruments: observed columns that move the treatment and nothing else: a front door then implies an equality,
            which fails if the treatment acts past the mediator, or something hidden joins mediator and outcome.

    Returns:
        A tuple of verdicts, which prints and shows itself as a table.

    Raises:
        InputError: if a column is missing, `repeats` is less than one, or an instrument plays another part.

    Example:
        >>> from causalvlm.estimation.effect import estimate_effect
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.discrete import smoking
        >>> table = smoking().sample(5000, rng=0)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=0)
        >>> [verdict.name for verdict in refute(effect, table, rng=0) if verdict.outcome == "failed"]
        []
    """
    case = open_case(
        effect,
        table,
        rng=generator(rng),
        alternative=alternative,
        suspects=suspects,
        repeats=repeats,
        instruments=instruments,
    )
    return settle([found for judge in REFUTERS for found in judge(case)])
