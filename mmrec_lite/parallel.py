"""One batch on many processes: who takes which rows, and what has to be put together again.

Every process draws the same whole batch and takes its share of the rows. While a step runs, the share is known here; a
method asks for it where a row's loss depends on other rows or on drawn numbers. With one process nothing changes.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = [
    "Share",
    "agree",
    "current",
    "dealt",
    "dropout",
    "gather_cases",
    "largest",
    "mapped",
    "mean",
    "rand",
    "rank",
    "same_start",
    "start",
    "sum_gradients",
    "take_share",
    "taking",
    "total",
    "whole",
]

LARGE = 2**20  # gradients of so many entries are summed where they lie, smaller ones together in one buffer

Batch = TypeVar("Batch")
Part = TypeVar("Part")


# Processes ------------------------------------------------------------------------------------------------------------


def start(device: str = "auto", devices: int | str = 1, precision: str = "32-true") -> Fabric:
    """Return Fabric, with its processes running and connected where `devices` says more than one.

    "auto" is a CUDA GPU where there is one, else the CPU: Apple's GPUs, which Fabric would take, know no sparse CSR
    matrices, so that no method with a graph would run there.
    Under ``fabric run`` the command line's accelerator, devices, nodes and precision are taken. Started otherwise, the
    further processes run the same script again, so that all arrive here.
    Raises ``ValueError`` for a strategy other than ddp and for a device that this machine does not have.
    """
    from lightning_fabric import Fabric  # here, since it takes as long to import as torch itself
    from lightning_fabric.strategies import DDPStrategy
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    class WholeModule(DDPStrategy):
        """Leave the module as it is: gradients are summed after the backward pass, by `sum_gradients`."""

        def setup_module(self, module):
            return module

    asked = {name: os.environ.get(f"LT_{name.upper()}") for name in ("accelerator", "devices", "precision")}
    nodes, strategy = os.environ.get("LT_NUM_NODES", "1"), os.environ.get("LT_STRATEGY")
    if strategy not in (None, "auto", "ddp"):
        raise ValueError(f"fabric run --strategy {strategy}: only ddp is known here; every process holds the model.")
    device, devices = asked["accelerator"] or device, asked["devices"] or devices
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    several = str(devices) not in ("1", "auto") or nodes != "1"
    with _without("LT_STRATEGY"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(GPU|TPU|HPU) available.*")
        try:
            fabric = Fabric(
                accelerator=device,
                devices=devices if several else 1,
                num_nodes=int(nodes),
                precision=asked["precision"] or precision,
                strategy=WholeModule() if several else "auto",
            )
        except (
            RuntimeError,
            MisconfigurationException,
            ModuleNotFoundError,
        ) as error:  # the last asks for a TPU's own package
            raise ValueError(
                f"device = {device!r} with devices = {devices} is not to be had on this machine ({error}). "
                f"Leave it out, or take 'cpu'."
            ) from None
    if several and os.environ.get("LT_CLI_USED") != "1":
        fabric.launch()
    _warn_of_slow_products(fabric.device.type, asked["precision"] or precision)
    return fabric


def _warn_of_slow_products(device: str, precision: str) -> None:
    from mmrec_lite.ops import multiplies_bfloat16  # here: that module imports this one

    # On a processor "16-mixed" becomes "bf16-mixed"; a GPU may have units for float16 alone.
    narrow = str(precision).startswith(("16", "bf16") if device == "cpu" else "bf16")
    if narrow and not multiplies_bfloat16(device):
        warnings.warn(
            f"precision={precision!r}: this processor has no unit for 16-bit products and takes many times as long for "
            f"them as for 32-bit ones; leave precision out.",
            stacklevel=4,
        )


@contextlib.contextmanager
def _without(name: str) -> Iterator[None]:
    """Take a variable out of the environment for a moment."""
    value = os.environ.pop(name, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[name] = value


def rank() -> int:
    """This process's number, 0 for the one that writes."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def agree(value: Any) -> Any:
    """Return process 0's value (anything JSON-like) in every process."""
    if not (dist.is_available() and dist.is_initialized()):
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


