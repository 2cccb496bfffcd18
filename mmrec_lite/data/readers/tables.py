"""What readers share: tables from files, columns by name, ids as text, numbers."""

from __future__ import annotations

import csv
import decimal
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

from ..checks import PARTS, known_parts
from ..errors import DataError, listing

Source = str | Path | pd.DataFrame

_CUT_SHORT = (EOFError, zlib.error)  # a gzip file that ends early, or is damaged in the middle
_UNREADABLE = (OSError, ValueError, OverflowError, RuntimeError, pd.errors.ParserWarning, zipfile.BadZipFile)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")  # 1.234 is 1234 where the comma is the decimal sign
_SHORTENED = re.compile(r"\d[.,]\d+E\+\d\d?", re.IGNORECASE)  # 4,00638E+12
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
        table = pd.read_csv(
            path,
            sep=separator,
            decimal="," if separator == ";" else ".",
            dtype=dict.fromkeys(ids, str),
            keep_default_na=False,
            na_values=[""],
            index_col=False,
            low_memory=False,
        )
    if any(_has_line_ends(table[column]) for column in table):
        _refuse_swallowed(path, separator)
    return table


def _has_line_ends(values: pd.Series) -> bool:
    text = pd.api.types.infer_dtype(values, skipna=True) == "string"
    return text and bool(values.str.contains("\n", regex=False, na=False).any())


def _refuse_swallowed(path: Path, separator: str) -> None:
    """Raise where words follow a closing quotation mark: then another cell opened it, and the rows between are in it.

    pandas takes two cells that begin with a mark ("Great ..., and "5 inch ...) for one.
    """
    limit, row = csv.field_size_limit(2**31 - 1), -1
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if path.suffix.lower() == ".gz"
            else path.open(encoding="utf-8-sig", newline="") as file
        ):
            lines = csv.reader(file, delimiter=separator, strict=True)
            try:
                for row, _ in enumerate(lines):  # noqa: B007
                    pass
            except csv.Error as error:
                if "expected after" not in str(error):  # pandas has read the rest
                    return
                raise DataError(
                    f"{path.name}: row {row} has a cell that a quotation mark opens and that ends in line "
                    f"{lines.line_num}, in the middle of another cell, so that the rows between were one cell. Quote "
                    f'whole cells and double the marks in them ("5"" disk"), or take the marks out.'
                ) from None
    finally:
        csv.field_size_limit(limit)


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
    numbers = as_numbers(values)
    wrong = ~(np.isfinite(numbers) & (np.abs(numbers) < 2.0**63) & (numbers == np.round(numbers)))
    refuse_rows(values, wrong, "whole number", what, first_row)
    return numbers.astype(np.int64).tolist()


def number_column(values: pd.Series, what: str, first_row: int = 0, empty: bool = False) -> list[float]:
    """A column of numbers that float32 can hold; with `empty` some may be missing (NaN). Raises as `whole_column`."""
    numbers = as_numbers(values)
    wrong = ~(np.abs(numbers) <= float(np.finfo(np.float32).max))
    refuse_rows(values, wrong & ~(values.isna().to_numpy() & empty), "number", what, first_row)
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


def as_numbers(values: pd.Series) -> np.ndarray:
    """A column as float64; NaN where a cell is no number (True and False are none)."""
    if values.dtype.kind == "b":
        return np.full(len(values), np.nan)
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def refuse_rows(
    values: pd.Series,
    wrong: np.ndarray,
    kind: str,
    what: str,
    first_row: int,
    remedy: str = "Correct or drop these rows.",
) -> None:
    """Raise where a row is `wrong`: name the first one, its value, and how many there are."""
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
    ids = _texts(values)
    distinct = pd.unique(ids)
    if any(not name.strip() for name in distinct):
        _refuse_missing((ids.str.strip() == "").to_numpy(), values, table_name)
    refuse_shortened(ids, table_name, "whole id")
    return ids


def refuse_shortened(values: pd.Series, table_name: str, kind: str) -> None:
    """Raise for a number that a spreadsheet wrote as 4,00638E+12: several may have become one."""
    if values.astype("str").str.contains("e+", case=False, regex=False, na=False).any():  # rare, and quickly said
        wrong = values.map(lambda value: isinstance(value, str) and _SHORTENED.fullmatch(value) is not None)
        remedy = "A spreadsheet shortened a long number, and several may have become one: format the column as text "
        refuse_rows(values, wrong.to_numpy(dtype=bool), kind, table_name, 0, remedy + "there and save it anew.")


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
    """A cell as text: 7.0 is "7", a missing one "", bytes are UTF-8. Raises `DataError` for bytes that are not."""
    if isinstance(value, str):  # nearly all are
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"a cell holds bytes that are not UTF-8 ({error}); write the column as text.") from None
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return str(int(value)) if value == int(value) else str(value)
    if isinstance(value, float | np.floating):
        return "" if value != value else str(int(value)) if float(value).is_integer() else str(value)
    return "" if value is None or value is pd.NaT or value is pd.NA else str(value)


def _texts(values: pd.Series) -> pd.Series:
    """A column by `word`, which is asked once for each whole number: millions of rows have few different ids."""
    if not pd.api.types.is_integer_dtype(values.dtype) or values.hasnans:
        return values.astype(object).map(word)
    codes, distinct = pd.factorize(values)
    texts = np.array([word(value) for value in distinct.tolist()], dtype=object)
    return pd.Series(texts[codes], index=values.index, name=values.name)


def words(values: pd.Series) -> pd.Series:
    """A column as text, cell by cell."""
    if pd.api.types.infer_dtype(values, skipna=True) == "string":  # millions of reviews need no call for each
        return values.fillna("").infer_objects()
    return _texts(values)


def natural_order(ids: pd.Series | pd.Index) -> list[str]:
    """The distinct ids, by number where all are numbers ("2" before "10"), else by alphabet."""
    distinct = pd.unique(pd.Series(ids, dtype=object)).tolist()
    numeric = all(name.isdecimal() and name.isascii() for name in distinct)
    return sorted(distinct, key=_by_number if numeric else None)


def _by_number(name: str) -> tuple[int, str, str]:
    digits = name.lstrip("0")  # not int(name): Python refuses to read thousands of digits
    return len(digits), digits, name


def parts(values: pd.Series, table_name: str) -> pd.Series:
    """The split column in our words: train, valid, test, whatever their case; "val" and "dev" are valid."""
    words = values.astype(object).map(lambda value: value.strip().lower() if isinstance(value, str) else value)
    words = words.replace(_SYNONYMS)
    return known_parts(words.where(words.isin(PARTS), values), table_name)
