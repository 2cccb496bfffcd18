"""MMRec, RecBole and MMSSL: read as written, written and read back, and nothing run that a pickle holds."""

from __future__ import annotations

import gzip
import importlib
import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import mmrec_lite as mm
from mmrec_lite.data import DataError, split
from mmrec_lite.data.export import to_mmrec, to_recbole
from mmrec_lite.data.readers import Filters, read_frames, read_mmrec, read_mmssl, read_movielens, read_recbole
from mmrec_lite.data.readers.mmssl import read_sparse
from mmrec_lite.data.readers.recbole import read_atomic


def test_mmrec_as_its_authors_write_it(tmp_path):
    (tmp_path / "baby.inter").write_text(
        "userID\titemID\trating\ttimestamp\tx_label\n0\t1\t5.0\t1369699200\t0\n0\t0\t4.0\t1369699201\t1\n1\t1\t3.0\t9\t2\n"
    )
    np.save(tmp_path / "image_feat.npy", np.array([[1, 2], [3, 4], [0, 0]], dtype=np.float64))
    data = read_mmrec(tmp_path / "baby.inter", {"image": tmp_path / "image_feat.npy"}, missing="zero")
    assert (data.name, data.n_users, data.n_items, len(data)) == ("baby", 2, 3, 3)
    assert data.interactions["split"].tolist() == ["train", "valid", "test"]
    assert data.features["image"].tolist() == [[1, 2], [3, 4], [0, 0]] and data.present["image"].tolist() == [1, 1, 0]
    assert data.interactions["timestamp"].tolist() == [1_369_699_200, 1_369_699_201, 9]
    (tmp_path / "bad.inter").write_text("userID\titemID\tx_label\n0\t5\t0\n")
    with pytest.raises(DataError, match="has 3 rows, but there is an item 5"):
        read_mmrec(tmp_path / "bad.inter", {"image": tmp_path / "image_feat.npy"})
    (tmp_path / "bad.inter").write_text("userID\titemID\tx_label\n0\t5\t3\n")
    with pytest.raises(DataError, match="x_label 3 is none of 0"):
        read_mmrec(tmp_path / "bad.inter")
    with pytest.raises(DataError, match="there is no column 'itemID'"):
        (tmp_path / "bad.inter").write_text("userID\titem\n0\t5\n")
        read_mmrec(tmp_path / "bad.inter")


def test_an_interactions_file_that_is_cut_short_is_named(tmp_path):
    path = tmp_path / "baby.inter.gz"
    path.write_bytes(gzip.compress(b"userID\titemID\n" + b"".join(b"%d\t1\n" % n for n in range(9999)))[:-500])
    with pytest.raises(DataError, match=r"baby.inter.gz: not readable as a table"):
        read_mmrec(path)


def test_recbole_atomic_files(tmp_path):
    folder = tmp_path / "ml"
    folder.mkdir()
    (folder / "ml.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu1\t02\t4\t874724710\nu2\t1\t3\t874724711\n"
    )
    (folder / "ml.item").write_text(
        "item_id:token\tmovie_title:token_seq\tyear:token\tprice:float\n"
        '1\tA "quoted" one\t1995\t\n02\tOther\t1996\t2.5\n'
    )
    np.save(folder / "text.npy", np.array([[1.0], [2.0]], dtype=np.float32))
    data = read_recbole(folder, features={"text": folder / "text.npy"}, title="movie_title", text="movie_title")
    assert data.items["item_id"].tolist() == ["1", "02"] and data.items["title"].tolist() == ['A "quoted" one', "Other"]
    assert data.items["year"].tolist() == ["1995", "1996"] and data.items["price"].tolist()[1] == 2.5
    assert data.features["text"].tolist() == [[1.0], [2.0]]
    assert data.interactions["timestamp"].tolist() == [874_724_710, 874_724_711]
    (folder / "ml.inter").write_text("user_id\titem_id:token\nu\ti\n")
    with pytest.raises(DataError, match="column 'user_id' has no type"):
        read_recbole(folder)
    with pytest.raises(DataError, match=r"holds neither nothing.inter nor nothing.train.inter"):
        read_recbole(folder, "nothing")


def write_inter(folder: Path, times: list, source: str) -> None:
    """Interactions of one user at these times, an item each, as MMRec or RecBole writes them."""
    heads = {"mmrec": "userID\titemID\ttimestamp", "recbole": "user_id:token\titem_id:token\ttimestamp:float"}[source]
    rows = [f"1\t{item}\t{time}" for item, time in enumerate(times)]
    (folder / "x.inter").write_text("\n".join([heads, *rows, ""]))