# A step's share -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """Which rows of the step's whole batch are this process's.

    `bounds` are the rows at which the processes' shares begin, and the end. `cases` is how many training cases each
    process's share has; a loss that is a mean over cases counts `weight`, the weights of all processes adding up to 1.
    """

    rank: int
    bounds: tuple[int, ...]
    cases: tuple[int, ...]
    whole: Any = None

    @property
    def rows(self) -> slice:
        """This process's rows."""
        return slice(*self.bounds[self.rank : self.rank + 2])

    @property
    def weight(self) -> float:
        """How much a mean over this process's cases counts."""
        return self.cases[self.rank] / sum(self.cases)

    def drawn(self, shape: Sequence[int], dim: int, draw: Callable[[Sequence[int]], Tensor]) -> Tensor:
        """Draw for the whole batch, return this process's part: `shape` is the part's, its rows in `dim`.

        A dimension of several times as many entries as there are rows holds the rows several times.
        """
        rows, total = self.rows, self.bounds[-1]
        mine = rows.stop - rows.start
        copies, rest = divmod(shape[dim], mine)
        if rest:
            raise ValueError(f"dimension {dim} of {tuple(shape)} is no multiple of the {mine} rows of this process")
        numbers = draw((*shape[:dim], copies * total, *shape[dim + 1 :])).unflatten(dim, (copies, total))
        return numbers.narrow(dim + 1, rows.start, mine).flatten(dim, dim + 1)


_current: ContextVar[Share | None] = ContextVar("share", default=None)


def current() -> Share | None:
    """This process's share of the step that runs; None with one process, and outside of training steps."""
    return _current.get()


@contextlib.contextmanager
def taking(share: Share | None) -> Iterator[None]:
    """Let `share` be the current one for the time of a `with` block."""
    token = _current.set(share)
    try:
        yield
    finally:
        _current.reset(token)


def take_share(batch: Batch, rank: int, world: int) -> tuple[Batch, Share | None, float]:
    """Return this process's rows of a batch (a tensor, or a named tuple of tensors), its share and its weight.

    A batch of fewer rows than processes is everybody's whole, without shares, and counts 1 / world.
    """
    size = len(batch) if isinstance(batch, Tensor) else len(batch[0])
    if world == 1 or size < world:
        return batch, None, 1 / world
    bounds = _bounds(size, world)
    parts = [_rows(batch, slice(*ends)) for ends in itertools.pairwise(bounds)]
    cases = [
        int(part.cases.sum()) if hasattr(part, "cases") else b - a
        for part, a, b in zip(parts, bounds, bounds[1:], strict=False)
    ]
    share = Share(rank, bounds, tuple(cases), batch)
    return parts[rank], share, share.weight


def _bounds(size: int, world: int) -> tuple[int, ...]:
    return tuple(size * number // world for number in range(world + 1))


def _rows(batch: Any, rows: slice) -> Any:
    return batch[rows] if isinstance(batch, Tensor) else type(batch)(*(part[rows] for part in batch))


def whole(batch: Batch) -> Batch:
    """Return the step's whole batch, of which this process's share is `batch`."""
    share = current()
    if share is None:
        return batch
    place = batch.device if isinstance(batch, Tensor) else batch[0].device
    return share.whole.to(place)


# Numbers drawn --------------------------------------------------------------------------------------------------------


def rand(*shape: int, dim: int = 0, **options: Any) -> Tensor:
    """``torch.rand``, drawn for the whole batch: one and several processes see the same numbers in the same rows."""
    share = current()
    if share is None:
        return torch.rand(shape, **options)
    return share.drawn(shape, dim, lambda full: torch.rand(full, **options))


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    """``F.dropout`` of rows (dimension 0), drawn for the whole batch."""
    share = current()
    if share is None or not training or p == 0:
        return F.dropout(x, p, training)
    return x * share.drawn(x.shape, 0, lambda full: F.dropout(x.new_ones(full), p))


# Rows that need one another -------------------------------------------------------------------------------------------


class _Gather(torch.autograd.Function):
    """Rows of all processes in order; backward adds up what all processes ask of this one's rows."""

    @staticmethod
    def forward(ctx, rows: Tensor, sizes: tuple[int, ...], rank: int) -> Tensor:
        ctx.sizes, ctx.rank = sizes, rank
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx, grad: Tensor):
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad.split(ctx.sizes)[ctx.rank], None, None


