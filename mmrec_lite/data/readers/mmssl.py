"""The pickled SciPy splits of MMSSL, DiffMM and LATTICE's kin, read without running anything that is in them."""

from __future__ import annotations

import io
import pickle  # its Unpickler alone, restricted below  # nosec B403
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset import MultimodalDataset
from ..errors import DataError
from .logs import Filters, Log, Parts, finish, usable_name
from .matrices import Matrix, mark_missing, read_matrix

FILES = {"train": "trnMat.pkl", "valid": "valMat.pkl", "test": "tstMat.pkl"}


class _Matrix:
    """Stands in for every SciPy class: it keeps the pickled attributes, and no code of SciPy runs."""


class _ByColumns(_Matrix):
    """Stands in for CSC, whose attributes are called like CSR's."""


class _Array:
    """Stands in for `numpy.ndarray`, which a crafted file could call with a shape that claims all memory."""


def _dtype(*arguments: object) -> np.dtype:
    kind = np.dtype(*arguments)
    if kind.kind not in "biuf" or kind.itemsize > 8:
        raise pickle.UnpicklingError(f"its arrays are not numbers but {kind}")
    return kind


def _empty_array(kind: type, shape: tuple, typecode: bytes | str) -> np.ndarray:
    """What NumPy pickles every array as, before its state: an empty one. Another shape could claim all memory."""
    if kind is not _Array or tuple(shape) != (0,):
        raise pickle.UnpicklingError("an array that does not begin empty")
    return np.empty(0, dtype=np.int8)


def _reconstructor(kind: type, base: type, state: object) -> object:
    if kind not in (_Matrix, _ByColumns) or base is not object:
        raise pickle.UnpicklingError(f"an object of kind {kind!r}")
    return kind()


def _from_buffer(data: bytes, kind: np.dtype, shape: tuple, order: str) -> np.ndarray:
    return np.frombuffer(data, dtype=kind).reshape(shape, order=order)


def _scalar(kind: np.dtype, data: bytes) -> Any:
    return np.frombuffer(data, dtype=kind)[0]


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _dtype,
    ("builtins", "object"): object,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("copy_reg", "_reconstructor"): _reconstructor,  # Python 2's names, in protocols below 3
    ("__builtin__", "object"): object,
    ("_codecs", "encode"): lambda text, codec: text.encode(codec) if codec in ("latin1", "latin-1") else None,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty_array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{
        (f"scipy.sparse.{module}{kind}", f"{kind}_{what}"): _ByColumns if kind == "csc" else _Matrix
        for module in ("", "_")
        for kind in ("coo", "csr", "csc")
        for what in ("matrix", "array")
    },
}


# Python's own, not the faster pickle.Unpickler: that one sets memory aside for whatever number a file names.
class _Restricted(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def read_sparse(path: str | Path) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Rows and columns of a pickled COO, CSR or CSC matrix's entries that are not zero, and its shape.

    Anything but NumPy arrays in a SciPy matrix is refused, and nothing in the file is called. Raises `DataError`.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"mmssl: there is no file {path}.")
    try:
        content = _Restricted(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        if not isinstance(content, _Matrix):
            raise pickle.UnpicklingError(f"it holds {type(content).__name__}")
        return _entries(vars(content), isinstance(content, _ByColumns))
    except DataError:
        raise
    except Exception as error:  # whatever a crafted file provokes is one kind of refusal
        raise DataError(
            f"{path.name}: not a pickled SciPy matrix and nothing else ({error}); such a file could run anything, so "
            f"it is not opened in another way."
        ) from None


def _entries(state: dict[str, Any], by_columns: bool) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """The entries of a matrix by its attributes, checked against its shape."""
    n_rows, n_columns = (int(size) for size in state["_shape"])
    if "indptr" in state:
        indptr, indices = np.asarray(state["indptr"]), np.asarray(state["indices"])
        steps = np.diff(indptr.astype(np.int64))
        if (steps < 0).any() or steps.sum() != len(indices):
            raise ValueError("its row pointers do not count its entries")
        major = np.repeat(np.arange(len(indptr) - 1), steps)
        rows, columns = (indices, major) if by_columns else (major, indices)
    else:
        rows, columns = state["coords"] if "coords" in state else (state["row"], state["col"])
    values = np.asarray(state["data"])
    rows, columns = np.asarray(rows), np.asarray(columns)
    whole = rows.dtype.kind in "iu" and columns.dtype.kind in "iu" and values.dtype.kind in "iufb"
    if not whole or not (len(rows) == len(columns) == len(values)):
        raise ValueError("its arrays are not numbers of one length")
    inside = (rows >= 0) & (rows < n_rows) & (columns >= 0) & (columns < n_columns)
    if not inside.all():
        raise ValueError("an entry lies outside the shape")
    there = values != 0
    return rows[there].astype(np.int64), columns[there].astype(np.int64), (n_rows, n_columns)


def read_mmssl(
    folder: str | Path,
    features: Mapping[str, Matrix] | None = None,
    *,
    missing: str | Mapping[str, str] | None = None,
    filters: Filters = Filters(0, 0),  # noqa: B008  (frozen)
    name: str | None = None,
) -> MultimodalDataset:
    """Read `trnMat.pkl`, `valMat.pkl`, `tstMat.pkl` (user x item) with their split, and features by modality.

    Without `features` every `*_feat.npy` in the folder is one. Items that nobody took are kept where features describe
    them. Pickles are read by a restricted unpickler. Raises `DataError` for anything else in them.
    """
    folder = Path(folder)
    name = usable_name(name, folder.resolve().name)
    if features is None:
        features = {path.name.removesuffix("_feat.npy"): path for path in sorted(folder.glob("*_feat.npy"))}
    log, place, shape = Log(folder.resolve().name), 0, None
    for part, file in FILES.items():
        rows, columns, size = read_sparse(folder / file)
        if shape not in (None, size):
            raise DataError(f"mmssl: {file} has the shape {size}, another part {shape}.")
        shape = size
        for user, item in zip(rows.tolist(), columns.tolist(), strict=True):
            log.add(str(user), str(item), place, part=part)
            place += 1
    log.closed().filter(filters)
    matrices = {modality: read_matrix(source, modality) for modality, source in features.items()}
    for matrix, what in matrices.values():
        if len(matrix) != shape[1]:
            raise DataError(f"{what} has {len(matrix)} rows, but the matrices have {shape[1]} items.")
    filled, present, notes = mark_missing(matrices, missing)
    log.notes += notes
    vectors = {m: ([str(n) for n in np.flatnonzero(present[m])], filled[m][present[m]]) for m in matrices}
    untaken = [str(n) for n in range(shape[1]) if str(n) not in log.item_ids] if matrices else []
    files = {part: folder / file for part, file in FILES.items()}
    files |= {m: Path(source) for m, source in features.items() if isinstance(source, str | Path)}
    parts = Parts(features=vectors, files=files, more_items=untaken)
    return finish(log, parts, reader="mmssl", name=name)