READERS = {
    "mmrec": lambda folder, **options: read_mmrec(folder / "x.inter", **options),
    "recbole": lambda folder, **options: read_recbole(folder, "x", **options),
}
BOTH = pytest.mark.parametrize("source", READERS)


@BOTH
@pytest.mark.parametrize(("times", "unit", "seconds", "items"), [
    ([1_600_000_000, 1_700_000_000, 9], None, [1_600_000_000, 1_700_000_000, 9], "012"),
    ([1_600_000_000_900, 1_600_000_000_100, 1_500_000_000_000], None, [1.5e9, 1.6e9, 1.6e9], "210"),
    ([1_600_000_000_000_900, 1_600_000_000_000_100], None, [1.6e9, 1.6e9], "10"),
    ([1_600_000_000.75, 1_600_000_000.25, 1_500_000_000], None, [1.5e9, 1.6e9, 1.6e9], "210"),
    ([1_600_000_000_000.75, 1_600_000_000_000.25], None, [1.6e9, 1.6e9], "10"),
    ([2000, 1000], "ms", [1, 2], "10"),
    ([2000, 1000], "order", [2000, 1000], "01"),
])  # fmt: skip
def test_times_of_every_unit_order_the_rows(tmp_path, source, times, unit, seconds, items):
    write_inter(tmp_path, times, source)
    data = READERS[source](tmp_path, time_unit=unit)
    assert data.interactions["timestamp"].tolist() == seconds
    assert "".join(data.items["item_id"].iloc[data.interactions["item"]]) == items
    sorted_note = any("rows sorted by them" in note for note in data.card["notes"])
    assert sorted_note == (items != "".join(map(str, range(len(times)))))


@BOTH
@pytest.mark.parametrize(("times", "unit", "message"), [
    ([1_600_000_000, 1_600_000_000_000], None,
     r"row 1 .* no number of seconds between 1970 and 2099 \(1 such rows\)\. .*time_unit=\.\.\. \(--time-unit\)"),
    ([1_600_000_000_000, 5_000_000_000_000], None, r"row 1 .* no number of milliseconds between 1970 and 2099"),
    ([1_600_000_000_000], "s", r"row 0 .* no number of seconds"),
    ([1, -1], None, "row 1 .* no number of seconds"),
    ([1, "inf"], None, "row 1 .* no number"),
    ([1, ""], None, "row 1 .* no number"),
    ([1], "minutes", "unknown time_unit 'minutes'; there are: order, s, ms, us, ns"),
])  # fmt: skip
def test_times_that_cannot_be_are_refused_with_their_row(tmp_path, source, times, unit, message):
    write_inter(tmp_path, times, source)
    with pytest.raises(DataError, match=rf"x.inter: {message}"):
        READERS[source](tmp_path, time_unit=unit)


def test_the_parts_of_recbole_count_time_in_one_unit(tmp_path):
    parts = {"train": ("ab", [1_600_000_000.5, 1_600_000_000.25]), "valid": ("c", [1_600_000_001]),
             "test": ("d", [1_700_000_000])}  # fmt: skip
    for part, (items, times) in parts.items():
        rows = "".join(f"u\t{item}\t{time}\n" for item, time in zip(items, times, strict=True))
        (tmp_path / f"x.{part}.inter").write_text(f"user_id:token\titem_id:token\ttimestamp:float\n{rows}")
    log = read_recbole(tmp_path, "x").interactions
    assert log["item"].tolist() == [1, 0, 2, 3] and log["split"].tolist() == ["train", "train", "valid", "test"]
    assert log["timestamp"].tolist() == [1_600_000_000, 1_600_000_000, 1_600_000_001, 1_700_000_000]
    for time in (1_700_000_000_000, 30_000_000_000_000_000_000):
        (tmp_path / "x.test.inter").write_text(f"user_id:token\titem_id:token\ttimestamp:float\nu\td\t{time}\n")
        with pytest.raises(DataError, match=r"x.test.inter: row 0 .* no number"):
            read_recbole(tmp_path, "x")


@BOTH
def test_a_mark_of_utf_8_belongs_to_no_column(tmp_path, source):
    write_inter(tmp_path, [1, 2], source)
    (tmp_path / "x.inter").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "x.inter").read_bytes())
    assert len(READERS[source](tmp_path)) == 2


