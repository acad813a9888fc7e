"""What a data set is: class names, and labelled image files in three splits."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from cdc.errors import InputError
from cdc.markup import html_table, listed

DEFAULT_TEMPLATE = "a photo of a {}."
"""The template of most data sets in the prompt-learning literature (Zhou et al., CoOp, IJCV 2022)."""


def require_class_names(class_names: object) -> tuple[str, ...]:
    """Return class names as a tuple, after checking that they are a list of names and not one text.

    Raises:
        InputError: a text, no list, an empty one, or a name that is empty or no text.

    Example:
        >>> require_class_names(["cat", "dog"])
        ('cat', 'dog')
        >>> require_class_names("dog")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: class_names must be a list of at least one name; received 'dog'. Pass a list.
    """
    names: tuple[object, ...] = tuple(class_names) if isinstance(class_names, Iterable) else ()
    if isinstance(class_names, str) or not names:
        raise InputError(f"class_names must be a list of at least one name; received {class_names!r}. Pass a list.")
    checked = tuple(name for name in names if isinstance(name, str) and name.strip(" _"))
    if len(checked) < len(names):
        wrong = next(name for name in names if name not in checked)
        raise InputError(f"every class name must be a word or more; received {wrong!r}. Name the class.")
    return checked


def spoken(name: str) -> str:
    """A class name as every prompt says it; two names that are spoken alike are one class.

    Example:
        >>> spoken("polar_bear") == spoken("Polar bear")
        True
    """
    return " ".join(name.replace("_", " ").lower().split())


@dataclass(frozen=True)
class Example:
    """One labelled image file.

    Attributes:
        path: the image file.
        label: index into the data set's `class_names`.
        factors: task-irrelevant facts about the image, such as ``{"domain": "sketch"}``; read-only.

    Example:
        >>> Example(Path("photo/dog/1.jpg"), 0, {"domain": "photo"}).factors["domain"]
        'photo'
    """

    path: Path
    label: int
    factors: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", MappingProxyType(dict(self.factors)))

    def __reduce__(self) -> tuple[type["Example"], tuple[Path, int, dict[str, str]]]:
        # A read-only view does not pickle, and workers of a data loader receive examples pickled.
        return Example, (self.path, self.label, dict(self.factors))


@dataclass(frozen=True, repr=False)
class ImageDataset:
    """Class names and three disjoint lists of examples.

    Attributes:
        name: what reports call it.
        class_names: name of every label, as the prompt will say it except that underscores become spaces there.
        train: examples to draw the shots from, in the order that few-shot sampling depends on.
        validation: examples to choose settings by; may be empty.
        test: examples to report on.
        template: hand-crafted prompt of this data set (t^0), with one ``{}`` for the class name.
        split_source: where the split comes from, in words that a report can print.

    Raises:
        InputError: if the class names are no list of names, a label has no name, a factor is missing somewhere, or the
            template has not exactly one ``{}``.

    Example:
        >>> data = ImageDataset("pets", ("cat", "dog"), train=(Example(Path("a.jpg"), 1), Example(Path("b.jpg"), 0)),
        ...                     validation=(), test=(Example(Path("c.jpg"), 1),))
        >>> data.class_names[data.test[0].label], data.factor_names
        ('dog', ())
    """

    name: str
    class_names: tuple[str, ...]
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    template: str = DEFAULT_TEMPLATE
    split_source: str = "given"

    def __post_init__(self) -> None:
        require_class_names(self.class_names)
        self._refuse_template()
        self._refuse_labels()
        self._refuse_factors()

    def __repr__(self) -> str:
        sizes = f"{len(self.train)} train, {len(self.validation)} validation, {len(self.test)} test images"
        factors = f", factors {', '.join(self.factor_names)}" if self.factor_names else ""
        return f"<ImageDataset {self.name!r}: {len(self.class_names)} classes, {sizes}{factors}>"

    def _repr_html_(self) -> str:
        rows = [
            ("images", f"{len(self.train):,} train, {len(self.validation):,} validation, {len(self.test):,} test"),
            (f"{len(self.class_names)} classes", listed(self.class_names)),
            ("factors", listed(self.factor_names)),
            ("prompt", self.template),
            ("split", self.split_source),
        ]
        return html_table(rows, title=self.name)

    @property
    def examples(self) -> tuple[Example, ...]:
        """All examples: train, then validation, then test."""
        return self.train + self.validation + self.test

    @property
    def factor_names(self) -> tuple[str, ...]:
        """Names of the factors that every example carries, in file order; ``()`` when there are none."""
        return tuple(self.examples[0].factors) if self.examples else ()

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change with names, template, splits, labels, factors, files or file sizes.

        Paths count from the deepest folder common to all files, so the data may move. File contents are not read:
        replacing an image by another of the same length goes unnoticed here (`cdc.data.audit` reads contents).
        """
        digest = hashlib.sha256(repr((self.name, self.class_names, self.template)).encode())
        paths = [Path(os.path.abspath(example.path)) for example in self.examples]  # noqa: PTH100 (keeps symlinks)
        top = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
        splits = [name for name in ("train", "validation", "test") for _ in getattr(self, name)]
        for split, example, path in zip(splits, self.examples, paths, strict=True):
            facts = (split, path.relative_to(top).as_posix(), example.label, sorted(example.factors.items()))
            digest.update(repr((*facts, _size(path))).encode())
        return digest.hexdigest()[:16]

    def _refuse_template(self) -> None:
        if self.template.count("{}") != 1:
            raise InputError(
                f"template must contain '{{}}' exactly once; received {self.template!r}. "
                f"Write for example {DEFAULT_TEMPLATE!r}."
            )

    def _refuse_labels(self) -> None:
        known = range(len(self.class_names))
        unknown = sorted({example.label for example in self.examples if example.label not in known})
        if unknown:
            raise InputError(
                f"every label must index one of the {len(known)} class names; received {unknown}. "
                "Name those classes, or drop their examples."
            )

    def _refuse_factors(self) -> None:
        expected = set(self.factor_names)
        for example in self.examples:
            if set(example.factors) != expected:
                raise InputError(
                    f"every image must carry the same factors; {example.path} has {sorted(example.factors)} where the "
                    f"first image has {sorted(expected)}. Fill in the missing ones, or leave the factor out."
                )


def _size(path: Path) -> int:
    """Bytes of a file; -1 if it is gone, so that one lost file changes the fingerprint but ends nothing."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
