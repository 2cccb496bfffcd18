"""What a step of each stage does, counted operation by operation: products, and bytes that operations read and write.

python -m tests.benchmarks.scaling limits

An operation's bytes are those of its arguments and results, of what is looked up in a table only the rows; views move
none. Caches serve a part of them, so they are what a step without any fused operation moves at most.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

import mmrec_lite as mm
from tests.benchmarks import sequences, worlds
from tests.benchmarks.pamd import RELEASED
from tests.benchmarks.process import clock, optimizer_of

ROOT = Path(__file__).resolve().parents[2] / "build" / "bench"
CONTENT = {"modalities": "text,image,graph"}  # the generated shop has no reviews
STAGES = {  # method, stage, where, settings
    "LightGCN": ("lightgcn", "bpr", "baby", {}),
    "MICRO, exact": ("micro", "joint", "baby", {}),
    "MICRO, 1,024 sampled negatives": ("micro", "joint", "baby", {"negatives": 1024}),
    "PAMD, pre-training": ("pamd", "pretrain", "baby", {"batch_size": 1024}),
    "PAMD": ("pamd", "recommend", "baby", {"batch_size": 1024}),
    "PAMD as released": ("pamd", "recommend", "baby", RELEASED | {"batch_size": 1024}),
    "MCPTR, pre-training": ("mcptr", "pretrain", "baby", CONTENT),
    "MCPTR, fine-tuning": ("mcptr", "recommend", "baby", CONTENT),
    "SASRec": ("sasrec", "recommend", "pantry", {}),
    "MP4SR, pre-training": ("mp4sr", "pretrain", "pantry", {}),
    "MP4SR, fine-tuning": ("mp4sr", "recommend", "pantry", {}),
    "MP4SR, fine-tuning, 1,024 drawn items": ("mp4sr", "recommend", "pantry", {"negatives": 1024}),
}
LOOKED_UP = ("index", "index_select", "gather", "embedding", "_embedding_bag", "_index_put_impl_", "index_put")


class Work(TorchDispatchMode):
    """Count what runs under it: `products` in operations (a multiplication and an addition are two), `bytes`."""

    def __init__(self) -> None:
        super().__init__()
        self.products = self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if any(a.alias_info and not a.alias_info.is_write for a in function._schema.arguments):
            return out  # a view
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        made = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        sparse = next((x for x in given if x.layout == torch.sparse_csr), None)
        if sparse is not None:
            width = max((x.shape[-1] for x in made if x.layout == torch.strided and x.ndim == 2), default=0)
            self.products += 2 * sparse._nnz() * width
            self.bytes += sparse._nnz() * (12 + 4 * width) + sum(map(_size, made))
        else:
            count = flop_registry.get(function._overloadpacket)
            self.products += count(*args, **(kwargs or {}), out_val=out) if count else 0
            self.bytes += self._moved(function._overloadpacket.__name__, given, made)
        return out

    @staticmethod
    def _moved(name: str, given: list[Tensor], made: list[Tensor]) -> int:
        written = sum(map(_size, made))
        if name.startswith(("empty", "new_empty", "_local_scalar_dense")):
            return 0
        if name.startswith("new_") or name.endswith("_like"):  # of the argument only the shape or the type counts
            return written
        if name in LOOKED_UP:  # of the table those rows alone, read and written
            return 2 * written + sum(_size(x) for x in given if not x.is_floating_point())
        return written + sum(map(_size, given))


def _size(x: Tensor) -> int:
    if x.layout != torch.strided:
        return 0
    return prod(n for n, step in zip(x.shape, x.stride(), strict=True) if step) * x.element_size()  # expanded: once


def best(function: Callable[[], object], rounds: int = 5) -> float:
    """Return the least seconds of some rounds after one that warms up."""
    function()
    took = []
    for _ in range(rounds):
        started = time.perf_counter()
        function()
        took.append(time.perf_counter() - started)
    return min(took)


def ceilings() -> dict[str, float]:
    """Return what this machine multiplies, and copies, a second: 2,048-square products, 512 MiB read and written."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    big = torch.ones(2**27)
    other = torch.empty_like(big)
    return {
        "products": 2 * 2048**3 / best(lambda: torch.mm(a, b)),
        "copy": 2 * big.numel() * 4 / best(lambda: other.copy_(big)),
    }


def step(method: str, name: str, data: str, hyper: dict[str, Any], steps: int = 6) -> dict[str, float]:
    """Count one step of a stage, and time others (median); graphs that an epoch begins with are not among it."""
    folder = sequences.folder(ROOT) if data == "pantry" else worlds.folder(ROOT, data)
    split = mm.split(mm.load(folder), "leave-one-out" if data == "pantry" else "ratio", seed=0)
    model = mm.create(method, split, **hyper)
    stage = next(stage for stage in model.stages() if stage.name == name)
    optimizer = optimizer_of(model, stage)
    model.train()
    stage.begin_epoch and stage.begin_epoch(0)
    batches = stage.batches(torch.Generator().manual_seed(0))

    def once(batch: Any) -> None:
        optimizer.zero_grad()
        sum(stage.loss(batch).values()).backward()
        optimizer.step()

    once(next(batches))
    took = []
    for batch in itertools.islice(batches, steps):
        started = clock()
        once(batch)
        took.append(clock() - started)
    with Work() as work:
        once(next(batches))
    counts = {"products": work.products, "bytes": work.bytes, "steps": stage.n_batches}
    return {"seconds": float(np.median(took)), **counts}


def limits() -> dict[str, Any]:
    """Count and time a step of every stage, beside what the machine can do."""
    return {"stages": {label: step(*what) for label, what in STAGES.items()}, "ceilings": ceilings()}
