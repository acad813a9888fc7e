"""Tables as notebooks show them: escaped, in the notebook's own colours, and scrolling inside themselves."""

from collections.abc import Iterable, Sequence
from html import escape

MOST_NAMED = 12
"""Names in a list that a table shows, beyond which the rest are counted."""

_CELL = "text-align:left;vertical-align:top;padding:.2em .8em .2em 0"


def html_table(rows: Iterable[Sequence[object]], *, header: Sequence[str] = (), title: str = "") -> str:
    """A table as HTML; a cell that is a tuple has a line for each of its items.

    Example:
        >>> html_table([("a < b", ("one", "two"))]).count("a &lt; b"), html_table([("a", ("one", "two"))]).count("<br>")
        (1, 1)
    """
    head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        '<div style="overflow-x:auto;max-width:100%">'
        + (f"<strong>{escape(title)}</strong>" if title else "")
        + '<table style="border-collapse:collapse;color:inherit;background:transparent;margin:.4em 0">'
        + (f"<thead><tr>{head}</tr></thead>" if head else "")
        + f"<tbody>{body}</tbody></table></div>"
    )


def listed(names: Sequence[object]) -> str:
    """Names in a row, the first of many.

    Example:
        >>> listed(["cat", "dog"]), listed([]), listed(range(20))[-10:]
        ('cat, dog', 'none', 'and 8 more')
    """
    rest = len(names) - MOST_NAMED
    return ", ".join(map(str, names[:MOST_NAMED])) + (f" and {rest} more" if rest > 0 else "") or "none"


def _cell(value: object) -> str:
    lines = value if isinstance(value, tuple) else (value,)
    return f'<td style="{_CELL}">{"<br>".join(escape(str(line)) for line in lines)}</td>'
