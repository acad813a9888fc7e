"""CSV files: what they may hold, and an error with line and count for every way to go wrong."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from cdc.data.folder import read_folder
from cdc.data.listing import Listing, to_dataset
from cdc.data.table import attach_factors, read_table
from cdc.errors import InputError

MakeImages = Callable[[Path, Iterable[str]], Path]


@pytest.fixture
def root(tmp_path: Path, make_images: MakeImages) -> Path:
    return make_images(tmp_path, ["cat/1.png", "dog/1.png", "dog/2.png"])


@pytest.fixture
def listing(root: Path) -> Listing:
    return read_folder(root)


def written(root: Path, *lines: str, name: str = "data.csv", encoding: str = "utf-8") -> Path:
    path = root / name
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def test_labels_splits_and_factors(root: Path) -> None:
    path = written(
        root,
        "file,domain,label,split",
        "dog/1.png,photo,dog,train",
        "cat/1.png,sketch,cat,Train",
        'dog/2.png,"photo, old",dog,test',
    )
    data = to_dataset(read_table(path), name="pets")
    assert data.class_names == ("cat", "dog")
    assert [(e.path.relative_to(root).as_posix(), e.label, dict(e.factors)) for e in data.examples] == [
        ("dog/1.png", 1, {"domain": "photo"}),
        ("cat/1.png", 0, {"domain": "sketch"}),
        ("dog/2.png", 1, {"domain": "photo, old"}),
    ]
    assert (len(data.train), len(data.test)) == (2, 1)
    assert data.split_source == "column split of data.csv"


def test_files_may_count_from_elsewhere_or_be_absolute(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    lines = "file,label", "cat/1.png,cat", f"{root / 'dog' / '1.png'},dog"
    path = written(tmp_path / "tables", *lines)
    assert [e.path.is_file() for e in read_table(path, root=root).examples] == [True, True]
    with pytest.raises(InputError, match=r"line 2 of .*data\.csv has 'cat/1\.png'\. Paths count from .*tables"):
        read_table(path)


def test_a_spreadsheet_s_byte_order_mark_blank_lines_and_spaces_are_no_obstacle(root: Path) -> None:
    path = written(root, "file, label", "cat/1.png, cat", "", encoding="utf-8-sig")
    assert read_table(path).class_names == ("cat",)


def test_without_a_split_column_the_images_are_divided(tmp_path: Path, make_images: MakeImages) -> None:
    root = make_images(tmp_path, [f"{i}.png" for i in range(10)])
    data = to_dataset(read_table(written(root, "file,label", *(f"{i}.png,cat" for i in range(10)))), name="cats")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [5, 2, 3]
    assert "not a published split" in data.split_source


HEADER = "file,label,split,domain"
GOOD = "cat/1.png,cat,train,photo"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "received an empty file"),
        (["file;label", "cat/1.png;cat"], "separated by commas; received file;label"),
        (["path,label", "cat/1.png,cat"], "must name the columns, file and label among them"),
        (["file,label,label", "cat/1.png,cat,cat"], "each once"),
        ([HEADER], "holds only its first line"),
        ([HEADER, GOOD, "dog/1.png,dog"], r"every row must have 4 cells.*; line 3 of .* has 2 cells\."),
        ([HEADER, GOOD, "dog/1.png,dog,test,a,b"], "line 3 of .* has 5 cells"),
        ([HEADER, GOOD, "dog/1.png,,test,photo", "dog/2.png,,test,photo"], r"line 3 of .* no label \(2 such rows\)"),
        ([HEADER, GOOD, "dog/1.png,dog,test,"], "line 3 of .* no domain.*'unknown'"),
        ([HEADER, GOOD, "dog/9.png,dog,test,a", "dog/8.png,dog,test,a"], r"line 3 of .*'dog/9.png' \(2 such rows\)"),
        ([HEADER, GOOD, "dog/1.png,dog,dev,photo"], "a split must be train, val or test; line 3 of .* 'dev'"),
        ([HEADER, GOOD, "cat/../cat/1.png,cat,test,photo"], "line 3 .* again, first named in line 2"),
        ([HEADER, GOOD, "dog/1.png,Cat,test,photo"], "received 'Cat' and 'cat'"),
    ],
)
def test_mistakes_are_located(root: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_table(written(root, *lines))


def test_a_label_unknown_in_training(root: Path) -> None:
    listing = read_table(written(root, HEADER, GOOD, "dog/1.png,dog,test,photo"))
    with pytest.raises(InputError, match=r"unknown in training: 'dog' \(1 images\)"):
        to_dataset(listing, name="pets")


def test_another_encoding_is_named(root: Path) -> None:
    with pytest.raises(InputError, match="must be UTF-8"):
        read_table(written(root, "file,label", "cat/1.png,Käfer", encoding="latin-1"))


def test_a_missing_csv_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must exist; received .*none\.csv"):
        read_table(tmp_path / "none.csv")


FACTORS = ("dog/2.png,fog", "cat/1.png,sun", "dog/1.png,rain")


def test_factors_join_in_any_order_of_rows(root: Path, listing: Listing) -> None:
    joined = attach_factors(listing, written(root, "file,weather", *FACTORS, name="factors.csv"))
    assert [example.factors["weather"] for example in joined.examples] == ["sun", "rain", "fog"]
    assert joined.class_names == listing.class_names
    assert [dict(example.factors) for example in listing.examples] == [{}, {}, {}]  # the listing given is unchanged


def test_factors_add_to_those_of_the_folders(tmp_path: Path, make_images: MakeImages) -> None:
    listing = read_folder(make_images(tmp_path, ["photo/dog/1.png"]), levels=("domain", "class"))
    path = written(tmp_path, "file,weather", "photo/dog/1.png,sun", name="factors.csv")
    assert dict(attach_factors(listing, path).examples[0].factors) == {"domain": "photo", "weather": "sun"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,weather", *FACTORS[1:]], r"every image must have a row in .*; 1 have none, first 'dog/2.png'"),
        (["file,weather", *FACTORS, "dog/7.png,sun"], "line 5 of .* has 'dog/7.png'"),
        (["file", "dog/1.png"], "no factor column"),
        (["file,split,weather", "dog/1.png,test,fog"], "must have no column split"),
        (["file,label,weather", "dog/2.png,dog,fog", "cat/1.png,dog,fog", "dog/1.png,dog,fog"], "line 3 .* 'dog' for"),
        (["file,weather", *FACTORS, FACTORS[0]], "line 5 .* again, first named in line 2"),
    ],
)
def test_factor_files_that_do_not_fit(root: Path, listing: Listing, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        attach_factors(listing, written(root, *lines, name="factors.csv"))


def test_a_factor_named_twice(tmp_path: Path, make_images: MakeImages) -> None:
    listing = read_folder(make_images(tmp_path, ["photo/dog/1.png"]), levels=("domain", "class"))
    path = written(tmp_path, "file,domain", "photo/dog/1.png,sketch", name="factors.csv")
    with pytest.raises(InputError, match=r"only new ones; .* has \['domain'\]"):
        attach_factors(listing, path)


def test_a_cell_that_csv_cannot_hold_is_named(tmp_path):
    table = tmp_path / "data.csv"
    table.write_text(f"file,label\n1.jpg,{'x' * 200_000}\n")
    with pytest.raises(InputError, match=r"a CSV file must have short cells.*data\.csv"):
        read_table(table)
