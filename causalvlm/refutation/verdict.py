"""Verdicts: what every attempt to refute an effect found. This module alone says passed, failed or inconclusive."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from causalvlm.errors import InputError, OverlapError
from causalvlm.estimation.arms import Arms, read_arms
from causalvlm.estimation.effect import SMALLEST_SHARE, WARN_AUC, WARN_SHARE, Effect, estimate_effect
from causalvlm.estimation.fit import Estimator, Roles, fit, roles
from causalvlm.estimation.sample import check_columns, is_nominal, matrix, numbers
from causalvlm.identification.estimands import Estimand
from causalvlm.refutation import bounds as programs
from causalvlm.refutation import over_identification, overlap, placebo, sensitivity

LARGEST_SCORE = 3.0
"""A refuter fails beyond three standard errors: a false alarm in 370 tests of an innocent effect."""

FALSE_ALARM_RATE = 0.0027
"""The same, as a probability: every p-value below it fails."""

WEAKEST_ROBUSTNESS = 0.02
"""An effect is fragile if a latent cause of 2 per cent of the residual variance at both ends could make it zero."""

Outcome = Literal["passed", "failed", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """What one attempt to refute an effect found.

    Attributes:
        name: which attempt.
        outcome: "passed", "failed", or "inconclusive" where the data cannot tell.
        statistic: the number that decided, in the unit that `reason` names; None if nothing could be computed.
        reason: one or two sentences with the numbers.

    Example:
        >>> Verdict("overlap", "passed", 0.4, "effective rows 40 %").passed
        True
    """

    name: str
    outcome: Outcome
    statistic: float | None
    reason: str

    @property
    def passed(self) -> bool:
        """Whether the effect withstood."""
        return self.outcome == "passed"


@dataclass(frozen=True)
class _Case:
    """The effect under attack, with its data read once."""

    effect: Effect
    table: pd.DataFrame
    parts: Roles
    arms: Arms
    rng: np.random.Generator

    def estimate(self, table: pd.DataFrame) -> tuple[float, float]:
        """Value and standard error by the same estimator on another table."""
        again = estimate_effect(
            table,
            self.effect.estimand,
            rng=self.rng,
            estimator=self.effect.estimator,
            treated=self.effect.treated,
            control=self.effect.control,
            columns=self.effect.columns,
        )
        return again.value, again.standard_error

    def given(self) -> Float[np.ndarray, "rows _"]:
        """Intercept, treatment columns and covariates."""
        covariates = matrix(self.table, self.parts.covariates)
        return np.hstack([np.ones((len(self.table), 1)), self.arms.design, covariates])


def refute(
    effect: Effect,
    table: pd.DataFrame,
    *,
    rng: np.random.Generator,
    alternative: Estimand | None = None,
    suspects: Sequence[str] = (),
    repeats: int = 10,
) -> tuple[Verdict, ...]:
    """Try to refute `effect` on the table that it came from.

    Args:
        effect: what `estimate_effect` returned.
        table: the same table; not changed.
        rng: for permutations, folds and bootstrap draws.
        alternative: another estimand that identifies the same effect, such as the back door through an annotated
            confounder: the two estimates must then agree.
        suspects: observed columns that may stand for the latent confounder; the mediator must not depend on them.
        repeats: repetitions of every placebo.

    Raises:
        InputError: if a column is missing, or `repeats` is less than one.

    Example:
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> from causalvlm.worlds.discrete import smoking
        >>> rng = np.random.default_rng(0)
        >>> table = smoking().sample(5000, rng=rng)
        >>> effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=rng)
        >>> [verdict.name for verdict in refute(effect, table, rng=rng) if verdict.outcome == "failed"]
        []
    """
    if repeats < 1:
        raise InputError(f"repeats must be at least 1; received {repeats}. Ten are enough to see a bias.")
    parts = roles(effect.estimand, effect.columns)
    check_columns(table, [*parts.all(), *suspects])
    arms = read_arms(table, parts.treatment, effect.treated, effect.control)
    case = _Case(effect, table, parts, arms, rng)
    verdicts = [*_placebos(case, repeats), _overlap(case), _robustness(case)]
    if parts.front_door:
        verdicts += [_leak(case, suspect) for suspect in suspects]
        verdicts += [_bounds(case, "full mediation"), _bounds(case, "second stage")]
    if alternative is not None:
        verdicts.append(_over_identification(case, alternative))
    return tuple(verdicts)


def _placebos(case: _Case, repeats: int) -> list[Verdict]:
    """Permutations, dummy outcome and halves; a table that the estimator refuses leaves the matter open."""
    parts, table, rng = case.parts, case.table, case.rng
    one_stratum = np.zeros(len(table), dtype=np.int64)
    strata = case.arms.levels.codes if parts.front_door and case.arms.levels else one_stratum

    def permuted(columns: Sequence[str]) -> Callable[[], placebo.Placebos]:
        return lambda: placebo.permuted(table, columns, case.estimate, rng=rng, repeats=repeats)

    attempts: dict[str, Callable[[], placebo.Placebos]] = {"permuted treatment": permuted([parts.treatment])}
    if parts.mediators:
        attempts["permuted mediator"] = permuted(parts.mediators)
    attempts["dummy outcome"] = lambda: placebo.dummy_outcome(
        table, parts.outcome, strata, case.estimate, rng=rng, repeats=repeats
    )
    attempts["subset"] = lambda: placebo.halves(table, case.estimate, rng=rng, repeats=max(repeats // 3, 1))
    return [_judge_placebo(name, attempt) for name, attempt in attempts.items()]


def _judge_placebo(name: str, attempt: Callable[[], placebo.Placebos]) -> Verdict:
    try:
        found = attempt()
    except OverlapError as error:
        return Verdict(name, "inconclusive", None, f"not estimable on the altered table: {error}")
    if name == "subset":  # halves of one table are dependent, so each is judged by itself
        worst = float(np.abs(found.scores()).max())
        limit = LARGEST_SCORE + np.log10(len(found.values))
        outcome: Outcome = "passed" if worst <= limit else "failed"
        return Verdict(
            name, outcome, worst, f"halves differ by at most {worst:.2f} standard errors; limit {limit:.2f}."
        )
    bias, calibrated = found.bias(), found.p_calibrated()
    summary = f"{len(found.values)} estimates that should be zero: bias {bias:.2f} standard errors"
    if abs(bias) > LARGEST_SCORE:
        return Verdict(name, "failed", bias, f"{summary}; the estimator finds an effect where there is none.")
    if calibrated < FALSE_ALARM_RATE:
        reason = f"{summary}, but they scatter more than their standard errors say (p = {calibrated:.1g})."
        return Verdict(name, "failed", bias, reason)
    return Verdict(name, "passed", bias, f"{summary}.")


def _overlap(case: _Case) -> Verdict:
    share, auc = case.effect.effective_sample_size / case.effect.n, case.effect.auc
    if case.effect.estimator == "two-stage" and case.arms.levels is not None:
        features = np.hstack([matrix(case.table, case.parts.mediators), matrix(case.table, case.parts.covariates)])
        found = overlap.decoded(features, case.arms.levels.codes, pair=case.arms.pair, rng=case.rng)
        (_, share), auc = found.worst(case.arms.pair), found.auc
    decoded = "" if auc is None else f", treatment decoded with AUC {auc:.3f}"
    reason = f"effective rows {share:.1%} of {case.effect.n}{decoded}"
    if share < SMALLEST_SHARE:
        return Verdict("overlap", "failed", share, f"{reason}: the effect is extrapolated.")
    if share < WARN_SHARE or (auc is not None and auc > WARN_AUC and case.effect.estimator != "plug-in"):
        return Verdict("overlap", "inconclusive", share, f"{reason}: thin.")
    return Verdict("overlap", "passed", share, f"{reason}.")


def _robustness(case: _Case) -> Verdict:
    name = "robustness"
    if case.effect.low <= 0.0 <= case.effect.high:
        return Verdict(name, "inconclusive", None, "the interval holds zero: there is no effect to explain away.")
    if is_nominal(case.table, case.parts.outcome):
        return Verdict(name, "inconclusive", None, "needs a numeric outcome.")
    strength = _strength(case)
    value = strength.robustness()
    scale = float(np.std(numbers(case.table, case.parts.outcome)))
    reason = (
        f"a latent cause that explains {value:.1%} of the residual variance at both ends of a stage would cancel it"
    )
    if case.parts.front_door:
        reason += (
            f", and so would a direct effect of {-case.effect.value / scale:.2f} standard deviations of the outcome"
        )
    outcome: Outcome = "failed" if value < WEAKEST_ROBUSTNESS else "passed"
    return Verdict(name, outcome, value, f"{reason} (linear model).")


def _strength(case: _Case) -> sensitivity.Strength:
    given = case.given()
    if not case.parts.mediators:
        return sensitivity.Strength(
            (case.effect.value / case.effect.standard_error,), (len(case.table) - given.shape[1],)
        )
    shift = np.zeros(given.shape[1])
    treated, control = case.arms.pair
    shift[1 : 1 + case.arms.design.shape[1]] = case.arms.settings[treated] - case.arms.settings[control]
    mediator, outcome = matrix(case.table, case.parts.mediators), numbers(case.table, case.parts.outcome)
    return sensitivity.front_door_strength(mediator, given, outcome, shift)


def _leak(case: _Case, suspect: str) -> Verdict:
    name, mediator, given = f"leak from {suspect}", matrix(case.table, case.parts.mediators), case.given()
    columns = matrix(case.table, [suspect]).T
    found = [sensitivity.leak(column, mediator, given) for column in columns]
    worst = min(found, key=lambda one: one.p_value)
    p_value = min(worst.p_value * len(found), 1.0)
    reason = f"given the treatment the mediator explains {worst.share:.2%} of {suspect} (p = {p_value:.2g})"
    if p_value < FALSE_ALARM_RATE:
        return Verdict(name, "failed", worst.share, f"{reason}: the front door is open to it.")
    return Verdict(name, "passed", worst.share, f"{reason}, no more than chance.")


def _bounds(case: _Case, dropped: programs.Dropped) -> Verdict:
    name, parts, table = f"bounds without {dropped}", case.parts, case.table
    joint = _binary_joint(table, parts)
    if joint is None:
        return Verdict(name, "inconclusive", None, "computed for binary treatment, mediator and outcome only.")
    treated, control = case.arms.pair
    found = programs.bounds(joint if treated > control else joint[::-1], dropped=dropped)
    reason = f"the effect lies in [{found.low:.3f}, {found.high:.3f}] if {dropped} is not assumed"
    if found.low > 0 or found.high < 0:
        return Verdict(name, "passed", found.low if found.low > 0 else found.high, f"{reason}: its sign stands.")
    return Verdict(name, "inconclusive", 0.0, f"{reason}: its sign rests on that assumption.")


def _binary_joint(table: pd.DataFrame, parts: Roles) -> Float[np.ndarray, "2 2 2"] | None:
    """P(X, S, Y) of a binary problem with a 0/1 outcome and no covariate, else None."""
    names = [parts.treatment, *parts.mediators, parts.outcome]
    if len(names) != 3 or parts.covariates or any(table[name].nunique() != 2 for name in names):
        return None
    if is_nominal(table, parts.outcome) or set(numbers(table, parts.outcome)) != {0.0, 1.0}:
        return None
    counts = table.groupby(names, observed=True).size().unstack(fill_value=0).stack().to_numpy(dtype=float)
    return counts.reshape(2, 2, 2) / counts.sum() if counts.size == 8 else None


def _over_identification(case: _Case, alternative: Estimand) -> Verdict:
    name, effect = "over-identification", case.effect
    if (alternative.treatment, alternative.outcome) != (effect.estimand.treatment, effect.estimand.outcome):
        raise InputError(
            f"alternative must identify the effect of {effect.estimand.treatment!r} on {effect.estimand.outcome!r}; "
            f"received {alternative.treatment!r} on {alternative.outcome!r}."
        )
    if effect.distribution is not None:
        return Verdict(name, "inconclusive", None, "needs a numeric outcome.")
    nodes = roles(alternative, {})
    kept = {node: held for node, held in effect.columns.items() if node in nodes.all()}
    try:
        other = estimate_effect(
            case.table, alternative, rng=case.rng, treated=effect.treated, control=effect.control, columns=kept
        )
    except OverlapError as error:
        return Verdict(name, "inconclusive", None, f"the alternative is not estimable: {error}")
    first = _influence(case, case.parts, effect.estimator)
    second = _influence(case, roles(alternative, kept), other.estimator)
    found = over_identification.difference(effect.value, other.value, first, second)
    score = found.score()
    reason = (
        f"{effect.estimator} gives {effect.value:.4g}, {other.estimator} by the other route {other.value:.4g}: "
        f"they differ by {score:.2f} standard errors"
    )
    if abs(score) > LARGEST_SCORE:
        return Verdict(name, "failed", score, f"{reason}; the assumptions of one route fail.")
    return Verdict(name, "passed", score, f"{reason}.")


def _influence(case: _Case, parts: Roles, estimator: Estimator) -> Float[np.ndarray, " rows"]:
    """Influence function of the contrast."""
    fitted = fit(case.table, parts, case.arms, estimator, rng=case.rng, analytic=True)
    if fitted.influence is None:
        raise InputError("over-identification needs a numeric outcome; received a categorical one.")
    return fitted.influence @ case.arms.contrast(*case.arms.pair)