def test_a_column_that_is_not_there_has_a_remedy_that_there_is(tmp_path):
    (tmp_path / "x.inter").write_text("user\titemID\n1\t2\n")
    with pytest.raises(
        DataError, match=r"no column 'userID'; there are: user, itemID\. Rename .*columns={'user': "
    ) as no:
        read_mmrec(tmp_path / "x.inter")
    assert "--" not in str(no.value) and len(read_mmrec(tmp_path / "x.inter", columns={"user": "user"})) == 1
    (tmp_path / "x.inter").write_text("user:token\titem_id:token\n1\t2\n")
    with pytest.raises(DataError, match=r"no column 'user_id'; there are: user, item_id\. Call the right one so") as no:
        read_recbole(tmp_path, "x")
    assert "--" not in str(no.value)
    (tmp_path / "ratings.csv").write_text("userId,movie,rating,timestamp\n1,1,4,964982703\n")
    with pytest.raises(DataError, match=r"no column 'movieId'.*MovieLens' own files have it") as no:
        read_movielens(tmp_path, filters=Filters(1, 1), name="ml")
    assert "--" not in str(no.value)


@pytest.fixture(scope="module")
def shop_split() -> mm.data.Split:
    return split(mm.load("bazaar"), "ratio", seed=3)


def pairs_of(data, part: str | None = None) -> set:
    table = data.interactions if part is None else data.interactions[data.interactions["split"] == part]
    ids = data.users["user_id"].to_numpy()[table["user"]], data.items["item_id"].to_numpy()[table["item"]]
    return set(zip(*ids, strict=True))


def test_what_recbole_gets_comes_back(shop_split, tmp_path):
    shop = shop_split.dataset
    folder = to_recbole(shop_split, tmp_path / "out")
    back = read_recbole(folder, shop.name, {m: folder / f"{m}_feat.npy" for m in shop.modalities}, missing="zero")
    assert (back.n_users, len(back)) == (
        shop.n_users,
        len(shop_split.train) + len(shop_split.valid) + len(shop_split.test),
    )
    for part in ("train", "valid", "test"):
        users, items = shop_split.pairs(part)
        ids = shop.users["user_id"].to_numpy()[users], shop.items["item_id"].to_numpy()[items]
        assert pairs_of(back, part) == set(zip(*ids, strict=True))
    place = {item: row for row, item in enumerate(shop.items["item_id"])}
    rows = [place[item] for item in back.items["item_id"]]
    for modality in shop.modalities:
        np.testing.assert_array_equal(back.features[modality], shop.dense(modality)[rows])
    assert back.items["title"].tolist() == shop.items["title"].iloc[rows].tolist()
    heads = (folder / f"{shop.name}.train.inter").read_text().splitlines()[0].split("\t")
    assert heads == ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
    assert read_atomic(folder / f"{shop.name}.item")["title"].tolist() == shop.items["title"].tolist()


def test_items_that_nobody_took_come_back_from_recbole(tmp_path):
    items = pd.DataFrame({"item_id": ["a", "b", "c", "d"], "title": ["A", "B", "C", "D"]})
    data = mm.MultimodalDataset(
        name="tiny", users=pd.DataFrame({"user_id": ["u", "v"]}), items=items,
        interactions=pd.DataFrame({"user": [0, 0, 1], "item": [0, 2, 0]}),
        features={"text": np.array([[1, 2], [3, 4], [5, 6], [7, 8]], dtype=np.float32)},
    )  # fmt: skip
    folder = to_recbole(data, tmp_path / "out")
    back = read_recbole(folder, "tiny", {"text": folder / "text_feat.npy"})
    assert back.items[["item_id", "title"]].equals(items) and pairs_of(back) == pairs_of(data)
    assert back.dense("text").tolist() == data.dense("text").tolist()
    assert "2 items of tiny.item were never taken" in back.card["notes"]
    assert read_recbole(folder, "tiny").items["item_id"].tolist() == ["a", "b", "c", "d"], "also without features"


