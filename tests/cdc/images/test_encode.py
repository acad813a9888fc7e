import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torchvision.transforms import v2

import cdc.images.cache
from cdc.backbones.backbone import Backbone, TextTower, freeze
from cdc.data.images import read_image
from cdc.errors import InputError
from cdc.images.cache import FeatureCache, default_cache, hash_file
from cdc.images.encode import encode_images, encode_views
from cdc.images.views import ViewPlan, augment, shrink

SIDE = 24
PLAN = ViewPlan("set1", templates=2, views=3)


class CountingTower(nn.Module):
    """A small convolutional tower that keeps account of what it has seen, and may be slow."""

    def __init__(self, *, pause: float = 0.0) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 5, stride=2)
        self.projection = nn.Linear(8, 6)
        self.batches: list[int] = []
        self.seen = 0
        self.pause = pause

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        time.sleep(self.pause)
        self.batches.append(len(pixels))
        self.seen += int(pixels.flatten(1).any(1).sum())  # blanks fill batches up and do not count
        return self.projection(self.convolution(pixels).relu().amax((2, 3)))


def make_backbone(*, pause: float = 0.0) -> tuple[Backbone, CountingTower]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tower = CountingTower(pause=pause)
    freeze(tower)
    preprocess = v2.Compose([v2.Resize(SIDE), v2.CenterCrop(SIDE), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    backbone = Backbone(
        name="counting", pretrained=None, precision="fp32", device=torch.device("cpu"), dim=6, logit_scale=20.0,
        text=create_autospec(TextTower, instance=True), image_tower=tower, preprocess=preprocess, fingerprint="weights",
    )  # fmt: skip
    return backbone, tower


def save_noise(path: Path, *, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    return [save_noise(tmp_path / "images" / f"{index}.png", seed=index) for index in range(7)]


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


def embed_one(backbone: Backbone, image: Image.Image) -> torch.Tensor:
    return functional.normalize(backbone.image_tower(backbone.preprocess(image)[None]), dim=-1)[0]


def entries(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.safetensors"))


@pytest.mark.parametrize("batch_size", [1, 3, 100, None])
def test_clean_features_are_the_towers(paths, batch_size):
    backbone, tower = make_backbone()
    features = encode_images(backbone, paths, cache=None, batch_size=batch_size)
    expected = torch.stack([embed_one(backbone, read_image(path)) for path in paths])
    torch.testing.assert_close(features.values, expected)
    assert features.kept == tuple(range(7))
    assert features.unreadable == ()
    assert tower.seen == 2 * 7


def test_one_file_is_a_list_of_one(paths):
    backbone, _ = make_backbone()
    for one in (paths[0], str(paths[0])):
        assert torch.equal(
            encode_images(backbone, one, cache=None).values, encode_images(backbone, paths[:1], cache=None).values
        )
        assert encode_views(backbone, one, PLAN, cache=None).kept == (0,)


@pytest.mark.parametrize("batch_size", [1, 4, 13, 100, None])
def test_view_features_are_the_towers_on_augmented_pictures(paths, batch_size):
    backbone, _ = make_backbone()
    features = encode_views(backbone, paths, PLAN, cache=None, batch_size=batch_size)
    assert features.values.shape == (7, 2, 3, 6)
    for row, path in enumerate(paths):
        image, key = read_image(path), hash_file(path)
        for template in range(2):
            for view in range(3):
                seen = augment(image, PLAN, template=template, view=view, key=key)
                torch.testing.assert_close(features.values[row, template, view], embed_one(backbone, seen))
    clean = encode_images(backbone, paths, cache=None).values
    assert (features.values - clean[:, None, None]).abs().amax(-1).min() > 1e-4


def test_a_large_image_is_made_smaller_before_its_views_and_untouched_in_the_clean_one(tmp_path):
    backbone, _ = make_backbone()
    path = tmp_path / "large.png"
    pixels = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    views = encode_views(backbone, [path], PLAN, cache=None).values
    small = shrink(read_image(path), short_side=2 * SIDE)
    expected = embed_one(backbone, augment(small, PLAN, template=1, view=2, key=hash_file(path)))
    torch.testing.assert_close(views[0, 1, 2], expected)
    clean = encode_images(backbone, [path], cache=None).values
    torch.testing.assert_close(clean[0], embed_one(backbone, read_image(path)))


def test_a_warm_cache_spares_the_tower_and_changes_no_bit(paths, cache):
    backbone, tower = make_backbone()
    cold = encode_images(backbone, paths, cache=cache), encode_views(backbone, paths, PLAN, cache=cache)
    seen = tower.seen
    warm = encode_images(backbone, paths, cache=cache), encode_views(backbone, paths, PLAN, cache=cache)
    assert tower.seen == seen
    assert all(torch.equal(a.values, b.values) for a, b in zip(cold, warm, strict=True))
    assert len(entries(cache)) == 2 * 7
    assert all(entry.parent.name == entry.name[:2] for entry in entries(cache))


def test_without_a_cache_nothing_is_kept(paths, cache, monkeypatch):
    monkeypatch.setenv("CAUSALVLM_CACHE", str(cache))
    backbone, _ = make_backbone()
    encode_images(backbone, paths, cache=None)
    assert not cache.exists()
    encode_images(backbone, paths)
    assert len(entries(cache)) == 7


@pytest.mark.parametrize(
    "other",
    [
        ViewPlan("set2", templates=2, views=3),
        ViewPlan("set1", templates=3, views=3),
        ViewPlan("set1", templates=3, views=2),  # as many pictures
        ViewPlan("set1", templates=2, views=4),
        ViewPlan("set1", templates=2, views=3, seed=2),
    ],
)
def test_another_plan_has_entries_of_its_own(paths, cache, other):
    backbone, _ = make_backbone()
    encode_views(backbone, paths, PLAN, cache=cache)
    assert torch.equal(
        encode_views(backbone, paths, other, cache=cache).values,
        encode_views(backbone, paths, other, cache=None).values,
    )
    assert len(entries(cache)) == 2 * 7


def test_another_backbone_has_entries_of_its_own(paths, cache):
    backbone, tower = make_backbone()
    encode_images(backbone, paths, cache=cache)
    encode_images(replace(backbone, fingerprint="other"), paths, cache=cache)
    assert tower.seen == 2 * 7
    encode_images(replace(backbone, name="same towers under another name"), paths, cache=cache)
    assert tower.seen == 2 * 7


def test_an_image_is_known_by_its_content(paths, cache):
    backbone, tower = make_backbone()
    before = encode_views(backbone, paths, PLAN, cache=cache).values
    moved = [path.rename(path.with_name(f"moved-{path.name}")) for path in paths]
    seen = tower.seen
    assert torch.equal(encode_views(backbone, moved[::-1], PLAN, cache=cache).values, before.flip(0))
    assert tower.seen == seen
    save_noise(moved[0], seed=99)
    after = encode_views(backbone, moved, PLAN, cache=cache).values
    assert tower.seen == seen + PLAN.pictures
    assert torch.equal(after[1:], before[1:])
    assert (after[0] - before[0]).abs().max() > 1e-3


def test_identical_images_are_encoded_once(tmp_path, cache):
    backbone, tower = make_backbone()
    twins = [save_noise(tmp_path / name, seed=1) for name in ("a.png", "b.png", "c.png")]
    other = save_noise(tmp_path / "other.png", seed=2)
    values = encode_images(backbone, [twins[0], other, *twins[1:]], cache=cache).values
    assert tower.seen == 2
    assert torch.equal(values[[2, 3]], values[[0, 0]])
    assert not torch.allclose(values[0], values[1])
    assert len(entries(cache)) == 2


def test_views_do_not_depend_on_the_companions_in_a_batch(paths):
    backbone, _ = make_backbone()
    together = encode_views(backbone, paths, PLAN, cache=None, batch_size=64).values
    alone = [encode_views(backbone, [path], PLAN, cache=None, batch_size=64).values for path in paths]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize(("batch_size", "expected"), [(1, [1] * 42), (8, [6] * 7), (13, [12] * 4), (100, [96])])
def test_batches_of_views_have_one_shape(paths, batch_size, expected):
    backbone, tower = make_backbone()
    encode_views(backbone, paths, PLAN, cache=None, batch_size=batch_size)
    assert tower.batches == expected


def test_batches_of_clean_images_hold_no_blanks_where_nothing_is_kept(paths):
    backbone, tower = make_backbone()
    encode_images(backbone, paths, cache=None, batch_size=4)
    assert tower.batches == [4, 3]


def test_batches_of_clean_images_have_one_shape_where_they_are_kept(paths, cache):
    backbone, tower = make_backbone()
    encode_images(backbone, paths, cache=cache, batch_size=4)
    assert tower.batches == [4, 4]


# Damage


@pytest.fixture
def stored(tmp_path) -> tuple[Callable[[], FeatureCache], torch.Tensor, Path]:
    """A way to open a cache, the value of its one entry and the file of that entry."""

    def open_cache() -> FeatureCache:
        return FeatureCache(tmp_path, recipe="clean", shape=(2, 3))

    value = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    open_cache().write("image", value)
    return open_cache, value, entries(tmp_path)[0]


def test_no_flipped_bit_gives_a_wrong_feature(stored):
    open_cache, value, entry = stored
    content = entry.read_bytes()
    found_damaged = 0
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            entry.write_bytes(damaged)
            read = open_cache().read("image")
            assert read is None or torch.equal(read, value)
            found_damaged += read is None
    # A flip that leaves the entry sound would have to hit the padding of the header.
    assert found_damaged >= 0.95 * 8 * len(content)
    entry.write_bytes(content)
    assert torch.equal(open_cache().read("image"), value)


def test_no_cut_or_longer_entry_is_read(stored):
    open_cache, _, entry = stored
    content = entry.read_bytes()
    for length in range(len(content)):
        entry.write_bytes(content[:length])
        assert open_cache().read("image") is None
    entry.write_bytes(content + b"\0")
    assert open_cache().read("image") is None


@pytest.mark.parametrize(("told", "retold"), [(b"[2,3]", b"[3,2]"), (b"F32", b"I32"), (b"features", b"xeatures")])
def test_no_entry_of_another_form_is_read(stored, told, retold):
    open_cache, _, entry = stored
    content = entry.read_bytes()
    assert told in content
    entry.write_bytes(content.replace(told, retold))
    assert open_cache().read("image") is None


def test_no_entry_that_is_not_finite_is_read(stored):
    open_cache, value, entry = stored
    content = entry.read_bytes()
    for broken in (float("nan"), float("inf")):
        open_cache().write("image", torch.full_like(value, broken))
        assert entry.read_bytes() != content
        assert open_cache().read("image") is None


def cut(entry: Path, _other: Path) -> None:
    entry.write_bytes(entry.read_bytes()[:-5])


def empty(entry: Path, _other: Path) -> None:
    entry.write_bytes(b"")


def replace_by_text(entry: Path, _other: Path) -> None:
    entry.write_text("not a safetensors file, but longer than eight bytes")


def replace_by_another_entry(entry: Path, other: Path) -> None:
    shutil.copy(other, entry)


def replace_by_a_foreign_file(entry: Path, _other: Path) -> None:
    save_file({"features": torch.zeros(6)}, entry)


def flip_in_the_values(entry: Path, _other: Path) -> None:
    content = bytearray(entry.read_bytes())
    content[-1] ^= 1
    entry.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [cut, empty, replace_by_text, replace_by_another_entry, replace_by_a_foreign_file, flip_in_the_values, Path.unlink],
)
def test_a_damaged_entry_is_rebuilt(paths, cache, damage):
    backbone, tower = make_backbone()
    truth = encode_images(backbone, paths, cache=cache, batch_size=1).values
    victim, other = entries(cache)[:2]
    victim.unlink() if damage is Path.unlink else damage(victim, other)
    seen = tower.seen
    for _ in range(2):
        assert torch.equal(encode_images(backbone, paths, cache=cache, batch_size=1).values, truth)
    assert tower.seen == seen + 1


def test_a_run_killed_at_any_time_goes_on_where_it_was(tmp_path, cache):
    paths = [save_noise(tmp_path / f"{index}.png", seed=index) for index in range(40)]
    script = (
        "import importlib.util, pathlib, sys\n"
        "spec = importlib.util.spec_from_file_location('tests_of_features', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "backbone, _ = module.make_backbone(pause=0.1)\n"
        "paths = [pathlib.Path(path) for path in sys.argv[3:]]\n"
        "module.encode_views(backbone, paths, module.PLAN, cache=pathlib.Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", script, __file__, str(cache), *map(str, paths)]
    with subprocess.Popen(command) as process:
        while len(entries(cache)) < 5:
            assert process.poll() is None, "the run must still be going"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done = len(entries(cache))
    assert 5 <= done < 40

    backbone, tower = make_backbone()
    resumed = encode_views(backbone, paths, PLAN, cache=cache)
    assert tower.seen == (40 - done) * PLAN.pictures
    assert torch.equal(resumed.values, encode_views(backbone, paths, PLAN, cache=None).values)


# Files that cannot be read


def test_files_that_cannot_be_read_are_left_out_and_named(paths, cache, tmp_path):
    backbone, tower = make_backbone()
    cut_short = tmp_path / "cut.png"
    cut_short.write_bytes(paths[0].read_bytes()[:600])
    twin = Path(shutil.copy(cut_short, tmp_path / "twin.png"))
    text = tmp_path / "notes.png"
    text.write_text("no image")
    missing = tmp_path / "missing.png"
    for _ in range(2):
        features = encode_images(
            backbone, [cut_short, paths[1], text, paths[2], missing, twin, tmp_path], cache=cache, batch_size=1
        )
        assert features.kept == (1, 3)
        expected = encode_images(backbone, paths[1:3], cache=None, batch_size=1).values
        assert torch.equal(features.values, expected)
        assert [path for path, _ in features.unreadable] == [cut_short, text, missing, twin, tmp_path]
        reasons = [reason for _, reason in features.unreadable]
        assert "truncated" in reasons[0]
        assert "not an image" in reasons[1]
        assert reasons[2] == "no such file or directory"
        assert reasons[3] == reasons[0]
        assert reasons[4] == "is a directory"
    assert tower.seen == 2 + 2 * 2
    assert len(entries(cache)) == 2
    assert encode_views(backbone, [text, paths[1]], PLAN, cache=None).kept == (1,)


def test_at_least_one_file_must_be_readable(tmp_path):
    backbone, _ = make_backbone()
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(InputError, match=r"received 2 files and can read none, the first is .*a\.png: it is not an im"):
        encode_images(backbone, [tmp_path / "a.png", tmp_path / "b.png"], cache=None)


def test_paths_and_batch_size_are_checked(paths):
    backbone, _ = make_backbone()
    with pytest.raises(InputError, match="at least one image file; received none"):
        encode_images(backbone, [], cache=None)
    with pytest.raises(InputError, match="batch_size must be at least 1; received 0"):
        encode_views(backbone, paths, PLAN, cache=None, batch_size=0)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_the_towers_fault(paths, cache, broken):
    """They used to be cached, and a training on them to end with advice about its learning rate."""
    backbone, tower = make_backbone()
    tower.projection.bias.data[0] = broken
    with pytest.raises(
        InputError, match=r"features must be finite; the image tower of 'counting' in fp32 gives others"
    ):
        encode_images(backbone, paths, cache=cache)
    assert entries(cache) == []


def test_a_pipe_is_named_and_left_out(paths, cache, tmp_path):
    backbone, _ = make_backbone()
    os.mkfifo(tmp_path / "pipe.png")
    features = encode_images(backbone, [tmp_path / "pipe.png", paths[0]], cache=cache)
    assert features.unreadable == ((tmp_path / "pipe.png", "not a regular file"),)


def test_an_entry_that_is_a_pipe_costs_one_warning(paths, cache):
    backbone, _ = make_backbone()
    truth = encode_images(backbone, paths, cache=cache, batch_size=1).values
    entry = entries(cache)[0]
    entry.unlink()
    os.mkfifo(entry)
    with pytest.warns(UserWarning, match=r"failed: .*\.safetensors is no regular file\. The run goes on"):
        assert torch.equal(encode_images(backbone, paths, cache=cache, batch_size=1).values, truth)
    assert entry.is_fifo()


# A cache that cannot be written to


def test_a_cache_that_cannot_be_written_costs_one_warning_and_no_feature(paths, tmp_path):
    backbone, _ = make_backbone()
    (tmp_path / "file").write_text("where a folder should be")
    with pytest.warns(UserWarning, match="failed: .*[Dd]irectory.*keeps them in memory") as caught:
        features = encode_images(backbone, paths, cache=tmp_path / "file" / "cache")
    assert len(caught) == 1
    assert torch.equal(features.values, encode_images(backbone, paths, cache=None).values)


def test_a_full_disk_keeps_what_was_written(paths, cache, monkeypatch):
    backbone, tower = make_backbone()
    written = []

    def write_three(path: Path, content: bytes, *, durable: bool) -> None:
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        write_bytes(path, content, durable=durable)

    write_bytes = cdc.images.cache.write_bytes
    monkeypatch.setattr(cdc.images.cache, "write_bytes", write_three)
    with pytest.warns(UserWarning, match="failed: No space left on device") as caught:
        features = encode_images(backbone, paths, cache=cache)
    assert len(caught) == 1
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(encode_images(backbone, paths, cache=cache).values, features.values)
    assert tower.seen == 7 + 4


def test_default_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("CAUSALVLM_CACHE", "~/own")
    assert default_cache() == tmp_path / "own"
    monkeypatch.delenv("CAUSALVLM_CACHE")
    assert default_cache() == Path("/xdg/causalvlm")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == tmp_path / ".cache" / "causalvlm"


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_shown_on_a_terminal_for_what_is_encoded(paths, cache, monkeypatch):
    backbone, _ = make_backbone(pause=0.01)
    encode_images(backbone, paths[:3], cache=cache)
    monkeypatch.setattr(sys, "stderr", Terminal())
    encode_images(backbone, paths, cache=cache, progress="encoding photographs", batch_size=1)
    shown = sys.stderr.getvalue()
    assert "encoding photographs" in shown
    assert "4/4" in shown
    assert "images/s" in shown

    for stderr, label in [(Terminal(), "encoding photographs"), (Terminal(), None), (io.StringIO(), "off a terminal")]:
        monkeypatch.setattr(sys, "stderr", stderr)
        folder = cache if label == "encoding photographs" else None
        encode_images(backbone, paths, cache=folder, progress=label)
        assert stderr.getvalue() == ""


# Real photographs


@pytest.mark.data
def test_views_of_photographs_stay_near_the_photograph(photographs, cache):
    backbone = cdc.load_backbone("photo")
    files = sorted((photographs / "caltech-101").rglob("*.jpg"))[::2000]
    views = encode_views(backbone, files, ViewPlan(views=2), cache=cache)
    assert views.unreadable == ()
    assert torch.equal(encode_views(backbone, files, ViewPlan(views=2), cache=cache).values, views.values)
    clean = encode_images(backbone, files, cache=cache).values
    torch.testing.assert_close(views.values.norm(dim=-1), torch.ones(len(files), 4, 2))
    own = torch.einsum("ntvd,nd->ntv", views.values, clean).mean()
    others = torch.einsum("ntvd,nd->ntv", views.values, clean.roll(1, 0)).mean()
    assert own > 0.6
    assert own > others + 0.3
