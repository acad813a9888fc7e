"""`causalvlm protocol`: an experiment of the literature over data sets, methods and seeds; the same command resumes."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

import cdc
from causalvlm.cli.methods import SetOption, check_method, configure_fit, settings_of
from causalvlm.cli.output import (
    BackboneOption,
    DeviceOption,
    ForceOption,
    JsonOption,
    PrecisionOption,
    PretrainedOption,
    RootOption,
    check_json,
    console,
    say_first,
    write_result,
)
from causalvlm.datasets import load_dataset
from causalvlm.errors import CausalVLMError, InputError

if TYPE_CHECKING:
    from cdc.protocols.result import ProtocolResult

SOME_FAILED = 1
"""Exit status where a run failed; the others are in the tables, and the next call tries it again."""

Names = list[str]
Loaded = list["cdc.ImageDataset | tuple[str, str]"]


class SeveralWords(TyperCommand):
    """A command whose repeatable options take several words: ``--seeds 1 2 3``, ``--seeds 1,2,3``, or each its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's context
        """Give every further word its option, which is how typer wants them."""
        repeatable = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        return super().parse_args(ctx, list(one_word_each(args, repeatable)))


def protocol(
    name: Annotated[
        Literal["base-to-new", "cross-dataset", "domain-generalization", "few-shot"],
        typer.Argument(metavar="PROTOCOL", help="base-to-new, cross-dataset, domain-generalization or few-shot."),
    ],
    datasets: Annotated[
        Names, typer.Option(metavar="DATA...", help="Folders, CSV files or names: picto/mammals picto/vehicles.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of runs and tables; a killed grid goes on from it.")],
    methods: Annotated[
        Names, typer.Option(metavar="METHOD...", help="Names of methods or variants: zero-shot coop cdc:paper.")
    ] = ["zero-shot", "coop", "cdc"],  # noqa: B006 - typer copies it
    seeds: Annotated[Names, typer.Option(metavar="SEED...", help="Of shots, tokens and shuffling.")] = ["1", "2", "3"],  # noqa: B006
    settings: SetOption = None,
    backbone: BackboneOption = "picto",
    pretrained: PretrainedOption = None,
    shots: Annotated[
        Names | None, typer.Option(metavar="SHOTS...", help="Images per class; default 16, or few-shot's 1 2 4 8 16.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the shots; by default each method's.")] = None,
    allow_fewer: Annotated[bool, typer.Option("--allow-fewer", help="Accept classes with too few images.")] = False,
    reference: Annotated[
        str | None, typer.Option(help="Method that others are compared with; default cdc, or else the first.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; default what cores and memory bear.")] = None,
    root: RootOption = None,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "fp32",
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Run a protocol of the prompt-learning literature and write its tables; the same command resumes.

    --set NAME=A,B multiplies the methods that have the setting. A data set that cannot be loaded is left out and named.
    Exits with 1 where a run failed.

    Example: causalvlm protocol base-to-new --datasets picto/mammals picto/vehicles --seeds 1 2 3 --out out/grid
    """
    check_json(json, force=force)
    numbers, wanted = _numbers("--seeds", seeds), None if shots is None else _numbers("--shots", shots)
    for method in _words(methods):
        check_method(method)
    say_first(f"running {name} on {', '.join(_words(datasets))}")
    chosen = labelled_methods(_words(methods), settings or (), backbone)
    fits = {label: replace(fit, allow_fewer=allow_fewer) for label, (_, fit) in chosen.items()}
    training = {label: fit.training for label, fit in fits.items()}
    if epochs is not None:
        training = {label: replace(one, epochs=epochs) for label, one in training.items()}
    result = cdc.run_protocol(
        name,
        _load(_words(datasets), root),
        {label: config for label, (config, _) in chosen.items()},
        backbone,
        out=out,
        seeds=numbers,
        shots=wanted,
        training=training,
        settings=fits,
        reference=reference,
        pretrained=pretrained,
        device=device,
        precision=precision,
        workers=workers,
    )
    _show(result)
    console().print(f"runs and tables in {out}", soft_wrap=True)
    write_result(json, result.to_record(), force=force, device=device)
    if result.failed:
        raise typer.Exit(SOME_FAILED)


def one_word_each(arguments: Iterable[str], repeatable: set[str]) -> Iterator[str]:
    """The arguments with the option repeated before every word that follows a repeatable one.

    Raises:
        InputError: if no word follows one.

    Example:
        >>> list(one_word_each(["few-shot", "--seeds", "1", "2", "--out", "a"], {"--seeds"}))
        ['few-shot', '--seeds', '1', '--seeds', '2', '--out', 'a']
    """
    option: str | None = None
    bare = False  # the option has been named and has no word yet
    for word in (*arguments, "--"):
        if not word.startswith("--"):
            yield from (option, word) if option else (word,)
            bare = False
            continue
        if bare:
            raise InputError(f"{option} must have a value; received none. Write for example {option} 1.")
        name, equals, _ = word.partition("=")
        option = name if name in repeatable else None
        bare = option is not None and not equals
        if not bare and word != "--":
            yield word


def labelled_methods(
    names: Sequence[str], pairs: Sequence[str], backbone: str
) -> "dict[str, tuple[cdc.MethodConfig, cdc.FitSettings]]":
    """Every method and its training with every combination of the values that ``--set`` gives for settings it has.

    Raises:
        InputError: if a method, setting or value is unknown, or a method is named twice.

    Example:
        >>> list(labelled_methods(["coop", "cdc"], ["templates=1,4"], "picto"))
        ['coop', 'cdc templates=1', 'cdc templates=4']
        >>> list(labelled_methods(["zero-shot", "coop"], ["training.epochs=2"], "picto"))
        ['zero-shot', 'coop training.epochs=2']
    """
    axes = {name: values.split(",") for name, _, values in (pair.partition("=") for pair in pairs)}
    known = {name: settings_of(name, backbone) for name in names}
    everywhere = sorted({setting for settings in known.values() for setting in settings})
    for axis in axes:
        if axis not in everywhere:
            raise InputError(
                f"--set must be NAME=VALUE with a setting of one of the methods ({', '.join(everywhere) or 'none'}); "
                f"received {axis!r}. See causalvlm methods."
            )
    found: dict[str, tuple[cdc.MethodConfig, cdc.FitSettings]] = {}
    for name in names:
        own = [[f"{axis}={value}" for value in values] for axis, values in axes.items() if axis in known[name]]
        for choice in product(*own):
            label = " ".join((name, *choice))
            if label in found:
                raise InputError(f"--methods must name each method once; received {name!r} twice.")
            found[label] = configure_fit(name, choice, backbone)
    return found


def _words(values: Iterable[str]) -> list[str]:
    """Words that were separated by commas, unless there is such a file."""
    return [word for value in values for word in ([value] if Path(value).exists() else value.split(",")) if word]


def _numbers(option: str, values: Iterable[str]) -> list[int]:
    try:
        return [int(word) for word in _words(values)]
    except ValueError as error:
        raise InputError(f"{option} must be whole numbers; received {' '.join(values)!r}.") from error


def _load(names: Iterable[str], root: Path | None) -> Loaded:
    """The data sets; of one that cannot be loaded its name and why."""
    found: Loaded = []
    for name in names:
        own_place = name.lower().startswith("picto") or Path(name).is_dir()
        try:
            found.append(load_dataset(name, root=None if own_place else root))
        except (CausalVLMError, OSError) as error:
            found.append((name, " ".join(str(error).split())))
    return found


def _show(result: "ProtocolResult") -> None:
    """The averages, and what is missing."""
    from cdc.protocols.tables import cell

    columns = [column for column in result.columns if column.digits is None]
    lines = [("method", "data sets", *(column.heading for column in columns))]
    lines += [
        (row.method, str(row.datasets), *(cell(column, row) for column in columns))
        for row in result.table()
        if row.dataset is None
    ]
    widths = [max(map(len, words)) for words in zip(*lines, strict=True)]
    say = console()
    for method, *words in lines:
        padded = [word.rjust(width) for word, width in zip(words, widths[1:], strict=True)]
        say.print(method.ljust(widths[0]), *padded, sep="  ", soft_wrap=True)
    for item in result.skipped:
        sys.stderr.write(f"causalvlm: left out {item.dataset}: {item.reason}\n")
    for item in result.failed:
        sys.stderr.write(f"causalvlm: failed {item.run}: {item.reason}\n")
