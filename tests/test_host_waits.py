"""No step of training may make the host wait for a GPU: what would is counted, operation by operation, on any machine.

A result whose size or branch depends on numbers on the device has to come to the host first. PyTorch tags these
operations; calls that fetch a tensor's numbers are caught by name. Here the device is made up: what was sent to it, the
model, and all that is computed from them count as being there, and only asking those is waiting.
"""

from __future__ import annotations

import contextlib
import sys
from types import SimpleNamespace

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import mmrec_lite as mm
from mmrec_lite.data import batches as moving
from tests.hardness.worlds import TRAINED, small, whole_shop

FETCHING = {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__array__", "__index__"}
TAGS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Device:
    """Which tensors are on the made-up device, by their storage."""

    def __init__(self, *tensors: torch.Tensor):
        self.there = {}  # the storages stay alive, or another tensor would be taken for one of these
        self.put(tensors)

    def put(self, tensors) -> None:
        for part in (part for tensor in tree_leaves(tensors) for part in parts_of(tensor)):
            self.there[part.untyped_storage()._cdata] = part.untyped_storage()

    def has(self, *values) -> bool:
        """Whether any of the values is, or holds, a tensor of the device."""
        parts = (part for value in tree_leaves(values) for part in parts_of(value))
        return any(part.untyped_storage()._cdata in self.there for part in parts)

    def sent(self, tensor: torch.Tensor, device) -> torch.Tensor:
        """`batches.sent` to this device."""
        copy = tensor.clone()
        self.put(copy)
        return copy


def parts_of(value) -> list[torch.Tensor]:
    if not isinstance(value, torch.Tensor):
        return []
    if value.layout == torch.sparse_csr:
        with torch._C.DisableTorchFunctionSubclass():
            return [value.crow_indices(), value.col_indices(), value.values()]
    return [value]


class Waits(TorchDispatchMode):
    """Collect the names of operations whose outcome's shape, or the host, needs to know the device's numbers."""

    def __init__(self, device: Device):
        super().__init__()
        self.found: set[str] = set()
        self.device = device

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        asked = self.device.has(args, kwargs)
        if asked and TAGS & set(func.tags):
            name = str(func.overloadpacket)
            by_number = name == "aten.index" and not any(i is not None and i.dtype == torch.bool for i in args[1])
            if not by_number:
                self.found.add(name)
        out = func(*args, **(kwargs or {}))
        if asked:
            self.device.put(out)
        return out


class Fetches(TorchFunctionMode):
    """Collect the names of calls that bring the device's numbers to the host."""

    def __init__(self, device: Device):
        super().__init__()
        self.found: set[str] = set()
        self.device = device

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in FETCHING and self.device.has(args):
            self.found.add(func.__name__)
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def counting(device: Device):
    """Count what is waited for in a `with` block."""
    with Fetches(device) as fetches, Waits(device) as waited:
        yield lambda: waited.found | fetches.found


def waits(stage, device: Device) -> set[str]:
    """What the second step of an epoch waits for; the first one may build what the epoch keeps."""
    first, *_, batch = [*stage.batches(torch.Generator().manual_seed(0))] * 2
    if stage.begin_epoch:
        stage.begin_epoch(0)
    sum(stage.loss(first).values()).backward()
    batch = batch.to("cpu") if isinstance(batch, moving.OnDevice) else device.sent(batch, None)
    with counting(device) as found:
        sum(stage.loss(batch).values()).backward()
    return found()


OTHER_WAYS = [  # settings that take other ways through a step
    ("pamd", {"base": "nfm++"}),
    ("pamd", {"base": "lightgcn++"}),
    ("pamd", {"anchors": "raw", "objective": "pointwise", "query": "user"}),
    ("mcptr", {"form": "softmax", "variant": "w/o BCE"}),
    ("mp4sr", {"variant": "E2E"}),
    ("mp4sr", {"variant": "E2E", "negatives": 5, "batch_size": 16}),
    ("sasrec", {"negatives": 5, "batch_size": 16}),
    ("mp4sr", {"variant": "Shared", "own_negatives": True, "drop": "uniform"}),
    ("micro", {"negatives": 16}),
    ("micro", {"temperature": 0.02, "backbone": "mf"}),
    ("micro", {"search": "approximate", "contrast_precision": "bfloat16"}),
]


@pytest.mark.parametrize(("name", "more"), [*((name, {}) for name in TRAINED), *OTHER_WAYS])
def test_no_step_waits(name, more, monkeypatch):
    model = mm.create(name, mm.split(whole_shop(), "given"), **small(name) | more)
    model.train()
    device, really = Device(), moving.sent
    for module in [
        m for n, m in sys.modules.items() if n.startswith("mmrec_lite.") and getattr(m, "sent", 0) is really
    ]:
        monkeypatch.setattr(module, "sent", device.sent)
    for stage in model.stages():
        buffers = {key: buffer.clone() for key, buffer in model.named_buffers() if buffer.layout != torch.sparse_csr}
        for key, buffer in buffers.items():  # on the device they are others than what stayed on the CPU
            owner, _, last = key.rpartition(".")
            setattr(model.get_submodule(owner), last, buffer)
        device.put([*model.parameters(), *model.buffers()])
        found = waits(stage, device)
        assert not found, f"{name}, {stage.name}, waits for {sorted(found)}"


def test_waiting_is_noticed():
    """The counting itself: each way of waiting is found, plain arithmetic and what is asked of the host are not."""
    x, host = torch.arange(4.0), torch.arange(4.0)
    for way in (
        lambda: x[x > 1],
        lambda: float((x + 1).sum()),
        lambda: bool(x[1:].any()),
        lambda: (2 * x).unique(),
        lambda: (x > 0).nonzero(),
        lambda: (x + host).tolist(),
        lambda: x.view(2, 2).cpu(),
    ):
        with counting(Device(x)) as found:
            way()
        assert found()
    with counting(Device(x)) as found:
        (x[torch.tensor([1, 2])] * 2).sum()
        assert host[host > 1].tolist() == [2.0, 3.0] and bool(host.any())
    assert not found()


def test_a_fetch_beside_a_waiting_operation_is_told_too():
    """It was once left out as soon as an operation waited."""
    weight = torch.arange(4.0, requires_grad=True)
    stage = SimpleNamespace(
        batches=lambda generator: [weight],
        begin_epoch=None,
        loss=lambda w: {"loss": w.sum() * len(w.detach().cpu().unique())},
    )
    assert waits(stage, Device(weight)) == {"cpu", "aten._unique2"}


def test_a_batch_remembers_how_it_was_drawn():
    drawn = moving.Triples(torch.arange(3), torch.arange(3, 6), torch.arange(6, 9))
    moved = drawn.to("meta")
    assert moved.users.device.type == "meta" and moved.on_host is drawn and drawn.on_host is drawn
    assert moved.to("meta").on_host is drawn and len(moved) == 3
    users, *_ = moved
    assert users is moved.users
    with pytest.raises(NotImplementedError, match="meta"):  # nobody drew it, and nothing is there to be copied
        moving.Triples(*moved).on_host.users.tolist()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "64-true"])
