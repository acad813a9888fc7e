"""True effects in Picto: the same pictures rendered again with one factor changed, and whatever is asked of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from causalvlm.errors import InputError
from causalvlm.intervals import Z
from causalvlm.worlds.picto.scm import PictoSample, PictoWorld
from cdc.progress import image_bar

PAIRS = 20_000
"""Pairs of pictures by default."""

BLOCK = 2048
"""Pictures that an outcome is asked about at a time."""

Outcome = Callable[[PictoSample], Float[np.ndarray, " rows"]]
"""One number per picture; it may read labels, levels and, through `PictoSample.render`, pixels."""


@dataclass(frozen=True)
class TrueEffect:
    """The effect of setting a factor, computed by intervention.

    Attributes:
        value: E[outcome | do(factor = treated)] - E[outcome | do(factor = control)].
        low: lower end of the 95 per cent interval.
        high: upper end.
        standard_error: Monte Carlo standard error of the paired difference.
        do_means: the two means by level.
        factor: what was set.
        treated: the level that `value` compares.
        control: the level that it is compared with.
        n: pairs of pictures.
    """

    value: float
    low: float
    high: float
    standard_error: float
    do_means: Mapping[str, float]
    factor: str
    treated: str
    control: str
    n: int


def true_effect(
    world: PictoWorld,
    outcome: Outcome,
    factor: str,
    *,
    treated: str,
    control: str,
    n: int = PAIRS,
    rng: np.random.Generator,
    progress: str | None = None,
) -> TrueEffect:
    """Set `factor` to each of two levels on the same n pictures and compare what `outcome` says of them.

    A pair shares all its noise (Pearl, Causality 2009, definition 7.1.5: the counterfactuals of one unit), so that
    whatever the factor does not change cancels. No graph, no adjustment and no estimator is involved.

    Args:
        world: where pictures come from; their other factors keep the distribution that they have there.
        outcome: one number per picture of a sample, for example `PictoReader.margin`; asked block by block.
        factor: one of the nine factors, or ``"concept"``.
        treated: a level of it.
        control: another level of it.
        n: pairs of pictures.
        rng: source of randomness.
        progress: label of a progress bar, shown on a terminal.

    Raises:
        InputError: if factor or levels are unknown, the levels are equal, n is below 2, or the outcome does not give
            one finite number per picture.

    Example:
        >>> dark = lambda sample: sample.render(size=16).float().mean((1, 2, 3)).numpy() < 100
        >>> rng = np.random.default_rng(0)
        >>> effect = true_effect(PictoWorld(), dark, "tint", treated="dark", control="none", n=200, rng=rng)
        >>> effect.do_means["none"] < 0.1 < 0.5 < effect.do_means["dark"]
        True
    """
    _check(world, factor, treated, control, n)
    differences, totals = np.empty(n), {treated: 0.0, control: 0.0}
    with image_bar(progress, total=n) as advance:
        for start in range(0, n, BLOCK):
            block = world.sample(min(BLOCK, n - start), rng=rng)
            high, low = (_ask(outcome, block.intervene({factor: level})) for level in (treated, control))
            differences[start : start + len(block)] = high - low
            totals[treated] += float(high.sum())
            totals[control] += float(low.sum())
            for _ in range(len(block)):
                advance()
    value, error = float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(n))
    return TrueEffect(
        value=value,
        low=value - Z * error,
        high=value + Z * error,
        standard_error=error,
        do_means={level: total / n for level, total in totals.items()},
        factor=factor,
        treated=treated,
        control=control,
        n=n,
    )


def _check(world: PictoWorld, factor: str, treated: str, control: str, n: int) -> None:
    if n < 2:
        raise InputError(f"n must be at least 2 pairs, for a standard error; received {n}.")
    if treated == control:
        raise InputError(f"treated and control must differ; received {treated!r} for both. Name two levels.")
    for level in (treated, control):  # before any picture is drawn
        world.sample(0, do={factor: level}, rng=np.random.default_rng(0))


def _ask(outcome: Outcome, sample: PictoSample) -> Float[np.ndarray, " rows"]:
    values = np.asarray(outcome(sample), dtype=float)
    if values.shape != (len(sample),):
        raise InputError(
            f"an outcome must give one number per picture; received shape {values.shape} for {len(sample)} pictures."
        )
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InputError(
            f"an outcome must be finite; received {bad} values of {len(sample)} that are not. Give those a number."
        )
    return values
