"""Measures of pixels against other implementations, slow ones written from the papers, and what was planted."""

import colorsys
import itertools

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage

from causalvlm.errors import InputError
from causalvlm.probes.cuts import cut_levels
from causalvlm.probes.overlay import find_overlays
from causalvlm.probes.pixels import MEASURES, Picture, measure_picture, measure_pixels


@pytest.fixture
def coloured(tmp_path):
    """Smooth coloured noise: every hue, some detail."""
    rng = np.random.default_rng(0)
    pixels = ndimage.gaussian_filter(rng.normal(size=(40, 60, 3)), (2, 2, 0))
    pixels = np.clip(128 + 400 * pixels, 0, 255).astype(np.uint8)
    return _save(pixels, tmp_path / "coloured.png"), pixels.astype(float)


def _save(pixels, path, **options):
    Image.fromarray(np.asarray(pixels).clip(0, 255).astype(np.uint8)).save(path, **options)
    return path


def test_tone_and_colour_are_those_of_other_implementations(coloured):
    path, pixels = coloured
    found = measure_picture(path)
    yiq = np.array([colorsys.rgb_to_yiq(*pixel) for pixel in pixels.reshape(-1, 3) / 255])[:, 0]
    # The standard library rounds the weights of red, green and blue to two digits.
    assert found["brightness"] == pytest.approx(yiq.mean(), abs=4e-3)
    assert found["contrast"] == pytest.approx(yiq.std(), abs=4e-3)
    hsv = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in pixels.reshape(-1, 3) / 255])
    assert found["saturation"] == pytest.approx(hsv[:, 1].mean(), rel=1e-5)
    # Section 6 of the paper, in its words: sigma_rgyb + 0.3 mu_rgyb with rg = R - G and yb = (R + G) / 2 - B.
    red, green, blue = pixels.reshape(-1, 3).T
    rg, yb = red - green, 0.5 * (red + green) - blue
    sigma = np.sqrt(np.var(rg) + np.var(yb))
    mu = np.sqrt(np.mean(rg) ** 2 + np.mean(yb) ** 2)
    assert found["colourfulness"] == pytest.approx(sigma + 0.3 * mu, rel=1e-6)


@pytest.mark.parametrize(
    ("degrees", "name"), [(2, "red"), (355, "red"), (62, "yellow"), (110, "green"), (300, "magenta")]
)
def test_the_dominant_hue_is_the_one_with_most_chroma_and_wraps_around(degrees, name, tmp_path):
    strong, weak = colorsys.hsv_to_rgb(degrees / 360, 0.9, 0.9), colorsys.hsv_to_rgb(0.5, 0.1, 0.9)
    pixels = np.full((20, 20, 3), 255 * np.array(weak))
    pixels[:8] = 255 * np.array(strong)  # fewer pixels, more chroma
    assert measure_picture(_save(pixels, tmp_path / "hue.png"))["dominant hue"] == name


def test_detail_is_that_of_slow_convolutions(coloured):
    path, pixels = coloured
    luma = pixels @ [0.299, 0.587, 0.114]
    laplacian = ndimage.convolve(luma, np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]))[1:-1, 1:-1]
    assert measure_picture(path)["sharpness"] == pytest.approx(laplacian.var(), rel=1e-4)
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])  # equation 4 of Immerkaer
    height, width = luma.shape
    total = sum(
        abs((luma[row - 1 : row + 2, column - 1 : column + 2] * mask).sum())
        for row in range(1, height - 1)
        for column in range(1, width - 1)
    )
    expected = np.sqrt(np.pi / 2) * total / (6 * (width - 2) * (height - 2))
    assert measure_picture(path)["noise"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("planted", [2.0, 5.0, 10.0])
def test_planted_noise_is_found(planted, tmp_path):
    slope = np.linspace(60, 190, 300)[None, :].repeat(200, axis=0)
    noisy = slope + np.random.default_rng(0).normal(0, planted, slope.shape)
    assert measure_picture(_save(noisy, tmp_path / "noisy.png"))["noise"] == pytest.approx(planted, rel=0.05)


def test_planted_blur_lowers_sharpness_step_by_step(tmp_path):
    sharp = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8))
    found = []
    for radius in (0, 0.5, 1, 2, 4):
        sharp.filter(ImageFilter.GaussianBlur(radius)).save(tmp_path / "blurred.png")
        found.append(measure_picture(tmp_path / "blurred.png")["sharpness"])
    assert all(later < earlier / 1.5 for earlier, later in itertools.pairwise(found))


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 51, 75, 90, 95, 99])
def test_planted_jpeg_quality_is_read_from_the_tables(quality, coloured, tmp_path):
    _, pixels = coloured
    assert measure_picture(_save(pixels, tmp_path / "a.jpg", quality=quality))["jpeg quality"] == quality


