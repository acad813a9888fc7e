"""Figures of diagnoses: names of factors, levels and classes are text."""

from io import BytesIO

import numpy as np

from causalvlm.diagnosis.diagnose import diagnose
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.figures.diagnosis import draw_diagnosis


def test_names_are_text_and_no_level_is_left_out_of_the_legend():
    rng, levels = np.random.default_rng(0), ["$x_{$", "_hidden"]
    table = EmbeddingTable(
        features=rng.normal(size=(40, 3)),
        logits=rng.normal(size=(40, 2)),
        labels=np.tile([0, 1], 20),
        factors={r"$\frac{$": np.repeat(levels, 20)},
        class_names=("$dog_{$", "cat"),
    )
    figure = draw_diagnosis(diagnose(table, causes=False))
    figure.savefig(BytesIO())
    legends = [axes.get_legend() for axes in figure.subfigs[0].subfigs[1].axes]
    assert sorted(text.get_text().strip() for text in legends[0].get_texts()) == levels
