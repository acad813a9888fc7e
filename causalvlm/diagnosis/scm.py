"""The causal graph of a data set: the paper's by default or one's own, and whether its independencies hold."""

from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Int

from causalvlm.diagnosis.association import MOST_CELLS, associate_within
from causalvlm.diagnosis.columns import Columns, Origin
from causalvlm.errors import InputError
from causalvlm.graphs.graph import CausalGraph
from causalvlm.graphs.separators import smallest_separator
from causalvlm.multiplicity import FALSE_ALARM_RATE, holm

SOURCE, IMAGE, LABEL, PREDICTION = "D", "X", "Y", "Y_hat"
"""Nodes of the paper's graph that every data set has: where images come from, the image, its class, the answer."""

ORDER: tuple[Origin, ...] = ("label", "pixels", "concept")
"""Whose levels may be effects of those before, never of those after."""

HIDDEN = (SOURCE, "D_pixels", "D_concepts")
"""What joins the factors of each rank; nobody observes it."""

MOST_PAIRS = 500
"""Pairs of columns whose independence is tested, in the order of their names."""


@dataclass(frozen=True)
class Independence:
    """An independence that a graph implies, and what the table says of it.

    Attributes:
        statement: in symbols, such as ``"tint _||_ scale | Y"``.
        p_value: corrected by Holm's method over all that were tested; None for one that could not be.
        rejected: whether it certainly does not hold.
        reason: why it could not be tested; empty for one that was.
    """

    statement: str
    p_value: float | None
    rejected: bool
    reason: str = ""

    def to_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def data_graph(columns: Columns) -> CausalGraph:
    """The paper's graph with the factors of a data set as G_i, and the class Y in the place of G_r.

    D, which nobody observes, decides on the class and on every labelled factor; class and factors make the image X, and
    the frozen model reads its answer Y_hat off the image (method, section 1). What is measured from the pixels is an
    effect of the class, of what was labelled, such as the brightness of night, and of how the picture was taken, which
    is hidden as well; a concept as the model sees it is an effect of all these and of its own hidden cause. Clusters of
    embeddings are no factors until somebody has named them, and not in the graph. That Y stands for all that the task
    needs of an image is an assumption [ours]: what differs within a class is a listed factor, or chance.

    Example:
        >>> import numpy as np
        >>> from causalvlm.diagnosis.columns import labelled_columns
        >>> from causalvlm.embeddings.table import EmbeddingTable
        >>> table = EmbeddingTable(features=np.eye(2), logits=np.eye(2), labels=np.array([0, 1]),
        ...                        factors={"light": np.array(["day", "night"])}, class_names=("cat", "dog"))
        >>> print(data_graph(labelled_columns(table)))
        D -> Y; D -> light; X -> Y_hat; Y -> X; light -> X; latent D
    """
    require_free_names(columns)
    asked = {name: column for name, column in columns.factors.items() if column.source != "cluster"}
    ranks = {node_of(name): ORDER.index(column.source) for name, column in asked.items()}
    edges = [(SOURCE, LABEL), (LABEL, IMAGE), (IMAGE, PREDICTION)]
    edges += [edge for node, rank in ranks.items() for edge in ((HIDDEN[rank], node), (node, IMAGE))]
    edges += [(LABEL, node) for node, rank in ranks.items() if rank > 0]
    edges += [(cause, effect) for cause in ranks for effect in ranks if ranks[cause] < ranks[effect]]
    return CausalGraph(edges, latent={SOURCE, *(HIDDEN[rank] for rank in ranks.values())})


def require_graph(graph: CausalGraph, columns: Columns) -> CausalGraph:
    """A graph of one's own, in which every factor that is asked about and the answer have their node.

    Raises:
        InputError: if a factor, `LABEL` or `PREDICTION` is no node of it, or a factor is latent.

    Example:
        >>> import numpy as np
        >>> from causalvlm.diagnosis.columns import labelled_columns
        >>> from causalvlm.embeddings.table import EmbeddingTable
        >>> table = EmbeddingTable(features=np.eye(2), logits=np.eye(2), labels=np.array([0, 1]),
        ...                        factors={"light": np.array(["day", "night"])}, class_names=("cat", "dog"))
        >>> require_graph(CausalGraph("Y -> X -> Y_hat"), labelled_columns(table))
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: a graph of the data must have a node for the class (Y), ... received one without light...
    """
    require_free_names(columns)
    asked = [node_of(name) for name, column in columns.factors.items() if column.source != "cluster"]
    missing = [name for name in (LABEL, PREDICTION, *asked) if name not in graph.observed]
    if missing:
        raise InputError(
            f"a graph of the data must have a node for the class ({LABEL}), for the answer ({PREDICTION}) and for "
            f"every factor, observed; received one without {', '.join(missing)}. Add them, or leave factors out."
        )
    return graph


