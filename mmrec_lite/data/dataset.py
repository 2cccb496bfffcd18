"""The one thing that is passed around: users, items, interactions and what is known of the items."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from . import checks, storage
from .errors import DataError, first, listing
from .times import describe_time
from .vectors import IndexedVectors

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["DataError", "IndexedVectors", "MultimodalDataset"]

_PIECE = 2**11  # strings hashed at a time
_SEARCHED = 100_000  # ids among which one is sought that is written nearly the same


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MultimodalDataset:
    """Who took what, and what is known of the items; checked when made, not changed afterwards.

    Shapes, with U users, I items, R interactions:
        users         row u is user u; column `user_id` (the original id, a string).
        items         row i is item i; `item_id`; optionally `title`, `text`, `image` (a path below
                      `image_root`, empty or missing for none) and any other plain column.
        interactions  `user`, `item` (row numbers); optionally `timestamp` (whole seconds), `rating`,
                      `review`, `split` ("train", "valid" or "test"). No (user, item) pair twice.
        features      modality name -> (I, d) float16 or float32, read-only; wider numbers become float32.
        present       modality name -> (I,) bool, False where an item lacks the modality and its row is zero.
        sequences     name -> `IndexedVectors` over items or interactions: "sentences", "keywords", "reviews".
        texts         the wording behind `sequences[name].vectors`, one string a vector.
        truth         planted truth "user_*" (U, ...) or "item_*" (I, ...); empty for real data.
        card          where the data come from and what was done to them; plain JSON.
        image_root    folder or zip archive with the pictures, or None.
    Raises `DataError`, which names table, row and remedy. `replace` gives a changed copy.
    """

    name: str
    users: pd.DataFrame
    items: pd.DataFrame
    interactions: pd.DataFrame
    features: dict[str, np.ndarray] = field(default_factory=dict)
    present: dict[str, np.ndarray] = field(default_factory=dict)
    sequences: dict[str, IndexedVectors] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    truth: dict[str, np.ndarray] = field(default_factory=dict)
    card: dict = field(default_factory=dict)
    image_root: Path | None = None

    def __post_init__(self) -> None:
        checks.check_name(self.name, "data set")
        users = checks.clean_entities(self.users, "users", "user_id")
        items = checks.clean_entities(self.items, "items", "item_id")
        features = checks.clean_features(self.features, len(items))
        cleaned = {
            "users": users,
            "items": items,
            "interactions": checks.clean_interactions(self.interactions, len(users), len(items)),
            "features": features,
            "present": checks.clean_present(self.present, features, len(items)),
            "truth": checks.clean_truth(self.truth, len(users), len(items)),
            "card": checks.clean_card(self.card),
            "image_root": None if self.image_root is None else Path(self.image_root).absolute(),
            "sequences": dict(self.sequences),
            "texts": {name: list(words) for name, words in self.texts.items()},
        }
        for attribute, value in cleaned.items():
            object.__setattr__(self, attribute, value)
        self._check_sequences()

    def _check_sequences(self) -> None:
        for name, vectors in self.sequences.items():
            checks.check_name(name, "sequence")
            if not isinstance(vectors, IndexedVectors):
                raise DataError(f"sequences[{name!r}]: expected IndexedVectors, got {type(vectors).__name__}.")
            size = self.n_items if vectors.rows == "items" else len(self)
            if len(vectors) != size:
                raise DataError(
                    f"sequences[{name!r}] has {len(vectors)} rows, but there are {size} {vectors.rows}: "
                    f"write one row for each, all -1 where there is nothing."
                )
        for name, words in self.texts.items():
            if name not in self.sequences:
                raise DataError(f"texts: unknown sequence {name!r}; there are: {listing(self.sequences)}.")
            size = len(self.sequences[name].vectors)
            if len(words) != size or not all(isinstance(word, str) for word in words):
                raise DataError(f"texts[{name!r}]: expected {size} strings, one a vector; got {len(words)} values.")

    def __len__(self) -> int:
        """The number of interactions."""
        return len(self.interactions)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{name} {vectors.shape[1]}-d" for name, vectors in self.features.items())
        counts = f"{self.n_users:,} users, {self.n_items:,} items, {len(self):,} interactions"
        return f"MultimodalDataset({self.name!r}: {counts}; {kinds or 'no features'})"

    @property
    def n_users(self) -> int:
        """The number of users."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """The number of items, those that nobody took included."""
        return len(self.items)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The names of the features, in the order they were given."""
        return tuple(self.features)

    @property
    def density(self) -> float:
        """The share of all (user, item) pairs that are interactions."""
        return len(self) / (self.n_users * self.n_items)

    def check_modalities(self, names: str | Iterable[str]) -> tuple[str, ...]:
        """Return `names` as a tuple, or raise `DataError` if the data set lacks one of them or one is there twice."""
        names = (names,) if isinstance(names, str) else tuple(names)
        unknown = [name for name in names if name not in self.features]
        if unknown:
            raise DataError(
                f"data set {self.name!r}: unknown modality {first(unknown)}; it has: {listing(self.modalities)}."
            )
        if len(set(names)) < len(names):  # it would count twice
            raise DataError(f"modalities {', '.join(names)}: name each of them once.")
        return names

    def rows(self, side: str, ids: str | Iterable[str]) -> np.ndarray:
        """Return the rows (n,) of "user"s or "item"s by their own ids; `DataError` for one that there is not."""
        if side not in ("user", "item"):
            raise DataError(f"data set {self.name!r}: rows of {side!r}, but they are of 'user' or of 'item'.")
        ids = [ids] if isinstance(ids, str) or not isinstance(ids, Iterable) else ids
        ids = [str(name) for name in ids]
        known = getattr(self, f"{side}s")[f"{side}_id"]
        rows = pd.Index(known.astype(str)).get_indexer(ids)
        if (rows < 0).any():
            unknown = ids[int(np.argmin(rows))]
            near = difflib.get_close_matches(unknown, known.astype(str), 1) if len(known) <= _SEARCHED else []
            hint = f"did you mean {near[0]!r}?" if near else f"they look like {known.iloc[0]!r}."
            raise DataError(f"data set {self.name!r}: no {side} has the id {unknown!r}; {hint}")
        return rows

    def dense(self, modality: str) -> np.ndarray:
        """A modality's features as a fresh, writable (I, d) float32 array."""
        self.check_modalities(modality)
        return self.features[modality].astype(np.float32)

    def summary(self) -> pd.Series:
        """Counts, density and one line a modality, for a notebook's first look."""
        by_user, by_item = (self.interactions[key].value_counts() for key in ("user", "item"))
        rows = {
            "users": self.n_users,
            "items": self.n_items,
            "interactions": len(self),
            "density": f"{self.density:.4%}",
            "interactions a user (median)": float(by_user.median()),
            "interactions an item (median)": float(by_item.median()),
            "items nobody took": self.n_items - len(by_item),
        }
        for name, vectors in self.features.items():
            share = self.present[name].mean()
            rows[f"feature {name}"] = f"{vectors.shape[1]}-d {vectors.dtype}, present for {share:.1%} of the items"
        for name, vectors in self.sequences.items():
            rows[f"sequence {name}"] = f"{len(vectors.vectors):,} vectors, up to {vectors.index.shape[1]} per row"
        if "timestamp" in self.interactions:
            rows["time"] = describe_time(self.interactions["timestamp"])
        return pd.Series(rows, name=self.name, dtype=object)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over tables, features, sequences and truth; name, card and the pictures' bytes stay out."""
        digest = hashlib.sha256()
        for table in ("users", "items", "interactions"):
            frame: pd.DataFrame = getattr(self, table)
            for column in sorted(frame.columns):
                _feed_column(digest, f"{table}.{column}", frame[column])
        arrays = {f"features.{name}": values for name, values in self.features.items()}
        arrays |= {f"present.{name}": values for name, values in self.present.items()}
        arrays |= {f"truth.{name}": values for name, values in self.truth.items()}
        for name, vectors in self.sequences.items():
            arrays |= {f"vectors.{name}": vectors.vectors, f"index.{name}.{vectors.rows}": vectors.index}
        for key in sorted(arrays):
            _feed_array(digest, key, arrays[key])
        digest.update(json.dumps(self.texts, sort_keys=True).encode())
        return digest.hexdigest()

    @cached_property
    def interactions_hash(self) -> str:
        """SHA-256 over who took what, row by row, by their original ids; the same whatever features stand beside it."""
        digest = hashlib.sha256()
        for table, side in (("users", "user"), ("items", "item")):
            _feed_column(digest, side, getattr(self, table)[f"{side}_id"])
            _feed_column(digest, f"interactions.{side}", self.interactions[side])
        return digest.hexdigest()

    def image(self, item: int) -> Image.Image | None:
        """The picture of an item, or None where it has none; `DataError` where its file is not found."""
        if not 0 <= item < self.n_items:
            raise DataError(f"image: there is no item {item}; items are numbered 0..{self.n_items - 1}.")
        path = self.items["image"].iloc[item] if "image" in self.items else ""
        if self.image_root is None or pd.isna(path) or not path:
            return None
        return storage.open_image(self.image_root, path, item)

    def replace(self, **changes: object) -> MultimodalDataset:
        """A copy with other fields, checked again; `present` is kept for the modalities that remain."""
        if "features" in changes and "present" not in changes:
            changes["present"] = {name: mask for name, mask in self.present.items() if name in changes["features"]}
        return dataclasses.replace(self, **changes)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write everything, pictures included, to one folder of Parquet, npy and JSON; return the folder.

        Refuses a folder that holds anything, unless `overwrite` is set and it holds a saved data set.
        """
        return storage.save(self, Path(folder), overwrite=overwrite)

    @classmethod
    def load(cls, folder: str | Path) -> MultimodalDataset:
        """Read a folder that `save` wrote; refuses another version and files that changed since."""
        return cls(**storage.read(Path(folder)))


def _feed_array(digest: hashlib._Hash, key: str, values: np.ndarray) -> None:
    digest.update(f"{key}|{values.dtype.str}|{values.shape}|".encode())
    digest.update(np.ascontiguousarray(values).data)


def _feed_column(digest: hashlib._Hash, key: str, values: pd.Series) -> None:
    """Hash values, not storage: a column reads back from disk with the same hash."""
    if values.dtype.kind in "biuf":
        wide = {"b": "u1", "i": "<i8", "u": "<u8", "f": "<f8"}[values.dtype.kind]
        _feed_array(digest, key, values.to_numpy().astype(wide))
    else:
        digest.update(f"{key}|[".encode())
        for begin in range(0, len(values), _PIECE):  # the JSON list of all, not held as a whole
            piece = values.iloc[begin : begin + _PIECE]
            words = piece.astype(object).where(piece.notna(), None).tolist()
            digest.update(b", " if begin else b"")
            digest.update(memoryview(json.dumps(words).encode())[1:-1])
        digest.update(b"]|")
