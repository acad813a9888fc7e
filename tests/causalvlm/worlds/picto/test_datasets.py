"""Data sets on disk: what the model says, in equal numbers, whole or not at all."""

import fcntl
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest, chi2_contingency

import causalvlm
import cdc
from causalvlm.errors import InputError
from causalvlm.refutation.verdict import FALSE_ALARM_RATE
from causalvlm.worlds.picto import datasets
from causalvlm.worlds.picto.assets import load_sprites
from causalvlm.worlds.picto.collections import all_collections, collection
from causalvlm.worlds.picto.datasets import Plan, draw_balanced, picto_datasets, plan_dataset, write_dataset
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.scm import SOURCES, PictoWorld
from causalvlm.worlds.picto.tasks import TASKS

COUNTS = {"train": 3, "validation": 1, "test": 2}
CLASSES = len(collection("produce").concepts)


@pytest.fixture(autouse=True)
def small_and_elsewhere(monkeypatch, tmp_path):
    """A few pictures per class, in a cache of this test's own; the sprites are not drawn again for it."""
    load_sprites()
    monkeypatch.setattr(datasets, "_COLLECTION_COUNTS", COUNTS)
    monkeypatch.setattr(datasets, "_SOURCE_COUNTS", {"train": 1, "test": 1})
    monkeypatch.setenv("CAUSALVLM_CACHE", str(tmp_path))
    return tmp_path / "picto"


def test_a_collection_is_a_data_set_with_its_classes_template_and_factors():
    data = causalvlm.load_dataset("picto/produce")
    assert data.name == "picto/produce"
    assert data.class_names == collection("produce").concepts
    assert data.template == collection("produce").template
    assert data.factor_names == tuple(FACTORS)
    assert "downstream regime (strength 0.5)" in data.split_source
    assert "3 train, 1 validation, 2 test" in data.split_source
    for split, count in COUNTS.items():
        assert Counter(example.label for example in getattr(data, split)) == dict.fromkeys(range(CLASSES), count)


def test_files_are_what_their_factors_say():
    """Rendering the drawn scenes again gives the pixels and the levels of every file."""
    data = causalvlm.load_dataset("picto/produce")
    plan = plan_dataset("produce")
    parts = [part for _, part in datasets._draw(plan)]
    assert [len(part) for part in parts] == [len(data.train), len(data.validation), len(data.test)]
    pixels = torch.cat([part.render() for part in parts]).permute(0, 2, 3, 1).numpy()
    rows = [row for part in parts for row in part.table().to_dict("records")]
    for example, picture, row in zip(data.examples, pixels, rows, strict=True):
        assert data.class_names[example.label] == row.pop("concept")
        assert dict(example.factors) == row
        assert np.array_equal(np.array(Image.open(example.path)), picture)


def test_no_picture_comes_twice():
    parts = [part for name in ("produce", "source", "resampled") for _, part in datasets._draw(plan_dataset(name))]
    noise = np.concatenate([part.noise for part in parts])
    assert len(np.unique(noise[:, -1])) == len(noise)


def test_the_second_time_nothing_is_drawn(monkeypatch):
    first = causalvlm.load_dataset("picto/produce")
    monkeypatch.setattr(datasets, "write_dataset", lambda *_: pytest.fail("drawn again"))
    assert causalvlm.load_dataset("Picto/Produce") == first


def test_the_same_data_set_is_drawn_in_every_cache(monkeypatch, tmp_path):
    first = causalvlm.load_dataset("picto/produce")
    monkeypatch.setenv("CAUSALVLM_CACHE", str(tmp_path / "other"))
    second = causalvlm.load_dataset("picto/produce")
    assert second.examples[0].path != first.examples[0].path
    assert second.fingerprint == first.fingerprint


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_is_broken_off_leaves_nothing(small_and_elsewhere, monkeypatch, error):
    real, saved = Image.Image.save, []

    def save(picture, path):
        saved.append(path)
        if len(saved) == 20:
            raise error("stopped")
        real(picture, path)

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(error):
        causalvlm.load_dataset("picto/produce")
    assert list(small_and_elsewhere.iterdir()) == []
    monkeypatch.undo()


def test_two_writers_at_once_leave_one_whole_data_set(tmp_path):
    plan = Plan("few", PictoWorld(("produce",)), {"test": 1})
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: write_dataset(plan, tmp_path / "few"), range(2)))
    assert [path.name for path in tmp_path.iterdir()] == ["few"]
    assert len(cdc.load_dataset(tmp_path / "few" / "table.csv").test) == CLASSES


def test_a_second_writer_leaves_the_files_of_the_first(tmp_path):
    plan = Plan("few", PictoWorld(("produce",)), {"test": 1})
    write_dataset(plan, tmp_path / "few")
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*.png")}
    write_dataset(plan, tmp_path / "few")
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*.png")} == before


