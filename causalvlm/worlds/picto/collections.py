"""The concepts of Picto in eleven collections, each with a hand-crafted template."""

import difflib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from causalvlm.errors import InputError

POOLED_TEMPLATE = "a picture of a {}."
"""The template of a world with concepts from several collections."""


@dataclass(frozen=True)
class Collection:
    """Concepts that belong together, as the classes of one data set do.

    Attributes:
        name: what data sets are called by, as in ``picto/mammals``.
        title: for headings.
        template: hand-crafted prompt with one ``{}`` for the concept.
        concepts: names of the concepts, sorted.

    Example:
        >>> mammals = collection("mammals")
        >>> mammals.template.format(mammals.concepts[0])
        'a picture of a badger, a kind of mammal.'
    """

    name: str
    title: str
    template: str
    concepts: tuple[str, ...]


@cache
def _listed() -> dict[str, dict[str, object]]:
    return tomllib.loads(files("causalvlm.worlds.picto").joinpath("collections.toml").read_text(encoding="utf-8"))


@cache
def all_collections() -> dict[str, Collection]:
    """The eleven collections by name.

    Example:
        >>> len(all_collections())
        11
    """
    return {
        name: Collection(name, str(entry["title"]), str(entry["template"]), tuple(sorted(_codes_of(entry))))
        for name, entry in _listed().items()
    }


@cache
def code_points() -> dict[str, str]:
    """OpenMoji's file name (code points in hexadecimal) of every concept, sorted by concept.

    Example:
        >>> code_points()["dog"]
        '1F415'
    """
    merged = {concept: code for entry in _listed().values() for concept, code in _codes_of(entry).items()}
    return dict(sorted(merged.items()))


def _codes_of(entry: dict[str, object]) -> dict[str, str]:
    concepts = entry["concepts"]
    assert isinstance(concepts, dict)  # noqa: S101 - our own file
    return concepts


def collection(name: str) -> Collection:
    """The collection of that name.

    Raises:
        InputError: if there is no such collection.

    Example:
        >>> collection("mamals")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: a Picto collection must be one of ...; received 'mamals'. Did you mean 'mammals'?
    """
    known = all_collections()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InputError(f"a Picto collection must be one of {', '.join(known)}; received {name!r}.{hint}")
    return known[name]
