"""Batches of users' sequences, of nearly equal length, so that little is spent on padding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .batches import OnDevice, sent
from .errors import DataError
from .splits import Sequences, Split

__all__ = ["SequenceBatch", "SequenceBatches", "last_items"]

# Batches that are cut from one sorted pool: enough for little padding, few enough that lengths still mix.
_POOL = 16


class _Sequences(NamedTuple):
    items: Tensor
    lengths: Tensor
    users: Tensor


class SequenceBatch(OnDevice, _Sequences):
    """Some sequences: `items` (B, L) int64 in time order, 0 after the end, `lengths` (B,), each >= 2, `users` (B,)."""

    @property
    def cases(self) -> Tensor:
        """Which positions have a next item: (B, L - 1) bool."""
        places = torch.arange(self.items.shape[1] - 1, device=self.items.device)
        return places < self.lengths[:, None] - 1

    def places(self) -> tuple[Tensor, Tensor]:
        """Return the row and the position of each training case, (C,) int64 twice, row by row."""
        return tuple(sent(part, self.items.device) for part in self.on_host.cases.nonzero(as_tuple=True))


def padded(sequences: Sequences, starts: np.ndarray, lengths: np.ndarray) -> Tensor:
    """Copy stretches of the sequences' items into rows: (B,) starts and lengths -> (B, L) int64, 0 after the end."""
    places = np.arange(int(lengths.max(initial=1)))
    inside = places < lengths[:, None]
    rows = np.zeros(inside.shape, dtype=np.int64)
    rows[inside] = sequences.items[(starts[:, None] + places)[inside]]
    return torch.from_numpy(rows)


def last_items(sequences: Sequences, users: np.ndarray, most: int) -> tuple[Tensor, Tensor]:
    """Return each user's last items (B, L), at most `most`, 0 after the end, and their number (B,), 0 for none."""
    ends = sequences.indptr[users + 1]
    lengths = np.minimum(ends - sequences.indptr[users], most)
    return padded(sequences, ends - lengths, lengths), torch.from_numpy(lengths)


class SequenceBatches:
    """Shuffled batches of a split's training sequences; every item after a sequence's first is a training case.

    A batch holds whole sequences with about `batch_size` cases together. A sequence of more than `length` + 1 items is
    cut into stretches from its end, so that the last one is what scoring reads; no case is lost, but what follows a cut
    sees the items since the cut. `keep` (I,) bool leaves the other items out of the sequences.
    Raises ``DataError`` where no user has two items.
    """

    def __init__(self, split: Split, batch_size: int, length: int = 50, keep: np.ndarray | None = None):
        sequences = split.train_sequences()
        if keep is not None:
            chosen = keep[sequences.items]
            indptr = np.concatenate([[0], np.cumsum(chosen)])[sequences.indptr]
            sequences = Sequences(indptr, sequences.items[chosen])
        cases = np.maximum(np.diff(sequences.indptr) - 1, 0)
        pieces = -(-cases // length)
        if not pieces.any():
            raise DataError(
                f"split {split.name}: no user has two training items{' of those kept' if keep is not None else ''}, so "
                f"there is no next item to learn from. Take more data, or a method without sequences."
            )
        user = np.repeat(np.arange(len(cases)), pieces)
        number = np.arange(len(user)) - np.repeat(np.cumsum(pieces) - pieces, pieces)  # 0 is the latest piece
        ends = sequences.indptr[user + 1] - number * length
        self.starts = np.maximum(ends - length - 1, sequences.indptr[user])
        self.lengths, self.users = ends - self.starts, user
        self.sequences, self.batch_size = sequences, batch_size
        self.n_cases = int(cases.sum())

    def __len__(self) -> int:
        """The number of batches in an epoch, give or take one."""
        return -(-self.n_cases // self.batch_size)

    def __call__(self, generator: torch.Generator) -> Iterator[SequenceBatch]:
        """Yield one epoch's batches in random order; the generator alone decides who stands together."""
        order = torch.randperm(len(self.starts), generator=generator).numpy()
        pool = _POOL * max(1, round(self.batch_size * len(self.starts) / self.n_cases))
        number = np.arange(len(order)) // pool
        # Up in one pool and down in the next: the batch across their border holds like lengths as well.
        order = order[np.lexsort((np.where(number % 2, -1, 1) * self.lengths[order], number))]
        done = np.cumsum(self.lengths[order] - 1) - (self.lengths[order] - 1)
        cuts = np.flatnonzero(np.diff(done // self.batch_size)) + 1
        blocks = np.split(order, cuts)
        for place in torch.randperm(len(blocks), generator=generator).tolist():
            block = blocks[place]
            items = padded(self.sequences, self.starts[block], self.lengths[block])
            yield SequenceBatch(items, *(torch.from_numpy(part[block]) for part in (self.lengths, self.users)))