def lose(picture, _other):
    picture.unlink()


def cut(picture, _other):
    picture.write_bytes(picture.read_bytes()[:100])


def swap(picture, other):
    first, second = picture.read_bytes(), other.read_bytes()
    picture.write_bytes(second)
    other.write_bytes(first)


def lose_the_table(picture, _other):
    (picture.parents[2] / "table.csv").unlink()


def change_the_table(picture, _other):
    table = picture.parents[2] / "table.csv"
    table.write_text(table.read_text().replace("colour", "line"))


@pytest.mark.parametrize("damage", [lose, cut, swap, lose_the_table, change_the_table])
def test_a_damaged_data_set_is_drawn_again(damage, monkeypatch):
    monkeypatch.setattr(datasets, "_COLLECTION_COUNTS", {"train": 1, "test": 1})
    whole = causalvlm.load_dataset("picto/produce")
    before = [example.path.read_bytes() for example in whole.examples]
    damage(whole.test[0].path, whole.test[-1].path)
    again = causalvlm.load_dataset("picto/produce")
    assert again.fingerprint == whole.fingerprint
    assert again == whole
    assert [example.path.read_bytes() for example in again.examples] == before


def test_what_a_killed_drawing_left_goes_and_what_another_process_draws_stays(tmp_path):
    killed, drawing, begun = (tmp_path / f".few.{name}" for name in ("killed", "drawing", "begun"))
    for folder in (killed, drawing, begun):
        (folder / "test" / "apple").mkdir(parents=True)
    (killed / "checksum").touch()
    with (drawing / "checksum").open("xb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write_dataset(Plan("few", PictoWorld(("produce",)), {"test": 1}), tmp_path / "few")
        assert {path.name for path in tmp_path.iterdir()} == {"few", drawing.name, begun.name}


def test_any_change_of_the_plan_has_a_folder_of_its_own(small_and_elsewhere, monkeypatch):
    few = causalvlm.load_dataset("picto/produce")
    monkeypatch.setattr(datasets, "_COLLECTION_COUNTS", {**COUNTS, "test": 3})
    assert len(causalvlm.load_dataset("picto/produce").test) == len(few.test) + CLASSES
    assert len(list(small_and_elsewhere.iterdir())) == 2


def home_share(world, sample):
    """How many pictures have the background that is the habit of their concept's source, and how many there are."""
    habits = np.array([world.level_probabilities("background")[home].argmax() for home in world.homes])
    return int((sample.levels["background"] == habits[sample.labels]).sum()), len(sample)


def test_equal_numbers_leave_what_goes_with_a_concept_as_the_regime_has_it():
    world = PictoWorld(("produce",), regime="downstream")
    sample = draw_balanced(Plan("few", world, {}), 100, do={}, rng=np.random.default_rng(0))
    assert (np.bincount(sample.labels) == 100).all()
    owned = world.concept_probabilities() * world.source_probabilities[:, None] * CLASSES  # P(D | concept)
    habit = world.level_probabilities("background")
    expected = np.mean([owned[:, c] @ habit[:, habit[home].argmax()] for c, home in enumerate(world.homes)])
    assert binomtest(*home_share(world, sample), expected).pvalue > FALSE_ALARM_RATE
    # Setting the concept instead would cut it from its source, and the habit with it.
    cut = [
        world.sample(100, do={"concept": name}, rng=np.random.default_rng(n)) for n, name in enumerate(world.concepts)
    ]
    hits, total = np.sum([home_share(world, part) for part in cut], axis=0)
    assert binomtest(int(hits), int(total), expected).pvalue < 1e-12


def test_targets_have_the_classes_of_the_source_and_no_training_images():
    source = causalvlm.load_dataset("picto/source")
    assert len(source.class_names) == sum(len(entry.concepts) for entry in all_collections().values())
    for name in datasets.TARGETS:
        plan = plan_dataset(name)
        assert set(plan.world.concepts) == set(source.class_names)
        assert plan.template == source.template
        assert set(plan.counts) == {"test"}


def test_each_target_differs_in_what_its_name_says():
    tables = {name: [part.table() for _, part in datasets._draw(plan_dataset(name))] for name in datasets.TARGETS}
    assert set(tables["sketch"][0]["style"]) == {"line"}
    assert [(set(part["style"]), len(part)) for part in tables["renditions"]] == [
        ({"silhouette"}, 1000), ({"inverted"}, 1000), ({"grey"}, 1000),
    ]  # fmt: skip
    downstream, shifted = plan_dataset("source").world, plan_dataset("shifted").world
    assert plan_dataset("resampled").world == downstream
    assert (downstream.homes != shifted.homes).all()


def test_files_of_renditions_share_their_classes_equally(monkeypatch):
    few = Plan("renditions", PictoWorld(("produce",)), {"test": 3}, plan_dataset("renditions").interventions)
    monkeypatch.setattr(datasets, "plan_dataset", lambda _: few)
    data = causalvlm.load_dataset("picto/renditions")
    pairs = Counter((example.label, example.factors["style"]) for example in data.test)
    assert set(pairs.values()) == {1}
    assert len(pairs) == 3 * CLASSES


def test_every_name_has_a_plan():
    assert len(picto_datasets()) == 21
    for name in picto_datasets():
        plan = plan_dataset(name.removeprefix("picto/"))
        assert all(count % len(plan.interventions) == 0 for count in plan.counts.values())


def test_a_name_is_enough_to_embed_and_to_adapt(tiny_backbone):
    table = causalvlm.embed("picto/produce", tiny_backbone)
    assert set(table.factors) == set(FACTORS)
    assert len(table.labels) == sum(COUNTS.values()) * CLASSES
    adapter = causalvlm.adapt("picto/produce", "zero-shot", tiny_backbone)
    assert adapter.class_names == collection("produce").concepts


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("picto/mamals", r"received 'picto/mamals'\. Did you mean 'picto/mammals'\?"),
        ("picto", r"received 'picto'\.$"),
        ("picto/", r"received 'picto'\."),
        ("picto/sketches", r"Did you mean 'picto/sketch'\?"),
    ],
)
def test_an_unknown_name_lists_the_known(small_and_elsewhere, name, message):
    with pytest.raises(InputError, match=message) as caught:
        causalvlm.load_dataset(name)
    assert all(known in str(caught.value) for known in picto_datasets())
    assert not small_and_elsewhere.exists()


