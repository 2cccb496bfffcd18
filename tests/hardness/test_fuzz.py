"""Whatever a table holds, reading it ends in a valid data set or in an error that says where and what."""

from __future__ import annotations

import csv
import io
import string

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmrec_lite as mm
from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.data.readers import read_frames
from tests.hardness.formats import check_valid

FEW = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}
ODD = st.sampled_from(
    [None, "", " ", "a,b", "a b", "🛒", "1e3", "007", "7", 7, 7.0, 10**18, -1, 0, float("nan"), float("inf"), "NaN",
     "null", "None", True, "=HYPERLINK(\"x\")", "<script>alert(1)</script>", "x" * 2_000, "a\x00b", "é", "é", b"x"]
)  # fmt: skip
WORD = st.one_of(ODD, st.text(max_size=6), st.integers(-5, 5), st.floats(width=16))
TIME = st.one_of(
    st.integers(0, 2**62), st.floats(), st.sampled_from([None, "2020-01-01", "yesterday", "1e9", 1_600_000_000_000, -5])
)


def outcome(read, counts: dict[str, int], *arguments, **options) -> MultimodalDataset | None:
    """A valid data set, or None where a `DataError` with a sentence was raised; anything else fails the test."""
    try:
        dataset = read(*arguments, **options)
    except DataError as error:
        assert len(str(error)) > 20 and str(error).rstrip().endswith((".", ")")), str(error)
        counts["refused"] += 1
        return None
    counts["read"] += 1
    return dataset


def summary(counts: dict[str, int]) -> str:
    return f"{counts['read']} valid data sets, {counts['refused']} errors with a sentence"


def test_tables_of_anything(tried):
    counts = {"read": 0, "refused": 0}
    rows = st.lists(st.tuples(WORD, WORD, TIME, WORD), max_size=8)

    @settings(max_examples=1500, **FEW)
    @given(rows, st.booleans(), st.booleans(), st.booleans())
    def check(rows, times, ratings, drop):
        table = pd.DataFrame(rows, columns=["user", "item", "timestamp", "rating"], dtype=object)
        columns = ["user", "item"] + ["timestamp"] * times + ["rating"] * ratings
        dataset = outcome(read_frames, counts, table[columns], drop_duplicates=drop)
        if dataset is not None:
            check_valid(dataset)

    check()
    assert min(counts.values()) > 50
    tried("tables of odd ids, times and ratings (`read_frames`)", sum(counts.values()), summary(counts))


def test_text_files_of_anything(tmp_path, tried):
    counts = {"read": 0, "refused": 0}
    odd = st.one_of(
        st.text(alphabet=string.printable + "äé🛒", max_size=30),
        st.tuples(st.text(max_size=5), st.text(max_size=5)).map(lambda pair: ",".join(pair)),
        st.sampled_from(["u1,i1", "u2,i2", "u1,i3", '"u,1",i1', "u1,i1,extra", "u1", '"open,i1', ",", "u\r1,i1"]),
    )

    plain = st.tuples(st.integers(0, 9), st.integers(0, 99)).map(lambda pair: f"u{pair[0]},i{pair[1]}")
    # `one_of` asks each kind of odd line as often as the plain ones, however often it names these.
    line = st.sampled_from([plain] * 9 + [odd]).flatmap(lambda kind: kind)
    lines = st.lists(line, min_size=1, max_size=5) | st.lists(odd, max_size=6)
    heads = st.sampled_from(["user,item", "item,user", "\ufeffuser,item"] * 3 + ["user", ""])

    @settings(max_examples=600, **FEW)
    @given(lines, heads, st.sampled_from(["utf-8", "utf-8", "utf-8", "latin-1", "utf-16"]))
    def check(lines, head, encoding):
        file = tmp_path / "rows.csv"
        file.write_bytes("\n".join([head, *lines]).encode(encoding, errors="replace"))
        dataset = outcome(read_frames, counts, file, drop_duplicates=True)
        if dataset is not None:
            check_valid(dataset)

    check()
    assert min(counts.values()) > 100, counts
    tried("CSV files of odd lines, quotes and encodings", sum(counts.values()), summary(counts))


