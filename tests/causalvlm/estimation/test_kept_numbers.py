"""Effects and verdicts that must not move: computed once, seed by seed, and committed here.

A change of structure leaves them as they are; a change of method says which of them moved, and why. Sums over counts
agree to rounding; where matrices are factorised, or a regression is fitted step by step, the processor has a say.
"""

import numpy as np
import pytest

import causalvlm
from causalvlm.identification.estimands import BackDoor, FrontDoor
from causalvlm.worlds.discrete import Dials, draw_world
from causalvlm.worlds.embedding import EmbeddingWorld
from causalvlm.worlds.linear import LinearWorld

FRONT, BACK = FrontDoor("X", "Y", ("S",)), BackDoor("X", "Y", ("U",))
DISCRETE, EMBEDDED = draw_world(Dials(), rng=np.random.default_rng(1)), EmbeddingWorld(dim=4)
COUNTED, FITTED = 1e-12, 1e-9


def estimated(world, rows, estimand, estimator):
    rng = np.random.default_rng(0)
    table = world.sample(rows, rng=rng)
    columns = EMBEDDED.columns if world is EMBEDDED and estimand is FRONT else None
    effect = causalvlm.estimate_effect(table, estimand, rng=rng, estimator=estimator, columns=columns)
    return effect, table, rng


@pytest.mark.parametrize(
    ("world", "rows", "estimand", "estimator", "numbers", "tolerance"),
    [
        (DISCRETE, 2000, FRONT, "plug-in", (0.1956521243690052, 0.1699842782166068, 0.22150109698455672), COUNTED),
        (DISCRETE, 2000, BACK, "plug-in", (0.2293421674946735, 0.16394441247091643, 0.29333427902968423), COUNTED),
        (EMBEDDED, 1500, FRONT, "two-stage", (2.5704941366904093, 2.3481621415725407, 2.792826131808278), FITTED),
        (LinearWorld(), 1500, FRONT, "two-stage", (2.943124613392123, 2.7700205208342714, 3.1162287059499745), FITTED),
        (EMBEDDED, 1500, FRONT, "one-step", (2.5828179254304193, 2.345903485271578, 2.8197323655892608), FITTED),
        (DISCRETE, 1500, FRONT, "one-step", (0.1968929323442173, 0.16688252741903933, 0.22690333726939524), FITTED),
        (
            DISCRETE,
            1500,
            BACK,
            "outcome-regression",
            (0.22342480793857217, 0.14885111345447744, 0.2979985024226669),
            FITTED,
        ),
        (
            LinearWorld(),
            1500,
            BACK,
            "outcome-regression",
            (3.0158162903814323, 2.9228440353857894, 3.108788545377075),
            FITTED,
        ),
        (DISCRETE, 1500, BACK, "ipw", (0.227471621709197, 0.1535262009239739, 0.3014170424944201), FITTED),
        (DISCRETE, 1500, BACK, "aipw", (0.2230712582997827, 0.14655083988925977, 0.2995916767103056), FITTED),
    ],
)
def test_effects(world, rows, estimand, estimator, numbers, tolerance):
    effect, _, _ = estimated(world, rows, estimand, estimator)
    assert (effect.value, effect.low, effect.high) == pytest.approx(numbers, rel=tolerance)


@pytest.mark.parametrize(
    ("world", "rows", "estimand", "alternative", "estimator", "statistics"),
    [
        (
            DISCRETE,
            2000,
            FRONT,
            BACK,
            "plug-in",
            {
                "permuted treatment": 2.4572493972629488,
                "permuted mediator": -1.1751769977814506,
                "dummy outcome": -0.2092264549252679,
                "subset": 0.8943534793183484,
                "misspecified nuisance": None,
                "overlap": 0.7190009569010116,
                "robustness": 0.19545658774867955,
                "leak from U": 8.852832878621501e-05,
                "over-identification": -1.0052290216564856,
                "untestable": None,
            },
        ),
        (
            EMBEDDED,
            1500,
            FRONT,
            BACK,
            "two-stage",
            {
                "permuted treatment": -1.1225504569335762,
                "permuted mediator": -0.9448834662588067,
                "dummy outcome": 0.06925103272821563,
                "subset": 1.8142564330930986,
                "misspecified nuisance": 0.14546492021756932,
                "overlap": 0.31280140579005283,
                "robustness": 0.3142760838931734,
                "leak from U": 0.003210491191537392,
                "over-identification": 0.9541195929794184,
                "untestable": None,
            },
        ),
        (
            DISCRETE,
            1500,
            BACK,
            FRONT,
            "aipw",
            {
                "permuted treatment": 0.43742517828108163,
                "dummy outcome": 0.6346818791479573,
                "subset": 1.5227093411437087,
                "misspecified nuisance": 1.0,
                "overlap": 0.41058975984446083,
                "robustness": 0.16818230372981055,
                "over-identification": 0.6606788523239828,
                "untestable": None,
            },
        ),
    ],
)
def test_verdicts(world, rows, estimand, alternative, estimator, statistics):
    effect, table, rng = estimated(world, rows, estimand, estimator)
    verdicts = causalvlm.refute(effect, table, rng=rng, alternative=alternative, suspects=["U"], repeats=2)
    found = {verdict.name: verdict.statistic for verdict in verdicts}
    assert list(found) == list(statistics)
    for name, statistic in statistics.items():
        assert found[name] == (None if statistic is None else pytest.approx(statistic, rel=FITTED)), name
