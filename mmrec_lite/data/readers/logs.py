"""What the readers of public sources share: a log in columns, counted filters, and the data set they end in."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ..checks import check_name
from ..dataset import MultimodalDataset
from ..errors import DataError
from ..storage import file_hash
from ..times import LATEST_DATE
from .tables import natural_order

__all__ = ["FIRST", "Filters", "Log", "core_step", "counted", "finish", "k_core", "refuse_foreign", "usable_name"]


_MOST = float(np.finfo(np.float32).max)  # what a rating is kept in
FIRST = "a pair's first row alone"  # the step that drops repeated pairs, on a card


@dataclass(frozen=True)
class Filters:
    """Which interactions stay: ratings of at least `min_rating`, users and items with enough of them (k-core)."""

    min_user: int = 5
    min_item: int = 5
    min_rating: float | None = None


class Log:
    """Interactions as they come, 28 bytes each: ids numbered, `per_second` times a second, place in the source.

    `add` takes them one by one from a stream; `closed` makes them arrays. Every filter notes in `counts` what it left.
    """

    def __init__(self, source: str, per_second: int = 1) -> None:
        self.source = source
        self.per_second = per_second
        self._untimely = 0
        self.user_ids: dict[str, int] = {}
        self.item_ids: dict[str, int] = {}
        self.counts: list[dict] = []
        self.notes: list[str] = []
        self._columns = {"user": array("i"), "item": array("i"), "time": array("q"), "rating": array("f")}
        self._places = array("q")
        self._parts: list[str] = []
        self.rows: dict[str, np.ndarray] = {}

    def add(
        self, user: str, item: str, place: int, time: int | None = None, rating: float | None = None, part: str = ""
    ) -> None:
        """Append one interaction; `place` is its line in the source, `part` its split if there is one.

        Raises ``ValueError``, and appends nothing, for an id that cannot be written, a time before 1970 or after 2099,
        which was counted in another unit, and a rating that is not finite.
        """
        user.encode(), item.encode()  # half a surrogate pair, which JSON can spell, can be written nowhere
        if time is not None and not 0 <= time < LATEST_DATE * self.per_second:
            self._untimely += 1
            raise ValueError(f"time {time}")
        if rating is not None and not abs(rating) <= _MOST:
            raise ValueError(f"rating {rating}")
        columns = self._columns
        columns["user"].append(self.user_ids.setdefault(user, len(self.user_ids)))
        columns["item"].append(self.item_ids.setdefault(item, len(self.item_ids)))
        self._places.append(place)
        if time is not None:
            columns["time"].append(time)
        if rating is not None:
            columns["rating"].append(rating)
        if part:
            self._parts.append(part)

    def closed(self) -> Log:
        """Turn the columns into arrays, all or none of whose rows have a time, a rating and a part."""
        n = len(self._places)
        unit = {1: "seconds", 1000: "milliseconds"}.get(self.per_second, f"1/{self.per_second} s")
        if self._untimely:
            self.notes.append(f"{self.source}: {self._untimely} times, as {unit}, do not lie between 1970 and 2099")
        if not n:
            raise DataError(". ".join([f"{self.source}: not one interaction could be read", *self.notes, ""]).strip())
        for name, column in self._columns.items():
            if len(column) not in (0, n):
                raise DataError(f"{self.source}: {len(column)} of {n} interactions have a {name}; all or none must.")
            if len(column):
                self.rows[name] = np.frombuffer(column, dtype=column.typecode)
        self.rows["place"] = np.frombuffer(self._places, dtype=np.int64)
        if len(self._parts) not in (0, n):
            raise DataError(f"{self.source}: {len(self._parts)} of {n} interactions have a part; all or none must.")
        if self._parts:
            self.rows["part"] = np.array(self._parts)
        self._columns, self._places, self._parts = {}, array("q"), []
        self._count("read")
        return self

    @property
    def pending(self) -> int:
        """How many rows were added so far."""
        return len(self._places)

    def __len__(self) -> int:
        return len(self.rows["user"])

    def keep(self, mask: np.ndarray, step: str) -> None:
        """Keep the rows of a (R,) bool mask and note the counts under the name of the step."""
        if not mask.any():
            raise DataError(f"{self.source}: nothing is left after: {step}. Ask for less.")
        self.rows = {name: values[mask] for name, values in self.rows.items()}
        self._count(step)

    def filter(self, filters: Filters) -> None:
        """Ratings, repeated pairs (the first row stays), then the k-core to its fixed point.

        Times finer than seconds order the rows, since whole seconds will not hold their order.
        """
        if filters.min_rating is not None:
            if "rating" not in self.rows:
                raise DataError(f"{self.source}: min_rating was given, but there are no ratings.")
            self.keep(self.rows["rating"] >= filters.min_rating, f"rating of at least {filters.min_rating:g}")
        pairs = self.rows["user"].astype(np.int64) * len(self.item_ids) + self.rows["item"]
        first = np.zeros(len(self), dtype=bool)
        first[np.unique(pairs, return_index=True)[1]] = True
        self.keep(first, FIRST)
        if filters.min_user > 1 or filters.min_item > 1:
            kept, rounds = k_core(self.rows["user"], self.rows["item"], filters.min_user, filters.min_item)
            self.keep(kept, core_step(filters.min_user, filters.min_item, rounds))
        if self.per_second > 1:
            order = np.argsort(self.rows["time"], kind="stable")
            self.rows = {name: values[order] for name, values in self.rows.items()}

    def items(self) -> list[str]:
        """The ids of the items that are left, in natural order."""
        ids = list(self.item_ids)
        return natural_order(pd.Series([ids[n] for n in np.unique(self.rows["item"])], dtype=object))

    def _count(self, step: str) -> None:
        self.counts.append(counted(step, self.rows["user"], self.rows["item"]))


def counted(step: str, users: np.ndarray, items: np.ndarray) -> dict:
    """A line of the card's `counts`: what a step has left, of the (R,) users and items of the rows."""
    return {"after": step, "interactions": len(users), "users": len(np.unique(users)), "items": len(np.unique(items))}


