"""`causalvlm diagnose`: does the model see a task-irrelevant factor, and does it pay for it?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import cdc
from causalvlm.cli.identify import open_graph
from causalvlm.cli.output import (
    DataArgument,
    DeviceOption,
    FactorsOption,
    ForceOption,
    JsonOption,
    PrecisionOption,
    PretrainedOption,
    RootOption,
    check_adapter,
    check_data,
    console,
    open_adapter,
    say_first,
)
from causalvlm.datasets import load_dataset
from causalvlm.errors import InputError
from cdc.data.splits import LARGEST_SEED
from cdc.files import in_use, write_bytes, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from causalvlm.diagnosis.result import Diagnosis, FactorDiagnosis
    from causalvlm.embeddings.table import EmbeddingTable
    from cdc.backbones.backbone import Precision

REPORT, TEXT, FIGURE, RESULT = "report.html", "report.md", "figure.png", "diagnosis.json"
Probes = Literal["linear", "full"]
LADDER = ("decodable", "used", "goes with class", "effect known", "survives")


def diagnose(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help=f"Folder for {REPORT}, {TEXT}, {FIGURE} and {RESULT}.")],
    backbone: Annotated[
        str | None,
        typer.Option(help="As in adapt; by default the adapter's own, or picto without an adapter."),
    ] = None,
    pretrained: PretrainedOption = None,
    adapter: Annotated[str | None, typer.Option(help="Diagnose this adapter, on the test split.")] = None,
    factors: FactorsOption = None,
    reference: Annotated[
        list[str] | None, typer.Option(metavar="FACTOR=LEVEL", help="Level to compare with; repeat the option.")
    ] = None,
    pixels: Annotated[
        bool | None,
        typer.Option(
            "--pixels/--no-pixels",
            help="Measure factors from the images too (brightness, sharpness, a watermark, ...); by default only where "
            "no labelled factor is given. Clusters of embeddings come with them.",
        ),
    ] = None,
    graph: Annotated[
        str | None,
        typer.Option(
            help="Causal graph of the data, as text or in a file, with a node for every factor, Y for the class and "
            "Y_hat for the answer; by default the paper's."
        ),
    ] = None,
    description: Annotated[
        str | None,
        typer.Option(
            help="An image in words, for a zero-shot model: 'a {domain} of a {class}', with names of labelled factors; "
            "by default the prompt and their levels."
        ),
    ] = None,
    causes: Annotated[
        bool,
        typer.Option(
            "--causes/--no-causes",
            help="Set factors in the images or erase them, estimate their effects and try to refute them.",
        ),
    ] = True,
    pairs: Annotated[
        int, typer.Option(min=20, help="Pictures that a factor is set in, at most: more of them find smaller effects.")
    ] = 200,
    train: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD",
            help="Train this method on some of the images as a remedy, and judge it on the others; repeat the option.",
        ),
    ] = None,
    probes: Annotated[
        Probes,
        typer.Option(help="full: beside each linear probe a kernel, colours, an untrained network, arbitrary labels."),
    ] = "linear",
    groups: Annotated[
        str | None,
        typer.Option(
            help="Labelled column by which images belong together, such as video: probes keep them in a fold."
        ),
    ] = None,
    concepts: Annotated[
        bool, typer.Option("--concepts", help="Ask about concepts in words too, as the model itself sees them.")
    ] = False,
    root: RootOption = None,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "fp32",
    folds: Annotated[int, typer.Option(help="Folds of the probes.")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of the folds.")] = 0,
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Diagnose a model on DATA: is each factor decodable, used, confounded, what is its effect, does that survive?

    Example: causalvlm diagnose pacs --root data --backbone photo --out diagnosis
    """
    references = _parse_references(reference or [])
    check_data(data, root)
    if adapter is not None and not any((Path(data) / name).exists() for name in ("embeddings.json", "img_emb")):
        check_adapter(adapter)
    say_first(f"diagnosing {adapter or backbone or 'picto'} on {data}")
    import numpy as np

    from causalvlm.diagnosis.diagnose import diagnose as compute
    from causalvlm.embeddings.encode import embed_with_model
    from causalvlm.embeddings.store import is_clip_retrieval, is_store

    embedded = is_store(Path(data)) or is_clip_retrieval(Path(data))
    files = (out / REPORT, out / TEXT, out / FIGURE, out / RESULT, *((json,) if json else ()))
    with in_use(out, writes=files, force=force):
        known, model = (open_graph(graph) if graph else None), None
        if embedded:
            _refuse_beside_embeddings(adapter=adapter, factors=factors, root=root)
            table = _read_embeddings(Path(data), backbone, pretrained, device=device, precision=precision)
        else:
            dataset = load_dataset(data, root=root, factors=factors)
            _require_factors(dataset, adapter, pixels=pixels, folds=folds, groups=groups)
            if adapter is None:
                towers = cdc.load_backbone(backbone or "picto", pretrained, device=device, precision=precision)
                table, model = embed_with_model(dataset, towers)
            else:
                table, model = embed_with_model(dataset, backbone, open_adapter(adapter, device))
        diagnosis = compute(
            table,
            model=model,
            reference=references,
            pixels=pixels,
            concepts=concepts,
            graph=known,
            description=description,
            causes=causes,
            pairs=pairs,
            train=tuple(train or ()),
            probes=probes,
            groups=groups,
            folds=folds,
            rng=np.random.default_rng(seed),
            progress=True,
        )
        _show(diagnosis)
        _write(diagnosis, out, seed=seed, device=device, json=json)
        console().print(f"report, figure and numbers saved in {out}")


