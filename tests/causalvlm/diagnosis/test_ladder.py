"""The rungs of a ladder: each answer for the evidence it is meant for, and nothing claimed that is not certain."""

import json
from dataclasses import replace

import numpy as np
import pytest

from causalvlm.diagnosis.association import associate
from causalvlm.diagnosis.effects import FactorEffect
from causalvlm.diagnosis.evidence import AdjustedPValues, Evidence
from causalvlm.diagnosis.interventions import Intervention
from causalvlm.diagnosis.ladder import LIGHTS, RUNGS, Ladder, climb
from causalvlm.intervals import Shift, paired_shares, wilson
from causalvlm.probes.erasure import Erasure
from causalvlm.probes.linear import fit_probe
from causalvlm.refutation.verdict import Verdict, Verdicts

SURE, UNSURE = 1e-6, 0.5
DEAF = Shift(0.0, 0.0, 0.0, 1.0)


def probe_of(*, seen, rows=240):
    """A probe of a two-level factor that features hold as far as `seen` says."""
    rng, labels = np.random.default_rng(0), np.arange(rows) % 2
    night = np.arange(rows) // 2 % 2
    features = rng.normal(size=(rows, 3)) + seen * np.outer(night, [1, 0, 0])
    return fit_probe(features, np.array(["day", "night"])[night], labels, name="light", folds=3, rng=rng)


SEEN, UNSEEN = probe_of(seen=4.0), probe_of(seen=0.0)
CROSSED = associate(np.tile(["day", "night"], 2000), np.repeat(["cat", "dog"], 2000))
TIED = associate(np.repeat(["day", "night"], 50), np.repeat(["cat", "dog"], 50))
FEW = associate(np.repeat(["day", "night"], [9, 7]), np.tile(["cat", "dog"], 8))


def made(level="night", *, n=200, worse=0, better=0, how="edited"):
    """Setting a factor in `n` images: so many go from right to wrong, so many from wrong to right."""
    before, after = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
    after[:worse] = False
    before[n - better :] = False
    flips = wilson((worse + better) / n, n)
    accuracy = paired_shares(after, before)
    return Intervention("light", level, "day", how, "the lamp", n, wilson(1.0, n), DEAF, accuracy, flips, ())


def estimated(value=-0.2, error=0.03, *, sure=True, verdicts=None, level="night"):
    shift = Shift(value, value - 1.96 * error, value + 1.96 * error, SURE if sure else UNSURE)
    adjusted = SURE if sure else UNSURE
    return FactorEffect("light", level, "day", "a sum", (), shift, 500, verdicts=verdicts, adjusted=adjusted)


REFUSED = FactorEffect("light", None, "day", "", (), None, 500, refusal="the levels must overlap.")


def verdict(name, outcome):
    return Verdict(name, outcome, 0.0, "a reason")


def erased(flips, *, n=500):
    random = wilson(0.01, n)
    return Erasure("light", n, 1, DEAF, 0.5, random, wilson(flips, n), random, SURE, 99)


def evidence(probe=UNSEEN, association=CROSSED, *, interventions=(), sure=True, **more):
    """All p-values are small if `sure`, else large."""
    p_value = SURE if sure else UNSURE
    adjusted = AdjustedPValues(
        bits=p_value,
        association=p_value,
        changes={one.level: p_value for one in interventions},
        accuracy={one.level: p_value for one in interventions},
        erasure=p_value,
    )
    return Evidence(probe, association, adjusted, interventions=tuple(interventions), **more)


def answers(ladder: Ladder) -> dict[str, str]:
    return {name: rung.answer for name, rung in ladder.rungs.items()}


def narrow(probe, *, low, high):
    return replace(probe, bits=Shift((low + high) / 2, low, high, UNSURE))


