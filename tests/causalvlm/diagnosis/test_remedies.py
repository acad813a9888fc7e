"""Remedies help where they were planted to help, and nowhere else; the worst cells and their images are the right ones.

The embedding holds the class, the light and noise; night takes from the class what the classifier reads along with it.
"""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binom

from causalvlm.diagnosis.columns import Columns, labelled_columns
from causalvlm.diagnosis.interventions import intervene
from causalvlm.diagnosis.ladder import StatedEffect
from causalvlm.diagnosis.levels import Answers, diagnose_cell
from causalvlm.diagnosis.pairs import SHOWN_PAIRS, SIDE, find_pairs, small_png
from causalvlm.diagnosis.remedies import FEW_IMAGES, MOST_PROMPTS, find_remedies
from causalvlm.diagnosis.settings import Setting
from causalvlm.diagnosis.worst import SHOWN_CELLS, SHOWN_IMAGES, find_worst
from causalvlm.embeddings.model import Model, model_from
from causalvlm.embeddings.table import EmbeddingTable

NAMES = ("cat", "cow", "dog")
ROWS, DIM = 300, 12
LIGHT = 5
"""The number in an embedding that holds the light."""


def classify(features):
    """The class, and dogs the more so the darker it is."""
    logits = features[:, :3].astype(float)
    logits[:, 2] += features[:, LIGHT]
    return logits


def fair(features):
    return features[:, :3].astype(float)


def table_of(seed=0, *, pull=2.5, levels=("day", "night"), rows=ROWS, answer=classify):
    """The light is `pull` in the embeddings of the last level, and pulls answers as far towards dogs."""
    rng = np.random.default_rng(seed)
    labels, level = np.arange(rows) % 3, np.arange(rows) // 3 % len(levels)
    features = rng.normal(0, 0.6, size=(rows, DIM)) + 2 * np.eye(DIM)[labels]
    features[:, LIGHT] += pull * (level == len(levels) - 1)
    files = tuple(Path(f"{row:03d}.png") for row in range(rows))
    return EmbeddingTable(
        features, answer(features), labels, {"light": np.array(levels)[level]}, NAMES, files=files
    )  # fmt: skip


def night(value=-0.3):
    return {"light": StatedEffect(value, value - 0.05, value + 0.05, "back-door", "night", "day", True)}


def remedies(table, model, effects=None, *, seed=0):
    found = find_remedies(labelled_columns(table), effects or night(), model, rng=np.random.default_rng(seed))
    return {one.kind: one for one in found}


def embedding_model(classify=classify, *, reword=None, template="a photo of a {}."):
    return Model(NAMES, lambda pictures: np.zeros((len(pictures), 3)), None, classify, template, reword)


def test_erasing_a_planted_direction_helps_and_says_so():
    table = table_of()
    found = remedies(table, embedding_model())["erase"]
    here = table.factors["light"] == "night"
    before = table.correct[here].mean()
    assert (found.tried, found.helps) == (True, True)
    assert found.at_level.low > 0
    alike = table.features.copy()
    alike[:, LIGHT] = alike[:, LIGHT].mean()  # what is erased is brought to where all images are on average
    after = (classify(alike[here]).argmax(axis=1) == table.labels[here]).mean()
    assert before + found.at_level.value == pytest.approx(after, abs=0.05)
    assert found.overall.value > 0
    assert found.advice.startswith("erase the direction of light from the embeddings: all images")
    assert "points higher" in found.advice.split("at 'night'")[1]
    assert found.to_record()["helps"] is True


def fair_accuracy(table, rows):
    return (fair(table.features[rows]).argmax(axis=1) == table.labels[rows]).mean()


def test_in_a_harmless_world_nothing_helps_for_certain():
    """The light is in the embedding, but the classifier does not read it: erasing it only disturbs."""
    worlds, helped = 30, 0
    for seed in range(worlds):
        table = table_of(seed, rows=150, answer=fair)
        helped += remedies(table, embedding_model(fair), seed=seed)["erase"].helps
    assert helped <= binom.ppf(0.999, worlds, 0.05)


def test_a_level_that_gains_is_mended_at_the_reference():
    """Answers are better at night than by day: the day pays."""
    found = remedies(table_of(), embedding_model(), night(0.3))
    assert "at 'day'" in found["erase"].advice
    assert "'day'" in found["collect"].advice


