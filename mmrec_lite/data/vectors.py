"""Rows that own a varying number of vectors: the sentences of an item, the words of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from .checks import clean_vectors, frozen
from .errors import DataError


@dataclass(frozen=True, eq=False)
class IndexedVectors:
    """At most L vectors a row, each stored once however many rows share it.

    Shapes: `vectors` (N, d) float16 or float32; `index` (R, L) int32 into `vectors`, -1 where a row has
    fewer than L. `rows` says what a row is: "items" or "interactions". Raises `DataError` for an index
    outside -1..N-1.
    """

    vectors: np.ndarray
    index: np.ndarray
    rows: str = "items"

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", clean_vectors(self.vectors, "IndexedVectors.vectors"))
        index = np.asarray(self.index)
        if index.ndim != 2 or index.dtype.kind not in "iu":
            raise DataError(f"IndexedVectors.index: expected whole numbers (R, L); got {index.shape}, {index.dtype}.")
        wrong = ((index < -1) | (index >= len(self.vectors))).any(axis=1)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"IndexedVectors.index: row {row} points outside the {len(self.vectors)} vectors: "
                f"{index[row].tolist()}; use 0..{len(self.vectors) - 1}, and -1 for padding."
            )
        if self.rows not in ("items", "interactions"):
            raise DataError(f"IndexedVectors.rows: {self.rows!r} is neither 'items' nor 'interactions'.")
        object.__setattr__(self, "index", frozen(index.astype(np.int32, copy=False)))

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        (count, width), (rows, length) = self.vectors.shape, self.index.shape
        kind = f"{width}-d {self.vectors.dtype}"
        return f"IndexedVectors({rows} {self.rows} x {length} of {count} vectors, {kind})"

    @cached_property
    def mask(self) -> np.ndarray:
        """(R, L) bool, True where there is a vector."""
        return frozen(self.index >= 0)

    @property
    def used(self) -> np.ndarray:
        """(N,) bool, which vectors any row has: the others, such as zeros for what is missing, tell nothing."""
        used = np.zeros(len(self.vectors), dtype=bool)
        used[self.index[self.mask]] = True
        return used

    def gather(self, rows: np.ndarray | list[int]) -> np.ndarray:
        """The vectors of some rows: (B,) -> (B, L, d) float32, zero at padding."""
        index = self.index[np.asarray(rows)]
        there = index >= 0
        out = np.zeros((*index.shape, self.vectors.shape[1]), dtype=np.float32)
        out[there] = self.vectors[index[there]]
        return out

    def mean(self) -> np.ndarray:
        """The mean vector of every row: (R, d) float32, zero where a row has none."""
        counts = self.mask.sum(axis=1)
        pointers = np.concatenate([[0], np.cumsum(counts)])
        # A sparse product sums without the (R, L, d) block that gathering everything would take.
        weights = np.repeat(1.0 / np.maximum(counts, 1), counts).astype(np.float32)
        average = csr_array((weights, self.index[self.mask], pointers), shape=(len(self.index), len(self.vectors)))
        return average @ self.vectors.astype(np.float32)
