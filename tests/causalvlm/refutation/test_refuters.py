"""Every refuter for size, where nothing is wrong, and for power, on worlds or estimators built to be wrong."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import binom, chi2, norm

import causalvlm
from causalvlm.errors import InputError, OverlapError
from causalvlm.estimation import two_stage
from causalvlm.estimation.effect import estimate_contrast, estimate_effect
from causalvlm.estimation.problem import Problem, read_problem
from causalvlm.identification.estimands import BackDoor, FrontDoor
from causalvlm.refutation import misspecification, overlap, placebos, subset
from causalvlm.refutation import refute as refuting
from causalvlm.refutation.case import open_case
from causalvlm.refutation.refute import refute
from causalvlm.refutation.verdict import FALSE_ALARM_RATE, Trial, Verdict, settle
from causalvlm.worlds.discrete import Dials, draw_world, smoking
from causalvlm.worlds.embedding import EmbeddingWorld
from causalvlm.worlds.linear import LinearWorld

FRONT, BACK = FrontDoor("X", "Y", ("S",)), BackDoor("X", "Y", ("U",))
CLEAN = draw_world(Dials(), rng=np.random.default_rng(1))


def verdicts(world, rows=1500, seed=0, estimator=None, repeats=5, alternative=BACK, **settings):
    rng = np.random.default_rng(seed)
    table = world.sample(rows, rng=rng)
    columns = world.columns if isinstance(world, EmbeddingWorld) else None
    effect = estimate_effect(table, FRONT, rng=rng, estimator=estimator, columns=columns, **settings)
    found = refute(effect, table, rng=rng, alternative=alternative, suspects=["U"], repeats=repeats)
    return {verdict.name: verdict for verdict in found}


@pytest.mark.parametrize(
    ("world", "runs", "repeats"),
    [(CLEAN, 10, 5), (LinearWorld(), 10, 5), (EmbeddingWorld(dim=4), 3, 3)],
    ids=["discrete", "linear", "embedding"],
)
def test_clean_worlds_pass_but_for_false_alarms(world, runs, repeats):
    found = [verdicts(world, seed=seed, repeats=repeats) for seed in range(runs)]
    alarms = sum(any(verdict.outcome == "failed" for verdict in run.values()) for run in found)
    assert alarms <= binom.ppf(1 - FALSE_ALARM_RATE, runs, FALSE_ALARM_RATE)
    for run in found:
        for name in ("permuted treatment", "permuted mediator", "dummy outcome", "subset"):
            assert abs(run[name].statistic) < 3.8


@pytest.fixture
def naive_estimator(monkeypatch):
    """An estimator that ignores the mediator: the placebo tests must see through it."""
    honest = two_stage.two_stage

    def association(mediator, treatment, outcome, *, settings, covariates, sampling):
        fitted = honest(mediator, treatment, outcome, settings=settings, covariates=covariates, sampling=sampling)
        centred = treatment[:, 0] - treatment[:, 0].mean()
        slope = centred @ outcome / (centred @ centred)
        means = outcome.mean() + slope * (settings[:, 0] - treatment[:, 0].mean())
        residual = outcome - outcome.mean() - slope * centred
        influence = residual[:, None] * (1 + np.outer(centred / centred.var(), settings[:, 0] - treatment[:, 0].mean()))
        return type(fitted)(means, influence, fitted.second_stage, fitted.tolerance, 1.0, fitted.p_second)

    monkeypatch.setattr(two_stage, "two_stage", association)


@pytest.mark.usefixtures("naive_estimator")
def test_placebos_see_an_estimator_that_reports_association():
    found = verdicts(LinearWorld())
    assert found["permuted mediator"].outcome == "failed"
    assert found["over-identification"].outcome == "failed"
    assert found["permuted treatment"].outcome == "passed"  # association with a shuffled treatment is nothing


def test_the_dummy_outcome_keeps_confounding_and_sees_association():
    """Shuffled within levels, Y stays associated with X: a naive contrast is caught, the front door is not fooled."""
    rng = np.random.default_rng(0)
    table = CLEAN.sample(3000, rng=rng)

    def naive(problem: Problem) -> tuple[float, float]:
        groups = [problem.outcome[problem.codes == level] for level in (1, 0)]
        return groups[0].mean() - groups[1].mean(), float(np.sqrt(sum(g.var() / len(g) for g in groups)))

    def honest(problem: Problem) -> tuple[float, float]:
        found = estimate_contrast(problem, "plug-in", rng=rng)
        return found.value, found.standard_error

    problem = read_problem(table, FRONT)
    caught, fooled = (
        placebos.placebos(problem, estimate, rng=rng, repeats=5)["dummy outcome"].bias() for estimate in (naive, honest)
    )
    assert abs(caught) > 10
    assert abs(fooled) < 3


def test_the_placebos_see_standard_errors_that_are_too_small():
    rng = np.random.default_rng(0)
    problem = read_problem(smoking().sample(2000, rng=rng), FRONT)

    def bold(problem: Problem) -> tuple[float, float]:
        found = estimate_contrast(problem, "plug-in", rng=rng)
        return found.value, found.standard_error / 4

    found = placebos.placebos(problem, bold, rng=rng, repeats=20)["permuted treatment"]
    assert found.p_scatter() < FALSE_ALARM_RATE / 10


def test_p_values_of_placebos_are_those_of_normal_and_chi_squared_scores_a_tenth_too_large():
    scores = np.array([1.3, -0.2, 2.5, 0.9])
    found = placebos.Placebos(scores * 0.2, np.full(4, 0.2))
    assert found.p_bias() == pytest.approx(2 * norm.sf(scores.sum() / 2, scale=1.1))
    assert found.p_scatter() == pytest.approx(chi2.sf((scores**2).sum() / 1.21, 4))


def test_a_placebo_is_the_estimate_of_the_altered_table():
    """What is kept of the columns, and of the models that do not depend on the outcome, changes no number."""
    table = EmbeddingWorld(dim=2).sample(500, rng=np.random.default_rng(0))
    columns = EmbeddingWorld(dim=2).columns
    orders: list[tuple[float, float]] = []

    def twice(problem: Problem) -> tuple[float, float]:
        fresh = read_problem(problem.table, FRONT, columns=columns)
        states = [np.random.default_rng(1), np.random.default_rng(1)]
        kept, anew = (
            estimate_contrast(one, "one-step", rng=rng) for one, rng in zip((problem, fresh), states, strict=True)
        )
        orders.append((kept.value, anew.value))
        return kept.value, kept.standard_error

    found = placebos.placebos(
        read_problem(table, FRONT, columns=columns), twice, rng=np.random.default_rng(0), repeats=2
    )
    assert len(orders) == 2 * len(found) == 6
    kept, anew = np.array(orders).T
    np.testing.assert_allclose(kept, anew, rtol=1e-9)


@pytest.mark.parametrize("refused_at", [1, 2])
def test_a_placebo_that_is_refused_says_so_whether_at_once_or_later(refused_at):
    problem, asked = read_problem(smoking().sample(500, rng=np.random.default_rng(0)), FRONT), []

    def refuses(_: Problem) -> tuple[float, float]:
        asked.append(1)
        if len(asked) > 3 * (refused_at - 1):
            raise OverlapError("too few alike.")
        return 0.0, 1.0

    found = placebos.placebos(problem, refuses, rng=np.random.default_rng(0), repeats=3)
    assert list(found) == ["permuted treatment", "permuted mediator", "dummy outcome"]
    assert all(isinstance(one, OverlapError) for one in found.values())


def test_tests_of_one_call_share_one_rate():
    rng = np.random.default_rng(0)
    p_values = rng.random((4000, 8))
    calls = [settle([Trial("a", 0.0, p, "b", "c") for p in row]) for row in p_values]
    alarms = sum(any(verdict.outcome == "failed" for verdict in call) for call in calls)
    assert binom.ppf(0.001, 4000, FALSE_ALARM_RATE) <= alarms <= binom.ppf(0.999, 4000, FALSE_ALARM_RATE)


def test_halves_see_an_estimator_that_drifts_with_the_number_of_rows():
    table = pd.DataFrame({"X": [0, 1] * 500, "Y": np.random.default_rng(0).normal(size=1000)})
    problem = read_problem(table, BackDoor("X", "Y", ()))

    def judged(drift: float) -> placebos.Placebos:
        def estimate(problem: Problem) -> tuple[float, float]:
            return problem.outcome.mean() + drift / problem.rows, problem.rows**-0.5

        return subset.halves(problem, estimate, estimate(problem), rng=np.random.default_rng(0), repeats=3)

    steady, drifting = judged(0.0), judged(500.0)
    assert np.abs(steady.scores()).max() < 3.8 < np.abs(drifting.scores()).max()


def test_a_leak_from_the_confounder_fails_and_moves_the_two_routes_apart():
    found = verdicts(draw_world(Dials(leak=0.5), rng=np.random.default_rng(1)), rows=4000)
    assert found["leak from U"].outcome == "failed"
    assert found["over-identification"].outcome == "failed"


@pytest.mark.parametrize(
    "world",
    [LinearWorld(direct=1.0), LinearWorld(leak=0.5), draw_world(Dials(direct=0.8), rng=np.random.default_rng(1))],
    ids=["direct effect", "leak", "direct effect, discrete"],
)
def test_over_identification_sees_every_broken_route(world):
    assert verdicts(world, rows=4000)["over-identification"].outcome == "failed"


def test_thin_overlap_is_inconclusive_and_no_overlap_fails():
    outcomes = [
        verdicts(EmbeddingWorld(dim=2, separation=s), rows=8000, estimator="two-stage", repeats=1)["overlap"].outcome
        for s in (1.0, 1.9, 3.25)
    ]
    assert outcomes == ["passed", "inconclusive", "failed"]


def rare(confounding, log_odds, seed, rows=20_000):
    """About 0.9 per cent treated; beyond `confounding` 2 hardly anyone with a low Z is."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=rows)
    x = (rng.random(rows) < expit(log_odds + confounding * z)).astype(int)
    return pd.DataFrame({"Z": z, "X": x, "Y": x + z + rng.normal(size=rows)})


