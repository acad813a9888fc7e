"""The one-step estimator: coverage on published processes, double robustness, its parts against scikit-learn."""

import time

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from causalvlm.errors import OverlapError
from causalvlm.estimation import cross_fitting, nuisance
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.one_step import one_step
from causalvlm.estimation.overlap import auc, kish
from causalvlm.identification.estimands import FrontDoor
from causalvlm.refutation.verdict import FALSE_ALARM_RATE
from causalvlm.worlds.discrete import independent_outcomes
from causalvlm.worlds.embedding import CovariateWorld, EmbeddingWorld

FRONT, GIVEN_C = FrontDoor("X", "Y", ("S",)), FrontDoor("X", "Y", ("S",), ("C",))
K3 = independent_outcomes()
WIDE = EmbeddingWorld(dim=16)
CROSSED = EmbeddingWorld(dim=4, effect=1.2, interaction=1.0, spread=0.5, log_odds=-1.0)


def run(world, rows, seed, estimand=FRONT, estimator="one-step"):
    rng = np.random.default_rng(seed)
    columns = world.columns if isinstance(world, EmbeddingWorld) else None
    return estimate_effect(world.sample(rows, rng=rng), estimand, rng=rng, estimator=estimator, columns=columns)


@pytest.mark.parametrize(
    ("world", "truth", "rows", "estimand"),
    [
        (CovariateWorld(), 1.0, 600, GIVEN_C),
        (CovariateWorld(binary=True), CovariateWorld(binary=True).truth(), 600, GIVEN_C),
        (K3, 0.1275, 1500, FRONT),
        (WIDE, 2.4, 800, FRONT),
    ],
    ids=["continuous S", "binary S", "independent outcomes", "embedding"],
)
def test_intervals_cover(world, truth, rows, estimand):
    runs = 30
    effects = [run(world, rows, seed, estimand) for seed in range(runs)]
    inside = sum(effect.low <= truth <= effect.high for effect in effects)
    assert inside >= binom.ppf(FALSE_ALARM_RATE, runs, 0.95)
    values = np.array([effect.value for effect in effects])
    assert abs(values.mean() - truth) < 3 * values.std() / np.sqrt(runs)


def test_a_linear_analysis_does_not_cover_where_this_does():
    linear, robust = (run(CROSSED, 5000, 0, estimator=name) for name in ("two-stage", "one-step"))
    assert linear.low > 1.2
    assert robust.low < 1.2 < robust.high


def test_it_equals_the_plug_in_on_saturated_models_up_to_its_error():
    plug_in, robust = (run(K3, 20_000, 1, estimator=name) for name in ("plug-in", "one-step"))
    assert robust.value == pytest.approx(plug_in.value, abs=plug_in.standard_error / 2)
    assert robust.standard_error == pytest.approx(plug_in.standard_error, rel=0.1)
    assert robust.effective_sample_size == pytest.approx(plug_in.effective_sample_size, rel=0.1)
    assert robust.auc == pytest.approx(plug_in.auc, abs=0.01)


def test_a_wrong_outcome_model_is_corrected():
    """The outcome is quadratic in 16 coordinates, where only lines are fitted; the probe is right."""
    world = EmbeddingWorld(dim=16, effect=1.2, curvature=0.3)
    values = np.array([run(world, 2000, seed).value for seed in range(15)])
    assert abs(values.mean() - world.truth()) < 3 * values.std() / np.sqrt(15)


def test_many_levels_and_their_contrasts():
    rng = np.random.default_rng(0)
    u = rng.normal(size=6000)
    x = np.digitize(u + rng.normal(size=6000), [-0.7, 0.7])
    s = np.column_stack([0.7 * x + rng.normal(size=6000), rng.normal(size=6000)])
    fit = one_step(s, x, s[:, 0] + u + rng.normal(size=6000), covariates=np.zeros((6000, 0)), pair=(2, 0), rng=rng)
    np.testing.assert_allclose(np.diff(fit.means), 0.7, atol=0.15)


def test_a_mediator_of_more_columns_than_rows_bear_is_reduced_on_training_folds_and_says_so():
    effect = run(EmbeddingWorld(dim=300), 1000, 0)
    assert any("300 columns were reduced to 160 principal components" in warning for warning in effect.warnings)


