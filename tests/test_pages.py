"""Every page is in the site, its links lead somewhere, and what a how-to says that its code prints is printed."""

import re
from pathlib import Path

import matplotlib as mpl
import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/decisions/*.md")])
RUN = {"README.md": 1, "docs/own_backbone.md": 2, "docs/own_graph.md": 3, "docs/own_learner.md": 1}
"""Pages whose first blocks of Python run as they stand, and how many these are."""

FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1$", re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts and the site name them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def broken_links(page: Path) -> list[str]:
    broken: list[str] = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        outside = re.match(r"https?:|mailto:", link)
        if not outside and (not target.exists() or (anchor and anchor not in anchors(target))):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    assert broken_links(page) == []


def test_a_broken_link_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A head\n[a](page.md#a-head) [b](#a-head) [c](gone.md) [d](page.md#gone)\n```\n[e](gone.md)\n```\n"
    )
    assert broken_links(page) == ["gone.md", "page.md#gone"]


def test_every_page_is_in_the_site():
    named = set(re.findall(r"<([\w./]+)>$|^(decisions/0\*)$", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE))
    listed = {(ROOT / "docs" / f"{name}.md").resolve() for pair in named for name in pair if name and "*" not in name}
    decisions = set(ROOT.glob("docs/decisions/0*.md")) if ("", "decisions/0*") in named else set()
    assert listed | decisions | {ROOT / "docs" / "index.md"} == set(PAGES)


@pytest.mark.parametrize("name", RUN)
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_the_code_of_a_page_prints_what_it_says(name, tmp_path, monkeypatch, capsys):
    mpl.use("agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    said: list[str] = []
    for block in re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)[: RUN[name]]:
        exec(compile(block, name, "exec"), names)
        said += re.findall(r"^# (.*)$", block, re.MULTILINE)
    printed = capsys.readouterr().out.splitlines()
    assert said
    assert [line for line in said if line not in printed] == []
