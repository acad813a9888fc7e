"""`causalvlm estimate`: the effect that a graph identifies, from a table, with what may be said against it."""

import contextlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from causalvlm.cli.identify import (
    Asked,
    AtOption,
    GraphArgument,
    OutcomeOption,
    PartOption,
    StrategyOption,
    TreatmentOption,
    check_graph,
    find_estimand,
    open_graph,
    read_held,
    result_of,
)
from causalvlm.cli.output import NOT_IDENTIFIED, ForceOption, JsonOption, check_json, console, say_first, write_result
from causalvlm.errors import InputError, NotIdentifiedError, OverlapError
from causalvlm.estimation.estimators import ESTIMATORS
from cdc.data.splits import LARGEST_SEED

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from causalvlm.estimation.effect import Effect
    from causalvlm.graphs.graph import CausalGraph
    from causalvlm.identification.estimands import Estimand
    from causalvlm.identification.mediation import Held, Part
    from causalvlm.refutation.verdict import Verdict

    EstimatorName = str
else:
    EstimatorName = Literal[tuple(ESTIMATORS)]

EstimatorOption = Annotated[
    EstimatorName | None,
    typer.Option(
        help="Chosen by the data if left out. "
        + "; ".join(f"{name} ({', '.join(entry.serves)}): {entry.about}" for name, entry in ESTIMATORS.items())
        + "."
    ),
]
Columns = dict[str, tuple[str, ...]]
_PARTS = {name for name, entry in ESTIMATORS.items() if entry.serves == ("mediation",)}


