"""The pickled SciPy splits of MMSSL, DiffMM and LATTICE's kin, read without running anything that is in them."""

from __future__ import annotations

import io
import pickle  # its Unpickler alone, restricted below  # nosec B403
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..dataset import MultimodalDataset
from ..errors import DataError
from .logs import Filters, Log, Parts, finish, usable_name
from .matrices import Matrix, mark_missing, read_matrix

FILES = {"train": "trnMat.pkl", "valid": "valMat.pkl", "test": "tstMat.pkl"}
_NUMBER = re.compile("b1|[iu][1248]|f[248]")  # kind and bytes, as NumPy writes them


class _StandIn:
    """What a pickle builds in place of an object of NumPy or SciPy: it keeps what the file says, and runs nothing."""


class _Matrix(_StandIn):
    """Stands in for every SciPy class."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state


class _ByColumns(_Matrix):
    """Stands in for CSC, whose attributes are called like CSR's."""


class _Kind(_StandIn):
    """Stands in for `numpy.dtype`, which believes whatever fields, sizes and offsets a crafted state names."""

    name, order = "", "="

    def __init__(self, name: object, align: object = False, copy: object = True) -> None:
        if not isinstance(name, str) or not _NUMBER.fullmatch(name):
            raise pickle.UnpicklingError("its arrays are not numbers")
        self.name = name

    def __setstate__(self, state: tuple) -> None:
        if (state[0], *state[2:]) != (3, None, None, None, -1, -1, 0) or state[1] not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError("its arrays are not plain numbers")
        self.order = state[1]


class _Array(_StandIn):
    """Stands in for `numpy.ndarray`: a row of numbers, made when the file has been read and found to hold as many."""

    kind: _Kind | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, self.kind, _, self.data = state
        (self.size,) = shape

    def numbers(self) -> np.ndarray:
        if type(self.kind) is not _Kind or type(self.size) is not int:
            raise ValueError("an array without a kind or a size")
        if not isinstance(self.data, bytes | str) or len(self.data) != self.size * int(self.kind.name[1:]):
            raise ValueError("an array of another length than it says")
        # Bytes may come as text, a letter each: so do Python 2's, and everybody's below protocol 3.
        data = self.data.encode("latin-1") if isinstance(self.data, str) else self.data
        return np.frombuffer(data, dtype=np.dtype(self.kind.order + self.kind.name))


def _empty_array(kind: type, shape: tuple, typecode: bytes | str) -> _Array:
    """What NumPy pickles every array as, before its state: an empty one."""
    if kind is not _Array or tuple(shape) != (0,):
        raise pickle.UnpicklingError("an array that does not begin empty")
    return _Array()


def _reconstructor(kind: type, base: type, state: object) -> object:
    if kind not in (_Matrix, _ByColumns) or base is not object:
        raise pickle.UnpicklingError("an object that is no matrix")
    return kind()


def _from_buffer(data: bytes, kind: _Kind, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, kind, False, data))
    return array


def _scalar(kind: _Kind, data: bytes) -> int | float | bool:
    return _from_buffer(data, kind, (1,), "C").numbers()[0].item()


def _encode(text: str, codec: str) -> str:
    """Leave it text, which `_Array` understands: a copy for each call could fill the memory out of a small file."""
    if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("text in another code than Latin-1")
    return text


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("builtins", "object"): object,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("copy_reg", "_reconstructor"): _reconstructor,  # Python 2's names, in protocols below 3
    ("__builtin__", "object"): object,
    ("__builtin__", "bytes"): lambda: "",  # what no bytes at all are called in protocols below 3
    ("_codecs", "encode"): _encode,
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

    def _build(self) -> None:
        """Give a stand-in its state; a class or function would keep one for whoever reads the next file."""
        state, built = self.stack.pop(), self.stack[-1]
        if not isinstance(built, _StandIn):
            raise pickle.UnpicklingError("a state for what is neither a matrix nor an array")
        built.__setstate__(state)

    def _set(self, target: object, items: list) -> None:
        # A tuple in a tuple in a tuple ... as a key would be hashed level by level, until the stack or the day is over.
        if type(target) is not dict or not all(isinstance(key, str) for key in items[::2]):
            raise pickle.UnpicklingError("a key that is no name")
        target.update(zip(items[::2], items[1::2], strict=True))

    def _set_one(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set(self.stack[-1], [key, value])

    def _set_many(self) -> None:
        items = self.pop_mark()
        self._set(self.stack[-1], items)

    def _dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set(self.stack[-1], items)

    def _refuse_set(self) -> None:
        raise pickle.UnpicklingError("a set")

    dispatch: ClassVar[dict] = pickle._Unpickler.dispatch | {
        pickle.BUILD[0]: _build,
        pickle.SETITEM[0]: _set_one,
        pickle.SETITEMS[0]: _set_many,
        pickle.DICT[0]: _dict,
        pickle.ADDITEMS[0]: _refuse_set,  # it would hash, too
        pickle.FROZENSET[0]: _refuse_set,
        pickle.BYTEARRAY8[0]: pickle._Unpickler.load_binbytes8,  # its own sets the memory aside before it reads
    }


def read_sparse(path: str | Path) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Rows and columns of a pickled COO, CSR or CSC matrix's entries that are not zero, and its shape.

    Anything but NumPy arrays in a SciPy matrix is refused, nothing in the file is called, and no object of NumPy or
    SciPy exists before all of it has been read. Raises `DataError`.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"mmssl: there is no file {path}.")
    try:
        content = _Restricted(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        if not isinstance(content, _Matrix):
            raise pickle.UnpicklingError(f"it holds {type(content).__name__}")
        return _entries(content.state, isinstance(content, _ByColumns))
    except DataError:
        raise
    except Exception as error:  # whatever a crafted file provokes is one kind of refusal
        raise DataError(
            f"{path.name}: not a pickled SciPy matrix and nothing else ({error}); such a file could run anything, so "
            f"it is not opened in another way."
        ) from None


def _entries(state: dict[str, Any], by_columns: bool) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """The entries of a matrix by its attributes, checked against its shape."""
    n_rows, n_columns = state["_shape"]
    if not all(type(size) is int and 0 <= size < 2**63 for size in (n_rows, n_columns)):
        raise ValueError("its shape is not two numbers")
    if "indptr" in state:
        indices, major = state["indices"].numbers(), _expanded(state["indptr"].numbers(), state["indices"].size)
        rows, columns = (indices, major) if by_columns else (major, indices)
    else:
        row, column = state["coords"] if "coords" in state else (state["row"], state["col"])
        rows, columns = row.numbers(), column.numbers()
    values = state["data"].numbers()
    whole = rows.dtype.kind in "iu" and columns.dtype.kind in "iu"
    if not whole or not (len(rows) == len(columns) == len(values)):
        raise ValueError("its arrays are not numbers of one length")
    inside = (rows >= 0) & (rows < n_rows) & (columns >= 0) & (columns < n_columns)
    if not inside.all():
        raise ValueError("an entry lies outside the shape")
    there = values != 0
    return rows[there].astype(np.int64), columns[there].astype(np.int64), (n_rows, n_columns)


def _expanded(indptr: np.ndarray, entries: int) -> np.ndarray:
    """The row of each entry; pointers are compared, not subtracted, since what overflows would pass for a step."""
    if indptr.dtype.kind not in "iu":
        raise ValueError("its row pointers are not whole numbers")
    indptr = indptr.astype(np.int64)
    if indptr[0] != 0 or indptr[-1] != entries or (indptr[1:] < indptr[:-1]).any():
        raise ValueError("its row pointers do not count its entries")
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))


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
