"""Factors from the model itself become columns that a diagnosis can ask about, or are left out with a reason."""

import numpy as np
import pytest

import cdc
from causalvlm.diagnosis.columns import FEWEST_IMAGES, choose_reference
from causalvlm.diagnosis.unlabelled import cluster_columns, concept_columns
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.probes.concepts import Concept

WORDS = {
    "line": ("a line drawing of a dog.", "a sketch of a cat.", "an outline of a cow.", "a line drawing of a fox."),
    "silhouette": ("a silhouette of a dog.", "a black shape of a cat.", "a silhouette of a cow.", "a silhouette."),
    "inverted": ("a negative of a dog.", "an inverted image of a cat.", "a negative of a cow.", "an inverted picture."),
}
STYLE, SAME = Concept("style", WORDS), Concept("same", {"one": WORDS["line"], "other": WORDS["line"]})


@pytest.fixture(scope="module")
def backbone():
    return cdc.load_backbone("picto")


def table_of(backbone, counts, *, factors=()):
    """Embeddings around the text features of some styles, as a model without a gap between towers would have them."""
    rng = np.random.default_rng(0)
    style = np.repeat(list(counts), list(counts.values()))
    centres = {name: backbone.encode_texts(prompts).numpy().mean(axis=0) for name, prompts in WORDS.items()}
    features = np.stack([centres[name] for name in style]) + 0.01 * rng.normal(size=(len(style), backbone.dim))
    label = rng.integers(2, size=len(style))
    logits = rng.normal(size=(len(style), 2))
    return EmbeddingTable(features, logits, label, dict.fromkeys(factors, style), ("cat", "dog")), style


def test_a_reliable_concept_is_a_factor_and_one_that_is_not_is_left_out(backbone):
    table, style = table_of(backbone, {"line": 80, "silhouette": 60, "inverted": 60}, factors=("style",))
    found = concept_columns(table, backbone, concepts=(STYLE, SAME))
    column = found.factors["style (concept)"]
    np.testing.assert_array_equal(column.levels, style)
    assert column.source == "concept"
    assert column.reliability > 0.9
    assert "the model's own answer among 'line', 'silhouette', 'inverted', in 12 prompts" in column.about
    assert column.probed is None
    assert choose_reference(table, column) == "line"
    assert dict(found.left_out) == {"same": "the model does not tell its texts apart"}
    assert found.table is table


def test_rare_levels_are_merged_and_one_level_is_no_factor(backbone):
    table, _ = table_of(backbone, {"line": 80, "silhouette": 12, "inverted": 12})
    assert set(concept_columns(table, backbone, concepts=(STYLE,)).factors["style"].levels) == {
        "line",
        "inverted or silhouette",
    }
    table, _ = table_of(backbone, {"line": 80, "silhouette": 6, "inverted": 6})
    assert dict(concept_columns(table, backbone, concepts=(STYLE,)).left_out) == {
        "style": f"fewer than {FEWEST_IMAGES} images differ from the others"
    }


def test_clusters_are_one_factor_or_none(backbone):
    table, style = table_of(backbone, {"line": 100, "silhouette": 80, "inverted": 60})
    found = cluster_columns(table, most=4).factors["cluster"]
    assert found.source == "cluster"
    assert found.reliability > 0.9
    names = {"line": "cluster 1", "silhouette": "cluster 2", "inverted": "cluster 3"}
    np.testing.assert_array_equal(found.levels, [names[one] for one in style])
    round_cloud = np.random.default_rng(1).normal(size=(240, 10))
    none = cluster_columns(EmbeddingTable(round_cloud, table.logits, table.labels, {}, ("cat", "dog")), most=3)
    assert not none.factors
    assert none.left_out[0][1].startswith("other images would give other clusters")