def _require_factors(
    dataset: cdc.ImageDataset, adapter: str | None, *, pixels: bool | None, folds: int, groups: str | None
) -> None:
    """Refuse what cannot be diagnosed before the work of encoding, not after it."""
    import numpy as np

    from causalvlm.probes.linear import check_levels

    if not dataset.factor_names and pixels is False:
        raise InputError(
            f"a diagnosis needs a task-irrelevant factor of the images; {dataset.name} names none. Pass "
            "--factors domain/class for folders such as photo/dog, or --factors FILE.csv with a column file and "
            "one per factor, or have factors measured from the images: --pixels."
        )
    images = dataset.examples if adapter is None else dataset.test
    for name in (one for one in dataset.factor_names if one != groups):
        check_levels(np.array([item.factors[name] for item in images]), name=name, folds=folds)


def _refuse_beside_embeddings(**options: Path | str | None) -> None:
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if given:
        raise InputError(
            f"embeddings must come as they were made, with their labels and factors; received {' '.join(given)} beside "
            "them. Leave that out, or give it when the images are embedded."
        )


def _read_embeddings(
    folder: Path, backbone: str | None, pretrained: str | None, *, device: str, precision: "Precision"
) -> "EmbeddingTable":
    """A table that was saved, or one from a folder of clip-retrieval and the backbone that made it."""
    from causalvlm.embeddings.encode import embed_clip_retrieval
    from causalvlm.embeddings.store import is_store
    from causalvlm.embeddings.table import load_embeddings

    if is_store(folder):
        _refuse_beside_embeddings(backbone=backbone, pretrained=pretrained)
        return load_embeddings(folder)
    if backbone is None:
        raise InputError(
            f"embeddings of clip-retrieval must come with the backbone that made them; received {folder} alone. Pass "
            "for example --backbone ViT-B-32 --pretrained openai."
        )
    return embed_clip_retrieval(folder, cdc.load_backbone(backbone, pretrained, device=device, precision=precision))


def _parse_references(pairs: list[str]) -> dict[str, str]:
    parsed = {factor: level for factor, _, level in (pair.partition("=") for pair in pairs)}
    if any("=" not in pair for pair in pairs) or len(parsed) < len(pairs):
        raise InputError(
            f"--reference must be FACTOR=LEVEL, each factor once; received {' '.join(pairs)}. "
            "Write for example --reference domain=photo."
        )
    return parsed


