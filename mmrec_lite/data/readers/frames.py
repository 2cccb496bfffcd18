"""Reader for one's own data: tables of interactions and items, features as npy, a folder of pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..checks import check_name, finite_numbers
from ..dataset import MultimodalDataset
from ..errors import DataError
from ..storage import file_hash
from .logs import FIRST, core_step, counted, k_core
from .matrices import Matrix, check_rows, mark_missing, read_matrix
from .pictures import match_pictures, normal
from .streaming import MARKUP, plain
from .tables import (
    Source,
    ids_as_text,
    named_by,
    natural_order,
    optional_column,
    parts,
    read_table,
    refuse_repeats,
    require_column,
    with_decimal_points,
    word,
    words,
)
from .timestamps import seconds

_TEXTS = ("title", "text", "image")  # the items' columns that are text, whatever they are made of


def read_frames(
    interactions: Source,
    items: Source | None = None,
    features: Mapping[str, Matrix] | None = None,
    images: str | Path | None = None,
    *,
    user: str = "user",
    item: str = "item",
    timestamp: str | None = None,
    rating: str | None = None,
    review: str | None = None,
    split: str | None = None,
    item_key: str | None = None,
    title: str | None = None,
    text: str | Sequence[str] | None = None,
    image: str | None = None,
    time_unit: str | None = None,
    missing: str | Mapping[str, str] | None = None,
    drop_duplicates: bool = False,
    drop_unknown: bool = False,
    min_user: int = 0,
    min_item: int = 0,
    name: str | None = None,
) -> MultimodalDataset:
    """Read a data set from tables (data frames, or .parquet, .csv, .tsv files), npy features and pictures.

    Interactions: columns `user` and `item` hold the original ids, strings or numbers; `timestamp`, `rating`,
    `review` and `split` name further columns, by default those of the same names where they exist.
    Items: column `item_key` (default: as `item`) holds the ids. Without a table the items are those of the
    interactions; with features but no table an item's id is its feature row. All items are kept, even those
    that nobody took. `title`, `text` (several are joined) and `image` name columns, by default likewise.
    Features: one matrix a modality, and **row i describes row i of the items table**. `missing="zero"` or
    "nan" (or a dict by modality) says that rows of zeros or NaN mark items without the modality; otherwise
    NaN is refused and zeros are values like others.
    Pictures: a folder or zip archive of .jpg, .jpeg, .jfif, .png, .webp, .gif, .bmp, .tif and .tiff. `image` holds file
    names, with or without ending; without such a column a picture is called after the item's id. A TIFF counts only
    where no other picture has its name, or a cell names it with its ending. A column `images` of file names separated
    by "|" lists all pictures of an item.
    Text: In text files ids, titles, texts, reviews and names of pictures stay as written ("007", "1984"). In frames and
    Parquet files numbers in these columns become text (7.0 becomes "7").
    Times: seconds, milliseconds, ... (`time_unit`, told by their size if None), ISO dates or 31.12.2025 14:05; kept in
    seconds.
    Every row counts as taken: returns and cancelled orders are the caller's to take out before. `drop_duplicates` keeps
    the first row of each (user, item), `drop_unknown` drops the rows of items that the items table lacks; `min_user`
    and `min_item` drop users and items with fewer interactions, over and over until none is left. The card tells what
    was read and done.
    Raises `DataError`, which names file, row and remedy.
    """
    name = check_name(name or _name(interactions), "name")
    features = dict(features or {})
    as_written = (user, item, review or "review", timestamp or "timestamp")
    table, table_name = read_table(interactions, "interactions", ids=as_written)
    asked = {"timestamp": timestamp, "rating": rating, "review": review, "split": split}
    columns = _columns(table, table_name, {"user": user, "item": item}, asked)
    _refuse_idle(columns, items, features, item_key, time_unit, missing)
    if image is not None and images is None:
        raise DataError(
            "image=... (--image): it names the column of pictures' files; pass images=..., or leave it out."
        )
    if drop_unknown and items is None and not features:
        raise DataError("drop_unknown=... (--drop-unknown): there is no table that lacks an item; pass items=....")
    rows, finer, time = _rows(table, table_name, columns, time_unit)
    matrices = {modality: read_matrix(source, modality) for modality, source in features.items()}
    texts = [text] if isinstance(text, str) else list(text or ())
    as_text = [column for column in (*_TEXTS, title, image, *texts) if column is not None]
    catalogue, items_name = _catalogue(items, item_key or item, rows, matrices, as_text)
    check_rows(matrices, len(catalogue), items_name)
    if items is None and (title is not None or texts):
        raise DataError("title=... and text=... name columns of the items table; pass items=... (--items), too.")
    catalogue = _described(catalogue, items_name, title, texts)
    catalogue, rows, tidied = _without_markup(catalogue, rows)
    vectors, present, notes = mark_missing(matrices, missing)
    notes += tidied
    if images is not None:
        catalogue, note = match_pictures(images, catalogue, items_name, image)
        notes.append(note)
    notes += _alike(rows["user"], "users") + _alike(catalogue["item_id"], "items")
    places = _places(rows["item"], catalogue, table_name, items_name, drop_unknown)
    known = places < len(catalogue)
    notes += _nearly(rows["item"][~known], catalogue["item_id"])
    kept, counts = _kept(rows, places, known, table_name, drop_duplicates, min_user, min_item)
    if finer is not None:
        kept = kept[np.argsort(finer[kept], kind="stable")]
        notes.append("rows sorted by time, since whole seconds do not hold their order")
    chosen = np.unique(places[kept]) if min_item > 0 else np.arange(len(catalogue))
    card = {
        "reader": "frames",
        "files": _provenance({"interactions": interactions, "items": items, **features}),
        "columns": columns,
        "time": time,
        "rows": {"read": len(rows), "kept": len(kept)},
        "counts": counts,
        "filter": {
            "drop_duplicates": drop_duplicates,
            "drop_unknown": drop_unknown,
            "min_user": min_user,
            "min_item": min_item,
        },
        "notes": notes,
    }
    user_ids, numbers = _numbered(rows["user"].iloc[kept])
    return MultimodalDataset(
        name=name,
        users=pd.DataFrame({"user_id": user_ids}),
        items=catalogue.iloc[chosen],
        interactions=rows.iloc[kept].assign(user=numbers, item=np.searchsorted(chosen, places[kept])),
        features={modality: matrix[chosen] for modality, matrix in vectors.items()},
        present={modality: mask[chosen] for modality, mask in present.items()},
        card=card,
        image_root=images,
    )


def _columns(table: pd.DataFrame, table_name: str, needed: dict, asked: dict) -> dict[str, str]:
    """Which column of the table plays which part."""
    for part, column in needed.items():
        require_column(table, table_name, column, named_by(part))
    if table.empty:
        raise DataError(f"{table_name}: the table is empty; a data set needs at least one interaction.")
    found = {part: optional_column(table, table_name, column, part) for part, column in asked.items()}
    return needed | {part: column for part, column in found.items() if column is not None}


def _refuse_idle(
    columns: Mapping[str, str], items: object, features: Mapping, item_key: object, time_unit: object, missing: object
) -> None:
    """Raise for an option that has nothing to work on: whoever gave it expects something of it."""
    idle = {
        "item_key": item_key is not None and items is None and "it names the items table's column of ids; pass items=",
        "time_unit": time_unit is not None and "timestamp" not in columns and "there are no times; name timestamp=",
        "missing": missing is not None and not features and "it says what marks missing features; pass features=",
    }
    for option, why in idle.items():
        if why:
            raise DataError(f"{option}=... (--{option.replace('_', '-')}): {why}..., or leave it out.")


def _rows(
    table: pd.DataFrame, table_name: str, columns: dict[str, str], time_unit: str | None
) -> tuple[pd.DataFrame, np.ndarray | None, str | None]:
    """The interactions in our columns, ids as text; times finer than seconds, if any; how time was read."""
    rows = {side: ids_as_text(table[columns[side]], table_name) for side in ("user", "item")}
    finer = time = None
    if "timestamp" in columns:
        rows["timestamp"], finer, time = seconds(table[columns["timestamp"]], table_name, time_unit)
    if "rating" in columns:
        ratings = with_decimal_points(table[columns["rating"]], table_name)
        rows["rating"] = finite_numbers(ratings, table_name, columns["rating"])
    if "review" in columns:
        rows["review"] = words(table[columns["review"]])
    if "split" in columns:
        rows["split"] = parts(table[columns["split"]], table_name)
    return pd.DataFrame(rows), finer, time


def _catalogue(
    items: Source | None,
    key: str,
    rows: pd.DataFrame,
    matrices: dict[str, tuple[np.ndarray, str]],
    as_text: Sequence[str],
) -> tuple[pd.DataFrame, str]:
    """The items in feature order, with column `item_id`, and what to call their table in messages."""
    if items is None and matrices:
        matrix, what = next(iter(matrices.values()))
        return pd.DataFrame({"item_id": [str(row) for row in range(len(matrix))]}), what
    if items is None:
        return pd.DataFrame({"item_id": natural_order(rows["item"])}), "interactions"
    table, table_name = read_table(items, "items", ids=(key, *as_text))
    require_column(table, table_name, key, named_by("item_key"))
    if table.empty:
        raise DataError(f"{table_name}: the table is empty; give one row an item, or leave the table out.")
    if key != "item_id" and "item_id" in table:
        raise DataError(
            f"{table_name}: there is a column 'item_id' beside the ids in {key!r}; pass item_key='item_id' "
            f"(--item-key), or rename one of them."
        )
    ids = ids_as_text(table[key], table_name)
    refuse_repeats(ids, table_name, key)
    others = {column: _plain(table[column]) for column in table.columns if column != key}
    return pd.DataFrame({"item_id": ids, **others}), table_name


def _plain(values: pd.Series) -> pd.Series:
    """Lists joined by commas, dates as ISO strings: the data set holds numbers, booleans and strings only."""
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.infer_dtype(values, skipna=True) == "string":
        return values
    return values.astype(object).map(_as_word)


def _as_word(value: object) -> str:
    if isinstance(value, set | frozenset):
        value = sorted(map(str, value))  # its own order is another one in every process
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(map(str, value))
    return value.isoformat() if isinstance(value, pd.Timestamp) else word(value)


def _described(catalogue: pd.DataFrame, items_name: str, title: str | None, texts: Sequence[str]) -> pd.DataFrame:
    """The catalogue with `title` and `text` taken from the columns that were asked for; in them numbers are text."""
    taken = {}
    if title is not None:
        taken["title"] = catalogue[require_column(catalogue, items_name, title, named_by("title"))]
    if texts:
        columns = [catalogue[require_column(catalogue, items_name, column, named_by("text"))] for column in texts]
        taken["text"] = [_sentences(cells) for cells in zip(*map(words, columns), strict=True)]
    catalogue = catalogue.assign(**taken)
    numbers = [name for name in _TEXTS if name in catalogue and pd.api.types.is_numeric_dtype(catalogue[name])]
    return catalogue.assign(**{name: words(catalogue[name]) for name in numbers})


def _without_markup(catalogue: pd.DataFrame, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Titles, texts and reviews without HTML, which would be read as words; what was done, for the card."""
    tables, notes = {"items": catalogue, "interactions": rows}, []
    for key, name in (("items", "title"), ("items", "text"), ("interactions", "review")):
        table = tables[key]
        if name not in table or pd.api.types.infer_dtype(table[name], skipna=True) != "string":
            continue
        marked = table[name].str.contains(MARKUP, na=False).to_numpy(dtype=bool)
        if marked.any():
            tables[key] = table.assign(**{name: table[name].where(~marked, table[name][marked].map(plain))})
            notes.append(f"{name}: HTML was taken out of {int(marked.sum())} cells")
    return *tables.values(), notes