@pytest.mark.parametrize(
    ("given", "rung", "answer", "reason"),
    [
        (evidence(SEEN), "decodable", "yes", "of 1.00 bits"),
        (evidence(SEEN, sure=False), "decodable", "unknown", "could read up to"),
        (evidence(narrow(UNSEEN, low=-0.01, high=0.01), sure=False), "decodable", "no", "at most 0.01"),
        (evidence(narrow(UNSEEN, low=-0.2, high=-0.1)), "decodable", "no", "at most 0.00"),
        (evidence(narrow(UNSEEN, low=-0.05, high=0.05), sure=False), "decodable", "unknown", "0.05"),
        (evidence(), "used", "unknown", "cannot be set in these images"),
        (evidence(interventions=[made(worse=60)]), "used", "yes", "changes 30 % of 200 answers (24 to 37 %)"),
        (evidence(interventions=[made(worse=6)], sure=False), "used", "unknown", "which may be nothing"),
        (evidence(interventions=[made()], sure=False), "used", "no", "editing the image from 'day' to 'night'"),
        (evidence(interventions=[made(n=150)], sure=False), "used", "unknown", "which may be nothing"),
        (evidence(interventions=[made(), made("dusk", n=60)], sure=False), "used", "unknown", "may be nothing"),
        (evidence(interventions=[made(worse=60, how="re-rendered")]), "used", "yes", "drawing the picture again"),
        (evidence(erasure=erased(0.3)), "used", "yes", "erasing its 1 directions changes 30 % of answers"),
        (evidence(erasure=erased(0.3), sure=False), "used", "unknown", "other traces of it may be used"),
        (evidence(erasure=erased(0.0)), "used", "unknown", "other traces of it may be used"),
        (evidence(association=TIED), "confounded", "yes", "Cramér's V with the class 1.00"),
        (evidence(association=TIED, sure=False), "confounded", "unknown", "1.00"),
        (evidence(association=CROSSED, sure=False), "confounded", "no", "0.00 (0.00 to 0.0"),
        (evidence(association=FEW, sure=False), "confounded", "unknown", "0.00 (0.00 to "),
        (evidence(), "identified", "unknown", "it was not asked"),
        (evidence(effect=REFUSED), "identified", "no", "the levels must overlap."),
        (evidence(effect=estimated()), "identified", "yes", "by a sum, if the graph holds"),
        (evidence(effect=REFUSED, interventions=[made()]), "identified", "yes", "set in the images (edited)"),
        (evidence(), "survives", "unknown", "no effect to refute"),
        (evidence(effect=REFUSED), "survives", "unknown", "no effect to refute"),
        (evidence(effect=estimated(sure=False)), "survives", "unknown", "no effect is certain"),
        (evidence(effect=estimated(), interventions=[made(worse=40)]), "survives", "yes", "moves by −20 points"),
        (evidence(effect=estimated(), interventions=[made()]), "survives", "no", "+0 points, as estimated"),
        (evidence(effect=estimated(level="dusk"), interventions=[made()]), "survives", "unknown", "do not say"),
        (evidence(effect=REFUSED, interventions=[made()]), "survives", "unknown", "do not say"),
    ],
)  # fmt: skip
def test_a_rung(given, rung, answer, reason):
    found = climb(given).rungs[rung]
    assert (found.answer, reason in found.reason) == (answer, True), found


@pytest.mark.parametrize(
    ("outcomes", "answer", "reason"),
    [
        ({"placebo": "passed", "subset": "inconclusive"}, "yes", "withstood all 1 attempts"),
        ({"placebo": "failed", "subset": "passed"}, "no", "failed: placebo"),
    ],
)
def test_what_refuters_say_of_an_estimate(outcomes, answer, reason):
    verdicts = Verdicts(verdict(name, outcome) for name, outcome in outcomes.items())
    ladder = climb(evidence(effect=estimated(verdicts=verdicts)))
    assert (ladder.rungs["survives"].answer, ladder.light) == (answer, "red" if answer == "yes" else "amber")
    assert reason in ladder.rungs["survives"].reason


