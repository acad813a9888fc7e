"""Where randomness comes from: a generator, or the seed of a new one."""

import numpy as np
from jaxtyping import Int

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


def draw_evenly(groups: Int[np.ndarray, " rows"], most: int, *, rng: Rng) -> Int[np.ndarray, " _"]:
    """At most so many rows at random, as equally many of every group as the groups' sizes allow; in their order.

    Example:
        >>> rows = draw_evenly(np.repeat([0, 1], [90, 3]), 10, rng=0)
        >>> np.bincount(np.repeat([0, 1], [90, 3])[rows]).tolist()
        [7, 3]
    """
    shuffled = generator(rng).permutation(len(groups))
    order = shuffled[np.argsort(groups[shuffled], kind="stable")]
    sizes = np.unique(groups, return_counts=True)[1]
    turn = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # how many of its group come before
    return np.sort(order[np.lexsort((shuffled.argsort()[order], turn))][:most])