def test_a_loss_finds_the_drawn_batch_in_every_precision(precision, monkeypatch):
    """Fabric makes a new tuple of a batch where it converts numbers; asking that one would mean waiting."""
    split, seen, drawn = mm.split(whole_shop(), "given"), [], []
    model = mm.create("pamd", split, **small("pamd"))
    loss, make = model.recommend_loss, moving.PairBatches.__call__
    monkeypatch.setattr(model, "recommend_loss", lambda batch: seen.append(batch.on_host) or loss(batch))
    monkeypatch.setattr(moving.PairBatches, "__call__", lambda *a: (drawn.append(b) or b for b in make(*a)))
    mm.fit(model, split, epochs=1, progress=False, device="cpu", precision=precision)
    assert seen and all(one is other for one, other in zip(seen, drawn, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", TRAINED)
def test_cuda_itself_sees_no_wait(name):
    """PyTorch's own check, where there is a GPU."""
    model = mm.create(name, mm.split(whole_shop(), "given"), **small(name)).cuda()
    model.train()
    for stage in model.stages():
        batches = [*stage.batches(torch.Generator().manual_seed(0))]
        if stage.begin_epoch:
            stage.begin_epoch(0)
        sum(stage.loss(batches[-1].to("cuda")).values()).backward()
        batch = batches[-1].to("cuda")
        torch.cuda.set_sync_debug_mode("error")
        try:
            sum(stage.loss(batch).values()).backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
