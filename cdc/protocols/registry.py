"""The protocols by name."""

from cdc.errors import InputError
from cdc.protocols.base_to_new import BASE_TO_NEW
from cdc.protocols.few_shot import FEW_SHOT
from cdc.protocols.protocol import Protocol
from cdc.protocols.transfer import CROSS_DATASET, DOMAIN_GENERALIZATION

PROTOCOLS: dict[str, Protocol] = {
    "base-to-new": BASE_TO_NEW,
    "cross-dataset": CROSS_DATASET,
    "domain-generalization": DOMAIN_GENERALIZATION,
    "few-shot": FEW_SHOT,
}
"""Every protocol by its name."""


def find_protocol(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        InputError: if there is none.

    Example:
        >>> find_protocol("few-shot").shots
        (1, 2, 4, 8, 16)
    """
    if name not in PROTOCOLS:
        raise InputError(f"protocol must be one of {', '.join(PROTOCOLS)}; received {name!r}.")
    return PROTOCOLS[name]
