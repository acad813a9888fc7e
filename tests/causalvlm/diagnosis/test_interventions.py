"""Effects of setting a factor: known ones are found, others are not, and Picto's are those of its own interventions."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.stats import binom

import cdc
from causalvlm.datasets import load_dataset
from causalvlm.diagnosis.columns import pixel_columns
from causalvlm.diagnosis.interventions import BATCH, SWAPPED, intervene, stress
from causalvlm.diagnosis.levels import Answers, diagnose_level
from causalvlm.diagnosis.settings import Setting, picto_settings, pixel_settings
from causalvlm.embeddings.model import Model, model_from, model_of
from causalvlm.embeddings.table import EmbeddingTable, logit_margins
from causalvlm.errors import InputError
from causalvlm.intervals import CONFIDENCE
from causalvlm.probes.edits import EDITS
from causalvlm.worlds.picto.datasets import Plan, plan_dataset, write_dataset
from causalvlm.worlds.picto.effects import true_effect
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.redraw import Drawing, load_drawing
from causalvlm.worlds.picto.scm import PictoWorld

ROWS = 75
CAPTION = np.zeros((6, 40, 3), dtype=np.uint8)
CAPTION[:, ::4], CAPTION[:, 1::4] = (0, 255, 0), (0, 255, 0)


def photograph(rng, light):
    rough, fine = (ndimage.gaussian_filter(rng.normal(size=(40, 60, 3)), (blur, blur, 0)) for blur in (6, 1))
    spread = rng.uniform(0.5, 1.5)
    return (light + spread * (300 * rough + 60 * fine) + rng.uniform(0, 30) * np.array([1, 0, -1])).clip(0, 255)


@pytest.fixture(scope="module")
def columns(tmp_path_factory):
    """Textures in three classes; the bright ones have a caption four times as often as the dark ones."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    light = rng.uniform(70, 170, ROWS)
    for row in range(ROWS):
        pixels = photograph(rng, light[row]).astype(np.uint8)
        if rng.random() < (0.8 if light[row] > 120 else 0.2):
            pixels[30:36, 10:50] = CAPTION
        Image.fromarray(pixels).save(folder / f"{row:03d}.png")
    labels = np.arange(ROWS) % 3
    files = tuple(sorted(folder.iterdir()))
    table = EmbeddingTable(rng.normal(size=(ROWS, 4)), np.zeros((ROWS, 3)), labels, {}, ("a", "b", "c"), files=files)
    return pixel_columns(table, folds=3, rng=rng)


def reads(what, class_names=("a", "b", "c")):
    """A model whose answer is the first class, the more so the more there is of one thing."""

    def answer(pictures):
        amount = np.array([what(np.asarray(picture, dtype=float)) for picture in pictures])
        return np.column_stack([amount, *[np.zeros(len(amount))] * (len(class_names) - 1)])

    return Model(class_names, answer)


def brightness(pixels):
    return 10 * (pixels @ [0.299, 0.587, 0.114]).mean() / 255


def caption(pixels):
    """How much greener than red the place of the caption is."""
    return 4.0 * (pixels[30:36, 10:50, 1] - pixels[30:36, 10:50, 0] > 100).mean()


def effects(model, columns, names, **more):
    labels = np.zeros(ROWS, dtype=int)  # of the class that the model gives more to: the margin is what it reads
    settings, found = pixel_settings(columns), {}
    for name in names:
        levels = settings[name].levels
        reference = "middle" if "middle" in levels else levels[0]
        for effect in intervene(model, labels, settings[name], factor=name, reference=reference, **more):
            found[name, effect.level.split()[0]] = effect
    return found


def test_a_model_that_reads_brightness_is_moved_by_brightness_alone(columns):
    found = effects(reads(brightness), columns, ["brightness"])
    column = columns.factors["brightness"]
    middle = np.median(column.values[column.levels == "middle"])
    for level in np.unique(column.levels):
        if level != "middle":
            effect = found["brightness", level.split()[0]]
            target = np.median(column.values[column.levels == level])
            assert effect.margin.value == pytest.approx(10 * (target - middle), abs=0.1)
            assert effect.margin.p_value < 1e-9
            assert effect.moved.value > 0.95
    others = ["contrast", "saturation", "colourfulness", "sharpness", "noise"]
    for key, effect in effects(reads(brightness), columns, others, most=20).items():
        assert abs(effect.margin.value) < 0.06, key


