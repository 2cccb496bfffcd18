"""Every source, damaged at random: a valid data set, or a `DataError` that names the file, and a row at fault."""

from __future__ import annotations

import json
import pickle
import random
import re
import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from mmrec_lite.data import DataError
from mmrec_lite.data.readers.mmssl import read_sparse
from mmrec_lite.data.readers.tables import natural_order
from tests.hardness import kept
from tests.hardness.formats import FORMATS, PAIRS, Format, held, packed

ODD = [
    "", " ", "a,b", "a b", "a\tb", "🛒", "1e3", "007", "NaN", "nan", "inf", "-1", "null", "None", "true", str(10**18),
    str(10**30), "9" * 5000, "1e400", "1_600_000_000_000", "1600000000000", "2020-01-01", "4,5", "4.5", "five",
    '"open', "=HYPERLINK(\"x\")", "<script>alert(1)</script>", "x" * 5_000, "a\x00b", "é", "e\u0301", "\ufeff", "::",
]  # fmt: skip
VALUES = [
    *ODD, None, True, False, 0, -1, 7, 7.0, 7.5, 10**18, 10**30, -(2**63), 1e400, -1e400, float("nan"), [], {}, ["a"],
    {"a": 1}, [[]], "\ud800", "a\udfffb", 1_600_000_000_000, 1_600_000_000,
]  # fmt: skip


def damaged(content: bytes, draw: random.Random) -> bytes:
    """One to four random changes of bytes: flipped, cut, dropped, doubled, put in, or another encoding."""
    out = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at, to = sorted(draw.randrange(len(out) + 1) for _ in range(2))
        kind = draw.randrange(8)
        if kind == 0 and out:
            out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del out[at:]
        elif kind == 2:
            del out[at : min(to, at + 12)]
        elif kind == 3:
            out[at:at] = out[at : min(to, at + 40)]
        elif kind == 4:
            out[at:at] = draw.choice(ODD).encode()
        elif kind == 5:
            out[at:at] = draw.randbytes(draw.randint(1, 4))
        elif kind == 6 and draw.random() < 0.3:
            out = bytearray(bytes(out).decode("utf-8", "replace").encode(draw.choice(["utf-16", "latin-1"]), "replace"))
        elif kind == 7:
            rows = bytes(out).split(b"\n")
            draw.shuffle(rows)
            out = bytearray(b"\n".join(rows))
    return bytes(out)


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(name, tried):
    draw, form, counts = random.Random(name), FORMATS[name], {"read": 0, "refused": 0}
    for case in range(250):
        file = draw.choice(list(form.files))
        content = damaged(form.files[file], draw)
        try:
            outcome = held(form, {file: content})
        except Exception as error:
            raise AssertionError(f"{name}, case {case}: {file} = {content[:2000]!r}") from error
        counts["refused" if isinstance(outcome, str) else "read"] += 1
    assert min(counts.values()) > 3, counts
    tried("damaged files of ten sources (bytes flipped, cut, doubled, other encodings)", sum(counts.values()),
          "a valid data set, or an error that names the file")  # fmt: skip


@pytest.mark.parametrize("name", kept.NAMES)
def test_damaged_files_of_our_own(name, tried):
    """Own tables, what `save` has written, a checkpoint."""
    draw, counts = random.Random(name), {"read": 0, "refused": 0}
    files = kept.kept(name).files
    assert kept.held(name, {}) is None
    for case in range(150):
        file = draw.choice(list(files))
        content = damaged(files[file], draw)
        try:
            outcome = kept.held(name, {file: content})
        except Exception as error:
            raise AssertionError(f"{name}, case {case}: {file} = {content[:2000]!r}") from error
        counts["refused" if outcome else "read"] += 1
    assert counts["refused"] > 3, counts
    tried("damaged CSV tables of one's own, checkpoints and saved data sets", 150,
          "read, or an error that names the file")  # fmt: skip


def cells(name: str) -> tuple[str, list]:
    """The file of interactions and, for each of its fields, a function that puts a value into one row of it."""
    form = FORMATS[name]
    file = next(iter(form.files))
    rows = form.files[file].decode("latin-1" if file.endswith("dat") else "utf-8").splitlines()
    return file, rows