def _write(diagnosis: "Diagnosis", out: Path, *, seed: int, device: str, json: Path | None) -> None:
    from causalvlm.figures.diagnosis import draw_diagnosis
    from causalvlm.figures.style import to_bytes
    from causalvlm.report.write import render_report, to_markdown, to_record

    origin = {"seed": seed, **cdc.provenance(device)}
    # What exists was refused, or --force given, before the work began.
    render_report(diagnosis, out / REPORT, provenance=origin, force=True)
    write_bytes(out / TEXT, to_markdown(diagnosis).encode(errors="backslashreplace"))
    write_bytes(out / FIGURE, to_bytes(draw_diagnosis(diagnosis)))
    for path in (out / RESULT, json):
        if path is not None:
            write_json(path, {**to_record(diagnosis), "seed": seed, "provenance": cdc.provenance(device)})


def _show(diagnosis: "Diagnosis") -> None:
    from causalvlm.diagnosis.findings import caveats, summarize

    for paragraph in (*summarize(diagnosis), caveats(diagnosis)):
        console().print(paragraph)
        console().print()
    if diagnosis.graph is not None:
        console().print(_ladder(diagnosis))
    for factor in diagnosis.factors:
        if factor.source == "label":
            console().print(_table(factor))
    if any(factor.source != "label" for factor in diagnosis.factors):
        console().print(_measures(diagnosis))
    for file, reason in diagnosis.unreadable:
        console(stderr=True).print(f"causalvlm: left out {file}: {reason}", soft_wrap=True)


def _ladder(diagnosis: "Diagnosis") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title="Where each factor stands", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("factor", no_wrap=True)
    for rung in LADDER:
        table.add_column(rung)
    table.add_column("accuracy, points", justify="right", no_wrap=True)
    for factor in diagnosis.factors:
        effect = factor.ladder.effect
        said = f"{100 * effect.value:+.0f} ({100 * effect.low:+.0f}, {100 * effect.high:+.0f})" if effect else ""
        table.add_row(factor.factor, *(rung.answer for rung in factor.ladder.rungs.values()), said)
    return table


def _measures(diagnosis: "Diagnosis") -> "Table":
    from rich import box
    from rich.table import Table

    from causalvlm.phrases import INTERVAL

    title = f"Factors without a label: largest shift of the margin each, {INTERVAL} intervals, * certain"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("factor", no_wrap=True)
    table.add_column("bits given class", justify="right", no_wrap=True)
    table.add_column("margin, nats", justify="right", no_wrap=True)
    table.add_column("at, against", overflow="fold")
    for factor in (one for one in diagnosis.factors if one.source != "label"):
        bits, level = factor.probe.bits_given_class, factor.farthest
        margin = level.margin_shift if level else None
        table.add_row(
            factor.factor,
            f"{bits.value:.2f}{'*' if factor.decodable_given_class else ' '}" if bits else "",
            f"{margin.value:+.1f} ({margin.low:+.1f}, {margin.high:+.1f}){'*' if factor.moves_margin else ' '}"
            if margin
            else "",
            f"{level.level}, {factor.reference}" if level else "",
        )
    return table


def _table(factor: "FactorDiagnosis") -> "Table":
    from rich import box
    from rich.table import Table

    from causalvlm.phrases import INTERVAL

    title = f"Factor {factor.factor}: shifts from {factor.reference}, {INTERVAL} intervals"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("level", no_wrap=True)
    for column in ("images", "right", "accuracy, points", "margin, nats"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("taken for", overflow="fold")
    for level in factor.levels:
        accuracy, margin = level.accuracy_shift, level.margin_shift
        table.add_row(
            level.level,
            str(level.n),
            f"{level.accuracy.value:.0%}",
            f"{100 * accuracy.value:+.0f} ({100 * accuracy.low:+.0f}, {100 * accuracy.high:+.0f})" if accuracy else "",
            f"{margin.value:+.1f} ({margin.low:+.1f}, {margin.high:+.1f})" if margin else "",
            ", ".join(wrong.label for wrong in level.wrong_labels[:2]) if margin else "",
        )
    return table
