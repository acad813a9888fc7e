"""Natural effects against worlds with a direct path, and where they must be refused; the geometric-mean shortcut."""

import numpy as np
import pandas as pd
import pytest

from causalvlm.errors import InputError, NotIdentifiedError
from causalvlm.estimation.natural import natural_effects
from causalvlm.estimation.nwgm import nwgm
from causalvlm.graphs.graph import CausalGraph

SIMPLE = CausalGraph("X -> S -> Y; X -> Y")
GIVEN_C = CausalGraph("X -> S -> Y; X -> Y; C -> {X S Y}")


def binary_table(rows: int, rng: np.random.Generator) -> pd.DataFrame:
    c = rng.integers(0, 2, rows)
    x = (rng.random(rows) < np.where(c == 1, 0.7, 0.3)).astype(int)
    s = (rng.random(rows) < 0.2 + 0.4 * x + 0.2 * c).astype(int)
    y = (rng.random(rows) < 0.1 + 0.2 * x + 0.3 * s + 0.2 * x * s + 0.1 * c).astype(int)
    return pd.DataFrame({"C": c, "X": x, "S": s, "Y": y})


def split(table, graph, seed=0, **settings):
    rng = np.random.default_rng(seed)
    return natural_effects(table, graph, treatment="X", outcome="Y", mediators=["S"], rng=rng, **settings)


def test_discrete_effects_are_those_of_the_tables():
    direct = np.mean([0.2 + 0.2 * (0.2 + 0.2 * c) for c in (0, 1)])  # E[Y(1, S(0))] - E[Y(0, S(0))]
    indirect = 0.4 * (0.3 + 0.2)
    found = split(binary_table(30_000, np.random.default_rng(1)), GIVEN_C)
    assert found.covariates == ("C",)
    assert found.estimator == "plug-in"
    assert found.direct.low < direct < found.direct.high
    assert found.indirect.low < indirect < found.indirect.high
    assert found.total.value == pytest.approx(found.direct.value + found.indirect.value)


def test_forgetting_the_covariate_gives_another_answer():
    found = split(binary_table(30_000, np.random.default_rng(0)), SIMPLE)
    assert found.indirect.low > 0.2  # confounded upwards


def test_vector_mediators_and_interactions():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, 20_000)
    s = np.column_stack([x + rng.normal(size=20_000), 0.5 * x + rng.normal(size=20_000)])
    y = (1 + x) * s[:, 0] + s[:, 1] + 3 * x + rng.normal(size=20_000)
    table = pd.DataFrame({"X": x, "S0": s[:, 0], "S1": s[:, 1], "Y": y})
    found = split(table, SIMPLE, columns={"S": ["S0", "S1"]})
    assert found.estimator == "linear"
    assert found.direct.low < 3.0 < found.direct.high  # E[S0(0)] is zero
    assert found.indirect.low < 2.5 < found.indirect.high
    swapped = split(table, SIMPLE, columns={"S": ["S0", "S1"]}, treated=0, control=1)
    assert swapped.total.value == pytest.approx(-found.total.value)


@pytest.mark.parametrize(
    ("graph", "path"),
    [
        ("X -> S -> Y; X <-> Y", "X <-> Y"),
        ("X -> S -> Y; S <-> Y", "S <-> Y"),
        ("X -> S -> Y; X <-> S", "X <-> S"),
        ("X -> S -> Y; X -> L; L -> {S Y}", "S <- L -> Y"),
    ],
)
def test_they_are_refused_where_they_are_not_identified(graph, path):
    table = binary_table(200, np.random.default_rng(0))
    with pytest.raises(NotIdentifiedError, match="natural effects need") as caught:
        split(table, CausalGraph(graph))
    assert caught.value.open_path == path


def random_logits(scale: float, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(scale=scale, size=(6, 4, 5))


def test_the_geometric_mean_is_exact_for_shifts_that_classes_share():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=5) + rng.normal(size=(6, 4, 1))
    found = nwgm(logits, rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(4)))
    assert found.total_variation == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(found.approximate, found.exact, atol=1e-12)


def test_its_error_grows_with_the_logits():
    uniform, means = (np.full(6, 1 / 6), np.full(4, 1 / 4)), []
    for scale in (0.5, 2.0, 8.0):
        rng = np.random.default_rng(0)
        found = [nwgm(random_logits(scale, rng), *uniform) for _ in range(200)]
        means.append(np.mean([one.total_variation for one in found]))
    assert means[0] < 0.02
    assert means[1] > 0.05
    assert means[2] > 0.3
    assert np.mean([not one.same_class for one in found]) > 0.2


def test_weights_must_be_distributions():
    with pytest.raises(InputError, match="mediator must be a distribution; received a sum of 6"):
        nwgm(np.zeros((6, 4, 5)), np.ones(6), np.full(4, 0.25))


def test_a_covariate_that_names_its_rows_is_refused():
    table = binary_table(500, np.random.default_rng(0))
    named = table.assign(S=np.random.default_rng(1).normal(size=500), C=[f"img{row}" for row in range(500)])
    with pytest.raises(InputError, match="column 'C' must have levels that recur"):
        split(named, GIVEN_C)
