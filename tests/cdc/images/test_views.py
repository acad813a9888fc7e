import random

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image

from cdc.errors import InputError
from cdc.images.views import AUGMENTATIONS, STRENGTHS, ViewPlan, augment, shrink

KEYS = [f"image {number}" for number in range(200)]
PLACEMENT, COLOUR, TONE, DETAIL = range(4)
PLAN = ViewPlan("set1", templates=16)


def coordinates(side: int = 256) -> Image.Image:
    """Each pixel says where it is: red is x, green is y."""
    y, x = np.mgrid[:side, :side]
    return Image.fromarray(np.stack([x, y, np.full_like(x, 128)], axis=-1).astype(np.uint8))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def seen_window(picture: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what a picture of `coordinates` shows."""
    x, y = pixels(picture)[..., 0], pixels(picture)[..., 1]
    return x.min(), y.min(), x.max() + 1, y.max() + 1


@pytest.fixture(scope="module")
def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))


@pytest.mark.parametrize("augmentation_set", ["set1", "set2"])
@pytest.mark.parametrize("template", range(4))
def test_a_view_is_a_function_of_its_name_and_of_nothing_else(noise, augmentation_set, template):
    plan = ViewPlan(augmentation_set)
    before = noise.tobytes()
    random_state, numpy_state = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - to see it unchanged
    torch_state = torch.get_rng_state()

    views = [augment(noise, plan, template=template, view=1, key="a") for _ in range(2)]

    assert views[0] == views[1]
    assert noise.tobytes() == before
    assert random.getstate() == random_state
    assert np.random.get_state()[1].tolist() == numpy_state  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.mark.parametrize("template", range(4))
def test_views_differ_by_seed_template_view_and_image(noise, template):
    plan = ViewPlan("set1", templates=20)
    view = augment(noise, plan, template=template, view=1, key="a")
    others = [
        augment(noise, ViewPlan("set1", templates=20, seed=2), template=template, view=1, key="a"),
        augment(noise, plan, template=template, view=2, key="a"),
        augment(noise, plan, template=template, view=1, key="b"),
        # Sixteen templates on, augmentation and strength are the same: only the draws differ.
        augment(noise, plan, template=template + 16, view=1, key="a"),
        *(augment(noise, plan, template=other, view=1, key="a") for other in range(4) if other != template),
    ]
    assert view not in others


def test_a_view_does_not_depend_on_how_many_others_there_are(noise):
    few, many = ViewPlan("set1", templates=2, views=2), ViewPlan("set1", templates=16, views=9)
    assert augment(noise, few, template=1, view=1, key="a") == augment(noise, many, template=1, view=1, key="a")


@pytest.mark.parametrize("augmentation_set", ["set1", "set2"])
@pytest.mark.parametrize("size", [(64, 48), (48, 65), (7, 300), (118, 4), (2, 117), (5, 3), (1, 1)])
@pytest.mark.parametrize("template", range(16))
def test_no_view_shows_a_border_that_the_image_does_not_have(augmentation_set, size, template):
    plan = ViewPlan(augmentation_set, templates=16)
    for key in KEYS[:10]:
        view = augment(Image.new("RGB", size, (250, 200, 150)), plan, template=template, view=1, key=key)
        assert len(view.getcolors()) == 1


def test_placement_is_a_mirrored_or_plain_window():
    image = coordinates()
    mirrored = 0
    for key in KEYS:
        view = augment(image, PLAN, template=PLACEMENT, view=1, key=key)
        left, top, right, bottom = seen_window(view)
        window = pixels(image)[top:bottom, left:right]
        flipped = bool(pixels(view)[0, 0, 0] > pixels(view)[0, -1, 0])
        np.testing.assert_array_equal(pixels(view), window[:, ::-1] if flipped else window)
        assert min(right - left, bottom - top) >= 0.85 * 256 - 1
        mirrored += flipped
    # Binomial(200, 1/2) leaves 65..135 with probability 6e-7; the draws are fixed, so this cannot flicker.
    assert 65 <= mirrored <= 135


@pytest.mark.parametrize("template", [0, 4, 8, 12])
def test_strength_bounds_the_window_and_view_0_goes_half_as_far(template):
    def most_cut(view: int) -> float:
        widths = [augment(coordinates(), PLAN, template=template, view=view, key=key).width for key in KEYS]
        return 1 - min(widths) / 256

    full = 0.15 * STRENGTHS[template // 4]
    assert 0.9 * full < most_cut(view=1) <= full + 1 / 256
    assert 0.9 * full / 2 < most_cut(view=0) <= full / 2 + 1 / 256


def test_colour_moves_colours_and_no_pixel():
    image = Image.new("RGB", (40, 20), (200, 80, 40))
    image.paste((40, 90, 180), (0, 0, 10, 20))
    seen = set()
    for key in KEYS[:50]:
        view = pixels(augment(image, PLAN, template=COLOUR, view=1, key=key))
        assert view.shape == (20, 40, 3)
        assert len(np.unique(view[:, :10].reshape(-1, 3), axis=0)) == 1
        assert len(np.unique(view[:, 10:].reshape(-1, 3), axis=0)) == 1
        seen.add(tuple(view[0, 0]))
    assert len(seen) > 45


def test_colour_turns_the_hue_by_up_to_a_twentieth_both_ways():
    image = Image.new("RGB", (4, 4), (40, 160, 160))
    hue = image.convert("HSV").getpixel((0, 0))[0]
    views = [augment(image, PLAN, template=COLOUR, view=1, key=key).convert("HSV") for key in KEYS]
    shifts = [(view.getpixel((0, 0))[0] - hue) / 256 for view in views]
    rounding = 3 / 256  # HSV has 256 hues, and clipped channels shift them a little
    assert 0.05 - rounding < max(shifts) < 0.05 + rounding
    assert -0.05 - rounding < min(shifts) < -0.05 + rounding


def chroma(picture: Image.Image) -> float:
    values = pixels(picture)
    return float((values.max(-1) - values.min(-1)).mean())


def test_tone_removes_at_least_half_of_the_colour_and_colour_can_add_some():
    image = Image.new("RGB", (8, 8), (160, 100, 70))
    left = [chroma(augment(image, PLAN, template=TONE, view=1, key=key)) for key in KEYS]
    posterised = 2**4  # at most four of eight bits are dropped
    assert max(left) <= 0.5 * chroma(image) + posterised
    assert min(left) <= 0.1 * chroma(image)
    changed = [chroma(augment(image, PLAN, template=COLOUR, view=1, key=key)) for key in KEYS]
    assert max(changed) > 1.2 * chroma(image)


def test_tone_keeps_fewer_levels():
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (4, 1, 3)))
    levels = [len(augment(ramp, PLAN, template=TONE, view=1, key=key).getcolors()) for key in KEYS]
    assert set(levels) == {16, 32, 64, 128, 256}


def turn(picture: Image.Image) -> float:
    """Degrees by which a picture of `coordinates` is turned, from the direction in which red grows."""
    middle = pixels(picture)[60:-60, 60:-60, 0]
    down, right = np.gradient(middle.astype(float))
    return float(np.degrees(np.arctan2(down.mean(), right.mean())))


@pytest.mark.parametrize(("template", "limit"), [(DETAIL, 10), (DETAIL + 8, 5)])
def test_detail_turns_up_to_its_limit_both_ways(template, limit):
    angles = [turn(augment(coordinates(), PLAN, template=template, view=1, key=key)) for key in KEYS]
    assert 0.9 * limit < max(angles) <= limit + 0.2
    assert -limit - 0.2 <= min(angles) < -0.9 * limit
    assert turn(augment(coordinates(), PLAN, template=PLACEMENT, view=1, key=KEYS[0])) % 180 == pytest.approx(0)


def test_detail_blurs_or_sharpens(noise):
    def roughness(picture: Image.Image) -> float:
        return float(np.abs(np.diff(pixels(picture), axis=1)).mean())

    views = [roughness(augment(noise, PLAN, template=DETAIL, view=1, key=key)) for key in KEYS]
    # Turning alone softens noise, so the sharpened views are those that stay above the untouched picture.
    assert min(views) < 0.6 * roughness(noise)
    assert max(views) > roughness(noise)


def test_set2_shows_a_part_of_what_set1_shows():
    image = coordinates()
    shares, shapes = [], []
    for key in KEYS:
        first = augment(image, ViewPlan("set1"), template=PLACEMENT, view=1, key=key)
        second = augment(image, ViewPlan("set2"), template=PLACEMENT, view=1, key=key)
        outer, inner = seen_window(first), seen_window(second)
        assert second.width == second.height
        assert outer[0] - 1 <= inner[0]
        assert outer[1] - 1 <= inner[1]
        assert inner[2] <= outer[2] + 1
        assert inner[3] <= outer[3] + 1
        assert (pixels(first)[0, 0, 0] > pixels(first)[0, -1, 0]) == (
            pixels(second)[0, 0, 0] > pixels(second)[0, -1, 0]
        )
        shares.append((inner[2] - inner[0]) * (inner[3] - inner[1]) / (first.width * first.height))
        shapes.append((inner[2] - inner[0]) / (inner[3] - inner[1]))
    assert min(shares) == pytest.approx(0.4, abs=0.04)
    assert max(shares) > 0.9
    assert 3 / 4 - 0.02 <= min(shapes) < 0.8
    assert 1.25 < max(shapes) <= 4 / 3 + 0.02


@pytest.mark.parametrize("template", range(1, 4))
def test_set2_keeps_the_other_draws_of_set1(template):
    image = Image.new("RGB", (64, 48), (160, 100, 70))
    for key in KEYS[:20]:
        views = [augment(image, ViewPlan(name), template=template, view=1, key=key) for name in ("set1", "set2")]
        assert views[0].getpixel((0, 0)) == views[1].getpixel((0, 0))


@pytest.mark.parametrize("size", [(4000, 3000), (3000, 4000), (448, 9000)])
def test_shrink_sets_the_short_side_and_keeps_the_shape(size):
    small = shrink(Image.new("RGB", size), short_side=448)
    assert min(small.size) == 448
    assert small.width / small.height == pytest.approx(size[0] / size[1], rel=2e-3)


def test_shrink_leaves_a_small_image_alone():
    image = Image.new("RGB", (448, 500))
    assert shrink(image, short_side=448) is image


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"templates": 0}, r"templates of a ViewPlan must be at least 1; received 0\. Pass templates=4"),
        ({"views": -1}, r"views of a ViewPlan must be at least 1; received -1\. Pass views=4"),
    ],
)
def test_a_plan_refuses_what_makes_no_views(settings, message):
    with pytest.raises(InputError, match=message):
        ViewPlan(**settings)


def test_a_plan_refuses_an_unknown_set(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users run it
    with pytest.raises(InputError, match=r"must be one of 'set1', 'set2', 'crop-flip', 'none'; received 'set3'"):
        ViewPlan("set3")


@pytest.mark.parametrize(("template", "view"), [(4, 0), (-1, 0), (0, 4), (0, -1)])
def test_a_view_outside_the_plan_is_refused(noise, template, view):
    with pytest.raises(InputError, match=r"must be from 0 to 3 in this plan; received (4|-1)"):
        augment(noise, ViewPlan("set1"), template=template, view=view, key="a")


def test_a_picture_that_is_not_rgb_is_refused(noise):
    with pytest.raises(InputError, match="must be RGB; received mode 'L'"):
        augment(noise.convert("L"), ViewPlan("set1"), template=0, view=0, key="a")


def test_every_template_of_the_first_four_has_an_augmentation_of_its_own():
    assert list(AUGMENTATIONS) == ["placement", "colour", "tone", "detail"]


def test_crop_flip_is_one_augmentation_for_all_templates(noise):
    """Squares of 8 to 100 % of the area, half of them mirrored, drawn anew for every template and view."""
    plan = ViewPlan("crop-flip", templates=4, views=40)
    gradient = Image.linear_gradient("L").resize((120, 120)).rotate(90).convert("RGB")  # darker on one side
    seen = [augment(gradient, plan, template=t, view=v, key="a") for t in range(4) for v in range(40)]
    shares = [picture.width**2 / gradient.width**2 for picture in seen]
    assert min(shares) < 0.2
    assert max(shares) > 0.6
    assert all(picture.width == picture.height for picture in seen)
    right = [np.asarray(picture)[:, -1, 0].mean() > np.asarray(picture)[:, 0, 0].mean() for picture in seen]
    assert 0.35 < np.mean(right) < 0.65
    first, second = (augment(noise, plan, template=t, view=1, key="a") for t in (0, 1))
    assert first.size != second.size or first.tobytes() != second.tobytes()
    assert augment(noise, plan, template=0, view=1, key="a").tobytes() == first.tobytes()