def gather_cases(rows: Tensor) -> Tensor:
    """Put the cases of all processes together, with gradient: (cases of this process, ...) -> (all cases, ...)."""
    share = current()
    return rows if share is None else _Gather.apply(rows, share.cases, share.rank)


def mapped(function: Callable[[Tensor], Tensor], index: Tensor) -> Tensor:
    """Return `function(index)`, (N, ...), each process computing its part of the rows, with gradient.

    `function` must treat rows one by one; what it drops out is drawn for all rows.
    """
    share = current()
    world = 1 if share is None else len(share.cases)
    if share is None or len(index) < world:
        with taking(None):
            return function(index)
    bounds = _bounds(len(index), world)
    sizes = tuple(b - a for a, b in itertools.pairwise(bounds))
    part = Share(share.rank, bounds, sizes)
    with taking(part):
        return _Gather.apply(function(index[part.rows]), sizes, share.rank)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor):
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad


def mean(x: Tensor) -> Tensor:
    """Make the mean over the whole batch of the means over the processes' cases, with gradient."""
    share = current()
    return x if share is None else _Sum.apply(x * share.weight)


def dealt(parts: Sequence[Part]) -> Sequence[Part]:
    """Return every `world`-th of some parts of the work, this process's own."""
    share = current()
    return parts if share is None else parts[share.rank :: len(share.cases)]


def total(x: Tensor) -> Tensor:
    """Add a tensor up over the processes, in place and without gradient."""
    if current() is not None:
        dist.all_reduce(x)
    return x


def largest(number: int) -> int:
    """Return the largest of the processes' numbers."""
    if current() is None:
        return number
    box = torch.tensor(number)
    if dist.get_backend() == "nccl":
        box = box.cuda()
    dist.all_reduce(box, dist.ReduceOp.MAX)
    return int(box)


# After the backward pass ----------------------------------------------------------------------------------------------


@torch.no_grad()
def sum_gradients(parameters: Sequence[Tensor], terms: Tensor) -> Tensor:
    """Add up every parameter's gradient over the processes, in place, and return the sum of `terms` (T,).

    A parameter that has a gradient in some processes gets it in all; one that has none anywhere keeps None, so that the
    optimiser leaves it alone. On a GPU, where asking would make the host wait, who has one is taken to be alike.
    """
    small = [p for p in parameters if p.numel() < LARGE]
    has = [p.grad is not None for p in parameters]
    flat = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in small]
    wide = torch.float64 if any(g.dtype == torch.float64 for g in flat) else torch.float32
    parts = [terms, terms.new_tensor(has), *(g.reshape(-1) for g in flat)]
    buffer = torch.cat([part.to(wide) for part in parts])
    dist.all_reduce(buffer)
    terms, anywhere, rest = buffer.tensor_split([len(terms), len(terms) + len(parameters)])
    known = dict(zip(parameters, has if terms.is_cuda else anywhere.tolist(), strict=True))
    for p, part in zip(small, rest.split([p.numel() for p in small]), strict=True):
        p.grad = part.view_as(p).to(p.dtype) if known[p] else None
    for p in parameters:
        if p.numel() >= LARGE and known[p]:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad.contiguous()
            dist.all_reduce(p.grad)
    return terms.float()


@torch.no_grad()
def same_start(tensors: Sequence[Tensor]) -> None:
    """Give every process the values of process 0, in place."""
    for tensor in tensors:
        dist.broadcast(tensor, src=0)
