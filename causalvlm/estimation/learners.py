"""Learners of one's own for the nuisance functions: any scikit-learn regressor or classifier, checked and cloned."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from causalvlm.errors import InputError
from causalvlm.estimation.nuisance import Codes, FitClasses, FitMean, Matrix, Predict
from causalvlm.estimation.sampling import Weights

Model = Any
"""An instance of scikit-learn's `BaseEstimator`: what it can do is checked where it is used."""


@dataclass(frozen=True)
class Learners:
    """Models that take the place of the candidates of a nuisance function; None leaves these.

    Attributes:
        outcome: a scikit-learn regressor of the outcome, fitted for each level of the treatment.
        treatment: a scikit-learn classifier of the treatment, or a regressor of a continuous one.

    Example:
        >>> from sklearn.linear_model import Ridge
        >>> bool(Learners(outcome=Ridge())), bool(Learners())
        (True, False)
    """

    outcome: Model | None = None
    treatment: Model | None = None

    def __bool__(self) -> bool:
        """Whether there is one."""
        return self.outcome is not None or self.treatment is not None


NO_LEARNERS = Learners()


def regression(model: Model, argument: str) -> FitMean:
    """A fitting function from a scikit-learn regressor, of which a fresh clone is fitted for each outcome column.

    Args:
        model: the regressor; not changed.
        argument: its name in messages.

    Raises:
        InputError: if it is no regressor.

    Example:
        >>> from sklearn.linear_model import LinearRegression
        >>> x = np.array([[0.0], [1.0]])
        >>> regression(LinearRegression(), "outcome_model")(x, 2 * x)(np.array([[3.0]])).round(6)
        array([[6.]])
    """
    if not (isinstance(model, BaseEstimator) and is_regressor(model)):
        raise _refused(model, argument, "regressor, with fit and predict")
    return partial(_fit_regression, model, argument)


def _fit_regression(model: Model, argument: str, features: Matrix, outcome: Matrix, weights: Weights = None) -> Predict:
    given = _given(model, argument, weights)
    fitted = [_fresh(model).fit(features, column, **given) for column in outcome.T]
    return lambda values: _checked(np.column_stack([one.predict(values) for one in fitted]), argument)


def classification(model: Model, argument: str) -> FitClasses:
    """A fitting function from a scikit-learn classifier that has probabilities.

    Args:
        model: the classifier; not changed.
        argument: its name in messages.

    Raises:
        InputError: if it is no classifier, or has no `predict_proba`.

    Example:
        >>> from sklearn.naive_bayes import GaussianNB
        >>> x = np.array([[0.0], [0.1], [1.0], [1.1]])
        >>> fit = classification(GaussianNB(), "treatment_model")
        >>> fit(x, np.array([0, 0, 1, 1]), 2)(np.array([[0.0]])).round(3)
        array([[1., 0.]])
    """
    if not (isinstance(model, BaseEstimator) and is_classifier(model) and hasattr(model, "predict_proba")):
        raise _refused(model, argument, "classifier, with fit and predict_proba")
    return partial(_fit_classification, model, argument)


def _fit_classification(
    model: Model, argument: str, features: Matrix, codes: Codes, classes: int, weights: Weights = None
) -> Predict:
    del classes  # every level occurs in every training part, see `folds`
    fitted = _fresh(model).fit(features, codes, **_given(model, argument, weights))
    return lambda values: _checked(fitted.predict_proba(values), argument)


def _fresh(model: Model) -> Model:
    return clone(model)


def _given(model: Model, argument: str, weights: Weights) -> dict[str, Weights]:
    """Arguments of `fit` that bring the weights to the model, or to the last step of a pipeline."""
    if weights is None:
        return {}
    last, path = (model.steps[-1][1], f"{model.steps[-1][0]}__") if isinstance(model, Pipeline) else (model, "")
    if not has_fit_parameter(last, "sample_weight"):
        raise InputError(
            f"{argument}= must take weights, as weights= was given; received {type(last).__name__}, whose fit has no "
            "sample_weight. Use another model, or leave weights= out."
        )
    return {f"{path}sample_weight": weights}


def _refused(model: Model, argument: str, kind: str) -> InputError:
    shown = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
    return InputError(
        f"{argument}= must be a scikit-learn {kind}; received {shown}. Pass an instance, such as Ridge() or "
        "LogisticRegression(), or of a class of your own that is derived from scikit-learn's BaseEstimator."
    )


def _checked(predictions: Matrix, argument: str) -> Matrix:
    if not np.isfinite(predictions).all():
        raise InputError(
            f"{argument}= must predict finite numbers; received {int((~np.isfinite(predictions)).sum())} others in "
            f"{len(predictions)} rows. Scale the columns in a pipeline, or use a firmer penalty."
        )
    return predictions.astype(float, copy=False)
