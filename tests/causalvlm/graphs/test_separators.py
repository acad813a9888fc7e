"""Smallest separators against a search of all sets with networkx' d-separation."""

from itertools import combinations

import networkx as nx
import numpy as np
import pytest

from causalvlm.graphs.graph import CausalGraph
from causalvlm.graphs.separators import smallest_separator


def smallest_by_search(graph, left, right, allowed):
    for size in range(len(allowed) + 1):
        if any(nx.is_d_separator(graph, {left}, {right}, set(found)) for found in combinations(sorted(allowed), size)):
            return size
    return None


@pytest.mark.parametrize("seed", range(40))
def test_as_small_as_any_set_that_separates(seed):
    rng = np.random.default_rng(seed)
    names = [f"v{place}" for place in range(6)]
    edges = [pair for pair in combinations(names, 2) if rng.random() < 0.35]
    reference = nx.DiGraph(edges)
    reference.add_nodes_from(names)
    graph = CausalGraph(edges, nodes=names)
    for left, right in combinations(names, 2):
        allowed = {name for name in names if name not in (left, right) and rng.random() < 0.7}
        found = smallest_separator(graph, left, right, allowed=allowed)
        expected = smallest_by_search(reference, left, right, allowed)
        assert (found is None) == (expected is None)
        if found is not None:
            assert len(found) == expected
            assert nx.is_d_separator(reference, {left}, {right}, set(found))


def test_a_hidden_cause_without_a_name_separates_nothing():
    assert smallest_separator(CausalGraph("X <-> Y; X -> C <- Y"), "X", "Y", allowed={"C"}) is None
