"""Linear layers that start from a generator of their own: no global randomness is read or moved."""

import torch
from torch import nn


def seeded_linear(inputs: int, outputs: int, *, generator: torch.Generator) -> nn.Linear:
    """A linear layer with the initial values that torch gives one, uniform within 1 / sqrt(inputs).

    Args:
        inputs: size of what goes in.
        outputs: size of what comes out.
        generator: of the initial values, on the CPU like the layer, so that they are the same on every device.

    Example:
        >>> first, again = (seeded_linear(4, 2, generator=torch.Generator().manual_seed(1)) for _ in range(2))
        >>> bool((first.weight == again.weight).all()), bool((first.weight.abs() <= 0.5).all())
        (True, True)
    """
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")  # no draw from the global generator
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5, generator=generator)
    return layer
