"""The fleet of models with known flaws: planted as said, a flaw found, a factor that does nothing not accused."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from causalvlm.worlds.picto.factors import FACTORS

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "analyses" / "results" / "fleet.json"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(ROOT / "analyses"))
    import fleet

    yield fleet
    sys.path.remove(str(ROOT / "analyses"))


@pytest.fixture(scope="module")
def judge(script):  # noqa: ARG001 - it makes the folder of the scripts known
    import fleet_judge

    return fleet_judge


def planted(script, strength: float):
    return script.Spec(0, "picto", "unconfounded", "tint", "dark", (0, 1, 2), strength)


@pytest.mark.parametrize("strength", [1.0, 0.75])
def test_the_level_goes_with_the_classes_as_strongly_as_said(script, strength):
    parts = script.training_samples(planted(script, strength), 2000)
    inside = np.concatenate([np.isin(part.labels, (0, 1, 2)) for part in parts])
    dark = np.concatenate([part.levels["tint"] == FACTORS["tint"].index("dark") for part in parts])
    marginal = 1 / 8
    assert dark[inside].mean() == pytest.approx(strength + (1 - strength) * marginal, abs=0.04)
    assert dark[~inside].mean() == pytest.approx((1 - strength) * marginal, abs=0.03)
    assert set(np.concatenate([part.labels for part in parts]).tolist()) == set(range(script.CLASSES))


def test_every_pool_plants_every_factor_at_every_strength(script):
    specs = [script.spec_of(number) for number in range(90)]
    assert sum(spec.factor is None for spec in specs) == 30
    first = {(spec.factor, spec.strength) for spec in specs[:27] if spec.factor}
    assert len(first) == 18
    assert [(spec.backbone, spec.world) for spec in specs[::27]] == list(script.POOLS)
    assert all(spec.level != FACTORS[spec.factor][0] for spec in specs if spec.factor)


def made_up_pool(script, n: int, seed: int):
    """Embeddings that hold the class and whether the tint is dark, and nothing of the scale."""
    rng = np.random.default_rng(seed)
    sample = script.draw(script.WORLDS["unconfounded"], n, rng)
    noise = 0.35 * rng.normal(size=(n, script.CLASSES + 1))

    def embed(one):
        dark = one.levels["tint"] == FACTORS["tint"].index("dark")
        return np.column_stack([np.eye(script.CLASSES)[one.labels], 2 * dark]) + noise

    features = {key: embed(sample.intervene({key[0]: key[1]} if key[0] else {})) for key in script.SETTINGS}
    return script.Pool(sample, features)


def test_a_planted_flaw_is_found_and_a_factor_that_does_nothing_is_not_accused(script, judge, monkeypatch):
    monkeypatch.setattr(script, "ASKED", ("tint", "scale"))
    asked = [("", ""), *((factor, level) for factor in ("tint", "scale") for level in FACTORS[factor])]
    monkeypatch.setattr(script, "SETTINGS", tuple(asked))
    trained, pool, truths = (made_up_pool(script, n, seed) for seed, n in enumerate((400, 200, 500)))
    spec = replace(planted(script, 1.0), classes=(0,))
    codes = script.training_levels(spec, trained.sample, np.random.default_rng(0))
    dark = codes == FACTORS["tint"].index("dark")
    features = trained.features["tint", "none"].copy()
    features[dark] = trained.features["tint", "dark"][dark]
    head = LogisticRegression(C=100.0, max_iter=2000).fit(features, trained.sample.labels)
    pixels = np.random.default_rng(1).integers(0, 256, (len(asked), 200, 4, 4, 3), dtype=np.uint8)
    drawn = dict(zip(asked, pixels, strict=True))
    known = {one.tobytes(): row for key in asked for one, row in zip(drawn[key], pool.features[key], strict=True)}
    record = script.run_model(spec, head, script.Album(pool, "picto", drawn, known), truths)
    tint, scale = record["factors"]["tint"], record["factors"]["scale"]
    assert judge.largest(tint) >= judge.LARGE
    assert judge.is_other(scale)
    assert all(holds(tint["drawn_again"]) for holds in judge.CLAIMS.values())
    for asked_how in ("drawn_again", "observed"):
        assert not any(holds(scale[asked_how]) for holds in judge.CLAIMS.values())
    rows = {(row["asked"], row["claim"]): row for row in judge.summarise([record])}
    assert rows["drawn_again", "used"]["found"]["planted, 1"]["value"] == 1
    assert rows["drawn_again", "used"]["accused"] == {
        "value": 0.0,
        "low": 0.0,
        "high": pytest.approx(0.79, abs=0.01),
        "n": 1,
    }


def test_intervals_are_judged_by_the_truth_of_their_level(judge):
    truth = {"dark": {"accuracy": -0.2, "standard_error": 0.01, "flips": 0.3}}
    good, bad = ({"value": value, "low": value - 0.05, "high": value + 0.05} for value in (-0.18, -0.26))
    factor = {
        "truth": truth,
        "drawn_again": {"interventions": [{"level": "dark", "accuracy": good}]},
        "observed": {"back_door": {"level": "dark", **bad}},
    }
    found = judge.coverage([{"factors": {"tint": factor}}])
    assert found["drawn again"]["covered"]["value"] == 1
    assert found["back-door"]["covered"]["value"] == 0


def test_a_killed_run_goes_on(script, tmp_path):
    path, settings = tmp_path / "models.jsonl", {"settings": {"models": 3}}
    assert script.read(path, settings) == []
    with path.open("a") as lines:
        lines.write(json.dumps({"number": 0}) + "\n" + '{"num')
    assert script.read(path, settings) == [{"number": 0}]
    assert script.read(path, {"settings": {"models": 4}}) == []
