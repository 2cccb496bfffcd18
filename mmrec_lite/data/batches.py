"""Training triples: every observed pair once an epoch, each with items its user did not take; batches and devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from .errors import DataError
from .splits import Split

__all__ = ["OnDevice", "PairBatches", "Triples", "remembering", "sent"]


ROUNDS = 32  # of drawing anew what met an observed item; who took nearly all items would need thousands


def sent(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Return a tensor on a device; a GPU gets it without the host waiting for the work that the GPU still has to do."""
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class OnDevice:
    """What a batch, a named tuple of tensors, has besides: the way to a device, and the way back without waiting.

    Which items are different ones, or which positions are training cases, decides the shape of what follows. Asked of a
    GPU, it makes the host wait in every step; so it is asked of the batch as it was drawn.
    """

    def to(self, device: torch.device | str) -> Self:
        """Return the batch on a device."""
        return type(self)(*(sent(part, device) for part in self)).drawn_as(self.on_host)

    def drawn_as(self, batch: Self) -> Self:
        """Remember the batch on the CPU that this one is a copy of; return this one."""
        self._drawn = batch
        return self

    @property
    def on_host(self) -> Self:
        """The same batch on the CPU: as it was drawn, if it came from there."""
        drawn = self.__dict__.get("_drawn", self)
        return drawn if drawn[0].device.type == "cpu" else type(self)(*(part.cpu() for part in self))


def remembering(loss: Callable[[Any], dict[str, Tensor]], drawn: Any) -> Callable[[Any], dict[str, Tensor]]:
    """Return the loss of copies of a batch that know how it was drawn: Fabric makes new tuples in other precisions."""
    return (lambda batch: loss(batch.drawn_as(drawn))) if isinstance(drawn, OnDevice) else loss


class _Triples(NamedTuple):
    users: Tensor
    positives: Tensor
    negatives: Tensor


class Triples(OnDevice, _Triples):
    """A batch of users, an item each took and one or n each did not: int64 (B,), (B,) and (B,) or (B, n)."""


class PairBatches:
    """Shuffled batches of a split's training pairs with uniform negatives.

    A negative is drawn from all items that its user has no training interaction with (what validation and test hold
    is unknown to training and may be drawn). Under the protocol "cold-items" the held-out items are not on sale yet
    and are never drawn: as eternal negatives they would be trained to lose.
    A user who took every item has no negative; such pairs are left out.
    `n_negatives=n` draws n for each pair, independently of one another: `negatives` is then (B, n).

    Source: MICRO 4.1.3 (one negative for each observed pair).
    """

    def __init__(self, split: Split, batch_size: int, n_negatives: int | None = None):
        self.users, self.items = split.pairs("train")
        self.batch_size = batch_size
        self.n_negatives = n_negatives
        self.n_items = split.n_items
        barred = [items for items in split.held_out_items.values() if len(items)]
        on_sale = np.ones(split.n_items, dtype=bool)
        on_sale[np.concatenate(barred) if barred else []] = False
        self.pool = np.flatnonzero(on_sale)
        usable = split.train_lengths[self.users] < len(self.pool)
        self.users, self.items = self.users[usable], self.items[usable]
        if not len(self.users):
            raise DataError(
                f"split {split.name}: no training pair has a negative, since every user took all "
                f"{len(self.pool)} items on sale; a ranking cannot be learned from that. Take more items."
            )
        self._taken = np.sort(self.users * self.n_items + self.items)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return -(-len(self.users) // self.batch_size)

    def __call__(self, generator: torch.Generator) -> Iterator[Triples]:
        """Yield one epoch's batches; the generator alone decides order and negatives."""
        order = torch.randperm(len(self.users), generator=generator).numpy()
        users, items = self.users[order], self.items[order]
        drawn = self.draw(users, generator) if self.n_negatives is None else None
        for start in range(0, len(users), self.batch_size):
            part = slice(start, start + self.batch_size)
            if drawn is not None:
                negatives = drawn[part]
            else:  # batch by batch: n for every pair of an epoch at once could fill the memory
                negatives = self.draw(np.repeat(users[part], self.n_negatives), generator).reshape(-1, self.n_negatives)
            yield Triples(*(torch.from_numpy(column) for column in (users[part], items[part], negatives)))

    def draw(self, users: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """Draw one item for each user (R,) that the user has no training interaction with -> (R,) int64."""
        out = np.empty(len(users), dtype=np.int64)
        todo = np.arange(len(users))
        for _ in range(ROUNDS):  # every round redraws the pairs that met an observed item; few are left after two
            if not todo.size:
                return out
            picks = torch.randint(len(self.pool), (todo.size,), generator=generator).numpy()
            out[todo] = self.pool[picks]
            keys = users[todo] * self.n_items + out[todo]
            place = np.searchsorted(self._taken, keys)
            todo = todo[self._taken[np.minimum(place, len(self._taken) - 1)] == keys]
        out[todo] = self._free(users[todo], torch.rand(todo.size, generator=generator, dtype=torch.float64).numpy())
        return out

    def _free(self, users: np.ndarray, where: np.ndarray) -> np.ndarray:
        """Return the item that lies `where`, in [0, 1), among those on sale that a user (R,) did not take -> (R,)."""
        place = np.full(self.n_items, -1)
        place[self.pool] = np.arange(len(self.pool))
        owners, taken = self._taken // self.n_items, place[self._taken % self.n_items]
        owners, taken = owners[taken >= 0], taken[taken >= 0]  # by user, then by place
        first, last = np.searchsorted(owners, users, side="left"), np.searchsorted(owners, users, side="right")
        rank = np.floor(where * (len(self.pool) - (last - first))).astype(np.int64)
        # Before the j-th taken place lie taken[j] - j free ones; so many taken ones come before the free one of a rank.
        number = np.arange(len(taken)) - np.searchsorted(owners, owners, side="left")
        keys = owners * (len(self.pool) + 1) + taken - number
        before = np.searchsorted(keys, users * (len(self.pool) + 1) + rank, side="right") - first
        return self.pool[rank + before]