def test_an_association_without_an_effect_is_told_apart_from_one_with(columns):
    """The model reads the caption and nothing else; bright pictures have one more often."""
    model = reads(caption)
    files, labels = columns.table.files, np.zeros(ROWS, dtype=int)
    margins = model.answer([Image.open(file) for file in files])[:, 0]
    answers = Answers(labels, labels, margins, ("a", "b", "c"))
    levels = columns.factors["brightness"].levels
    high, low = (next(level for level in np.unique(levels) if level.startswith(name)) for name in ("high", "low"))
    associated = diagnose_level(high, answers.where(levels == high), answers.where(levels == low))
    assert associated.margin_shift.low > 0.3
    found = effects(model, columns, ["brightness", "recurring mark"])
    assert abs(found["brightness", "high"].margin.value) < 0.25
    mark = found["recurring mark", "yes"]
    assert mark.margin.value == pytest.approx(2.0, abs=0.1)
    assert mark.n == (columns.factors["recurring mark"].levels == "no").sum()
    assert mark.how == "edited"


def test_only_pictures_that_measure_the_level_they_were_set_to_count(columns):
    """Sharp pictures can be blurred, blurred ones are not made sharp; noise goes the other way."""
    found = effects(reads(brightness), columns, ["noise", "sharpness"])
    for hard in (found["noise", "low"], found["sharpness", "high"]):
        assert 0.2 < hard.moved.value < 0.8
        assert hard.n == round(hard.moved.value * ROWS)
    setting = pixel_settings(columns)["contrast"]
    levels = columns.factors["contrast"].levels
    for level in setting.levels:
        values = columns.factors["contrast"].values[levels == level]
        for row in range(5):
            pixels = np.asarray(setting.picture(row, level), dtype=float)
            measured = (pixels @ [0.299, 0.587, 0.114]).std() / 255
            assert values.min() - 0.002 < measured < values.max() + 0.002


def lamp(rng, effect, *, spread=1.0):
    """Pictures whose three pixels spell row, level, and the margin that a model shall find: noise, and the effect."""
    noise = rng.normal(0, spread, size=(2, 400))

    def answer(pictures):
        row, level = np.array([np.asarray(picture)[0, :2, 0] for picture in pictures]).T
        margin = noise[level, row] + effect * level
        return np.column_stack([margin, np.zeros(len(margin))])

    def picture(row, level):
        pixels = np.zeros((1, 2, 3), dtype=np.uint8)
        pixels[0, :, 0] = row, int(level == "night")
        return Image.fromarray(pixels)

    return Model(("cat", "dog"), answer), Setting(("day", "night"), "re-rendered", "the lamp", picture)


def test_false_alarms_and_coverage_are_as_stated():
    worlds, rows = 150, 40
    alarms, covered, accuracy_alarms, accuracy_covered = 0, 0, 0, 0
    for seed in range(worlds):
        labels = np.zeros(rows, dtype=int)
        (null,) = intervene(
            *_swap(lamp(np.random.default_rng(seed), 0.0), labels), factor="light", reference="day", rng=seed
        )
        alarms += null.margin.p_value < 1 - CONFIDENCE
        accuracy_alarms += null.accuracy.p_value < 1 - CONFIDENCE
        (moved,) = intervene(
            *_swap(lamp(np.random.default_rng(seed), -0.7), labels), factor="light", reference="day", rng=seed
        )
        covered += moved.margin.low <= -0.7 <= moved.margin.high
        accuracy_covered += moved.accuracy.low <= -0.258036 <= moved.accuracy.high  # Phi(-0.7) - 1/2
    assert binom.ppf(0.001, worlds, 0.05) <= alarms <= binom.ppf(0.999, worlds, 0.05)
    assert accuracy_alarms <= binom.ppf(0.999, worlds, 0.05)
    assert binom.ppf(0.001, worlds, CONFIDENCE) <= covered
    assert binom.ppf(0.001, worlds, CONFIDENCE) <= accuracy_covered


def _swap(model_and_setting, labels):
    model, setting = model_and_setting
    return model, labels, setting


