"""Data sets drawn from Picto: a set per collection, tasks that ask for other factors, a pooled source and its targets.

They are written once, as PNG files and a table, and read like any other images.
"""

import csv
import difflib
import fcntl
import hashlib
import io
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from zlib import crc32

import numpy as np
from jaxtyping import Int
from PIL import Image

import cdc
from causalvlm.errors import InputError
from causalvlm.worlds.picto.assets import load_sprites
from causalvlm.worlds.picto.collections import POOLED_TEMPLATE, all_collections, collection
from causalvlm.worlds.picto.factors import FACTORS
from causalvlm.worlds.picto.scene import BATCH
from causalvlm.worlds.picto.scm import PictoSample, PictoWorld
from causalvlm.worlds.picto.tasks import TASKS, PictoTask
from cdc.files import write_bytes
from cdc.images.cache import hash_file
from cdc.progress import image_bar

PREFIX = "picto/"
"""What the names of these data sets begin with."""

TARGETS = ("resampled", "sketch", "shifted", "renditions")
"""Test sets with the classes of ``picto/source``, which ask what a change of domain costs."""

SIZE = 64
"""Pixels on a side of the files."""

_TABLE = "table.csv"
_CHECKSUM = "checksum"
_STYLES = ("silhouette", "inverted", "grey")
_COLLECTION_COUNTS = {"train": 24, "validation": 8, "test": 24}
_SOURCE_COUNTS = {"train": 20, "validation": 2, "test": 4}


