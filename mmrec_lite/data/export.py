"""Back to the formats of other toolkits, so that they run on the same data and the same split."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from .dataset import MultimodalDataset
from .errors import DataError
from .splits import PARTS, Split

__all__ = ["to_mmrec", "to_recbole"]

_MISSING = {  # pandas' words for a missing value, with which RecBole reads its files
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL",
    "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip
_FEATURE_NAMES = {"image": "image_feat.npy", "text": "text_feat.npy"}  # what MMRec's configuration calls them


def to_mmrec(data: MultimodalDataset | Split, folder: str | Path) -> Path:
    """Write MMRec's files: `name.inter` (userID, itemID, rating, timestamp, x_label) and a float32 npy a modality.

    A split's parts become x_label 0, 1, 2; a data set is taken with its column `split`, if it has one. Row i of the
    features describes itemID i, zeros where it lacks the modality. Original ids go to `u_id_mapping.csv` and
    `i_id_mapping.csv`. The folder must be empty or new. Rows in no part of a split are left out.
    """
    data, part = _labelled(data)
    rows = np.flatnonzero(part >= 0)
    log = data.interactions.iloc[rows]
    table = pd.DataFrame({"userID": log["user"], "itemID": log["item"]})
    table["rating"] = log["rating"].to_numpy() if "rating" in log else 1.0
    table["timestamp"] = log["timestamp"].to_numpy() if "timestamp" in log else np.arange(len(log))
    table["x_label"] = part[rows]

    def write(folder: Path) -> None:
        table.to_csv(folder / f"{data.name}.inter", sep="\t", index=False)
        for modality in data.modalities:
            name = _FEATURE_NAMES.get(modality, f"{modality}_feat.npy")
            np.save(folder / name, data.dense(modality), allow_pickle=False)
        for side, ids in (("u", data.users["user_id"]), ("i", data.items["item_id"])):
            kind = "userID" if side == "u" else "itemID"
            mapping = pd.DataFrame({"original": ids, kind: np.arange(len(ids))})
            mapping.to_csv(folder / f"{side}_id_mapping.csv", sep="\t", index=False)

    return _beside(Path(folder), write)


def to_recbole(data: MultimodalDataset | Split, folder: str | Path) -> Path:
    """Write RecBole's atomic files: `name.inter`, or one for each part of a split, `name.item`, and npy features.

    A split becomes `name.train.inter`, `name.valid.inter`, `name.test.inter`, which RecBole takes by
    `benchmark_filename: ['train', 'valid', 'test']`. Ids are the original ones. Row i of `<modality>_feat.npy`
    describes row i of `name.item`. The folder must be empty or new. A quotation mark that begins a text becomes an
    apostrophe, for RecBole would read on to the next one. Raises `DataError` for an id that no cell can hold or that
    RecBole reads as none, such as "NA", and for a column of the items with a colon.
    """
    split = isinstance(data, Split) or "split" in data.interactions
    data, part = _labelled(data)
    log = data.interactions
    _refuse_broken(data.users["user_id"], "user_id")
    _refuse_broken(data.items["item_id"], "item_id")
    _refuse_broken(data.items.columns, "column of the items", also=":")
    table = pd.DataFrame(
        {
            "user_id:token": data.users["user_id"].to_numpy()[log["user"]],
            "item_id:token": data.items["item_id"].to_numpy()[log["item"]],
        }
    )
    for column in ("rating", "timestamp"):
        if column in log:
            table[f"{column}:float"] = log[column].to_numpy()
    items = pd.DataFrame({"item_id:token": data.items["item_id"]})
    for column in data.items.columns.drop("item_id"):
        values = data.items[column]
        if values.dtype.kind in "iuf":
            items[f"{column}:float"] = values
        else:  # a tab or line break would end the cell
            words = values.astype(object).where(values.notna(), "").map(str)
            words = words.str.replace(r"\s+", " ", regex=True)
            items[f"{column}:token_seq"] = words.str.replace(r'^ ?"', "'", regex=True)

    def write(folder: Path) -> None:
        for name, rows in _files(data.name, part, split):
            _write_atomic(table.iloc[rows], folder / name)
        _write_atomic(items, folder / f"{data.name}.item")
        for modality in data.modalities:
            np.save(folder / f"{modality}_feat.npy", data.dense(modality), allow_pickle=False)

    return _beside(Path(folder), write)


def _labelled(data: MultimodalDataset | Split) -> tuple[MultimodalDataset, np.ndarray]:
    """The data set, and each row's part: 0, 1, 2, or -1 for none."""
    if isinstance(data, Split):
        part = np.full(len(data.dataset), -1)
        for number, name in enumerate(PARTS):
            part[getattr(data, name)] = number
        return data.dataset, part
    if "split" in data.interactions:
        return data, data.interactions["split"].map({name: n for n, name in enumerate(PARTS)}).to_numpy()
    return data, np.zeros(len(data), dtype=int)


def _files(name: str, part: np.ndarray, split: bool) -> list[tuple[str, np.ndarray]]:
    if not split:
        return [(f"{name}.inter", np.arange(len(part)))]
    return [(f"{name}.{word}.inter", np.flatnonzero(part == n)) for n, word in enumerate(PARTS)]


def _refuse_broken(names: Iterable[str], what: str, also: str = "") -> None:
    """Raise for a name that RecBole would read as another one or none: changed, it could be the name of another."""
    ends = set("\t\r\n" + also)
    odd = next((n for n in names if not n or set(n) & ends or n.startswith('"') or n in _MISSING), None)
    if odd is not None:
        raise DataError(
            f"export: the {what} {odd!r} is empty, begins with a quotation mark, holds a tab or line break"
            f"{' or a colon' if also else ''}, or reads as a missing value; RecBole's files cannot hold it. Rename it."
        )


def _write_atomic(table: pd.DataFrame, path: Path) -> None:
    lines = ["\t".join(table.columns)]
    columns = [_cells(table[column]) for column in table.columns]
    lines += ["\t".join(cells) for cells in zip(*columns, strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cells(values: pd.Series) -> list[str]:
    if values.dtype.kind == "f":
        return ["" if value != value else repr(float(value)) for value in values]
    return [str(value) for value in values]


def _beside(folder: Path, write) -> Path:
    """Write into a folder beside, then rename: a run that is cut short leaves nothing."""
    if folder.exists() and (folder.is_file() or any(folder.iterdir())):
        raise DataError(f"export: {folder} is not empty; choose a new folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        partial.mkdir()
        write(partial)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder
