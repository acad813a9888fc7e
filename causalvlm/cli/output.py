"""What every command prints and writes: text through rich, results as JSON."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import cdc
from causalvlm.datasets import is_picto
from causalvlm.errors import InputError
from cdc.files import refuse_overwrite, write_json

if TYPE_CHECKING:
    from rich.console import Console

JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON.")]
CsvOption = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a row for each image as CSV.")]
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

HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*(@.+)?", re.ASCII)
"""What an adapter on the model hub is called."""

NOT_IDENTIFIED = 3
"""Exit status of a refusal: the question has no answer in these data, which is itself a result."""


def say_first(doing: str) -> None:
    """Say on standard error what goes on before it is loaded: the packages alone take seconds.

    Example:
        >>> say_first("loading picto")
    """
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in doing)
    sys.stderr.write(f"causalvlm: {shown} ...\n")
    sys.stderr.flush()


def check_data(data: str, root: Path | None) -> None:
    """Refuse a name or path of which there is nothing, before what reads it is loaded.

    Example:
        >>> check_data("no-such-folder", None)
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: data must be a folder of images, a CSV file or the name of a data set; received ...
    """
    if is_picto(data) or Path(data).exists():
        return
    from cdc.data.catalog import check_place

    check_place(data, root=root)


def check_adapter(name: str | Path) -> None:
    """Refuse a folder that holds no adapter, before what reads it is loaded; a name on the model hub is let pass.

    Example:
        >>> check_adapter("no-such-folder")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: an adapter directory must hold card.json and adapter.safetensors; received no-such-folder
        without card.json. Pass the folder that an adapter was saved in.
    """
    folder = Path(name)
    if isinstance(name, str) and not folder.exists() and HUB_NAME.fullmatch(name):
        return
    for file in ("card.json", "adapter.safetensors"):
        if not (folder / file).exists():
            raise InputError(
                f"an adapter directory must hold card.json and adapter.safetensors; received {folder} without {file}. "
                "Pass the folder that an adapter was saved in."
            )


def console(*, stderr: bool = False) -> "Console":
    """The terminal that people read; width follows the window. Text is text: names that look like markup stay.

    Example:
        >>> console().soft_wrap
        False
    """
    from rich.console import Console

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


def check_outputs(*paths: Path | None, force: bool) -> None:
    """`check_json` for several files, no two of them the same.

    Example:
        >>> check_outputs(Path("a.csv"), Path("a.csv"), force=True)
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: every output must have a file of its own; received a.csv twice. Choose another name.
    """
    named = [path for path in paths if path is not None]
    for place, path in enumerate(named):
        check_json(path, force=force)
        if path in named[:place]:
            raise InputError(f"every output must have a file of its own; received {path} twice. Choose another name.")


def write_result(path: Path | None, result: Mapping[str, object], *, force: bool, device: str = "cpu") -> None:
    """Write `result` with its provenance as JSON to `path`; do nothing without a path.

    Example:
        >>> write_result(None, {"accuracy": 0.5}, force=False)
    """
    if path is not None:
        write_json(path, {**result, "provenance": cdc.provenance(device)}, force=force)
