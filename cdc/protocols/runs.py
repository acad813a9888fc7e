"""One run of a protocol: trained, measured and on disk; one of other settings there is an error, never a result."""

import json
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cdc.adapter import Adapter
from cdc.backbones.backbone import Backbone
from cdc.card import BackboneRecord
from cdc.errors import InputError
from cdc.files import write_json
from cdc.methods.method import MethodConfig, Trainable
from cdc.methods.registry import method_record
from cdc.protocols.protocol import Case, Record
from cdc.protocols.registry import find_protocol
from cdc.provenance import provenance
from cdc.training.checkpoint import discard_checkpoints
from cdc.training.fit import FitSettings, fit


@dataclass(frozen=True)
class Run:
    """A cell of the grid.

    Attributes:
        protocol: its name.
        case: what is trained and tested on.
        label: what tables call the method.
        method: settings of the method.
        settings: everything else about the fit, seed included.
        asked: all that decides the result, as plain values; the record begins with it.
        file: where the record lies.
    """

    protocol: str
    case: Case
    label: str
    method: MethodConfig
    settings: FitSettings
    asked: Record
    file: Path

    def __str__(self) -> str:
        return f"{self.label} on {self.case.name}, seed {self.asked['seed']}"


def plan_run(
    protocol: str,
    case: Case,
    label: str,
    method: MethodConfig,
    settings: FitSettings,
    *,
    backbone: BackboneRecord,
    data: Mapping[str, str],
    file: Path,
) -> Run:
    """A run with all that decides its result.

    Args:
        protocol: its name.
        case: what is trained and tested on.
        label: what tables call the method.
        method: settings of the method.
        settings: training with its seed, views, augmentation, cache and checkpoint.
        backbone: which frozen model.
        data: fingerprints of the data sets by name.
        file: where the record lies, or will.
    """
    training = asdict(settings.training)
    seed = training.pop("seed")
    asked = {
        "protocol": protocol,
        "dataset": case.dataset.name,
        "method": label,
        "seed": seed,
        "settings": {
            "method": method_record(method),
            "training": training,
            "shots": case.shots,
            "augmentation": settings.augmentation,
            "views": settings.views,
            "allow_fewer": settings.allow_fewer,
            "backbone": asdict(backbone),
            "data": {dataset.name: data[dataset.name] for dataset in (case.dataset, *case.targets)},
        },
    }
    settings = replace(settings, shots=case.shots, classes=find_protocol(protocol).classes)
    return Run(protocol, case, label, method, settings, json.loads(json.dumps(asked)), file)


def read_run(run: Run) -> Record | None:
    """The record of a run that was finished before; None if there is none.

    Raises:
        InputError: if the file is damaged, or holds a run of other settings.
    """
    if not run.file.exists():
        return None
    try:
        found = json.loads(run.file.read_text())
    except ValueError as error:
        raise InputError(f"{run.file} must be the record of a run; {error}. Delete that file.") from error
    for key, value in run.asked.items():
        if difference := _difference(key, found.get(key), value):
            raise InputError(
                f"{run.file} must hold a run of these settings; {difference}. Choose another output folder, or delete "
                "that file."
            )
    return found


def _difference(name: str, found: object, asked: object) -> str | None:
    """The first difference between two plain values, named by its path; None if there is none."""
    if isinstance(found, dict) and isinstance(asked, dict):
        for key in {**asked, **found}:
            if difference := _difference(f"{name}.{key}", found.get(key), asked.get(key)):
                return difference
        return None
    return None if found == asked else f"its {name} is {found!r}, not {asked!r}"


def perform(run: Run, backbone: Backbone) -> None:
    """Train and measure, and write the record; killed while it measures, it trains no second time.

    `seconds` is the time of the whole fit, features that were not cached included, since the last checkpoint;
    `peak_memory` is in bytes, of the whole process so far.
    """
    started = time.perf_counter()
    adapter = fit(run.case.dataset, run.method, backbone, run.settings, keep_checkpoint=True)
    seconds = time.perf_counter() - started
    record = {
        **run.asked,
        **find_protocol(run.protocol).measure(adapter, run.case, run.settings.cache),
        "augmentation": adapter.card.training.augmentation if adapter.card.training else None,
        "parameters": _parameters(adapter),
        "seconds": seconds,
        "peak_memory": _peak_memory(),
        "provenance": provenance(str(backbone.device)),
    }
    write_json(run.file, record)
    discard(run)


def discard(run: Run) -> None:
    """Remove the checkpoint of a run whose record is written."""
    if run.settings.checkpoint:
        discard_checkpoints(run.settings.checkpoint)


def _parameters(adapter: Adapter) -> int:
    """How many numbers were learned."""
    method = adapter.method
    return sum(value.numel() for value in method.parameters()) if isinstance(method, Trainable) else 0


def _peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes; the system counts in KiB, but macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def in_one_line(error: Exception) -> str:
    """What went wrong, for lists and logs.

    Example:
        >>> in_one_line(ZeroDivisionError("division by zero"))
        'ZeroDivisionError: division by zero'
    """
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"
