"""Figures as the content of files."""

import pytest
from matplotlib.figure import Figure

from causalvlm.figures.style import to_bytes


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_figure_is_written_in_every_format(kind, start):
    assert to_bytes(Figure(figsize=(1, 1)), kind).startswith(start)


def test_dots_an_inch_are_the_figures_own_unless_asked_for():
    def width(content):
        return int.from_bytes(content[16:20])  # of the IHDR chunk

    assert width(to_bytes(Figure(figsize=(1, 1), dpi=130))) == 130
    assert width(to_bytes(Figure(figsize=(1, 1), dpi=130), dpi=150)) == 150