def node_of(factor: str) -> str:
    """The name of a factor's node: its own, but for what a graph's text cannot hold.

    Example:
        >>> node_of('screen 13"')
        "screen 13'"
    """
    return factor.replace('"', "'").replace("\n", " ")


def require_free_names(columns: Columns) -> None:
    """Refuse factors that are called like a node which every graph has."""
    taken = [name for name in (*HIDDEN, IMAGE, LABEL, PREDICTION) if name in columns.factors]
    if taken:
        raise InputError(
            f"a factor must not be called {', '.join(HIDDEN)}, {IMAGE}, {LABEL} or {PREDICTION}, nodes of every graph; "
            f"received {', '.join(taken)}. Rename it."
        )


def study_table(columns: Columns) -> pd.DataFrame:
    """One row per image: its factors, its class as `LABEL`, and the class that was answered as `PREDICTION`."""
    table, names = columns.table, np.array(columns.table.class_names)
    levels = {node_of(name): column.levels for name, column in columns.factors.items()}
    return pd.DataFrame({**levels, LABEL: names[table.labels], PREDICTION: names[table.predicted]})


def check_independencies(graph: CausalGraph, table: pd.DataFrame) -> tuple[Independence, ...]:
    """Test on a table of levels what a graph implies: that two columns are independent given some others.

    For every pair of columns without an edge the smallest separating set of columns is sought; the test is Cochran,
    Mantel and Haenszel's (`associate_within`), corrected for all of them. Of true statements any is rejected at most 5
    per cent of the time. The default graph implies nothing that a table could show, for D joins all factors.

    Args:
        graph: its nodes that are columns are tested; others, such as the image itself, separate nothing here.
        table: one row per image, every column with levels.

    Example:
        >>> light = np.tile(["day", "night"], 40)
        >>> table = pd.DataFrame({"light": light, "Y": np.where(np.arange(80) % 8 == 0, "dog", "cat")})
        >>> [(one.statement, one.rejected) for one in check_independencies(CausalGraph("light -> X <- Y"), table)]
        [('Y _||_ light', True)]
    """
    known = [node for node in graph.observed if node in table.columns]
    found: dict[tuple[str, str], tuple[str, float | None, str]] = {}
    for pair in list(combinations(known, 2))[:MOST_PAIRS]:
        separator = smallest_separator(graph, *pair, allowed=frozenset(known) - set(pair))
        if separator is not None:
            found[pair] = _test(table, *pair, tuple(sorted(separator)))
    corrected = holm({pair: p_value for pair, (_, p_value, _) in found.items() if p_value is not None})
    return tuple(
        Independence(statement, corrected.get(pair), corrected.get(pair, 1.0) < FALSE_ALARM_RATE, reason)
        for pair, (statement, _, reason) in found.items()
    )


def _test(table: pd.DataFrame, a: str, b: str, given: tuple[str, ...]) -> tuple[str, float | None, str]:
    statement = f"{a} _||_ {b}" + (f" | {', '.join(given)}" if given else "")
    first, second = table[a].to_numpy(dtype=str), table[b].to_numpy(dtype=str)
    if (len(np.unique(first)) - 1) * (len(np.unique(second)) - 1) > MOST_CELLS:
        return statement, None, "too many levels"
    found = associate_within(first, second, _strata(table, given))
    if found.freedom == 0:
        return statement, None, "no stratum has images of two levels of both"
    return statement, found.p_value, ""


def _strata(table: pd.DataFrame, given: tuple[str, ...]) -> Int[np.ndarray, " rows"]:
    if not given:
        return np.zeros(len(table), dtype=np.int64)
    return table.groupby(list(given), sort=False).ngroup().to_numpy()