@pytest.mark.parametrize("seed", range(2))
def test_a_rare_treatment_is_no_lack_of_overlap_and_a_confounded_one_is(seed):
    rng, given_z = np.random.default_rng(seed), BackDoor("X", "Y", ("Z",))
    table = rare(0.0, -4.7, seed)
    effect = estimate_effect(table, given_z, rng=rng)
    (verdict,) = overlap.judge(open_case(effect, table, rng=rng))
    assert verdict.passed
    assert effect.effective_share > 0.9
    assert effect.effective_sample_size == pytest.approx(table.X.sum(), rel=0.05)
    with pytest.raises(OverlapError, match="30 effective rows of each level"):
        estimate_effect(rare(4.0, -10.0, seed), given_z, rng=rng)


def test_a_level_of_few_rows_is_refused_behind_a_front_door_too():
    table = LinearWorld().sample(5000, rng=np.random.default_rng(0))
    table = table.assign(X=(table.index < 20).astype(int))
    with pytest.raises(OverlapError, match=r"received 20\.0 effective rows"):
        estimate_effect(table, FRONT, rng=np.random.default_rng(0), estimator="two-stage")


def test_a_faint_effect_is_fragile_and_a_null_effect_is_nothing_to_explain():
    weak = LinearWorld(first=0.2, confounding_x=0.3, second=0.015)
    found = verdicts(weak, rows=200_000, repeats=1, alternative=None)["robustness"]
    assert (found.outcome, found.statistic < 0.02) == ("failed", True)
    nothing = LinearWorld(second=0.0)
    assert verdicts(nothing, alternative=None)["robustness"].outcome == "inconclusive"


