"""Every kind of file that a photo collection holds is read as RGB, or refused by name."""

import os
import pickle
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cdc.data import images
from cdc.data.images import UnreadableImageError, lend_image, read_image
from cdc.data.places import IMAGE_SUFFIXES, is_image

RED = (255, 0, 0)


def ramp(height: int = 16, width: int = 24) -> np.ndarray:
    """A smooth colour picture: compresses well, and no two of its corners are alike."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 255 // height, columns * 255 // width, 128 + 0 * rows], axis=-1).astype(np.uint8)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_rgb_is_returned_untouched(tmp_path: Path) -> None:
    pixels = ramp()
    image = read_image(saved(Image.fromarray(pixels), tmp_path / "a.png"))
    np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 90, (90, 90, 90)),
        ("CMYK", (0, 255, 255, 0), RED),
        ("YCbCr", (76, 85, 255), (254, 0, 0)),
    ],
)
def test_other_colour_models_become_rgb(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...], expected: tuple[int, int, int]
) -> None:
    image = read_image(saved(Image.new(mode, (4, 4), colour), tmp_path / "a.tiff"))
    assert image.mode == "RGB"
    np.testing.assert_allclose(image.getpixel((0, 0)), expected, atol=2)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    image = read_image(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "a.jpg", quality=95))
    np.testing.assert_allclose(image.getpixel((8, 8)), RED, atol=6)


def test_palette(tmp_path: Path) -> None:
    picture = Image.new("RGB", (4, 4), RED).quantize(4)
    assert picture.mode == "P"
    assert read_image(saved(picture, tmp_path / "a.png")).getpixel((0, 0)) == RED


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (255, 0, 0, 128), (255, 127, 127)),
        ("LA", (0, 0), (255, 255, 255)),
        ("LA", (10, 255), (10, 10, 10)),
    ],
)
def test_transparency_is_laid_on_white(
    tmp_path: Path, mode: str, colour: tuple[int, ...], expected: tuple[int, int, int]
) -> None:
    assert read_image(saved(Image.new(mode, (4, 4), colour), tmp_path / "a.png")).getpixel((0, 0)) == expected


@pytest.mark.parametrize("transparency", [0, bytes([0])])
def test_transparent_palette_is_laid_on_white(tmp_path: Path, transparency: int | bytes) -> None:
    """Both forms of a PNG palette's transparency; the second makes a plain conversion warn."""
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([255, 0, 0])
    image = read_image(saved(picture, tmp_path / "a.png", transparency=transparency))
    assert image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (256, 0), (65280, 254), (65535, 255), (257 * 100, 100)])
