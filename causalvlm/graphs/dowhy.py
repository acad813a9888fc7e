"""Causal graphs from and to DoWhy's models, and the quiet that DoWhy needs around it."""

import contextlib
import logging
import warnings
from collections.abc import Generator
from typing import TYPE_CHECKING

import networkx as nx

from causalvlm.errors import InputError
from causalvlm.graphs.graph import CausalGraph
from causalvlm.graphs.networkx import from_networkx, to_networkx

if TYPE_CHECKING:
    import dowhy
    import pandas as pd


def from_dowhy(model: object) -> CausalGraph:
    """Convert DoWhy's `CausalModel` or its `gcm` models; what DoWhy holds to be unobserved is latent.

    Raises:
        InputError: another object.

    Example:
        >>> from_dowhy("X -> Y")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: model must be a DoWhy CausalModel or gcm model; received a str. Use
        parse_graph for text and from_networkx for a networkx graph.
    """
    # gcm models publish .graph; CausalModel keeps DoWhy's own graph class, which keeps the networkx graph.
    inner = getattr(model, "graph", None) or getattr(getattr(model, "_graph", None), "_graph", None)
    if not isinstance(inner, nx.DiGraph):
        raise InputError(
            f"model must be a DoWhy CausalModel or gcm model; received a {type(model).__name__}. "
            "Use parse_graph for text and from_networkx for a networkx graph."
        )
    return from_networkx(inner)


def to_dowhy(
    graph: CausalGraph, *, treatment: str, outcome: str, table: "pd.DataFrame | None" = None
) -> "dowhy.CausalModel":
    """Make DoWhy's `CausalModel` of a graph, and of a table where its estimators or refuters shall follow.

    Latent nodes become DoWhy's unobserved ones, a bidirected edge X <-> Y an unobserved ``U(X, Y)``; `from_dowhy`
    gives the same graph back. DoWhy believes the columns of the table before it believes the graph, so it is given a
    copy of the columns of the observed nodes and no other: a latent node that happens to be a column stays latent, and
    what DoWhy writes into its table is not written into yours. For DoWhy's functional interface, such as
    `dowhy.causal_identifier.identify_effect_auto`, take `to_networkx`.

    Args:
        graph: the causal graph.
        treatment: the observed node that is set.
        outcome: the observed node that answers.
        table: one column per observed node, whatever else; without it the model identifies, but cannot estimate.

    Raises:
        InputError: treatment or outcome that is no observed node, or an observed node without a column.

    Example:
        >>> graph = CausalGraph("X -> S -> Y; X <-> Y")
        >>> model = to_dowhy(graph, treatment="X", outcome="Y")
        >>> from_dowhy(model) == graph
        True
    """
    import pandas as pd

    for role, node in (("treatment", treatment), ("outcome", outcome)):
        if node not in graph.observed:
            raise InputError(
                f"{role} must be an observed node; received {node!r}. The graph observes {', '.join(graph.observed)}."
            )
    names = list(graph.observed)
    if table is not None and (absent := [name for name in names if name not in table.columns]):
        raise InputError(
            f"the table must have a column for every observed node; received none for {', '.join(absent)}. "
            f"Add it, or hide the node: graph.hide({absent[0]!r})."
        )
    data = pd.DataFrame(columns=names, dtype=float) if table is None else table[names].copy()
    with quiet_dowhy():
        import dowhy

        return dowhy.CausalModel(data=data, treatment=treatment, outcome=outcome, graph=to_networkx(graph))


@contextlib.contextmanager
def quiet_dowhy() -> Generator[None]:
    """Keep DoWhy's warnings and log lines back while its code runs; every call of DoWhy in this package stands inside.

    It warns of every unobserved node, logs each default that it takes, and imports with the deprecated names of
    other packages; what matters of this is said in the results instead. Loggers and filters are restored.

    Example:
        >>> with quiet_dowhy():
        ...     logging.getLogger("dowhy").warning("First stage model not provided.")
    """
    logger = logging.getLogger("dowhy")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
