"""What a browser reads in a page, and whether the page's own policy allows that and nothing else."""

import base64
import hashlib
from html.parser import HTMLParser

SHOWN = {"a", "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "br", "div", "span", "code",
         "img", "figure", "figcaption", "details", "summary", "strong", "ul", "li", "table", "thead", "tbody", "tr",
         "th", "td", "svg", "g", "path", "rect", "circle", "text"}  # fmt: skip
"""Tags that show something. None of them runs, fetches or sends anything by itself, but for the source of an image; a
link saves what is in the page."""


class _Page(HTMLParser):
    """Tags in their order, and the text inside every style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.styles: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style" and self.cdata_elem:
            self.styles.append(data)


def require_closed(page: str) -> None:
    """The page's policy forbids all but its own styles and pictures, and the page has nothing that it forbids."""
    read = _Page(page)
    names = [tag for tag, _ in read.tags]
    assert names[:4] == ["html", "head", "meta", "meta"]
    assert set(names) <= SHOWN

    (charset, policy), rest = (attributes for _, attributes in read.tags[2:4]), read.tags[4:]
    assert charset == {"charset": "utf-8"}
    assert policy["http-equiv"] == "Content-Security-Policy"
    directives = dict(entry.split(None, 1) for entry in (policy["content"] or "").split(";"))
    digests = [base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in read.styles]
    assert directives == {
        "default-src": "'none'",
        "style-src": " ".join(f"'sha256-{digest}'" for digest in digests),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert len(read.styles) == names.count("style") == 1
    assert "url(" not in read.styles[0]
    assert "@import" not in read.styles[0]
    for tag, attributes in rest:
        assert not {name for name in attributes if name.startswith("on") or name in ("style", "http-equiv")}
        assert ("src" in attributes) == (tag == "img")
        assert ("href" in attributes) == (tag == "a")
        if tag == "a":
            assert set(attributes) == {"href", "download"}
            assert (attributes["href"] or "").startswith("data:application/json;base64,")
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
