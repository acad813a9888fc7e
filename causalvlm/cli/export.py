"""`causalvlm export`: an adapter as one file that runs without torch and without this package."""

from pathlib import Path
from typing import Annotated, Literal

import typer

import cdc
from causalvlm.cli.output import (
    AdapterArgument,
    ForceOption,
    JsonOption,
    check_adapter,
    check_json,
    console,
    open_adapter,
    say_first,
    write_result,
)
from cdc.data.listing import refuse_ambiguous_names
from cdc.files import refuse_overwrite


def export(
    adapter: AdapterArgument,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    format: Annotated[  # noqa: A002 - the option's name
        Literal["onnx"], typer.Option(help="Of the file; onnx needs the extra onnx.")
    ] = "onnx",
    class_name: Annotated[
        list[str] | None, typer.Option(help="Classify among these names instead; repeat the option.")
    ] = None,
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Write an adapter with its image tower as one file, from preprocessed pixels to probabilities.

    Example: causalvlm export adapter/ --out otters.onnx
    """
    check_json(json, force=force)
    refuse_overwrite(out, force=force)  # before the work, not after it
    refuse_ambiguous_names(class_name or ())
    check_adapter(adapter)
    say_first(f"exporting {adapter} as {format}, seconds to a minute")
    written = cdc.export_onnx(open_adapter(adapter), out, class_name, force=force)
    console().print(
        f"{', '.join(written.outputs)} from pixels in {out}, {written.size / 1e6:.0f} MB; within "
        f"{written.difference:.1g} of the adapter in onnxruntime",
        soft_wrap=True,
    )
    write_result(json, written.to_record(), force=force)