def test_prompts_that_name_the_levels_are_asked_of_zero_shot_alone():
    asked = []

    def reword(templates):
        asked.append(tuple(templates))
        return fair

    table = table_of(levels=("bright_day", "night"))
    found = remedies(table, embedding_model(reword=reword))["prompts"]
    assert asked == [("a photo of a {}, bright day.", "a photo of a {}, night.")]
    assert found.helps
    here = table.factors["light"] == "night"
    assert found.at_level.value == pytest.approx(fair_accuracy(table, here) - table.correct[here].mean(), abs=0.02)
    assert found.advice.startswith("average the prompts over bright day, night: ")
    assert "prompts" not in remedies(table, embedding_model())
    many = table_of(levels=tuple(f"hour {hour}" for hour in range(MOST_PROMPTS + 1)), rows=390)
    assert "prompts" not in remedies(many, embedding_model(reword=reword))


def test_levels_measured_from_pixels_are_not_named_in_prompts():
    columns = labelled_columns(table_of())
    (column,) = columns.factors.values()
    measured = Columns(columns.table, {"light": type(column)(column.levels, "pixels")})
    model = embedding_model(reword=lambda _: fair)
    found = find_remedies(measured, night(), model, rng=np.random.default_rng(0))
    assert [one.kind for one in found] == ["erase", "collect", "adapt"]


def test_without_a_model_that_reads_embeddings_nothing_is_tried():
    table, pixels = table_of(), model_from(lambda pictures: np.full((len(pictures), 3), 1 / 3), NAMES)
    for model in (None, pixels):
        found = remedies(table, model)
        assert set(found) == {"collect", "adapt"}
        assert not any(one.tried or one.helps or one.overall for one in found.values())
    assert remedies(table, None)["adapt"].advice.startswith("train CDC on images at all levels of light")
    assert find_remedies(labelled_columns(table), {}, None, rng=np.random.default_rng(0)) == ()


def test_where_each_class_has_one_level_erasing_is_not_tried():
    table = table_of()
    light = np.where(table.labels == 1, "night", "day")
    tied = EmbeddingTable(table.features, table.logits, table.labels, {"light": light}, NAMES)
    assert "erase" not in remedies(tied, embedding_model())


def test_the_classes_that_lack_images_are_named_with_their_counts():
    table = table_of()
    full = remedies(table, None)["collect"].advice
    assert "every class has 50 images or more at 'night'" in full
    light = table.factors["light"].copy()
    for name, kept in (("cat", 0), ("dog", 3)):
        rows = np.flatnonzero((table.labels == NAMES.index(name)) & (light == "night"))
        light[rows[kept:]] = "day"
    few = EmbeddingTable(table.features, table.logits, table.labels, {"light": light}, NAMES)
    assert remedies(few, None)["collect"].advice == "collect images at 'night' of cat (0), dog (3)"


def test_of_many_classes_that_lack_images_the_first_are_named():
    names = tuple(f"class {place}" for place in range(12))
    labels = np.arange(24) % 12
    light = np.where(np.arange(24) < 12, "day", "night")
    table = EmbeddingTable(np.eye(24), np.eye(24)[:, :12], labels, {"light": light}, names)
    advice = remedies(table, None)["collect"].advice
    assert FEW_IMAGES > 1
    assert advice.count("(1)") == 8
    assert advice.endswith("class 7 (1) and 4 more")


def cells_of(table):
    columns, answers = labelled_columns(table), Answers.of(table)
    day, dark = (answers.where(columns.factors["light"].levels == level) for level in ("day", "night"))
    found = [diagnose_cell("night", label, dark, day) for label in range(len(table.class_names))]
    return columns, {"light": [cell for cell in found if cell]}


