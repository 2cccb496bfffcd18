"""Which interactions are seen in training: the papers' protocols, leak-free and without a loop over users."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from .checks import PARTS, frozen
from .dataset import MultimodalDataset
from .errors import DataError, first, listing

__all__ = ["PROTOCOLS", "Sequences", "Split", "split"]

PROTOCOLS = ("ratio", "leave-one-out", "kfold", "cold-items", "given")
_TRAIN, _VALID, _TEST = range(3)
# With fewer interactions a user cannot give one to each part: all of them stay in training.
_FEWEST = 3


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
        """SHA-256 over the data set's hash, the rows of each part, and their order where it is not that of time."""
        digest = hashlib.sha256(self.dataset.hash.encode())
        for part in PARTS:
            digest.update(f"|{part} {len(self._rows(part))}|".encode())
            digest.update(self._rows(part).astype("<i8").data)
        if self._by_row and "timestamp" in self.dataset.interactions:
            digest.update(b"|by order|")
        return digest.hexdigest()

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
            in_order = _by_user if self._by_row else _time_order
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
        part = np.full(len(self.dataset), -1)
        for number, name in enumerate(PARTS):
            part[self._rows(name)] = number
        rows = np.flatnonzero(part >= 0)
        order = rows[_time_order(self.dataset, rows)]
        users = self.dataset.interactions["user"].to_numpy()[order]
        last = np.searchsorted(users, self.users("test"), side="right") - 1
        one_each = len(self.test) == len(last) and len(self.valid) == len(last) and bool((last >= 1).all())
        return one_each and bool((part[order[last]] == _TEST).all() and (part[order[last - 1]] == _VALID).all())

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


def split(
    dataset: MultimodalDataset,
    protocol: str = "ratio",
    *,
    seed: int = 0,
    by: str | None = None,
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1),
    fold: int = 0,
    folds: int = 5,
    cold: float = 0.2,
) -> Split:
    """Share the interactions of `dataset` out to training, validation and test.

    Protocols (but for cold-items, a user with fewer than 3 interactions stays in training whole):
        ratio          per user, `ratios` of the interactions; what is held out is drawn (by="random", the
                       default) or the latest, test after validation (by="time", or by="order" for row
                       order). A user with fewer than 10 interactions gives one to validation and one to test.
                       Source: MICRO 4.1.3 and its released preparation.
        leave-one-out  the last is test, the one before validation, by="time" (default) or by="order".
                       Source: MP4SR 4.1.2.
        kfold          each user's interactions dealt to `folds`; `fold` is test, the next one validation, the
                       rest training: 3:1:1 with five. Source: PAMD 5.2.
        cold-items     `cold` of the items that anybody took lose all interactions, half of these items to
                       validation, half to test. Source: MICRO 4.1.3.
        given          the data's own `split` column.
    Ties in time are broken by row order; a random split depends on seed and pairs alone.
    Raises `DataError` for an unknown protocol or option value, missing columns and empty parts.
    """
    if protocol not in PROTOCOLS:
        raise DataError(f"split: unknown protocol {protocol!r}; there are: {listing(PROTOCOLS)}.")
    if by is not None and protocol not in ("ratio", "leave-one-out"):
        raise DataError(f"split: by={by!r} has no meaning for protocol {protocol!r}; leave it out.")
    for name, value, default, needs in (
        ("ratios", tuple(ratios), (0.8, 0.1, 0.1), "ratio"),
        ("fold", fold, 0, "kfold"),
        ("folds", folds, 5, "kfold"),
        ("cold", cold, 0.2, "cold-items"),
    ):
        if value != default and protocol != needs:
            raise DataError(
                f"split: {name}={value!r} belongs to protocol {needs!r}, not to {protocol!r}; leave it out."
            )
    for name, value in (("seed", seed), ("fold", fold), ("folds", folds)):
        if not isinstance(value, int | np.integer) or value < 0:
            raise DataError(f"split: {name} = {value!r}, but it is a whole number from 0.")
    rng = np.random.default_rng(seed)
    held_out: dict[str, np.ndarray] = {}
    options: dict = {}
    if protocol == "ratio":
        options = {"by": by or "random", "ratios": _checked_ratios(ratios)}
        part = _ratio(dataset, rng, **options)
    elif protocol == "leave-one-out":
        options = {"by": by or "time"}
        part = _leave_one_out(dataset, **options)
    elif protocol == "kfold":
        options = {"fold": int(fold), "folds": int(folds)}
        part = _kfold(dataset, rng, **options)
    elif protocol == "cold-items":
        options = {"cold": float(cold)}
        part, held_out = _cold_items(dataset, rng, **options)
    else:
        part = _given(dataset)
    rows = [np.flatnonzero(part == number) for number in (_TRAIN, _VALID, _TEST)]
    return Split(dataset, protocol, int(seed), *rows, held_out_items=held_out, options=json.loads(json.dumps(options)))


def _checked_ratios(ratios: tuple[float, float, float]) -> tuple[float, ...]:
    ratios = tuple(float(share) for share in ratios)
    if len(ratios) != 3 or not all(0 < share < 1 for share in ratios) or abs(sum(ratios) - 1) > 1e-6:
        raise DataError(
            f"split: ratios {ratios} must be three positive shares (train, valid, test) that add up to 1, "
            f"as in (0.8, 0.1, 0.1)."
        )
    return ratios


