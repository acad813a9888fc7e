"""What is reused between the fits of one call of `refute` changes no number, and saves what it should."""

import numpy as np

from causalvlm.estimation import dictionary as made
from causalvlm.estimation.dictionary import dictionary
from causalvlm.estimation.effect import estimate_effect
from causalvlm.estimation.nuisance import least_squares
from causalvlm.estimation.problem import Problem
from causalvlm.identification.estimands import FrontDoor
from causalvlm.refutation.refute import refute
from causalvlm.worlds.embedding import EmbeddingWorld


def test_columns_that_are_read_once_give_the_verdicts_of_columns_that_are_read_each_time(monkeypatch):
    world = EmbeddingWorld(dim=6)
    table = world.sample(600, rng=0)
    effect = estimate_effect(table, FrontDoor("X", "Y", ("S",)), rng=0, columns=world.columns)
    quick = refute(effect, table, rng=0, repeats=2)
    monkeypatch.setattr(Problem, "read", lambda _: None)
    slow = refute(effect, table, rng=0, repeats=2)
    for one, other in zip(quick, slow, strict=True):
        assert (one.name, one.outcome) == (other.name, other.outcome)
        numbers = [[np.nan if value is None else value for value in (v.statistic, v.p_value)] for v in (one, other)]
        np.testing.assert_allclose(*numbers, rtol=1e-9, atol=1e-9)


def test_the_rows_that_a_dictionary_is_made_from_are_expanded_once(monkeypatch):
    calls = []
    original = made.reduction
    monkeypatch.setattr(
        made,
        "reduction",
        lambda *given: (lambda project: lambda rows: calls.append(1) or project(rows))(original(*given)),
    )
    rows = np.random.default_rng(0).normal(size=(300, 4))
    expand = dictionary(rows)
    before = len(calls)
    seen = expand(rows)
    assert len(calls) == before
    np.testing.assert_allclose(seen, expand(rows.copy()), atol=1e-12)
    assert len(calls) == before + 1


def test_a_line_is_the_same_without_a_standardised_copy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(3.0, 5.0, size=(200, 5)), rng.normal(size=(200, 2))
    x[:, 4] = 7.0  # a constant
    line = least_squares(1)(x, y)
    theirs = np.linalg.lstsq(np.column_stack([np.ones(200), x[:, :4]]), y, rcond=None)[0]
    np.testing.assert_allclose(line(x), np.column_stack([np.ones(200), x[:, :4]]) @ theirs, atol=1e-6)
