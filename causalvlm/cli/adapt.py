"""`causalvlm adapt`: train an adapter, and score it."""

import json as plain
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

import cdc
from causalvlm.cli.evaluate import ClassesOption, show_scores
from causalvlm.cli.methods import SetOption, check_method, configure_fit
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
    check_json,
    console,
    say_first,
    write_result,
)
from causalvlm.datasets import load_dataset
from cdc.data.splits import LARGEST_SEED


def adapt(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder for the adapter; a killed run continues from it.")],
    method: Annotated[str, typer.Option(help="Name of a method: causalvlm methods lists them.")] = "cdc",
    backbone: BackboneOption = "picto",
    pretrained: PretrainedOption = None,
    shots: Annotated[int, typer.Option(help="Training images per class.")] = 16,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Of the drawn shots, initial tokens and shuffling.")
    ] = 1,
    classes: ClassesOption = "all",
    epochs: Annotated[int | None, typer.Option(help="Passes over the shots; by default the method's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak rate; by default the method's.")] = None,
    settings: SetOption = None,
    augmentation: Annotated[
        Literal["set1", "set2", "crop-flip", "none"] | None,
        typer.Option(help="Of the training images; by default the method's own."),
    ] = None,
    allow_fewer: Annotated[bool, typer.Option("--allow-fewer", help="Accept classes with too few images.")] = False,
    root: RootOption = None,
    factors: FactorsOption = None,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "fp32",
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Adapt a CLIP-like model to DATA with a few images per class, and test it on the test split.

    Example: causalvlm adapt photos/ --backbone photo --shots 16 --set templates=2 --out adapter/
    """
    replace_json = force or _is_result_of(json, out)
    check_json(json, force=replace_json)
    check_method(method)
    check_data(data, root)
    say_first(f"loading {backbone}")
    from causalvlm import adaptation, evaluation

    config, fit = configure_fit(method, settings, backbone)
    chosen = {"epochs": epochs, "learning_rate": learning_rate}
    training = replace(fit.training, **{name: value for name, value in chosen.items() if value is not None})
    dataset = load_dataset(data, root=root, factors=factors)
    evaluation.require_test_images(cdc.select_classes(dataset, classes))  # before the work of training, not after it
    towers = cdc.load_backbone(backbone, pretrained, device=device, precision=precision)
    fit = replace(fit, training=training, augmentation=augmentation, allow_fewer=allow_fewer)
    adapter = adaptation.adapt(
        dataset, config, towers, shots=shots, seed=seed, classes=classes, settings=fit, out=out, force=force
    )
    for file in adapter.card.training.unreadable if adapter.card.training else ():
        sys.stderr.write(f"causalvlm: left out {file}\n")
    found = evaluation.evaluate(adapter, dataset, classes=classes)
    show_scores(found, trained=True)
    console().print(f"adapter saved in {out}", soft_wrap=True)
    write_result(json, found.to_record(), force=replace_json, device=device)


def _is_result_of(json: Path | None, out: Path) -> bool:
    """Whether a JSON file holds what this command made of the adapter in `out`: then a second run may replace it."""
    if json is None:
        return False
    try:
        result, card = (plain.loads(path.read_text()) for path in (json, out / "card.json"))
        return all(card[name] == value for name, value in result["card"].items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
