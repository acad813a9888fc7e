"""The figures of the model cards: computed right on made-up answers, and those of the weights that are committed."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import cdc
from causalvlm.worlds.picto.scm import PictoWorld

ROOT = Path(__file__).parents[2]
RESULT = json.loads((ROOT / "analyses" / "results" / "picto_model_card.json").read_text())


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("picto_model_card", ROOT / "analyses" / "picto_model_card.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["picto_model_card"] = module
    spec.loader.exec_module(module)
    return module


def answers(*shares: float, n: int = 200) -> list[np.ndarray]:
    """For each collection n answers, the first share of them right."""
    return [np.arange(n) < share * n for share in shares]


class TestFigures:
    def test_mean_spread_and_drop(self, script: ModuleType) -> None:
        before, after = answers(0.8, 0.6), answers(0.5, 0.5)
        row = script.summarise(before, ("one", "other"))
        assert row["value"] == pytest.approx(0.7)
        assert row["std"] == pytest.approx(0.1 * 2**0.5)
        assert row["collections"] == {"one": 0.8, "other": 0.6}
        assert row["low"] < 0.7 < row["high"]
        assert script.drop({"pretraining": before, "shifted": after})["value"] == pytest.approx(0.2)

    def test_models_that_answer_alike_drop_alike_with_certainty(self, script: ModuleType) -> None:
        alike = {"pretraining": answers(0.8, 0.6), "shifted": answers(0.5, 0.5)}
        difference = script.difference_of_drops({"picto": alike, "picto-unconfounded": alike})
        assert (difference["value"], difference["low"], difference["high"]) == (0, 0, 0)

    def test_a_difference_of_drops_is_taken_picture_by_picture(self, script: ModuleType) -> None:
        falling = {"pretraining": answers(0.8, 0.6), "shifted": answers(0.5, 0.3)}
        steady = {"pretraining": answers(0.6, 0.4), "shifted": answers(0.6, 0.4)}
        difference = script.difference_of_drops({"picto": falling, "picto-unconfounded": steady})
        assert difference["value"] == pytest.approx(0.3)
        # Four of five pictures are answered alike: on pictures of its own for each, the interval would be wider.
        apart = [script.drop(cells) for cells in (falling, steady)]
        unpaired = np.hypot(*(row["high"] - row["low"] for row in apart))
        assert 0 < difference["high"] - difference["low"] < 0.8 * unpaired

    def test_levels_are_those_of_the_pictures(self, script: ModuleType) -> None:
        part = PictoWorld(("mammals",), strength=0.0).sample(300, rng=np.random.default_rng(0))
        right = part.levels["style"] == 2
        rows = script.by_level([right], [part], "style")
        assert rows["line"]["value"] == 1
        assert {row["value"] for level, row in rows.items() if level != "line"} == {0}
        assert sum(row["n"] for row in rows.values()) == 300

    def test_a_level_that_a_collection_lacks_is_a_mean_over_the_others(self, script: ModuleType) -> None:
        world = PictoWorld(("mammals",), strength=0.0)
        parts = [world.sample(50, do={"style": style}, rng=np.random.default_rng(0)) for style in ("line", "grey")]
        rows = script.by_level([np.ones(50, bool), np.zeros(50, bool)], parts, "style")
        assert {level: row["value"] for level, row in rows.items()} == {"line": 1, "grey": 0}

    def test_a_smoke_run_writes_nothing(
        self, script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(script, "write_json", lambda *_: pytest.fail("a smoke run wrote"))
        script.main(smoke=True)
        assert "goal in pretraining" in capsys.readouterr().out


class TestCommittedResult:
    @pytest.mark.parametrize("name", ["picto", "picto-unconfounded"])
    def test_it_is_of_the_weights_beside_it(self, name: str) -> None:
        assert RESULT["models"][name]["fingerprint"] == cdc.load_backbone(name).fingerprint

    def test_it_meets_the_goal(self, script: ModuleType) -> None:
        model = RESULT["models"]["picto"]
        assert model["zero_shot"]["pretraining"]["value"] >= script.GOAL
        assert model["drop"]["low"] > 0.1
        assert all(
            model["zero_shot"]["pretraining"]["collections"][name] > model["zero_shot"]["shifted"]["collections"][name]
            for name in RESULT["classes"]
        )

    def test_the_twin_does_not_fall(self) -> None:
        drop = RESULT["models"]["picto-unconfounded"]["drop"]
        assert abs(drop["value"]) < 0.03
        assert RESULT["difference_of_drops"]["low"] > 0.1
