"""Times that readers meet: seconds and their fractions, mere positions, dates in words; all become whole seconds."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..checks import whole_numbers
from ..errors import DataError, listing
from ..times import EARLIEST_DATE, LATEST_DATE
from .tables import as_numbers, refuse_rows, refuse_shortened, whole_column

# What does a number of this size count? Seconds since 1970 lie in 10^8..10^11 from 1973 to 5138,
# milliseconds in 10^11..10^14, and so on; smaller numbers are positions (0, 1, 2, ...): an order, no date.
_BOUNDS = (EARLIEST_DATE, 10**11, 10**14, 10**17)
TIME_UNITS = ("order", "s", "ms", "us", "ns")
_PER_SECOND = {"order": 1, "s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_COUNTED = {1: "seconds", 10**3: "milliseconds", 10**6: "microseconds", 10**9: "nanoseconds"}
_COMPACT = "%Y%m%d%H%M"  # 202401311200, which reads as milliseconds of 1976
_DOTTED = re.compile(r"^(\d{1,2})\.(\d{1,2})\.(\d{4})(?=$| )")  # day first; with slashes it may be the month


def time_column(values: pd.Series, what: str, first_row: int = 0) -> list[int]:
    """A column of seconds since 1970, or of mere positions; times after 2099 were counted in another unit."""
    numbers = whole_column(values, what, first_row)
    wrong = np.array([not 0 <= number < LATEST_DATE for number in numbers], dtype=bool)
    refuse_rows(values, wrong, "number of seconds between 1970 and 2099", what, first_row)
    return numbers


def log_times(values: pd.Series, what: str, unit: str | None) -> tuple[list[int], int]:
    """A log's times as whole numbers, and how many of them a second has (of fractions: 10^9, so that they order rows).

    They count in `unit`, else in the unit that the size of all numbers suggests (`told_unit`). Raises as `time_column`.
    """
    _check_unit(unit, what)
    numbers = as_numbers(values)
    wrong = ~(np.isfinite(numbers) & (np.abs(numbers) < 2.0**63))
    refuse_rows(values, wrong, "number", what, 0)
    per_second = _PER_SECOND[unit or told_unit([values])]
    wrong = ~((numbers >= 0) & (numbers < LATEST_DATE * per_second))
    remedy = (
        f"Correct or drop these rows, or say in which unit all rows count with time_unit=... (--time-unit): "
        f"{listing(TIME_UNITS)}."
    )
    refuse_rows(values, wrong, f"number of {_COUNTED[per_second]} between 1970 and 2099", what, 0, remedy)
    if values.dtype.kind in "iu":
        return values.tolist(), per_second
    whole, finer = np.floor(numbers).astype(np.int64), 10**9 // per_second
    rest = ((numbers - whole) * finer).astype(np.int64)
    return ((whole * finer + rest).tolist(), 10**9) if rest.any() else (whole.tolist(), per_second)


def told_unit(columns: Sequence[pd.Series]) -> str:
    """The unit that all numbers of all columns read as by their size, or seconds where they read as several."""
    sizes = {int(size) for values in columns for size in np.unique(_sizes(as_numbers(values)))}
    return TIME_UNITS[sizes.pop()] if len(sizes) == 1 else "s"


def _sizes(numbers: np.ndarray) -> np.ndarray:
    return np.searchsorted(_BOUNDS, np.abs(numbers), side="right")


def times_note(per_second: int) -> list[str]:
    """What a card says of times finer than seconds."""
    if per_second == 1:
        return []
    return [f"times: {per_second:,} a second; rows sorted by them, since whole seconds do not hold their order"]


def seconds(values: pd.Series, table_name: str, unit: str | None) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Times as whole seconds since 1970 (UTC), finer times if there are such, and a sentence for the card.

    Takes numbers in `unit` (None: told by their size), dates and strings (without a zone: UTC): ISO 8601, or with
    dots, 31.12.2025 14:05, where the day comes first.
    Missing, fractional and infinite values, and units that seem mixed, are refused with their row.
    """
    _check_unit(unit, table_name)
    column = values.name
    values = _as_numbers(values.infer_objects(), table_name)  # numbers may have come as objects, or as text
    if pd.api.types.is_numeric_dtype(values):
        numbers = whole_numbers(_plain(values), table_name, column)
        found = unit or _unit_of(numbers, table_name, column)
        if unit is None and found != "order":
            _refuse_compact(values, numbers, found, table_name)
        _refuse_late(values, numbers, found, table_name)
        per_second, how = _PER_SECOND[found], {"order": "order only, no dates", "s": "seconds"}.get(found)
        how = f"column {column!r}: {how or found + ', floored to seconds'}"
    elif unit is not None:
        raise DataError(f"{table_name}: {column} holds dates, which have no time_unit={unit!r}; leave it out.")
    else:
        numbers = _nanoseconds(values, table_name)
        per_second, how = 10**9, f"column {column!r}: dates (UTC), floored to seconds"
    whole = numbers // per_second
    finer = numbers if (whole * per_second != numbers).any() else None
    return whole, finer, how


def _as_numbers(values: pd.Series, table_name: str) -> pd.Series:
    """Text as numbers where each cell is one; raises for 1,7067E+12, of which a spreadsheet left days alone."""
    if pd.api.types.infer_dtype(values, skipna=True) != "string":
        return values
    refuse_shortened(values, table_name, "whole time")
    numbers = pd.to_numeric(values, errors="coerce")
    return values if (numbers.isna() & values.notna()).any() else numbers


def _refuse_late(values: pd.Series, numbers: np.ndarray, unit: str, table_name: str) -> None:
    """Raise where all times are after 2099: they count in another unit than was said."""
    late = numbers // _PER_SECOND[unit] >= LATEST_DATE
    if unit == "order" or not late.all():
        return
    remedy = f"Say what the numbers count with time_unit=... (--time-unit): {listing(TIME_UNITS)}."
    refuse_rows(values, late, f"number of {_COUNTED[_PER_SECOND[unit]]} before 2099", table_name, 0, remedy)


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
    refuse_rows(values, late, f"likely number of {_COUNTED[_PER_SECOND[unit]]} since 1970", table_name, 0, remedy)


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
