"""`causalvlm audit`: are the opinions of an adapter's templates a valid mediator for the front door?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import cdc
from causalvlm.cli.output import (
    AdapterArgument,
    DataArgument,
    DeviceOption,
    FactorsOption,
    ForceOption,
    JsonOption,
    RootOption,
    check_adapter,
    check_data,
    console,
    open_adapter,
    say_first,
)
from causalvlm.datasets import load_dataset
from cdc.data.splits import LARGEST_SEED
from cdc.files import in_use, write_bytes, write_json

if TYPE_CHECKING:
    from causalvlm.diagnosis.audit.audit import Audit

RESULT, PAGE = "audit.json", "audit.md"


def audit(
    adapter: AdapterArgument,
    data: DataArgument,
    out: Annotated[Path, typer.Option(help=f"Folder for {RESULT} and {PAGE}.")],
    factors: FactorsOption = None,
    pixels: Annotated[
        bool | None,
        typer.Option(
            "--pixels/--no-pixels",
            help="Measure factors from the images too; by default only where no labelled factor is given.",
        ),
    ] = None,
    root: RootOption = None,
    device: DeviceOption = "cpu",
    folds: Annotated[int, typer.Option(help="Folds of the readers.")] = 5,
    clusters: Annotated[int, typer.Option(min=2, help="Coarse values of X that must overlap in S.")] = 4,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of folds and clusters.")] = 0,
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Audit ADAPTER on the test split of DATA: mediation, leaks, second stage and overlap of its opinions S.

    Example: causalvlm audit adapter/ pacs/ --factors domain/class --out audit/
    """
    check_adapter(adapter)
    check_data(data, root)
    say_first(f"auditing {adapter} on {data}")
    from causalvlm.diagnosis.audit.audit import audit as compute

    files = (out / RESULT, out / PAGE, *((json,) if json else ()))
    with in_use(out, writes=files, force=force):
        dataset = load_dataset(data, root=root, factors=factors)
        found = compute(
            open_adapter(adapter, device),
            dataset,
            pixels=pixels,
            folds=folds,
            clusters=clusters,
            rng=seed,
            progress=True,
        )
        _show(found)
        _write(found, out, seed=seed, device=device, json=json)
        console().print(f"page and numbers saved in {out}")


def _write(found: "Audit", out: Path, *, seed: int, device: str, json: Path | None) -> None:
    from causalvlm.diagnosis.audit.words import to_markdown

    record = {**found.to_record(), "seed": seed, "provenance": cdc.provenance(device)}
    # What exists was refused, or --force given, before the work began.
    write_bytes(out / PAGE, to_markdown(found).encode())
    for path in (out / RESULT, json):
        if path is not None:
            write_json(path, record, force=True)


def _show(found: "Audit") -> None:
    for sentence in found.summary:
        console().print(sentence)
        console().print()
    for file, reason in found.unreadable:
        console(stderr=True).print(f"causalvlm: left out {file}: {reason}", soft_wrap=True)
