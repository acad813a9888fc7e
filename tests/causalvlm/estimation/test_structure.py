"""Worlds that plain nuisance models cannot describe: what is left is seen, and richer learners take over."""

import numpy as np
import pandas as pd
import pytest

from causalvlm.estimation import cross_fitting, targets
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.structure import structure_left
from causalvlm.identification.estimands import BackDoor, FrontDoor


def _waves(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """A confounder of sine and step; the effect is 1."""
    z = rng.normal(size=(rows, 2))
    cause = np.sin(3 * z[:, 0]) + 1.5 * (z[:, 1] > 0.5)
    x = (rng.random(rows) < 1 / (1 + np.exp(-1.2 * cause))).astype(int)
    return pd.DataFrame({"X": x, "Y": x + 1.5 * cause + rng.normal(size=rows), "A": z[:, 0], "B": z[:, 1]})


def _spreads(rows: int, dim: int, rng: np.random.Generator) -> pd.DataFrame:
    """A mediator whose spread the treatment changes, and an outcome that bends in it; the effect is 1.05.

    E[S_0^2 | do(1)] - E[S_0^2 | do(0)] = 1.5^2 + 0.5^2 - 1 = 1.5, times 0.5, plus 0.6 times the shift of 0.5.
    """
    u = rng.normal(size=rows)
    x = (u + rng.normal(size=rows) > 0).astype(int)
    s = rng.normal(size=(rows, dim))
    s[:, 0] = 0.5 * x + s[:, 0] * (1 + 0.5 * x)
    table = pd.DataFrame(s, columns=[f"S{place}" for place in range(dim)])
    return table.assign(X=x, Y=0.5 * s[:, 0] ** 2 + 0.6 * s[:, 0] + u + 0.5 * rng.normal(size=rows))


@pytest.mark.parametrize("seed", range(4))
def test_a_back_door_of_sine_and_step_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    effect = estimate_effect(_waves(2000, rng), BackDoor("X", "Y", ("A", "B")), rng=rng)
    assert abs(effect.value - 1.0) < 0.3  # the plain models alone give 2.1
    assert effect.standard_error < 0.1
    assert all("both rest on boosted trees" in warning for warning in effect.warnings)  # and nothing else


@pytest.mark.parametrize("seed", range(4))
def test_a_mediator_of_unequal_spread_and_a_curved_outcome_in_sixteen_dimensions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = {"S": [f"S{place}" for place in range(16)]}
    effect = estimate_effect(_spreads(4000, 16, rng), FrontDoor("X", "Y", ("S",)), rng=rng, columns=columns)
    assert abs(effect.value - 1.05) < 4 * effect.standard_error
    assert effect.standard_error < 0.2


@pytest.mark.parametrize("dim", [1, 3, 40, 150])
def test_nothing_is_found_where_nothing_is_left(dim: int) -> None:
    rng = np.random.default_rng(dim)
    folds, arms = np.arange(2000) % 5, np.arange(2000) // 5 % 2
    scores = [structure_left(rng.normal(size=(2000, dim)), rng.normal(size=(2000, 1)), arms, folds) for _ in range(40)]
    assert sum(score > cross_fitting.LEFT for score in scores) <= 1  # the larger of two, each beyond 3 once in 740
    assert abs(np.mean(scores)) < 0.7


def test_what_stays_unexplained_is_said() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(3000, 1))
    target = targets.Mean(np.sin(4 * z[:, 0]), np.zeros(3000, dtype=int), lambda found: found[:, :, 0])

    def fold(constants, _, held):
        return [np.full((len(held), 1), value) for value in constants]

    judged = cross_fitting.cross_fit(cross_fitting.Candidates((0.0,), (1.0, 2.0)), fold, target, z, np.arange(3000) % 5)
    assert judged.weights[0] > 0.99
    assert "leaves structure" in judged.notes("model of the outcome")[0].warning


@pytest.mark.parametrize(("of_treatment", "of_outcome", "said"), [(1, 1, True), (1, 0, False), (0, 1, False)])
def test_two_models_that_learn_slowly_are_a_warning(of_treatment, of_outcome, said):
    """Jumps where two signs meet: either model alone may be slow, as the other's error is then small."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(3000, 2))
    sign = np.sign(z[:, 0] * z[:, 1])
    logits = np.where(of_treatment, 1.5 * sign, z[:, 0])
    x = (rng.random(3000) < 1 / (1 + np.exp(-logits))).astype(int)
    y = x + np.where(of_outcome, 2 * sign, z[:, 1]) + rng.normal(size=3000)
    table = pd.DataFrame({"X": x, "Y": y, "A": z[:, 0], "B": z[:, 1]})
    effect = estimate_effect(table, BackDoor("X", "Y", ("A", "B")), rng=rng)
    assert any("both rest on boosted trees" in warning for warning in effect.warnings) == said


@pytest.mark.parametrize(("name", "model"), [("ipw", "logistic regression"), ("outcome-regression", "line in each")])
def test_an_estimator_with_a_model_of_its_own_says_what_that_leaves(name, model):
    rng = np.random.default_rng(5)
    z = rng.uniform(-2, 2, size=2000)
    for shape, clean in ((z, True), (np.cos(2 * z), False)):
        x = (rng.random(2000) < 1 / (1 + np.exp(1.5 * shape))).astype(int)
        table = pd.DataFrame({"X": x, "Z": z, "Y": x - 2 * shape + rng.normal(size=2000)})
        effect = estimate_effect(table, BackDoor("X", "Y", ("Z",)), rng=np.random.default_rng(0), estimator=name)
        assert (effect.low < 1 < effect.high) is clean
        assert [note.startswith(f"the {model}") for note in effect.warnings] == ([] if clean else [True])


def sparse(rows: int, *, seed: int) -> pd.DataFrame:
    """Sixty-four covariates, of which one confounds by its square; the effect is 1."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, 64))
    bend = z[:, 0] ** 2 - 1
    x = (rng.random(rows) < 1 / (1 + np.exp(-0.6 * bend))).astype(int)
    columns = {f"Z{place}": column for place, column in enumerate(z.T)}
    return pd.DataFrame({"X": x, **columns, "Y": x + bend + z[:, 1] + rng.normal(size=rows)})


def test_the_square_of_one_covariate_among_many_is_found() -> None:
    table = sparse(3000, seed=0)
    z, x = table.filter(like="Z").to_numpy(), table.X.to_numpy()
    folds, one = np.arange(3000) % 5, np.zeros(3000, dtype=int)
    assert structure_left(z, (x - x.mean())[:, None], one, folds) > 8
    estimand, columns = BackDoor("X", "Y", ("Z",)), {"Z": list(table.filter(like="Z"))}
    effect = estimate_effect(table, estimand, rng=np.random.default_rng(0), columns=columns)
    naive = table.Y[x == 1].mean() - table.Y[x == 0].mean()
    assert naive > 1.8
    assert abs(effect.value - 1) < 0.15
