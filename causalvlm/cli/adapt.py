"""`causalvlm adapt`, `evaluate` and `predict`: train an adapter, score it, use it."""

import csv
import json as plain
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

import cdc
from causalvlm.cli.methods import SetOption, configure
from causalvlm.cli.output import (
    AdapterArgument,
    BackboneOption,
    DataArgument,
    DeviceOption,
    FactorsOption,
    ForceOption,
    JsonOption,
    PrecisionOption,
    PretrainedOption,
    RootOption,
    check_json,
    console,
    open_adapter,
    write_result,
)
from causalvlm.datasets import load_dataset
from causalvlm.errors import InputError
from cdc.data.listing import refuse_ambiguous_names
from cdc.data.splits import LARGEST_SEED

Classes = Literal["base", "new", "all"]
ClassesOption = Annotated[Classes, typer.Option(help="Half of the classes, or all of them.")]


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
    """Adapt a CLIP-like model to DATA with a few images per class, and test it on the test split."""
    from causalvlm import adaptation

    replace_json = force or _is_result_of(json, out)
    check_json(json, force=replace_json)
    config = configure(method, settings)
    chosen = {"epochs": epochs, "learning_rate": learning_rate}
    training = replace(cdc.default_training(backbone, config), **{k: v for k, v in chosen.items() if v is not None})
    dataset = load_dataset(data, root=root, factors=factors)
    if not cdc.select_classes(dataset, classes).test:  # before the work of training, not after it
        raise InputError(
            f"a data set to adapt to must have test images; {dataset.name} has none of {classes} classes. Add rows or "
            "images for the test split."
        )
    towers = cdc.load_backbone(backbone, pretrained, device=device, precision=precision)
    fit = cdc.FitSettings(training=training, augmentation=augmentation, allow_fewer=allow_fewer)
    adapter = adaptation.adapt(
        dataset, config, towers, shots=shots, seed=seed, classes=classes, settings=fit, out=out, force=force
    )
    for file in adapter.card.training.unreadable if adapter.card.training else ():
        sys.stderr.write(f"causalvlm: left out {file}\n")
    result = _evaluate(adapter, dataset, classes)
    _show(result)
    console().print(f"adapter saved in {out}")
    write_result(json, result, force=replace_json, device=device)


def evaluate(
    adapter: AdapterArgument,
    data: DataArgument,
    classes: ClassesOption = "all",
    root: RootOption = None,
    factors: FactorsOption = None,
    device: DeviceOption = "cpu",
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Score an adapter on the test split of DATA: among base, new or all class names."""
    check_json(json, force=force)
    loaded = open_adapter(adapter, device)
    result = _evaluate(loaded, load_dataset(data, root=root, factors=factors), classes)
    _show(result)
    write_result(json, result, force=force, device=device)


def predict(
    adapter: AdapterArgument,
    images: Annotated[list[Path], typer.Argument(help="Image files.", metavar="IMAGE...")],
    class_name: Annotated[
        list[str] | None, typer.Option(help="Classify among these names instead; repeat the option.")
    ] = None,
    device: DeviceOption = "cpu",
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Classify IMAGES and say how sure the adapter is. An unreadable file is named and left out."""
    check_json(json, force=force)
    refuse_ambiguous_names(class_name or ())
    loaded = open_adapter(adapter, device)
    found = loaded.classify(images, class_name, cache=None, progress="encoding")
    prediction = found.prediction
    names = tuple(class_name) if class_name else loaded.class_names
    records = [
        {
            "file": str(images[image]),
            "label": names[int(prediction.labels[row])],
            "probability": float(prediction.probabilities[row].max()),
            "uncertainty": float(prediction.uncertainty[row]),
        }
        for row, image in enumerate(found.kept)
    ]
    unreadable = [{"file": str(path), "reason": reason} for path, reason in found.unreadable]
    _show_predictions(records)
    for failure in unreadable:
        sys.stderr.write(f"causalvlm: left out {failure['file']}: {failure['reason']}\n")
    write_result(json, {"predictions": records, "unreadable": unreadable}, force=force, device=device)


def _is_result_of(json: Path | None, out: Path) -> bool:
    """Whether a JSON file holds what this command made of the adapter in `out`: then a second run may replace it."""
    if json is None:
        return False
    try:
        result, card = (plain.loads(path.read_text()) for path in (json, out / "card.json"))
        return all(card[name] == value for name, value in result["card"].items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _evaluate(adapter: "cdc.Adapter", dataset: "cdc.ImageDataset", classes: Classes) -> dict[str, Any]:
    half = cdc.select_classes(dataset, classes)
    scores, prediction = cdc.evaluate(adapter, half.test, half.class_names)
    card = adapter.card
    if scores.n < len(half.test):
        left_out = len(half.test) - scores.n
        sys.stderr.write(f"causalvlm: left out {left_out} unreadable test images; causalvlm doctor names them\n")
    return {
        **asdict(scores),
        "classes": classes,
        "class_count": len(half.class_names),
        "mean_uncertainty": float(prediction.uncertainty.mean()),
        "seconds": card.training.seconds if card.training else 0.0,
        "method": card.method.name,
        "backbone": card.backbone.name,
        "shots": card.data.shots,
        "seed": card.data.seed,
        "data": dataset.name,
        "split_source": dataset.split_source,
        "card": card.to_record(),
    }


def _show(result: dict[str, Any]) -> None:
    table = Table(title=f"{result['method']} on {result['data']}, {result['classes']} classes", title_justify="left")
    for column in ("accuracy", "calibration error", "test images", "classes", "training"):
        table.add_column(column, justify="right")
    table.add_row(
        f"{result['accuracy']:.1%}", f"{result['ece']:.3f}", str(result["n"]), str(result["class_count"]),
        f"{result['seconds']:.0f} s",
    )  # fmt: skip
    console().print(table)


def _show_predictions(records: list[dict[str, Any]]) -> None:
    """A table on a terminal, tab-separated values into a pipe."""
    if not sys.stdout.isatty():
        writer = csv.DictWriter(sys.stdout, ["file", "label", "probability", "uncertainty"], delimiter="\t")
        writer.writeheader()
        writer.writerows(records)
        return
    table = Table()
    for column in ("file", "label", "probability", "uncertainty"):
        table.add_column(column, overflow="fold")
    for record in records:
        table.add_row(record["file"], record["label"], f"{record['probability']:.3f}", f"{record['uncertainty']:.3f}")
    console().print(table)
