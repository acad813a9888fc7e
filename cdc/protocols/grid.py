"""`run_protocol`: a grid of data sets, methods and seeds, in parallel, and resumed however often it is killed."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from re import sub

from cdc.backbones.backbone import Backbone, Precision
from cdc.card import BackboneRecord
from cdc.data.dataset import ImageDataset
from cdc.errors import InputError, require_at_least
from cdc.files import in_use, refuse_overwrite, write_bytes
from cdc.methods.method import MethodConfig
from cdc.methods.registry import find_method, method_config
from cdc.methods.schedule import TrainingConfig, default_training
from cdc.progress import run_bar
from cdc.protocols.protocol import Plan, Protocol, Record, Skipped
from cdc.protocols.registry import find_protocol
from cdc.protocols.result import Failed, ProtocolResult
from cdc.protocols.runs import Run, discard, plan_run, read_run
from cdc.protocols.tables import comma_separated, latex, markdown, timings
from cdc.protocols.workers import Towers, bearable_workers, run_here, run_in_workers
from cdc.training.fit import DEFAULT_SETTINGS, FitSettings

RUNS = "runs"
"""Folder of the records, one per run."""

REFERENCE = "cdc"
"""What methods are compared with if it is among them."""


def run_protocol(
    protocol: str,
    datasets: Sequence[ImageDataset | tuple[str, str]],
    methods: Sequence[str] | Mapping[str, MethodConfig],
    backbone: Backbone | str,
    *,
    out: Path | str,
    seeds: Sequence[int] = (1, 2, 3),
    shots: int | Sequence[int] | None = None,
    training: TrainingConfig | Mapping[str, TrainingConfig] | None = None,
    settings: FitSettings | Mapping[str, FitSettings] = DEFAULT_SETTINGS,
    reference: str | None = None,
    pretrained: str | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
    workers: int | None = None,
) -> ProtocolResult:
    """Run a protocol of the literature; what `out` holds already is not run again.

    A run that fails stops no other and is tried again the next time. Results are the same however often the grid was
    killed, on the same machine and with the same number of workers.

    Args:
        protocol: a name in `cdc.PROTOCOLS`.
        datasets: what to train and test on; for one that could not be loaded its name and why, which the tables say.
        methods: names such as ``"cdc:paper"``, or settings by the label that tables give them.
        backbone: its name (see `cdc.load_backbone`), or a loaded one, which one process uses.
        out: folder of ``runs/`` with one JSON file per run, of ``runs.jsonl``, ``table.md``, ``table.csv``,
            ``table.tex`` and ``timings.csv``.
        seeds: of shots, initial tokens and shuffling.
        shots: training images per class; None for the usual 16, or 1, 2, 4, 8 and 16 of few-shot.
        training: of all methods, or by label; by default each method's own (`cdc.default_training`).
        settings: views, augmentation, `allow_fewer` and cache, of all methods or by label; the rest of it plays no
            part.
        reference: label of the method that others are compared with; by default ``"cdc"``, or else the first.
        pretrained: of a backbone by name.
        device: of a backbone by name.
        precision: of a backbone by name.
        workers: processes, by default as many as cores and memory bear. They start anew, so a script needs
            ``if __name__ == "__main__"``, and a method of one's own has to be registered where its settings are
            defined. With 1 everything happens in this process.

    Returns:
        Runs, tables and paired differences.

    Raises:
        InputError: if a name is unknown or given twice, no data set is left, a record in `out` is of other settings,
            `out` has files of these names that no grid wrote, or another process works there.

    Example:
        >>> import tempfile
        >>> pets = ("pets", "no such folder")
        >>> run_protocol("base-to-new", [pets], ["zero-shot"], "picto", out=tempfile.mkdtemp())
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: at least one data set must be there; received none (pets: no such folder). ...
    """
    found = find_protocol(protocol)
    configs = methods if isinstance(methods, Mapping) else _by_name(methods)
    counts = _shots(protocol, found, shots)
    _require_distinct("methods", configs)
    _require_distinct("seeds", seeds)
    if reference is None:
        reference = REFERENCE if REFERENCE in configs else next(iter(configs))
    elif reference not in configs:
        raise InputError(f"reference must be one of {', '.join(configs)}; received {reference!r}.")
    plan = _plan(protocol, found, datasets, counts)
    towers, loaded = _towers(backbone, pretrained, device, precision)
    out = Path(out)
    runs = _cells(protocol, plan, configs, seeds, loaded, training, settings, out)
    if not (out / RUNS).exists():  # then no grid has run here
        for name in FILES:
            refuse_overwrite(out / name, force=False)
    with in_use(out):
        pending = [run for run in runs if read_run(run) is None]
        failures = _do(protocol, pending, towers, loaded, workers)
        result = ProtocolResult(
            protocol=protocol,
            backbone=loaded.name,
            shots=counts,
            seeds=tuple(seeds),
            methods={label: find_method(config.name).sees for label, config in configs.items()},
            reference=reference,
            runs=_records(runs),
            skipped=plan.skipped,
            failed=tuple(Failed(str(run), failures[run.file]) for run in runs if run.file in failures),
        )
        (out / RUNS).mkdir(exist_ok=True)
        for name, write in FILES.items():
            write_bytes(out / name, write(result).encode())
    return result


def _by_name(names: Sequence[str]) -> dict[str, MethodConfig]:
    _require_distinct("methods", names)
    return {name: method_config(name) for name in names}


def _require_distinct(what: str, values: Iterable[object]) -> None:
    counts = Counter(list(values))
    if twice := [value for value, count in counts.items() if count > 1]:
        raise InputError(f"{what} must have names of their own; received {twice[0]!r} more than once. Name each once.")
    if not counts:
        raise InputError(f"{what} must be at least one; received none.")


def _shots(name: str, protocol: Protocol, shots: int | Sequence[int] | None) -> tuple[int, ...]:
    match shots:
        case None:
            return protocol.shots
        case int():
            counts = (shots,)
        case _:
            counts = tuple(shots)
    _require_distinct("shots", counts)
    require_at_least("shots", min(counts), 1)
    if len(counts) > 1 and len(protocol.shots) == 1:
        raise InputError(f"{name} takes one number of shots; received {', '.join(map(str, counts))}. Use few-shot.")
    return counts


def _plan(
    name: str, protocol: Protocol, datasets: Sequence[ImageDataset | tuple[str, str]], shots: Sequence[int]
) -> Plan:
    """The trainings, with the data sets that could not be loaded among those skipped."""
    _require_distinct("data sets", (item.name if isinstance(item, ImageDataset) else item[0] for item in datasets))
    there = [item for item in datasets if isinstance(item, ImageDataset)]
    lost = tuple(Skipped(*item) for item in datasets if not isinstance(item, ImageDataset))
    if not there:
        reasons = "; ".join(f"{item.dataset}: {item.reason}" for item in lost)
        raise InputError(f"at least one data set must be there; received none ({reasons}). Name another.")
    if protocol.first_is_source and datasets[0] is not there[0]:
        raise InputError(
            f"{name} trains on the first data set, which must be there; {lost[0].dataset}: {lost[0].reason}"
        )
    plan = protocol.plan(there, shots)
    return Plan(plan.cases, (*lost, *plan.skipped))


def _towers(
    backbone: Backbone | str, pretrained: str | None, device: str, precision: Precision
) -> tuple[Towers | None, Backbone]:
    """How workers load the backbone, None where it was given; and the backbone itself, whose weights name the runs."""
    if isinstance(backbone, Backbone):
        return None, backbone
    towers = Towers(backbone, pretrained, device, precision)
    return towers, towers.load()


def _cells(
    protocol: str,
    plan: Plan,
    methods: Mapping[str, MethodConfig],
    seeds: Sequence[int],
    backbone: Backbone,
    training: TrainingConfig | Mapping[str, TrainingConfig] | None,
    settings: FitSettings | Mapping[str, FitSettings],
    out: Path,
) -> list[Run]:
    """Every run, in the order of the grid: by training set, method and seed."""
    facts = BackboneRecord.of(backbone)
    data = {item.name: item.fingerprint for case in plan.cases for item in (case.dataset, *case.targets)}
    runs: list[Run] = []
    for case in plan.cases:
        for label, method in methods.items():
            match training:
                case None:
                    config = default_training(backbone.name, method)
                case TrainingConfig():
                    config = training
                case _:
                    config = training[label]
            for seed in seeds:
                stem = sub(r"[^\w.=,+-]+", "_", f"{case.name}-{label}-seed_{seed}")
                fit = replace(
                    settings if isinstance(settings, FitSettings) else settings.get(label, DEFAULT_SETTINGS),
                    training=replace(config, seed=seed),
                    checkpoint=out / "checkpoints" / f"{stem}.safetensors",
                )
                file = out / RUNS / f"{stem}.json"
                runs.append(plan_run(protocol, case, label, method, fit, backbone=facts, data=data, file=file))
    _require_distinct("runs", (run.file.name for run in runs))
    return runs


def _do(
    protocol: str, runs: Sequence[Run], towers: Towers | None, backbone: Backbone, workers: int | None
) -> dict[Path, str]:
    """Do the runs; why each that failed did, by its file."""
    if workers is not None:
        require_at_least("workers", workers, 1)
    if towers is None and (workers or 1) > 1:
        raise InputError(f"a loaded backbone serves one process; received workers={workers}. Pass its name instead.")
    failures: dict[Path, str] = {}
    with run_bar(protocol, total=len(runs)) as report:

        def finished(run: Run, reason: str | None) -> None:
            if reason is not None:
                failures[run.file] = reason
            report(f"{run}: {'done' if reason is None else f'failed: {reason}'}")

        count = min(workers or bearable_workers(len(runs), str(backbone.device)), len(runs))
        if towers is None or count <= 1:
            run_here(runs, backbone, finished)
        else:
            run_in_workers(runs, towers, count, finished)
    return failures


def _records(runs: Iterable[Run]) -> tuple[Record, ...]:
    """What is done, whose checkpoints have served: a kill may have come between."""
    found: list[Record] = []
    for run in runs:
        if (record := read_run(run)) is not None:
            discard(run)
            found.append(record)
    return tuple(found)


def _lines(result: ProtocolResult) -> str:
    return "".join(json.dumps(run, allow_nan=False) + "\n" for run in result.runs)


FILES: Mapping[str, Callable[[ProtocolResult], str]] = {
    "runs.jsonl": _lines,
    "table.md": markdown,
    "table.csv": comma_separated,
    "table.tex": latex,
    "timings.csv": timings,
}
"""What a grid writes beside the folder of its runs."""
