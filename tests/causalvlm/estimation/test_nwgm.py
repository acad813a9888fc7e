"""The geometric-mean shortcut: exact where it should be, and how far off elsewhere."""

import numpy as np
import pytest

from causalvlm.errors import InputError
from causalvlm.estimation.nwgm import nwgm


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
