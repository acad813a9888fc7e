"""Every notebook source runs as plain Python, unmocked."""

import runpy
from pathlib import Path

import matplotlib as mpl
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.py"))


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_notebook_runs(source, capsys):
    mpl.use("agg")
    runpy.run_path(str(source), run_name="__main__")
    assert "Traceback" not in capsys.readouterr().out


def test_there_are_notebooks():
    assert NOTEBOOKS