def estimate(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV or Parquet file, one row per unit.")],
    graph: GraphArgument,
    treatment: TreatmentOption,
    outcome: OutcomeOption,
    more: Annotated[list[str] | None, typer.Argument(metavar="[COLUMN]...", hidden=True)] = None,
    strategy: StrategyOption = "any",
    estimator: EstimatorOption = None,
    treated: Annotated[str | None, typer.Option(metavar="LEVEL", help="Level to compare; default the last.")] = None,
    control: Annotated[str | None, typer.Option(metavar="LEVEL", help="Compared with; default the first.")] = None,
    mediator: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN...", help="Columns that hold the mediator, such as 'S_*' or S=S_0; repeatable."),
    ] = None,
    part: PartOption = "indirect",
    at: AtOption = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Rows of one cluster, such as a video, are not independent.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="How many others each row stands for; any unit.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of folds, bootstrap and permutations.")] = 0,
    refute: Annotated[bool, typer.Option("--refute", help="Try to refute the effect.")] = False,
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Estimate the effect of the treatment on the outcome, if graph and data allow it.

    A node of the graph that is no column of the table is unobserved. Exits with 3, and the reason in the JSON file,
    where the effect is not identified or the data cannot answer.

    Example: causalvlm estimate table.csv "X -> S -> Y; X <-> Y" --treatment X --outcome Y --refute
    """
    check_json(json, force=force)
    _check_table(table)
    check_graph(graph)
    say_first(f"estimating the effect of {treatment} on {outcome} from {table}")
    import numpy as np

    from causalvlm.estimation.effect import estimate_effect

    data, loaded = read_table(table), open_graph(graph)
    _require_columns(data, loaded, treatment, outcome)
    question = {"treatment": treatment, "outcome": outcome, "seed": seed}
    try:
        estimand, columns = _identify(
            data, loaded, treatment, outcome, _patterns(mediator, more), strategy, part, estimator, read_held(at)
        )
    except NotIdentifiedError as error:
        _refuse(json, {**question, **result_of(error)}, str(error), error, force=force)
        return
    question |= result_of(estimand)
    rng = np.random.default_rng(seed)
    try:
        effect = estimate_effect(
            data,
            estimand,
            rng=rng,
            estimator=estimator,
            treated=treated,
            control=control,
            columns=columns,
            cluster=cluster,
            weights=weights,
        )
    except OverlapError as error:
        _refuse(json, question, str(error), error, force=force)
        return
    _print_effect(effect)
    judged = [verdict.to_record() for verdict in _refute(data, loaded, effect, rng)] if refute else None
    write_result(json, {**question, **effect.to_record(), "refusal": None, "verdicts": judged}, force=force)


def read_table(path: Path) -> "pd.DataFrame":
    """Read a CSV or Parquet file.

    Raises:
        InputError: if the file is missing, of another kind or unreadable, or a column is named twice.

    Example:
        >>> read_table(Path("table.xlsx"))
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: TABLE must be a .csv or .parquet file; received 'table.xlsx'. Convert it.
    """
    _check_table(path)
    import pandas as pd
    import pyarrow as pa

    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        names = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0].dropna()
        if names.duplicated().any():  # pandas would give the second another name
            twice = names[names.duplicated()].iloc[0]
            raise InputError(f"column names must be unique; received {twice!r} twice in {path}. Rename one.")
        data = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"TABLE must be readable; received {str(path)!r}: {reason}. Write it again.") from error
    if not isinstance(data.index, pd.RangeIndex):  # pandas would take the first values for names of rows
        raise InputError(
            f"every row must have as many values as the header has names; received more in {path}. Name every column."
        )
    return data


def _check_table(path: Path) -> None:
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"TABLE must be a .csv or .parquet file; received {str(path)!r}. Convert it.")
    if not path.is_file():
        raise InputError(f"TABLE must be a file that exists; received {str(path)!r}. Check the path.")


def _require_columns(data: "pd.DataFrame", graph: "CausalGraph", treatment: str, outcome: str) -> None:
    for role, node in (("treatment", treatment), ("outcome", outcome)):
        graph.known([node], f"the {role}")
        if node not in data.columns:
            names = ", ".join(map(str, data.columns[:12]))
            raise InputError(f"the {role} must be a column of the table; received {node!r}. Columns: {names}.")


def _patterns(mediator: Sequence[str] | None, more: Sequence[str] | None) -> list[str]:
    if more and not mediator:
        raise InputError(f"TABLE and GRAPH must be all that is not an option; received {more[0]!r} besides. Drop it.")
    return [*(mediator or ()), *(more or ())]


def _identify(
    data: "pd.DataFrame",
    graph: "CausalGraph",
    treatment: str,
    outcome: str,
    patterns: Sequence[str],
    strategy: Asked,
    part: "Part",
    estimator: str | None,
    at: "Mapping[str, Held]",
) -> tuple["Estimand", Columns]:
    """Find the estimand and the columns of its nodes; a named mediator or estimator decides what is left open."""
    present = [node for node in graph.observed if node in data.columns]
    if patterns and not at and strategy in ("any", "front-door") and estimator not in _PARTS:
        return _through_mediator(data, graph, treatment, outcome, patterns, present)
    serves = () if estimator is None else ESTIMATORS[estimator].serves
    if strategy == "any" and len(serves) == 1:
        strategy = serves[0]
    held, named = _matches(data, patterns)
    if patterns and strategy != "mediation":
        raise InputError(
            f"--mediator must come with --strategy front-door or mediation; received {strategy!r}. Drop one of them."
        )
    columns: Columns = {named[0]: held} if named else {}
    mediators = tuple(columns or held)
    seen = graph.observe_only(*present, *graph.known(mediators, "the mediator"))
    return find_estimand(seen, treatment, outcome, strategy, mediators=mediators, part=part, at=at), columns


def _through_mediator(
    data: "pd.DataFrame",
    graph: "CausalGraph",
    treatment: str,
    outcome: str,
    patterns: Sequence[str],
    present: Sequence[str],
) -> tuple["Estimand", Columns]:
    """The front door through the columns of --mediator: nodes themselves, or together the one node that they hold."""
    from causalvlm.identification.identify import identify

    held, named = _matches(data, patterns)
    if not named and set(held) <= set(graph.nodes):
        effects = graph.descendants(treatment) - {treatment, outcome, *held}
        kept = [node for node in {*present, *held} if node not in effects]
        return identify(graph.observe_only(*kept), treatment=treatment, outcome=outcome, strategy="front-door"), {}
    candidates = sorted(graph.known(named, "the mediator") if named else set(graph.nodes) - set(data.columns))
    found: dict[str, Estimand] = {}
    failure: NotIdentifiedError | None = None
    for node in candidates:
        try:
            estimand = identify(
                graph.observe_only(*present, node), treatment=treatment, outcome=outcome, strategy="front-door"
            )
        except NotIdentifiedError as error:
            failure = failure or error
            continue
        if node in getattr(estimand, "mediators", ()):
            found[node] = estimand
    if not found and failure:
        raise failure
    if len(found) != 1:
        raise InputError(
            "--mediator must hold one node of the graph that is no column and carries the effect; received columns for "
            f"{', '.join(found) or 'none such'}. Name the node: --mediator NODE=COLUMN."
        )
    node, estimand = found.popitem()
    return estimand, {node: held}


def _matches(data: "pd.DataFrame", patterns: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The columns that the patterns name, and the node that they are said to hold, if any."""
    named = sorted({pattern.split("=", 1)[0] for pattern in patterns if "=" in pattern})
    if len(named) > 1:
        raise InputError(f"--mediator must hold one node; received columns for {', '.join(named)}. Give one of them.")
    names = [str(name) for name in data.columns]
    held: dict[str, None] = {}  # an ordered set
    for pattern in patterns:
        wanted = pattern.split("=", 1)[-1]
        found = [name for name in names if fnmatchcase(name, wanted)]
        if not found:
            raise InputError(
                f"--mediator must name columns of the table; received {wanted!r}, which matches none of "
                f"{', '.join(names[:12])}. Check the spelling."
            )
        held |= dict.fromkeys(found)
    return tuple(held), named


