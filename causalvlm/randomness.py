"""Where randomness comes from: a generator, or the seed of a new one."""

import numpy as np

from causalvlm.errors import InputError

Rng = int | np.random.Generator
"""What every function takes that draws numbers; a generator moves on, a seed starts anew at every call."""


def generator(rng: Rng) -> np.random.Generator:
    """The generator itself, or one that starts from the seed.

    Raises:
        InputError: if it is neither, or a seed below zero.

    Example:
        >>> generator(0).integers(9, size=3).tolist() == np.random.default_rng(0).integers(9, size=3).tolist()
        True
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer) or rng < 0:
        raise InputError(
            f"rng must be a numpy generator or a seed of at least 0; received {rng!r}. Write rng=0, or "
            "rng=np.random.default_rng(0) to draw on from one call to the next."
        )
    return np.random.default_rng(rng)
