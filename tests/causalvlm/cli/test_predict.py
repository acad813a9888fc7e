"""`predict`: images, folders and patterns in, answers out as they come."""

import csv
import json

import pytest
import torch

import cdc
from causalvlm.cli.main import run


@pytest.fixture(scope="module")
def adapter(colour_folder, tiny_clip_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("adapter")
    cdc.fit(cdc.load_dataset(colour_folder), cdc.ZeroShotConfig(), cdc.load_backbone(str(tiny_clip_folder))).save(out)
    return out


def predict(adapter, tmp_path, *words):
    out = tmp_path / "predict.json"
    out.unlink(missing_ok=True)
    assert run(["predict", str(adapter), *map(str, words), "--json", str(out)]) == 0
    return json.loads(out.read_text())["predictions"]


def test_folders_and_patterns_are_their_images(adapter, colour_folder, tmp_path):
    files = sorted(map(str, colour_folder.rglob("*.png")))
    for words in ([colour_folder], [f"{colour_folder}/**/*.png"], [f"{colour_folder}/*"], files):
        assert [record["file"] for record in predict(adapter, tmp_path, *words)] == files


@pytest.mark.parametrize("method", [cdc.ZeroShotConfig(), cdc.MaPLeConfig()])
def test_the_stream_says_what_classify_says(method, colour_folder, tiny_backbone, tmp_path):
    data = cdc.load_dataset(colour_folder)
    training = cdc.TrainingConfig(epochs=1)
    settings = cdc.FitSettings(shots=1, training=training, cache=None)
    adapter = cdc.fit(data, method, tiny_backbone, settings)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    files = [broken, *sorted(colour_folder.rglob("*.png"))[:19], broken]
    whole, parts = adapter.classify(files, cache=None), list(adapter.stream(iter(files)))
    assert len(parts) > 2
    assert tuple(row for part in parts for row in part.kept) == whole.kept
    assert tuple(failure for part in parts for failure in part.unreadable) == whole.unreadable
    assert tuple(file for part in parts for file in part.prediction.files) == whole.prediction.files
    streamed = torch.cat([part.prediction.probabilities for part in parts])
    torch.testing.assert_close(streamed, whole.prediction.probabilities, atol=1e-5, rtol=0)


def test_files_are_drawn_as_they_are_needed(adapter, colour_folder):
    drawn = 0

    def endless():
        nonlocal drawn
        while True:
            drawn += 1
            yield colour_folder / "red" / "00.png"

    stream = cdc.load_adapter(adapter).stream(endless())
    for _ in range(3):
        assert len(next(stream).kept) == 8
    assert drawn < 100
    stream.close()


def test_the_top_classes_and_their_table(adapter, colour_folder, tmp_path, capsys):
    table = tmp_path / "answers.csv"
    records = predict(adapter, tmp_path, colour_folder / "red", "--top", "3", "--csv", table)
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    shown = list(csv.DictReader(capsys.readouterr().out.splitlines(), delimiter="\t"))
    assert rows == shown
    assert len(records) == len(rows) == 12
    for record, row in zip(records, rows, strict=True):
        first, second, third = record["top"]
        assert (record["label"], record["probability"]) == (first["label"], first["probability"])
        assert first["probability"] >= second["probability"] >= third["probability"]
        assert (row["label"], row["label_2"], row["label_3"]) == (first["label"], second["label"], third["label"])
        assert float(row["probability_3"]) == third["probability"]


def test_more_classes_than_there_are(adapter, colour_folder, tmp_path):
    (record,) = predict(adapter, tmp_path, colour_folder / "red" / "00.png", "--top", "9")
    assert [one["label"] for one in record["top"]] == sorted(
        cdc.load_adapter(adapter).class_names, key=[one["label"] for one in record["top"]].index
    )


def test_an_unsure_answer_has_no_label(adapter, colour_folder, tmp_path, capsys):
    sure = [record["probability"] for record in predict(adapter, tmp_path, colour_folder)]
    middle = sorted(sure)[len(sure) // 2]
    records = predict(adapter, tmp_path, colour_folder, "--abstain-below", middle)
    assert [record["label"] is None for record in records] == [probability < middle for probability in sure]
    assert f"no label for {len(sure) // 2} of {len(sure)} images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such.jpg"], "IMAGE must be a file, a folder or a pattern of files that exist; received no-such.jpg"),
        (["EMPTY"], "a folder or pattern must hold images"),
        (["EMPTY/*.jpg"], "a folder or pattern must hold images"),
        (["IMAGE", "--top", "0"], "--top"),
        (["IMAGE", "--abstain-below", "1.5"], "--abstain-below"),
        (["IMAGE", "--csv", "OUT", "--json", "OUT"], "every output must have a file of its own"),
        (["BROKEN", "BROKEN", "--csv", "OUT"], "received 2 files and can read none"),
    ],
)
def test_a_mistake_leaves_nothing_behind(words, message, adapter, colour_folder, tmp_path, capsys):
    empty, broken, out = tmp_path / "empty", tmp_path / "broken.jpg", tmp_path / "out" / "answers"
    empty.mkdir()
    out.parent.mkdir()
    broken.write_bytes(b"no image")
    places = {"EMPTY": empty, "IMAGE": colour_folder / "red" / "00.png", "BROKEN": broken, "OUT": out}
    typed = [str(places.get(word, word)).replace("EMPTY", str(empty)) for word in words]
    assert run(["predict", str(adapter), *typed]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert sum(not line.endswith(" ...") for line in error.splitlines()) == 1
    assert not list(out.parent.iterdir())


def test_existing_output_is_kept_without_force(adapter, colour_folder, tmp_path, capsys):
    table, image = tmp_path / "answers.csv", str(colour_folder / "red" / "00.png")
    table.write_text("mine")
    assert run(["predict", str(adapter), image, "--csv", str(table)]) == 2
    assert "pass --force" in capsys.readouterr().err
    assert table.read_text() == "mine"
    assert run(["predict", str(adapter), image, "--csv", str(table), "--force"]) == 0
    assert len(table.read_text().splitlines()) == 2
