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