@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_sixteen_bits_keep_their_scale(tmp_path: Path, name: str, value: int, expected: int) -> None:
    """Pillow's own conversion clips at 255, which turns such images white."""
    picture = Image.fromarray(np.full((4, 4), value, dtype=np.uint16))
    assert read_image(saved(picture, tmp_path / name)).getpixel((0, 0)) == (expected,) * 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    """The eight EXIF orientations, against turning the pixels by hand (EXIF 2.3, tag 0x0112)."""
    upright = ramp()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_image(saved(Image.fromarray(np.ascontiguousarray(stored)), tmp_path / "a.png", exif=exif))
    np.testing.assert_array_equal(np.asarray(image), upright)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, (0, 0, 255))]
    path = saved(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(path).getpixel((0, 0)) == RED


def damage(kind: str, path: Path) -> None:
    """Write a file that is no whole image."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("404 not found")
        case "truncated":
            Image.fromarray(noise).save(path)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "header only":
            Image.fromarray(noise).save(path)
            path.write_bytes(path.read_bytes()[:20])
        case "flipped":
            Image.fromarray(noise).save(path)
            content = bytearray(path.read_bytes())
            content[16:24] = bytes(8)  # a PNG of zero size whose checksum fails; JPEG tables overwritten
            path.write_bytes(content)
        case "missing":
            pass


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("empty", "a.jpg", "the file is empty"),
        ("text", "a.jpg", "it is not an image in a known format"),
        ("truncated", "a.jpg", "the file is truncated"),
        ("truncated", "a.png", "the file is truncated"),
        ("truncated", "a.gif", "the file is truncated"),
        ("truncated", "a.bmp", "the file is truncated"),
        ("header only", "a.jpg", ""),
        ("header only", "a.png", ""),
        ("flipped", "a.png", ""),
        ("missing", "a.png", "there is no such file"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, kind: str, name: str, reason: str) -> None:
    path = tmp_path / name
    damage(kind, path)
    with pytest.raises(UnreadableImageError) as caught:
        read_image(path)
    assert caught.value.path == path
    assert caught.value.reason
    assert reason in caught.value.reason
    assert str(path) in str(caught.value)


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="it is a folder"):
        read_image(tmp_path)


def test_pixels_without_a_known_range_are_refused(tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.zeros((4, 4), dtype=np.float32)), tmp_path / "a.tiff")
    with pytest.raises(UnreadableImageError, match="'F', convert it to 8 bits"):
        read_image(path)


def test_the_error_crosses_processes(tmp_path: Path) -> None:
    error = UnreadableImageError(tmp_path / "a.jpg", "the file is empty")
    copy = pickle.loads(pickle.dumps(error))  # what a data loader's worker does with it
    assert (copy.path, copy.reason, str(copy)) == (error.path, error.reason, str(error))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.jpg", True), ("a.JPeG", True), (".a.jpg", False), ("a.jpg.txt", False), ("jpg", False), ("a.webp", True)],
)
def test_images_are_told_by_their_ending(name: str, expected: bool) -> None:
    assert is_image(Path(name)) is expected


@pytest.mark.parametrize("size", [(20000, 1), (1, 20000), (102, 2)])
def test_what_is_longer_than_any_photograph_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    """The short side is resized to hundreds of pixels before the crop: 20000 x 1 would take gigabytes."""
    path = saved(Image.new("RGB", size), tmp_path / "a.png")
    with pytest.raises(UnreadableImageError, match=rf"it is {size[0]} x {size[1]} pixels, more than 50 times as long"):
        read_image(path)
    assert read_image(saved(Image.new("RGB", (100, 2)), tmp_path / "b.png")).size == (100, 2)


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.gif"])
def test_more_pixels_than_the_bound_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(images, "MOST_PIXELS", 40 * 30)
    assert read_image(saved(Image.new("L", (40, 30)), tmp_path / name)).size == (40, 30)
    with pytest.raises(UnreadableImageError, match=r"it is 41 x 30 pixels, more than 1,200 in all; make it smaller"):
        read_image(saved(Image.new("L", (41, 30)), tmp_path / name))


def test_what_pillow_itself_refuses_is_said_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 20000 10000 255\n")
    with pytest.raises(UnreadableImageError, match="it has more than 89,000,000 pixels, make it smaller first"):
        read_image(path)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_above_the_bound_is_decoded_at_half_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(Image.fromarray(ramp(160, 240)), tmp_path / "a.jpg", quality=95, exif=exif)
    whole = read_image(path)
    monkeypatch.setattr(images, "MOST_PIXELS", 160 * 240 - 1)
    half = read_image(path)
    assert half.size == (whole.width // 2, whole.height // 2)
    np.testing.assert_allclose(np.asarray(half, float), np.asarray(whole.reduce(2), float), atol=3)
    monkeypatch.setattr(images, "MOST_PIXELS", 160 * 240)
    np.testing.assert_array_equal(np.asarray(read_image(path)), np.asarray(whole))


def test_threads_that_read_at_once_share_the_pixels_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for two pictures of the size: never three at once; one that is larger than all of it comes in alone."""
    monkeypatch.setattr(images, "_in_flight", images._Budget(2 * 20 * 20))
    paths = [saved(Image.new("RGB", (20, 20)), tmp_path / f"{index}.png") for index in range(12)]
    paths.insert(6, saved(Image.new("RGB", (90, 90)), tmp_path / "large.png"))
    held, most, lock, pause = [], [], threading.Lock(), threading.Event()

    def read(path: Path) -> None:
        with lend_image(path) as image:
            with lock:
                held.append(image.size)
                most.append(tuple(held))
            pause.wait(0.01)
            with lock:
                held.remove(image.size)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, paths))
    assert {len(together) for together in most} == {1, 2}
    assert [together for together in most if (90, 90) in together] == [((90, 90),)]


def test_what_a_block_raises_is_its_own_and_gives_its_pixels_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_in_flight", images._Budget(16))
    path = saved(Image.new("RGB", (4, 4)), tmp_path / "a.png")
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), lend_image(path):
            raise ZeroDivisionError


def test_pixels_that_a_thread_lets_go_are_free_for_the_others() -> None:
    """glibc keeps freed blocks of up to 32 MiB for their thread: four threads held 2.5 GB where one took 1.1."""
    assert Image.core.get_block_size() > 32 * 1024**2


def test_no_other_program_is_started_for_what_a_name_hides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An EPS file called .jpg would be handed to Ghostscript."""
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path, format="EPS")
    monkeypatch.setattr(subprocess, "check_call", lambda *_, **__: pytest.fail("started"))
    monkeypatch.setattr(shutil, "which", lambda *_: "gs")
    with pytest.raises(UnreadableImageError, match=r"not an image in a known format \(JPEG, PNG, BMP, GIF, WEBP, TIFF"):
        read_image(path)


def test_every_ending_is_one_of_the_formats(tmp_path: Path) -> None:
    for suffix in IMAGE_SUFFIXES:
        assert read_image(saved(Image.new("L", (4, 4), 9), tmp_path / f"a{suffix}")).size == (4, 4)


@pytest.mark.parametrize("kind", ["pipe", "device", "loop"])
def test_what_never_ends_is_no_image(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)
    with pytest.raises(UnreadableImageError, match=r"not a regular file|too many levels of symbolic links"):
        read_image(path)
