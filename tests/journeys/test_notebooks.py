"""The notebooks as a newcomer meets them: `jupyter lab notebooks`, a notebook opened, every cell run, saved."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.journeys.lab import Lab, jupyter_lab

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab in a copy of the folder of notebooks."""
    folder = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    with jupyter_lab(folder, tmp_path_factory.mktemp("home")) as lab:
        yield lab


def test_the_page_lists_the_notebooks_and_offers_a_kernel_of_this_environment(lab: Lab):
    assert lab.ask("lab").startswith("<!doctype html>")
    listed = [entry["name"] for entry in lab.ask("api/contents")["content"] if entry["type"] == "notebook"]
    assert sorted(listed) == NOTEBOOKS
    kernels = lab.ask("api/kernelspecs")
    assert kernels["default"] in kernels["kernelspecs"]
    with lab.kernel(NOTEBOOKS[0]) as kernel:
        _, (output,) = kernel.run("import sys, causalvlm; print(sys.prefix, causalvlm.__version__)")
        prefix, version = output["text"].split()
        _, (error,) = kernel.run("1 / 0")
    assert Path(prefix) == Path(sys.prefix)
    assert version
    assert (error["output_type"], error["ename"]) == ("error", "ZeroDivisionError")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_to_its_end_and_is_saved(name, lab: Lab):
    notebook = lab.open(name)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with lab.kernel(name) as kernel:
        kernel.run_all(notebook)
    lab.save(name, notebook)
    cells = [cell for cell in lab.open(name).cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output["traceback"] for output in outputs if output.output_type == "error"] == []
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(output.output_type in {"display_data", "execute_result"} for output in outputs)
