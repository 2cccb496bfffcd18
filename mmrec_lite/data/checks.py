"""What `MultimodalDataset` checks when made: a function returns the cleaned value or raises `DataError`."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pandas as pd

from .errors import DataError, first, listing

PARTS = ("train", "valid", "test")
# Names become file names, keyword arguments and plot labels, hence the narrow alphabet.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def check_name(name: object, what: str) -> str:
    """Return `name` if it can serve as a file name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DataError(f"{what} {name!r} is no usable name: take letters, digits, '_' and '-', as in 'image'.")
    return name


def plain_table(frame: object, table: str) -> pd.DataFrame:
    """Copy of `frame` with rows 0..n-1 whose columns hold numbers, booleans or strings only.

    Missing strings stay missing. Raises `DataError` for another type, naming column and row.
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"{table}: expected a pandas DataFrame, got {type(frame).__name__}.")
    wrong = [column for column in frame.columns if not isinstance(column, str)]
    if wrong or not frame.columns.is_unique:
        odd = wrong or frame.columns[frame.columns.duplicated()].tolist()
        raise DataError(f"{table}: column names must be distinct strings; rename {first(odd)}.")
    frame = frame.reset_index(drop=True)
    return pd.DataFrame({c: _plain_column(frame[c], table, c) for c in frame.columns}, index=frame.index)


def _plain_column(values: pd.Series, table: str, column: str) -> pd.Series:
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        if not isinstance(values.dtype, np.dtype):  # pandas' nullable types: missing becomes NaN
            values = values.astype(float) if values.isna().any() else values.astype(values.dtype.type)
        if values.dtype.kind in "biuf":
            return values
    elif pd.api.types.infer_dtype(values, skipna=True) in ("string", "empty"):
        return values
    elif (inferred := values.infer_objects()).dtype.kind in "biuf":  # numbers that came as objects
        return inferred
    is_text = values.isna() | values.map(lambda value: isinstance(value, str))
    row = int(np.argmin(is_text.to_numpy())) if not is_text.all() else 0
    raise DataError(
        f"{table}: column {column!r} holds {type(values.iloc[row]).__name__} in row {row}; a column holds "
        f"numbers, booleans or strings. Convert it (lists: join them) or drop the column."
    )


def clean_entities(frame: object, table: str, key: str) -> pd.DataFrame:
    """Check the `users` or `items` table: not empty, ids in column `key` as distinct strings."""
    frame = plain_table(frame, table)
    if key not in frame:
        raise DataError(f"{table}: column {key!r} is missing; there are: {listing(frame.columns)}.")
    if frame.empty:
        raise DataError(f"{table}: the table is empty; a data set needs at least one row in it.")
    ids = frame[key]
    if ids.isna().any():
        row = int(np.argmax(ids.isna().to_numpy()))
        raise DataError(f"{table}: row {row} has no {key}; give every row an id or drop the row.")
    ids = ids if pd.api.types.infer_dtype(ids) == "string" else ids.map(str)
    if ids.duplicated().any():
        row = int(np.argmax(ids.duplicated().to_numpy()))
        earlier = int(np.argmax((ids == ids[row]).to_numpy()))
        raise DataError(f"{table}: rows {earlier} and {row} share the {key} {ids[row]!r}; keep one of them.")
    return frame.assign(**{key: ids})


def clean_interactions(frame: object, n_users: int, n_items: int) -> pd.DataFrame:
    """Check the `interactions` table: numbers in range, no pair twice, times whole, ratings finite."""
    frame = plain_table(frame, "interactions")
    for column in ("user", "item"):
        if column not in frame:
            raise DataError(f"interactions: column {column!r} is missing; there are: {listing(frame.columns)}.")
    if frame.empty:
        raise DataError("interactions: the table is empty; a data set needs at least one row in it.")
    columns = {
        "user": _row_numbers(frame["user"], "user", n_users),
        "item": _row_numbers(frame["item"], "item", n_items),
    }
    refuse_duplicates(columns["user"], columns["item"], "interactions")
    if "timestamp" in frame:
        columns["timestamp"] = whole_numbers(frame["timestamp"], "interactions", "timestamp")
    if "rating" in frame:
        columns["rating"] = finite_numbers(frame["rating"], "interactions", "rating")
    if "review" in frame:
        _refuse_non_text(frame["review"], "interactions", "review")
        columns["review"] = frame["review"].fillna("")
    if "split" in frame:
        columns["split"] = known_parts(frame["split"], "interactions")
    return frame.assign(**columns)


def _row_numbers(values: pd.Series, column: str, size: int) -> np.ndarray:
    numbers = whole_numbers(values, "interactions", column)
    outside = (numbers < 0) | (numbers >= size)
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(
            f"interactions: row {row} has {column} {numbers[row]}, but the {column}s table has rows "
            f"0..{size - 1} ({int(outside.sum())} such rows). "
            f"Add the missing {column}s to their table or drop these rows."
        )
    return numbers.astype(np.int32)


def _refuse_non_text(values: pd.Series, table: str, column: str) -> None:
    if pd.api.types.infer_dtype(values, skipna=True) not in ("string", "empty"):
        raise DataError(f"{table}: column {column!r} holds {values.dtype}, not text; convert it with astype(str).")


def whole_numbers(values: pd.Series, table: str, column: str) -> np.ndarray:
    """The column as int64; fractions, missing and infinite values are refused with their row."""
    array = values.to_numpy()
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if array.dtype.kind != "f":
        raise DataError(f"{table}: column {column!r} holds {values.dtype} where whole numbers are needed.")
    wrong = ~np.isfinite(array)
    wrong |= (np.abs(array) >= 2.0**63) | (array != np.round(array, 0))  # beyond int64 a cast would make numbers up
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{table}: row {row} has {column} {array[row]}, which is no whole number "
            f"({int(wrong.sum())} such rows). Correct or drop these rows."
        )
    return array.astype(np.int64)


def finite_numbers(values: pd.Series, table: str, column: str) -> np.ndarray:
    """The column as float32; words, missing and infinite values are refused with their row."""
    values = values.infer_objects()  # numbers may have come as objects
    if values.dtype.kind not in "biuf":
        wrong = next((row for row, value in enumerate(values) if not _is_number(value)), None)
        if wrong is not None:
            raise DataError(
                f"{table}: column {column!r} holds {values.iloc[wrong]!r:.80} in row {wrong} where numbers are needed. "
                f"Write them with a decimal point, as in 4.5, or all of them with a comma in a CSV parted by "
                f"semicolons."
            )
        text = next((row for row, value in enumerate(values) if isinstance(value, str | bytes)), None)
        if text is not None:
            raise DataError(
                f"{table}: column {column!r} holds a number as text, {values.iloc[text]!r:.80}, in row {text}; convert "
                f"it with pd.to_numeric."
            )
        values = pd.Series([float(value) for value in values], index=values.index, name=values.name)  # such as Decimal
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused below
        array = values.to_numpy().astype(np.float32)
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array)))
        raise DataError(
            f"{table}: row {row} has {column} {values.iloc[row]} "
            f"({int((~np.isfinite(array)).sum())} such rows). "
            f"Fill or drop these rows, or leave the column out."
        )
    return array


def _is_number(value: object) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def known_parts(values: pd.Series, table: str) -> pd.Series:
    """The split column, which may say train, valid or test and nothing else."""
    wrong = ~values.isin(PARTS)
    if wrong.any():
        row = int(np.argmax(wrong.to_numpy()))
        raise DataError(
            f"{table}: row {row} has split {values.iloc[row]!r} ({int(wrong.sum())} such rows); "
            f"a row belongs to one of: {listing(PARTS)}."
        )
    return values


def refuse_duplicates(users: np.ndarray, items: np.ndarray, table: str, remedy: str | None = None) -> None:
    """Raise where one (user, item) pair stands in two rows."""
    pairs = pd.DataFrame({"user": users, "item": items})
    again = pairs.duplicated().to_numpy()
    if not again.any():
        return
    row = int(np.argmax(again))
    earlier = int(np.argmax((pairs == pairs.iloc[row]).all(axis=1).to_numpy()))
    remedy = remedy or "Drop the repetitions, or read the table with drop_duplicates=True (it keeps the first row)."
    raise DataError(
        f"{table}: rows {earlier} and {row} hold the same pair (user {users[row]}, item {items[row]}); "
        f"{int(again.sum())} rows repeat an earlier pair. {remedy}"
    )


def clean_vectors(vectors: object, what: str) -> np.ndarray:
    """A finite float16 or float32 matrix, as a read-only view; wider numbers become float32."""
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind not in "biuf":
        shape = f"shape {vectors.shape}, {vectors.dtype}" if isinstance(vectors, np.ndarray) else type(vectors).__name__
        raise DataError(f"{what}: expected a matrix of numbers, one row a vector; got {shape}.")
    if vectors.shape[1] == 0:
        raise DataError(f"{what}: the vectors have no columns.")
    if vectors.dtype not in (np.float16, np.float32):
        with np.errstate(over="ignore"):
            vectors = vectors.astype(np.float32)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise DataError(
            f"{what}: row {row} holds NaN or infinity ({int((~finite).sum())} such rows). Correct them; for "
            f"an item that lacks the modality set its row to zero and present[...][row] to False."
        )
    return frozen(vectors)


def clean_features(features: dict, n_items: int) -> dict[str, np.ndarray]:
    """Check every modality: name, matrix, one row an item, finite."""
    cleaned = {}
    for name, vectors in features.items():
        what = f"features[{check_name(name, 'modality')!r}]"
        cleaned[name] = clean_vectors(vectors, what)
        if len(vectors) != n_items:
            raise DataError(
                f"{what} has {len(vectors)} rows, but the items table has {n_items}: row i describes item i. "
                f"Write one row an item, in the order of the items table (zeros for an item that lacks it)."
            )
    return cleaned


def clean_present(present: dict, features: dict[str, np.ndarray], n_items: int) -> dict[str, np.ndarray]:
    """One boolean an item and modality, True where not given; an absent item's feature row must be zero."""
    unknown = [name for name in present if name not in features]
    if unknown:
        raise DataError(f"present: unknown modality {first(unknown)}; the features are: {listing(features)}.")
    cleaned = {}
    for name, vectors in features.items():
        mask = np.asarray(present.get(name, np.ones(n_items, dtype=bool)))
        if mask.dtype != bool or mask.shape != (n_items,):
            raise DataError(
                f"present[{name!r}]: expected {n_items} booleans, one an item; got shape {mask.shape}, {mask.dtype}."
            )
        odd = np.flatnonzero(~mask)[vectors[~mask].any(axis=1)]
        if len(odd):
            raise DataError(
                f"present[{name!r}]: item {odd[0]} is marked as lacking it, yet "
                f"features[{name!r}][{odd[0]}] is not zero "
                f"({len(odd)} such items). Zero these rows or mark the items as present."
            )
        cleaned[name] = frozen(mask)
    return cleaned