def test_what_has_no_jpeg_quality_says_so(coloured):
    found = measure_picture(coloured[0])
    assert np.isnan(found["jpeg quality"])
    assert found["file kind"] == "PNG"


@pytest.mark.parametrize(
    ("frame", "name"), [(255, "white"), (0, "black"), ((30, 30, 200), "coloured"), (None, "none")]
)  # fmt: skip
def test_borders(frame, name, coloured, tmp_path):
    pixels = coloured[1].copy()
    if frame is not None:
        pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:] = frame, frame, frame, frame
    assert measure_picture(_save(pixels, tmp_path / "framed.jpg", quality=95))["border"] == name


def test_renditions(coloured, tmp_path):
    path, pixels = coloured
    assert measure_picture(path)["rendition"] == "colour"
    grey = pixels.mean(axis=2, keepdims=True).repeat(3, axis=2)
    assert measure_picture(_save(grey, tmp_path / "grey.jpg"))["rendition"] == "greyscale"
    drawing = np.full((60, 60), 255.0)
    drawing[::10], drawing[:, ::15] = 0, 0
    assert measure_picture(_save(drawing, tmp_path / "drawing.png"))["rendition"] == "line art"
    assert measure_picture(tmp_path / "drawing.png")["dominant hue"] == "grey"


def test_size_is_the_files_and_the_picture_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (90, 30)).save(tmp_path / "turned.jpg", exif=exif)
    found = measure_picture(tmp_path / "turned.jpg")
    assert found["size"] == 2700 / 1e6
    assert found["aspect ratio"] == pytest.approx(30 / 90)


