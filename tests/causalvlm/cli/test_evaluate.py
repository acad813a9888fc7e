"""`evaluate` and `causalvlm.evaluate`: scores, the row of every image, and the page of errors."""

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections import Counter

import numpy as np
import pytest
import sklearn.metrics
from PIL import Image

import causalvlm
import cdc
from causalvlm.cli.main import run
from causalvlm.report import errors
from tests.causalvlm.report.policy import require_closed


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAUSALVLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def adapter(colour_folder, tiny_clip_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("adapter")
    cdc.fit(cdc.load_dataset(colour_folder), cdc.ZeroShotConfig(), cdc.load_backbone(str(tiny_clip_folder))).save(out)
    return out


@pytest.fixture(scope="module")
def found(adapter, colour_folder):
    return causalvlm.evaluate(adapter, colour_folder)


def test_the_function_and_the_command_agree(adapter, colour_folder, tmp_path, capsys):
    out, table = tmp_path / "evaluate.json", tmp_path / "rows.csv"
    words = [str(adapter), str(colour_folder), "--classes", "new", "--json", str(out), "--csv", str(table)]
    assert run(["evaluate", *words]) == 0
    assert "training" not in capsys.readouterr().out
    found = causalvlm.evaluate(cdc.load_adapter(adapter), colour_folder, classes="new")
    result = json.loads(out.read_text())
    assert {name: result[name] for name in found.to_record()} == json.loads(json.dumps(found.to_record()))
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == list(found.prediction.files)
    right = [row["true"] == row["label"] for row in rows]
    assert [row["right"] for row in rows] == list(map(str, right))
    assert np.mean(right) == pytest.approx(result["accuracy"])
    assert (
        repr(found)
        == f"<Evaluation of zero-shot on {colour_folder.name}, new classes: {np.mean(right):.1%} of 8 images>"
    )


def test_the_promised_keys(found):
    promised = {
        "accuracy", "ece", "aurc", "n", "classes", "class_count", "mean_uncertainty", "seconds", "method", "backbone",
        "shots", "seed", "data", "split_source", "card",
    }  # fmt: skip
    assert promised <= set(found.to_record())


def test_a_data_set_without_test_images_is_refused(adapter):
    data = cdc.ImageDataset("pets", ("cat", "dog"), train=(), validation=(), test=())
    with pytest.raises(causalvlm.InputError, match="must have test images; pets has none of its 2 classes"):
        causalvlm.evaluate(adapter, data)


def test_unreadable_images_are_left_out_and_named(adapter, colour_folder, tmp_path, capsys):
    copy, out = tmp_path / "copy", tmp_path / "evaluate.json"
    shutil.copytree(colour_folder, copy)
    lost = cdc.load_dataset(copy).test[0].path
    lost.write_bytes(b"no image")
    page = tmp_path / "errors.html"
    assert run(["evaluate", str(adapter), str(copy), "--json", str(out), "--errors", str(page)]) == 0
    assert "left out 1 unreadable test images" in capsys.readouterr().err
    assert [failure["file"] for failure in json.loads(out.read_text())["unreadable"]] == [str(lost)]
    assert str(lost) in page.read_text()


def test_the_matrix_is_that_of_scikit_learn(found):
    names = found.prediction.class_names
    pairs = errors.label_pairs(found)
    expected = sklearn.metrics.confusion_matrix(*zip(*pairs, strict=True), labels=range(len(names)))
    shown = np.zeros_like(expected)
    for true, label, n, share in errors.confusion_matrix(pairs, names).cells:
        shown[true, label] = n
        assert share == n / expected[true].sum()
    assert (shown == expected).all()


def test_a_large_matrix_keeps_the_classes_with_the_most_errors():
    names = [f"class {place}" for place in range(100)]
    pairs = [(place, place) for place in range(100)] + [(97, 3)] * 5 + [(98, 97)]
    matrix = errors.confusion_matrix(pairs, names)
    assert len(matrix.names) == errors.MOST_CLASSES
    assert {"class 3", "class 97", "class 98"} <= set(matrix.names)
    assert matrix.left_out == 70
    assert (matrix.names.index("class 97"), matrix.names.index("class 3"), 5, 5 / 6) in matrix.cells


def test_the_bins_are_those_of_the_calibration_error(found):
    bins = errors.reliability(found)
    assert sum(one.n for one in bins) == found.scores.n
    gap = sum(one.n * abs(one.confidence - one.right.value) for one in bins) / found.scores.n
    assert gap == pytest.approx(found.scores.ece, abs=1e-6)


def test_the_page_shows_every_wrong_image(found, tmp_path):
    page = errors.render_errors(found, tmp_path / "errors.html").read_text()
    wrong = Counter((row.true, row.label) for row in found.to_frame().itertuples() if not row.right)
    assert page.count("<figure") == page.count("<img ") == wrong.total() > 0
    assert f"{wrong.total()} of {found.scores.n} images are wrong" in page
    assert len(re.findall(r'class="bar"', page)) == len(errors.reliability(found))
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(picture)


def test_hostile_names_are_text_and_the_page_may_do_nothing(tmp_path, tiny_clip_folder):
    names = ("</style><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "plain")
    examples = []
    for label in range(len(names)):
        file = tmp_path / f"'><script>{label}.png"
        Image.new("RGB", (40, 30), (60 * label, 9, 200)).save(file)
        examples.append(cdc.Example(file, label))
    data = cdc.ImageDataset("<b>pets</b>", names, train=(), validation=(), test=tuple(examples))
    adapter = cdc.fit(data, cdc.ZeroShotConfig(), cdc.load_backbone(str(tiny_clip_folder)))
    page = errors.to_html(causalvlm.evaluate(adapter, data))
    require_closed(page)
    assert "49" not in re.findall(r"<text.*?>(.*?)</text>", page)
    for reference in ("http:", "https:", "<script", "<link", "@import"):
        assert reference not in page
