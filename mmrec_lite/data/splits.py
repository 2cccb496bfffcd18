"""Which interactions are seen in training, which are held out, and each user's sequence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from .checks import PARTS, frozen
from .dataset import MultimodalDataset
from .errors import DataError, first, listing

__all__ = ["FEWEST", "TEST", "TRAIN", "VALID", "Sequences", "Split", "by_time", "by_user"]

TRAIN, VALID, TEST = range(len(PARTS))
FEWEST = 3  # with fewer interactions a user cannot give one to each part: all of them stay in training


class Sequences(NamedTuple):
    """Each user's items in time order: user u has `items[indptr[u] : indptr[u + 1]]`."""

    indptr: np.ndarray  # (U + 1,) int64
    items: np.ndarray  # int64


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """The interactions of a data set, shared out to training, validation and test.

    `train`, `valid` and `test` are sorted, disjoint, read-only int64 row numbers of `dataset.interactions`.
    `held_out_items` has the "valid" and "test" items of the cold-items protocol and is empty otherwise;
    `options` has the choices behind the split (by, ratios, fold, ...). What a method may learn from is in the
    training rows alone. Arrays and matrices handed out are shared: do not write to them.
    Raises `DataError` for rows out of range, in two parts or twice, and for an empty part.
    """

    dataset: MultimodalDataset
    protocol: str
    seed: int
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    held_out_items: dict[str, np.ndarray] = field(default_factory=dict)
    options: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in PARTS:
            object.__setattr__(self, part, frozen(np.sort(np.asarray(getattr(self, part), dtype=np.int64))))
        rows = np.concatenate([self.train, self.valid, self.test])
        if rows.size and (rows.min() < 0 or rows.max() >= len(self.dataset)):
            raise DataError(f"split: row numbers must lie in 0..{len(self.dataset) - 1}, as the interactions' do.")
        uses = np.bincount(rows, minlength=len(self.dataset))
        if uses.max() > 1:
            raise DataError(f"split: row {int(uses.argmax())} is used {uses.max()} times; a row belongs to one part.")
        for part in PARTS:
            if getattr(self, part).size == 0:
                raise DataError(
                    f"split: the {part} part of protocol {self.protocol!r} is empty on "
                    f"{self.dataset.name!r} ({len(self.dataset)} interactions, {self.n_users} users). "
                    f"{_remedy(self.protocol)}"
                )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part} {len(getattr(self, part)):,}" for part in PARTS)
        return f"Split({self.name}: {sizes})"

    @property
    def n_users(self) -> int:
        """The number of users of the data set."""
        return self.dataset.n_users

    @property
    def n_items(self) -> int:
        """The number of items of the data set, those never seen in training included."""
        return self.dataset.n_items

    @property
    def name(self) -> str:
        """Data set, protocol and seed in one word for tables and file names."""
        fold = f"-{self.options['fold']}of{self.options['folds']}" if "fold" in self.options else ""
        return f"{self.dataset.name}-{self.protocol}{fold}-s{self.seed}"

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the data set's hash, the rows of each part, and what else training and ranking depend on.

        That is the order of rows where it is not that of time, items held out, and whether a test follows validation.
        """
        digest = hashlib.sha256(self.dataset.hash.encode())
        self._feed_parts(digest)
        if self._by_row and "timestamp" in self.dataset.interactions:
            digest.update(b"|by order|")
        for part, items in sorted(self.held_out_items.items()):
            digest.update(f"|{part} held out {len(items)}|".encode())
            digest.update(items.astype("<i8").data)
        if self._leaves_one_out and "valid" not in self.history_parts("test"):
            digest.update(b"|a test does not follow validation|")
        return digest.hexdigest()

    @property
    def origin(self) -> dict[str, str]:
        """Where something learned comes from: hashes of the data set's `interactions`, and of the `parts` made of them.

        Two data sets with the same interactions may have other features.
        """
        digest = hashlib.sha256()
        self._feed_parts(digest)
        return {"interactions": self.dataset.interactions_hash, "parts": digest.hexdigest()}

    def _feed_parts(self, digest: hashlib._Hash) -> None:
        for part in PARTS:
            digest.update(f"|{part} {len(self._rows(part))}|".encode())
            digest.update(self._rows(part).astype("<i8").data)

    @property
    def _by_row(self) -> bool:
        return self.options.get("by") == "order"

    @cached_property
    def _cache(self) -> dict:
        return {}

    def _rows(self, part: str) -> np.ndarray:
        if part not in PARTS:
            raise DataError(f"split: unknown part {part!r}; there are: {listing(PARTS)}.")
        return getattr(self, part)

    def pairs(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Users and items of a part, in row order: two (R,) int64 arrays."""
        rows = self._rows(part)
        if ("pairs", part) not in self._cache:
            table = self.dataset.interactions
            users, items = (table[key].to_numpy()[rows].astype(np.int64) for key in ("user", "item"))
            self._cache["pairs", part] = frozen(users), frozen(items)
        return self._cache["pairs", part]

    def matrix(self, part: str) -> csr_array:
        """Who took what in a part: (U, I) float32 CSR with ones, column indices sorted."""
        users, items = self.pairs(part)
        if ("matrix", part) not in self._cache:
            ones = np.ones(len(users), dtype=np.float32)
            matrix = csr_array((ones, (users, items)), shape=(self.n_users, self.n_items))
            matrix.sort_indices()
            self._cache["matrix", part] = matrix
        return self._cache["matrix", part]

    def users(self, part: str) -> np.ndarray:
        """The users with at least one row in a part, ascending int64."""
        return np.unique(self.pairs(part)[0])

    @cached_property
    def train_counts(self) -> np.ndarray:
        """(I,) int64: how often each item occurs in training, its popularity."""
        return frozen(np.bincount(self.pairs("train")[1], minlength=self.n_items))

    @cached_property
    def train_lengths(self) -> np.ndarray:
        """(U,) int64: how many training interactions each user has."""
        return frozen(np.bincount(self.pairs("train")[0], minlength=self.n_users))

    def sequences(self, parts: Iterable[str] = ("train",)) -> Sequences:
        """Each user's items of the given parts in time order; ties in row order.

        Without time stamps, or where the split was made by="order", all are in row order.
        A test under leave-one-out may look at training and validation: `sequences(("train", "valid"))`.
        """
        parts = {parts} if isinstance(parts, str) else set(parts)
        key = ("sequences", *(part for part in PARTS if part in parts))
        unknown = parts - set(PARTS)
        if unknown or len(key) == 1:
            raise DataError(f"split: sequences of {first(sorted(unknown)) or 'no part'}; parts: {listing(PARTS)}.")
        if key not in self._cache:
            rows = np.sort(np.concatenate([self._rows(part) for part in key[1:]]))
            in_order = by_user if self._by_row else by_time
            rows = rows[in_order(self.dataset, rows)]
            users, items = (self.dataset.interactions[side].to_numpy()[rows] for side in ("user", "item"))
            indptr = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=self.n_users))])
            self._cache[key] = Sequences(frozen(indptr), frozen(items.astype(np.int64)))
        return self._cache[key]

    def history_parts(self, part: str) -> tuple[str, ...]:
        """Which parts are past when `part` is to be predicted: training, before a leave-one-out test validation too.

        A given split counts as leave-one-out where every test item comes last and the validation item just before.
        """
        if part != "test" or self.protocol not in ("leave-one-out", "given"):
            return ("train",)
        return ("train", "valid") if self.protocol == "leave-one-out" or self._leaves_one_out else ("train",)

    @cached_property
    def _leaves_one_out(self) -> bool:
        if not len(self.valid) == len(self.test) == len(self.users("test")):
            return False
        part = np.full(len(self.dataset), -1)
        for number, name in enumerate(PARTS):
            part[self._rows(name)] = number
        rows = np.flatnonzero(part >= 0)
        order = rows[by_time(self.dataset, rows)]
        users = self.dataset.interactions["user"].to_numpy()[order]
        last = np.searchsorted(users, self.users("test"), side="right") - 1
        one_each = bool((last >= 1).all())
        return one_each and bool((part[order[last]] == TEST).all() and (part[order[last - 1]] == VALID).all())

    def train_sequences(self) -> Sequences:
        """Each user's training items in time order: `indptr` (U + 1,) and `items`."""
        return self.sequences(("train",))

    def history(self, user: int) -> np.ndarray:
        """A user's training items in time order; `DataError` where there are none."""
        self.require_history([user])
        indptr, items = self.train_sequences()
        return items[indptr[user] : indptr[user + 1]]

    def require_history(self, users: Iterable[int]) -> np.ndarray:
        """Return `users` as int64, or raise `DataError` for one unknown or without a training interaction."""
        users = np.asarray(list(users) if not isinstance(users, np.ndarray) else users, dtype=np.int64)
        outside = users[(users < 0) | (users >= self.n_users)]
        if outside.size:
            raise DataError(f"split: there is no user {outside[0]}; users are numbered 0..{self.n_users - 1}.")
        empty = users[self.train_lengths[users] == 0]
        if empty.size:
            original = self.dataset.users["user_id"].iloc[empty[0]]
            raise DataError(
                f"split: user {empty[0]} (user_id {original!r}) has no training interaction "
                f"({empty.size} such users), so "
                f"nothing is known of them. Leave them out, or recommend what is popular."
            )
        return users

    def review_rows(self) -> np.ndarray:
        """The rows whose reviews a method may read: training rows with a review, sorted.

        A review in `valid` or `test` tells what is to be predicted: reading it would be a leak.
        """
        if "reviews" in self.dataset.sequences and self.dataset.sequences["reviews"].rows == "interactions":
            return self.train[self.dataset.sequences["reviews"].mask[self.train].any(axis=1)]
        if "review" in self.dataset.interactions:
            return self.train[(self.dataset.interactions["review"] != "").to_numpy()[self.train]]
        raise DataError(
            f"data set {self.dataset.name!r} has no reviews: neither a column "
            f"`review` in interactions nor sequences['reviews']."
        )


def by_user(dataset: MultimodalDataset, rows: np.ndarray) -> np.ndarray:
    """Positions in `rows`, user by user; ties by row."""
    return np.argsort(dataset.interactions["user"].to_numpy()[rows], kind="stable")


def by_time(dataset: MultimodalDataset, rows: np.ndarray) -> np.ndarray:
    """Positions in `rows`, user by user and by time; ties, and all without time stamps, by row."""
    if "timestamp" not in dataset.interactions:
        return by_user(dataset, rows)
    table = dataset.interactions
    return np.lexsort((table["timestamp"].to_numpy()[rows], table["user"].to_numpy()[rows]))


def _remedy(protocol: str) -> str:
    return {
        "given": "Correct the `split` column, or take protocol 'ratio', which holds out every part itself.",
        "cold-items": "Raise cold, or take more items.",
        "kfold": f"No user has enough interactions for this fold: lower folds (it takes {FEWEST} at least).",
    }.get(protocol, f"No user has {FEWEST} interactions, the fewest to share out; take more data.")
