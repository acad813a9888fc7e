"""Causal graphs from and to text and files: GML, DOT, dagitty and the short text form."""

import contextlib
import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import networkx as nx
import pydot

from causalvlm.errors import InputError
from causalvlm.graphs.graph import CausalGraph
from causalvlm.graphs.networkx import add_edges, assemble, from_networkx, is_latent, to_networkx
from causalvlm.graphs.text import GraphParts, parse_dagitty, quote
from cdc.files import write_bytes

GraphFormat = Literal["text", "dot", "gml", "dagitty"]

_SUFFIXES: dict[str, GraphFormat] = {
    ".dot": "dot",
    ".gv": "dot",
    ".gml": "gml",
    ".dagitty": "dagitty",
    ".dag": "dagitty",
    ".txt": "text",
}


def read_graph(path: str | Path) -> CausalGraph:
    """Read a graph file; its content says whether it is DOT, GML, dagitty or the short text form.

    Raises:
        InputError: no such file, or what `parse_graph` refuses.

    Example:
        >>> read_graph("no-such-file.dot")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: a graph file must exist; received 'no-such-file.dot'. Check the path.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"a graph file must exist; received {str(path)!r}. Check the path.") from None
    except UnicodeDecodeError:
        raise InputError(
            f"a graph file must hold text in UTF-8; received {str(path)!r}. Save it as DOT, GML or dagitty text."
        ) from None
    try:
        return parse_graph(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_graph(graph: CausalGraph, path: str | Path, *, force: bool = False) -> None:
    """Write a graph in the format of the file's suffix: .dot, .gv, .gml, .dagitty, .dag or .txt.

    Args:
        graph: the graph.
        path: the file; its folder is made if needed.
        force: replace a file that exists.

    Raises:
        InputError: another suffix, or a file that exists.

    Example:
        >>> write_graph(CausalGraph("X -> Y"), "graph.pdf")
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: a graph file must end in .dot, .gv, .gml, .dagitty, .dag, .txt; received
        'graph.pdf'. Use one of these, or draw_graph for a figure.
    """
    form = _SUFFIXES.get(Path(path).suffix.lower())
    if form is None:
        raise InputError(
            f"a graph file must end in {', '.join(_SUFFIXES)}; received {str(path)!r}. "
            "Use one of these, or draw_graph for a figure."
        )
    write_bytes(Path(path), format_graph(graph, form).encode(), force=force)


def parse_graph(text: str) -> CausalGraph:
    """Read a graph from DOT, GML, dagitty or the short text form, whichever `text` is.

    A node is latent where DOT or GML says ``latent=true`` or ``observed=no``, dagitty ``[latent]``; a
    bidirected edge is ``dir=both`` in DOT and ``<->`` in the others.

    Raises:
        InputError: text that its format does not allow, an undirected graph, or what `CausalGraph` refuses.

    Example:
        >>> parse_graph('digraph { X -> S -> Y; X -> Y [dir=both]; U [latent=true]; U -> X }')
        CausalGraph('S -> Y; U -> X; X -> S; X <-> Y; latent U')
        >>> parse_graph("dag { X -> S -> Y; X <-> Y }")
        CausalGraph('S -> Y; X -> S; X <-> Y')
    """
    text = text.removeprefix("\ufeff")  # the byte-order mark of some editors
    without_comments = re.sub(r"\A(?:\s+|//[^\n]*|#[^\n]*|/\*.*?\*/)+", "", text, flags=re.DOTALL)
    if not without_comments:
        raise InputError('a graph must name its nodes; received no text. Write for example "X -> S -> Y; X <-> Y".')
    if re.match(r"graph\s*\[|Creator\b|Version\b", without_comments):
        return _parse_gml(text)
    if re.match(r'(?:strict\s+)?(?:di)?graph\b\s*(?:"[^"]*"|[\w.]+)?\s*\{', without_comments, re.IGNORECASE):
        return _parse_dot(text)
    if re.match(r'\w+\s*(?:"[^"]*"|\w+)?\s*\{', without_comments):
        return assemble(parse_dagitty(without_comments))
    return CausalGraph(text)


def format_graph(graph: CausalGraph, form: GraphFormat) -> str:
    """Write a graph as text that `parse_graph` reads back as an equal graph.

    Raises:
        InputError: an unknown format.

    Example:
        >>> print(format_graph(CausalGraph("X -> S; X <-> S; latent S"), "dot"))
        digraph {
          "S" [latent=true, style=dashed];
          "X";
          "X" -> "S";
          "S" -> "X" [dir=both, style=dashed];
        }
        <BLANKLINE>
    """
    if form not in get_args(GraphFormat):
        raise InputError(f"form must be one of {', '.join(get_args(GraphFormat))}; received {form!r}. Choose one.")
    match form:
        case "text":
            return f"{graph}\n"
        case "gml":
            return "\n".join(nx.generate_gml(to_networkx(graph))) + "\n"
        case "dot":
            nodes = [f'"{node}"{_DOT_LATENT if node in graph.latent else ""}' for node in graph.nodes]
            edges = [f'"{cause}" -> "{effect}"' for cause, effect in graph.directed]
            hidden = [f'"{left}" -> "{right}" [dir=both, style=dashed]' for left, right in graph.bidirected]
            return _block("digraph", nodes + edges + hidden, ";")
        case "dagitty":
            nodes = [f"{quote(node)}{' [latent]' if node in graph.latent else ''}" for node in graph.nodes]
            edges = [f"{quote(cause)} -> {quote(effect)}" for cause, effect in graph.directed]
            hidden = [f"{quote(left)} <-> {quote(right)}" for left, right in graph.bidirected]
            return _block("dag", nodes + edges + hidden, "")


_DOT_LATENT = " [latent=true, style=dashed]"


def _block(opening: str, statements: list[str], end: str) -> str:
    return "\n".join([f"{opening} {{", *(f"  {statement}{end}" for statement in statements), "}", ""])


def _parse_gml(text: str) -> CausalGraph:
    try:
        graph = nx.parse_gml(text)
    except nx.NetworkXError as error:
        raise InputError(f"GML must follow its grammar; received an error: {error}. Mend this place.") from None
    except (AttributeError, RecursionError, TypeError, ValueError):  # the parser trips over values of the wrong kind
        raise InputError(
            'GML must have entries node [ id 0 label "X" ] and edge [ source 0 target 1 ], with a number or a text for '
            "each key; received an entry or a value of another kind. Mend it, or write the graph as X -> Y."
        ) from None
    return from_networkx(graph)


def _parse_dot(text: str) -> CausalGraph:
    said = io.StringIO()
    # The parser prints where it stumbles and returns None; on import it uses old names of pyparsing.
    with contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            graphs = pydot.graph_from_dot_data(text)
        except RecursionError:
            raise InputError(
                "DOT must not be nested deeply; received too many braces. Write fewer subgraphs."
            ) from None
    if not graphs:
        where = said.getvalue().strip().splitlines()
        raise InputError(f"DOT must follow its grammar; received an error: {where[-1] if where else text!r}. Mend it.")
    if len(graphs) > 1 or graphs[0].get_type() != "digraph":
        received = f"{len(graphs)} graphs" if len(graphs) > 1 else "an undirected graph"
        raise InputError(f"DOT must be one digraph; received {received}. Write digraph {{ X -> Y }}.")
    parts = GraphParts()
    _add_dot(parts, graphs[0])
    return assemble(parts)


def _add_dot(parts: GraphParts, graph: pydot.Graph) -> None:
    for node in graph.get_node_list():
        if node.get_name() not in ("node", "edge", "graph"):  # these set defaults
            name = _dot_name(node.get_name())
            parts.nodes.append(name)
            parts.latent += [name] * is_latent(node.get_attributes())
    defaults = {key: value for default in graph.get_edge_defaults() for key, value in default.items()}
    add_edges(
        parts,
        (
            (cause, effect, {**defaults, **edge.get_attributes()})
            for edge in graph.get_edge_list()
            for cause in _dot_ends(edge.get_source())
            for effect in _dot_ends(edge.get_destination())
        ),
    )
    for subgraph in graph.get_subgraph_list():
        _add_dot(parts, subgraph)


def _dot_ends(end: object) -> list[str]:
    """The nodes at one end of a DOT edge: a name, with or without a port, or a group in braces."""
    if not isinstance(end, Mapping):
        return [_dot_name(str(end))]
    if end["edges"] or end["subgraphs"]:
        raise InputError(
            "a group at the end of a DOT edge must hold nodes alone; received one with edges or groups of its own. "
            "Write these as statements of their own."
        )
    return [_dot_name(str(name)) for name in end["nodes"]]


def _dot_name(name: str) -> str:
    return name[1:-1] if name.startswith('"') else name.split(":")[0]
