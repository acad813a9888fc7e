"""An effect in words: each sentence follows the numbers, whichever way they came out."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from causalvlm import BackDoor, FrontDoor, Verdict, estimate_effect, explain
from causalvlm.worlds.discrete import smoking


@pytest.fixture(scope="module")
def effect():
    rng = np.random.default_rng(0)
    return estimate_effect(smoking().sample(20_000, rng=rng), FrontDoor("X", "Y", ("S",)), rng=rng)


def sentences(effect, verdicts=()):
    asked, found, sure, rests, tried, left_open = explain(effect, verdicts).split("\n")
    return {"asked": asked, "found": found, "sure": sure, "rests": rests, "tried": tried, "open": left_open}


def test_the_direction_follows_the_value(effect):
    found = sentences(effect)["found"]
    assert f"{effect.value:.3g} units of Y higher: {effect.do_means[1]:.3g} under X = 1" in found
    down = replace(effect, value=-effect.value, low=-effect.high, high=-effect.low, treated=0, control=1)
    assert f"{effect.value:.3g} units of Y lower: {effect.do_means[0]:.3g} under X = 0" in sentences(down)["found"]
    assert "estimated to be the same" in sentences(replace(effect, value=0.0, low=0.0, high=0.0))["found"]


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.2), (0.0, 0.2), (-0.1, 0.0)])
def test_an_interval_with_zero_is_no_finding_of_any_kind(effect, low, high):
    sure = sentences(replace(effect, low=low, high=high))["sure"]
    assert "no effect at all is not ruled out, nor is it shown" in sure
    assert "leaves out zero" not in sure


def test_certainty_comes_with_the_rows_and_the_warnings(effect):
    assert "leaves out zero" in sentences(effect)["sure"]
    assert "20,000 rows" in sentences(effect)["sure"]
    assert "caution" not in sentences(effect)["sure"]
    assert "effect.warnings has 1 reason for caution" in sentences(replace(effect, warnings=("a",)))["sure"]
    assert "has 2 reasons" in sentences(replace(effect, warnings=("a", "b")))["sure"]


def test_every_assumption_is_named(effect):
    for assumption in effect.estimand.assumptions():
        assert assumption in sentences(effect)["rests"]


def test_what_was_tried_is_told_and_nothing_else(effect):
    assert sentences(effect)["tried"] == "Nothing was tried against it yet: call refute."
    passed, failed, unsure = (
        Verdict(name, outcome, None, "why.")
        for name, outcome in (("subset", "passed"), ("leak", "failed"), ("overlap", "inconclusive"))
    )
    assert sentences(effect, [passed, failed, unsure])["tried"] == (
        "3 attempts were made to refute it (failed: leak; inconclusive: overlap; passed: subset): until what failed is "
        "explained, the number should not be reported as an effect."
    )
    assert sentences(effect, [passed])["tried"] == (
        "1 attempt was made to refute it (passed: subset): what passed could have failed and did not, which is no "
        "proof."
    )
    assert sentences(effect, [unsure])["tried"].endswith("(inconclusive: overlap): none could tell.")


def test_classes_are_probabilities():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"X": rng.choice(["a", "b", "c"], 600), "Y": pd.Categorical(rng.choice(["no", "yes"], 600))})
    said = sentences(estimate_effect(table, BackDoor("X", "Y", ()), rng=rng))
    assert "the probability that Y is yes changes when X is set to c rather than to a" in said["asked"]
    assert " of probability " in said["found"]
    assert "how other levels compare" in said["open"]


def test_a_dose_is_told_with_its_support():
    rng = np.random.default_rng(0)
    dose = rng.normal(size=500)
    effect = estimate_effect(pd.DataFrame({"X": dose, "Y": dose}), BackDoor("X", "Y", ()), rng=rng)
    assert "X is set to 1 rather than to 0" in sentences(effect)["asked"]
    assert f"what doses below {dose.min():.3g} or above {dose.max():.3g} do" in sentences(effect)["open"]