def _sentences(pieces: Sequence[str]) -> str:
    """Join the pieces that are not empty, so that each begins a sentence."""
    pieces = [piece.strip() for piece in pieces if piece.strip()]
    ended = [piece if piece[-1] in ".!?" else f"{piece}." for piece in pieces[:-1]]
    return " ".join(ended + pieces[-1:])


def _alike(column: pd.Series, what: str) -> list[str]:
    """A note where ids differ in capitals, outer spaces or how accents are written alone: probably one, kept as two."""
    ids = pd.Series(pd.unique(column), dtype=object)
    plain = ids.map(lambda name: normal(name.strip().casefold()))
    again = plain.duplicated().to_numpy()
    if not again.any():
        return []
    row = int(again.argmax())
    pair = f"{ids[int((plain == plain[row]).to_numpy().argmax())]!r} and {ids[row]!r}"
    return [
        f"{what}: {int(again.sum())} of {len(ids)} ids are another's but for capitals, spaces or how accents are "
        f"written, as {pair}; kept apart"
    ]


def _nearly(dropped: pd.Series, ids: pd.Series) -> list[str]:
    """A note where items that the table lacks differ from one of it in spelling alone."""

    def bare(name: str) -> str:
        return normal(name.strip().casefold()).removesuffix(".0").lstrip("0")

    lost = pd.unique(dropped)
    there = {bare(name): name for name in ids} if len(lost) else {}
    near = [name for name in lost if bare(name) in there]
    if not near:
        return []
    return [
        f"items: {len(near)} of the {len(lost)} that the table lacks are there but for leading zeros, capitals, spaces "
        f"or how accents are written, as {near[0]!r} and {there[bare(near[0])]!r}; left out all the same"
    ]


