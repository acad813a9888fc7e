"""Back-door estimators against slow versions and against the truth of worlds whose confounder is observed."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score

from causalvlm.errors import OverlapError
from causalvlm.estimation.aipw import augmented
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.ipw import inverse_propensity
from causalvlm.estimation.outcome_regression import linear_response, outcome_regression
from causalvlm.estimation.propensity import fit_propensity
from causalvlm.estimation.spread import from_influence
from causalvlm.identification.estimands import BackDoor
from causalvlm.refutation.verdict import FALSE_ALARM_RATE
from causalvlm.worlds.discrete import Dials, draw_world
from causalvlm.worlds.embedding import EmbeddingWorld
from causalvlm.worlds.linear import LinearWorld

BACK = BackDoor("X", "Y", ("U",))
SEEN = draw_world(Dials(), rng=np.random.default_rng(1))
CONTINUOUS = EmbeddingWorld(dim=3)
WEIGHTS = np.array([-1.0, 1.0])


MODELS = ["outcome-regression", "ipw", "aipw"]


@pytest.mark.parametrize(
    ("world", "estimator"), [(SEEN, "plug-in"), *((world, name) for world in (SEEN, CONTINUOUS) for name in MODELS)]
)
def test_intervals_cover(world, estimator):
    truth = world.truth() if world is CONTINUOUS else float(world.truth(1)[1] - world.truth(0)[1])
    runs, inside = 40, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        effect = estimate_effect(world.sample(600, rng=rng), BACK, rng=rng, estimator=estimator)
        inside += effect.low <= truth <= effect.high
    assert inside >= binom.ppf(FALSE_ALARM_RATE, runs, 0.95)


def test_without_adjustment_the_answer_is_the_confounded_one():
    table = CONTINUOUS.sample(5000, rng=np.random.default_rng(0))
    naive = estimate_effect(table, BackDoor("X", "Y", ()), rng=np.random.default_rng(0))
    assert naive.low > CONTINUOUS.truth()
    gap = table.Y[table.X == 1].mean() - table.Y[table.X == 0].mean()
    assert naive.value == pytest.approx(gap, abs=1e-12)


def test_outcome_regression_is_the_average_of_predictions():
    table = CONTINUOUS.sample(300, rng=np.random.default_rng(0))
    z, x, y = table[["U"]].to_numpy(), table.X.to_numpy(), table.Y.to_numpy()
    fit = outcome_regression(z, x, y)
    for arm in (0, 1):
        slow = LinearRegression().fit(z[x == arm], y[x == arm]).predict(z).mean()
        assert fit.means[arm] == pytest.approx(slow, abs=1e-10)


def test_weighting_is_the_weighted_mean():
    table = CONTINUOUS.sample(400, rng=np.random.default_rng(0))
    z, x, y = table[["U"]].to_numpy(), table.X.to_numpy(), table.Y.to_numpy()
    scaled = (z - z.mean(0)) / z.std(0)
    odds = LogisticRegression(C=1.0).fit(scaled, x).predict_proba(scaled)
    fit = inverse_propensity(z, x, y)
    for arm in (0, 1):
        slow = np.average(y[x == arm], weights=1 / odds[x == arm, arm])
        assert fit.means[arm] == pytest.approx(slow, abs=1e-3)


@pytest.mark.parametrize("estimate", [outcome_regression, inverse_propensity])
def test_standard_errors_match_the_row_bootstrap(estimate):
    table = CONTINUOUS.sample(500, rng=np.random.default_rng(0))
    z, x, y = table[["U"]].to_numpy(), table.X.to_numpy(), table.Y.to_numpy()
    claimed = from_influence(estimate(z, x, y).influence).standard_error(WEIGHTS)
    rng, values = np.random.default_rng(1), []
    for _ in range(300):
        rows = rng.integers(0, 500, 500)
        values.append(estimate(z[rows], x[rows], y[rows]).means @ WEIGHTS)
    assert claimed == pytest.approx(np.std(values), rel=0.15)


def test_double_robustness_to_a_curved_outcome():
    """E[Y | a, Z] is a cubic that neither regression fits; the propensity is logistic, as fitted."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(20_000, 1))
    x = (rng.random(20_000) < 1 / (1 + np.exp(-z[:, 0]))).astype(int)
    y = z[:, 0] ** 3 + x + rng.normal(size=20_000)
    regressed = outcome_regression(z, x, y)
    robust = augmented(fit_propensity(z, x, pair=(1, 0), rng=rng), z, x, y)
    error = from_influence(robust.influence).standard_error(WEIGHTS)
    assert abs(robust.means @ WEIGHTS - 1.0) < 3 * error
    assert abs(regressed.means @ WEIGHTS - 1.0) > 5 * from_influence(regressed.influence).standard_error(WEIGHTS)


