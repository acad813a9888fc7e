"""Every number in README and docs is what a committed script wrote."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def load_tables():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "analyses" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["tables"] = module
    spec.loader.exec_module(module)
    return module


TABLES = load_tables()


@pytest.mark.parametrize("page", TABLES.pages(), ids=lambda page: page.name)
def test_tables_are_what_the_results_say(page):
    text = page.read_text()
    assert TABLES.fill(text) == text, f"run analyses/tables.py: {page.name} does not show the committed results"


def test_every_table_is_shown_somewhere():
    shown = {match[2] for page in TABLES.pages() for match in TABLES.BLOCK.finditer(page.read_text())}
    assert shown == set(TABLES.TABLES)


def test_a_changed_number_is_noticed():
    page = "<!-- table: cdc-ablation -->\n99.9\n<!-- end -->"
    assert TABLES.fill(page) != page