@dataclass(frozen=True)
class Plan:
    """What a data set consists of.

    Attributes:
        name: as in ``picto/mammals``, without the prefix.
        world: where its pictures are drawn.
        counts: pictures of every class in each split.
        interventions: what is set in equal shares of them; ``{}`` is nothing.
        template: hand-crafted prompt with one ``{}`` for the class.
        task: what the classes are; None for the concepts.

    Example:
        >>> plan_dataset("sketch").interventions, plan_dataset("sketch").counts
        (({'style': 'line'},), {'test': 4})
    """

    name: str
    world: PictoWorld
    counts: Mapping[str, int]
    interventions: tuple[Mapping[str, str], ...] = ({},)
    template: str = POOLED_TEMPLATE
    task: PictoTask | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of `label`."""
        return self.task.class_names if self.task else self.world.concepts

    @property
    def factors(self) -> tuple[str, ...]:
        """What the table tells of a picture beside its class: of a task, the concept too."""
        return ("concept", *(name for name in FACTORS if name not in self.task.words)) if self.task else tuple(FACTORS)

    def label(self, sample: PictoSample) -> Int[np.ndarray, " rows"]:
        """Class of each picture; -1 for one that is in none."""
        return self.task.label(sample) if self.task else sample.labels

    @property
    def source(self) -> str:
        """Where the split comes from, in words that a report can print."""
        counts = ", ".join(f"{count} {split}" for split, count in self.counts.items())
        settings = [f"do({factor} = {level})" for do in self.interventions for factor, level in do.items()]
        under = f" under {', '.join(settings)}" + " in equal parts" * (len(settings) > 1) if settings else ""
        return (
            f"drawn from Picto's {self.world.regime} regime (strength {self.world.confounding:g}){under} with fixed "
            f"seeds: {counts} pictures per class"
        )


def picto_datasets() -> tuple[str, ...]:
    """Names of all data sets: eleven collections, five tasks, the pooled source, and its four targets.

    Example:
        >>> len(picto_datasets()), picto_datasets()[0], picto_datasets()[11:14]
        (21, 'picto/mammals', ('picto/backdrops', 'picto/finishes', 'picto/prints'))
    """
    return tuple(PREFIX + name for name in (*all_collections(), *TASKS, "source", *TARGETS))


def plan_dataset(name: str) -> Plan:
    """What the data set of that name (without its prefix) consists of.

    Raises:
        InputError: if there is no such data set.

    Example:
        >>> plan_dataset("mammals").source
        "drawn from Picto's downstream regime (strength 0.5) with fixed seeds: 24 train, 8 validation, 24 test
        pictures per class"
    """
    if name in all_collections():
        world = PictoWorld((name,), regime="downstream")
        return Plan(name, world, _COLLECTION_COUNTS, template=collection(name).template)
    pooled = Plan(name, PictoWorld(regime="downstream"), {"test": 4})
    if name in TASKS:
        return replace(pooled, counts=_COLLECTION_COUNTS, template=TASKS[name].template, task=TASKS[name])
    variants = {
        "source": replace(pooled, counts=_SOURCE_COUNTS),
        "resampled": pooled,
        "sketch": replace(pooled, interventions=({"style": "line"},)),
        "shifted": replace(pooled, world=PictoWorld(regime="shifted")),
        "renditions": replace(pooled, counts={"test": 6}, interventions=tuple({"style": style} for style in _STYLES)),
    }
    if name not in variants:
        raise InputError(_unknown(name))
    return variants[name]


def load_picto(name: str) -> cdc.ImageDataset:
    """Load ``picto/<name>``; the first time, draw it and write it below `cdc.default_cache` (seconds).

    A data set of which a file is missing, damaged or not its own is drawn again. The factors of its images are those of
    `FACTORS`; in a task, which asks for some of them, the others and the concept.

    Args:
        name: one of `picto_datasets`.

    Raises:
        InputError: if there is no such data set, or OpenMoji is not installed.

    Example:
        >>> load_picto("picto/mamals")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: a Picto data set must be one of picto/mammals, ...; received 'picto/mamals'. Did
        you mean 'picto/mammals'?
    """
    plan = plan_dataset(name.removeprefix(PREFIX))
    folder = cdc.default_cache() / "picto" / f"{plan.name}-{_key(plan)}"
    if not _is_whole(folder):
        write_dataset(plan, folder)
    data = cdc.load_dataset(folder / _TABLE)
    return replace(data, name=PREFIX + plan.name, template=plan.template, split_source=plan.source)


def write_dataset(plan: Plan, folder: Path) -> None:
    """Draw a data set into `folder`: PNG files by split and class, a table of them with their factors, and a checksum.

    The folder appears whole or not at all. If another process finishes the same data set first, its folder stays. What
    killed processes left beside it is removed: the lock on their checksum fell with them.

    Example:
        >>> folder = Path(tempfile.mkdtemp()) / "few"
        >>> write_dataset(Plan("few", PictoWorld(("mammals",)), {"test": 1}), folder)
        >>> len(list(folder.glob("test/*/*.png"))) == len(PictoWorld(("mammals",)).concepts)
        True
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        temporary.chmod(0o755)
        with (temporary / _CHECKSUM).open("xb") as checksum:
            with suppress(OSError):  # a file system without locks: nothing on it is taken for left behind
                fcntl.flock(checksum, fcntl.LOCK_EX)
            write_bytes(temporary / _TABLE, _as_csv(_write_pictures(plan, temporary), plan.factors))
            checksum.write(_hash_files(temporary))
            checksum.flush()
            _publish(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _sweep(folder.parent)


def draw_balanced(plan: Plan, per_class: int, *, do: Mapping[str, str], rng: np.random.Generator) -> PictoSample:
    """Draw observationally until every class has come up, and keep the first `per_class` pictures of each.

    Unlike do(class), which would cut D -> class, this leaves what goes with a class as the regime has it.

    Example:
        >>> plan = Plan("few", PictoWorld(("mammals",)), {})
        >>> draw_balanced(plan, 2, do={}, rng=np.random.default_rng(0)).labels[:6].tolist()
        [0, 0, 1, 1, 2, 2]
    """
    world, classes = plan.world, len(plan.class_names)
    sample = world.sample(0, do=do, rng=rng)
    labels = plan.label(sample)
    while np.bincount(labels[labels >= 0], minlength=classes).min() < per_class:
        more = world.sample(4 * per_class * classes, do=do, rng=rng)
        sample = replace(sample, noise=np.concatenate([sample.noise, more.noise]))
        labels = plan.label(sample)
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    ranked = labels[order]
    turn = np.arange(len(ranked)) - np.searchsorted(ranked, ranked)
    return replace(sample, noise=sample.noise[order[turn < per_class]])


def _draw(plan: Plan) -> list[tuple[str, PictoSample]]:
    """The pictures of each split, one sample per intervention."""
    shares = len(plan.interventions)
    return [
        (
            split,
            draw_balanced(
                plan,
                count // shares,
                do=do,
                rng=np.random.default_rng([crc32(plan.name.encode()), crc32(split.encode()), number]),
            ),
        )
        for split, count in plan.counts.items()
        for number, do in enumerate(plan.interventions)
    ]


def _write_pictures(plan: Plan, folder: Path) -> list[dict[str, str]]:
    """Draw the PNG files; the rows of their table."""
    parts = _draw(plan)
    rows: list[dict[str, str]] = []
    with image_bar(f"drawing {PREFIX}{plan.name}", total=sum(len(part) for _, part in parts)) as advance:
        for split, part in parts:
            for start in range(0, len(part), BATCH):
                batch = replace(part, noise=part.noise[start : start + BATCH])
                facts = batch.table().to_dict("records")
                for label, row, pixels in zip(plan.label(batch), facts, batch.render(size=SIZE), strict=True):
                    name = plan.class_names[label]
                    file = f"{split}/{name.replace(' ', '_')}/{len(rows):05d}.png"
                    seen = {factor: row[factor] for factor in plan.factors}
                    rows.append({"file": file, "label": name, "split": split, **seen})
                    (folder / file).parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / file)
                    advance()
    return rows