def test_the_worst_cells_are_those_that_lose_most_and_show_what_is_most_wrong():
    table = table_of()
    columns, cells = cells_of(table)
    found = find_worst(columns, cells)
    assert {cell.class_name for cell in found} == {"cat", "cow"}  # dogs gain at night
    assert [cell.margin_shift for cell in found] == sorted(cell.margin_shift for cell in found)
    for cell in found:
        rows = (table.labels == NAMES.index(cell.class_name)) & (table.factors["light"] == "night")
        wrong = [row for row in np.flatnonzero(rows) if not table.correct[row]]
        wrong.sort(key=lambda row: table.margins[row])
        assert cell.files == tuple(f"{row:03d}.png" for row in wrong[:SHOWN_IMAGES])
        assert cell.answers == tuple(NAMES[table.predicted[row]] for row in wrong[:SHOWN_IMAGES])
        assert (cell.n, cell.accuracy.value) == (rows.sum(), table.correct[rows].mean())
        assert cell.taken_for == "dog"


def test_without_files_or_without_mistakes_the_worst_cells_show_nothing():
    table = table_of(pull=1.0)
    right = table.logits + 20 * np.eye(3)[table.labels]
    columns, cells = cells_of(EmbeddingTable(table.features, right, table.labels, dict(table.factors), NAMES))
    found = find_worst(columns, cells)
    assert found
    assert {(cell.taken_for, cell.files, cell.answers) for cell in found} == {("", (), ())}


def test_cells_that_lose_nothing_for_certain_are_not_worst_and_no_more_are_shown_than_fit():
    columns, cells = cells_of(table_of(answer=fair))
    chance = find_worst(columns, cells)
    assert len(chance) <= 1
    columns, cells = cells_of(table_of())
    assert find_worst(columns, {}) == ()
    assert len(find_worst(columns, {"light": cells["light"] * 9})) == SHOWN_CELLS


def lamp(rows=40):
    """Even rows are cats by day and dogs at night, odd rows stay; every picture is as bright as its row."""
    labels = np.zeros(rows, dtype=int)

    def probabilities(pictures):
        dark = np.array(
            [np.asarray(picture)[0, 0, 2] == 0 and np.asarray(picture)[0, 0, 0] % 2 == 0 for picture in pictures]
        )
        return np.column_stack([~dark, dark]).astype(float)

    def picture(row, level):
        return Image.new("RGB", (400, 200), (row, 0, 255 * (level == "day")))

    return model_from(probabilities, ("cat", "dog")), labels, Setting(("day", "night"), "re-rendered", "it", picture)


def test_pairs_show_images_that_a_factor_makes_wrong():
    model, labels, setting = lamp()
    made = intervene(model, labels, setting, factor="light", reference="day")
    found = find_pairs(model, labels, setting, made, rng=0)
    assert len(found) == SHOWN_PAIRS
    for pair in found:
        assert (pair.answers, pair.class_name, pair.level, pair.reference) == (("cat", "dog"), "cat", "night", "day")
        assert pair.before[1:4] == pair.after[1:4] == b"PNG"
        assert pair.before != pair.after
    assert "PNG" not in repr(found[0])


def test_no_pair_is_shown_where_hardly_an_answer_changes_or_none_gets_wrong():
    model, labels, setting = lamp()
    still = model_from(lambda pictures: np.full((len(pictures), 2), 0.5), ("cat", "dog"))
    assert (
        find_pairs(still, labels, setting, intervene(still, labels, setting, factor="light", reference="day"), rng=0)
        == ()
    )
    gains = labels + 1  # dogs, that night makes right
    made = intervene(model, gains, setting, factor="light", reference="day")
    assert made[0].accuracy.value > 0.4
    assert find_pairs(model, gains, setting, made, rng=0) == ()


def test_pictures_that_cannot_be_set_are_no_pairs():
    model, labels, setting = lamp()
    made = intervene(model, labels, setting, factor="light", reference="day")
    unable = Setting(
        setting.levels, "re-rendered", "it", lambda row, level: setting.picture(row, level) if row == 4 else None
    )
    assert len(find_pairs(model, labels, unable, made, rng=0)) == 1


def test_examples_are_small_and_of_any_mode():
    for mode in ("RGB", "L", "RGBA", "P", "1"):
        with Image.open(io.BytesIO(small_png(Image.new(mode, (640, 320))))) as picture:
            assert (picture.size, picture.mode) == ((SIDE, SIDE // 2), "RGB")
    with Image.open(io.BytesIO(small_png(Image.new("RGB", (20, 10))))) as picture:
        assert picture.size == (20, 10)