def clean_truth(truth: dict, n_users: int, n_items: int) -> dict[str, np.ndarray]:
    """Planted truth: arrays named user_* or item_*, whose first dimension counts users or items."""
    cleaned = {}
    for name, values in truth.items():
        check_name(name, "truth")
        side = name.split("_")[0]
        if side not in ("user", "item"):
            raise DataError(f"truth[{name!r}]: the name must begin with 'user_' or 'item_', which says what a row is.")
        values = np.asarray(values)
        size = n_users if side == "user" else n_items
        if values.ndim == 0 or len(values) != size or values.dtype.kind not in "biufU":
            raise DataError(
                f"truth[{name!r}]: expected {size} rows (one for each {side}) of numbers or strings; "
                f"got shape {values.shape}, {values.dtype}."
            )
        cleaned[name] = frozen(values)
    return cleaned


def clean_card(card: dict) -> dict:
    """The card as JSON would give it back."""
    try:
        return json.loads(json.dumps(card))
    except (TypeError, ValueError) as error:
        raise DataError(f"card: {error}; it may hold dicts, lists, strings, numbers, booleans and None.") from None


def frozen(array: np.ndarray) -> np.ndarray:
    """A read-only view of an array that its owner leaves as it is: large ones are not copied, and hashes are cached."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