def _refuse(
    json: Path | None, result: dict[str, object], reason: str, error: OverlapError | NotIdentifiedError, *, force: bool
) -> None:
    from causalvlm.estimation.effect import NO_NUMBERS

    empty = dict(NO_NUMBERS)
    if isinstance(error, OverlapError):
        empty |= {"effective_sample_size": error.effective_sample_size, "auc": error.auc}
    console().print(f"No estimate: {reason}", soft_wrap=True)
    write_result(json, {**result, **empty, "refusal": reason, "verdicts": None}, force=force)
    raise typer.Exit(NOT_IDENTIFIED)


def _print_effect(effect: "Effect") -> None:
    from causalvlm.intervals import CONFIDENCE

    say = console()
    through = "" if effect.auc is None else f", levels decoded with AUC {effect.auc:.3f}"
    lines = [
        f"{effect.estimand.text()}",
        f"  do({effect.estimand.treatment} = {effect.treated}) against {effect.control}: {effect.value:.6g}"
        f"   {100 * CONFIDENCE:.0f} % interval [{effect.low:.6g}, {effect.high:.6g}]",
        *(f"  mean under do({level}): {mean:.6g}" for level, mean in effect.do_means.items()),
        f"  {effect.estimator}, {effect.n} rows, {effect.effective_sample_size:.0f} effective{through}",
        *([] if effect.sampling.even else [f"  {effect.sampling.text()}"]),
        *(f"  warning: {warning}" for warning in effect.warnings),
    ]
    for line in lines:
        say.print(line, soft_wrap=True)


def _refute(
    data: "pd.DataFrame", graph: "CausalGraph", effect: "Effect", rng: "np.random.Generator"
) -> "tuple[Verdict, ...]":
    """Refute by placebos, by another criterion where it holds, and by columns that S or Z is free of in the graph."""
    from causalvlm.identification.estimands import BackDoor, FrontDoor, Instrument
    from causalvlm.identification.identify import identify
    from causalvlm.refutation.refute import refute

    estimand = effect.estimand
    present = [node for node in graph.nodes if node in data.columns]
    held = {node for node in effect.columns if node not in present}
    alternative = None
    comparable = isinstance(estimand, BackDoor | FrontDoor | Instrument) or getattr(estimand, "part", "") == "total"
    if comparable:  # a formula is sought only where neither criterion holds, and a part is not the whole
        with contextlib.suppress(NotIdentifiedError):
            alternative = identify(
                graph.observe_only(*present, *held),
                treatment=estimand.treatment,
                outcome=estimand.outcome,
                strategy="front-door" if isinstance(estimand, BackDoor) else "back-door",
            )
    free, given = set[str](), set[str]()
    if isinstance(estimand, FrontDoor):
        free, given = {*estimand.mediators}, {estimand.treatment, *estimand.covariates}
    if isinstance(estimand, Instrument):
        free, given = {estimand.instrument}, {*estimand.covariates}
    drawn = {effect.sampling.cluster, effect.sampling.weight}
    others = set(present) - free - given - {estimand.treatment, estimand.outcome} - drawn
    suspects = sorted(node for node in others if free and graph.d_separated(node, free, given=given))
    say = console()
    with say.status("trying to refute the effect"):  # shown on a terminal only
        verdicts = refute(effect, data, rng=rng, alternative=alternative, suspects=suspects)
    for verdict in verdicts:
        say.print(f"  {verdict.outcome:12s} {verdict.name}: {verdict.reason}", soft_wrap=True)
    return verdicts
