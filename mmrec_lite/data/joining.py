"""Several catalogues as one: a larger corpus to pre-train on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .dataset import MultimodalDataset
from .errors import DataError, listing
from .vectors import IndexedVectors

__all__ = ["join"]


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
