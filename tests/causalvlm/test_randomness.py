"""A seed stands for a new generator, in every public function that draws."""

import json
import subprocess
import sys

import numpy as np
import pytest

from causalvlm import (
    EmbeddingTable,
    FrontDoor,
    diagnose,
    estimate_effect,
    fit_probe,
    refute,
)
from causalvlm.randomness import draw_evenly
from causalvlm.worlds.discrete import smoking
from causalvlm.worlds.embedding import CovariateWorld, EmbeddingWorld
from causalvlm.worlds.linear import LinearWorld
from causalvlm.worlds.picto.scm import PictoWorld

TABLE = smoking().sample(2000, rng=0)
EFFECT = estimate_effect(TABLE, FrontDoor("X", "Y", ("S",)), rng=0)
LEVELS, LABELS = np.repeat(["day", "night"], 50), np.tile([0, 1], 50)
FEATURES = np.random.default_rng(0).normal(size=(100, 3))
EMBEDDINGS = EmbeddingTable(FEATURES, FEATURES[:, :2], LABELS, {"light": LEVELS}, ("cat", "dog"))

DRAWN = {
    "estimate_effect": lambda rng: estimate_effect(TABLE, FrontDoor("X", "Y", ("S",)), rng=rng).low,
    "refute": lambda rng: refute(EFFECT, TABLE, rng=rng, repeats=2)[0].statistic,
    "fit_probe": lambda rng: fit_probe(FEATURES, LEVELS, LABELS, rng=rng).bits.value,
    "diagnose": lambda rng: diagnose(EMBEDDINGS, rng=rng).factors[0].probe.bits.value,
    "discrete": lambda rng: smoking().sample(50, rng=rng).to_numpy().tolist(),
    "linear": lambda rng: LinearWorld().sample(5, rng=rng).to_numpy().tolist(),
    "embedding": lambda rng: EmbeddingWorld(dim=2).sample(5, rng=rng).to_numpy().tolist(),
    "covariate": lambda rng: CovariateWorld().sample(5, rng=rng).to_numpy().tolist(),
    "picto": lambda rng: PictoWorld(("mammals",)).sample(5, rng=rng).labels.tolist(),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_seed_is_the_generator_that_it_starts(name):
    draw = DRAWN[name]
    assert draw(7) == draw(np.random.default_rng(7)) == draw(7)
    assert draw(7) != draw(8)


def test_a_generator_moves_on():
    rng = np.random.default_rng(0)
    assert DRAWN["linear"](rng) != DRAWN["linear"](rng)


def test_anything_else_is_one_clear_error():
    code = (
        "import json\nfrom causalvlm import InputError\nfrom causalvlm.randomness import generator\n"
        "def said(rng):\n    try:\n        return repr(generator(rng))\n"
        "    except InputError as error:\n        return str(error)\n"
        "print(json.dumps([said(rng) for rng in (None, 'seed', 1.5, True, -1, [1])]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout)
    for answer, given in zip(answers, ("None", "'seed'", "1.5", "True", "-1", "[1]"), strict=True):
        assert f"rng must be a numpy generator or a seed of at least 0; received {given}. Write rng=0" in answer


def test_rows_are_drawn_evenly_and_at_random():
    groups = np.repeat([4, 7, 9], [50, 3, 20])
    drawn = [draw_evenly(groups, 21, rng=seed) for seed in range(200)]
    for rows in drawn:
        assert (np.diff(rows) > 0).all()
        assert np.bincount(groups[rows])[[4, 7, 9]].tolist() == [9, 3, 9]
    frequency = np.bincount(np.concatenate(drawn), minlength=73) / 200
    assert abs(frequency[:50] - 9 / 50).max() < 0.15
    assert draw_evenly(groups, 100, rng=0).tolist() == list(range(73))
