"""No step of training may make the host wait for a GPU: what would is counted, operation by operation, on any machine.

A result whose size or branch depends on numbers on the device has to come to the host first. PyTorch tags these
operations; calls that fetch a tensor's numbers are caught by name.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import mmrec_lite as mm
from tests.hardness.worlds import TRAINED, small, whole_shop

FETCHING = {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__array__", "__index__"}
TAGS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
# What these stages still wait for in every step: the numbers of cases and of different items shape their tensors.
WAITING = {
    ("pamd", "recommend"): {"aten._unique2"},
    ("mcptr", "pretrain"): {"aten._unique2", "aten.index", "aten._local_scalar_dense", "__bool__"},
    ("sasrec", "recommend"): {"aten.index"},
    ("mp4sr", "pretrain"): {"aten._unique2", "aten.index", "aten._local_scalar_dense", "__bool__", "__int__", "item"},
    ("mp4sr", "recommend"): {"aten.index"},
}


class Waits(TorchDispatchMode):
    """Collect the names of operations whose outcome's shape, or the host, needs to know a tensor's numbers."""

    def __init__(self):
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if TAGS & set(func.tags):
            name = str(func.overloadpacket)
            by_number = name == "aten.index" and not any(i is not None and i.dtype == torch.bool for i in args[1])
            if not by_number:
                self.found.add(name)
        return func(*args, **(kwargs or {}))


class Fetches(TorchFunctionMode):
    """Collect the names of calls that bring a tensor's numbers to the host."""

    def __init__(self):
        super().__init__()
        self.found: set[str] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in FETCHING:
            self.found.add(func.__name__)
        return func(*args, **(kwargs or {}))


def waits(stage) -> set[str]:
    """What the second step of an epoch waits for; the first one may build what the epoch keeps."""
    first, *_, batch = [*stage.batches(torch.Generator().manual_seed(0))] * 2
    if stage.begin_epoch:
        stage.begin_epoch(0)
    sum(stage.loss(first).values()).backward()
    with Fetches() as fetches, Waits() as found:
        sum(stage.loss(batch).values()).backward()
    return found.found | fetches.found


@pytest.mark.parametrize("name", TRAINED)
def test_what_steps_wait_for_is_what_is_listed(name):
    """Most wait for nothing; the list is exact, so what is mended must leave it."""
    model = mm.create(name, mm.split(whole_shop(), "given"), **small(name))
    model.train()
    for stage in model.stages():
        found = waits(stage)
        assert found == WAITING.get((name, stage.name), set()), f"{name}, {stage.name}, waits for {sorted(found)}"


def test_waiting_is_noticed():
    """The counting itself: each way of waiting is found, plain arithmetic is not."""
    x = torch.arange(4.0)
    for way in (
        lambda: x[x > 1],
        lambda: float(x.sum()),
        lambda: bool(x.any()),
        lambda: x.unique(),
        lambda: x.nonzero(),
    ):
        with Waits() as found:
            way()
        assert found.found
    with Waits() as found:
        (x[torch.tensor([1, 2])] * 2).sum()
    assert not found.found
    with Fetches() as fetches:
        x.cpu().tolist()
    assert fetches.found == {"cpu", "tolist"}


def test_a_fetch_beside_a_waiting_operation_is_told_too():
    """It was once left out as soon as an operation waited."""
    weight = torch.arange(4.0, requires_grad=True)
    stage = SimpleNamespace(
        batches=lambda generator: [weight],
        begin_epoch=None,
        loss=lambda w: {"loss": w.sum() * len(w.detach().cpu().unique())},
    )
    assert waits(stage) == {"cpu", "aten._unique2"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", TRAINED)
def test_cuda_itself_sees_no_wait(name):
    """PyTorch's own check, where there is a GPU."""
    model = mm.create(name, mm.split(whole_shop(), "given"), **small(name)).cuda()
    model.train()
    for stage in (stage for stage in model.stages() if (name, stage.name) not in WAITING):
        batches = [batch.to("cuda") for batch in stage.batches(torch.Generator().manual_seed(0))]
        sum(stage.loss(batches[-1]).values()).backward()
        torch.cuda.set_sync_debug_mode("error")
        try:
            sum(stage.loss(batches[-1]).values()).backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
