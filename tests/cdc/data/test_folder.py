"""Folders of images: what is found, in which order, and one clear error for each way to go wrong."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from cdc.data.folder import parse_levels, read_folder
from cdc.data.listing import Listing, to_dataset
from cdc.errors import InputError

MakeImages = Callable[[Path, Iterable[str]], Path]


def places(listing: Listing) -> list[tuple[str, str]]:
    return [
        (key, listing.class_names[example.label]) for key, example in zip(listing.keys, listing.examples, strict=True)
    ]


def test_class_folders(tmp_path: Path, make_images: MakeImages) -> None:
    listing = read_folder(make_images(tmp_path, ["dog/b.PNG", "dog/a.jpg", "Zebra/a.jpg", "cat/a.jpeg"]))
    assert listing.class_names == ("Zebra", "cat", "dog")  # capitals first, as the literature sorts Caltech-101
    assert places(listing) == [
        ("Zebra/a.jpg", "Zebra"),
        ("cat/a.jpeg", "cat"),
        ("dog/a.jpg", "dog"),
        ("dog/b.PNG", "dog"),
    ]
    assert listing.splits is None


def test_what_is_hidden_or_no_image_is_passed_over(tmp_path: Path, make_images: MakeImages) -> None:
    root = make_images(tmp_path, ["dog/a.jpg", "dog/._a.jpg", ".cache/a.jpg", "__MACOSX/a.jpg", "stray.jpg"])
    (root / "dog" / "Thumbs.db").write_bytes(b"")
    (root / "README.txt").write_text("about")
    assert places(read_folder(root)) == [("dog/a.jpg", "dog")]


def test_links_to_folders_and_files_are_followed(tmp_path: Path, make_images: MakeImages) -> None:
    store = make_images(tmp_path / "store", ["a.jpg", "more/b.jpg"])
    root = tmp_path / "root"
    (root / "dog").mkdir(parents=True)
    (root / "dog" / "link.jpg").symlink_to(store / "a.jpg")
    (root / "cat").symlink_to(store / "more", target_is_directory=True)
    assert places(read_folder(root)) == [("cat/b.jpg", "cat"), ("dog/link.jpg", "dog")]


def test_nested_factors(tmp_path: Path, make_images: MakeImages) -> None:
    root = make_images(tmp_path, ["sketch/day/dog/1.jpg", "photo/day/dog/2.jpg", "photo/night/cat/3.jpg"])
    listing = read_folder(root, levels=("domain", "light", "class"))
    assert places(listing) == [
        ("photo/night/cat/3.jpg", "cat"),
        ("photo/day/dog/2.jpg", "dog"),
        ("sketch/day/dog/1.jpg", "dog"),
    ]
    assert [dict(example.factors) for example in listing.examples] == [
        {"domain": "photo", "light": "night"},
        {"domain": "photo", "light": "day"},
        {"domain": "sketch", "light": "day"},
    ]


def test_the_class_may_be_any_level(tmp_path: Path, make_images: MakeImages) -> None:
    root = make_images(tmp_path, ["dog/sketch/1.jpg", "cat/photo/2.jpg"])
    listing = read_folder(root, levels=("class", "domain"))
    assert listing.class_names == ("cat", "dog")
    assert [example.factors["domain"] for example in listing.examples] == ["photo", "sketch"]


def test_split_folders_with_factors_inside(tmp_path: Path, make_images: MakeImages) -> None:
    root = make_images(tmp_path, ["Train/photo/dog/1.jpg", "val/photo/dog/2.jpg", "test/sketch/dog/3.jpg"])
    data = to_dataset(read_folder(root, levels=("domain", "class")), name="pets")
    assert [part[0].path.stem for part in (data.train, data.validation, data.test)] == ["1", "2", "3"]
    assert data.test[0].factors["domain"] == "sketch"
    assert data.split_source == "folders Train, test, val"


def test_validation_serves_as_test_where_there_is_no_test(tmp_path: Path, make_images: MakeImages) -> None:
    data = to_dataset(read_folder(make_images(tmp_path, ["train/dog/1.jpg", "val/dog/2.jpg"])), name="pets")
    assert (len(data.train), len(data.validation), len(data.test)) == (1, 0, 1)


def test_a_class_called_train_is_a_class(tmp_path: Path, make_images: MakeImages) -> None:
    listing = read_folder(make_images(tmp_path, ["train/1.jpg", "bus/1.jpg"]))
    assert listing.class_names == ("bus", "train")
    assert listing.splits is None


def test_train_alone_is_refused(tmp_path: Path, make_images: MakeImages) -> None:
    with pytest.raises(InputError, match=r"must include a test \(or val\) folder; received train"):
        read_folder(make_images(tmp_path, ["train/dog/1.jpg"]))


def test_two_folders_for_one_split_are_refused(tmp_path: Path, make_images: MakeImages) -> None:
    with pytest.raises(InputError, match="one folder; received train, val, validation"):
        read_folder(make_images(tmp_path, ["train/dog/1.jpg", "val/dog/1.jpg", "validation/dog/1.jpg"]))


def test_a_class_unknown_in_training_is_refused(tmp_path: Path, make_images: MakeImages) -> None:
    listing = read_folder(make_images(tmp_path, ["train/dog/1.jpg", "test/dog/2.jpg", "test/cat/3.jpg"]))
    with pytest.raises(InputError, match=r"unknown in training: 'cat' \(1 images\)"):
        to_dataset(listing, name="pets")


def test_a_data_set_for_tests_only_is_accepted(tmp_path: Path, make_images: MakeImages) -> None:
    data = to_dataset(read_folder(make_images(tmp_path, ["test/dog/2.jpg", "test/cat/3.jpg"])), name="pets")
    assert (len(data.train), len(data.test)) == (0, 2)


def test_an_empty_class_folder_is_named(tmp_path: Path, make_images: MakeImages) -> None:
    root = make_images(tmp_path, ["dog/1.jpg"])
    (root / "cat").mkdir()
    with pytest.raises(InputError, match=r"at least one image; .*cat holds none\. Add images or remove the folder"):
        read_folder(root)


def test_a_folder_of_unknown_files_says_which(tmp_path: Path, make_images: MakeImages) -> None:
    root = make_images(tmp_path, ["dog/1.jpg", "cat/1.heic"])
    with pytest.raises(InputError, match=r"cat holds none\. It holds files ending in \.heic; convert them"):
        read_folder(root)


def test_a_forgotten_level_is_guessed(tmp_path: Path, make_images: MakeImages) -> None:
    root = make_images(tmp_path, ["photo/dog/1.jpg", "sketch/dog/1.jpg"])
    with pytest.raises(InputError, match=r"It holds folders \(dog, \.\.\.\).*pass factors='domain/class'"):
        read_folder(root)


@pytest.mark.parametrize("pair", [("dog", "Dog"), ("car_side", "car side"), ("ice_cream", "Ice  Cream")])
def test_duplicate_class_names_are_both_named(tmp_path: Path, make_images: MakeImages, pair: tuple[str, str]) -> None:
    root = make_images(tmp_path, [f"{name}/1.jpg" for name in pair])
    with pytest.raises(InputError) as caught:
        read_folder(root)
    assert all(repr(name) in str(caught.value) for name in pair)


@pytest.mark.parametrize("inside", ["a.jpg", None])
def test_a_folder_without_class_folders(tmp_path: Path, make_images: MakeImages, inside: str | None) -> None:
    root = make_images(tmp_path, [inside] if inside else [])
    with pytest.raises(InputError, match="one subfolder of images per class"):
        read_folder(root)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must exist; received .*nowhere"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "pattern", ["domain", "class/class", "domain//class", "domain/domain/class", "", "factors.tsv"]
)
def test_patterns_that_are_none(pattern: str) -> None:
    with pytest.raises(InputError, match="exactly one is 'class'; received"):
        parse_levels(pattern)


def test_the_division_does_not_depend_on_where_the_data_lie(tmp_path: Path, make_images: MakeImages) -> None:
    names = [f"{name}/{i}.jpg" for name in ("dog", "cat") for i in range(20)]
    here = to_dataset(read_folder(make_images(tmp_path / "here", names)), name="pets")
    there = to_dataset(read_folder(make_images(tmp_path / "over" / "there", reversed(names))), name="pets")
    for split in ("train", "validation", "test"):
        assert [e.path.parts[-2:] for e in getattr(here, split)] == [e.path.parts[-2:] for e in getattr(there, split)]
