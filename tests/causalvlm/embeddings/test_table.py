"""What an `EmbeddingTable` promises: sound columns, nobody's array changed, margins by the definition."""

from pathlib import Path

import numpy as np
import pytest

from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.errors import InputError

COLUMNS = {
    "features": np.eye(3, 2, dtype=np.float32),
    "logits": np.array([[2.0, 1.0, 0.0], [1.0, 4.0, 2.0], [0.0, 5.0, 1.0]]),
    "labels": np.array([0, 2, 1]),
    "factors": {"domain": np.array(["photo", "sketch", "photo"])},
    "class_names": ("cat", "cow", "dog"),
}


def test_margins_are_the_definition():
    table = EmbeddingTable(**COLUMNS)
    slow = [
        row[label] - max(value for other, value in enumerate(row) if other != label)
        for row, label in zip(COLUMNS["logits"].tolist(), COLUMNS["labels"].tolist(), strict=True)
    ]
    np.testing.assert_allclose(table.margins, slow)
    np.testing.assert_array_equal(table.correct, [True, False, True])
    np.testing.assert_array_equal(table.margins > 0, table.correct)


def test_the_table_and_its_caller_cannot_change_each_other():
    features = np.eye(3, 2, dtype=np.float32)
    table = EmbeddingTable(**{**COLUMNS, "features": features})
    features[0, 0] = 7
    assert table.features[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        table.features[0, 0] = 7
    with pytest.raises(TypeError):
        table.factors["domain"] = None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_names": ("cat", "cow")}, "one column per class name, and at least two; received 3 columns for 2"),
        ({"labels": np.array([0, 3, 1])}, r"received \[3\]"),
        ({"labels": np.array([0, -1, 1])}, r"received \[-1\]"),
        ({"features": np.array([[0.0], [np.nan], [1.0]])}, "features must be finite; 1 of 3 rows"),
        ({"logits": np.full((3, 3), np.inf)}, "logits must be finite; 3 of 3 rows"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(InputError, match=message):
        EmbeddingTable(**{**COLUMNS, **change})


def test_files_must_match_the_rows():
    with pytest.raises(InputError, match="files has 1"):
        EmbeddingTable(**COLUMNS, files=(Path("a.jpg"),))
