"""Committed notebooks are whole and say nothing of one machine; `tests/journeys/test_notebooks.py` runs them."""

import re
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs_are_of_one_run_without_errors_or_warnings(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_names_a_place_on_the_machine_that_made_it(path):
    notebook = nbformat.read(path, as_version=4)
    said = [text for cell in code(notebook) for output in cell.outputs for text in words(output)]
    assert not [text for text in said if re.search(r"(?<![\w<.])/(?:tmp|root|home|Users|work)/", text)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_links_to_is_there(path):
    """Other pages and notebooks; what is on the web is left alone."""
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert not [link for link in links if not (FOLDER / link).exists()]


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def words(output):
    """What an output says, pictures aside."""
    data = {kind: value for kind, value in output.get("data", {}).items() if kind.startswith("text/")}
    return [output.get("text", ""), *data.values()]


def test_there_are_notebooks():
    assert {"tour_of_the_scm", "diagnose_a_dataset", "audit_an_adapter", "adapt_with_cdc"} <= {
        path.stem for path in NOTEBOOKS
    }
