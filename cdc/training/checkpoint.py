"""The state of a training run at the end of an epoch, on disk: a killed run goes on as if nothing had been."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from cdc.errors import InputError
from cdc.files import write_bytes
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
    write_bytes(path, save(tensors, metadata))


def resume(path: Path, method: Trainable, optimizer: torch.optim.Optimizer, identity: Identity) -> list[float]:
    """Load a checkpoint into method and optimizer and return the losses so far; none if there is no such file.

    Raises:
        InputError: if the checkpoint belongs to another run.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    if metadata["identity"] != json.dumps(identity, sort_keys=True):
        raise InputError(
            f"a checkpoint must come from the same method, settings and data; received {path}, which does not. "
            "Choose another output folder, or delete that file to start again."
        )
    tensors = load(content)
    method.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            states.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return json.loads(metadata["losses"])