def test_picto_takes_neither_root_nor_factors(tmp_path):
    with pytest.raises(InputError, match=r"brings its own pictures and factors; received root=.*Leave it out"):
        causalvlm.load_dataset("picto/produce", root=tmp_path)
    with pytest.raises(InputError, match=r"received factors='domain/class' with 'picto/produce'"):
        causalvlm.load_dataset("picto/produce", factors="domain/class")


def test_a_folder_of_that_name_is_reached_as_a_path(tmp_path, monkeypatch):
    for name in ("cat", "dog"):
        (tmp_path / "picto" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "picto" / name / "1.png")
    monkeypatch.chdir(tmp_path)
    assert causalvlm.load_dataset("./picto").class_names == ("cat", "dog")


def test_cdc_knows_nothing_of_picto():
    with pytest.raises(cdc.InputError, match="data must be a folder"):
        cdc.load_dataset("picto/produce")


@pytest.fixture
def few_per_class():
    return {name: replace(plan_dataset(name), counts={"train": 4, "test": 4}) for name in TASKS}


@pytest.mark.parametrize("name", TASKS)
def test_the_class_of_a_task_is_what_its_factors_say(few_per_class, name):
    plan = few_per_class[name]
    assert len(set(plan.class_names)) == len(plan.class_names)
    assert set(plan.factors) | set(plan.task.words) == {"concept", *FACTORS}
    for _, sample in datasets._draw(plan):
        facts = sample.table()
        named = [
            plan.task.phrase.format(**{factor: words[row[factor]] for factor, words in plan.task.words.items()})
            for row in facts.to_dict("records")
        ]
        assert named == [plan.class_names[label] for label in plan.label(sample)]
        assert set(np.bincount(plan.label(sample), minlength=len(plan.class_names))) == {4}


@pytest.mark.parametrize("name", TASKS)
def test_tasks_are_confounded_by_the_hidden_source_but_for_the_one_without_a_cause(few_per_class, name):
    plan = few_per_class[name]
    sample = draw_balanced(plan, 40, do={}, rng=np.random.default_rng(0))
    table = np.zeros((len(plan.class_names), SOURCES))  # of classes and the sources that own the concepts
    np.add.at(table, (plan.label(sample), sample.world.homes[sample.labels]), 1)
    confounded = chi2_contingency(table).pvalue < 1e-6
    assert confounded == (name != "poses")


def test_a_picture_without_a_word_for_its_level_is_in_no_class():
    plain = PictoWorld(("produce",)).sample(3, do={"background": "plain"}, rng=np.random.default_rng(0))
    assert TASKS["backdrops"].label(plain).tolist() == [-1, -1, -1]


@pytest.mark.usefixtures("small_and_elsewhere")
def test_a_task_is_a_data_set_whose_factors_are_the_others_and_the_concept():
    data = causalvlm.load_dataset("picto/finishes")
    assert (data.template, len(data.class_names)) == ("a {} of a thing.", 20)
    assert data.factor_names[:2] == ("concept", "background")
    assert "style" not in data.factor_names
