"""Factors measured from pixels go the way of labelled ones: planted harms are found, and what is alike is left out."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.diagnosis.findings import PIXEL_CAVEAT, caveats, summarize
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError
from causalvlm.report.write import to_html, to_record

ROWS = 180


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Textures of random brightness, every second one with a caption."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    light = rng.uniform(60, 180, ROWS)
    for row in range(ROWS):
        pixels = light[row] + 60 * ndimage.gaussian_filter(rng.normal(size=(40, 60, 3)), (1, 1, 0))
        if row % 2:
            pixels[30:36, 10:50:4] = 255
            pixels[30:36, 11:50:4] = 0
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{row:03d}.png")
    return tuple(sorted(folder.iterdir())), light


def table_of(pictures, **more):
    """A model that sees brightness and the caption, and that the caption costs two nats."""
    files, light = pictures
    rng = np.random.default_rng(1)
    label = np.arange(ROWS) // 2 % 3
    marked = np.arange(ROWS) % 2
    features = np.column_stack([light / 30, 3 * marked, rng.normal(size=(ROWS, 3))])
    logits = rng.normal(size=(ROWS, 3)) + (3 - 2 * marked)[:, None] * np.eye(3)[label]
    return EmbeddingTable(features, logits, label, more.pop("factors", {}), ("cat", "cow", "dog"), files=files, **more)


def test_what_the_pixels_show_is_told_apart_from_what_the_model_pays_for(pictures):
    found = diagnose(table_of(pictures), causes=False)
    factors = {factor.factor: factor for factor in found.factors}
    assert {factor.source for factor in found.factors} == {"pixels", "cluster"}
    mark, brightness = factors["recurring mark"], factors["brightness"]
    assert mark.decodable_given_class
    assert mark.moves_margin
    assert mark.farthest.margin_shift.low <= (-2 if mark.reference == "no" else 2) <= mark.farthest.margin_shift.high
    assert brightness.decodable_given_class
    assert not brightness.moves_margin
    assert brightness.reference == "middle"
    assert found.factors[0].moves_margin
    left_out = dict(found.left_out)
    assert left_out["file kind"] == "PNG in every image"
    assert "jpeg quality" in left_out


def test_words_report_and_record_say_where_a_factor_comes_from(pictures):
    labels = {"brightness": np.where(np.arange(ROWS) % 3 > 0, "day", "night")}
    found = diagnose(table_of(pictures, factors=labels), pixels=True, causes=False)
    record = to_record(found)
    sources = {factor["factor"]: factor["source"] for factor in record["factors"]}
    assert sources["brightness"] == "label"
    assert sources["brightness (pixels)"] == "pixels"
    assert record["factors"][0]["factor"] == "brightness"
    assert 0 <= record["factors"][0]["adjusted_p_values"]["bits"] <= 1
    assert "Holm" in record["settings"]["correction"]
    text = " ".join(summarize(found))
    assert "factors were measured from the pixels" in text
    assert "carries the factor 'recurring mark'" in text
    assert PIXEL_CAVEAT in record["caveat"]
    page = to_html(found, {})
    for words in ("All factors", "Measured from the pixels: mean luma", "file kind (PNG in every image)"):
        assert words in page


def test_labelled_factors_alone_unless_asked(pictures):
    labels = {"light": np.where(np.arange(ROWS) % 3 > 0, "day", "night")}
    found = diagnose(table_of(pictures, factors=labels), causes=False)
    assert [factor.source for factor in found.factors] == ["label"]
    assert PIXEL_CAVEAT not in caveats(found)


def test_images_that_cannot_be_read_again_are_left_out_and_named(pictures, tmp_path):
    files, light = pictures
    missing = tmp_path / "missing.png"
    found = diagnose(table_of(((*files[:-1], missing), light)), causes=False)
    assert found.n == ROWS - 1
    assert found.unreadable == ((str(missing), "there is no such file"),)


def test_images_that_are_alike_cannot_be_diagnosed(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    rng = np.random.default_rng(0)
    table = EmbeddingTable(
        rng.normal(size=(60, 2)), rng.normal(size=(60, 2)), np.arange(60) % 2, {}, ("cat", "dog"),
        files=(tmp_path / "one.png",) * 60,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"received 60 images with brightness: 0 in every image.*Add images"):
        diagnose(table)