def test_speed_and_a_generator_that_decides():
    started = time.perf_counter()
    first = run(EmbeddingWorld(dim=64), 5000, 3)
    assert time.perf_counter() - started < 10.0  # half a second alone on a core; the benchmark measures it
    assert run(EmbeddingWorld(dim=64), 5000, 3).value == first.value
    assert run(EmbeddingWorld(dim=64), 5000, 4).value != first.value


def test_rare_levels_are_refused():
    codes = np.repeat([0, 1], [50, 9])
    with pytest.raises(OverlapError, match="at least 10 rows for cross-fitting; received 9 rows"):
        cross_fitting.folds(codes, rng=np.random.default_rng(0))


def test_folds_are_balanced_and_complete():
    codes = np.random.default_rng(0).integers(0, 3, 301)
    assigned = cross_fitting.folds(codes, rng=np.random.default_rng(1))
    for code in range(3):
        sizes = np.bincount(assigned[codes == code], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    held = np.concatenate([held for _, held in cross_fitting.splits(assigned)])
    assert sorted(held) == list(range(301))


def test_the_discriminant_is_that_of_scikit_learn_where_nothing_is_shrunk():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 50_000)
    features = rng.normal(size=(50_000, 4)) @ rng.normal(size=(4, 4)) + codes[:, None]
    ours = nuisance.discriminant(features, codes, 3)(features[:200])
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(features, codes).predict_proba(features[:200])
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_shrinkage_keeps_the_discriminant_calibrated_in_high_dimension():
    rng = np.random.default_rng(0)
    codes, test_codes = rng.integers(0, 2, 600), rng.integers(0, 2, 4000)
    shift = np.zeros(400)
    shift[0] = 1.0
    train, test = (rng.normal(size=(len(c), 400)) + np.outer(c, shift) for c in (codes, test_codes))
    ours = nuisance.discriminant(train, codes, 2)(test)
    plain = LinearDiscriminantAnalysis(solver="lsqr").fit(train, codes).predict_proba(test)
    loss = [-np.log(np.clip(p[np.arange(4000), test_codes], 1e-9, 1)).mean() for p in (ours, plain)]
    assert loss[0] < loss[1] / 3


@pytest.mark.parametrize("degree", [1, 2])
def test_least_squares_is_that_of_scikit_learn(degree):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 3)), rng.normal(size=(100, 2))
    pairs = [x[:, i] * x[:, j] for i in range(3) for j in range(i, 3)]
    design = x if degree == 1 else np.column_stack([x, *pairs])
    theirs = LinearRegression().fit(design, y).predict(design)
    np.testing.assert_allclose(nuisance.least_squares(degree)(x, y)(x), theirs, atol=1e-5)


def test_the_candidate_is_chosen_on_held_out_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 1))
    codes = (np.abs(x[:, 0]) + 0.3 * rng.normal(size=2000) > 0.7).astype(int)
    assigned = cross_fitting.folds(codes, rng=rng)
    candidates = [nuisance.logistic(1), nuisance.logistic(2)]
    judged = cross_fitting.cross_fit_classes(cross_fitting.Candidates(candidates), x, codes, assigned)
    assert judged.weights == (0.0, 1.0)
    train, held = next(cross_fitting.splits(assigned))
    alone = candidates[1](x[train], codes[train], 2)(x[held])
    np.testing.assert_allclose(judged.predictions[held], alone, atol=2e-6)  # clipped away from zero


def test_principal_components_never_see_held_out_rows():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(50, 20))
    project = nuisance.reduction(train, 3)
    np.testing.assert_allclose(project(train).mean(0), 0.0, atol=1e-12)
    assert np.abs(project(train + 5.0).mean(0)).max() > 1.0


def test_auc_and_effective_size():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 9, 300) / 9, rng.random(300) < 0.4
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    counts = rng.integers(1, 4, 300).astype(float)
    assert auc(scores, positive, counts) == pytest.approx(roc_auc_score(positive, scores, sample_weight=counts))
    weights = rng.random(300)
    repeated = np.repeat(weights, counts.astype(int))
    assert kish(weights, counts) == pytest.approx(kish(repeated))
    assert kish(np.ones(7)) == pytest.approx(7.0)
