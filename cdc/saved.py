"""The two files of a saved adapter, in a folder or fetched from the model hub: written last, checked when read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from cdc.card import AdapterCard
from cdc.errors import InputError
from cdc.files import read_bytes, write_bytes, write_json
from cdc.hub import HubRevision, fetch, find_repository

CARD = "card.json"
WEIGHTS = "adapter.safetensors"
MOST_CARD = 2**25
"""Bytes of a card: names of thousands of classes and files fit."""

MOST_WEIGHTS = 2**30
"""Bytes of the weights: deep prompts in every layer of the largest towers have a hundredth of it."""

FORMAT = 4
"""Version of the two files; raised when an older reader would misread them."""


def write_saved(directory: Path, card: AdapterCard, tensors: Mapping[str, Tensor]) -> None:
    """Write weights and card; whoever calls has refused to replace others.

    Raises:
        InputError: if a weight is not finite.
    """
    _require_finite(tensors)
    weights = save(dict(tensors))
    record = {"format": FORMAT, **card.to_record()}
    # The card is written last, so that weights without a card are what an interrupted save has left.
    write_bytes(directory / WEIGHTS, weights)
    write_json(directory / CARD, {"sha256": checksum(record, weights), **record})


def find_saved(directory: Path | str, revision: str | None) -> tuple[Path, HubRevision | None]:
    """The folder with the two files; if it had to be fetched from the hub, the revision that it is of.

    Raises:
        InputError: if a revision is asked of a folder, or the hub has no such repository or is out of reach.

    Example:
        >>> find_saved(Path("adapters/pets"), None)
        (PosixPath('adapters/pets'), None)
    """
    named = None if isinstance(directory, Path) or Path(directory).exists() else find_repository(directory, revision)
    if named is not None:
        return fetch(*named, most={CARD: MOST_CARD, WEIGHTS: MOST_WEIGHTS})
    if revision is not None:
        raise InputError(
            f"a revision must be one of a repository, 'owner/name'; received revision={revision!r} with "
            f"{str(directory)!r}, a folder. Leave the revision out."
        )
    return Path(directory), None


def read_saved(directory: Path, source: HubRevision | None) -> tuple[AdapterCard, dict[str, Tensor]]:
    """Card and weights as they were saved: nothing in them has changed, every field is of its type, all are finite.

    Args:
        directory: where the two files lie.
        source: where they were fetched from, if they were; a message then says what to delete.

    Raises:
        InputError: if a file is missing, damaged or of another format.

    Example:
        >>> read_saved(Path("no-such-folder"), None)
        Traceback (most recent call last):
        ...
        cdc.errors.InputError: an adapter directory must hold card.json and adapter.safetensors; received no-such-folder
        without card.json. Pass the folder that an adapter was saved in.
    """
    again = "Save the adapter again."
    if source:
        again = f"Delete that folder to download {source} again; if that does not help, load another revision."
    try:
        text = read_bytes(directory / CARD, most=MOST_CARD)
        content = read_bytes(directory / WEIGHTS, most=MOST_WEIGHTS)
    except FileNotFoundError as error:
        raise InputError(
            f"an adapter directory must hold {CARD} and {WEIGHTS}; received {directory} without "
            f"{Path(str(error.filename)).name}. Pass the folder that an adapter was saved in."
        ) from error
    try:
        record = json.loads(text)
        checksum(record, b"")  # no number that JSON does not know
    except (ValueError, RecursionError) as error:
        raise InputError(f"{directory / CARD} must be JSON; {error}. {again}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else None
        raise InputError(
            f"{directory / CARD} must have format {FORMAT}; received {found!r:.20}. Install the version that wrote it."
        )
    if record.pop("sha256", None) != checksum(record, content):
        raise InputError(
            f"{directory / CARD} and {WEIGHTS} must be as they were saved; their checksum differs. {again}"
        )
    del record["format"]
    try:
        weights = load(content)
    except SafetensorError as error:
        raise InputError(f"{directory / WEIGHTS} must be safetensors; {error}. {again}") from error
    _require_finite(weights)
    return AdapterCard.from_record(record), weights


def checksum(card: object, weights: bytes) -> str:
    """Of both together, however the card is laid out as text.

    Example:
        >>> checksum({"format": 4}, b"")[:8]
        'efd692e7'
    """
    text = json.dumps(card, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode() + b"\n" + weights).hexdigest()


def _require_finite(weights: Mapping[str, Tensor]) -> None:
    broken = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise InputError(
            f"the weights of an adapter must be finite; received {broken[0]} with NaN or infinity. Train it again, "
            "at a lower learning rate."
        )
