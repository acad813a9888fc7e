"""Factors that come from the model itself: its answers to concepts in words, and groups among its embeddings.

Both are functions of the embedding. That a probe decodes them is no finding; what goes with them is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from causalvlm.diagnosis.columns import FEWEST_IMAGES, Columns, FactorColumn, Origin
from causalvlm.embeddings.table import EmbeddingTable
from causalvlm.probes.clusters import FEWEST_IMAGES as FEWEST_CLUSTERED
from causalvlm.probes.clusters import MOST_CLUSTERS, find_clusters
from causalvlm.probes.concepts import Concept, score_concepts
from causalvlm.probes.cuts import cut_levels
from causalvlm.probes.photo_concepts import CONCEPTS
from causalvlm.probes.sampling import PROBED_IMAGES, sample_rows
from causalvlm.randomness import Rng, generator
from cdc.backbones.backbone import Backbone

CLUSTER = "cluster"
"""Name of the factor whose levels are the clusters."""


def concept_columns(
    table: EmbeddingTable, backbone: Backbone, *, concepts: Sequence[Concept] = CONCEPTS, folds: int = 5, rng: Rng = 0
) -> Columns:
    """The concepts that the model answers reliably, as factors; the labelled ones are not among them.

    Levels with fewer than `FEWEST_IMAGES` different images are merged, the smallest first. A concept that is named as a
    labelled factor is called "... (concept)".

    Args:
        table: embeddings by the backbone.
        backbone: its text tower reads the prompts.
        concepts: levels in words.
        folds: of the probes, which no level may have fewer images than.
        rng: draws the images that the probes read; or a seed.

    Raises:
        InputError: if the features are not the backbone's, or a prompt does not fit its text tower.

    Example:
        >>> import cdc
        >>> table = EmbeddingTable(np.eye(192), np.eye(192), np.arange(192), {}, tuple(map(str, range(192))))
        >>> found = concept_columns(table, cdc.load_backbone("picto"))
        >>> dict(found.left_out)["focus"].split(" (")[0]
        'its scores depend on the wording'
    """
    found = [
        _Found(one.concept.name, one.levels, one.about, one.reliability, one.reason)
        for one in score_concepts(table.features, backbone, concepts)
    ]
    return _columns(table, found, "concept", folds=folds, rng=generator(rng))


def cluster_columns(table: EmbeddingTable, *, most: int = MOST_CLUSTERS, folds: int = 5, rng: Rng = 0) -> Columns:
    """The clusters of the embeddings that classes share, as one factor; the labelled ones are not among them.

    Args:
        table: its embeddings are grouped.
        most: largest number of clusters to try.
        folds: of the probes, which no level may have fewer images than.
        rng: draws images, halves and starts; or a seed.

    Raises:
        InputError: if `most` is below 2.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> features = rng.normal(size=(200, 4)) + np.repeat([0, 8], 100)[:, None]
        >>> table = EmbeddingTable(features, rng.normal(size=(200, 2)), np.tile([0, 1], 100), {}, ("cat", "dog"))
        >>> np.unique(cluster_columns(table).factors["cluster"].levels)
        array(['cluster 1', 'cluster 2'], dtype='<U9')
    """
    rng = generator(rng)
    if table.images.max() + 1 < FEWEST_CLUSTERED:
        return Columns(
            table, {}, ((CLUSTER, f"fewer than {FEWEST_CLUSTERED} different images to look for clusters in"),)
        )
    groups = find_clusters(table.features, table.labels, most=most, rng=rng)
    found = _Found(CLUSTER, groups.levels, groups.about, groups.stability[groups.number], groups.reason)
    return _columns(table, [found], "cluster", folds=folds, rng=rng)


@dataclass(frozen=True, eq=False)
class _Found:
    """A factor before its levels are checked; `reason` says why it is left out, if it is."""

    name: str
    levels: Shaped[np.ndarray, " rows"]
    about: str
    reliability: float
    reason: str


def _columns(
    table: EmbeddingTable, found: Sequence[_Found], source: Origin, *, folds: int, rng: np.random.Generator
) -> Columns:
    images, fewest = table.images, max(FEWEST_IMAGES, folds)
    factors, left_out = dict[str, FactorColumn](), list[tuple[str, str]]()
    for one in found:
        name = f"{one.name} ({source})" if one.name in table.factors else one.name
        levels = cut_levels(one.levels, images, fewest=fewest)
        if one.reason:
            left_out.append((name, one.reason))
        elif (levels == levels[0]).all():
            left_out.append((name, f"fewer than {FEWEST_IMAGES} images differ from the others"))
        else:
            probed = sample_rows(levels, images, most=PROBED_IMAGES, fewest=fewest, rng=rng)
            factors[name] = FactorColumn(levels, source, one.about, probed, reliability=one.reliability)
    return Columns(table, factors, tuple(left_out))
