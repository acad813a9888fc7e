"""`diagnose` as a person types it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import cdc
from causalvlm.cli.main import run
from causalvlm.diagnosis.diagnose import diagnose


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CAUSALVLM_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def nested_folder(tmp_path_factory):
    """domain/class folders, 2 x 2 x 12 noisy pictures: the domain is the brightness."""
    root = tmp_path_factory.mktemp("nested") / "lamps"
    rng = np.random.default_rng(0)
    for domain, light in {"dark": 60, "light": 190}.items():
        for name, tint in {"red": (60, 0, 0), "blue": (0, 0, 60)}.items():
            (root / domain / name).mkdir(parents=True)
            for index in range(12):
                pixels = np.clip(light + np.array(tint) + rng.normal(0, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / domain / name / f"{index:02d}.png")
    (root / "dark" / "red" / "00.png").write_bytes(b"not an image")
    return root


def test_diagnose_writes_report_figure_and_numbers(nested_folder, tiny_clip_folder, tmp_path, capsys):
    arguments = ["diagnose", str(nested_folder), "--factors", "domain/class", "--backbone", str(tiny_clip_folder)]
    copy = tmp_path / "copy.json"
    assert run([*arguments, "--out", str(tmp_path / "out"), "--seed", "3", "--json", str(copy)]) == 0
    captured = capsys.readouterr()
    assert "domain" in captured.out
    assert "associations" in captured.out
    assert "00.png" in captured.err
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "report.html",
        "report.md",
        "figure.png",
        "diagnosis.json",
    }
    result = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert result == json.loads(copy.read_text())
    assert (result["n"], result["seed"], len(result["unreadable"])) == (47, 3, 1)
    (factor,) = result["factors"]
    assert (factor["factor"], factor["reference"], factor["decodable"]) == ("domain", "light", "yes")
    assert {"versions", "device", "commit"} <= set(result["provenance"])
    assert result["settings"]["backbone"] == str(tiny_clip_folder)
    assert run([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert "pass --force" in capsys.readouterr().err
    more = ["--reference", "domain=dark", "--probes", "full", "--description", "a {domain} {class}"]
    assert run([*arguments, "--out", str(tmp_path / "out"), "--force", *more]) == 0
    again = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert again["factors"][0]["reference"] == "dark"
    assert again["misalignment"]["description"] == "a {domain} {class}"
    assert {one["name"] for one in again["factors"][0]["beside"]["baselines"]} == {"colours", "untrained network"}
    assert again["front_door"]["status"] == "refused"
    assert run([*arguments, "--out", str(tmp_path / "out"), "--force", "--train", "zero-shot"]) == 2
    assert "must learn" in capsys.readouterr().err


def test_a_graph_of_ones_own_is_taken_as_text_and_refused_where_it_lacks_a_factor(
    nested_folder, tiny_clip_folder, tmp_path, capsys
):
    arguments = ["diagnose", str(nested_folder), "--factors", "domain/class", "--backbone", str(tiny_clip_folder)]
    known = "Y -> X; domain -> X; X -> Y_hat"
    assert run([*arguments, "--folds", "3", "--out", str(tmp_path / "out"), "--graph", known]) == 0
    assert "Where each factor stands" in capsys.readouterr().out
    result = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert result["graph"] == "X -> Y_hat; Y -> X; domain -> X"
    assert [one["statement"] for one in result["independencies"]] == ["Y _||_ domain"]
    assert result["factors"][0]["observed_effect"] is not None
    arguments += ["--folds", "3", "--out", str(tmp_path / "other"), "--graph"]
    assert run([*arguments, "Y -> X; light -> X; X -> Y_hat"]) == 2
    captured = capsys.readouterr()
    assert "received one without domain" in " ".join(captured.err.split())
    assert not (tmp_path / "other" / "diagnosis.json").exists()


def test_an_adapter_is_diagnosed_on_the_test_split(nested_folder, tiny_backbone, tmp_path, capsys):
    data = cdc.load_dataset(nested_folder, factors="domain/class")
    settings = cdc.FitSettings(shots=1, training=cdc.TrainingConfig(epochs=1), cache=None)
    cdc.fit(data, cdc.CoOpConfig(), tiny_backbone, settings).save(tmp_path / "adapter")
    arguments = ["diagnose", str(nested_folder), "--factors", "domain/class", "--adapter", str(tmp_path / "adapter")]
    assert run([*arguments, "--folds", "3", "--out", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert result["n"] in (len(data.test), len(data.test) - 1)
    assert "test split" in result["settings"]["images"]
    assert "with the adapter" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["FLAT", "--out", "OUT", "--no-pixels"], "needs a task-irrelevant factor of the images"),
        (["FLAT", "--out", "OUT", "--no-pixels"], "--factors domain/class"),
        (["FLAT", "--out", "OUT"], "at least 20 of them from the others; received 48 images with brightness"),
        (["NESTED", "--out", "OUT", "--factors", "domain/class", "--folds", "99"], "as there are folds (99)"),
        (["NESTED", "--out", "OUT", "--factors", "domain/class", "--folds", "2"], "at least 3 folds"),
        (["NESTED", "--out", "OUT", "--factors", "domain/class", "--reference", "dark"], "must be FACTOR=LEVEL"),
        (["NESTED", "--out", "OUT", "--factors", "domain/class", "--reference", "domain=dim"], "received 'dim'"),
        (["NESTED", "--out", "OUT", "--factors", "domain/class", "--adapter", "nowhere"], "must hold card.json"),
        (["NESTED", "--out", "OUT", "--factors", "domain"], "exactly one is 'class'"),
        (["NESTED", "--factors", "domain/class"], "Missing option '--out'"),
        (["no-such-folder", "--out", "OUT"], "no-such-folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    arguments, message, colour_folder, nested_folder, tiny_clip_folder, tmp_path, capsys
):
    words = {"FLAT": str(colour_folder), "NESTED": str(nested_folder), "OUT": str(tmp_path / "out")}
    typed = [words.get(word, word) for word in arguments]
    if "--adapter" not in typed:
        typed += ["--backbone", str(tiny_clip_folder)]
    assert run(["diagnose", *typed]) == 2
    captured = capsys.readouterr()
    assert sum(not line.endswith(" ...") for line in captured.err.splitlines()) == 1
    assert message in captured.err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def unlabelled_folder(tmp_path_factory):
    """Two classes of 40 noisy pictures whose brightness differs."""
    root = tmp_path_factory.mktemp("unlabelled") / "lamps"
    rng = np.random.default_rng(0)
    for name, tint in {"red": (60, 0, 0), "blue": (0, 0, 60)}.items():
        (root / name).mkdir(parents=True)
        for index in range(40):
            pixels = np.array(tint) + rng.uniform(30, 180) + rng.normal(0, 10, (32, 32, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{index:02d}.png")
    return root


def test_without_a_label_the_pixels_are_asked(unlabelled_folder, tiny_clip_folder, tmp_path, capsys):
    arguments = [
        "diagnose",
        str(unlabelled_folder),
        "--backbone",
        str(tiny_clip_folder),
        "--out",
        str(tmp_path / "out"),
    ]
    assert run([*arguments, "--no-causes"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "factors were measured from the pixels" in printed
    assert "Factors without a label" in printed
    result = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    sources = {factor["factor"]: factor["source"] for factor in result["factors"]}
    assert sources["brightness"] == "pixels"
    assert ["file kind", "PNG in every image"] in result["left_out"]


@pytest.mark.data
def test_pacs_under_the_photo_backbone(photographs):
    """A tenth of PACS: cartoons are harder than photographs, and the embedding knows the domain."""
    data = cdc.load_dataset("pacs", root=photographs)
    tenth = replace(data, train=data.train[::10], validation=data.validation[::10], test=data.test[::10])
    (factor,) = diagnose(tenth, "photo", reference={"domain": "photo"}, causes=False).factors
    cartoon = next(level for level in factor.levels if level.level == "cartoon")
    assert factor.probe.decodable
    assert cartoon.accuracy_shift.high < 0
    assert cartoon.margin_shift.high < 0
