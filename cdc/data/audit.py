"""Check a data set before work is spent on it: unreadable files, leaks between splits, contradictions, odd shapes."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cdc.data.dataset import Example, ImageDataset
from cdc.data.images import UnreadableImageError, lend_image

SMALLEST_SIDE = 32
"""Images with a side below this many pixels say little at the 224 pixels that most image towers read."""

WIDEST_ASPECT = 4.0
"""A centre crop keeps less than a quarter of images with a larger ratio of sides."""


@dataclass(frozen=True)
class ClassCounts:
    """Images of one class in each split."""

    class_name: str
    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class UnreadableFile:
    """A file that cannot be decoded, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, repr=False)
class DatasetReport:
    """What a check found.

    Attributes:
        counts: images per class and split.
        unreadable: files that cannot be decoded.
        leaks: groups of files with equal content that lie in different splits.
        contradictions: groups of files with equal content and different labels.
        repeats: groups of files with equal content, label and split.
        tiny: images with a side below `SMALLEST_SIDE` pixels.
        elongated: images whose sides differ by more than a factor of `WIDEST_ASPECT`.

    Example:
        >>> DatasetReport((ClassCounts("cat", 1, 0, 0),), (), (), (), (), (), ()).problems
        ('no test image of 1 class: cat',)
    """

    counts: tuple[ClassCounts, ...]
    unreadable: tuple[UnreadableFile, ...]
    leaks: tuple[tuple[Path, ...], ...]
    contradictions: tuple[tuple[Path, ...], ...]
    repeats: tuple[tuple[Path, ...], ...]
    tiny: tuple[Path, ...]
    elongated: tuple[Path, ...]

    def __repr__(self) -> str:
        images = sum(one.train + one.validation + one.test for one in self.counts)
        kinds = len(self.problems)
        return f"<DatasetReport on {images:,} images of {len(self.counts)} classes: {kinds or 'no'} kinds of problems>"

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each kind of problem that was found, the gravest first; empty if there is none."""
        untested = [counts.class_name for counts in self.counts if not counts.test]
        lines = [
            _line(self.leaks, "group", "of equal files in different splits (test accuracy is inflated)"),
            _line(self.contradictions, "group", "of equal files with different labels"),
            _line([f"{file.path} ({file.reason})" for file in self.unreadable], "file", "that cannot be read"),
            f"no test image of {_count(untested, 'class')}: {', '.join(untested)}" if untested else "",
            _line(self.repeats, "group", "of equal files in one split"),
            _line(self.tiny, "image", f"with a side below {SMALLEST_SIDE} pixels"),
            _line(self.elongated, "image", f"with sides in a ratio above {WIDEST_ASPECT:g}"),
        ]
        return tuple(line for line in lines if line)


@dataclass(frozen=True)
class _Reading:
    """What one file turned out to be."""

    example: Example
    split: str
    content: str | None
    size: tuple[int, int] | None
    reason: str


def check_dataset(dataset: ImageDataset, *, workers: int = 2) -> DatasetReport:
    """Read every image of a data set once and report what could spoil results.

    Args:
        dataset: what to check; about 700 photographs of 300 x 200 pixels a second and core.
        workers: threads that decode images.

    Returns:
        The findings; an unreadable or missing file is a finding, never an error.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("a.png", "b.png"):
        ...     Image.new("RGB", (64, 64), "red").save(folder / name)
        >>> train, test = Example(folder / "a.png", 0), Example(folder / "b.png", 0)
        >>> report = check_dataset(ImageDataset("toy", ("red",), (train,), (), (test,)))
        >>> [path.name for path in report.leaks[0]]
        ['a.png', 'b.png']
    """
    splits = ["train"] * len(dataset.train) + ["validation"] * len(dataset.validation) + ["test"] * len(dataset.test)
    with ThreadPoolExecutor(workers) as pool:
        readings = list(pool.map(_read, dataset.examples, splits))
    equal = _groups(readings)
    counted = Counter((reading.example.label, reading.split) for reading in readings)
    return DatasetReport(
        counts=tuple(
            ClassCounts(name, counted[label, "train"], counted[label, "validation"], counted[label, "test"])
            for label, name in enumerate(dataset.class_names)
        ),
        unreadable=tuple(UnreadableFile(item.example.path, item.reason) for item in readings if item.size is None),
        leaks=_paths(group for group in equal if _differ(item.split for item in group)),
        contradictions=_paths(group for group in equal if _differ(item.example.label for item in group)),
        repeats=_paths(group for group in equal if not _differ((item.split, item.example.label) for item in group)),
        tiny=tuple(item.example.path for item in readings if item.size and min(item.size) < SMALLEST_SIDE),
        elongated=tuple(
            item.example.path for item in readings if item.size and max(item.size) > WIDEST_ASPECT * min(item.size)
        ),
    )


def _read(example: Example, split: str) -> _Reading:
    try:
        with lend_image(example.path) as image:
            size = image.size
    except UnreadableImageError as error:
        return _Reading(example, split, None, None, error.reason)
    return _Reading(example, split, hashlib.sha256(example.path.read_bytes()).hexdigest(), size, "")


def _groups(readings: Iterable[_Reading]) -> list[list[_Reading]]:
    """Readings of equal content, where there are several."""
    by_content: dict[str, list[_Reading]] = defaultdict(list)
    for reading in readings:
        if reading.content is not None:
            by_content[reading.content].append(reading)
    return [group for group in by_content.values() if len(group) > 1]


def _differ(values: Iterable[object]) -> bool:
    return len(set(values)) > 1


def _paths(groups: Iterable[list[_Reading]]) -> tuple[tuple[Path, ...], ...]:
    return tuple(tuple(reading.example.path for reading in group) for group in groups)


def _line(items: Sequence[object], noun: str, what: str) -> str:
    """A sentence about what was found, with the first instance; nothing if nothing was found."""
    if not items:
        return ""
    first = items[0]
    shown = " = ".join(str(path) for path in first) if isinstance(first, tuple) else str(first)
    return f"{_count(items, noun)} {what}, first {shown}"


def _count(items: Sequence[object], noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{len(items)} {noun if len(items) == 1 else plural}"
