"""Learners of one's own: checked, cloned, cross-fitted, judged, and kept for the refutation."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import cross_val_predict
from sklearn.naive_bayes import GaussianNB

import causalvlm
from causalvlm.errors import InputError
from causalvlm.estimation.aipw import augmented
from causalvlm.estimation.learners import Learners
from causalvlm.estimation.propensity import fit_propensity
from causalvlm.identification.estimands import BackDoor, FrontDoor
from causalvlm.worlds.embedding import EmbeddingWorld

BACK, FRONT = BackDoor("X", "Y", ("Z",)), FrontDoor("X", "Y", ("S",))


@pytest.fixture(scope="module")
def curved():
    """The effect is 1; both nuisances bend."""
    rng = np.random.default_rng(3)
    z = rng.uniform(-2, 2, size=3000)
    x = rng.random(3000) < 1 / (1 + np.exp(1.5 * np.cos(2 * z)))
    return pd.DataFrame({"X": x.astype(int), "Z": z, "Y": x - 2 * np.cos(2 * z) + rng.normal(size=3000)})


def estimate(table, estimand=BACK, **options):
    return causalvlm.estimate_effect(table, estimand, rng=np.random.default_rng(0), **options)


def forests():
    settings = {"n_estimators": 60, "min_samples_leaf": 20, "random_state": 0}
    return {"outcome_model": RandomForestRegressor(**settings), "treatment_model": RandomForestClassifier(**settings)}


def test_forests_see_the_curve_and_stay_unfitted(curved):
    models = forests()
    effect = estimate(curved, **models)
    assert effect.estimator == "aipw"
    assert effect.low < 1 < effect.high
    assert not any(hasattr(model, "n_features_in_") for model in models.values())


def test_what_ones_own_models_leave_is_a_warning(curved):
    effect = estimate(curved, outcome_model=LinearRegression(), treatment_model=LogisticRegression())
    assert not effect.low < 1 < effect.high
    assert any(note.startswith("the propensity leaves structure") for note in effect.warnings)
    assert any(note.startswith("the model of the outcome leaves structure") for note in effect.warnings)


def test_one_model_alone_leaves_the_candidates_of_the_other(curved):
    effect = estimate(curved, treatment_model=LogisticRegression())
    # Doubly robust: the outcome's flexible learners carry it, and the warning says that the interval may be too narrow.
    assert abs(effect.value - 1) < 4 * effect.standard_error
    assert [note.split(" leaves")[0] for note in effect.warnings] == ["the propensity"]


def test_aipw_is_the_textbook_formula_on_scikit_learns_own_cross_validation(curved):
    z, x, y = curved[["Z"]].to_numpy(), curved.X.to_numpy(), curved.Y.to_numpy()
    learners = Learners(LinearRegression(), GaussianNB())
    propensity = fit_propensity(z, x, pair=(1, 0), rng=np.random.default_rng(0), learners=learners)
    found = augmented(propensity, z, x, y, learners=learners)
    parts = [(np.flatnonzero(propensity.assigned != f), np.flatnonzero(propensity.assigned == f)) for f in range(5)]
    chance = cross_val_predict(GaussianNB(), z, x, cv=parts, method="predict_proba")
    for arm in (0, 1):
        mu = np.empty(len(y))
        for train, held in parts:
            own = train[x[train] == arm]
            mu[held] = LinearRegression().fit(z[own], y[own]).predict(z[held])
        weight = (x == arm) / chance[:, arm]
        assert found.means[arm] == pytest.approx((mu + weight / weight.mean() * (y - mu)).mean(), abs=1e-9)


def test_a_front_door_takes_them_too():
    world, rng = EmbeddingWorld(dim=3), np.random.default_rng(0)
    table = world.sample(3000, rng=rng)
    own = {"outcome_model": LinearRegression(), "treatment_model": LogisticRegression()}
    effect = estimate(table, FRONT, columns=world.columns, **own)
    assert effect.low < world.truth() < effect.high
    assert effect.value == pytest.approx(estimate(table, FRONT, columns=world.columns).value, abs=0.02)


def test_cells_give_way_to_an_estimator_that_has_such_models(curved):
    table = curved.assign(Z=(curved.Z > 0).astype(int))
    assert estimate(table).estimator == "plug-in"
    assert estimate(table, outcome_model=LinearRegression()).estimator == "aipw"
    with pytest.raises(InputError, match=r"are for estimators that have such models \(one-step, .*aipw"):
        estimate(table, estimator="plug-in", outcome_model=LinearRegression())


def test_a_refutation_fits_the_same_models(curved):
    counted = []

    class Counting(LinearRegression):
        def fit(self, features, outcome):
            counted.append(len(outcome))
            return super().fit(features, outcome)

    effect = estimate(curved, outcome_model=Counting())
    fits = len(counted)
    causalvlm.refute(effect, curved, rng=np.random.default_rng(0), repeats=1)
    assert len(counted) >= 3 * fits


class Wild(RegressorMixin, BaseEstimator):
    def fit(self, features, outcome):
        del features, outcome
        return self

    def predict(self, features):
        return np.full(len(features), np.nan)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"outcome_model": LogisticRegression()}, "outcome_model= must be a scikit-learn regressor.*Logistic"),
        ({"outcome_model": LinearRegression}, "received the class LinearRegression. Pass an instance"),
        ({"outcome_model": "ridge"}, "must be a scikit-learn regressor.*received str"),
        ({"treatment_model": LinearRegression()}, "treatment_model= must be a scikit-learn classifier"),
        ({"treatment_model": RidgeClassifier()}, "with fit and predict_proba; received RidgeClassifier"),
        ({"outcome_model": Wild()}, "outcome_model= must predict finite numbers; received"),
    ],
)
def test_what_is_no_model_is_one_clear_error(curved, models, message):
    with pytest.raises(InputError, match=message):
        estimate(curved, **models)
