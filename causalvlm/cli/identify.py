"""`causalvlm identify`: can this effect be estimated from what is observed, and by which formula?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from causalvlm.cli.output import NOT_IDENTIFIED, ForceOption, JsonOption, check_json, console, say_first, write_result
from causalvlm.errors import InputError, NotIdentifiedError
from cdc.files import refuse_overwrite, write_bytes

if TYPE_CHECKING:
    from causalvlm.graphs.graph import CausalGraph
    from causalvlm.identification.cross_check import CrossCheck
    from causalvlm.identification.estimands import Estimand
    from causalvlm.identification.mediation import Held, Part

GraphArgument = Annotated[
    str,
    typer.Argument(
        metavar="GRAPH", help='DOT, GML or dagitty file, or the graph itself: "X -> S -> Y; X <-> Y; latent U".'
    ),
]
TreatmentOption = Annotated[str, typer.Option(help="The node that is set.")]
OutcomeOption = Annotated[str, typer.Option(help="The node that answers.")]
Asked = Literal["any", "back-door", "front-door", "general", "instrument", "mediation"]
StrategyOption = Annotated[
    Asked,
    typer.Option(
        help="By which criterion or algorithm; any tries the first three in this order. An instrument has to be asked "
        "for, as it needs an assumption that no graph shows; mediation is about a part of the effect, see --part."
    ),
]
PartOption = Annotated[
    Literal["indirect", "direct", "total", "controlled"],
    typer.Option(
        help="With --strategy mediation: through the mediators, past them, both together, or past mediators that are "
        "held at a level, see --at."
    ),
]
AtOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NODE=LEVEL", help="With --part controlled: where a mediator is held; repeat."),
]


def identify(
    graph: GraphArgument,
    treatment: TreatmentOption,
    outcome: OutcomeOption,
    observed: Annotated[
        list[str] | None,
        typer.Option(metavar="NODE", help="Exactly these nodes are observed, whatever the graph says; repeat."),
    ] = None,
    strategy: StrategyOption = "any",
    mediator: Annotated[
        list[str] | None,
        typer.Option(metavar="NODE", help="With --strategy mediation: what it passes through; repeat."),
    ] = None,
    part: PartOption = "indirect",
    at: AtOption = None,
    cross_check: Annotated[
        bool, typer.Option("--cross-check", help="Ask DoWhy as well, and say whether it agrees.")
    ] = False,
    figure: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the graph: .png, .pdf or .svg.")] = None,
    json: JsonOption = None,
    force: ForceOption = False,
) -> None:
    """Find out whether the effect of the treatment on the outcome is identified, and say why or why not.

    Exits with 3 where it is not: that is a result, and the JSON file holds its reason.

    Example: causalvlm identify "X -> S -> Y; X <-> Y" --treatment X --outcome Y
    """
    check_json(json, force=force)
    _check_figure(figure, force=force)
    check_graph(graph)
    say_first(f"identifying the effect of {treatment} on {outcome}")
    loaded = open_graph(graph)
    if observed is not None:
        loaded = loaded.observe_only(treatment, outcome, *observed)
    if mediator and strategy != "mediation":
        raise InputError(
            f"--mediator must come with --strategy mediation; received the strategy {strategy!r}. Add or drop it."
        )
    found: Estimand | NotIdentifiedError
    try:
        found = find_estimand(
            loaded, treatment, outcome, strategy, mediators=mediator or (), part=part, at=read_held(at)
        )
    except NotIdentifiedError as error:
        found = error
    check = _cross_check(loaded, treatment, outcome, strategy) if cross_check else None
    if isinstance(found, NotIdentifiedError):
        _print_failure(found, treatment, outcome)
    else:
        _print_estimand(found, _others(loaded, found, strategy))
    result = {"treatment": treatment, "outcome": outcome, **result_of(found)}
    if check is not None:
        _print_check(check)
        result["cross_check"] = check.to_record()
    if figure is not None:
        _draw(figure, loaded, found, treatment, outcome)
    write_result(json, result, force=force)
    if isinstance(found, NotIdentifiedError):
        raise typer.Exit(NOT_IDENTIFIED)


def find_estimand(
    graph: "CausalGraph",
    treatment: str,
    outcome: str,
    strategy: Asked,
    *,
    mediators: Sequence[str],
    part: "Part",
    at: "Mapping[str, Held] | None" = None,
) -> "Estimand":
    """What the options --strategy, --mediator, --part and --at ask for.

    Raises:
        NotIdentifiedError: nothing of the kind identifies it.

    Example:
        >>> find_estimand(open_graph("X -> S -> Y; X -> Y"), "X", "Y", "mediation", mediators=["S"], part="direct").part
        'direct'
    """
    from causalvlm.identification.identify import identify
    from causalvlm.identification.mediation import identify_mediation

    if at and strategy != "mediation":
        raise InputError(
            f"--at must come with --strategy mediation; received the strategy {strategy!r}. Add or drop it."
        )
    if strategy != "mediation":
        return identify(graph, treatment=treatment, outcome=outcome, strategy=strategy)
    if not mediators:
        raise InputError("--strategy mediation must be told the mediators; received none. Add --mediator NODE.")
    return identify_mediation(graph, treatment=treatment, outcome=outcome, mediators=mediators, part=part, at=at)


def read_held(given: Sequence[str] | None) -> "dict[str, Held]":
    """The levels of --at.

    Example:
        >>> read_held(["S=1", "T=high"])
        {'S': '1', 'T': 'high'}
    """
    held: dict[str, Held] = {}
    for one in given or ():
        node, equals, level = one.partition("=")
        if not (node and equals and level):
            raise InputError(f"--at must be NODE=LEVEL; received {one!r}. Write --at S=1.")
        held[node] = level
    return held


def check_graph(source: str) -> None:
    """Refuse a GRAPH argument that is neither text nor a file, before what reads graphs is loaded.

    Example:
        >>> check_graph("no-such-file.dot")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: a graph file must exist; received 'no-such-file.dot'. Check the path.
    """
    if not _is_text(source) and not Path(source).exists():
        raise InputError(f"a graph file must exist; received {source!r}. Check the path.")


def open_graph(source: str) -> "CausalGraph":
    """Read the GRAPH argument of a command: the graph's own text where it holds an arrow, else a file.

    Example:
        >>> print(open_graph("X -> S -> Y"))
        S -> Y; X -> S
    """
    from causalvlm.graphs import formats

    return formats.parse_graph(source) if _is_text(source) else formats.read_graph(source)


def _is_text(source: str) -> bool:
    return ("->" in source or "<-" in source) and not Path(source).is_file()


def result_of(found: "Estimand | NotIdentifiedError") -> dict[str, object]:
    """What the JSON file says about an estimand, or about the reason that there is none.

    Example:
        >>> from causalvlm.identification.estimands import FrontDoor
        >>> result = result_of(FrontDoor("X", "Y", ("S",)))
        >>> result["strategy"], result["adjustment"], result["open_path"]
        ('front-door', ['S'], None)
    """
    if isinstance(found, NotIdentifiedError):
        return _failure_record(found)
    return {
        "identified": True,
        **found.to_record(),
        "condition": None,
        "open_path": None,
        "remedies": [],
        "hedge": None,
    }


def _failure_record(error: NotIdentifiedError) -> dict[str, object]:
    return {
        "identified": False,
        "strategy": None,
        "adjustment": [],
        "covariates": [],
        "functional": None,
        "latex": None,
        "reason": str(error),
        "condition": error.condition,
        "open_path": error.open_path,
        "remedies": list(error.remedies),
        "hedge": None if error.hedge is None else [sorted(nodes) for nodes in error.hedge],
    }


def _others(graph: "CausalGraph", found: "Estimand", strategy: Asked) -> list["Estimand"]:
    from causalvlm.identification.identify import adjustment_sets

    if strategy == "mediation":
        return []
    sets = "any" if strategy == "general" else strategy
    others = adjustment_sets(graph, treatment=found.treatment, outcome=found.outcome, strategy=sets, limit=5)
    return [other for other in others if other != found]


def _cross_check(graph: "CausalGraph", treatment: str, outcome: str, strategy: Asked) -> "CrossCheck":
    """Ask DoWhy, whose import takes seconds and is nobody's who did not ask for it."""
    from causalvlm.identification.cross_check import cross_check

    if strategy == "mediation":
        raise InputError("--cross-check must compare sets; received --strategy mediation, which has none. Drop one.")
    return cross_check(graph, treatment=treatment, outcome=outcome, strategy=strategy)


