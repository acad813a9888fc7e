"""Clustered and weighted rows, against statsmodels, against the same rows written several times, and against truths."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy.stats import binom
from sklearn.neighbors import KNeighborsRegressor

import causalvlm
from causalvlm.errors import InputError, OverlapError
from causalvlm.estimation import estimators
from causalvlm.estimation.bootstrap import CELLS_AT_ONCE, resampled_batches
from causalvlm.estimation.cross_fitting import folds
from causalvlm.estimation.effect import estimate_effect, question_of
from causalvlm.estimation.sampling import EVEN, Sampling, correction
from causalvlm.estimation.spread import Draws, from_influence
from causalvlm.identification.estimands import BackDoor, FrontDoor, Functional, Instrument, Mediation
from causalvlm.identification.expressions import Probability
from causalvlm.intervals import Z
from causalvlm.refutation.verdict import FALSE_ALARM_RATE

BACK, FRONT, COUNTED = BackDoor("X", "Y", ("Z",)), FrontDoor("X", "Y", ("S",)), FrontDoor("X", "A", ("B",))
FORMULA = Functional("X", "A", Probability(("A",), ("X",)), ())
INSTRUMENT, SPLIT = Instrument("X", "Y", "I", ("Z",)), Mediation("X", "Y", ("S",), ("Z",))
EVERY = [
    ("plug-in", COUNTED),
    ("plug-in", BackDoor("X", "Y", ("B",))),
    ("plug-in", FORMULA),
    ("two-stage", FRONT),
    ("one-step", FRONT),
    ("outcome-regression", BACK),
    ("outcome-regression", BackDoor("D", "Y", ("Z",))),
    ("partially-linear", BackDoor("D", "Y", ("Z",))),
    ("dose-response", BackDoor("D", "Y", ("Z",))),
    ("ipw", BACK),
    ("aipw", BACK),
    ("two-stage-least-squares", INSTRUMENT),
    ("local-effect", INSTRUMENT),
    ("nested-regressions", SPLIT),
]
WITHOUT_FOLDS = [row for row in EVERY if row[0] in ("plug-in", "two-stage", "outcome-regression", "nested-regressions")]
WITHOUT_FOLDS += [("two-stage-least-squares", INSTRUMENT)]


def clustered(seed, clusters=60, size=10, share=0.7):
    """Rows whose every cause has a part that its cluster shares; the effect of X, or of D, on Y is one."""
    rng = np.random.default_rng(seed)
    video = np.repeat(np.arange(clusters), size)

    def drawn():
        own, shared = rng.normal(size=len(video)), rng.normal(size=clusters)[video]
        return np.sqrt(1 - share) * own + np.sqrt(share) * shared

    z, i = drawn(), drawn() > 0
    d = 0.5 * z + 1.5 * i + drawn()
    x = (d > 0.75).astype(int)
    s = x + drawn()
    table = pd.DataFrame({"Z": z, "I": i.astype(int), "D": d, "X": x, "S": s, "Y": s + z + drawn(), "video": video})
    table["B"] = (table.S > 0.5).astype(int)
    table["A"] = (table.Y > 0).astype(int)
    table["w"] = rng.integers(1, 4, len(table))
    return table


def estimated(table, estimator, estimand, **given):
    doses = {"treated": 1.5, "control": 1.0} if estimator == "dose-response" else {}
    return estimate_effect(table, estimand, rng=0, estimator=estimator, **doses, **given)


@pytest.mark.parametrize("weights", [None, "w"])
def test_a_line_has_the_cluster_robust_errors_of_statsmodels(weights):
    table = clustered(0)
    effect = estimated(table, "outcome-regression", BackDoor("D", "Y", ("Z",)), cluster="video", weights=weights)
    model = smf.wls("Y ~ D + Z", table, weights=1.0 if weights is None else table.w)
    groups = {"groups": table.video, "use_correction": False}
    slow = model.fit(cov_type="cluster", cov_kwds=groups, use_t=True)
    error = slow.bse["D"] * np.sqrt(60 / 59)
    assert effect.value == pytest.approx(slow.params["D"], rel=1e-10)
    assert effect.standard_error == pytest.approx(error, rel=1e-8)
    half = slow.conf_int().loc["D"].diff().iloc[1] / 2 * np.sqrt(60 / 59)  # Student's t of 59 degrees of freedom
    assert effect.high - effect.value == pytest.approx(half, rel=1e-8)


@pytest.mark.parametrize("weights", [None, "w"])
def test_arm_means_without_covariates_have_the_errors_of_statsmodels(weights):
    table = clustered(1)
    effect = estimated(table, "outcome-regression", BackDoor("X", "Y", ()), cluster="video", weights=weights)
    model = smf.wls("Y ~ X", table, weights=1.0 if weights is None else table.w)
    slow = model.fit(cov_type="cluster", cov_kwds={"groups": table.video, "use_correction": False})
    assert effect.value == pytest.approx(slow.params["X"], rel=1e-10)
    assert effect.standard_error == pytest.approx(slow.bse["X"] * np.sqrt(60 / 59), rel=1e-8)


def test_weighted_errors_are_those_of_statsmodels_without_clusters():
    table = clustered(2)
    effect = estimated(table, "outcome-regression", BackDoor("D", "Y", ("Z",)), weights="w")
    slow = smf.wls("Y ~ D + Z", table, weights=table.w).fit(cov_type="HC0")
    assert (effect.value, effect.standard_error) == pytest.approx((slow.params["D"], slow.bse["D"]), rel=1e-8)


@pytest.mark.parametrize(("estimator", "estimand"), WITHOUT_FOLDS)
def test_a_row_of_weight_two_is_a_row_written_twice(estimator, estimand):
    table = clustered(3)
    written = table.loc[np.repeat(table.index, table.w)].reset_index(drop=True)
    once = estimated(table, estimator, estimand, weights="w", cluster="video")
    twice = estimated(written, estimator, estimand, cluster="video")
    assert once.value == pytest.approx(twice.value, rel=1e-6)
    if not isinstance(once.spread, Draws):
        assert once.standard_error == pytest.approx(twice.standard_error, rel=1e-6)
    else:
        assert once.standard_error == pytest.approx(twice.standard_error, rel=0.1)
    assert once.to_record()["sampling"] == {"cluster": "video", "clusters": 60, "weights": "w"}


@pytest.mark.parametrize(("estimator", "estimand"), [row for row in EVERY if row not in WITHOUT_FOLDS])
def test_weights_move_a_cross_fitted_estimate_as_repeated_rows_do(estimator, estimand):
    """Penalties count rows, and folds are dealt by size, so the two agree within a standard error."""
    table = clustered(4)
    written = table.loc[np.repeat(table.index, table.w)].reset_index(drop=True)
    once = estimated(table, estimator, estimand, weights="w", cluster="video")
    twice = estimated(written, estimator, estimand, cluster="video")
    plain = estimated(table, estimator, estimand, cluster="video")
    assert abs(once.value - twice.value) < once.standard_error
    assert once.value != plain.value


@pytest.mark.parametrize(("estimator", "estimand"), WITHOUT_FOLDS)
def test_every_row_three_times_in_a_cluster_of_its_own_is_every_row_once(estimator, estimand):
    table = clustered(5)
    table["row"] = np.arange(len(table))
    single = estimated(table, estimator, estimand)
    triple = pd.concat([table] * 3, ignore_index=True)
    found = estimated(triple, estimator, estimand, cluster="row")
    assert found.value == pytest.approx(single.value, rel=1e-6)
    factor = np.sqrt(correction(len(table)))
    drawn = isinstance(single.spread, Draws)
    assert found.standard_error == pytest.approx(factor * single.standard_error, rel=0.1 if drawn else 1e-6)
    assert estimated(triple, estimator, estimand).standard_error < 0.7 * found.standard_error


@pytest.mark.parametrize(("estimator", "estimand"), EVERY)
def test_the_unit_of_the_weights_does_not_matter_nor_do_equal_ones_and_rows_of_none_are_none(estimator, estimand):
    table = clustered(6)
    table["w"] = table.w.astype(float)
    table["thousand"] = 1000.0 * table.w
    found = estimated(table, estimator, estimand, weights="w")
    assert estimated(table, estimator, estimand, weights="thousand").value == pytest.approx(found.value, rel=1e-9)
    none = pd.concat([table, table.assign(Y=1e3, w=0.0)], ignore_index=True)
    again = estimated(none, estimator, estimand, weights="w")
    assert (again.value, again.n) == (pytest.approx(found.value, rel=1e-9), len(table))
    assert estimated(table.assign(w=1.0), estimator, estimand, weights="w").value == pytest.approx(
        estimated(table, estimator, estimand).value, rel=1e-6
    )


@pytest.mark.parametrize(("estimator", "estimand"), [("two-stage-least-squares", INSTRUMENT), ("aipw", BACK)])
def test_intervals_cover_where_those_of_single_rows_do_not(estimator, estimand):
    runs, inside, naive = 20, 0, 0
    for seed in range(runs):
        table = clustered(seed, size=15)
        effect = estimated(table, estimator, estimand, cluster="video")
        inside += effect.low <= 1.0 <= effect.high
        plain = estimated(table, estimator, estimand)
        naive += plain.low <= 1.0 <= plain.high
    assert inside >= binom.ppf(FALSE_ALARM_RATE, runs, 0.95)
    assert naive < binom.ppf(FALSE_ALARM_RATE, runs, 0.95)


def test_folds_keep_clusters_whole_and_levels_balanced():
    rng = np.random.default_rng(0)
    clusters = rng.integers(0, 50, 1000)
    codes = (rng.random(50) < 0.4).astype(int)[clusters]
    assigned = folds(codes, rng=rng, sampling=Sampling(codes=clusters))
    for cluster in range(50):
        assert len(np.unique(assigned[clusters == cluster])) == 1
    shares = [codes[assigned == fold].mean() for fold in range(5)]
    assert max(shares) - min(shares) < 0.25
    with pytest.raises(OverlapError, match="at least 5 clusters"):
        folds((clusters < 3).astype(int), rng=rng, sampling=Sampling(codes=clusters))


def test_resampled_tables_are_sums_of_clusters_and_as_many_as_fit():
    sampling = Sampling(codes=np.repeat(np.arange(30), 2), weights=np.tile([0.5, 1.5], 30))
    cell = np.arange(60) % 4
    tables = np.concatenate(list(resampled_batches(cell, (2, 2), sampling, rng=np.random.default_rng(0))))
    assert tables.shape == (2000, 2, 2)
    assert np.allclose(tables.sum((1, 2)), 60)  # clusters weigh alike here
    wide = resampled_batches(cell, (CELLS_AT_ONCE // 8,), sampling, rng=np.random.default_rng(0))
    assert next(wide).size <= CELLS_AT_ONCE


def test_influence_is_added_up_by_the_slow_way():
    rng = np.random.default_rng(0)
    influence, codes, weights = rng.normal(size=(200, 2)), rng.integers(0, 20, 200), rng.random(200)
    weights /= weights.mean()
    slow = np.zeros((2, 2))
    for cluster in range(20):
        total = sum(weights[row] * influence[row] for row in np.flatnonzero(codes == cluster))
        slow += np.outer(total, total) / 200**2
    found = from_influence(influence, Sampling(codes=codes, weights=weights))
    assert np.allclose(found.covariance, slow * 20 / 19)
    assert from_influence(influence, EVEN).interval(0.0, np.array([1.0, 0.0]))[1] == pytest.approx(
        Z * np.sqrt((influence[:, 0] ** 2).sum()) / 200
    )


def test_whole_clusters_change_places():
    codes = np.repeat(np.arange(40), np.random.default_rng(0).integers(1, 9, 40))
    sampling = Sampling(codes=codes)
    order = sampling.shuffled(rng=np.random.default_rng(1))
    sources = [np.unique(codes[order[codes == cluster]]) for cluster in range(40)]
    assert all(len(source) == 1 for source in sources)
    assert sorted(int(source[0]) for source in sources) == list(range(40))
    level = codes % 3
    assert sampling.constant(level)
    assert not sampling.constant(np.arange(len(codes)) % 2)
    within = sampling.shuffled(within=level, rng=np.random.default_rng(1))
    assert (level[within] == level).all()


def test_refuters_raise_no_false_alarms_with_clusters():
    runs, alarms, unaware = 4, 0, 0
    for seed in range(runs):
        table = clustered(100 + seed, share=0.9)
        for given in ({"cluster": "video"}, {}):
            effect = estimated(table, "outcome-regression", BACK, **given)
            failed = any(one.outcome == "failed" for one in causalvlm.refute(effect, table, rng=seed, suspects=["I"]))
            alarms, unaware = (alarms + failed, unaware) if given else (alarms, unaware + failed)
    assert alarms <= binom.ppf(1 - FALSE_ALARM_RATE, runs, FALSE_ALARM_RATE)
    assert unaware > alarms


def test_the_question_is_read_again_with_its_clusters():
    table = clustered(7)
    effect = estimated(table, "aipw", BACK, cluster="video", weights="w")
    assert question_of(effect, table).sampling.text() == effect.sampling.text()
    assert "60 clusters of 'video'" in repr(effect)
    assert "60 clusters of" in effect._repr_html_()
    assert estimated(table, "aipw", BACK).to_record()["sampling"] is None


def test_few_clusters_are_said_and_very_few_refused():
    found = estimated(clustered(8, clusters=20), "outcome-regression", BACK, cluster="video")
    assert any("few clusters (20" in warning for warning in found.warnings)
    with pytest.raises(InputError, match="at least 10 clusters"):
        estimated(clustered(8, clusters=9), "outcome-regression", BACK, cluster="video")
    table = clustered(8, clusters=30)
    table["X"] = (table.video < 3).astype(int)
    with pytest.raises(OverlapError, match="at least 5 clusters"):
        estimated(table, "outcome-regression", BACK, cluster="video")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cluster": "Z"}, "no other part"),
        ({"weights": "X"}, "no other part"),
        ({"cluster": "w", "weights": "w"}, "no other part"),
        ({"cluster": "scene"}, "one column of the table"),
        ({"weights": "negative"}, "negative ones"),
        ({"weights": "zero"}, "zeros alone"),
        ({"weights": "text"}, "received text"),
        ({"weights": "missing"}, "1 in 'missing'"),
        ({"cluster": "missing"}, "1 in 'missing'"),
    ],
)
def test_mistakes_are_said(given, said):
    table = clustered(9).assign(negative=-1.0, zero=0.0, text="heavy", missing=1.0)
    table.loc[0, "missing"] = np.nan
    with pytest.raises(InputError, match=said):
        estimated(table, "aipw", BACK, **given)


def test_an_estimator_that_does_not_take_them_refuses(monkeypatch):
    entry = estimators.ESTIMATORS["aipw"]
    shy = estimators.Estimator(entry.run, entry.serves, "levels", "numeric", "weights", entry.about, "levels")
    monkeypatch.setattr(estimators, "ESTIMATORS", {**estimators.ESTIMATORS, "aipw": shy})
    monkeypatch.setattr("causalvlm.estimation.effect.ESTIMATORS", estimators.ESTIMATORS)
    for given in ({"cluster": "video"}, {"weights": "w"}):
        with pytest.raises(InputError, match=f"{next(iter(given))}= is for estimators that take it"):
            estimated(clustered(10), "aipw", BACK, **given)


def test_a_model_of_ones_own_must_take_the_weights():
    with pytest.raises(InputError, match="sample_weight"):
        estimated(clustered(11), "aipw", BACK, weights="w", outcome_model=KNeighborsRegressor())
