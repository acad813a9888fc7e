"""The short text form of a graph, ``X -> S -> Y; X <-> Y; latent U``, and dagitty's, which contains it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product

from causalvlm.errors import InputError

_TOKEN = re.compile(
    r"""(?P<quoted>"[^"\n]*")
      | (?P<arrow><->|->|<-|--|@-@|@->|<-@|@--|--@)
      | (?P<name>[\w.']+(?:-(?![->@])[\w.']+)*)
      | (?P<mark>[{}\[\];,=\n])
      | (?P<space>[^\S\n]+|\#[^\n]*)
      | (?P<other>.)""",
    re.VERBOSE,
)
_LATENT_MARKS = {"latent", "l", "unobserved", "u"}
_SELECTED_MARKS = {"selected", "s"}
_BARE_NAME = re.compile(r"[\w.']+(?:-[\w.']+)*")
_END = ("mark", "\n")

_Token = tuple[str, str]

MOST_EDGES = 200_000
"""More edges than these are refused before they take up memory; the search of a graph of so many takes seconds."""


@dataclass
class GraphParts:
    """What a text says: the parts of a graph, not yet checked."""

    directed: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    bidirected: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    latent: list[str] = field(default_factory=list[str])
    nodes: list[str] = field(default_factory=list[str])

    def join(self, causes: Sequence[str], effects: Sequence[str], *, hidden: bool = False) -> None:
        """Add an edge from each cause to each effect, directed or `hidden`: bidirected.

        Raises:
            InputError: more than `MOST_EDGES` edges.

        Example:
            >>> parts = GraphParts()
            >>> parts.join(["X"], ["S", "T"])
            >>> parts.directed
            [('X', 'S'), ('X', 'T')]
        """
        require_few_edges(len(self.directed) + len(self.bidirected) + len(causes) * len(effects))
        (self.bidirected if hidden else self.directed).extend(product(causes, effects))


def require_few_edges(count: int) -> None:
    """Raise if a graph has more edges than can be searched.

    Example:
        >>> require_few_edges(9_000_000)
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: a graph must have at most 200000 edges; received 9000000. Leave out nodes that do not
        matter, or give nodes that always go together one name.
    """
    if count > MOST_EDGES:
        raise InputError(
            f"a graph must have at most {MOST_EDGES} edges; received {count}. Leave out nodes that do not matter, or "
            "give nodes that always go together one name."
        )


def parse_text(text: str) -> GraphParts:
    """Read the short form: chains of arrows, ``latent U V``, quoted names, ``{A B} -> C``, ``# comments``.

    Statements end at ``;``, at a comma or at the end of a line.

    Raises:
        InputError: a character or an arrow that the form does not know, an arrow that leads nowhere, or two names side
            by side.

    Example:
        >>> parts = parse_text("X -> S -> Y; X <-> Y; latent U; U -> X")
        >>> parts.directed, parts.bidirected, parts.latent
        ([('X', 'S'), ('S', 'Y'), ('U', 'X')], [('X', 'Y')], ['U'])
    """
    return _Reader(text, separated=True).read()


def parse_dagitty(text: str) -> GraphParts:
    """Read dagitty's text, ``dag { U [latent] X -> Y X <-> Y }``; positions and roles are skipped.

    Raises:
        InputError: another kind of graph than ``dag``, a node that rows are selected by, or what `parse_text` refuses.

    Example:
        >>> parts = parse_dagitty('dag { bb="0,0,1,1" U [latent,pos="0,0"] X <- U -> Y  X <-> Z }')
        >>> parts.directed, parts.bidirected, parts.latent
        ([('U', 'X'), ('U', 'Y')], [('X', 'Z')], ['U'])
    """
    match = re.fullmatch(r"\s*(\w+)\s*(?:\"[^\"]*\"|\w+)?\s*\{(.*)\}\s*", text, re.DOTALL)
    if match is None or match[1] != "dag":
        raise InputError(
            f"dagitty text must have the form dag {{ ... }}; received {_shorten(text)!r}. "
            "Write dag { X -> Y }: partial and ancestral graphs are not read."
        )
    return _Reader(match[2], separated=False).read()


def quote(name: str) -> str:
    """Write a node's name as the parsers read it back.

    Example:
        >>> quote("G_i"), quote("bird size")
        ('G_i', '"bird size"')
    """
    return name if _BARE_NAME.fullmatch(name) and name != "latent" else f'"{name}"'


class _Reader:
    """Reads statements one after the other; unless `separated` they may end without a mark, as dagitty's do."""

    def __init__(self, text: str, *, separated: bool) -> None:
        self.tokens = list(_tokens(text))
        self.separated = separated
        self.position = 0
        self.parts = GraphParts()

    def read(self) -> GraphParts:
        while self.position < len(self.tokens):
            if self._at("mark", ";,\n"):
                self.position += 1
            elif self.tokens[self.position] == ("name", "latent") and not self._next_is("arrow", "mark"):
                self._read_latent()
            else:
                self._read_chain()
        return self.parts

    def _read_latent(self) -> None:
        self.position += 1
        while self._at("name", None) or self._at("quoted", None) or self._at("mark", ","):
            if self._at("mark", ","):
                self.position += 1
            else:
                self.parts.latent += self._read_group()

    def _read_chain(self) -> None:
        left = self._read_group()
        if self._at("mark", "="):  # an option such as bb="0,0,1,1"
            self.position += 2
            return
        self.parts.nodes += left
        is_chain = False
        while self._at("arrow", None):
            arrow, is_chain = self._take()[1], True
            right = self._read_group()
            self.parts.nodes += right
            self._add_edges(arrow, left, right)
            left = right
        if self._at("mark", "["):
            self._read_attributes(left, is_chain)
        elif self.separated and (self._at("name", None) or self._at("quoted", None)):
            right = self._read_name()
            raise InputError(
                f"a statement must end at a semicolon, a comma or the end of the line; received {left[-1]} {right}. "
                f'Write {quote(left[-1])} -> {quote(right)}, or "{left[-1]} {right}" in quotes where it is one name.'
            )

    def _add_edges(self, arrow: str, left: list[str], right: list[str]) -> None:
        match arrow:
            case "->":
                self.parts.join(left, right)
            case "<-":
                self.parts.join(right, left)
            case "<->":
                self.parts.join(left, right, hidden=True)
            case _:
                raise InputError(
                    f"every edge must be ->, <- or <->; received {left[0]} {arrow} {right[0]}. "
                    "Give the edge its direction, or write <-> for a hidden common cause."
                )

    def _read_group(self) -> list[str]:
        if not self._at("mark", "{"):
            return [self._read_name()]
        self.position += 1
        names: list[str] = []
        while not self._at("mark", "}"):
            if self._at("mark", ";,\n"):
                self.position += 1
            else:
                names.append(self._read_name())
        self.position += 1
        return names

    def _read_name(self) -> str:
        kind, text = self._take()
        if kind not in ("name", "quoted"):
            received = "the end of the line" if text == "\n" else repr(text)
            raise InputError(
                f"a node's name must stand at both ends of an arrow; received {received}{self._context()}. "
                'Write for example "X -> S -> Y; X <-> Y; latent U", with quotes around names that hold spaces.'
            )
        return text.strip('"')

    def _read_attributes(self, nodes: list[str], is_chain: bool) -> None:
        attributes: list[str] = []
        while not self._at("mark", "]"):
            attributes.append(self._take()[1])
            if self.position == len(self.tokens):
                raise InputError(f"an opening [ must be closed; received {''.join(attributes)!r}. Add the ].")
        self.position += 1
        if _SELECTED_MARKS & set(attributes):
            raise InputError(
                f"rows must not be selected by what a graph holds; received {nodes[-1]} [selected]. Selection is not "
                "modelled here: leave the mark out if the rows were drawn without regard to it."
            )
        if not _LATENT_MARKS & set(attributes):
            return
        if is_chain:
            raise InputError(
                f"[latent] must follow a node that stands alone; received it after an arrow to {nodes[-1]!r}. "
                f"Write {quote(nodes[-1])} [latent] as a statement of its own."
            )
        self.parts.latent += nodes

    def _take(self) -> _Token:
        token = self.tokens[self.position] if self.position < len(self.tokens) else _END
        self.position += 1
        return token

    def _at(self, kind: str, texts: str | None) -> bool:
        if self.position >= len(self.tokens):
            return False
        found, text = self.tokens[self.position]
        return found == kind and (texts is None or text in texts)

    def _next_is(self, *kinds: str) -> bool:
        following = self.tokens[self.position + 1] if self.position + 1 < len(self.tokens) else _END
        return following[0] in kinds

    def _context(self) -> str:
        before = " ".join(text for _, text in self.tokens[max(0, self.position - 4) : self.position - 1]).strip()
        return f" after {before!r}" if before else ""


def _tokens(text: str) -> Iterable[_Token]:
    for match in _TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind == "other":
            raise InputError(
                f"a graph's text must consist of names, ->, <-, <-> and ;. Received {match[0]!r} "
                f"in {_shorten(text)!r}. Put quotes around names with other characters."
            )
        if kind != "space":
            yield kind, match[0]


def _shorten(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else f"{flat[:57]}..."
