"""The table of estimators: what each serves, what it needs of the columns, and the function that runs it.

To add one, write its file and its entry here. The functions are imported when they are run: the command line reads this
table for its help, and must not load scikit-learn to print it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from causalvlm.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from causalvlm.estimation.fit import Fit
    from causalvlm.estimation.problem import Data, Door, Problem


@runtime_checkable
class Run(Protocol):
    """From a problem to numbers; `rng` is for bootstrap draws and folds."""

    def __call__(self, problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
        """Run it."""
        ...


@dataclass(frozen=True)
class Estimator:
    """One way to estimate an identified effect.

    Attributes:
        run: from a problem to numbers.
        serves: the criteria whose effects it estimates.
        treatment: "levels" if the treatment must have few of them, "amounts" if it must be continuous, or "any".
        outcome: "numeric" if the outcome must be a number, "any" if it may be a category.
        rows: what its effective sample size says: exact "cells", the "weights" of a model, the "variance" that linear
            regressors leave over, or what an instrument has "moved". Counted cells need no guard against extrapolation,
            and a weak instrument is refused where its interval is made.
        about: one line for a user.
        default_for: the data for which it is chosen; None if it has to be asked for.
        analytic: as `run`, with influence functions in place of a bootstrap; None if `run` has them.
        learners: whether its nuisance functions may be models of one's own.
        takes: whether rows may lie in clusters, and have weights; an estimator that does not say so is given neither.

    Example:
        >>> ESTIMATORS["ipw"].serves
        ('back-door',)
    """

    run: Run
    serves: "tuple[Door, ...]"
    treatment: Literal["levels", "amounts", "any"]
    outcome: Literal["numeric", "any"]
    rows: Literal["cells", "weights", "variance", "moved"]
    about: str
    default_for: "Data | None" = None
    analytic: "Callable[[Problem], Fit] | None" = None
    learners: bool = False
    takes: tuple[Literal["cluster", "weights"], ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it counts cells, where others fit models."""
        return self.rows == "cells"

    def fit(self, problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
        """Check what the estimator needs of the columns, then run it.

        Raises:
            InputError: if it cannot take such columns, models of one's own, clusters or weights.
            OverlapError: if a cell is empty, a level is too rare or the treatment determines the mediator.

        Example:
            >>> import numpy as np
            >>> from causalvlm.estimation.problem import read_problem
            >>> from causalvlm.identification.estimands import FrontDoor
            >>> from causalvlm.worlds.discrete import smoking
            >>> rng = np.random.default_rng(0)
            >>> problem = read_problem(smoking().sample(5000, rng=rng), FrontDoor("X", "Y", ("S",)))
            >>> ESTIMATORS["two-stage"].fit(problem, rng=rng).means.shape
            (2, 1)
        """
        if self.treatment == "levels":
            problem.arms.coded()
        if self.treatment == "amounts":
            problem.arms.doses()
        if self.outcome == "numeric":
            _ = problem.outcome
        if problem.learners and not self.learners:
            takers = ", ".join(name for name, entry in ESTIMATORS.items() if entry.learners)
            raise InputError(
                f"outcome_model= and treatment_model= are for estimators that have such models ({takers}); received "
                f"them for one that has none: {self.about}. Leave them out, or choose another estimator."
            )
        given = {"cluster": problem.sampling.cluster, "weights": problem.sampling.weight}
        for argument, name in given.items():
            if name is not None and argument not in self.takes:
                takers = ", ".join(known for known, entry in ESTIMATORS.items() if argument in entry.takes)
                raise InputError(
                    f"{argument}= is for estimators that take it ({takers}); received {name!r} for one that does not: "
                    f"{self.about}. Leave it out, or choose another estimator."
                )
        return self.run(problem, rng=rng)

    def influence(self, problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
        """As `fit`, with the influence functions of the means wherever the estimator has them.

        Example:
            >>> import numpy as np
            >>> from causalvlm.estimation.problem import read_problem
            >>> from causalvlm.identification.estimands import FrontDoor
            >>> from causalvlm.worlds.discrete import smoking
            >>> rng = np.random.default_rng(0)
            >>> problem = read_problem(smoking().sample(5000, rng=rng), FrontDoor("X", "Y", ("S",)))
            >>> ESTIMATORS["plug-in"].influence(problem, rng=rng).influence.shape
            (5000, 2)
        """
        return self.fit(problem, rng=rng) if self.analytic is None else self.analytic(problem)


def _plug_in(problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
    from causalvlm.estimation import plug_in

    return plug_in.run(problem, rng=rng)


def _plug_in_analytic(problem: "Problem") -> "Fit":
    from causalvlm.estimation import plug_in

    return plug_in.run_analytic(problem)


def _two_stage(problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
    from causalvlm.estimation import two_stage

    return two_stage.run(problem, rng=rng)


def _one_step(problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
    from causalvlm.estimation import one_step

    return one_step.run(problem, rng=rng)


def _outcome_regression(problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
    from causalvlm.estimation import outcome_regression

    return outcome_regression.run(problem, rng=rng)


def _partially_linear(problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
    from causalvlm.estimation import partially_linear

    return partially_linear.run(problem, rng=rng)


def _dose_response(problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
    from causalvlm.estimation import dose_response, mediated_response

    return (mediated_response if problem.front_door else dose_response).run(problem, rng=rng)


def _ipw(problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
    from causalvlm.estimation import ipw

    return ipw.run(problem, rng=rng)


def _two_stage_least_squares(problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
    from causalvlm.estimation import two_stage_least_squares

    return two_stage_least_squares.run(problem, rng=rng)


def _local_effect(problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
    from causalvlm.estimation import local_effect

    return local_effect.run(problem, rng=rng)


def _nested_regressions(problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
    from causalvlm.estimation import nested_regressions

    return nested_regressions.run(problem, rng=rng)


def _aipw(problem: "Problem", *, rng: "np.random.Generator") -> "Fit":
    from causalvlm.estimation import aipw

    return aipw.run(problem, rng=rng)


_BOTH: tuple[Literal["cluster", "weights"], ...] = ("cluster", "weights")

ESTIMATORS: Mapping[str, Estimator] = {
    "plug-in": Estimator(
        _plug_in,
        serves=("front-door", "back-door", "general", "mediation"),
        treatment="levels",
        outcome="any",
        rows="cells",
        about="the identifying sum on the counts of discrete columns",
        default_for="cells",
        analytic=_plug_in_analytic,
        takes=_BOTH,
    ),
    "two-stage": Estimator(
        _two_stage,
        serves=("front-door",),
        treatment="any",
        outcome="numeric",
        rows="variance",
        about="two linear models, of the mediator and of the outcome",
        default_for="amounts",
        takes=_BOTH,
    ),
    "one-step": Estimator(
        _one_step,
        serves=("front-door",),
        treatment="levels",
        outcome="numeric",
        rows="weights",
        about="doubly robust, for vectors and embeddings",
        default_for="levels",
        learners=True,
        takes=_BOTH,
    ),
    "outcome-regression": Estimator(
        _outcome_regression,
        serves=("back-door",),
        treatment="any",
        outcome="numeric",
        rows="weights",
        about="a linear model of the outcome",
        takes=_BOTH,
    ),
    "partially-linear": Estimator(
        _partially_linear,
        serves=("back-door",),
        treatment="amounts",
        outcome="numeric",
        rows="variance",
        about="one slope of a continuous treatment, whatever the covariates do",
        default_for="amounts",
        learners=True,
        takes=_BOTH,
    ),
    "dose-response": Estimator(
        _dose_response,
        serves=("front-door", "back-door"),
        treatment="amounts",
        outcome="numeric",
        rows="weights",
        about="a doubly robust curve of a continuous treatment",
        learners=True,
        takes=_BOTH,
    ),
    "ipw": Estimator(
        _ipw,
        serves=("back-door",),
        treatment="levels",
        outcome="numeric",
        rows="weights",
        about="inverse propensity weights",
        takes=_BOTH,
    ),
    "aipw": Estimator(
        _aipw,
        serves=("back-door",),
        treatment="levels",
        outcome="numeric",
        rows="weights",
        about="doubly robust: both together",
        default_for="levels",
        learners=True,
        takes=_BOTH,
    ),
    "two-stage-least-squares": Estimator(
        _two_stage_least_squares,
        serves=("instrument",),
        treatment="any",
        outcome="numeric",
        rows="moved",
        about="one slope, by what the instrument moves",
        default_for="amounts",
        takes=_BOTH,
    ),
    "local-effect": Estimator(
        _local_effect,
        serves=("instrument",),
        treatment="levels",
        outcome="numeric",
        rows="weights",
        about="doubly robust, on the units that a binary instrument moves",
        default_for="levels",
        learners=True,
        takes=_BOTH,
    ),
    "nested-regressions": Estimator(
        _nested_regressions,
        serves=("mediation",),
        treatment="levels",
        outcome="numeric",
        rows="weights",
        about="linear models of outcome and mediator, one of each treatment level",
        default_for="levels",
        takes=_BOTH,
    ),
}
"""In the order in which they are offered."""


def choose(problem: "Problem", name: str | None = None) -> str:
    """The estimator that is asked for, if it serves the question; without a name, the one that suits the data.

    Raises:
        InputError: if no estimator of that name serves the criterion.

    Example:
        >>> import pandas as pd
        >>> from causalvlm.estimation.problem import read_problem
        >>> from causalvlm.identification.estimands import BackDoor
        >>> table = pd.DataFrame({"X": [0, 1] * 50, "Z": range(100), "Y": range(100)})
        >>> choose(read_problem(table, BackDoor("X", "Y", ("Z",))))
        'aipw'
    """
    serving = {known: entry for known, entry in ESTIMATORS.items() if problem.door in entry.serves}
    if problem.front_door and not problem.roles.mediators:  # P(Y | do(X)) = P(Y): there is nothing to choose
        name = None
    if name is None:
        return next(known for known, entry in serving.items() if entry.default_for == problem.data)
    if name not in serving:
        raise InputError(
            f"estimator must be one of {', '.join(serving)} for a {problem.door} estimand; received {name!r}. "
            "Leave it out to choose by the data."
        )
    return name
