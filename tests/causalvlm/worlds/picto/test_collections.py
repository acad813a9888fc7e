"""The list of concepts."""

import pytest

from causalvlm.errors import InputError
from causalvlm.worlds.picto.assets import load_sprites
from causalvlm.worlds.picto.collections import all_collections, code_points, collection


def test_eleven_collections_of_distinct_plain_names():
    collections = all_collections().values()
    names = [name for entry in collections for name in entry.concepts]
    assert len(collections) == 11
    assert len(names) == len(set(names)) >= 400
    assert all(20 <= len(entry.concepts) <= 60 for entry in collections)
    for name in names:
        assert name.isascii()
        assert name == name.lower().strip()
        assert name.replace(" ", "").replace("-", "").isalpha(), name


def test_no_pictogram_stands_for_two_concepts():
    codes = list(code_points().values())
    assert len(codes) == len(set(codes))


def test_no_two_pictograms_are_the_same_drawing():
    drawings = [sprite.numpy().tobytes() for sprite in load_sprites().colour]
    assert len(drawings) == len(set(drawings))


def test_every_template_takes_one_concept():
    for name, entry in all_collections().items():
        assert entry.name == name
        assert entry.template.count("{}") == 1
        assert entry.concepts == tuple(sorted(entry.concepts))


def test_sprites_follow_the_list():
    assert load_sprites().concepts == tuple(code_points())


@pytest.mark.parametrize(
    ("name", "hint"), [("mamals", r"Did you mean 'mammals'\?"), ("zzz", "received 'zzz'\\.$"), ("", "received ''")]
)
def test_an_unknown_collection_lists_the_known(name, hint):
    with pytest.raises(InputError, match=hint) as caught:
        collection(name)
    assert all(known in str(caught.value) for known in all_collections())
