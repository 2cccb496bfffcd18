"""RecBole's atomic files: tab-separated, each column named `field:type`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ..checks import check_name
from ..dataset import MultimodalDataset
from ..errors import DataError, listing
from .logs import Filters, Log, Parts, finish, refuse_foreign
from .matrices import Matrix, mark_missing, read_matrix
from .tables import (
    ids_as_text,
    number_column,
    readable,
    refuse_repeats,
    require_column,
)
from .timestamps import log_times, times_note, told_unit

TYPES = ("token", "token_seq", "float", "float_seq")
BENCHMARK = ("train", "valid", "test")
_REMEDY = "Call the right one so in the file's first line, as in user_id:token."


def read_recbole(
    folder: str | Path,
    name: str | None = None,
    features: Mapping[str, Matrix] | None = None,
    *,
    title: str = "title",
    text: str | Sequence[str] | None = None,
    time_unit: str | None = None,
    missing: str | Mapping[str, str] | None = None,
    filters: Filters = Filters(0, 0),  # noqa: B008  (frozen)
) -> MultimodalDataset:
    """Read `name.inter` (or `name.train.inter`, `.valid.`, `.test.`) and `name.item` from a folder.

    `name` defaults to the folder's. `features` are npy matrices whose row i describes row i of `name.item`. Columns
    user_id, item_id, rating and timestamp are taken, of the items all; `text` joins those of its columns there are, by
    default a column `text`, or else title and description. Times count in `time_unit` (s, ms, us, ns; told by their
    size if None); fractions order the rows. Items of `name.item` that nobody took are kept. Raises `DataError` for a
    column without a type, for an item in two rows, and for files that are not there or tell of other items.
    """
    folder = Path(folder)
    # Its files are called after the data set, so that no other name can be made up for it.
    name = check_name(name or folder.resolve().name, "recbole: rename the files and pass name=..., for")
    single = folder / f"{name}.inter"
    paths = {"": single} if single.is_file() else {part: folder / f"{name}.{part}.inter" for part in BENCHMARK}
    absent = [path.name for path in paths.values() if not path.is_file()]
    if absent:
        raise DataError(f"recbole: {folder} holds neither {single.name} nor {listing(absent)}.")
    log = _log(single.name, paths, time_unit)
    log.closed().filter(filters)
    item_file = folder / f"{name}.item"
    described, order = {}, []
    if item_file.is_file():
        described, order = _items(item_file, title, text)
        kept = log.items()
        refuse_foreign(described.keys() & set(kept), item_file, kept)
    vectors: dict = {}
    if features:
        if not order:
            raise DataError(f"recbole: features need {item_file.name}: row i describes its row i.")
        matrices = {modality: read_matrix(source, modality) for modality, source in features.items()}
        for matrix, what in matrices.values():
            if len(matrix) != len(order):
                raise DataError(f"{what} has {len(matrix)} rows, but {item_file.name} has {len(order)}.")
        filled, present, notes = mark_missing(matrices, missing)
        log.notes += notes
        vectors = {
            m: ([item for item, there in zip(order, present[m], strict=True) if there], filled[m][present[m]])
            for m in matrices
        }
    files = {f"inter {part}".strip(): path for part, path in paths.items()} | {"item": item_file}
    untaken = [item for item in described if item not in log.item_ids]
    if untaken:
        log.notes.append(f"{len(untaken)} items of {item_file.name} were never taken")
    parts = Parts(items=described, features=vectors, files=files, more_items=untaken)
    return finish(log, parts, reader="recbole", name=name)


def read_atomic(path: str | Path) -> pd.DataFrame:
    """An atomic file as a table: tokens and sequences as strings, floats as numbers; the types leave the names."""
    path = Path(path)
    with readable(path), path.open(encoding="utf-8-sig") as file:
        heads = file.readline().rstrip("\n").split("\t")
    fields = [head.rpartition(":") for head in heads]
    wrong = [head for head, (field, _, kind) in zip(heads, fields, strict=True) if not field or kind not in TYPES]
    if wrong:
        raise DataError(f"{path.name}: column {wrong[0]!r} has no type; write field:type with {listing(TYPES)}.")
    names = [field for field, _, _ in fields]
    if len(set(names)) < len(names):
        raise DataError(f"{path.name}: two columns have one name, among {listing(names)}; rename one.")
    with readable(path):
        table = pd.read_csv(
            path, sep="\t", dtype=str, keep_default_na=False, na_values=[""], quoting=3, index_col=False,
            header=None, skiprows=1, names=names,
        )  # fmt: skip
    for field, _, kind in fields:
        if kind == "float":
            table[field] = number_column(table[field], path.name, empty=True)
    return table


def _log(name: str, paths: Mapping[str, Path], time_unit: str | None) -> Log:
    """The interactions of all parts, their times in the finest unit that one of them needs."""
    tables = {part: read_atomic(path) for part, path in paths.items()}
    times: dict[str, tuple[list[int], int]] = {}
    for part, table in tables.items():
        for column in ("user_id", "item_id"):
            require_column(table, paths[part].name, column, _REMEDY)
    timed = {part: table["timestamp"] for part, table in tables.items() if "timestamp" in table}
    unit = told_unit(list(timed.values())) if time_unit is None else time_unit  # one for all parts: they are one log
    for part, values in timed.items():
        times[part] = log_times(values, paths[part].name, unit)
    log = Log(name, max((per_second for _, per_second in times.values()), default=1))
    log.notes += times_note(log.per_second)
    for part, table in tables.items():
        moments, per_second = times.get(part, ([None] * len(table), log.per_second))
        _add(log, table, part, paths[part].name, moments, log.per_second // per_second)
    return log


def _add(log: Log, table: pd.DataFrame, part: str, what: str, moments: Sequence[int | None], finer: int) -> None:
    ratings = number_column(table["rating"], what) if "rating" in table else [None] * len(table)
    ids = (ids_as_text(table[column], what) for column in ("user_id", "item_id"))
    for place, (user, item, time, rating) in enumerate(zip(*ids, moments, ratings, strict=True), log.pending):
        log.add(user, item, place, time if time is None else time * finer, rating, part)


def _items(path: Path, title: str, text: str | Sequence[str] | None) -> tuple[dict[str, dict[str, object]], list[str]]:
    table = read_atomic(path)
    require_column(table, path.name, "item_id", _REMEDY)
    if text is None:
        text = "text" if "text" in table else ("title", "description")
    columns = [text] if isinstance(text, str) else list(text)
    ids = ids_as_text(table["item_id"], path.name)
    refuse_repeats(ids, path.name, "item_id")
    order, out = ids.tolist(), {}
    plain = table.drop(columns="item_id").astype(object).where(table.notna(), None)
    rows = (
        plain.to_dict("records") if len(plain.columns) else [{}] * len(order)
    )  # pandas 2 forgets rows without columns
    for item, row in zip(order, rows, strict=True):
        words = [str(row[column]).strip() for column in columns if row.get(column)]
        joined = " ".join([word if word[-1] in ".!?" else f"{word}." for word in words[:-1]] + words[-1:])
        out[item] = row | {"title": row.get(title) or "", "text": joined}
    return out, order
