"""Pickles that somebody crafted: none of them gets hold of NumPy, of all memory, or of the reader itself."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from mmrec_lite.data import DataError
from mmrec_lite.data.readers.mmssl import _ALLOWED, read_sparse

REPOSITORY = Path(__file__).resolve().parents[2]
# Each file in a process of its own, which says what became of it: one that crashes, hangs or fills memory cannot.
READ = """
import os, resource, signal, sys
from mmrec_lite.data import DataError
from mmrec_lite.data.readers.mmssl import read_sparse
for path in sys.argv[1:]:
    if not (child := os.fork()):
        signal.alarm(20)
        resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
        try:
            said = f"read {read_sparse(path)}"
        except DataError as error:
            said = f"refused: {error}"
        with open(path + ".said", "w") as file:
            file.write(said)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(f"{path}: {code}")
"""


def word(text: str) -> bytes:
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


def whole(number: int) -> bytes:
    return b"\x8a\x09" + number.to_bytes(9, "little", signed=True)


def raw(content: bytes) -> bytes:
    return b"B" + len(content).to_bytes(4, "little") + content


def kind(name: str, state: bytes | None = None) -> bytes:
    """A dtype, with NumPy's own state or another."""
    plain = b"(K\x03" + word("<") + b"NNN" + whole(-1) * 2 + b"K\x00t"
    return b"cnumpy\ndtype\n" + word(name) + b"\x89\x88\x87R" + (plain if state is None else state) + b"b"


def array(dtype: bytes, shape: bytes, data: bytes) -> bytes:
    """An array as NumPy writes it, with a state of one's own."""
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(K\x00t" + word("b") + b"\x87R"
    return empty + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb"


def numbers(*values: int) -> bytes:
    return array(kind("i8"), b"(" + whole(len(values)) + b"t", raw(np.array(values, dtype="<i8").tobytes()))


def matrix(**attributes: bytes) -> bytes:
    """A CSR matrix of one row and column, some of its attributes changed."""
    good = {"_shape": b"(K\x01K\x01t", "indptr": numbers(0, 1), "indices": numbers(0), "data": numbers(1)}
    state = b"".join(word(name) + content for name, content in (good | attributes).items())
    return b"\x80\x03cscipy.sparse._csr\ncsr_matrix\n)\x81}(" + state + b"ub."


def fields(offset: int) -> bytes:
    """A dtype's state with a field so many bytes away."""
    one = b"}" + word("a") + kind("f8") + whole(offset) + b"\x86s"
    return b"(K\x03" + word("|") + b"N(" + word("a") + b"t" + one + b"K\x08K\x01K\x00t"


def parts(size: int) -> bytes:
    """A dtype's state by which each element has so many parts."""
    return b"(K\x03" + word("|") + kind("f8") + b"(" + whole(size) + b"t\x86NNK\x08K\x01K\x00t"


EIGHT = raw(bytes(8))
ONE = b"(K\x01t"
DEEP = b")" + b"\x85" * 10**6  # a tuple in a tuple in a tuple ...
TWICE = b")" + b"q\x00h\x00\x86" * 60  # each holds the one before twice
FAR = array(kind("f8", fields(2**46)), ONE, EIGHT)
CRAFTED = {
    "written to behind the array": b"\x80\x03" + FAR + word("a") + b"G" + bytes(8) + b"s.",
    "written to before the array": b"\x80\x03" + array(kind("f8", fields(-(2**46))), ONE, EIGHT) + word("a") + b"Ns.",
    "data with a field far away": matrix(data=FAR),
    "data with parts that are not there": matrix(data=array(kind("f8", parts(2**27)), ONE, EIGHT)),
    "a scalar with parts that are not there": matrix(
        data=b"cnumpy.core.multiarray\nscalar\n" + kind("f8", parts(2**27)) + EIGHT + b"\x86R"
    ),
    "a buffer with parts that are not there": matrix(
        data=b"cnumpy.core.numeric\n_frombuffer\n(" + EIGHT + kind("f8", parts(2**27)) + ONE + word("C") + b"tR"
    ),
    "elements of 2^40 bytes": matrix(
        data=array(kind("f8", b"(K\x03" + word("<") + b"NNN" + whole(2**40) + b"K\x01K\x00t"), ONE, EIGHT)
    ),
    "a state twice": b"\x80\x03" + kind("f8") + fields(2**46) + b"b.",
    "fewer bytes than numbers": matrix(data=array(kind("f8"), b"(K\x02t", EIGHT)),
    "more bytes than numbers": matrix(data=array(kind("f4"), ONE, EIGHT)),
    "a negative length": matrix(data=array(kind("f8"), b"(" + whole(-1) + b"t", EIGHT)),
    "no kind": matrix(data=array(b"N", ONE, EIGHT)),
    "an array that was never told what it holds": matrix(data=b"cnumpy\nndarray\n)\x81"),
    "an array in itself": matrix(data=numbers(1) + b"q\x07(K\x01" + ONE + kind("i8") + b"\x89h\x07tb"),
    "pointers whose steps overflow to the right sum": matrix(
        indptr=numbers(0, 2**62, -(2**63), -(2**62), 1), _shape=b"(K\x04K\x01t"
    ),
    "pointers that begin elsewhere": matrix(indptr=numbers(5, 6)),
    "a shape of words": matrix(_shape=word("11")),
    "a tuple in a million tuples as a key": b"\x80\x03}" + DEEP + b"Ns.",
    "such a key among several": b"\x80\x03}(" + DEEP + b"Nu.",
    "such a key from the start": b"\x80\x03(" + DEEP + b"Nd.",
    "a set of it": b"\x80\x04\x8f(" + DEEP + b"\x90.",
    "a frozen set of it": b"\x80\x04(" + DEEP + b"\x91.",
    "a matrix of 2^60 words": b"\x80\x03" + TWICE + b".",
    "bytes of 2^60 words": b"\x80\x03c__builtin__\nbytes\n" + TWICE + b"\x85R.",
    "a kind of 2^60 words": b"\x80\x03cnumpy\ndtype\n" + TWICE + b"\x85R.",
    "an object of 2^60 words": b"\x80\x03ccopyreg\n_reconstructor\n" + TWICE + b"NN\x87R.",
    "an item of an array": b"\x80\x03" + numbers(1, 2) + b"K\x01K\x07s.",
    "items of a kind": b"\x80\x03" + kind("f8") + b"(" + word("a") + b"K\x08u.",
    "a number at the end of an array": b"\x80\x03" + numbers(1, 2) + b"K\x07a.",
    "numbers at the end of an array": b"\x80\x03" + numbers(1, 2) + b"(K\x07K\x08e.",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, str]:
    """What reading each of them has said."""
    folder = tmp_path_factory.mktemp("crafted")
    paths = {what: folder / f"{number}.pkl" for number, what in enumerate(CRAFTED)}
    for what, path in paths.items():
        path.write_bytes(CRAFTED[what])
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", READ, *map(str, paths.values())], env=environment, check=True, timeout=600)
    said = {what: path.with_name(f"{path.name}.said") for what, path in paths.items()}
    return {what: path.read_text() if path.exists() else "died" for what, path in said.items()}


@pytest.mark.parametrize("what", CRAFTED)
def test_a_crafted_pickle_is_refused(what, outcomes):
    assert outcomes[what].startswith("refused: ") and "not a pickled SciPy matrix and nothing else" in outcomes[what]
    assert len(outcomes[what]) < 300


def test_the_files_are_crafted_as_numpy_writes_them(tmp_path):
    """Unchanged, what the others are made of is a matrix; or they would be refused for their spelling."""
    (tmp_path / "m.pkl").write_bytes(matrix())
    rows, columns, shape = read_sparse(tmp_path / "m.pkl")
    assert (rows.tolist(), columns.tolist(), shape) == ([0], [0], (1, 1))


@pytest.mark.parametrize("name", sorted(_ALLOWED))
@pytest.mark.parametrize("state", [b"}" + word("mark") + b"K\x01s", b"N}" + word("mark") + b"K\x01s\x86"])
def test_no_file_leaves_anything_in_the_reader(name, state, tmp_path):
    """A state for a class or function would be kept by it, and hold for every file that is read after."""
    before = dict(vars(_ALLOWED[name]))
    (tmp_path / "m.pkl").write_bytes(b"\x80\x03c" + "\n".join([*name, ""]).encode() + state + b"b.")
    with pytest.raises(ValueError, match="not a pickled SciPy matrix"):
        read_sparse(tmp_path / "m.pkl")
    assert dict(vars(_ALLOWED[name])) == before


@pytest.mark.parametrize("crafted", [
    b"\x80\x05\x96" + (2**28).to_bytes(8, "little") + b"abc.",
    b"\x80\x02]" + word("x" * 2**20) + b"q\x00(" + (b"c_codecs\nencode\nh\x00" + word("latin1") + b"\x86R") * 99
    + b"e.",
], ids=["bytes set aside for a length alone", "a copy of a text for each time it is named"])  # fmt: skip
def test_a_small_file_fills_no_memory(crafted, tmp_path):
    (tmp_path / "m.pkl").write_bytes(crafted)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="not a pickled SciPy matrix"):
            read_sparse(tmp_path / "m.pkl")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["coo_matrix", "csr_matrix", "csc_matrix", "coo_array", "csr_array", "csc_array"])
def test_numbers_of_every_kind_come_through(protocol, kind, tmp_path):
    """Also big-endian ones, sizes that are NumPy's own numbers, and a matrix without entries."""
    for code in ("?", "i1", "u1", "<i2", ">i2", "<u4", ">i4", "<i8", ">u8", "<f2", ">f4", "<f8", ">f8"):
        matrix = getattr(sparse, kind)(sparse.coo_matrix(([1, 1], ([0, 2], [1, 0])), shape=(3, 4)))
        matrix.data, matrix._shape = matrix.data.astype(code), (np.int64(3), np.int32(4))
        (tmp_path / "m.pkl").write_bytes(pickle.dumps(matrix, protocol=protocol))
        rows, columns, shape = read_sparse(tmp_path / "m.pkl")
        assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 1), (2, 0)] and shape == (3, 4)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(getattr(sparse, kind)((3, 4)), protocol=protocol))
    assert len(read_sparse(tmp_path / "m.pkl")[0]) == 0