def core_step(min_user: int, min_item: int, rounds: int) -> str:
    """What the k-core's step is called on a card."""
    return f"users with {min_user}, items with {min_item} or more (fixed after {rounds} rounds)"


def k_core(users: np.ndarray, items: np.ndarray, min_user: int, min_item: int) -> tuple[np.ndarray, int]:
    """The largest set of rows in which every user and item has enough of them: (R,) bool, and the rounds it took."""
    kept, rounds = np.arange(len(users)), 0
    while len(kept):
        rounds += 1
        enough = np.bincount(users[kept])[users[kept]] >= min_user
        enough &= np.bincount(items[kept])[items[kept]] >= min_item
        if enough.all():
            break
        kept = kept[enough]
    mask = np.zeros(len(users), dtype=bool)
    mask[kept] = True
    return mask, rounds


@dataclass
class Parts:
    """What a reader knows beside the log."""

    items: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # id -> its columns
    features: dict[str, tuple[list[str], np.ndarray]] = field(default_factory=dict)  # modality -> ids, vectors
    reviews: pa.ChunkedArray | None = None  # what was written, one text a row of the log
    images: Path | None = None  # folder or archive
    files: Mapping[str, Path | None] = field(default_factory=dict)
    more_items: Iterable[str] = ()  # items that nobody took and yet belong to the catalogue


def usable_name(name: str | None, made: str) -> str:
    """The data set's name, or the one made of what is read; what is unusable is refused before hours of reading."""
    return check_name(name, "name") if name else check_name(made, "pass name=..., for")


def refuse_foreign(found: Collection, path: str | Path, items: Collection[str]) -> None:
    """Raise where a file beside the interactions was found to tell of none of the items: it is another one's."""
    if not found:
        raise DataError(
            f"{Path(path).name}: tells of none of the {len(items)} items that are left, such as {min(items)!r}. Is it "
            f"the file of another category or edition? Take the one that goes with the interactions."
        )


def finish(log: Log, parts: Parts, *, reader: str, name: str) -> MultimodalDataset:
    """Number users and items anew, in natural order, and put everything into one data set with its card."""
    ids = natural_order(pd.Series([*log.items(), *parts.more_items], dtype=object))
    place = {item: n for n, item in enumerate(ids)}
    old_users = list(log.user_ids)
    users = natural_order(pd.Series([old_users[n] for n in np.unique(log.rows["user"])], dtype=object))
    # Of all ids that were read, filtered ones included: the new number, or -1.
    new_user = pd.Index(users, dtype=object).get_indexer(old_users)
    new_item = pd.Index(ids, dtype=object).get_indexer(list(log.item_ids))
    table = pd.DataFrame({"user": new_user[log.rows["user"]], "item": new_item[log.rows["item"]]})
    if "time" in log.rows:
        table["timestamp"] = log.rows["time"] // log.per_second
    if "rating" in log.rows:
        table["rating"] = log.rows["rating"]
    if "part" in log.rows:
        table["split"] = log.rows["part"]
    if parts.reviews is not None:
        table["review"] = parts.reviews.to_pandas()
    features, present = _aligned(parts.features, place)
    described = sum(item in parts.items for item in ids)
    if parts.items and described < len(ids):
        log.notes.append(f"{described} of {len(ids)} items are described")
    card = {
        "reader": reader,
        "files": {
            key: {"name": Path(path).name, "sha256": file_hash(Path(path))}
            for key, path in parts.files.items()
            if path is not None and Path(path).is_file()
        },
        "counts": log.counts,
        "notes": log.notes,
    }
    return MultimodalDataset(
        name=name,
        users=pd.DataFrame({"user_id": users}),
        items=_item_table(ids, parts.items),
        interactions=table,
        features=features,
        present=present,
        card=card,
        image_root=parts.images,
    )


def _aligned(
    features: dict[str, tuple[list[str], np.ndarray]], place: dict[str, int]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Vectors that come with their ids as matrices in the items' order; an item without one lacks the modality."""
    vectors, present = {}, {}
    for modality, (ids, matrix) in features.items():
        rows = np.array([place.get(item, -1) for item in ids], dtype=np.int64)
        out = np.zeros((len(place), matrix.shape[1]), dtype=np.float16 if matrix.dtype == np.float16 else np.float32)
        there = np.zeros(len(place), dtype=bool)
        out[rows[rows >= 0]] = matrix[rows >= 0]
        there[rows[rows >= 0]] = True
        vectors[modality], present[modality] = out, there
    return vectors, present


def _item_table(ids: list[str], described: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    """One row an item; a column that only some items have is empty for the others."""
    columns = list(dict.fromkeys(key for item in ids for key in described.get(item, ())))
    table: dict[str, Iterable] = {"item_id": ids}
    for column in columns:
        values = [described.get(item, {}).get(column) for item in ids]
        numeric = all(value is None or isinstance(value, int | float) for value in values)
        table[column] = (
            np.array([np.nan if v is None else float(v) for v in values]) if numeric else [v or "" for v in values]
        )
    return pd.DataFrame(table)
