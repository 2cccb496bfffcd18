"""MMRec's format: a tab-separated `.inter` with a split label, and one npy file a modality."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ..dataset import MultimodalDataset
from ..errors import DataError, first
from .logs import Filters, Log, Parts, finish
from .matrices import Matrix, mark_missing, read_matrix
from .tables import require_column

LABELS = {0: "train", 1: "valid", 2: "test"}


def read_mmrec(
    interactions: str | Path,
    features: Mapping[str, Matrix] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    missing: str | Mapping[str, str] | None = None,
    filters: Filters = Filters(0, 0),  # noqa: B008  (frozen)
    name: str | None = None,
) -> MultimodalDataset:
    """Read `name.inter` and features by modality (row i describes itemID i), with MMRec's own split.

    `columns` names other columns than userID, itemID, rating, timestamp and x_label (0 train, 1 valid, 2 test), by our
    names user, item, rating, timestamp, split. Items that nobody took are kept where features describe them.
    Raises `DataError` for unknown labels and for features with fewer rows than there are items.
    """
    path = Path(interactions)
    if not path.is_file():
        raise DataError(f"mmrec: there is no file {path}.")
    table = pd.read_csv(path, sep="\t")
    usual = {"user": "userID", "item": "itemID", "rating": "rating", "timestamp": "timestamp", "split": "x_label"}
    named = {key: (columns or {}).get(key, column) for key, column in usual.items()}
    for key in ("user", "item"):
        require_column(table, path.name, named[key], key)
    log = Log(path.name)
    optional = {key: named[key] in table for key in ("rating", "timestamp", "split")}
    parts = _labels(table[named["split"]], path.name) if optional["split"] else None
    for place, row in enumerate(zip(table[named["user"]], table[named["item"]], strict=True)):
        log.add(
            str(row[0]),
            str(row[1]),
            place,
            int(table[named["timestamp"]].iat[place]) if optional["timestamp"] else None,
            float(table[named["rating"]].iat[place]) if optional["rating"] else None,
            parts[place] if parts is not None else "",
        )
    log.closed().filter(filters)
    matrices = {modality: read_matrix(source, modality) for modality, source in (features or {}).items()}
    items = table[named["item"]]
    vectors, notes = _vectors(matrices, missing, int(items.max()) if matrices else 0, items.dtype)
    log.notes += notes
    files = {"inter": path, **{key: Path(m) for key, m in (features or {}).items() if isinstance(m, str | Path)}}
    rows = min((len(matrix) for matrix, _ in matrices.values()), default=0)
    untaken = [str(n) for n in range(rows) if str(n) not in log.item_ids]
    if untaken:
        log.notes.append(f"{len(untaken)} items with a row of features were never taken")
    return finish(log, Parts(features=vectors, files=files, more_items=untaken), reader="mmrec", name=name or path.stem)


def _labels(values: pd.Series, what: str) -> list[str]:
    unknown = sorted(set(values) - set(LABELS))
    if unknown:
        raise DataError(f"{what}: x_label {first(unknown)} is none of 0 (train), 1 (valid), 2 (test).")
    return [LABELS[value] for value in values]


def _vectors(
    matrices: dict[str, tuple[np.ndarray, str]], missing: str | Mapping[str, str] | None, most: int, kind: np.dtype
) -> tuple[dict[str, tuple[list[str], np.ndarray]], list[str]]:
    """Features with the ids of the items that have them."""
    if matrices and kind.kind not in "iu":
        raise DataError("mmrec: itemID must be whole numbers: row i of the features describes item i.")
    for matrix, what in matrices.values():
        if len(matrix) <= most:
            raise DataError(f"{what} has {len(matrix)} rows, but there is an item {most}; row i describes item i.")
    filled, present, notes = mark_missing(matrices, missing)
    out = {m: ([str(n) for n in np.flatnonzero(present[m])], filled[m][present[m]]) for m in matrices}
    return out, notes