def test_csv_written_by_others_is_read_back_as_it_was(tmp_path, tried):
    """Ids with commas, quotes, emoji, line breaks: what Python's csv module writes, the reader reads."""
    counts, seen = {"read": 0, "refused": 0}, set()
    text = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
    signs = st.text(alphabet="ab,\"\n'; 🛒", min_size=1, max_size=8)
    name = st.one_of(text, signs, st.sampled_from(["a,b", 'a"b', "a\nb", '"', ",", 'a,"b"\nc'])).filter(
        lambda word: word == word.strip()
    )

    @settings(max_examples=300, **FEW)
    @given(st.lists(st.tuples(name, name), min_size=1, max_size=8, unique=True))
    def check(pairs):
        stream = io.StringIO()
        csv.writer(stream).writerows([("user", "item"), *pairs])
        file = tmp_path / "rows.csv"
        file.write_text(stream.getvalue(), encoding="utf-8", newline="")
        dataset = outcome(read_frames, counts, file)
        assert dataset is not None
        users, items = dataset.users["user_id"], dataset.items["item_id"]
        table = dataset.interactions
        read = {(users[u], items[i]) for u, i in zip(table["user"], table["item"], strict=True)}
        assert read == set(pairs)
        seen.update(sign for pair in pairs for word in pair for sign in word)

    check()
    assert seen >= set(',"\n🛒')
    tried("CSV with commas, quotes, emoji in ids, against Python's csv module", counts["read"], "ids equal")


def test_features_of_anything(tried):
    counts = {"read": 0, "refused": 0}
    number = st.sampled_from([0.0, -0.0, 1.0, -1.0] * 5 + [1e30, 1e300, float("nan"), float("inf"), 1e-40])

    @settings(max_examples=500, **FEW)
    @given(st.sampled_from([3] * 16 + [0, 1, 2, 4]), st.integers(0, 3), st.data(),
           st.sampled_from([None, "zero", "nan", "none"]),
           st.sampled_from(["float16", "float32", "float64", "int64", "object", "bool", "<U3"]))  # fmt: skip
    def check(n, d, data, missing, kind):
        values = np.array(data.draw(st.lists(number, min_size=n * d, max_size=n * d))).reshape(n, d)
        with np.errstate(all="ignore"):
            values = values.astype(kind)
        table = pd.DataFrame({"user": ["a", "b", "a"], "item": ["x", "x", "y"]})
        items = pd.DataFrame({"item": ["x", "y", "z"]})
        dataset = outcome(read_frames, counts, table, items, features={"image": values}, missing=missing)
        if dataset is not None:
            check_valid(dataset)

    check()
    assert min(counts.values()) > 100, counts
    tried("feature matrices of odd shapes, types and values", sum(counts.values()), summary(counts))


EXTREMES = {
    "one interaction": [("u", "i")],
    "one user": [("u", f"i{n}") for n in range(12)],
    "one item": [(f"u{n}", "i") for n in range(12)],
    "a user who has everything": [("u", f"i{n}") for n in range(9)] + [(f"v{n}", f"i{n}") for n in range(9)],
    "everybody has everything": [(f"u{u}", f"i{i}") for u in range(6) for i in range(6)],
    "one interaction to train on": [("u", "i", "train"), ("v", "i", "valid"), ("w", "i", "test")],
    "one item, in every part": [(f"u{n}", "i", ("train", "train", "valid", "test")[n % 4]) for n in range(12)],
}
NOTHING_TO_SPLIT = {"one interaction", "one item"}  # no user has three interactions
FEATURES = {
    "drawn": lambda n: np.random.default_rng(0).normal(size=(n, 4)),
    "all equal": lambda n: np.ones((n, 4)),
    "all zero": lambda n: np.zeros((n, 4)),
    "one column": lambda n: np.arange(n)[:, None] * 1.0,
    "huge": lambda n: 1e4 * np.random.default_rng(0).normal(size=(n, 4)),
}


@pytest.mark.parametrize("world", EXTREMES)
@pytest.mark.parametrize("features", FEATURES)
def test_worlds_at_the_edge(world, features, tried):
    """The smallest and oddest catalogues are split, trained and ranked, or refused with a sentence."""
    given = len(EXTREMES[world][0]) == 3
    table = pd.DataFrame(EXTREMES[world], columns=["user", "item", "split"][: 2 + given])
    items = pd.DataFrame({"item": sorted(table["item"].unique()) + ["nobody's"]})
    values = FEATURES[features](len(items)).astype(np.float32)
    features = {"image": values, "text": values[::-1].copy()}
    dataset = read_frames(table, items, features=features, split="split" if given else None)
    ran = 0
    for method in ("popularity", "content_knn", "mf", "lightgcn", "micro", "pamd"):
        small = {"dim": 4, "epochs": 2} if method not in ("popularity", "content_knn") else {}
        small |= {"k": 1} if method == "micro" else {}
        if world in NOTHING_TO_SPLIT:
            with pytest.raises(DataError, match="No user has 3 interactions, the fewest to share out"):
                mm.run(method, dataset, ks=(1,), **small)
            continue
        result = mm.run(method, dataset, protocol="given" if given else "ratio", ks=(1,), **small)
        assert result.metrics and all(0 <= value <= 1 for value in result.metrics.values()), result.metrics
        ran += 1
    if ran:
        tried("catalogues at the edge x features at the edge x six methods", ran, "metrics in [0, 1]")
    else:
        tried("catalogues too small to split, x six methods", 6, "refused: says what is missing")