def test_large_pictures_are_measured_in_bounded_memory(tmp_path):
    """Tone on a reduced picture, detail in a window: the planted noise is not averaged away."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(120, 6, size=(1500, 2100))
    picture = Picture.read(_save(pixels, tmp_path / "large.png"))
    assert max(picture.rgb.shape) <= 512
    assert picture.detail.shape == (1024, 1024)
    found = measure_picture(tmp_path / "large.png")
    assert found["noise"] == pytest.approx(6, rel=0.05)
    assert found["brightness"] == pytest.approx(119.5 / 255, abs=2e-3)


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (40, 2), (3, 3)])
def test_the_smallest_pictures_have_finite_measures(size, tmp_path):
    Image.new("RGB", size, "white").save(tmp_path / "tiny.png")
    found = measure_picture(tmp_path / "tiny.png")
    assert list(found) == list(MEASURES)
    assert all(np.isfinite(value) for name, value in found.items() if isinstance(value, float) and "jpeg" not in name)


def test_unreadable_files_are_named_and_left_out(coloured, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    table = measure_pixels([broken, coloured[0], tmp_path / "missing.png"])
    assert table.kept == (1,)
    assert [path for path, _ in table.unreadable] == [broken, tmp_path / "missing.png"]
    assert all(len(column) == 1 for column in table.columns.values())
    with pytest.raises(InputError, match=r"received 1 files and can read none, the first is .*broken\.png"):
        measure_pixels([broken])
    with pytest.raises(InputError, match="received 0 files"):
        measure_pixels([])


def _photographs(folder, *, marked, images=60, size=(48, 64)):
    """Textured pictures; the first `marked` of them carry a caption."""
    rng = np.random.default_rng(1)
    for index in range(images):
        pixels = 128 + 300 * ndimage.gaussian_filter(rng.normal(size=size), 1)
        if index < marked:
            pixels[36:44, 10:50:4] = 255
            pixels[36:44, 11:50:4] = 0
        _save(pixels, folder / f"{index:03d}.png")
    return sorted(folder.glob("*.png"))


@pytest.mark.parametrize("marked", [25, 60])
def test_a_planted_caption_is_found_where_it_is_and_on_whom(marked, tmp_path):
    overlays = find_overlays(_photographs(tmp_path, marked=marked))
    (overlay,) = overlays.found
    assert overlays.shows.tolist() == [index < marked for index in range(60)]
    assert (overlay.size, overlay.images, overlay.shown) == ((64, 48), 60, marked)
    left, top, right, bottom = overlay.box
    assert (left * 64, top * 48) == (pytest.approx(10, abs=1), pytest.approx(36, abs=1))
    assert (right * 64, bottom * 48) == (pytest.approx(50, abs=2), pytest.approx(44, abs=1))


def test_photographs_without_a_mark_have_none(tmp_path):
    assert find_overlays(_photographs(tmp_path, marked=0)).found == ()


def test_sizes_are_compared_apart_and_broken_files_show_nothing(tmp_path):
    for folder in ("wide", "few"):
        (tmp_path / folder).mkdir()
    wide = _photographs(tmp_path / "wide", marked=40)
    few = _photographs(tmp_path / "few", marked=10, images=10, size=(50, 64))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    overlays = find_overlays([*few, broken, *wide])
    assert [overlay.size for overlay in overlays.found] == [(64, 48)]
    assert overlays.shows.sum() == 40
    assert not overlays.shows[:11].any()


@pytest.mark.data
def test_the_frames_of_the_leopards_are_found_and_nothing_else(photographs):
    """Caltech-101's leopards are the class of one photo library, most of them in the same dark frame."""
    folder = photographs / "caltech-101" / "101_ObjectCategories"
    names = ("Leopards", "Motorbikes", "sunflower", "watch")
    paths = [path for name in names for path in sorted((folder / name).glob("*.jpg"))[:200]]
    overlays = find_overlays(paths)
    classes = {path.parent.name for path, shows in zip(paths, overlays.shows, strict=True) if shows}
    assert classes == {"Leopards"}


def test_thirds_hold_a_third_each_and_say_what_is_in_them():
    values = np.random.default_rng(0).lognormal(size=900)
    levels = cut_levels(values, np.arange(900), fewest=20)
    names, counts = np.unique(levels, return_counts=True)
    assert len(names) == 3
    assert (np.abs(counts - 300) <= 5).all()
    (low,) = [name for name in names if name.startswith("low")]
    bound = float(low.removeprefix("low (< ").removesuffix(")"))
    rounded = np.array([float(f"{value:.3g}") for value in values])
    np.testing.assert_array_equal(levels == low, rounded < bound)


@pytest.mark.parametrize("frequent", [0.0, 0.5, 1.0])
def test_a_frequent_value_is_in_one_level(frequent):
    rng = np.random.default_rng(0)
    values = np.where(rng.random(600) < 0.7, frequent, rng.random(600))
    levels = cut_levels(values, np.arange(600), fewest=20)
    assert len(set(levels[values == frequent])) == 1
    assert 2 <= len(set(levels)) <= 3
    assert min(np.unique(levels, return_counts=True)[1]) >= 20


def test_few_values_and_absent_ones_are_levels_as_they_are():
    values = np.repeat([75.0, 90.0, np.nan], 30)
    levels = cut_levels(values, np.arange(90), fewest=20, absent="no JPEG")
    assert dict(zip(*np.unique(levels, return_counts=True), strict=True)) == {"75": 30, "90": 30, "no JPEG": 30}


def test_small_levels_are_merged_until_all_are_large_enough():
    words = np.repeat(["a", "b", "c", "d"], [100, 8, 5, 9])
    levels = cut_levels(words, np.arange(122), fewest=10)
    assert dict(zip(*np.unique(levels, return_counts=True), strict=True)) == {"a": 100, "b or c or d": 22}
    assert set(cut_levels(words, np.arange(122), fewest=40)) == {"a or b or c or d"}


def test_copies_of_one_image_count_once():
    words, copies = np.repeat(["a", "b", "c"], 30), np.concatenate([np.arange(60), np.full(30, 60)])
    assert set(cut_levels(words, copies, fewest=20)) == {"a or c", "b"}