def _as_csv(rows: list[dict[str, str]], factors: Sequence[str]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, ("file", "label", "split", *factors), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def _publish(temporary: Path, folder: Path) -> None:
    """Give a finished folder its name; a damaged one of that name makes way, a whole one stays."""
    if folder.exists() and not _is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        temporary.rename(folder)
    except OSError:
        if not _is_whole(folder):
            raise


def _sweep(parent: Path) -> None:
    """Remove unfinished folders whose checksum nobody has locked any more."""
    for left in parent.glob(f".*/{_CHECKSUM}"):
        with suppress(OSError), left.open("r+b") as checksum:
            fcntl.flock(checksum, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    try:
        return (folder / _CHECKSUM).read_bytes() == _hash_files(folder)
    except OSError:
        return False


def _hash_files(folder: Path) -> bytes:
    """Hash of the table and of every picture, with their names."""
    digest = hashlib.sha256()
    for path in (folder / _TABLE, *sorted(folder.glob("*/*/*.png"))):
        digest.update(f"{path.relative_to(folder)} {hash_file(path)}\n".encode())
    return digest.hexdigest().encode()


def _key(plan: Plan) -> str:
    """Changes with whatever the pictures follow from: the plan, the code of this world and its pictograms."""
    world = plan.world
    settings = (plan.name, world.regime, world.confounding, plan.counts, plan.interventions, plan.task, SIZE)
    return hashlib.sha256(f"{_definition()}{settings!r}".encode()).hexdigest()[:16]


@cache
def _definition() -> str:
    here = files("causalvlm.worlds.picto")
    sprites = load_sprites()
    digest = hashlib.sha256(sprites.colour.numpy().tobytes() + sprites.line.numpy().tobytes())
    for module in ("collections.toml", "factors.py", "scene.py", "textures.py", "scm.py", "tasks.py", "datasets.py"):
        digest.update(here.joinpath(module).read_bytes())
    return digest.hexdigest()


def _unknown(name: str) -> str:
    known = picto_datasets()
    received = "picto" if name == "picto" else PREFIX + name
    close = difflib.get_close_matches(received, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close and received != "picto" else ""
    return f"a Picto data set must be one of {', '.join(known)}; received {received!r}.{hint}"