def _places(
    ids: pd.Series, catalogue: pd.DataFrame, table_name: str, items_name: str, drop_unknown: bool
) -> np.ndarray:
    """The catalogue's row of each interaction's item; beyond its last for an item that it lacks and that is dropped."""
    places = pd.Index(catalogue["item_id"], dtype=object).get_indexer(ids)
    unknown = places < 0
    if unknown.any() and (unknown.all() or not drop_unknown):
        row = int(unknown.argmax())
        raise DataError(
            f"{table_name}: row {row} has item {ids.iloc[row]!r}, which is not among the {len(catalogue)} "
            f"items of {items_name}; the first is {catalogue['item_id'].iloc[0]!r} "
            f"({int(unknown.sum())} such rows). Add the items, drop the rows (drop_unknown=True; --drop-unknown), or "
            f"name the items' id column with item_key=... (--item-key)."
        )
    places[unknown] = len(catalogue) + pd.factorize(ids[unknown])[0]
    return places


def _kept(
    rows: pd.DataFrame,
    places: np.ndarray,
    known: np.ndarray,
    table_name: str,
    drop_duplicates: bool,
    min_user: int,
    min_item: int,
) -> tuple[np.ndarray, list[dict]]:
    """The rows that stay, ascending: no pair twice, enough interactions for each user and item; counts by step."""
    users = pd.factorize(rows["user"])[0]
    again = pd.DataFrame({"user": users, "item": places}).duplicated().to_numpy() & known
    if again.any() and not drop_duplicates:
        row = int(again.argmax())
        earlier = int(((users == users[row]) & (places == places[row])).argmax())
        raise DataError(
            f"{table_name}: rows {earlier} and {row} hold the same pair (user {rows['user'].iloc[row]!r}, "
            f"item {rows['item'].iloc[row]!r}); {int(again.sum())} rows repeat an earlier pair. Pass "
            f"drop_duplicates=True (--drop-duplicates) to keep the first row of each."
        )
    counts = [counted("read", users, places)]
    if not known.all():
        counts.append(counted("items that the table lacks are left out", users[known], places[known]))
    kept = np.flatnonzero(known & ~again)
    if drop_duplicates:
        counts.append(counted(FIRST, users[kept], places[kept]))
    if min_user > 1 or min_item > 1:
        core, rounds = k_core(users[kept], places[kept], min_user, min_item)
        if not core.any():
            raise DataError(f"{table_name}: min_user={min_user}, min_item={min_item} leave no row; lower them.")
        kept = kept[core]
        counts.append(counted(core_step(min_user, min_item, rounds), users[kept], places[kept]))
    return kept, counts


def _numbered(users: pd.Series) -> tuple[list[str], np.ndarray]:
    """The distinct users in natural order, and each row's place among them."""
    ids = natural_order(users)
    return ids, pd.Index(ids, dtype=object).get_indexer(users)


def _provenance(sources: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Name (without folder) and SHA-256 of every file that was read."""
    paths = {part: Path(source) for part, source in sources.items() if isinstance(source, str | Path)}
    return {part: {"name": path.name, "sha256": file_hash(path)} for part, path in paths.items()}


def _name(interactions: Source) -> str:
    """The folder of the interactions names the data set."""
    folder = Path(interactions).resolve().parent.name if isinstance(interactions, str | Path) else ""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", folder).strip("-_") or "frames"
