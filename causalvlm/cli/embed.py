"""`causalvlm embed`: what a model makes of images, kept in a folder that other tools read too."""

from pathlib import Path
from typing import Annotated

import typer

import cdc
from causalvlm.cli.output import (
    BackboneOption,
    DataArgument,
    DeviceOption,
    FactorsOption,
    ForceOption,
    JsonOption,
    PrecisionOption,
    PretrainedOption,
    RootOption,
    check_data,
    console,
    say_first,
    write_result,
)
from causalvlm.datasets import load_dataset
from cdc.files import in_use


def embed(
    data: DataArgument,
    backbone: BackboneOption,
    out: Annotated[Path, typer.Option(help="Folder for the embeddings.")],
    pretrained: PretrainedOption = None,
    factors: FactorsOption = None,
    root: RootOption = None,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "fp32",
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Embed DATA into a folder, in clip-retrieval's layout; the same command goes on after a kill.

    Example: causalvlm embed photos/ --backbone photo --out embeddings/, then causalvlm diagnose embeddings/ --out
    diagnosis/
    """
    check_data(data, root)
    say_first(f"loading {backbone}")
    from causalvlm.embeddings.encode import embed_into
    from causalvlm.embeddings.store import MANIFEST, read_manifest

    with in_use(out, writes=(out / MANIFEST, *((json,) if json else ())), force=force):
        dataset = load_dataset(data, root=root, factors=factors)
        towers = cdc.load_backbone(backbone, pretrained, device=device, precision=precision)
        embed_into(out, dataset, towers, force=True)  # what exists was refused, or --force given, before
        written = read_manifest(out)
        about = {
            "images": written.rows,
            "dim": towers.dim,
            "unreadable": written.unreadable,
            "settings": written.source,
        }
        write_result(json, about, force=True, device=device)
    for file, reason in written.unreadable:
        console(stderr=True).print(f"causalvlm: left out {file}: {reason}", soft_wrap=True)
    console().print(f"{written.rows:,} embeddings of {towers.dim} numbers saved in {out}", soft_wrap=True)