def test_a_continuous_treatment_has_a_line():
    table = LinearWorld().sample(4000, rng=np.random.default_rng(0))
    line = {"estimator": "outcome-regression", "treated": 2.0, "control": 0.0}
    effect = estimate_effect(table, BACK, rng=np.random.default_rng(0), **line)
    slope = LinearRegression().fit(table[["X", "U"]], table.Y).coef_[0]
    assert effect.value == pytest.approx(2 * slope, abs=1e-10)
    assert effect.low < 6.0 < effect.high
    assert effect.warnings == ()


def test_a_line_says_that_the_response_bends():
    table = LinearWorld().sample(2000, rng=np.random.default_rng(0))
    bent = table.assign(Y=table.Y + 0.5 * table.U**2)
    effect = estimate_effect(bent, BACK, rng=np.random.default_rng(0), estimator="outcome-regression")
    assert effect.warnings[0].startswith("the line through treatment and covariates leaves structure")


def test_the_line_s_standard_error_matches_the_bootstrap():
    table = LinearWorld().sample(400, rng=np.random.default_rng(0))
    z, x, y = table[["U"]].to_numpy(), table.X.to_numpy(), table.Y.to_numpy()
    settings = np.array([0.0, 1.0])
    claimed = from_influence(linear_response(z, x, y, settings=settings).influence)
    rng, values = np.random.default_rng(1), []
    for _ in range(400):
        rows = rng.integers(0, 400, 400)
        values.append(linear_response(z[rows], x[rows], y[rows], settings=settings).means)
    assert claimed.standard_error(WEIGHTS) == pytest.approx((np.array(values) @ WEIGHTS).std(), rel=0.15)


def test_no_overlap_in_the_adjustment_set_is_seen():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2000, 1))
    x = (z[:, 0] + 0.2 * rng.normal(size=2000) > 0).astype(int)
    table = pd.DataFrame({"U": z[:, 0], "X": x, "Y": z[:, 0] + x})
    effect = estimate_effect(table, BACK, rng=rng)
    assert effect.auc == pytest.approx(roc_auc_score(x, z[:, 0]), abs=0.005)
    assert any("overlap is thin" in warning for warning in effect.warnings)
    with pytest.raises(OverlapError, match=r"an AUC up to 0.99; received .* 1\.000"):
        estimate_effect(table.assign(X=(z[:, 0] > 0).astype(int)), BACK, rng=rng)


def draw_many_labels(rows, *, rng):
    """Forty labels and three treatments that go with them a little: wide as 0/1 columns, yet they overlap well."""
    label = rng.integers(40, size=rows)
    odds = 1.0 + 0.8 * (np.arange(3) == (label % 3)[:, None])
    odds /= odds.sum(1, keepdims=True)
    x = (odds.cumsum(1)[:, :-1] <= rng.random((rows, 1))).sum(1)
    y = x + np.sin(label) + 0.6 * (label % 3) + rng.normal(size=rows)
    return pd.DataFrame({"X": x.astype(str), "U": [f"label {index}" for index in label], "Y": y}), odds


def test_a_label_with_forty_levels_is_weighed_by_what_it_says_and_not_by_chance():
    table, odds = draw_many_labels(600, rng=np.random.default_rng(0))
    effect = estimate_effect(table, BACK, rng=np.random.default_rng(0), estimator="aipw", treated="2", control="0")
    own = [1 / odds[(arm == table.X).to_numpy(), int(arm)] for arm in ("2", "0")]
    known = min((weights.sum() ** 2) / (weights**2).sum() for weights in own)
    assert 0.9 * known < effect.effective_sample_size < 1.2 * known


def test_intervals_cover_with_a_label_of_forty_levels():
    runs, inside, widths = 25, 0, []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        table, _ = draw_many_labels(600, rng=rng)
        effect = estimate_effect(table, BACK, rng=rng, estimator="aipw", treated="2", control="0")
        inside += effect.low <= 2.0 <= effect.high
        widths.append(effect.standard_error)
    assert inside >= binom.ppf(FALSE_ALARM_RATE, runs, 0.95)
    assert np.mean(widths) < 0.15  # 0.10 with known nuisances
