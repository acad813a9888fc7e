"""The figure shows the numbers of the result."""

import numpy as np

import causalvlm
from causalvlm.figures.style import to_bytes
from causalvlm.identification.estimands import FrontDoor
from causalvlm.worlds.embedding import CovariateWorld


def test_a_panel_for_each_scenario_with_its_breakdown_point_and_the_covariates():
    rng = np.random.default_rng(0)
    table = CovariateWorld().sample(2000, rng=rng)
    effect = causalvlm.estimate_effect(table, FrontDoor("X", "Y", ("S",), ("C",)), rng=rng)
    found = causalvlm.sensitivity(effect, table)
    figure = causalvlm.draw_sensitivity(found)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [scenario.name for scenario in found.scenarios]
    for axes, scenario in zip(figure.axes, found.scenarios, strict=True):
        places = [line.get_xdata()[0] for line in axes.lines]
        assert scenario.breakdown in places
        edge = axes.lines[1].get_ydata()
        assert edge[0] == effect.value
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert " as strong as C" in labels
    assert to_bytes(figure)[1:4] == b"PNG"
