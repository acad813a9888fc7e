"""`causalvlm evaluate`: score an adapter, and show the images that it gets wrong."""

import csv as tables
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from causalvlm.cli.output import (
    AdapterArgument,
    CsvOption,
    DataArgument,
    DeviceOption,
    FactorsOption,
    ForceOption,
    JsonOption,
    RootOption,
    check_adapter,
    check_data,
    check_outputs,
    console,
    open_adapter,
    say_first,
    write_result,
)
from causalvlm.datasets import load_dataset
from cdc.files import write_bytes

if TYPE_CHECKING:
    from causalvlm.evaluation import Evaluation

ClassesOption = Annotated[Literal["base", "new", "all"], typer.Option(help="Half of the classes, or all of them.")]


def evaluate(
    adapter: AdapterArgument,
    data: DataArgument,
    classes: ClassesOption = "all",
    root: RootOption = None,
    factors: FactorsOption = None,
    device: DeviceOption = "cpu",
    errors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the wrong images with what was said of them as HTML.")
    ] = None,
    csv: CsvOption = None,
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Score an adapter on the test split of DATA: among base, new or all class names.

    Example: causalvlm evaluate adapter/ photos/ --errors errors.html
    """
    check_outputs(errors, csv, json, force=force)
    check_adapter(adapter)
    check_data(data, root)
    say_first(f"loading the adapter in {adapter}")
    from causalvlm import evaluation

    dataset = load_dataset(data, root=root, factors=factors)
    found = evaluation.evaluate(open_adapter(adapter, device), dataset, classes=classes, device=device)
    show_scores(found)
    if csv is not None:
        write_bytes(csv, _rows(found), force=force)
    if errors is not None:
        from causalvlm.report.errors import render_errors

        render_errors(found, errors, force=force)
        console().print(f"errors shown in {errors}", soft_wrap=True)
    write_result(json, found.to_record(), force=force, device=device)


def show_scores(found: "Evaluation", *, trained: bool = False) -> None:
    """Print what an evaluation has found; and how long a training took that has just been done."""
    from rich.table import Table

    result = found.to_record()
    if found.unreadable:
        count = len(found.unreadable)
        sys.stderr.write(f"causalvlm: left out {count} unreadable test images; causalvlm doctor names them\n")
    cells = {
        "accuracy": f"{result['accuracy']:.1%}",
        "calibration error": f"{result['ece']:.3f}",
        "test images": str(result["n"]),
        "classes": str(result["class_count"]),
    }
    if trained:
        cells["training"] = f"{result['seconds']:.0f} s"
    table = Table(title=f"{result['method']} on {result['data']}, {result['classes']} classes", title_justify="left")
    for column in cells:
        table.add_column(column, justify="right")
    table.add_row(*cells.values())
    console().print(table)


def _rows(found: "Evaluation") -> bytes:
    frame = found.to_frame()
    text = StringIO()
    rows = tables.writer(text)
    rows.writerow(frame.columns)
    rows.writerows(frame.itertuples(index=False))
    return text.getvalue().encode(errors="surrogateescape")
