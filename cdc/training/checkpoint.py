"""The state of a training run at the end of an epoch, on disk: a killed run goes on as if nothing had been."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from cdc.errors import InputError
from cdc.files import read_bytes, write_bytes
from cdc.methods.method import Trainable

Identity = Mapping[str, object]
"""What must be the same for a checkpoint to be resumed."""


def save_checkpoint(
    path: Path, method: Trainable, optimizer: torch.optim.Optimizer, losses: list[float], identity: Identity
) -> None:
    """Write parameters, buffers, the optimizer's tensors and the losses so far, atomically."""
    tensors = {f"model.{name}": value.contiguous() for name, value in method.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items() if value is not None}
    metadata = {"losses": json.dumps(losses), "identity": json.dumps(identity, sort_keys=True)}
    write_bytes(path, save(tensors, {**metadata, "sha256": _checksum(tensors, metadata)}))


def discard_checkpoints(path: Path) -> None:
    """Remove the checkpoint of a training and those of its rehearsals, once what they led to is safe elsewhere."""
    for number in (0, 1, 2):
        of_rehearsal(path, number).unlink(missing_ok=True)


def of_rehearsal(path: Path, number: int) -> Path:
    """Where the checkpoint of a rehearsal lies: beside that of the training, which is number 0."""
    return path.with_stem(f"{path.stem}-{number}") if number else path


def resume(path: Path, method: Trainable, optimizer: torch.optim.Optimizer, identity: Identity) -> list[float]:
    """Load a checkpoint into method and optimizer and return the losses so far; none if there is no such file.

    Raises:
        InputError: if the checkpoint is damaged, or belongs to another run.
    """
    if not path.exists():
        return []
    tensors, metadata = _read(path)
    if metadata["identity"] != json.dumps(identity, sort_keys=True):
        raise InputError(
            f"a checkpoint must come from the same method, settings and data; received {path}, which does not. "
            "Choose another output folder, or delete that file to start again."
        )
    method.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            states.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return json.loads(metadata["losses"])


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata as they were saved."""
    content = read_bytes(path)
    try:
        tensors = load(content)
        metadata: dict[str, str] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        sound = metadata["sha256"] == _checksum(tensors, metadata)
    except (SafetensorError, ValueError, KeyError, TypeError):
        sound, tensors, metadata = False, {}, {}
    if not sound:
        raise InputError(f"a checkpoint must be as it was saved; {path} is damaged. Delete that file to start again.")
    return tensors, metadata


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    words = f"{metadata['losses']}\n{metadata['identity']}\n"
    return hashlib.sha256(words.encode() + save(dict(tensors))).hexdigest()
