"""The values themselves: read-only, picklable, and with a fingerprint that tells what matters from what does not."""

import pickle
import shutil
from collections.abc import Callable, Iterable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from cdc.data.dataset import Example, ImageDataset
from cdc.errors import InputError

MakeImages = Callable[[Path, Iterable[str]], Path]


@pytest.fixture
def data(tmp_path: Path, make_images: MakeImages) -> ImageDataset:
    root = make_images(tmp_path / "here", ["cat/1.png", "dog/1.png", "dog/2.png"])
    return dataset_in(root)


def dataset_in(root: Path) -> ImageDataset:
    cat, dog, other = (
        Example(root / place, label, {"domain": "photo"})
        for place, label in [("cat/1.png", 0), ("dog/1.png", 1), ("dog/2.png", 1)]
    )
    return ImageDataset("pets", ("cat", "dog"), (cat, dog), (), (other,))


def test_an_example_cannot_be_changed() -> None:
    given = {"domain": "photo"}
    example = Example(Path("1.jpg"), 0, given)
    given["domain"] = "sketch"
    assert example.factors["domain"] == "photo"
    with pytest.raises(TypeError):
        example.factors["domain"] = "sketch"  # pyright: ignore[reportIndexIssue]
    with pytest.raises(FrozenInstanceError):
        example.label = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_an_example_survives_pickling_and_hashing() -> None:
    example = Example(Path("1.jpg"), 0, {"domain": "photo"})
    assert pickle.loads(pickle.dumps(example)) == example
    assert example in {example}
    assert replace(example, label=1) != example


def test_factor_names(data: ImageDataset) -> None:
    assert data.factor_names == ("domain",)
    assert ImageDataset("none", ("cat",), (), (), ()).factor_names == ()


def test_fingerprint_follows_the_data_anywhere(data: ImageDataset, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "here", tmp_path / "deep" / "there")
    assert dataset_in(tmp_path / "deep" / "there").fingerprint == data.fingerprint


def test_fingerprint_is_the_same_for_relative_paths(data: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data.train[0].path.parents[1])
    assert dataset_in(Path()).fingerprint == data.fingerprint


def test_fingerprint_changes_with_everything_that_matters(data: ImageDataset) -> None:
    first, second = data.train
    variants = [
        replace(data, name="animals"),
        replace(data, class_names=("dog", "cat")),
        replace(data, template="a sketch of a {}."),
        replace(data, train=(second, first)),
        replace(data, train=(first,), validation=(second,)),
        replace(data, train=(first, replace(second, label=0))),
        replace(data, train=(first,)),
        replace(
            data,
            **{
                split: tuple(replace(item, factors={"domain": "sketch"}) for item in getattr(data, split))
                for split in ("train", "test")
            },
        ),
    ]
    assert len({data.fingerprint, *(variant.fingerprint for variant in variants)}) == len(variants) + 1


def test_fingerprint_sees_a_changed_and_a_lost_file(data: ImageDataset) -> None:
    before = data.fingerprint
    path = data.train[0].path
    path.write_bytes(path.read_bytes() + b"more")
    changed = data.fingerprint
    path.unlink()
    assert len({before, changed, data.fingerprint}) == 3


@pytest.mark.parametrize("template", ["a photo", "a {} of a {}", ""])
def test_template_needs_one_place_for_the_name(data: ImageDataset, template: str) -> None:
    with pytest.raises(InputError, match="exactly once; received"):
        replace(data, template=template)


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_need_names(data: ImageDataset, label: int) -> None:
    with pytest.raises(InputError, match=rf"one of the 2 class names; received \[{label}\]"):
        replace(data, test=(replace(data.test[0], label=label),))


def test_factors_must_be_complete(data: ImageDataset) -> None:
    with pytest.raises(InputError, match=r"dog/2\.png has \[\] where the first image has \['domain'\]"):
        replace(data, test=(replace(data.test[0], factors={}),))
