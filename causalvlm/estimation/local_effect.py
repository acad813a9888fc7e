"""The effect on the units that a binary instrument moves: the ratio of its effects on outcome and treatment.

Where no unit defies the instrument, that ratio is the mean effect of the treatment on those that follow it (Imbens,
Angrist, Econometrica 62, 1994); so are the ratios for X Y and (1 - X) Y their means with and without treatment (Abadie,
JASA 97, 2002). Each contrast is by AIPW with cross-fitting, so that the ratio is doubly robust (Tan, JASA 101, 2006).
"""

import numpy as np
from jaxtyping import Float

from causalvlm.errors import InputError
from causalvlm.estimation.aipw import augmented
from causalvlm.estimation.anderson_rubin import Moments, slope_interval
from causalvlm.estimation.fit import Fit
from causalvlm.estimation.problem import Problem
from causalvlm.estimation.propensity import fit_propensity
from causalvlm.estimation.sample import joint_levels
from causalvlm.estimation.spread import OnLine, from_influence


def run(problem: Problem, *, rng: np.random.Generator) -> Fit:
    """Means of the units that follow the instrument, on a problem whose treatment and instrument have two levels.

    A treatment model of one's own is one of the instrument here, whose probability makes the weights.

    Raises:
        InputError: if treatment or instrument has more levels.
        OverlapError: if the instrument moves hardly a unit.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import Instrument
        >>> rng = np.random.default_rng(0)
        >>> z, follows = rng.integers(0, 2, 4000), rng.random(4000) < 0.6
        >>> x = np.where(follows, z, rng.integers(0, 2, 4000))
        >>> table = pd.DataFrame({"Z": z, "X": x, "Y": x * np.where(follows, 2.0, 5.0) + rng.normal(size=4000)})
        >>> found = run(read_problem(table, Instrument("X", "Y", "Z")), rng=rng)
        >>> (found.means[1] - found.means[0]).round()
        array([2.])
    """
    if not problem.binary_instrument:
        raise InputError(
            "a local effect needs treatment and instrument with two levels each; received "
            f"{_sizes(problem)}. Cut them in two, or use 'two-stage-least-squares'."
        )
    instrument, takes = joint_levels(problem.table, problem.roles.instruments).codes, problem.codes.astype(float)
    sampling, learners, adjustment = problem.sampling, problem.learners, problem.covariates
    propensity = fit_propensity(adjustment, instrument, pair=(1, 0), rng=rng, learners=learners, sampling=sampling)
    uncentred: list[Float[np.ndarray, " rows"]] = []
    notes = dict.fromkeys(propensity.notes)
    for answer in ((1 - takes) * problem.outcome, takes * problem.outcome, takes):
        fitted = augmented(propensity, adjustment, instrument, answer, learners=learners, sampling=sampling)
        uncentred.append((fitted.means + fitted.influence) @ np.array([-1.0, 1.0]))
        notes |= dict.fromkeys(fitted.notes)
    without, with_it, moved = uncentred
    share = float(sampling.mean(moved))
    means = np.array([-sampling.mean(without), sampling.mean(with_it)]) / share
    influence = np.column_stack([-without - means[0] * moved, with_it - means[1] * moved]) / share
    value, effect = float(means[1] - means[0]), influence[:, 1] - influence[:, 0]
    error = sampling.error(effect)
    products = sampling.totals(effect * share)[:, None], sampling.totals(moved)[:, None]
    strength = share**2 / sampling.error(moved - share) ** 2
    ends, weak = slope_interval(value, error, Moments(*products, error, sampling.count), strength)
    size, kept = propensity.overlap.worst((1, 0))
    return Fit(
        means[:, None],
        OnLine(from_influence(influence, sampling).covariance, np.array([0.0, 1.0]), ends, sampling.count),
        size,
        kept,
        propensity.overlap.auc,
        notes=(*weak, f"the effect is that on the {abs(share):.0%} of units that the instrument moves.", *notes),
        influence=influence,
    )


def _sizes(problem: Problem) -> str:
    names = (problem.roles.treatment, *problem.roles.instruments)
    return ", ".join(f"{problem.table[name].nunique()} in {name!r}" for name in names)
