"""Feature matrices from files, and which of their rows stand for an item that lacks the modality."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..checks import check_name
from ..errors import DataError, first, listing

Matrix = str | Path | np.ndarray
MARKS = ("zero", "nan")


def read_matrix(source: Matrix, modality: str) -> tuple[np.ndarray, str]:
    """The matrix of a modality (float16 or float32) and what to call it in messages."""
    check_name(modality, "modality")
    if isinstance(source, str | Path):
        path, what = Path(source), Path(source).name
        if not path.is_file():
            raise DataError(f"features[{modality!r}]: there is no file {path}.")
        if path.suffix != ".npy":
            raise DataError(f"{what}: features are read from .npy; convert the file with numpy.save.")
        try:
            with path.open("rb") as file:
                matrix = np.lib.format.read_array(file, allow_pickle=False)
        except Exception as error:  # whatever a damaged header provokes is one kind of refusal
            raise DataError(f"{what}: not readable as a matrix of numbers ({error}).") from None
    else:
        matrix, what = np.asarray(source), f"features[{modality!r}]"
    if matrix.ndim != 2 or not matrix.shape[1] or matrix.dtype.kind not in "biuf":
        raise DataError(f"{what}: expected a matrix of numbers, one row an item; got {matrix.shape}, {matrix.dtype}.")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused with its row
        return matrix if matrix.dtype in (np.float16, np.float32) else matrix.astype(np.float32), what


def check_rows(matrices: Mapping[str, tuple[np.ndarray, str]], n_items: int, items_name: str) -> None:
    """Raise unless every matrix has one row an item."""
    for matrix, what in matrices.values():
        if len(matrix) != n_items:
            raise DataError(
                f"{what} has {len(matrix)} rows, but {items_name} has {n_items}: row i of a feature file "
                f"describes row i of the items. Write one row an item, zeros for one that lacks it, and pass "
                f"missing='zero' (--missing zero)."
            )


def mark_missing(
    matrices: Mapping[str, tuple[np.ndarray, str]], missing: str | Mapping[str, str] | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[str]]:
    """Find the items that lack a modality: matrices with zeros there, (I,) bool masks, a sentence a modality.

    `missing` is "zero" or "nan": which rows mean "lacks it", for all modalities or by modality.
    """
    marks = _marks_by_modality(missing, list(matrices))
    vectors, present, notes = {}, {}, []
    for modality, (matrix, what) in matrices.items():
        absent = _absent(matrix, what, modality, marks.get(modality))
        vectors[modality] = np.where(absent[:, None], np.zeros((), matrix.dtype), matrix)
        present[modality] = ~absent
        zeros = int((~matrix.any(axis=1)).sum())
        if modality in marks:
            notes.append(f"{modality}: {int(absent.sum())} of {len(matrix)} items lack it")
        elif zeros:
            notes.append(f"{modality}: {zeros} rows of zeros taken as they are (missing='zero': items lack it)")
        if _one_direction(vectors[modality]):
            notes.append(
                f"{modality}: all rows point one way, so that no two items differ by their cosine, which most methods "
                f"compare them by; cut numbers such as prices into classes, a column each"
            )
    return vectors, present, notes


def _one_direction(matrix: np.ndarray) -> bool:
    """Whether rows differ in length alone, as a column of prices does; zeros left out, up to 2,000 rows looked at."""
    rows = np.flatnonzero(matrix.any(axis=1))
    unit = matrix[rows[:: max(1, len(rows) // 1000)]].astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return len(unit) > 1 and float((unit @ unit[0]).min()) > 1 - 1e-6


def _marks_by_modality(missing: str | Mapping[str, str] | None, modalities: list[str]) -> dict[str, str]:
    """`missing` as a dict, its modalities and marks checked."""
    marks = dict.fromkeys(modalities, missing) if isinstance(missing, str) else dict(missing or {})
    unknown = [modality for modality in marks if modality not in modalities]
    if unknown:
        raise DataError(f"missing: unknown modality {first(unknown)}; the features are: {listing(modalities)}.")
    wrong = [mark for mark in marks.values() if mark not in MARKS]
    if wrong:
        raise DataError(f"missing: unknown mark {first(wrong)}; there are: {listing(MARKS)}.")
    return marks


def _absent(matrix: np.ndarray, what: str, modality: str, mark: str | None) -> np.ndarray:
    """(I,) bool; NaN or infinity that `mark` does not explain is refused, also a row that is NaN in part."""
    absent = np.zeros(len(matrix), dtype=bool)
    if mark == "nan":
        absent = np.isnan(matrix).all(axis=1)
    elif mark == "zero":
        absent = ~matrix.any(axis=1)
    wrong = ~(np.isfinite(matrix).all(axis=1) | absent)
    if wrong.any():
        raise DataError(
            f"{what}: row {int(wrong.argmax())} holds NaN, infinity or a number beyond float32 "
            f"({int(wrong.sum())} such rows). Correct them; where a row of NaN means that the item "
            f"lacks {modality!r}, pass missing='nan' (--missing {modality}=nan)."
        )
    return absent
