"""What every command prints and writes: text through rich, results as JSON."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

import cdc
from cdc.files import refuse_overwrite, write_json

JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace output that exists.")]
DataArgument = Annotated[str, typer.Argument(help="Folder of class folders, CSV file, or a name: picto/mammals.")]
AdapterArgument = Annotated[
    str, typer.Argument(help="Folder that adapt wrote, or owner/name[@revision] on the model hub.")
]
RootOption = Annotated[Path | None, typer.Option(help="Where named data sets lie; default $CAUSALVLM_DATA.")]
FactorsOption = Annotated[
    str | None, typer.Option(help="Task-irrelevant factors: a CSV, or folder levels such as domain/class.")
]
BackboneOption = Annotated[
    str,
    typer.Option(help="picto (knows pictograms only), photo, an open_clip architecture, hf-hub:NAME or a folder."),
]
PretrainedOption = Annotated[str | None, typer.Option(help="Pretrained tag or checkpoint of an architecture.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")]
PrecisionOption = Annotated[Literal["fp32", "bf16", "fp16"], typer.Option(help="Of the frozen towers.")]

NOT_IDENTIFIED = 3
"""Exit status of a refusal: the question has no answer in these data, which is itself a result."""


def console(*, stderr: bool = False) -> Console:
    """The terminal that people read; width follows the window. Text is text: names that look like markup stay.

    Example:
        >>> console().soft_wrap
        False
    """
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False, stderr=stderr)


def open_adapter(name: str, device: str = "cpu") -> "cdc.Adapter":
    """Load the adapter of a folder or of the model hub; of the hub, say on standard error which commit it is.

    Example:
        >>> open_adapter("no-such-folder")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: an adapter directory must hold card.json and adapter.safetensors; received no-such-folder
        without card.json. Pass the folder that an adapter was saved in.
    """
    adapter = cdc.load_adapter(name, device=device)
    if adapter.source:
        sys.stderr.write(f"causalvlm: {adapter.source.repository} at commit {adapter.source.commit}\n")
    return adapter


def check_json(path: Path | None, *, force: bool) -> None:
    """Refuse an existing JSON file before the work starts, not after it.

    Example:
        >>> check_json(None, force=False)
    """
    if path is not None:
        refuse_overwrite(path, force=force)


def write_result(path: Path | None, result: Mapping[str, object], *, force: bool, device: str = "cpu") -> None:
    """Write `result` with its provenance as JSON to `path`; do nothing without a path.

    Example:
        >>> write_result(None, {"accuracy": 0.5}, force=False)
    """
    if path is not None:
        write_json(path, {**result, "provenance": cdc.provenance(device)}, force=force)
