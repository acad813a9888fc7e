"""Edits of pictures: the project's own measures say that they hit, and what they promise to keep is kept."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from causalvlm.errors import InputError
from causalvlm.probes.edits import EDITS, SETTERS, measure, set_factor
from causalvlm.probes.overlay import find_overlays, lift_mark
from causalvlm.probes.pixels import HUES, MEASURES, Picture
from causalvlm.probes.retouch import as_jpeg, draw_frame, swap_background


def photograph(seed, *, side=(120, 160), light=130.0):
    """Smooth coloured noise with some detail: like a photograph to every measure."""
    rng = np.random.default_rng(seed)
    shape = (*side, 3)
    rough, fine = (ndimage.gaussian_filter(rng.normal(size=shape), (blur, blur, 0)) for blur in (8, 1))
    pixels = light + 900 * rough + 30 * fine + np.array([20, 0, -20])
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


PICTURES = [photograph(seed, light=light) for seed, light in enumerate([60.0, 100, 140, 180])]


def set_to(name, picture, target, seed=0):
    return set_factor(name, picture, now=measure(name, picture), target=target, rng=seed)


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("brightness", (0.1, 0.4, 0.8, 0.95)),
        ("contrast", (0.02, 0.08, 0.15)),
        ("saturation", (0.02, 0.1, 0.2)),
        ("colourfulness", (5.0, 20.0)),
    ],
)
def test_numbers_of_tone_and_colour_are_hit_from_both_sides(name, targets):
    for picture in PICTURES:
        for target in targets:
            edited, found = set_to(name, picture, target)
            assert found == pytest.approx(target, rel=0.05)
            assert measure(name, edited) == found
            assert edited.size == picture.size


def test_black_and_white_are_brought_to_any_brightness():
    stripes = Image.fromarray(np.tile([0, 255], (60, 30)).astype(np.uint8)).convert("RGB")
    for target in (0.05, 0.3, 0.8):
        assert set_to("brightness", stripes, target)[1] == pytest.approx(target, abs=0.01)


@pytest.mark.parametrize(
    ("name", "target"),
    [("contrast", 0.15), ("saturation", 0.02), ("sharpness", 20.0), ("noise", 12.0)],
)
def test_the_mean_luma_stays_where_it_is_said_to(name, target):
    for picture in PICTURES:
        edited, _ = set_to(name, picture, target)
        assert measure("brightness", edited) == pytest.approx(measure("brightness", picture), abs=0.004)


@pytest.mark.parametrize("hue", HUES)
def test_a_coloured_filter_gives_every_hue(hue):
    assert [set_to("dominant hue", picture, hue)[1] for picture in PICTURES] == [hue] * len(PICTURES)


def test_words_are_hit():
    for picture in PICTURES:
        assert set_to("dominant hue", picture, "grey")[1] == "grey"
        assert set_to("rendition", picture, "greyscale")[1] == "greyscale"
        for border in ("white", "black", "coloured"):
            framed, found = set_to("border", picture, border)
            assert found == border
            assert set_to("border", framed, "none")[1] == "none"
            assert set_to("border", as_jpeg(framed, 90), "none")[1] == "none"


def test_detail_goes_down_and_hardly_up():
    for picture in PICTURES:
        sharp = measure("sharpness", picture)
        assert set_to("sharpness", picture, sharp / 8)[1] == pytest.approx(sharp / 8, rel=0.15)
        assert set_to("sharpness", picture, 1.3 * sharp)[1] == pytest.approx(1.3 * sharp, rel=0.15)
        blurred, _ = set_to("sharpness", picture, sharp / 50)
        assert set_to("sharpness", blurred, sharp)[1] < 0.5 * sharp


def test_noise_is_added_and_not_taken_away():
    for picture in PICTURES:
        low = measure("noise", picture)
        noisy, found = set_to("noise", picture, low + 8)
        assert found == pytest.approx(low + 8, rel=0.1)
        assert set_to("noise", noisy, low) == (noisy, measure("noise", noisy))
        assert np.array_equal(np.asarray(noisy), np.asarray(set_to("noise", picture, low + 8)[0]))
        assert not np.array_equal(np.asarray(noisy), np.asarray(set_to("noise", picture, low + 8, seed=1)[0]))


def test_pictures_are_made_smaller_and_cropped_and_never_enlarged():
    picture = PICTURES[0]
    assert set_to("size", picture, 0.0048)[0].size == (80, 60)
    assert set_to("size", picture, 1.0)[0] is picture
    assert set_to("aspect ratio", picture, 1.0)[0].size == (120, 120)
    assert set_to("aspect ratio", picture, 2.0)[0].size == (160, 80)


def test_a_jpeg_gets_worse_and_never_better():
    picture = PICTURES[0]
    assert np.isnan(measure("jpeg quality", picture))
    good, found = set_to("jpeg quality", picture, 90.0)
    assert found == 90
    bad, found = set_factor("jpeg quality", good, now=90.0, target=30.0, rng=0)
    assert found == 30
    assert set_factor("jpeg quality", bad, now=30.0, target=90.0, rng=0) == (bad, 30.0)
    assert set_factor("jpeg quality", bad, now=30.0, target=float("nan"), rng=0) == (bad, 30.0)


def test_a_picture_of_several_megapixels_is_hit_too():
    large = photograph(5, side=(900, 1300))
    for name, target in (("contrast", 0.1), ("saturation", 0.1)):
        assert set_to(name, large, target)[1] == pytest.approx(target, rel=0.1)
    assert set_to("noise", large, 15.0)[1] == pytest.approx(15.0, rel=0.1)


def test_what_is_measured_in_memory_is_what_is_measured_of_the_file(tmp_path):
    PICTURES[1].save(tmp_path / "picture.jpg", quality=70)
    with Image.open(tmp_path / "picture.jpg") as opened:
        opened.load()
        in_memory = Picture.of(opened)
    from_file = Picture.read(tmp_path / "picture.jpg")
    for name, one in MEASURES.items():
        assert one.of(in_memory) == one.of(from_file), name


def test_every_setter_is_of_a_measure_and_others_are_refused():
    assert set(SETTERS) < set(MEASURES)
    with pytest.raises(InputError, match=r"must be one of brightness, .*; received 'file kind'"):
        set_factor("file kind", PICTURES[0], now="PNG", target="JPEG", rng=0)


def test_free_edits_change_the_picture_and_their_own_factor_as_they_say():
    moves = {
        "blurred": ("sharpness", -1), "grey": ("saturation", -1), "brighter": ("brightness", 1),
        "darker": ("brightness", -1), "texture": ("contrast", 1), "jpeg 10": ("saturation", 0),
    }  # fmt: skip
    for picture in PICTURES:
        before = picture.copy()
        for name, edit in EDITS.items():
            edited = edit.change(picture)
            assert edited.mode == "RGB"
            assert edited.size == (picture.size if name != "centre crop" else (96, 72))
            assert not np.array_equal(np.asarray(edited.resize(picture.size)), np.asarray(picture)), name
            factor, sign = moves.get(name, ("brightness", 0))
            if sign:
                assert np.sign(measure(factor, edited) - measure(factor, picture)) == sign, name
        assert np.array_equal(np.asarray(before), np.asarray(picture))
    red, _, blue = np.asarray(EDITS["warm"].change(PICTURES[2]), dtype=float).mean(axis=(0, 1))
    assert red - blue > 60
    assert measure("border", EDITS["white border"].change(PICTURES[0])) == "white"
    assert measure("jpeg quality", EDITS["jpeg 10"].change(PICTURES[0])) == 10


def test_a_background_is_swapped_where_the_mask_lets_it():
    mask = Image.new("L", (160, 120), 0)
    mask.paste(255, (40, 30, 120, 90))
    swapped = np.asarray(swap_background(PICTURES[0], mask, Image.new("RGB", (4, 4), "red")))
    assert (swapped[30:90, 40:120] == np.asarray(PICTURES[0])[30:90, 40:120]).all()
    assert (swapped[:30] == [255, 0, 0]).all()
    with pytest.raises(InputError, match="must have its picture's size"):
        swap_background(PICTURES[0], mask.resize((4, 4)))


def test_a_mark_is_lifted_from_images_that_show_it_and_put_on_others(tmp_path):
    rng = np.random.default_rng(0)
    caption = np.zeros((10, 60, 3))
    caption[:, ::6], caption[:, 1::6] = (255, 255, 0), (255, 255, 0)
    for index in range(60):
        pixels = np.asarray(photograph(index, side=(60, 80), light=rng.uniform(80, 180))).copy()
        if index < 40:
            pixels[45:55, 10:70] = caption
        Image.fromarray(pixels).save(tmp_path / f"{index:02d}.png")
    files = sorted(tmp_path.iterdir())
    overlays = find_overlays(files)
    (overlay,) = overlays.found
    stamp = lift_mark([file for file, shows in zip(files, overlays.shows, strict=True) if shows], overlay)
    other = photograph(100, side=(60, 80))
    assert not overlay.is_on(other)
    marked = stamp.put(other)
    assert overlay.is_on(marked)
    changed = (np.asarray(marked) != np.asarray(other)).any(axis=2)
    assert changed[45:55, 10:70].mean() > 0.9
    assert (np.asarray(marked)[46:54, 12:68] == caption[1:9, 2:58]).mean() > 0.95
    assert not changed[:42].any()
    assert stamp.put(other.resize((40, 30))) is None


def test_a_frame_is_as_wide_as_it_says():
    assert (np.asarray(draw_frame(PICTURES[0], (1, 2, 3)))[:6] == [1, 2, 3]).all()
