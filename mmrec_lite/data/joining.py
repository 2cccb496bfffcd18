"""Several catalogues as one, a larger corpus to pre-train on; and a part of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .dataset import MultimodalDataset
from .errors import DataError, listing
from .vectors import IndexedVectors

__all__ = ["join", "part_of"]


def join(datasets: Sequence[MultimodalDataset], name: str = "joined") -> MultimodalDataset:
    """Put data sets side by side: no user or item in common, whatever their ids.

    Kept is what all have: the features and item sequences of the same names, the columns `timestamp` and `split`.
    An id becomes "name:id". Splitting the result holds out what splitting each alone would (by time and leave-one-out).
    Raises `DataError` for fewer than two data sets, two of one name, and vectors of different widths.

    Source: MP4SR 4.7, pre-training with larger data sets.
    """
    names = [data.name for data in datasets]
    if len(names) < 2 or len(set(names)) < len(names):
        raise DataError(f"join: takes two or more data sets of different names, got {listing(names) or 'none'}.")
    first_user, first_item = (np.cumsum([0, *(getattr(data, n) for data in datasets)]) for n in ("n_users", "n_items"))
    columns = ["user", "item", *(c for c in ("timestamp", "split") if all(c in d.interactions for d in datasets))]
    tables = [
        data.interactions[columns].assign(
            user=data.interactions["user"] + first_user[n], item=data.interactions["item"] + first_item[n]
        )
        for n, data in enumerate(datasets)
    ]
    features = _common([data.features for data in datasets])
    for key in features:
        _same_width(f"features[{key!r}]", [data.features[key] for data in datasets], names)
    return MultimodalDataset(
        name=name,
        users=pd.DataFrame({"user_id": [f"{d.name}:{u}" for d in datasets for u in d.users["user_id"]]}),
        items=pd.DataFrame({"item_id": [f"{d.name}:{i}" for d in datasets for i in d.items["item_id"]]}),
        interactions=pd.concat(tables, ignore_index=True),
        features={key: np.concatenate([data.features[key] for data in datasets]) for key in features},
        present={key: np.concatenate([data.present[key] for data in datasets]) for key in features},
        sequences={
            key: _stack([data.sequences[key] for data in datasets], f"sequences[{key!r}]", names)
            for key in _common([data.sequences for data in datasets])
            if all(data.sequences[key].rows == "items" for data in datasets)
        },
        card={"joined": names},
    )


def part_of(data: MultimodalDataset, items: np.ndarray, least: int = 1, name: str | None = None) -> MultimodalDataset:
    """Return the shop that sells some of the items alone, to the users who took at least `least` of them.

    `items` is a mask (I,) bool or row numbers. Rows keep their order and ids; features, sequences, their wording and a
    planted truth go with them. Pictures stay where they are. Raises `DataError` where nobody took that many.
    """
    chosen = np.zeros(data.n_items, dtype=bool)
    try:
        chosen[items] = True
    except IndexError as error:
        raise DataError(f"part_of: items is a mask of {data.n_items} or rows 0..{data.n_items - 1}: {error}.") from None
    user, item = (data.interactions[column].to_numpy() for column in ("user", "item"))
    kept = chosen[item]
    users = np.bincount(user[kept], minlength=data.n_users) >= max(least, 1)
    kept &= users[user]
    if not kept.any():
        raise DataError(f"part_of: no user took {least} or more of the {int(chosen.sum())} items; name more of them.")
    user_place, item_place = users.cumsum() - 1, chosen.cumsum() - 1
    of = {"items": chosen, "interactions": kept}
    return data.replace(
        name=name or f"{data.name}-part",
        users=data.users[users].reset_index(drop=True),
        items=data.items[chosen].reset_index(drop=True),
        interactions=data.interactions[kept]
        .assign(user=user_place[user[kept]], item=item_place[item[kept]])
        .reset_index(drop=True),
        truth={key: rows[users if key.startswith("user_") else chosen] for key, rows in data.truth.items()},
        features={key: matrix[chosen] for key, matrix in data.features.items()},
        present={key: mask[chosen] for key, mask in data.present.items()},
        sequences={
            key: IndexedVectors(part.vectors, part.index[of[part.rows]], part.rows)
            for key, part in data.sequences.items()
        },
    )


def _common(parts: Sequence[dict]) -> list[str]:
    return [key for key in parts[0] if all(key in part for part in parts)]


def _same_width(what: str, arrays: Sequence[np.ndarray], names: Sequence[str]) -> None:
    if len({array.shape[1] for array in arrays}) > 1:
        widths = ", ".join(f"{name} {array.shape[1]}" for name, array in zip(names, arrays, strict=True))
        raise DataError(f"join: {what} differ in width ({widths}); make them with one encoder, or leave them out.")


def _stack(parts: Sequence[IndexedVectors], what: str, names: Sequence[str]) -> IndexedVectors:
    _same_width(what, [part.vectors for part in parts], names)
    starts = np.cumsum([0, *(len(part.vectors) for part in parts)])
    most = max(part.index.shape[1] for part in parts)
    index = [
        np.pad(
            np.where(part.index >= 0, part.index + start, -1),
            ((0, 0), (0, most - part.index.shape[1])),
            constant_values=-1,
        )
        for part, start in zip(parts, starts[:-1], strict=True)
    ]
    return IndexedVectors(np.concatenate([part.vectors for part in parts]), np.concatenate(index))