def test_every_column_of_the_items_comes_back_from_recbole(shop_split, tmp_path):
    """Words as words (a missing one is empty, white space is a blank), numbers as numbers."""
    log = pd.DataFrame({"user": ["u", "v"], "item": ["a", "b"]})
    items = pd.DataFrame({
        "item": ["a", "b"], "title": ["A", "B"], "text": ["A long\tstory.", "Another"], "description": ["x", None],
        "year": [1995, 2001], "price": [1.25, np.nan], "price in eur": [1.0, 2.0],
    })  # fmt: skip
    for data in (shop_split.dataset, read_frames(log, items, name="tiny")):
        back = read_recbole(to_recbole(data, tmp_path / data.name), data.name)
        for column in data.items:
            ours, theirs = data.items[column], back.items.set_index("item_id", drop=False)[column]
            theirs = theirs.loc[data.items["item_id"]]
            if ours.dtype.kind in "if":
                np.testing.assert_array_equal(theirs, ours)
            else:
                assert theirs.tolist() == [" ".join(word.split()) for word in ours.fillna("")], column
    chosen = read_recbole(tmp_path / "tiny", "tiny", text=("title", "description"))
    assert chosen.items["text"].tolist() == ["A. x", "B"], "what is asked for outranks the column"


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb", '"a" b', "NA", "null"])
@pytest.mark.parametrize("side", ["user", "item"])
def test_an_id_that_recbole_cannot_hold_is_refused(tmp_path, side, name):
    log = pd.DataFrame({"user": ["u", "v"], "item": ["a", "b"]})
    log.loc[1, side] = name
    with pytest.raises(
        DataError, match=f"the {side}_id {re.escape(repr(name))} is empty, begins with a quotation mark"
    ):
        to_recbole(read_frames(log, name="tiny"), tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("column", ["a\tb", "price:eur"])
def test_a_column_that_recbole_cannot_name_is_refused(tmp_path, column):
    log = pd.DataFrame({"user": ["u"], "item": ["a"]})
    odd = read_frames(log, pd.DataFrame({"item": ["a"], column: [1]}), name="tiny")
    with pytest.raises(DataError, match=f"the column of the items {re.escape(repr(column))}.* or a colon"):
        to_recbole(odd, tmp_path / "out")


def test_recbole_reads_texts_that_begin_with_a_quotation_mark(tmp_path):
    """Read as RecBole does: pandas' Python engine, quotation marks and all."""
    titles = ['"Best', "b", 'c"', '"Best" shirt', ' "x']
    log = pd.DataFrame({"user": ["u"] * 5, "item": [*"abcde"]})
    data = read_frames(log, pd.DataFrame({"item": [*"abcde"], "title": titles}), name="tiny")
    table = pd.read_csv(to_recbole(data, tmp_path / "out") / "tiny.item", sep="\t", engine="python")
    assert table["item_id:token"].tolist() == [*"abcde"]
    assert table["title:token_seq"].tolist() == ["'Best", "b", 'c"', "'Best\" shirt", "'x"]


def test_recbole_s_items_are_one_row_each_and_those_that_were_taken(tmp_path):
    (tmp_path / "ml.inter").write_text("user_id:token\titem_id:token\nu\ta\nv\tb\n")
    (tmp_path / "ml.item").write_text("item_id:token\ttitle:token_seq\na\tA\nb\tB\na\tC\n")
    with pytest.raises(DataError, match=r"ml.item: rows 0 and 2 share the item_id 'a'; keep one row an item"):
        read_recbole(tmp_path, "ml")
    (tmp_path / "ml.item").write_text("item_id:token\ttitle:token_seq\nx\tX\n")
    with pytest.raises(DataError, match=r"ml.item: tells of none of the 2 items that are left, such as 'a'"):
        read_recbole(tmp_path, "ml")


def test_what_mmrec_gets_comes_back(shop_split, tmp_path):
    shop = shop_split.dataset
    folder = to_mmrec(shop_split, tmp_path / "out")
    table = pd.read_csv(folder / f"{shop.name}.inter", sep="\t")
    assert table.columns.tolist() == ["userID", "itemID", "rating", "timestamp", "x_label"]
    features = {m: folder / f"{m}_feat.npy" for m in shop.modalities}
    back = read_mmrec(folder / f"{shop.name}.inter", features)
    assert (back.n_users, back.n_items) == (shop.n_users, shop.n_items)
    for modality in shop.modalities:
        np.testing.assert_array_equal(back.features[modality], shop.dense(modality))
    for number, part in enumerate(("train", "valid", "test")):
        mine = shop_split.pairs(part)
        theirs = table[table["x_label"] == number]
        assert set(zip(*mine, strict=True)) == set(zip(theirs["userID"], theirs["itemID"], strict=True))
    assert len(split(back, "given").test) == len(shop_split.test)
    names = pd.read_csv(folder / "i_id_mapping.csv", sep="\t", dtype=str)
    assert names["original"].tolist() == shop.items["item_id"].tolist()


def test_a_folder_that_holds_something_is_left_alone(shop_split, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for export in (to_mmrec, to_recbole):
        with pytest.raises(DataError, match="is not empty"):
            export(shop_split, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# Pickles -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["coo_matrix", "csr_matrix", "csc_matrix", "coo_array", "csr_array"])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_sparse_pickles_are_read_without_scipy(tmp_path, kind, protocol):
    rows, columns = [0, 2, 2, 3], [1, 0, 4, 2]
    matrix = getattr(sparse, kind)(sparse.coo_matrix((np.ones(4, dtype=np.float32), (rows, columns)), shape=(4, 5)))
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(matrix, protocol=protocol))
    found = read_sparse(tmp_path / "m.pkl")
    assert set(zip(found[0].tolist(), found[1].tolist(), strict=True)) == set(zip(rows, columns, strict=True))
    assert found[2] == (4, 5)


class Attack:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    mark = tmp_path / "ran"
    attacks = [
        Attack(Path.write_text, mark, "x"),
        Attack(eval, f"open({str(mark)!r}, 'w')"),
        Attack(importlib.import_module, "os"),
        Attack(np.load, str(mark)),
        Attack(getattr, "numpy", "load"),
        {"_shape": (1, 1)},
    ]
    for n, attack in enumerate(attacks):
        path = tmp_path / f"{n}.pkl"
        path.write_bytes(pickle.dumps(attack))
        with pytest.raises(DataError, match="not a pickled SciPy matrix and nothing else"):
            read_sparse(path)
    assert not mark.exists()


def test_a_crafted_matrix_is_refused(tmp_path):
    good = sparse.coo_matrix((np.ones(2), ([0, 1], [0, 1])), shape=(2, 2))
    outside = good.copy()
    outside.coords = (np.array([0, 7]), np.array([0, 1]))
    uneven = good.copy()
    uneven.data = np.ones(3)
    words = good.copy()
    words.data = np.array(["a", "b"])
    for bad in (outside, uneven, words):
        (tmp_path / "m.pkl").write_bytes(pickle.dumps(bad))
        with pytest.raises(DataError, match=r"outside the shape|are not numbers"):
            read_sparse(tmp_path / "m.pkl")
    huge = pickle.dumps(np.zeros(0, dtype=np.int8), protocol=2).replace(b"K\x00\x85", b"J\xff\xff\xff\x7f\x85", 1)
    (tmp_path / "m.pkl").write_bytes(huge)
    with pytest.raises(DataError, match="does not begin empty"):
        read_sparse(tmp_path / "m.pkl")
    (tmp_path / "m.pkl").write_bytes(b"junk")
    with pytest.raises(DataError, match="not a pickled SciPy matrix"):
        read_sparse(tmp_path / "m.pkl")


def write_mmssl(folder: Path, table: pd.DataFrame, shape: tuple[int, int]) -> None:
    for part, name in (("train", "trnMat"), ("valid", "valMat"), ("test", "tstMat")):
        rows = table[table["split"] == part]
        matrix = sparse.coo_matrix((np.ones(len(rows), dtype=np.float32), (rows["user"], rows["item"])), shape=shape)
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(matrix))


def test_mmssl_with_features_and_untaken_items(tmp_path):
    table = pd.DataFrame({"user": [0, 0, 2], "item": [1, 2, 1], "split": ["train", "valid", "test"]})
    write_mmssl(tmp_path, table, (3, 4))
    np.save(tmp_path / "audio_feat.npy", np.arange(8, dtype=np.float16).reshape(4, 2))
    data = read_mmssl(tmp_path, name="tiny")
    assert (data.n_users, data.n_items) == (2, 4) and data.modalities == ("audio",)
    assert data.features["audio"].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert data.interactions["split"].tolist() == ["train", "valid", "test"]
    np.save(tmp_path / "audio_feat.npy", np.ones((3, 2)))
    with pytest.raises(DataError, match="has 3 rows, but the matrices have 4 items"):
        read_mmssl(tmp_path)


def test_tiktok_as_pickles_is_tiktok(shared_data, tmp_path):
    folder = shared_data("tiktok")
    table = pd.read_parquet(folder / "interactions.parquet")
    write_mmssl(tmp_path, table, (9_319, 6_710))
    features = {name: folder / f"{name}_feat.npy" for name in ("image", "audio")}
    data = read_mmssl(tmp_path, features, name="tiktok")
    frames = read_frames(folder / "interactions.parquet", features=features, name="tiktok")
    assert (data.n_users, data.n_items, len(data)) == (9_308, 6_710, 68_722)
    for part in ("train", "valid", "test"):
        assert pairs_of(data, part) == pairs_of(frames, part)
    np.testing.assert_array_equal(data.features["audio"], frames.features["audio"])