def _ratio(dataset: MultimodalDataset, rng: np.random.Generator, by: str, ratios: tuple) -> np.ndarray:
    from_end, counts = _places(dataset, _order(dataset, by, ("random", "time", "order"), rng))
    held_share = ratios[1] + ratios[2]
    # The 1e-9 keeps 0.1 + 0.1 of 10 at two; an odd one goes to validation, as MICRO released it.
    held = np.where(counts < 10, 2, np.maximum(2, np.floor(counts * held_share + 1e-9).astype(np.int64)))
    held = np.where(counts < _FEWEST, 0, np.minimum(held, counts - 1))
    test = np.floor(held * ratios[2] / held_share + 1e-9).astype(np.int64)
    test = np.where(held > 0, np.clip(test, 1, held - 1), 0)
    return np.where(from_end < test, _TEST, np.where(from_end < held, _VALID, _TRAIN))


def _leave_one_out(dataset: MultimodalDataset, by: str) -> np.ndarray:
    from_end, counts = _places(dataset, _order(dataset, by, ("time", "order")))
    part = np.where(from_end == 0, _TEST, np.where(from_end == 1, _VALID, _TRAIN))
    return np.where(counts < _FEWEST, _TRAIN, part)


def _kfold(dataset: MultimodalDataset, rng: np.random.Generator, fold: int, folds: int) -> np.ndarray:
    if folds < 3:
        raise DataError(
            f"split: folds={folds} is too few: test, validation and training need one each, so take 3 or more."
        )
    if not 0 <= fold < folds:
        raise DataError(f"split: there is no fold {fold}; with folds={folds} they are numbered 0..{folds - 1}.")
    place, counts = _places(dataset, _random_order(dataset, rng))
    # Every user starts at a fold of its own, or the last folds would lack the users with few interactions.
    start = rng.integers(folds, size=dataset.n_users)[dataset.interactions["user"].to_numpy()]
    dealt = (place + start) % folds
    part = np.where(dealt == fold, _TEST, np.where(dealt == (fold + 1) % folds, _VALID, _TRAIN))
    return np.where(counts < _FEWEST, _TRAIN, part)


def _cold_items(dataset: MultimodalDataset, rng: np.random.Generator, cold: float) -> tuple[np.ndarray, dict]:
    if not 0 < cold < 1:
        raise DataError(f"split: cold={cold} must be a share between 0 and 1, as in 0.2.")
    items = dataset.interactions["item"].to_numpy()
    taken = np.unique(items)
    chosen = rng.permutation(taken)[: round(cold * len(taken))]
    valid, test = np.sort(chosen[: len(chosen) // 2]), np.sort(chosen[len(chosen) // 2 :])
    part_of = np.full(dataset.n_items, _TRAIN)
    part_of[valid], part_of[test] = _VALID, _TEST
    return part_of[items], {"valid": frozen(valid.astype(np.int64)), "test": frozen(test.astype(np.int64))}


def _given(dataset: MultimodalDataset) -> np.ndarray:
    if "split" not in dataset.interactions:
        raise DataError(
            f"split: data set {dataset.name!r} brings no split of its own (interactions has no column "
            f"`split`). Name the column when reading (split='...'), or take another protocol: "
            f"{listing(PROTOCOLS[:-1])}."
        )
    numbers = {part: number for number, part in enumerate(PARTS)}
    return dataset.interactions["split"].map(numbers).to_numpy()


def _order(
    dataset: MultimodalDataset, by: str, known: tuple[str, ...], rng: np.random.Generator | None = None
) -> np.ndarray:
    """All rows, user by user, within a user from first to last."""
    if by not in known:
        raise DataError(f"split: unknown by={by!r}; this protocol knows: {listing(known)}.")
    if by == "random":
        return _random_order(dataset, rng)
    if by == "time" and "timestamp" not in dataset.interactions:
        raise DataError(
            f"split: data set {dataset.name!r} has no time stamps (no `timestamp` column in interactions). "
            f"Pass by='order' if its rows stand in time order, or read the data with timestamp='...'."
        )
    rows = np.arange(len(dataset))
    return _time_order(dataset, rows) if by == "time" else _by_user(dataset, rows)


def _by_user(dataset: MultimodalDataset, rows: np.ndarray) -> np.ndarray:
    return np.argsort(dataset.interactions["user"].to_numpy()[rows], kind="stable")


def _time_order(dataset: MultimodalDataset, rows: np.ndarray) -> np.ndarray:
    """Positions in `rows`, user by user and by time; ties, and all without time stamps, by row."""
    if "timestamp" not in dataset.interactions:
        return _by_user(dataset, rows)
    table = dataset.interactions
    return np.lexsort((table["timestamp"].to_numpy()[rows], table["user"].to_numpy()[rows]))


def _random_order(dataset: MultimodalDataset, rng: np.random.Generator) -> np.ndarray:
    """User by user in random order, drawn in (user, item) order so that the order of rows does not matter."""
    users, items = (dataset.interactions[key].to_numpy() for key in ("user", "item"))
    keys = np.empty(len(dataset))
    keys[np.lexsort((items, users))] = rng.random(len(dataset))
    return np.lexsort((keys, users))


def _places(dataset: MultimodalDataset, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row: how many of its user's rows come after it in `order`, and how many the user has."""
    users = dataset.interactions["user"].to_numpy()
    counts = np.bincount(users, minlength=dataset.n_users)
    ends = np.cumsum(counts)
    from_end = np.empty(len(users), dtype=np.int64)
    from_end[order] = ends[users[order]] - 1 - np.arange(len(users))
    return from_end, counts[users]


def _remedy(protocol: str) -> str:
    return {
        "given": "Correct the `split` column, or take protocol 'ratio', which holds out every part itself.",
        "cold-items": "Raise cold, or take more items.",
        "kfold": f"No user has enough interactions for this fold: lower folds (it takes {_FEWEST} at least).",
    }.get(protocol, f"No user has {_FEWEST} interactions, the fewest to share out; take more data.")