def _check_figure(path: Path | None, *, force: bool) -> None:
    if path is None:
        return
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise InputError(f"--figure must end in .png, .pdf or .svg; received {str(path)!r}. Choose one of these.")
    refuse_overwrite(path, force=force)


def _print_estimand(found: "Estimand", others: Sequence["Estimand"]) -> None:
    say = console()
    by = "general algorithm" if found.strategy == "general" else found.strategy.replace("-", " ")
    effect = f"{getattr(found, 'part', '')} effect".strip()
    say.print(f"The {effect} of {found.treatment} on {found.outcome} is identified by the {by}:", soft_wrap=True)
    where = "where" if found.strategy == "instrument" else "because, in this graph,"
    say.print(f"  {found.text()}\n\n{where}", soft_wrap=True)
    for assumption in found.assumptions():
        say.print(f"  - {assumption}", soft_wrap=True)
    if others:
        say.print("\nOther ways, which should agree with it where the graph is right:", soft_wrap=True)
        for other in others:
            say.print(f"  - {other.text()}", soft_wrap=True)


def _print_failure(error: NotIdentifiedError, treatment: str, outcome: str) -> None:
    say = console()
    by = "" if error.hedge else " by this criterion"
    say.print(f"The effect of {treatment} on {outcome} is not identified{by}.", soft_wrap=True)
    say.print(f"  condition that fails: {error.condition}", soft_wrap=True)
    say.print(f"  open path:            {error.open_path}", soft_wrap=True)
    if error.hedge:
        larger, smaller = (", ".join(sorted(nodes)) for nodes in error.hedge)
        say.print(f"  hedge:                {{{larger}}} around {{{smaller}}}", soft_wrap=True)
    if error.remedies:
        say.print("\nAny of these would mend it, where it is true to the world:", soft_wrap=True)
        for remedy in error.remedies:
            say.print(f"  - {remedy}", soft_wrap=True)


def _print_check(check: "CrossCheck") -> None:
    verdict = "DoWhy agrees" if check.agrees else "DoWhy says otherwise"
    defect = f" ({check.known_defect})" if check.known_defect else ""
    console().print(f"\n{verdict}: {check.reason}{defect}.", soft_wrap=True)


def _draw(
    path: Path, graph: "CausalGraph", found: "Estimand | NotIdentifiedError", treatment: str, outcome: str
) -> None:
    from causalvlm.figures.graph import draw_graph
    from causalvlm.figures.style import to_bytes

    failed = isinstance(found, NotIdentifiedError)
    drawing = draw_graph(
        graph,
        treatment=treatment,
        outcome=outcome,
        estimand=None if failed else found,
        open_path=found.open_path if failed else "",
    )
    write_bytes(path, to_bytes(drawing, path.suffix.lower()[1:], dpi=150))  # pyright: ignore[reportArgumentType]
    console().print(f"\nfigure in {path}", soft_wrap=True)
