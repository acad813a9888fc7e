"""Few-shot, cross-dataset and domain generalization: who is trained on what, and which names are asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cdc

TRAINING = cdc.TrainingConfig(epochs=1)
SETTINGS = cdc.FitSettings(cache=None)


@pytest.fixture(scope="module")
def source(colour_folder) -> cdc.ImageDataset:
    return cdc.load_dataset(colour_folder)


@pytest.fixture(scope="module")
def sketches(tmp_path_factory) -> cdc.ImageDataset:
    """Two of the classes, in the other order, with few images."""
    folder, rng = tmp_path_factory.mktemp("sketches"), np.random.default_rng(1)
    examples: list[cdc.Example] = []
    for label, colour in enumerate([(220, 30, 30), (30, 40, 220)]):
        for index in range(3):
            file = folder / f"{label}-{index}.png"
            Image.fromarray(rng.normal(colour, 30, (32, 32, 3)).clip(0, 255).astype(np.uint8)).save(file)
            examples.append(cdc.Example(file, label))
    return cdc.ImageDataset("sketches", ("red", "blue"), train=(), validation=(), test=tuple(examples))


@pytest.fixture
def run(tiny_backbone, tmp_path):
    def protocol(name: str, datasets: list, **changed) -> cdc.ProtocolResult:
        ways = {"seeds": (1, 2), "shots": 2, "training": TRAINING, "settings": SETTINGS, "out": tmp_path} | changed
        return cdc.run_protocol(name, datasets, ["zero-shot", "coop"], tiny_backbone, **ways)

    return protocol


def by_hand(source, target, backbone, *, seed: int) -> cdc.Scores:
    settings = replace(SETTINGS, shots=2, training=replace(TRAINING, seed=seed))
    adapter = cdc.fit(source, cdc.CoOpConfig(), backbone, settings)
    return cdc.evaluate(adapter, target.test, target.class_names, cache=None)[0]


def test_cross_dataset_trains_once_and_tests_everywhere(run, source, sketches, tiny_backbone):
    birds = replace(sketches, name="birds", class_names=("owl", "wren"))
    result = run("cross-dataset", [source, sketches, birds])
    assert len(result.runs) == 4
    last = result.runs[-1]
    for target in (sketches, birds):
        assert last["target"][target.name]["accuracy"] == by_hand(source, target, tiny_backbone, seed=2).accuracy
    assert last["source"]["n"] == len(source.test)
    average, *_ = (row for row in result.table() if row.method == "coop")
    assert average.datasets == 2
    coop = [run for run in result.runs if run["method"] == "coop"]
    expected = np.mean([[run["target"][name]["accuracy"] for name in ("sketches", "birds")] for run in coop])
    assert average.means["target_accuracy"] == pytest.approx(expected)
    assert average.means["source_accuracy"] == pytest.approx(np.mean([run["source"]["accuracy"] for run in coop]))


def test_domain_generalization_takes_some_classes_in_any_order_and_refuses_others(run, source, sketches, tiny_backbone):
    birds = replace(sketches, name="birds", class_names=("red", "wren"))
    result = run("domain-generalization", [source, sketches, birds, ("gone", "no folder")])
    assert [item.dataset for item in result.skipped] == ["gone", "birds"]
    assert result.skipped[1].reason == f"has classes that {source.name} has not, such as 'wren'"
    last = result.runs[-1]
    assert set(last["target"]) == {"sketches"}
    assert last["target"]["sketches"] == vars(by_hand(source, sketches, tiny_backbone, seed=2))


def test_the_source_must_be_there_and_not_alone(run, source, sketches):
    with pytest.raises(cdc.InputError, match="trains on the first data set, which must be there; gone: no folder"):
        run("cross-dataset", [("gone", "no folder"), source, sketches])
    with pytest.raises(cdc.InputError, match="at least one to test on; received colours"):
        run("cross-dataset", [source])
    with pytest.raises(cdc.InputError, match="at least one to test on"):
        run("domain-generalization", [source, replace(sketches, class_names=("owl", "wren"))])


def test_few_shot_has_a_column_for_every_number_of_shots(run, source, tiny_backbone):
    result = run("few-shot", [source], shots=(1, 2), seeds=(1,))
    assert [(record["method"], record["settings"]["shots"]) for record in result.runs] == [
        ("zero-shot", 1), ("coop", 1), ("zero-shot", 2), ("coop", 2),
    ]  # fmt: skip
    row = result.table()[-1]
    assert row.method == "coop"
    assert row.means["2_shot_accuracy"] == by_hand(source, source, tiny_backbone, seed=1).accuracy
    assert [column.heading for column in result.columns][:2] == ["1 shot", "2 shot"]


def test_few_shot_takes_1_2_4_8_16_unless_told_otherwise():
    assert cdc.PROTOCOLS["few-shot"].shots == (1, 2, 4, 8, 16)
    assert {protocol.shots for name, protocol in cdc.PROTOCOLS.items() if name != "few-shot"} == {(16,)}


def test_every_run_is_one_line(run, source, sketches, tmp_path):
    run("cross-dataset", [source, sketches])
    lines = Path(tmp_path / "runs.jsonl").read_text().splitlines()
    assert len(lines) == 4


def test_names_that_are_spoken_alike_are_the_same_class():
    source = cdc.ImageDataset("bears", ("polar_bear", "Brown bear"), train=(), validation=(), test=())
    target = replace(source, name="sketches", class_names=("brown_bear", "polar bear"))
    plan = cdc.PROTOCOLS["domain-generalization"].plan([source, target], [16])
    assert not plan.skipped
    assert plan.cases[0].targets == (target,)
