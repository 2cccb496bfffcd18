"""What readers share: tables from files, columns by name, ids as text, times in seconds."""

from __future__ import annotations

import datetime
import gzip
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from ..checks import PARTS, known_parts, whole_numbers
from ..errors import DataError, listing
from ..times import EARLIEST_DATE, LATEST_DATE

Source = str | Path | pd.DataFrame

# What does a number of this size count? Seconds since 1970 lie in 10^8..10^11 from 1973 to 5138,
# milliseconds in 10^11..10^14, and so on; smaller numbers are positions (0, 1, 2, ...): an order, no date.
_BOUNDS = (EARLIEST_DATE, 10**11, 10**14, 10**17)
TIME_UNITS = ("order", "s", "ms", "us", "ns")
_PER_SECOND = {"order": 1, "s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_COUNTED = {1: "seconds", 10**3: "milliseconds", 10**6: "microseconds", 10**9: "nanoseconds"}
_CUT_SHORT = (EOFError, zlib.error)  # a gzip file that ends early, or is damaged in the middle
_UNREADABLE = (OSError, ValueError, OverflowError, RuntimeError, pd.errors.ParserWarning, zipfile.BadZipFile)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")  # 1.234 is 1234 where the comma is the decimal sign
_SHORTENED = re.compile(r"\d[.,]\d+E\+\d\d?", re.IGNORECASE)  # 4,00638E+12
_COMPACT = "%Y%m%d%H%M"  # 202401311200, which reads as milliseconds of 1976
_DOTTED = re.compile(r"^(\d{1,2})\.(\d{1,2})\.(\d{4})(?=$| )")  # day first; with slashes it may be the month
_SYNONYMS = {"training": "train", "val": "valid", "validation": "valid", "dev": "valid", "testing": "test"}


def read_table(source: Source, what: str, ids: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """The table with rows 0..n-1, and what to call it in messages.

    Reads .parquet, .csv and .tsv (compressed as .gz or not), as UTF-8. A .csv whose column names are parted by
    semicolons is read as Excel writes it where the comma is the decimal sign. In text files columns in `ids`, which may
    be other text as well, stay as written ("007", "1984"), and only an empty cell is missing: an item called "NA" stays
    one.
    """
    if isinstance(source, pd.DataFrame):
        _refuse_twins(source.columns.tolist(), what)
        return source.reset_index(drop=True), what
    if not isinstance(source, str | Path):
        raise DataError(f"{what}: give a file's name or a pandas data frame, not a {type(source).__name__}.")
    path = Path(source)
    if not path.is_file():
        raise DataError(f"{what}: there is no file {path}.")
    kinds = [suffix for suffix in map(str.lower, path.suffixes) if suffix != ".gz"]
    kind = kinds[-1] if kinds else ""
    try:
        if kind == ".parquet":
            return pd.read_parquet(path).reset_index(drop=True), path.name
        if kind in (".csv", ".tsv"):
            return _read_text(path, _separator(path) if kind == ".csv" else "\t", ids), path.name
    except pd.errors.EmptyDataError:
        raise DataError(f"{path.name}: the file is empty; it needs a line of column names and rows.") from None
    except pd.errors.ParserWarning:
        raise DataError(
            f"{path.name}: the rows have more cells than the line of column names; name every column, or remove "
            f"the surplus separators."
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name}: not readable as {kind}: it is not valid UTF-8 ({error}). Save it as UTF-8 (Excel: 'CSV "
            f"UTF-8'), or read it yourself, as in pd.read_csv(..., encoding='cp1252', dtype=str), and write it anew."
        ) from None
    except (OSError, ValueError, *_CUT_SHORT) as error:
        raise DataError(f"{path.name}: not readable as {kind} ({str(error).strip()}).") from None
    raise DataError(f"{path.name}: a table is read from .parquet, .csv or .tsv (also with .gz); convert the file.")


def _refuse_twins(names: Sequence[object], what: str) -> None:
    """Raise where two columns have one name, as after a join: one of them would be taken without a word."""
    twin = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twin is not None:
        raise DataError(f"{what}: two columns are called {twin!r}; rename or drop one of them.")


def _separator(path: Path) -> str:
    """What parts the column names: Excel writes semicolons where the comma is the decimal sign."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        names = file.readline(2**20)  # not more, whatever the file is
    return ";" if names.count(b";") > names.count(b",") else ","


def _read_text(path: Path, separator: str, ids: Sequence[str]) -> pd.DataFrame:
    names = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, keep_default_na=False, index_col=False)
    _refuse_twins([name for name in names.iloc[0] if name], path.name)  # pandas would call the second one another name
    # Without index_col=False pandas would silently take a first column without a name for row names.
    with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
        return pd.read_csv(
            path,
            sep=separator,
            decimal="," if separator == ";" else ".",
            dtype=dict.fromkeys(ids, str),
            keep_default_na=False,
            na_values=[""],
            index_col=False,
            low_memory=False,
        )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Make whatever pandas finds wrong with a text table a `DataError` that names the file (pandas names the line)."""
    try:
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            yield
    except DataError:
        raise
    except (*_UNREADABLE, *_CUT_SHORT) as error:
        raise DataError(f"{path.name}: not readable as a table ({str(error).strip()}).") from None


def whole_column(values: pd.Series, what: str, first_row: int = 0) -> list[int]:
    """A column of whole numbers; `DataError` names the first row, counted from `first_row`, that has none."""
    if values.dtype.kind == "i":
        return values.tolist()
    numbers = _numbers(values)
    wrong = ~(np.isfinite(numbers) & (np.abs(numbers) < 2.0**63) & (numbers == np.round(numbers)))
    _refuse(values, wrong, "whole number", what, first_row)
    return numbers.astype(np.int64).tolist()


def time_column(values: pd.Series, what: str, first_row: int = 0) -> list[int]:
    """A column of seconds since 1970, or of mere positions; times after 2099 were counted in another unit."""
    numbers = whole_column(values, what, first_row)
    wrong = np.array([not 0 <= number < LATEST_DATE for number in numbers], dtype=bool)
    _refuse(values, wrong, "number of seconds between 1970 and 2099", what, first_row)
    return numbers


def log_times(values: pd.Series, what: str, unit: str | None) -> tuple[list[int], int]:
    """A log's times as whole numbers, and how many of them a second has (of fractions: 10^9, so that they order rows).

    They count in `unit`, else in the unit that the size of all numbers suggests (`told_unit`). Raises as `time_column`.
    """
    _check_unit(unit, what)
    numbers = _numbers(values)
    wrong = ~(np.isfinite(numbers) & (np.abs(numbers) < 2.0**63))
    _refuse(values, wrong, "number", what, 0)
    per_second = _PER_SECOND[unit or told_unit([values])]
    wrong = ~((numbers >= 0) & (numbers < LATEST_DATE * per_second))
    remedy = (
        f"Correct or drop these rows, or say in which unit all rows count with time_unit=... (--time-unit): "
        f"{listing(TIME_UNITS)}."
    )
    _refuse(values, wrong, f"number of {_COUNTED[per_second]} between 1970 and 2099", what, 0, remedy)
    if values.dtype.kind in "iu":
        return values.tolist(), per_second
    whole, finer = np.floor(numbers).astype(np.int64), 10**9 // per_second
    rest = ((numbers - whole) * finer).astype(np.int64)
    return ((whole * finer + rest).tolist(), 10**9) if rest.any() else (whole.tolist(), per_second)


def told_unit(columns: Sequence[pd.Series]) -> str:
    """The unit that all numbers of all columns read as by their size, or seconds where they read as several."""
    sizes = {int(size) for values in columns for size in np.unique(_sizes(_numbers(values)))}
    return TIME_UNITS[sizes.pop()] if len(sizes) == 1 else "s"


def _sizes(numbers: np.ndarray) -> np.ndarray:
    return np.searchsorted(_BOUNDS, np.abs(numbers), side="right")


def times_note(per_second: int) -> list[str]:
    """What a card says of times finer than seconds."""
    if per_second == 1:
        return []
    return [f"times: {per_second:,} a second; rows sorted by them, since whole seconds do not hold their order"]


def number_column(values: pd.Series, what: str, first_row: int = 0, empty: bool = False) -> list[float]:
    """A column of numbers that float32 can hold; with `empty` some may be missing (NaN). Raises as `whole_column`."""
    numbers = _numbers(values)
    wrong = ~(np.abs(numbers) <= float(np.finfo(np.float32).max))
    _refuse(values, wrong & ~(values.isna().to_numpy() & empty), "number", what, first_row)
    return numbers.tolist()


def with_decimal_points(values: pd.Series, what: str) -> pd.Series:
    """A column of text as numbers where each cell is one: decimal points in a file that is parted by semicolons.

    Raises `DataError` where all points may as well part thousands.
    """
    if pd.api.types.infer_dtype(values, skipna=True) != "string":
        return values
    numbers = pd.to_numeric(values, errors="coerce")
    if (numbers.isna() & values.notna()).any():
        return values
    pointed = np.flatnonzero(values.str.contains(".", regex=False, na=False).to_numpy(dtype=bool))
    if len(pointed) and all(_THOUSANDS.fullmatch(cell.strip()) for cell in values.iloc[pointed]):
        row = int(pointed[0])
        cell = values.iloc[row].strip()
        raise DataError(
            f"{what}: row {row} has {values.name} {cell!r}, which reads as {numbers.iloc[row]} and, with points "
            f"between thousands, as {cell.replace('.', '')} ({len(pointed)} such rows). Remove the points between "
            f"thousands, or write decimal commas ({cell.replace('.', ',')}) in a CSV parted by semicolons."
        )
    return numbers.astype(np.float64)


def _numbers(values: pd.Series) -> np.ndarray:
    if values.dtype.kind == "b":
        return np.full(len(values), np.nan)
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _refuse(
    values: pd.Series,
    wrong: np.ndarray,
    kind: str,
    what: str,
    first_row: int,
    remedy: str = "Correct or drop these rows.",
) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        value = values.iloc[row]
        value = value.item() if isinstance(value, np.generic) else value
        raise DataError(
            f"{what}: row {first_row + row} has {values.name} {value!r:.80}, which is no {kind} "
            f"({int(wrong.sum())} such rows). {remedy}"
        )


def require_column(table: pd.DataFrame, table_name: str, column: str, remedy: str) -> str:
    """Return `column`, or say which columns there are and, in the caller's words, what to do."""
    if column not in table:
        raise DataError(f"{table_name}: there is no column {column!r}; there are: {listing(table.columns)}. {remedy}")
    return column


def named_by(option: str) -> str:
    """The remedy where an option names the column."""
    return f"Name the right one with {option}=... (--{option.replace('_', '-')} on the command line)."


def optional_column(table: pd.DataFrame, table_name: str, asked: str | None, usual: str) -> str | None:
    """The column that was asked for, which must exist; without a wish the usual one, if there is one."""
    if asked is None:
        return usual if usual in table else None
    return require_column(table, table_name, asked, named_by(usual))


def ids_as_text(values: pd.Series, table_name: str) -> pd.Series:
    """Original ids as strings: the numbers 12 and 12.0 are "12"; words, as text files hold, stay as they are."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    values = values.infer_objects()  # numbers may have come as objects
    _refuse_missing(values.isna().to_numpy(), values, table_name)
    if pd.api.types.is_float_dtype(values):
        numbers = values.to_numpy(dtype=np.float64)
        _refuse_inexact(numbers, values, table_name)
        values = values.astype(np.int64) if (numbers == np.round(numbers)).all() else values
    ids = values.astype(object).map(word)
    distinct = pd.unique(ids)
    if any(not name.strip() for name in distinct):
        _refuse_missing((ids.str.strip() == "").to_numpy(), values, table_name)
    if any(_SHORTENED.fullmatch(name) for name in distinct):
        wrong = ids.map(lambda name: _SHORTENED.fullmatch(name) is not None).to_numpy()
        remedy = (
            "A spreadsheet shortened a long number, and several ids may have become one: format the column as text "
        )
        _refuse(ids, wrong, "whole id", table_name, 0, remedy + "there and save it anew.")
    return ids


def _refuse_missing(missing: np.ndarray, values: pd.Series, table_name: str) -> None:
    if missing.any():
        raise DataError(
            f"{table_name}: row {int(missing.argmax())} has no {values.name} ({int(missing.sum())} such rows); "
            f"give it one or drop the row."
        )


def _refuse_inexact(numbers: np.ndarray, values: pd.Series, table_name: str) -> None:
    digits = np.finfo(getattr(values.dtype, "numpy_dtype", values.dtype)).nmant + 1
    wrong = ~(np.abs(numbers) < 2.0**digits)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{table_name}: row {row} has {values.name} {numbers[row]}, and the column holds floating-point numbers; "
            f"these are exact only below {2**digits:,} ({int(wrong.sum())} such rows): several ids may have become "
            f"one. Read the column as text, as in pd.read_csv(..., dtype=str)."
        )


def refuse_repeats(ids: pd.Series, table_name: str, column: str) -> None:
    """Raise where two rows of a table of items have one id."""
    again = ids.duplicated().to_numpy()
    if again.any():
        row = int(again.argmax())
        earlier = int((ids == ids[row]).to_numpy().argmax())
        raise DataError(
            f"{table_name}: rows {earlier} and {row} share the {column} {ids[row]!r}; keep one row an item."
        )


def word(value: object) -> str:
    """A cell as text: 7.0 is "7", a missing one ""."""
    if isinstance(value, float | np.floating):
        return "" if value != value else str(int(value)) if float(value).is_integer() else str(value)
    return "" if value is None or value is pd.NaT or value is pd.NA else str(value)


def words(values: pd.Series) -> pd.Series:
    """A column as text, cell by cell."""
    if pd.api.types.infer_dtype(values, skipna=True) == "string":  # millions of reviews need no call for each
        return values.fillna("").infer_objects()
    return values.astype(object).map(word)


def natural_order(ids: pd.Series | pd.Index) -> list[str]:
    """The distinct ids, by number where all are numbers ("2" before "10"), else by alphabet."""
    distinct = pd.unique(pd.Series(ids, dtype=object)).tolist()
    numeric = all(name.isdecimal() and name.isascii() for name in distinct)
    return sorted(distinct, key=_by_number if numeric else None)


def _by_number(name: str) -> tuple[int, str, str]:
    digits = name.lstrip("0")  # not int(name): Python refuses to read thousands of digits
    return len(digits), digits, name


def seconds(values: pd.Series, table_name: str, unit: str | None) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Times as whole seconds since 1970 (UTC), finer times if there are such, and a sentence for the card.

    Takes numbers in `unit` (None: told by their size), dates and strings (without a zone: UTC): ISO 8601, or with
    dots, 31.12.2025 14:05, where the day comes first.
    Missing, fractional and infinite values, and units that seem mixed, are refused with their row.
    """
    _check_unit(unit, table_name)
    column = values.name
    values = values.infer_objects()  # numbers may have come as objects
    if pd.api.types.is_numeric_dtype(values):
        numbers = whole_numbers(_plain(values), table_name, column)
        found = unit or _unit_of(numbers, table_name, column)
        if unit is None and found != "order":
            _refuse_compact(values, numbers, found, table_name)
        per_second, how = _PER_SECOND[found], {"order": "order only, no dates", "s": "seconds"}.get(found)
        how = f"column {column!r}: {how or found + ', floored to seconds'}"
    else:
        numbers = _nanoseconds(values, table_name)
        per_second, how = 10**9, f"column {column!r}: dates (UTC), floored to seconds"
    whole = numbers // per_second
    finer = numbers if (whole * per_second != numbers).any() else None
    return whole, finer, how


def _check_unit(unit: str | None, table_name: str) -> None:
    if unit is not None and unit not in TIME_UNITS:
        raise DataError(f"{table_name}: unknown time_unit {unit!r}; there are: {listing(TIME_UNITS)}.")


def _plain(values: pd.Series) -> pd.Series:
    return values if isinstance(values.dtype, np.dtype) else values.astype("float64" if values.hasnans else "int64")


def _unit_of(numbers: np.ndarray, table_name: str, column: str) -> str:
    sizes = _sizes(numbers)
    low, high = int(sizes.argmin()), int(sizes.argmax())
    if sizes[low] != sizes[high]:
        raise DataError(
            f"{table_name}: {column} {numbers[low]} in row {low} reads as {TIME_UNITS[sizes[low]]!r} but "
            f"{numbers[high]} in row {high} as {TIME_UNITS[sizes[high]]!r}. Correct the rows, or say which "
            f"holds with time_unit=... (--time-unit): {listing(TIME_UNITS)}."
        )
    return TIME_UNITS[sizes[low]]


def _refuse_compact(values: pd.Series, numbers: np.ndarray, unit: str, table_name: str) -> None:
    """Raise for dates written as numbers: their size would pass for a unit, in another year."""
    late = numbers // _PER_SECOND[unit] >= LATEST_DATE
    if not late.any() and unit == "ms":
        dates = pd.to_datetime(pd.Series(numbers).astype(str), format=_COMPACT, errors="coerce")
        late = np.full(len(numbers), bool(dates.notna().all()))
    remedy = (
        f"If it is a date without separators, write it as 2024-01-31T12:00; else say what the numbers count with "
        f"time_unit=... (--time-unit): {listing(TIME_UNITS)}."
    )
    _refuse(values, late, f"likely number of {_COUNTED[_PER_SECOND[unit]]} since 1970", table_name, 0, remedy)


def _nanoseconds(values: pd.Series, table_name: str) -> np.ndarray:
    is_date = values.isna() | values.map(lambda value: isinstance(value, (str, datetime.date)))
    iso = values.where(is_date).map(lambda v: _DOTTED.sub(r"\3-\2-\1", v) if isinstance(v, str) else v)
    parsed = pd.to_datetime(iso, utc=True, errors="coerce", format="ISO8601")
    wrong = (
        parsed.isna() | (parsed < pd.Timestamp.min.tz_localize("UTC")) | (parsed > pd.Timestamp.max.tz_localize("UTC"))
    )
    if wrong.any():
        row = int(np.argmax(wrong.to_numpy()))
        raise DataError(
            f"{table_name}: row {row} has {values.name} {values.iloc[row]!r}, which is no date between 1678 and 2261 "
            f"({int(wrong.sum())} such rows). Write ISO 8601, as in 2024-05-31T12:00:00, "
            f"or 31.05.2024 12:00, or a column of numbers, seconds since 1970."
        )
    return parsed.astype("datetime64[ns, UTC]").astype(np.int64).to_numpy()


def parts(values: pd.Series, table_name: str) -> pd.Series:
    """The split column in our words: train, valid, test, whatever their case; "val" and "dev" are valid."""
    words = values.astype(object).map(lambda value: value.strip().lower() if isinstance(value, str) else value)
    words = words.replace(_SYNONYMS)
    return known_parts(words.where(words.isin(PARTS), values), table_name)
