"""Rankings: at equal accuracy the model that a factor moves least comes first, and equality is shown, not assumed."""

import json

import numpy as np
import pytest

from causalvlm.diagnosis.ranking import TOLERANCE, rank_models
from causalvlm.embeddings.model import Model, model_from
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError

ROWS, NAMES = 2400, ("cat", "dog")


def answers(labels, wrong):
    return np.eye(2)[np.where(wrong, 1 - labels, labels)]


@pytest.fixture(scope="module")
def table():
    rng, rows = np.random.default_rng(0), np.arange(ROWS)
    light = np.array(["day", "dusk", "night"])[rows // 2 % 3]
    return EmbeddingTable(rng.normal(size=(ROWS, 3)), rng.normal(size=(ROWS, 2)), rows % 2, {"light": light}, NAMES)


def wrong_share(table, day, dusk, night):
    """Wrong on these shares of the images of each level and class, the first ones of it."""
    wrong = np.zeros(ROWS, dtype=bool)
    for level, share in zip(("day", "dusk", "night"), (day, dusk, night), strict=True):
        for label in (0, 1):
            rows = np.flatnonzero((table.factors["light"] == level) & (table.labels == label))
            wrong[rows[: round(share * len(rows))]] = True
    return answers(table.labels, wrong)


def test_at_equal_accuracy_the_one_that_is_moved_least_comes_first(table):
    models = {
        "moved": wrong_share(table, 0.1, 0.1, 0.4),
        "fair": wrong_share(table, 0.2, 0.2, 0.2),  # as many as above, mostly other images
        "poor and fair": wrong_share(table, 0.5, 0.5, 0.5),
    }
    found = rank_models(table, models, factor="light", reference="day")
    assert [(row.name, row.equal) for row in found.rows] == [("fair", "yes"), ("moved", "yes"), ("poor and fair", "no")]
    rows = {row.name: row for row in found.rows}
    assert (rows["moved"].level, rows["moved"].effect.value) == ("night", pytest.approx(-0.3, abs=1e-9))
    assert rows["moved"].effect.low < -0.3 < rows["moved"].effect.high
    assert rows["fair"].effect.value == pytest.approx(0.0)
    assert rows["poor and fair"].equal == "no"
    assert json.loads(json.dumps(found.to_record()))["rows"][0]["name"] == found.rows[0].name
    assert "night against day" in found.to_markdown()
    assert "poor and fair" in found._repr_html_()


def test_few_images_leave_equal_accuracy_unknown(table):
    few = table.take(np.arange(60))
    rng = np.random.default_rng(1)
    models = {name: answers(few.labels, rng.random(60) < 0.2) for name in ("one", "other")}
    found = rank_models(few, models, factor="light")
    assert {row.equal for row in found.rows} == {"yes", "unknown"}  # the best is its own equal
    (behind,) = (row.behind for row in found.rows if row.behind)
    assert behind.low < -TOLERANCE < behind.high


def test_models_are_asked_of_the_embeddings(table):
    model = Model(NAMES, lambda p: np.zeros((len(p), 2)), None, lambda f: np.tile([1.0, 0.0], (len(f), 1)))
    (row,) = rank_models(table, {"cats": model}, factor="light").rows
    assert row.accuracy.value == 0.5


def test_what_cannot_be_ranked_is_refused(table):
    fair = answers(table.labels, np.zeros(ROWS, bool))
    for models, more, match in (
        ({}, {"factor": "light"}, "0 models"),
        ({"a": fair}, {"factor": "hour"}, "received 'hour'"),
        ({"a": fair}, {"factor": "light", "reference": "noon"}, "received 'noon'"),
        ({"a": fair[:9]}, {"factor": "light"}, "must answer 2400 images"),
        ({"a": model_from(lambda p: np.full((len(p), 2), 0.5), NAMES)}, {"factor": "light"}, "must read embeddings"),
    ):
        with pytest.raises(InputError, match=match):
            rank_models(table, models, **more)
    apart = EmbeddingTable(np.eye(4), np.eye(4)[:, :2], np.array([0, 0, 1, 1]), {"l": np.array(list("aabb"))}, NAMES)
    with pytest.raises(InputError, match="two images at two levels"):
        rank_models(apart, {"a": np.eye(4)[:, :2]}, factor="l")
