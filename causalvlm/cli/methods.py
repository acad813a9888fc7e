"""`causalvlm methods`: which methods there are and what can be set; and `--set name=value`, which sets it."""

import json as plain
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

import cdc
from causalvlm.cli.output import ForceOption, JsonOption, check_json, console, say_first, write_result
from causalvlm.errors import InputError
from cdc.records import restore

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the method or its training; repeat. causalvlm methods lists them.",
    ),
]

BUILT_IN = ("cdc", "coop", "kgcoop", "cocoop", "maple", "promptsrc", "zero-shot")
"""The methods that come with the package: `cdc.METHODS`, whose import loads torch, has them and those of one's own."""

SHOWN = "picto"
"""The backbone whose defaults of the training are listed: each has its own."""


def methods(json: JsonOption = None, force: ForceOption = False) -> None:
    """List the methods with their settings and defaults, and what can be set of the training.

    Example: causalvlm methods
    """
    check_json(json, force=force)
    say_first("loading the methods")
    say, found = console(), {}
    for name, entry in cdc.METHODS.items():
        settings = _flat(cdc.method_record(entry.config()))
        say.print(f"{name:12s} {entry.help}", soft_wrap=True)
        for setting, value in settings.items():
            say.print(f"{'':14s}--set {setting}={_written(value)}", soft_wrap=True)
        variants: dict[str, dict[str, Any]] = {}
        for variant in entry.variants:
            label = f"{name}:{variant}"
            chosen = _flat(cdc.method_record(cdc.method_config(label)))
            variants[label] = {setting: value for setting, value in chosen.items() if value != settings[setting]}
            differs = " ".join(f"{setting}={_written(value)}" for setting, value in variants[label].items())
            say.print(f"{label:12s} {differs}", soft_wrap=True)
        training = _flat({"training": _training_record(SHOWN, entry.config())})
        training.pop("training.seed", None)  # --seed sets it
        found[name] = {"help": entry.help, "settings": settings, "variants": variants, "training": training}
    say.print(f"{'training':12s} of every method that trains; defaults of cdc on {SHOWN}", soft_wrap=True)
    for setting, value in found["cdc"]["training"].items():
        say.print(f"{'':14s}--set {setting}={_written(value)}", soft_wrap=True)
    write_result(json, {"methods": found}, force=force)


def check_method(name: str) -> None:
    """Refuse a name that is no method's, before the methods are loaded.

    Example:
        >>> check_method("cdc:paper")
    """
    known = cdc.METHODS if "cdc.methods.registry" in sys.modules else BUILT_IN
    if name.partition(":")[0] not in known:
        raise InputError(f"method must be one of {', '.join(known)}; received {name!r}. See causalvlm methods.")


def settings_of(method: str, backbone: str) -> dict[str, Any]:
    """What can be set of a method or variant and of its training, by dotted name, with the defaults.

    Args:
        method: name of a method or variant.
        backbone: name of the towers, which have defaults of their own.

    Raises:
        InputError: if there is no such method or variant.

    Example:
        >>> list(settings_of("coop", "picto"))[:3]
        ['context_tokens', 'training.epochs', 'training.batch_size']
    """
    return {name: value for name, value in _flat(_record(method, backbone)).items() if name != "training.seed"}


def configure_fit(
    method: str, pairs: Sequence[str] | None, backbone: str
) -> "tuple[cdc.MethodConfig, cdc.FitSettings]":
    """The settings of a method and of its training, with the defaults changed as ``--set`` says.

    Args:
        method: name of a registered method, or of a variant such as ``"cdc:paper"``.
        pairs: such as ``"templates=8"`` or, for a setting within a setting, ``"evidence.temperature=2"``;
            ``training.`` comes before what is set of the training.
        backbone: name of the towers, which have defaults of their own.

    Raises:
        InputError: if the method or a setting is unknown, or a value is of another kind than the default.

    Example:
        >>> configure_fit("cdc", ["templates=8", "evidence.temperature=2"], "picto")[0].evidence.temperature
        2.0
        >>> configure_fit("coop", ["training.optimizer=adamw", "training.views=2"], "picto")[1].views
        2
    """
    changed = _changed(_record(method, backbone), method, pairs)
    changed_training = changed.pop("training")
    views = changed_training.pop("views", cdc.FitSettings().views)
    fit = cdc.FitSettings(training=restore(cdc.TrainingConfig, changed_training), views=views)
    return cdc.method_from_record(changed), fit


def _record(method: str, backbone: str) -> dict[str, Any]:
    """What can be set of a method, and under ``training`` what can be set of its training."""
    config = cdc.method_config(method)
    return {**cdc.method_record(config), "training": _training_record(backbone, config)}


def _training_record(backbone: str, config: "cdc.MethodConfig") -> dict[str, Any]:
    """What can be set of a training, with the defaults; nothing of a method that does not train."""
    if cdc.find_method(config.name).sees == "nothing":
        return {}
    return {**asdict(cdc.default_training(backbone, config)), "views": cdc.FitSettings().views}


def _changed(record: dict[str, Any], method: str, pairs: Sequence[str] | None) -> dict[str, Any]:
    """The record with every pair in its place."""
    known = {name: value for name, value in _flat(record).items() if name != "training.seed"}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals or name not in known:
            listed = ", ".join(known) or "none"
            raise InputError(
                f"--set must be NAME=VALUE with a setting of {method!r} ({listed}); received {pair!r}. See causalvlm "
                "methods."
            )
        *path, last = name.split(".")
        place = record
        for step in path:
            place = place[step]
        place[last] = _read(pair, text, known[name])
    return record


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name, without the method's own."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif prefix or name != "name":
            flat[f"{prefix}{name}"] = value
    return flat


def _written(value: object) -> str:
    return value if isinstance(value, str) else plain.dumps(value)


def _read(pair: str, text: str, default: object) -> object:
    """`text` as a value of the default's kind."""
    if isinstance(default, str):
        return text
    try:
        value = plain.loads(text.lower() if isinstance(default, bool) else text)
    except plain.JSONDecodeError:
        value = None
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if default is not None and type(value) is not type(default):
        raise InputError(
            f"a value of --set must be a {type(default).__name__}, as its default {_written(default)} is; received "
            f"{pair!r}. Write it like the default."
        )
    return value