def test_numbers_are_those_of_a_slow_loop():
    model, setting = lamp(np.random.default_rng(3), -1.0)
    labels = np.random.default_rng(4).integers(2, size=60)
    unable = {5, 6, 7}

    def picture(row, level):
        return None if row in unable and level == "night" else setting.picture(row, level)

    (found,) = intervene(
        model, labels, Setting(setting.levels, setting.how, setting.about, picture), factor="light", reference="day"
    )
    shifts, right, flips = [], [], 0
    for row in set(range(60)) - unable:
        day, night = (model.answer([setting.picture(row, level)])[0] for level in ("day", "night"))
        sign = 1 if labels[row] == 0 else -1
        shifts.append((labels[row], sign * (night[0] - day[0])))
        right.append(float(night.argmax() == labels[row]) - float(day.argmax() == labels[row]))
        flips += night.argmax() != day.argmax()
    assert found.margin.value == pytest.approx(np.mean([shift for _, shift in shifts]))
    assert found.accuracy.value == pytest.approx(np.mean(right))
    assert (found.n, found.flips.value, found.moved.value) == (57, pytest.approx(flips / 57), 57 / 60)
    for effect in found.classes:
        own = [shift for label, shift in shifts if ("cat", "dog")[label] == effect.class_name]
        assert (effect.n, effect.margin.value) == (len(own), pytest.approx(np.mean(own)))
    assert json.loads(json.dumps(found.to_record()))["how"] == "re-rendered"


def test_both_arms_are_set_a_batch_at_a_time_and_classes_count_alike():
    asked, batches, lock = [], [], threading.Lock()

    def picture(row, level):
        with lock:
            asked.append((row, level))
        return Image.new("RGB", (2, 2))

    def answer(pictures):
        batches.append(len(pictures))
        return np.zeros((len(pictures), 2))

    labels = np.repeat([0, 1], [900, 100])
    setting = Setting(("a", "b", "c"), "edited", "", picture)
    found = intervene(Model(("x", "y"), answer), labels, setting, factor="f", reference="b", rng=1)
    assert [effect.level for effect in found] == ["a", "c"]
    rows = {row for row, _ in asked}
    assert sorted(asked) == sorted((row, level) for row in rows for level in "abc")
    assert np.bincount(labels[list(rows)]).tolist() == [100, 100]
    assert max(batches) == BATCH
    few = intervene(Model(("x", "y"), answer), labels, setting, factor="f", reference="b", levels=["c"], most=10)
    assert [effect.n for effect in few] == [10]
    rows = np.arange(3)
    (some,) = intervene(Model(("x", "y"), answer), labels, setting, factor="f", reference="b", levels=["c"], rows=rows)
    assert some.n == 3


def test_where_nothing_can_be_set_nothing_is_claimed():
    setting = Setting(("a", "b"), "edited", "", lambda _row, level: Image.new("RGB", (1, 1)) if level == "a" else None)
    assert intervene(reads(brightness), np.zeros(5, dtype=int), setting, factor="f", reference="a") == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reference": "dusk"}, r"one of the levels of its setting \(day, night\); received 'dusk'"),
        ({"reference": "day", "levels": ["dawn"]}, "received 'dawn'"),
        ({"reference": "day", "rows": np.zeros(0, dtype=int)}, "received no row"),
    ],
)
def test_mistakes_are_named(arguments, message):
    model, setting = lamp(np.random.default_rng(0), 0.0)
    with pytest.raises(InputError, match=message):
        intervene(model, np.zeros(3, dtype=int), setting, factor="light", **arguments)


def test_stress_finds_what_a_model_cannot_bear_and_files_that_are_gone_fall_out(columns, tmp_path):
    def colour(pixels):
        return (pixels.max(axis=2) - pixels.min(axis=2)).mean() / 20

    files = [*columns.table.files[:30], tmp_path / "missing.png"]
    masks = [Image.new("L", (60, 40), 255)] * 30 + [None]
    found = {effect.level: effect for effect in stress(reads(colour), files, np.zeros(31, dtype=int), masks=masks)}
    assert set(found) == {*EDITS, SWAPPED}
    assert min(found, key=lambda level: found[level].margin.value) == "grey"
    assert found["grey"].margin.high < -0.5
    assert found[SWAPPED].margin.value == 0
    assert {effect.n for effect in found.values()} == {30}
    assert {effect.reference for effect in found.values()} == {"untouched"}
    with pytest.raises(InputError, match="received 31, 31 and 30"):
        stress(reads(colour), files, np.zeros(31, dtype=int), masks=masks[:30])