@pytest.mark.parametrize(
    ("given", "light", "sentence"),
    [
        (evidence(interventions=[made(worse=60)]), "red", "At 'night' accuracy is 30 points lower"),
        (evidence(interventions=[made(better=60)]), "red", "30 points higher"),
        (evidence(effect=estimated()), "red", "with the class and what else is listed held fixed."),
        (evidence(interventions=[made()], sure=False), "green", "it makes no difference that matters."),
        (evidence(effect=estimated(0.0, 0.005, sure=False)), "green", "no difference that matters."),
        (evidence(interventions=[made(worse=30, better=30)]), "amber", "points"),
        (evidence(SEEN, TIED, effect=estimated(sure=False)), "amber", "nothing certain."),
        (evidence(SEEN, TIED), "amber", "is not known: it was not asked"),
        (evidence(UNSEEN, TIED, sure=False), "unknown", "What it does to the answers is not known"),
        (evidence(effect=REFUSED, sure=False), "unknown", "is not known: the levels must overlap."),
        (evidence(effect=estimated(sure=False), sure=False), "unknown", "nothing certain."),
        (evidence(interventions=[made(worse=4)], sure=False), "unknown", "nothing certain."),
    ],
)
def test_the_light_and_the_sentence(given, light, sentence):
    if light == "amber" and given.interventions:
        given = replace(given, adjusted=replace(given.adjusted, accuracy={"night": UNSURE}))
    ladder = climb(given)
    assert (ladder.light, sentence in ladder.sentence) == (light, True), ladder


def test_what_setting_and_estimating_contradict_is_not_red():
    """Estimated to gain 20 points, it loses 20 when it is set: one of the two is wrong, and the sentence says so."""
    ladder = climb(evidence(effect=estimated(0.2), interventions=[made(worse=40)]))
    assert (ladder.rungs["survives"].answer, ladder.effect.certain) == ("no", True)
    assert ladder.light == "amber"
    assert "but that is contradicted: set to 'night'" in ladder.sentence
    assert climb(evidence(effect=estimated(-0.2), interventions=[made(worse=40)])).light == "red"


def test_what_is_contradicted_by_chance_alone_survives():
    ladder = climb(evidence(effect=estimated(-0.25), interventions=[made(worse=40)]))
    assert ladder.rungs["survives"].answer == "yes"


def test_the_effect_is_that_of_the_certain_level_that_moves_most():
    levels = [made("dusk", worse=20), made("night", worse=60), made("fog", n=20, worse=15)]
    given = evidence(interventions=levels)
    given = replace(given, adjusted=replace(given.adjusted, accuracy={"dusk": SURE, "night": SURE, "fog": UNSURE}))
    ladder = climb(given)
    effect = ladder.effect
    assert (effect.level, effect.reference, effect.how, effect.certain) == ("night", "day", "edited", True)
    assert effect.value == pytest.approx(-0.3)
    unsure = climb(evidence(interventions=levels, sure=False))
    assert (unsure.effect.level, unsure.effect.certain, unsure.light) == ("fog", False, "unknown")
    assert "nothing certain" in unsure.sentence


def test_setting_is_believed_before_an_estimate():
    ladder = climb(evidence(effect=estimated(-0.4), interventions=[made(worse=60)]))
    assert (ladder.effect.how, ladder.effect.value) == ("edited", pytest.approx(-0.3))
    assert climb(evidence(effect=estimated(-0.4))).effect.how == "back-door"


def test_a_certain_effect_that_is_negligible_is_not_red():
    ladder = climb(evidence(effect=estimated(-0.01, 0.001)))
    assert ladder.effect.certain
    assert ladder.light == "green"


@pytest.mark.parametrize(
    "given",
    [
        evidence(),
        evidence(sure=False),
        evidence(SEEN, TIED, effect=REFUSED, erasure=erased(0.4)),
        evidence(SEEN, effect=estimated(), interventions=[made(worse=60)]),
    ],
)
def test_the_record_has_an_answer_for_every_rung_and_one_effect(given):
    ladder = climb(given)
    record = json.loads(json.dumps({**given.to_record(), **ladder.to_record()}, allow_nan=False))
    assert {record[rung] for rung in RUNGS} <= {"yes", "no", "unknown"}
    assert {rung: record[rung] for rung in RUNGS} == answers(ladder)
    assert set(record["reasons"]) == set(RUNGS)
    assert all(record["reasons"].values())
    assert record["light"] in LIGHTS
    assert isinstance(record["reason"], str)
    assert record["reason"] == ladder.sentence
    if ladder.effect is None:
        assert record["effect"] is None
    else:
        assert {"value", "low", "high", "how"} <= set(record["effect"])
        assert record["effect"]["low"] <= record["effect"]["value"] <= record["effect"]["high"]
        assert record["effect"]["how"] in ("back-door", "edited", "re-rendered")