@pytest.mark.parametrize("name", [name for name in FORMATS if name.startswith(("amazon", "goodreads", "yelp"))])
def test_one_odd_value_in_a_record(name, tried):
    """The row is taken with a value that can be meant so, or it is left out and counted with its line."""
    file, rows = cells(name)
    form, count = FORMATS[name], 0
    fields = list(json.loads(rows[0]))
    for field in fields:
        for value in VALUES:
            changed = [*rows[:3], json.dumps({**json.loads(rows[3]), field: value}), *rows[4:]]
            data = held(form, {file: "\n".join(changed).encode()})
            assert not isinstance(data, str), (field, value, data)
            lost = len(PAIRS) - len(data)
            said = any("line 4" in note or "not marked as read" in note for note in data.card["notes"])
            assert lost == 0 or (lost == 1 and said), (field, value, data.card["notes"])
            count += 1
    tried("one odd value in one JSON record, every field", count, "row taken, or left out and counted with its line")


@pytest.mark.parametrize("name", ["movielens", "movielens-2003", "mmrec", "recbole"])
def test_one_odd_value_in_a_table(name, tried):
    """The row is taken with a value that can be meant so, or the error names file and row."""
    file, rows = cells(name)
    form, separator = FORMATS[name], {"movielens": ",", "movielens-2003": "::"}.get(name, "\t")
    counts = {"read": 0, "refused": 0}
    for column in range(len(rows[-1].split(separator))):
        for value in ODD:
            if separator in value or "\x00" in value:
                continue
            row = rows[-2].split(separator)
            row[column] = value
            content = "\n".join([*rows[:-2], separator.join(row), rows[-1], ""])
            outcome = held(form, {file: content.encode("latin-1" if file.endswith("dat") else "utf-8", "replace")})
            if isinstance(outcome, str):
                assert re.search(r"(row|line)s? \d", outcome), (column, value, outcome)
            counts["refused" if isinstance(outcome, str) else "read"] += 1
    assert min(counts.values()) > 5, counts
    tried(
        "one odd value in one row of a table, every column",
        sum(counts.values()),
        "row taken, or error names file and row",
    )


def test_the_files_are_valid_as_they_are():
    for name, form in FORMATS.items():
        assert isinstance(form, Format) and not isinstance(held(form, {}), str), name


def test_a_matrix_without_columns_is_named():
    """Found by atheris: the error named the modality and not the file."""
    assert "image_feat.npy: expected a matrix" in held(FORMATS["mmrec"], {"image_feat.npy": packed(np.zeros((3, 0)))})


def test_an_id_of_thousands_of_digits_is_an_id():
    """Python reads no number of more than 4,300 digits; ids are put into the order of numbers all the same."""
    long, longer = "9" * 5000, "1" + "0" * 5000
    assert natural_order([longer, "10", long, "2", "02"]) == ["02", "2", "10", long, longer]


CRAFTED = {
    "a memo of 2^24 places": b"\x80\x02Nr" + (2**24).to_bytes(4, "little") + b".",
    "an array of 2^40 numbers": b"\x80\x02cnumpy\nndarray\n\x8a\x06" + (2**40).to_bytes(6, "little") + b"\x85\x85R.",
    "numbers that are objects": b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R.",
    "a number of 2^40 bytes": b"\x80\x02cnumpy\ndtype\nX\x0e\x00\x00\x00V1099511627776\x85R.",
    "no end": b"\x80\x02N",
}


@pytest.mark.parametrize("what", CRAFTED)
def test_a_crafted_pickle_claims_no_memory(what, tmp_path, tried):
    (tmp_path / "trnMat.pkl").write_bytes(CRAFTED[what])
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"trnMat.pkl: not a pickled SciPy matrix"):
            read_sparse(tmp_path / "trnMat.pkl")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    tried("pickles that claim gigabytes, or are cut", 1, "refused, below 16 MiB of memory")


def test_row_pointers_that_count_more_than_there_is(tmp_path):
    matrix = sparse.csr_matrix(np.eye(3))
    matrix.indptr = np.array([0, 10**12, 10**12, 10**12])
    (tmp_path / "trnMat.pkl").write_bytes(pickle.dumps(matrix, protocol=2))
    with pytest.raises(DataError, match="row pointers do not count its entries"):
        read_sparse(tmp_path / "trnMat.pkl")
