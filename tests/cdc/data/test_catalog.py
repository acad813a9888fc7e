"""Data sets by name: the literature's layouts, rebuilt small, and the real ones where they are."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from cdc.data.catalog import CATALOG, check_place, load_dataset
from cdc.data.layouts import SplitFile
from cdc.data.splits import few_shot, select_classes
from cdc.errors import InputError

MakeImages = Callable[[Path, Iterable[str]], Path]

CALTECH = "caltech-101/101_ObjectCategories"

# The 1-shot draw of seed 1 on Caltech-101 by the original code: positions in its published train list, one per class,
# github.com/linzhiqiu/cross_modal_adaptation, indices/caltech101/shot_1-seed_1.json (commit 0ba1f73).
PUBLISHED_CALTECH_DRAW = """
34 290 709 719 875 1148 1181 1201 1226 1258 1273 1303 1347 1405 1413 1478 1513 1544 1595 1609 1655 1677 1711 1771 1786
1812 1862 1877 1902 1928 1956 2002 2029 2075 2083 2134 2176 2206 2241 2266 2308 2327 2349 2373 2385 2403 2478 2519 2543
2556 2605 2643 2657 2703 2771 2804 2844 2879 2907 2923 2953 2975 3023 3045 3078 3096 3113 3145 3157 3186 3206 3236 3246
3269 3321 3355 3379 3392 3406 3447 3485 3498 3528 3566 3584 3626 3661 3669 3715 3720 3769 3823 3864 3939 3997 4023 4038
4055 4094 4105
"""


@pytest.fixture
def caltech(tmp_path: Path, make_images: MakeImages) -> Path:
    """Caltech-101 as it unpacks, with four classes of three images and the two folders that are left out."""
    folders = ["Faces", "Faces_easy", "BACKGROUND_Google", "airplanes", "car_side", "ant"]
    return make_images(tmp_path, [f"{CALTECH}/{name}/image_{i}.jpg" for name in folders for i in range(3)])


def write_split(root: Path, **splits: list[list[object]]) -> Path:
    path = root / "caltech-101" / "split_zhou_Caltech101.json"
    path.write_text(json.dumps({"train": [], "val": [], "test": []} | splits))
    return path


def test_caltech_without_its_split_file_is_divided_and_says_so(caltech: Path) -> None:
    data = load_dataset("caltech101", root=caltech)
    assert data.class_names == ("face", "airplane", "ant", "car_side")
    assert "not a published split" in data.split_source
    assert (data.name, data.template) == ("caltech101", "a photo of a {}.")


@pytest.mark.parametrize("name", ["caltech101", "Caltech101", "caltech-101", "Caltech_101"])
def test_names_in_any_spelling(caltech: Path, name: str) -> None:
    assert load_dataset(name, root=caltech).name == "caltech101"


def test_a_slash_means_the_folder_where_there_is_one(
    tmp_path: Path, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [
        f"pacs/{domain}/{name}/{i}.jpg" for domain in ("photo", "cartoon") for name in ("cat", "dog") for i in "012"
    ]
    root = make_images(tmp_path / "data", files)
    monkeypatch.delenv("CAUSALVLM_DATA", raising=False)
    named = load_dataset("pacs", root=root)
    assert load_dataset("pacs/", root=root).fingerprint == named.fingerprint
    with pytest.raises(InputError, match=r"received 'pacs' without one. Pass root=..., or set CAUSALVLM_DATA"):
        load_dataset("pacs")
    monkeypatch.chdir(root)
    assert load_dataset("pacs").fingerprint == named.fingerprint
    assert load_dataset("pacs/", factors="domain/class").fingerprint == named.fingerprint
    with pytest.raises(InputError, match="folder levels are known for pacs"):
        load_dataset("pacs", factors="domain/class")


def test_what_is_not_there_is_refused_without_a_look_at_what_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAUSALVLM_DATA", raising=False)
    for place in ("pets", "pets.csv", tmp_path / "pets"):
        with pytest.raises(InputError) as refused:
            check_place(place)
        with pytest.raises(InputError) as loaded:
            load_dataset(place)
        assert str(refused.value) == str(loaded.value)
    with pytest.raises(InputError, match="received 'dtd' without one"):
        check_place("dtd")
    check_place("dtd", root=tmp_path)
    check_place(tmp_path)


def test_the_other_folder_name_of_caltech(caltech: Path) -> None:
    expected = load_dataset("caltech101", root=caltech).fingerprint
    (caltech / "caltech-101").rename(caltech / "Caltech101")
    assert load_dataset("caltech101", root=caltech).fingerprint == expected


def test_the_data_root_may_come_from_the_environment(caltech: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAUSALVLM_DATA", str(caltech))
    assert load_dataset("caltech101").name == "caltech101"
    monkeypatch.delenv("CAUSALVLM_DATA")
    with pytest.raises(InputError, match=r"needs the folder of the data sets.*set CAUSALVLM_DATA"):
        load_dataset("caltech101")


def test_a_split_file_is_followed_to_the_letter(caltech: Path) -> None:
    """Order of the list, labels and names are the file's, not the folders'."""
    write_split(
        caltech,
        train=[["ant/image_2.jpg", 1, "ant"], ["Faces/image_0.jpg", 0, "face"], ["ant/image_0.jpg", 1, "ant"]],
        val=[["ant/image_1.jpg", 1, "ant"]],
        test=[["Faces/image_1.jpg", 0, "face"]],
    )
    data = load_dataset("caltech101", root=caltech)
    assert data.class_names == ("face", "ant")
    assert [(e.path.parent.name, e.path.stem, e.label) for e in data.train] == [
        ("ant", "image_2", 1),
        ("Faces", "image_0", 0),
        ("ant", "image_0", 1),
    ]
    assert data.split_source == "split_zhou_Caltech101.json (3/1/1 images), NOT the published (4128, 1649, 2465)"


def test_published_sizes_are_recognised(caltech: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_split(caltech, train=[["ant/image_2.jpg", 0, "ant"]], test=[["ant/image_1.jpg", 0, "ant"]])
    entry = CATALOG["caltech101"]
    small = type(entry)(entry.folders, entry.images, SplitFile("split_zhou_Caltech101.json", (1, 0, 1)))
    monkeypatch.setitem(CATALOG, "caltech101", small)
    assert load_dataset("caltech101", root=caltech).split_source.endswith("as published")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "JSON with the lists train, val and test"),
        ('{"train": [], "val": []}', "KeyError: 'test'"),
        ('{"train": [["a.jpg", 0]], "val": [], "test": []}', "ValueError"),
        ('{"train": [["ant/image_0.jpg", 1, "ant"]], "val": [], "test": []}', "number its classes from 0"),
        (
            '{"train": [["ant/image_0.jpg", 0, "ant"], ["ant/image_1.jpg", 0, "bee"]], "val": [], "test": []}',
            "with one name each",
        ),
        (
            '{"train": [["ant/image_0.jpg", 0, "ant"], ["ant/image_9.jpg", 0, "ant"]], "val": [], "test": []}',
            r"1 of 2 are missing, first .*image_9\.jpg",
        ),
    ],
)
def test_damaged_split_files(caltech: Path, content: str, message: str) -> None:
    write_split(caltech).write_text(content)
    with pytest.raises(InputError, match=message):
        load_dataset("caltech101", root=caltech)


def test_a_missing_data_set_says_where_it_should_lie(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"caltech101 must lie in .*caltech-101/101_ObjectCategories or .*Caltech101"):
        load_dataset("caltech101", root=tmp_path)


def test_a_set_that_cannot_be_divided_honestly_asks_for_its_split_file(tmp_path: Path, make_images: MakeImages) -> None:
    make_images(tmp_path, ["oxford_pets/images/Abyssinian_1.jpg"])
    with pytest.raises(InputError, match=r"needs its split file split_zhou_OxfordPets\.json"):
        load_dataset("oxford_pets", root=tmp_path)


def test_cars_count_files_from_the_data_set_s_own_folder(tmp_path: Path, make_images: MakeImages) -> None:
    make_images(tmp_path, ["stanford_cars/cars_train/1.jpg"])
    split = {"train": [["cars_train/1.jpg", 0, "2000 AM General Hummer SUV"]], "val": [], "test": []}
    (tmp_path / "stanford_cars" / "split_zhou_StanfordCars.json").write_text(json.dumps(split))
    data = load_dataset("stanford_cars", root=tmp_path)
    assert data.train[0].path == tmp_path / "stanford_cars" / "cars_train" / "1.jpg"


def test_aircraft_follows_its_own_lists(tmp_path: Path, make_images: MakeImages) -> None:
    folder = make_images(tmp_path / "fgvc_aircraft", ["images/1.jpg", "images/2.jpg", "images/3.jpg"])
    (folder / "variants.txt").write_text("Boeing 717\nA300B4\n")
    lists = {"train": "1 A300B4\n2 Boeing 717\n", "val": "", "test": "3 A300B4\n"}
    for split, text in lists.items():
        (folder / f"images_variant_{split}.txt").write_text(text)
    data = load_dataset("fgvc_aircraft", root=tmp_path)
    assert data.class_names == ("Boeing 717", "A300B4")
    assert [example.label for example in data.train] == [1, 0]
    assert data.template == "a photo of a {}, a type of aircraft."
    (folder / "images" / "3.jpg").unlink()
    with pytest.raises(InputError, match="1 of 3 are missing"):
        load_dataset("fgvc_aircraft", root=tmp_path)
    (folder / "images_variant_test.txt").write_text("3 A400\n")
    with pytest.raises(InputError, match="'A400'"):
        load_dataset("fgvc_aircraft", root=tmp_path)


CLASSNAMES = "n03 crane\nn01 tench\nn02 crane\n"
"""Names are not sorted by id, and two classes share one, as they do in ImageNet."""


def test_imagenet_sorts_by_id_and_tests_on_val(tmp_path: Path, make_images: MakeImages) -> None:
    places = [f"images/{split}/{wnid}/a.JPEG" for split in ("train", "val") for wnid in ("n02", "n03", "n01")]
    (make_images(tmp_path / "imagenet", places) / "classnames.txt").write_text(CLASSNAMES)
    data = load_dataset("imagenet", root=tmp_path)
    assert data.class_names == ("tench", "crane", "crane")
    assert [example.path.parent.name for example in data.train] == ["n01", "n02", "n03"]
    assert (len(data.train), len(data.validation), len(data.test)) == (3, 0, 3)


def test_imagenet_variants_have_their_own_classes(tmp_path: Path, make_images: MakeImages) -> None:
    places = ["imagenet-r/n03/a.jpg", "imagenet-r/n01/b.jpg"]
    folder = make_images(tmp_path / "imagenet-rendition", places)
    (folder / "classnames.txt").write_text(CLASSNAMES)
    data = load_dataset("imagenet-r", root=tmp_path)
    assert data.class_names == ("tench", "crane")
    assert [(e.path.stem, e.label) for e in data.test] == [("b", 0), ("a", 1)]
    assert data.train == ()
    (folder / "imagenet-r" / "n99").mkdir()
    with pytest.raises(InputError, match=r"folders that classnames\.txt names; received n99"):
        load_dataset("imagenet-r", root=tmp_path)


def test_imagenet_v2_numbers_its_folders_by_line(tmp_path: Path, make_images: MakeImages) -> None:
    folder = "imagenetv2-matched-frequency-format-val"
    root = make_images(tmp_path / "imagenetv2", [f"{folder}/{number}/{number}.jpeg" for number in range(11)])
    (root / "classnames.txt").write_text("".join(f"n{20 - number:02d} class {number}\n" for number in range(11)))
    data = load_dataset("imagenetv2", root=tmp_path)
    assert data.class_names == tuple(f"class {number}" for number in range(11))
    assert [(e.path.stem, e.label) for e in data.test] == [(str(number), number) for number in range(11)]


def test_paths_of_a_folder_and_a_table(tmp_path: Path, make_images: MakeImages) -> None:
    root = make_images(tmp_path / "pets.v2", ["photo/dog/1.jpg", "photo/dog/2.jpg"])
    data = load_dataset(str(root), factors="domain/class")
    assert (data.name, data.factor_names) == ("pets.v2", ("domain",))
    (root / "pets.csv").write_text("file,label\nphoto/dog/1.jpg,dog\nphoto/dog/2.jpg,dog\n")
    (root / "more.csv").write_text("file,weather\nphoto/dog/1.jpg,sun\nphoto/dog/2.jpg,fog\n")
    assert load_dataset(root / "pets.csv").name == "pets"
    assert load_dataset(root / "photo", factors=None).factor_names == ()
    both = load_dataset(root / "pets.csv", factors=str(root / "more.csv"))
    assert both.factor_names == ("weather",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("caltec101", "Did you mean 'caltech101'"),
        ("qqq", "Known names: caltech101, oxford_pets"),
        ("", "one subfolder"),
    ],
)
def test_what_is_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        load_dataset(name)


def test_options_that_do_not_go_together(caltech: Path) -> None:
    with pytest.raises(InputError, match="folder levels are known for caltech101"):
        load_dataset("caltech101", root=caltech, factors="domain/class")
    with pytest.raises(InputError, match="names its factors in columns"):
        load_dataset(caltech / "data.csv", factors="domain/class")
    with pytest.raises(InputError, match="root goes with the name of a data set"):
        load_dataset(caltech / CALTECH, root=caltech)


def test_every_entry_has_one_place_for_the_class_name() -> None:
    assert all(entry.template.count("{}") == 1 for entry in CATALOG.values())


@pytest.mark.data
def test_the_real_caltech(photographs: Path) -> None:
    """Our own split has the published sizes, and its classes are the published ones in the published order."""
    data = load_dataset("caltech101", root=photographs)
    assert (len(data.train), len(data.validation), len(data.test)) == (4128, 1649, 2465)
    base, new = select_classes(data, "base").class_names, select_classes(data, "new").class_names
    assert (len(base), base[0], base[-1], len(new), new[0]) == (50, "face", "helicopter", 50, "ibis")
    drawn = few_shot(data, shots=16, seed=1)
    assert (len(drawn.train), len(drawn.validation), len(drawn.test)) == (1600, 400, 2465)


@pytest.mark.data
def test_the_real_caltech_is_drawn_at_the_published_positions(photographs: Path) -> None:
    """Right only if order and size of all hundred classes, and the random stream, are the published ones."""
    data = load_dataset("caltech101", root=photographs)
    positions = {example: position for position, example in enumerate(data.train)}
    drawn = [positions[example] for example in few_shot(data, shots=1, seed=1).train]
    assert drawn == [int(position) for position in PUBLISHED_CALTECH_DRAW.split()]


@pytest.mark.data
def test_the_real_pacs(photographs: Path) -> None:
    data = load_dataset("pacs", root=photographs)
    assert data.factor_names == ("domain",)
    assert (len(data.train), len(data.validation), len(data.test)) == (630, 252, 378)
    cells = {(e.label, e.factors["domain"]): 0 for e in data.test}
    for example in data.test:
        cells[example.label, example.factors["domain"]] += 1
    assert set(cells.values()) == {18}  # 60 images a cell, three cells a class: 30 % of each
    assert data.fingerprint == load_dataset(photographs / "pacs", factors="domain/class").fingerprint
