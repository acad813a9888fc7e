"""`causalvlm predict`: an adapter's answers on images, folders and patterns, written as they come."""

import csv
import json as plain
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import cdc
from causalvlm.cli.output import (
    AdapterArgument,
    CsvOption,
    DeviceOption,
    ForceOption,
    JsonOption,
    check_adapter,
    check_outputs,
    console,
    open_adapter,
    say_first,
)
from causalvlm.errors import InputError
from cdc.data.listing import refuse_ambiguous_names
from cdc.data.places import find_images
from cdc.files import replacing

if TYPE_CHECKING:
    from cdc.adapter import Classified

Record = dict[str, Any]
Write = Callable[[Record], None]


def predict(
    adapter: AdapterArgument,
    images: Annotated[
        list[str],
        typer.Argument(help="Image files, folders, or patterns such as 'photos/**/*.jpg'.", metavar="IMAGE..."),
    ],
    class_name: Annotated[
        list[str] | None, typer.Option(help="Classify among these names instead; repeat the option.")
    ] = None,
    top: Annotated[int, typer.Option(metavar="K", min=1, help="The K most probable classes of each image.")] = 1,
    abstain_below: Annotated[
        float | None,
        typer.Option(metavar="P", min=0, max=1, help="Give no label to an image whose probability is below P."),
    ] = None,
    device: DeviceOption = "cpu",
    csv_file: CsvOption = None,
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Classify IMAGES and say how sure the adapter is. An unreadable file is named and left out.

    Answers are written as they come, in the same memory for ten images or a million; files are in place at the end.
    Exits with 2 if no image could be read.

    Example: causalvlm predict adapter/ photos/ --csv answers.csv --top 3 --abstain-below 0.5
    """
    check_outputs(csv_file, json, force=force)
    refuse_ambiguous_names(class_name or ())
    check_adapter(adapter)
    _check_images(images)
    say_first(f"loading the adapter in {adapter}")
    from cdc.images.pixels import require_readable

    loaded = open_adapter(adapter, device)
    names = tuple(class_name) if class_name else loaded.class_names
    unreadable: list[tuple[Path, str]] = []
    answered = abstained = named = 0
    with ExitStack() as files:
        writers = [_on_screen(names, top)]
        if csv_file:
            writers.append(files.enter_context(_csv_writer(csv_file, min(top, len(names)), force=force)))
        if json:
            writers.append(files.enter_context(_json_writer(json, unreadable, force=force, device=device)))
        for part in loaded.stream(find_images(images), names):
            for record in _records(part, top, abstain_below):
                answered, abstained = answered + 1, abstained + (record["label"] is None)
                for write in writers:
                    write(record)
            unreadable += part.unreadable
            if answered:  # where no file can be read, the mistake is one line
                for file, reason in unreadable[named:]:
                    sys.stderr.write(f"causalvlm: left out {file}: {reason}\n")
                named = len(unreadable)
            sys.stdout.flush()
        require_readable(answered + len(unreadable), unreadable)
    if abstain_below is not None:
        sys.stderr.write(
            f"causalvlm: no label for {abstained} of {answered} images, less sure than {abstain_below:g}\n"
        )


def _check_images(places: Sequence[str]) -> None:
    """Refuse places of which there is nothing, before what reads them is loaded."""
    if not any(next(find_images([place])).exists() for place in places):
        raise InputError(
            f"IMAGE must be a file, a folder or a pattern of files that exist; received {', '.join(places[:3])}. Check "
            "the path."
        )


def _records(part: "Classified", top: int, abstain_below: float | None) -> Iterator[Record]:
    said = part.prediction
    if not part.kept:
        return
    for file, most, uncertainty in zip(said.files, said.top(top), said.uncertainty.tolist(), strict=True):
        label, probability = most[0]
        unsure = abstain_below is not None and probability < abstain_below
        record = {
            "file": file,
            "label": None if unsure else label,
            "probability": probability,
            "uncertainty": uncertainty,
        }
        if top > 1:
            record["top"] = [{"label": name, "probability": share} for name, share in most]
        yield record


def _on_screen(names: Sequence[str], top: int) -> Write:
    """A line each: in columns on a terminal, tab-separated values into a pipe."""
    if not sys.stdout.isatty():
        return _table_writer(csv.writer(sys.stdout, delimiter="\t"), min(top, len(names)))
    say, width = console(), min(24, max(map(len, names)))

    def write(record: Record) -> None:
        others = ", ".join(f"{one['label']} {one['probability']:.3f}" for one in record.get("top", [])[1:])
        say.print(
            f"{record['label'] or '–':{width}}  {record['probability']:.3f}  uncertainty {record['uncertainty']:.3f}  "
            f"{record['file']}{f'  ({others})' if others else ''}",
            soft_wrap=True,
        )

    return write


def _table_writer(rows: Any, top: int) -> Write:  # noqa: ANN401 - the csv module names no type for it
    """Write the head, and return what writes a row: the second most probable class and its like after the first."""
    further = [name for place in range(2, top + 1) for name in (f"label_{place}", f"probability_{place}")]
    rows.writerow(["file", "label", "probability", "uncertainty", *further])

    def write(record: Record) -> None:
        others = [value for one in record.get("top", [])[1:] for value in one.values()]
        rows.writerow([record["file"], record["label"], record["probability"], record["uncertainty"], *others])

    return write


@contextmanager
def _csv_writer(path: Path, top: int, *, force: bool) -> Generator[Write]:
    with replacing(path, force=force) as stream:

        class Encoded(StringIO):
            def write(self, text: str, /) -> int:
                return stream.write(text.encode(errors="surrogateescape"))

        yield _table_writer(csv.writer(Encoded()), top)


@contextmanager
def _json_writer(path: Path, unreadable: list[tuple[Path, str]], *, force: bool, device: str) -> Generator[Write]:
    """An object whose first list grows record by record; the rest follows at the end."""
    with replacing(path, force=force) as stream:
        separator = "\n"

        def write(record: Record) -> None:
            nonlocal separator
            stream.write(f"{separator}    {plain.dumps(record, allow_nan=False)}".encode())
            separator = ",\n"

        stream.write(b'{\n  "predictions": [')
        yield write
        failures = plain.dumps([{"file": str(file), "reason": reason} for file, reason in unreadable])
        origin = plain.dumps(cdc.provenance(device))
        stream.write(f'\n  ],\n  "unreadable": {failures},\n  "provenance": {origin}\n}}\n'.encode())
