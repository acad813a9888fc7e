"""Every section of a report, for diagnoses with and without causes, of any number of factors, and with bad names."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from causalvlm.diagnosis.audit.verdicts import Finding
from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.diagnosis.findings import headline, limits, say_front_door, say_misalignment, summarize
from causalvlm.diagnosis.front_door import CANNOT_KNOW, REMEDIES, Group, ImageEffect
from causalvlm.diagnosis.ladder import RUNGS
from causalvlm.diagnosis.misalignment import Example, Followed, Match, Misalignment
from causalvlm.diagnosis.settings import Setting
from causalvlm.embeddings.model import Model
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.figures.ladder import LONGEST_NAME, SHOWN_FACTORS, draw_ladder
from causalvlm.figures.style import to_bytes
from causalvlm.graphs.graph import CausalGraph
from causalvlm.intervals import Estimate, Shift
from causalvlm.refutation.verdict import Verdict, Verdicts
from causalvlm.report.sections import MARKS, RUNG_NAMES
from causalvlm.report.write import render_report, to_html, to_record
from tests.causalvlm.report.policy import require_closed

ROWS = 220
NAMES = ("cat", "dog")
HOSTILE = ("<script>alert(1)</script>", "</td><img src=https://x.invalid>", '"><base href="//x.invalid">', "$x_{$")


def classify(features):
    """Cats are cats by day: the second number says how much of a dog it is, the first how light."""
    dog = 8 * (features[:, 1] - 0.5 + 0.6 * (features[:, 0] < 0.5))
    return np.column_stack([-dog, dog])


def answer(pictures):
    return classify(np.array([np.asarray(picture, dtype=float)[0, 0] for picture in pictures]) / 255)


def world(*, factors=("light",), levels=("day", "night"), names=NAMES, files=()):
    """A table, its model, and how its first factor is set."""
    rng, labels = np.random.default_rng(0), np.arange(ROWS) % 2
    bright = np.arange(ROWS) // 2 % 2 == 0
    look = np.clip(rng.normal(0.35 + 0.3 * labels, 0.1), 0, 1)
    features = np.column_stack([bright, look, rng.normal(size=(ROWS, 3))]).astype(float)
    chosen = [bright, *(rng.random(ROWS) < 0.5 for _ in factors[1:])]
    columns = {name: np.where(one, *levels) for name, one in zip(factors, chosen, strict=True)}
    table = EmbeddingTable(features, classify(features), labels, columns, names, files=files)

    def picture(row, level):
        return Image.new("RGB", (4, 4), (255 * (level == levels[0]), int(255 * look[row]), 0))

    setting = Setting(levels, "re-rendered", "the light", picture)
    model = Model(names, answer, None, classify, "a photo of a {}.", lambda _: classify)
    return table, model, {factors[0]: setting}


def ask(*, causes=True, graph=None, **more):
    table, model, settings = world(**more)
    name, level = next(iter(settings)), more.get("levels", ("day", "night"))[0]
    asked = {"model": model, "settings": settings} if causes else {}
    return diagnose(table, reference={name: level}, graph=graph, causes=causes, folds=3, **asked)


@pytest.fixture(scope="module")
def full():
    return ask(factors=("light", "two_words"))


@pytest.fixture(scope="module")
def page(full):
    return to_html(full, {"seed": 7})


def test_with_causes_every_section_has_something_to_say(page):
    titles = (
        "What stands behind each rung",
        "What to do",
        "Where it fails worst",
        "The causal graph, and what it rests on",
        "What the image does to its true label, through S",
        "In words",
        "What this does not show",
        "All factors",
        "Settings",
    )
    places = [page.index(f"<h2>{title}</h2>") for title in titles]
    assert places == sorted(places)
    require_closed(page)
    assert page.count("data:image/svg+xml") == 2
    assert "two words" in page
    assert "This graph implies no independence" in page


def test_the_first_screen_has_the_ladder_the_sentence_and_the_lights(full, page):
    first = page[: page.index("What stands behind")]
    light = full.factors[0]
    assert light.ladder.light == "red"
    assert light.ladder.sentence.replace("'", "&#39;") in first
    assert '<p class="headline">What moves its answers most is light.' in first
    (row,) = re.findall(r'<tr class="red">(.*?)</tr>', first, re.DOTALL)
    assert MARKS["red"] in row
    answers = [light.ladder.rungs[rung].answer for rung in RUNGS]
    assert re.findall(r'<td class="(?:good|bad|unknown)" title="[^"]*">(\w+)</td>', row) == answers
    for name in RUNG_NAMES:
        assert f"<th>{name}</th>" in first


def test_the_rungs_their_reasons_and_the_examples_are_shown(full, page):
    light = full.factors[0]
    assert light.evidence.pairs
    assert page.count("<figcaption>") == len(light.evidence.pairs)
    assert "cat: at day taken for cat, at night for <strong>dog</strong>" in page
    for factor in full.factors:
        for rung in factor.ladder.rungs.values():
            assert rung.reason.replace("'", "&#39;") in page


def test_remedies_that_help_and_those_that_do_not_are_told_apart(full, page):
    assert {one.kind for one in full.remedies} == {"erase", "prompts", "collect", "adapt"}
    for one in full.remedies:
        assert one.advice.replace("'", "&#39;") in page
    useless = tuple(one for one in full.remedies if one.kind == "prompts")  # these prompts change nothing
    assert not any(one.helps for one in useless)
    hopeless = to_html(replace(full, remedies=useless), {})
    assert "not for certain" in hopeless
    assert re.search(r"Nothing that was tried here certainly helps\s+with light\.", hopeless)
    trained = replace(full.remedies[0], kind="train", at_level=Shift(0.1, 0.05, 0.2, 0.01))
    assert "accuracy, not the effect" not in to_html(replace(full, remedies=(trained,)), {})
    wider = replace(trained, effect=Shift(-0.1, -0.2, -0.05, 0.01))
    assert "accuracy, not the effect" in to_html(replace(full, remedies=(wider,)), {})
    none = to_html(replace(full, remedies=()), {})
    assert "Nothing that was tried" not in none
    assert "What to do" not in none


def test_without_causes_no_section_claims_any():
    found = ask(causes=False)
    bare = to_html(found, {})
    require_closed(bare)
    for title in ("behind each rung", "What to do", "The causal graph", "data:image/svg", 'class="headline"'):
        assert title not in bare
    for title in ("In words", "What this does not show", "Where it fails worst"):
        assert title in bare
    assert headline(found) == ()
    assert not any("estimate" in one for one in limits(found))


def test_a_graph_of_ones_own_is_shown_with_what_it_implies_and_what_is_refused():
    graph = CausalGraph("Y -> X; light -> X; X -> Y_hat; light <-> Y_hat; other -> X")
    found = ask(factors=("light", "other"), graph=graph)
    shown = to_html(found, {})
    require_closed(shown)
    assert "<code>light _||_ other</code>" in shown
    assert len(found.independencies) == 3
    assert shown.count("not rejected") == sum(not one.rejected for one in found.independencies)
    light = next(one for one in found.factors if one.factor == "light")
    refusal = light.evidence.effect.refusal
    assert "not identified" in refusal
    assert refusal.replace(">", "&gt;").replace("<", "&lt;") in shown
    rejected = replace(found, independencies=tuple(replace(one, rejected=True) for one in found.independencies))
    assert to_html(rejected, {}).count('<span class="bad">rejected</span>') == 3
    untested = replace(found.independencies[0], p_value=None, reason="too <many> levels")
    assert "not tested: too &lt;many&gt; levels" in to_html(replace(found, independencies=(untested,)), {})


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_factors_levels_and_classes_are_text_everywhere(name):
    other = name[::-1]
    found = ask(factors=(name, "two"), levels=(name, other), names=(name, other))
    assert found.remedies
    assert found.worst
    shown = to_html(found, {})
    require_closed(shown)
    assert "<script" not in shown
    assert "<base" not in shown


@pytest.mark.parametrize("count", [0, 1, 2, 5, SHOWN_FACTORS, SHOWN_FACTORS + 3])
def test_the_ladder_figure_takes_any_number_of_factors(full, count):
    figure = draw_ladder(replace(full, factors=tuple(full.factors[place % 2] for place in range(count))))
    assert to_bytes(figure, "svg").startswith(b"<?xml")
    (axes,) = figure.axes
    assert len(axes.get_yticks()) == min(count, SHOWN_FACTORS)
    assert [text.get_text() for text in axes.texts] == ([] if count else ["no effect could be told"])


def test_the_ladder_figure_shows_the_intervals_of_the_diagnosis_largest_on_top(full):
    (axes,) = draw_ladder(full).axes
    effects = sorted((one.ladder.effect for one in full.factors), key=lambda one: -abs(one.value))
    ends = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert ends[1:] == [(100 * one.low, 100 * one.high) for one in effects]  # the first is the line at zero
    assert [label.get_text().split(":")[0].strip() for label in axes.get_yticklabels()] == ["light", "two words"]


def test_the_ladder_figure_has_room_for_lines_beside_the_longest_names(full):
    long = tuple(replace(one, factor=200 * "x") for one in full.factors)
    figure = draw_ladder(replace(full, factors=long))
    to_bytes(figure)
    (axes,) = figure.axes
    assert {len(label.get_text()) for label in axes.get_yticklabels()} == {LONGEST_NAME}
    assert axes.get_position().width > 0.2


def test_images_that_cannot_be_read_any_more_are_left_out_of_the_page(tmp_path):
    files = tuple(tmp_path / f"{row:03d}.png" for row in range(ROWS))
    for row, file in enumerate(files):
        if row % 3 == 0:
            Image.new("RGB", (4, 4)).save(file)
        elif row % 3 == 1:
            file.write_bytes(b"no image")
    found = ask(files=files)
    shown = [file for cell in found.worst for file in cell.files]
    readable = [file for file in shown if int(Path(file).stem) % 3 == 0]
    assert 0 < len(readable) < len(shown)
    text = render_report(found, tmp_path / "report.html").read_text()
    require_closed(text)
    assert text.count('title="taken for') == len(readable)


def test_limits_name_what_the_effects_rest_on(full):
    said = " ".join(limits(full))
    assert "Factors that nobody labelled" in said
    assert "assumes that the graph holds" in said  # of the factor that could not be set
    assert "Erasing a direction" in said
    assert "edited image" not in said
    alone = replace(full, factors=full.factors[:1])
    assert "assumes that the graph holds" not in " ".join(limits(alone))


def test_the_headline_names_the_red_factors_and_says_unknown_where_there_is_none(full):
    (said,) = headline(full)
    assert said.startswith("What moves its answers most is light. At 'night' accuracy is ")
    assert said in summarize(full)
    (calm,) = headline(replace(full, factors=full.factors[1:]))
    assert calm.startswith("No factor certainly makes it fail")
    assert ("unknown for two words" in calm) == (full.factors[1].ladder.light != "green")
    also = replace(full.factors[0], factor="the_lamp")
    assert headline(replace(full, factors=(full.factors[0], also)))[0].endswith("It also pays for the lamp.")


def test_every_number_can_be_saved_from_the_page(full, page):
    (link,) = re.findall(r'<a href="data:application/json;base64,([^"]*)" download="diagnosis.json">', page)
    saved = json.loads(base64.b64decode(link))
    assert saved == {**json.loads(json.dumps(to_record(full))), "provenance": {"seed": 7}}


def through_s(**more):
    thin = Finding("cannot tell", 0.05, 0.02, 0.1, None, "share", "shares", "Overlap is thin.")
    known = {
        "n": 400, "mediator": "log-probabilities of 2 classes by zero-shot", "treated": "group 1", "control": "group 2",
        "groups": (Group("group 1", 250, (("cat", 0.7),), ()), Group("group 2", 150, (("dog", 0.9),), ())),
        "outcome": "cat", "association": Estimate(0.6, 0.5, 0.7), "checks": {"overlap": thin},
        "adjusted_for": ("light",), "back_door": Shift(0.31, 0.2, 0.4, 1e-6),
    }  # fmt: skip
    return ImageEffect(**{**known, **more})


def test_the_front_door_is_shown_as_a_number_with_what_it_rests_on_or_as_a_refusal(full):
    shift = Shift(0.25, 0.11, 0.4, 0.001)
    passed, failed = (Verdicts([Verdict("leak from light", one, 0.1, "because")]) for one in ("passed", "failed"))
    shown = {
        "estimated": through_s(front_door=shift, verdicts=passed),
        "refuted": through_s(front_door=shift, verdicts=failed, remedy=REMEDIES["leak"]),
        "refused": through_s(refusal="S all but determines X", remedy=REMEDIES["overlap"]),
    }
    for status, effect in shown.items():
        assert effect.status == status
        page = to_html(replace(full, front_door=effect), {})
        require_closed(page)
        section = page[page.index("What the image does") : page.index("<h2>In words")]
        assert say_front_door(effect).replace("'", "&#39;") in section
        assert "Overlap is thin." in section
        assert "+31" in section
        assert ("+25" in section) == (status != "refused")
        assert all(limit in section.replace("&#39;", "'") for limit in CANNOT_KNOW)
    assert "What could not be told: overlap." in say_front_door(shown["estimated"])
    assert "refuted: leak from light" in say_front_door(shown["refuted"])
    assert "refused, because S all but determines X. S and X are" in say_front_door(shown["refused"])
    assert "What the image does" not in to_html(replace(full, front_door=None), {})


def test_misalignment_is_shown_with_its_texts_and_what_answers_follow(full):
    told, asked = (
        Match(part, f"a {part}.", Estimate(share, share - 0.1, share + 0.05), 0.5, Estimate(1.0, 0.5, 1.5))
        for part, share in (("description", 0.9), ("class", 0.6))
    )
    light = Match("light", "a picture, day.", Estimate(0.7, 0.6, 0.8), 0.5, Estimate(0.1, 0.0, 0.2))
    example = Example("", "a <b>cat</b>, day.", "cat", "dog")
    follows = (Followed("light", 0.42, 0.01), Followed("two_words", 0.0, 1.0))
    found = Misalignment(
        99, "{class}, {light}", told, asked, (light,), Shift(0.3, 0.2, 0.4, 0.001), Estimate(0.35, 0.2, 0.5), follows,
        (("take", "'1' is no word"),), example,
    )  # fmt: skip
    page = to_html(replace(full, misalignment=found), {})
    require_closed(page)
    section = page[page.index("Do the prompts ask") : page.index("<h2>What to do")]
    for words in ("what answers follow most is light", "42&nbsp;%", "a picture, day.", "two words", "is no word"):
        assert words in section
    assert "certainly follow no factor" in say_misalignment(replace(found, follows=follows[1:]))
    assert repr(found) == "<Misalignment on 99 images: description 90%, class 60%>"
    assert "30 points more (20 to 40) by the description" in section
    assert say_misalignment(replace(found, gap=Shift(0.1, -0.1, 0.3, 0.4))).startswith(
        "No task misalignment is certain"
    )
    assert "Do the prompts ask" not in to_html(replace(full, misalignment=None), {})