def test_a_back_door_has_its_own_refuters():
    rng = np.random.default_rng(0)
    table = CLEAN.sample(2000, rng=rng)
    effect = estimate_effect(table, BACK, rng=rng)
    found = {verdict.name: verdict for verdict in refute(effect, table, rng=rng, repeats=3, alternative=FRONT)}
    assert list(found) == [
        "permuted treatment",
        "dummy outcome",
        "subset",
        "misspecified nuisance",
        "overlap",
        "robustness",
        "over-identification",
        "untestable",
    ]
    assert [name for name, verdict in found.items() if not verdict.passed] == ["misspecified nuisance", "untestable"]
    assert "nothing hidden joins X and Y given the adjustment set" in found["untestable"].reason


def bent(seed, bend, rows=600):
    """A back door whose outcome is a step of Z, one level of X or the other; no line is right."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=rows)
    x = (rng.random(rows) < expit(z)).astype(int)
    return pd.DataFrame({"Z": z, "X": x, "Y": x + z + bend * np.abs(z) + rng.normal(size=rows)})


@pytest.mark.parametrize(("bend", "failed"), [(0.0, 0), (1.0, 8)], ids=["line", "bend"])
def test_a_model_that_is_wrong_is_seen_in_held_out_rows(bend, failed):
    outcomes = []
    for seed in range(8):
        table, rng = bent(seed, bend), np.random.default_rng(seed)
        effect = estimate_effect(table, BackDoor("X", "Y", ("Z",)), rng=rng, estimator="outcome-regression")
        found = settle(misspecification.judge(open_case(effect, table, rng=rng)))
        outcomes.append(found[0].outcome)
    assert outcomes.count("failed") == failed


def test_what_no_data_can_show_is_said_with_what_was_tested_of_it():
    said = verdicts(CLEAN)["untestable"]
    assert said.outcome == "inconclusive"
    assert "passes through S" in said.reason
    assert said.reason.endswith("tested of it: the leak from U, the agreement with the other route.")
    rng = np.random.default_rng(0)
    table = CLEAN.sample(1000, rng=rng)
    alone = refute(estimate_effect(table, FRONT, rng=rng), table, rng=rng, repeats=1)[-1]
    assert alone.reason.endswith("or a column that moves the treatment alone would test some of it.")


def test_a_hidden_cause_of_the_second_stage_is_seen_by_no_test_without_a_suspect():
    """Why the line is there: the effect is far off, and nothing but robustness speaks of it."""
    found = verdicts(LinearWorld(second_s=1.0, second_y=1.0), rows=4000, alternative=None)
    assert not [name for name, verdict in found.items() if verdict.outcome == "failed"]
    assert found["untestable"].outcome == "inconclusive"


def test_a_categorical_outcome_leaves_numeric_refuters_inconclusive():
    rng = np.random.default_rng(0)
    table = CLEAN.sample(2000, rng=rng)
    table = table.assign(Y=table.Y.astype("category"))
    effect = estimate_effect(table, FRONT, rng=rng)
    found = {verdict.name: verdict for verdict in refute(effect, table, rng=rng, repeats=2, alternative=BACK)}
    assert found["over-identification"].outcome == found["robustness"].outcome == "inconclusive"
    assert found["permuted treatment"].passed


def test_mistakes():
    rng = np.random.default_rng(0)
    table = CLEAN.sample(1000, rng=rng)
    effect = estimate_effect(table, FRONT, rng=rng)
    with pytest.raises(InputError, match="repeats must be at least 1; received 0"):
        refute(effect, table, rng=rng, repeats=0)
    with pytest.raises(InputError, match="no column 'G'"):
        refute(effect, table, rng=rng, suspects=["G"])
    with pytest.raises(InputError, match="the total effect of 'X' on 'Y'; received the total effect of 'S' on 'Y'"):
        refute(effect, table, rng=rng, repeats=1, alternative=BackDoor("S", "Y", ()))


def test_the_same_generator_state_gives_the_same_verdicts_and_the_table_is_untouched():
    table = CLEAN.sample(1000, rng=np.random.default_rng(0))
    before = table.copy(deep=True)
    effect = estimate_effect(table, FRONT, rng=np.random.default_rng(0))
    first, second = (refute(effect, table, rng=np.random.default_rng(5), repeats=2) for _ in range(2))
    assert first == second
    pd.testing.assert_frame_equal(table, before)


def test_a_line_in_the_list_is_all_that_a_new_refuter_needs(monkeypatch):
    rng = np.random.default_rng(0)
    table = CLEAN.sample(1000, rng=rng)
    effect = estimate_effect(table, FRONT, rng=rng)

    def enough_rows(case):
        return (Verdict("enough rows", "passed", float(case.problem.rows), "a toy."),)

    monkeypatch.setattr(refuting, "REFUTERS", (*refuting.REFUTERS, enough_rows))
    last = causalvlm.refute(effect, table, rng=rng, repeats=1)[-1]
    assert last.to_record() == {
        "name": "enough rows",
        "outcome": "passed",
        "statistic": 1000.0,
        "reason": "a toy.",
        "p_value": None,
    }


def test_every_judge_has_a_file_of_its_own():
    modules = [judge.__module__ for judge in refuting.REFUTERS]
    assert len(set(modules)) == len(modules)
    assert all(module.startswith("causalvlm.refutation.") for module in modules)
