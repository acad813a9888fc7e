"""The check finds each planted fault, and nothing in a clean set."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from cdc.data.audit import check_dataset
from cdc.data.catalog import load_dataset
from cdc.data.dataset import Example, ImageDataset


def image(path: Path, *, colour: int = 0, size: tuple[int, int] = (64, 64), label: int = 0) -> Example:
    Image.new("RGB", size, (colour, 0, 0)).save(path)
    return Example(path, label)


@pytest.fixture
def clean(tmp_path: Path) -> ImageDataset:
    files = [image(tmp_path / f"{i}.png", colour=i, label=i % 2) for i in range(6)]
    return ImageDataset("toy", ("cat", "dog"), tuple(files[:2]), tuple(files[2:4]), tuple(files[4:]))


def test_a_clean_set_has_no_problems(clean: ImageDataset) -> None:
    report = check_dataset(clean)
    assert report.problems == ()
    assert [(c.class_name, c.train, c.validation, c.test) for c in report.counts] == [
        ("cat", 1, 1, 1),
        ("dog", 1, 1, 1),
    ]


def test_a_leak_between_splits(clean: ImageDataset, tmp_path: Path) -> None:
    copy = image(tmp_path / "copy.png", colour=0, label=0)
    report = check_dataset(replace(clean, test=(*clean.test, copy)))
    assert [[path.name for path in group] for group in report.leaks] == [["0.png", "copy.png"]]
    assert (report.contradictions, report.repeats) == ((), ())
    assert report.problems[0].startswith("1 group of equal files in different splits")


def test_a_contradiction_within_a_split(clean: ImageDataset, tmp_path: Path) -> None:
    copy = image(tmp_path / "copy.png", colour=0, label=1)
    report = check_dataset(replace(clean, train=(*clean.train, copy)))
    assert [[path.name for path in group] for group in report.contradictions] == [["0.png", "copy.png"]]
    assert (report.leaks, report.repeats) == ((), ())


def test_a_repeat_within_a_split(clean: ImageDataset, tmp_path: Path) -> None:
    copy = image(tmp_path / "copy.png", colour=0, label=0)
    report = check_dataset(replace(clean, train=(*clean.train, copy)))
    assert [[path.name for path in group] for group in report.repeats] == [["0.png", "copy.png"]]
    assert (report.leaks, report.contradictions) == ((), ())


def test_unreadable_files_are_named_and_end_nothing(clean: ImageDataset, tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"")
    (tmp_path / "1.png").unlink()
    report = check_dataset(clean)
    assert [(file.path.name, file.reason) for file in report.unreadable] == [
        ("0.png", "the file is empty"),
        ("1.png", "there is no such file"),
    ]
    assert report.problems == (f"2 files that cannot be read, first {tmp_path / '0.png'} (the file is empty)",)


def test_odd_shapes(clean: ImageDataset, tmp_path: Path) -> None:
    tiny = image(tmp_path / "tiny.png", size=(31, 40))
    long = image(tmp_path / "long.png", size=(40, 161))
    just = image(tmp_path / "just.png", size=(32, 128))
    report = check_dataset(replace(clean, validation=(tiny, long, just)))
    assert report.tiny == (tiny.path,)
    assert report.elongated == (long.path,)


def test_classes_without_test_images(clean: ImageDataset) -> None:
    report = check_dataset(replace(clean, test=(clean.test[0],)))
    assert report.problems == ("no test image of 1 class: dog",)


@pytest.mark.data
def test_the_real_pacs_is_readable(photographs: Path) -> None:
    report = check_dataset(load_dataset("pacs", root=photographs))
    assert report.unreadable == ()
    assert all(counts.train == 90 for counts in report.counts)
