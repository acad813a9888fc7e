"""Nothing in a step of training waits for the device: no operation that hands a tensor's value to Python."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import cdc
from cdc.methods.schedule import TrainingConfig
from cdc.training.loop import train
from tests.cdc.conftest import KINDS
from tests.cdc.training.test_loop import make_method, make_shots

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal", "repeat_interleave.Tensor")


class CountWaits(TorchDispatchMode):
    """Counts the operations that a GPU would have to finish before Python goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.met: list[str] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.__name__.startswith(WAITS):
            self.met.append(operation.__name__)
        return operation(*args, **(kwargs or {}))


def test_the_counter_counts():
    with CountWaits() as counter:
        float(torch.ones(1))
        torch.ones(2)[torch.ones(2) > 0]
        torch.nn.functional.one_hot(torch.ones(2, dtype=torch.long), 3)
    assert len(counter.met) >= 3


FEATURE_METHODS = [
    cdc.CDCConfig(templates=2, weights=cdc.LossWeights(consistency=1.0)),
    cdc.CoOpConfig(),
    cdc.KgCoOpConfig(),
    cdc.CoCoOpConfig(),
]


@pytest.mark.parametrize("config", FEATURE_METHODS)
@pytest.mark.parametrize("batch_size", [4, 8])
def test_one_wait_an_epoch(config, batch_size, tiny_backbone):
    """The epoch's mean loss is read once; the number of steps plays no part."""
    method = make_method(tiny_backbone, config)
    shots = make_shots(tiny_backbone, templates=method.trains_on.templates)
    with CountWaits() as counter:
        train(method, shots, TrainingConfig(epochs=3, batch_size=batch_size))
    assert len(counter.met) == 3, counter.met


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_text_tower_waits(kind, model_folder):
    method = make_method(cdc.load_backbone(str(model_folder(kind))), cdc.CoOpConfig())
    images, labels = torch.randn(4, 1, method.backbone.dim), torch.arange(4)
    with CountWaits() as counter:
        method.loss(images, labels, progress=0.5).backward()
    assert counter.met == []


def test_parameters_stay_float32_whatever_the_towers_precision(tiny_clip_folder):
    backbone = cdc.load_backbone(str(tiny_clip_folder), precision="bf16")
    method = make_method(backbone, cdc.CoOpConfig())
    train(method, make_shots(backbone, templates=1), TrainingConfig(epochs=2, batch_size=8, learning_rate=0.1))
    assert {parameter.dtype for parameter in method.parameters()} == {torch.float32}
