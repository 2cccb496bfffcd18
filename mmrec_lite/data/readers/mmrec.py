"""MMRec's format: a tab-separated `.inter` with a split label, and one npy file a modality."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ..dataset import MultimodalDataset
from ..errors import DataError
from .logs import Filters, Log, Parts, finish, usable_name
from .matrices import Matrix, mark_missing, read_matrix
from .tables import ids_as_text, number_column, readable, require_column, whole_column
from .timestamps import log_times, times_note

LABELS = {0: "train", 1: "valid", 2: "test"}


def read_mmrec(
    interactions: str | Path,
    features: Mapping[str, Matrix] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    missing: str | Mapping[str, str] | None = None,
    filters: Filters = Filters(0, 0),  # noqa: B008  (frozen)
    name: str | None = None,
) -> MultimodalDataset:
    """Read `name.inter` and features by modality (row i describes itemID i), with MMRec's own split.

    `columns` names other columns than userID, itemID, rating, timestamp and x_label (0 train, 1 valid, 2 test), by our
    names user, item, rating, timestamp, split. Times count in `time_unit` (s, ms, us, ns; told by their size if None);
    fractions order the rows. Items that nobody took are kept where features describe them.
    Raises `DataError` for unknown labels and for features with fewer rows than there are items.
    """
    path = Path(interactions)
    name = usable_name(name, made_name(path))
    if not path.is_file():
        raise DataError(f"mmrec: there is no file {path}.")
    usual = {"user": "userID", "item": "itemID", "rating": "rating", "timestamp": "timestamp", "split": "x_label"}
    named = {key: (columns or {}).get(key, column) for key, column in usual.items()}
    with readable(path):
        kinds = {named["user"]: str, named["item"]: str}
        table = pd.read_csv(path, sep="\t", dtype=kinds, quoting=3, index_col=False, low_memory=False)
    for key in ("user", "item"):
        remedy = f"Rename the right one in the file, or name it in Python: read_mmrec(..., columns={{{key!r}: ...}})."
        require_column(table, path.name, named[key], remedy)
    users, items = (_ids(table[named[key]], path.name) for key in ("user", "item"))
    optional = {key: named[key] in table for key in ("rating", "timestamp", "split")}
    parts = _labels(table[named["split"]], path.name) if optional["split"] else None
    nothing = [None] * len(table)
    times, per_second = nothing, 1
    if optional["timestamp"]:
        times, per_second = log_times(table[named["timestamp"]], path.name, time_unit)
    ratings = number_column(table[named["rating"]], path.name) if optional["rating"] else nothing
    log = Log(path.name, per_second)
    log.notes += times_note(per_second)
    for place, (user, item, time, rating) in enumerate(zip(users, items, times, ratings, strict=True)):
        log.add(user, item, place, time, rating, parts[place] if parts is not None else "")
    log.closed().filter(filters)
    matrices = {modality: read_matrix(source, modality) for modality, source in (features or {}).items()}
    numbers = whole_column(pd.Series(items, name=named["item"]), path.name) if matrices else []
    vectors, notes = _vectors(matrices, missing, numbers, path.name)
    log.notes += notes
    files = {"inter": path, **{key: Path(m) for key, m in (features or {}).items() if isinstance(m, str | Path)}}
    rows = min((len(matrix) for matrix, _ in matrices.values()), default=0)
    untaken = [str(n) for n in range(rows) if str(n) not in log.item_ids]
    if untaken:
        log.notes.append(f"{len(untaken)} items with a row of features were never taken")
    return finish(log, Parts(features=vectors, files=files, more_items=untaken), reader="mmrec", name=name)


def made_name(interactions: Path) -> str:
    """What a data set is called after its file: baby.inter.gz is baby."""
    return interactions.name.removesuffix(".gz").removesuffix(".inter")


def _ids(values: pd.Series, what: str) -> list[str]:
    """Ids as text; where all are whole numbers, as MMRec numbers users and items, without leading zeros."""
    ids = ids_as_text(values, what).tolist()
    return [str(int(name)) for name in ids] if all(re.fullmatch("[0-9]{1,18}", name) for name in ids) else ids


def _labels(values: pd.Series, what: str) -> list[str]:
    numbers = whole_column(values, what)
    for row, value in enumerate(numbers):
        if value not in LABELS:
            raise DataError(f"{what}: x_label {value} is none of 0 (train), 1 (valid), 2 (test), in row {row}.")
    return [LABELS[value] for value in numbers]


def _vectors(
    matrices: dict[str, tuple[np.ndarray, str]], missing: str | Mapping[str, str] | None, items: list[int], inter: str
) -> tuple[dict[str, tuple[list[str], np.ndarray]], list[str]]:
    """Features with the ids of the items that have them."""
    most = max(items, default=-1)
    for matrix, what in matrices.values():
        if len(matrix) <= most:
            where = f"(row {items.index(most)} of {inter})"
            raise DataError(
                f"{what} has {len(matrix)} rows, but there is an item {most} {where}; row i describes item i."
            )
    filled, present, notes = mark_missing(matrices, missing)
    out = {m: ([str(n) for n in np.flatnonzero(present[m])], filled[m][present[m]]) for m in matrices}
    return out, notes
