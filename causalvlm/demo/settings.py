"""How large the demonstration is."""

from dataclasses import dataclass

MODEL, CONTROL = "picto", "picto-unconfounded"
"""The bundled model, and the same model trained without confounding."""


@dataclass(frozen=True)
class DemoSettings:
    """Sizes and seed; all that a user chooses is the seed.

    Attributes:
        collection: of Picto. Mammals, because they are the first collection and the nearest to the textbook's cow on
            grass; chosen before any result was seen.
        pictures: per regime, to measure accuracy on.
        observed: pictures that effects are estimated from.
        probed: of these, pictures that factors are read from.
        pairs: of re-rendered pictures behind each true effect.
        shots: training pictures per class of the adaptation.
        epochs: of the adaptation; None is the method's own number.
        seed: of every draw.

    Example:
        >>> DemoSettings().collection
        'mammals'
    """

    collection: str = "mammals"
    pictures: int = 2000
    observed: int = 8000
    probed: int = 1500
    pairs: int = 1500
    shots: int = 16
    epochs: int | None = None
    seed: int = 1
