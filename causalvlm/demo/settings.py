"""How large the demonstration is."""

from dataclasses import dataclass

MODEL, CONTROL, MENDED = "picto", "picto-unconfounded", "picto with CDC"
"""The bundled model, the same model trained without confounding, and the first after adaptation."""


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
        shots: training pictures per class of the adaptations.
        epochs: of the adaptations; None is the method's own number.
        seed: of every draw.

    Example:
        >>> DemoSettings().collection
        'mammals'
    """

    collection: str = "mammals"
    pictures: int = 2000
    observed: int = 4000
    probed: int = 1000
    pairs: int = 800
    shots: int = 16
    epochs: int | None = None
    seed: int = 1