@pytest.fixture(scope="module")
def mammals():
    data = load_dataset("picto/mammals")
    adapter = cdc.fit(data, cdc.ZeroShotConfig(), cdc.load_backbone("picto"))
    return data, adapter


def test_pictures_drawn_again_are_those_of_the_files(tmp_path):
    """Also where a split is drawn in parts under several interventions."""
    interventions = ({"style": "line"}, {"style": "grey"})
    plan = Plan("few", PictoWorld(("mammals",)), {"train": 2, "test": 2}, interventions)
    write_dataset(plan, tmp_path / "few")
    drawing, files = Drawing(plan), sorted((tmp_path / "few").glob("*/*/*.png"))
    assert len(files) == 4 * len(plan.class_names)
    assert all(drawing.drew(file) for file in files)
    assert sum(not np.array_equal(drawing.picture(file, {"scale": "small"}), Image.open(file)) for file in files) > 20


def test_the_settings_of_a_task_are_all_factors_but_its_own():
    data = load_dataset("picto/backdrops")
    examples = data.examples[::100]
    settings = picto_settings(data.name, [example.path for example in examples])
    assert set(settings) == set(data.factor_names) - {"concept"}
    assert not set(settings) & {"background", "background_colour"}
    for row, example in enumerate(examples):
        for factor, setting in settings.items():
            assert setting.levels == FACTORS[factor]
            again = setting.picture(row, example.factors[factor])
            assert np.array_equal(again, Image.open(example.path))


def test_files_that_picto_did_not_draw_are_not_drawn_again(mammals, tmp_path):
    data, _ = mammals
    Image.new("RGB", (64, 64)).save(tmp_path / "00000.png")
    assert picto_settings("picto/mammals", [tmp_path / "00000.png"]) == {}
    assert picto_settings("pets", [example.path for example in data.test]) == {}
    with pytest.raises(InputError, match="must be named by a number below"):
        load_drawing("picto/mammals").picture(tmp_path / "cat.png")


def test_the_effect_in_picto_is_the_true_one(mammals):
    """The files are a sample of the world whose effect `true_effect` computes by intervening in fresh pictures."""
    data, adapter = mammals
    model, labels = model_of(adapter), np.array([example.label for example in data.test])
    setting = picto_settings(data.name, [example.path for example in data.test])["style"]
    (found,) = intervene(model, labels, setting, factor="style", reference="colour", levels=["line"], rng=0)
    outcome = margins_of(model)
    world, rng = plan_dataset("mammals").world, np.random.default_rng(0)
    truth = true_effect(world, outcome, "style", treated="line", control="colour", n=300, rng=rng)
    error = np.hypot((found.margin.high - found.margin.low) / 4, truth.standard_error)
    assert abs(found.margin.value - truth.value) < 3 * error
    assert error < 0.25 * abs(truth.value)
    assert (found.how, found.moved.value) == ("re-rendered", 1.0)
    # On the pictures themselves it is the effect to rounding.
    part, rows = load_drawing(data.name).parts[-1], np.arange(0, len(labels), 50)
    (same,) = intervene(model, labels, setting, factor="style", reference="colour", levels=["line"], rows=rows)
    sample = replace(part, noise=part.noise[rows])
    line, colour = (outcome(sample.intervene({"style": level})) for level in ("line", "colour"))
    assert same.margin.value == pytest.approx((line - colour).mean(), abs=1e-4)


def margins_of(model):
    """The model's margin as an outcome of Picto's samples, from pictures of the files' size."""

    def outcome(sample):
        pixels = sample.render().permute(0, 2, 3, 1).numpy()
        return logit_margins(model.answer([Image.fromarray(picture) for picture in pixels]), sample.labels)

    return outcome


def test_a_users_own_model_and_setting_need_nothing_else():
    model = model_from(lambda pictures: np.tile([0.7, 0.3], (len(pictures), 1)), ("cat", "dog"))
    setting = Setting(("in", "out"), "re-rendered", "my own photographs", lambda _row, _level: Image.new("L", (4, 4)))
    (found,) = intervene(model, np.array([0, 1, 0]), setting, factor="place", reference="in")
    assert (found.margin.value, found.margin.p_value, found.accuracy.p_value) == (0.0, 1.0, 1.0)
