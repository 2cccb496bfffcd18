"""The reader for one's own tables: what it understands, and the words in which it refuses."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.data.readers import Filters, read_frames, tables
from mmrec_lite.data.readers.logs import Log
from mmrec_lite.data.readers.pictures import picture_paths, pictures_by_item
from mmrec_lite.data.readers.tables import ids_as_text, natural_order, words
from mmrec_lite.data.readers.timestamps import seconds

LOG = pd.DataFrame(
    {
        "user": ["u2", "u10", "u2", "u1"],
        "item": ["b", "a", "a", "c"],
        "timestamp": [1_600_000_300, 1_600_000_200, 1_600_000_100, 1_600_000_000],
        "rating": [5, 4, 3, 2],
    }
)
ITEMS = pd.DataFrame({"item": ["c", "a", "d", "b"], "title": ["C", "A", "D", "B"], "brand": ["x", None, "y", "x"]})
IMAGE = np.array([[3.0, 1], [1, 1], [0, 0], [2, 3]], dtype=np.float32)


def pairs(shop: MultimodalDataset) -> list[tuple[str, str]]:
    """The interactions by their original ids."""
    users, items = shop.users["user_id"], shop.items["item_id"]
    return [(users[user], items[item]) for user, item in shop.interactions[["user", "item"]].to_numpy()]


def test_a_table_in_another_encoding_says_how_to_save_it(tmp_path):
    (tmp_path / "log.csv").write_bytes("user;item\nJosé;1\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"log.csv: not readable as .csv: it is not valid UTF-8 .*Excel: 'CSV UTF-8'"):
        read_frames(tmp_path / "log.csv")


class TestUnderstood:
    def test_ids_rows_and_features_stay_together(self):
        shop = read_frames(LOG, ITEMS, {"image": IMAGE})
        assert pairs(shop) == [("u2", "b"), ("u10", "a"), ("u2", "a"), ("u1", "c")]
        assert shop.items["item_id"].tolist() == ["c", "a", "d", "b"]  # the items table's order: features are its rows
        np.testing.assert_array_equal(shop.features["image"], IMAGE)
        assert shop.interactions["rating"].tolist() == [5, 4, 3, 2]
        assert "d" not in {item for _, item in pairs(shop)}  # cold, and kept

    @pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".csv.gz", ".CSV.GZ"])
    def test_files_give_what_frames_give(self, tmp_path, suffix):
        for name, table in (("log", LOG), ("items", ITEMS)):
            path = tmp_path / f"{name}{suffix}"
            if suffix == ".parquet":
                table.to_parquet(path)
            else:
                table.to_csv(path, sep="\t" if suffix == ".tsv" else ",", index=False)
        np.save(tmp_path / "image.npy", IMAGE)
        shop = read_frames(tmp_path / f"log{suffix}", tmp_path / f"items{suffix}", {"image": tmp_path / "image.npy"})
        assert shop.hash == read_frames(LOG, ITEMS, {"image": IMAGE}).hash
        assert shop.name == tmp_path.name and len(shop.card["files"]["image"]["sha256"]) == 64
        assert str(tmp_path) not in str(shop.card)  # a card travels: no folders of this machine in it

    def test_text_files_keep_zeros_and_the_id_na(self, tmp_path):
        (tmp_path / "log.csv").write_text("user,item\n007,NA\n7,01\n007,1\n")
        shop = read_frames(tmp_path / "log.csv")
        assert pairs(shop) == [("007", "NA"), ("7", "01"), ("007", "1")]

    @pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
    def test_a_table_as_excel_writes_it_with_decimal_commas(self, tmp_path, suffix):
        log = pd.DataFrame({
            "user": ["a@b.de", "c@d.de"], "Artikelnr": ["00123", "123"], "stars": [4.5, 3.0],
            "when": ["31.12.2025 14:05", "1.2.2024"],
        })  # fmt: skip
        items = pd.DataFrame({"Artikelnr": ["00123", "123"], "title": ["Käse, jung", "Tee"], "price": [1.5, 20.25]})
        for name, table in (("log", log), ("items", items)):
            table.to_csv(tmp_path / f"{name}{suffix}", sep=";", decimal=",", index=False, encoding="utf-8-sig")
        shop = read_frames(tmp_path / f"log{suffix}", tmp_path / f"items{suffix}",
                           item="Artikelnr", timestamp="when", rating="stars")  # fmt: skip
        assert pairs(shop) == [("a@b.de", "00123"), ("c@d.de", "123")]
        assert shop.interactions["rating"].tolist() == [4.5, 3.0] and shop.items["price"].tolist() == [1.5, 20.25]
        assert shop.items["title"].tolist() == ["Käse, jung", "Tee"]
        times = pd.to_datetime(shop.interactions["timestamp"], unit="s").tolist()
        assert times == [pd.Timestamp("2025-12-31 14:05"), pd.Timestamp("2024-02-01")]

    def test_orders_of_products_that_are_no_more_may_be_left_out(self):
        log = pd.DataFrame({"user": ["u", "u", "u", "v"], "item": ["gone", "gone", "a", "old"]})
        items = pd.DataFrame({"item": ["a", "b"]})
        with pytest.raises(DataError, match=r"row 0 has item 'gone'.*3 such rows.*drop_unknown=True"):
            read_frames(log, items)
        shop = read_frames(log, items, drop_unknown=True)
        assert pairs(shop) == [("u", "a")] and shop.items["item_id"].tolist() == ["a", "b"]
        assert [(step["interactions"], step["items"]) for step in shop.card["counts"]] == [(4, 3), (1, 1)]
        with pytest.raises(DataError, match=r"row 0 has item 'gone'.*2 such rows"):  # the wrong column, most likely
            read_frames(log[:2], items, drop_unknown=True)
        with pytest.raises(DataError, match=r"min_user=2, min_item=0 leave no row"):  # what is dropped does not count
            read_frames(log, items, drop_unknown=True, min_user=2)

    def test_a_column_of_prices_is_said_to_tell_no_items_apart(self):
        price, classes = np.array([[9.5], [20], [0], [3]]), np.array([[1, 0], [0, 1], [0, 0], [1, 0]])
        shop = read_frames(LOG, ITEMS, {"price": price, "class": classes, "image": IMAGE}, missing="zero")
        said = [note.split(":")[0] for note in shop.card["notes"] if "all rows point one way" in note]
        assert said == ["price"] and len(shop.features["price"]) == 4

    def test_ids_that_are_one_but_for_capitals_are_kept_apart_and_named(self):
        log = pd.DataFrame({"user": ["Ann@b.de", "ann@b.de ", "eve@b.de"], "item": ["a", "a", "b"]})
        shop = read_frames(log)
        assert shop.n_users == 3
        assert shop.card["notes"] == [
            "users: 1 of 3 ids are another's but for capitals, spaces or how accents are written, as 'Ann@b.de' and "
            "'ann@b.de '; kept apart"
        ]
        decomposed = log.assign(item=["caf\u00e9", "cafe\u0301", "b"])
        assert [note[:19] for note in read_frames(decomposed).card["notes"]] == [
            "users: 1 of 3 ids a",
            "items: 1 of 3 ids a",
        ]

    def test_numbers_that_came_as_objects_or_categories_are_the_same_ids(self):
        for kind in (object, "category", "float64"):
            log = pd.DataFrame({"user": pd.Series([1.0, 2.0], dtype=kind), "item": pd.Series([10.0, 2.0], dtype=kind)})
            shop = read_frames(log, pd.DataFrame({"item": [2, 10]}))
            assert shop.users["user_id"].tolist() == ["1", "2"] and shop.items["item_id"].tolist() == ["2", "10"]
        mixed = pd.DataFrame({"user": pd.Series(["a", 7.0], dtype=object), "item": [1, 2]})
        assert set(read_frames(mixed).users["user_id"]) == {"a", "7"}

    def test_numbers_and_strings_of_one_id_meet(self):
        log = pd.DataFrame({"user": [1.0, 2.0], "item": [10, 2]})
        shop = read_frames(log, pd.DataFrame({"item": ["2", "10"]}))
        assert pairs(shop) == [("1", "10"), ("2", "2")]

    def test_ids_are_one_as_numbers_and_as_written_otherwise(self):
        for column in ([12, 13], [12.0, 13.0], pd.array([12, 13], dtype="Int64"), ["12", "13"]):
            assert ids_as_text(pd.Series(column, name="item"), "log").tolist() == ["12", "13"]
        assert ids_as_text(pd.Series(["12.0", "13"], name="item"), "log").tolist() == ["12.0", "13"]

    @pytest.mark.parametrize(("dtype", "least"), [("float64", 2**53), ("float32", 2**24), ("Float64", 2**53)])
    def test_ids_that_a_number_with_a_point_no_longer_tells_apart_are_refused(self, dtype, least):
        one, two = (pd.DataFrame({"user": [1.0, number], "item": ["a", "a"]}) for number in (least - 1, least))
        assert read_frames(one.astype({"user": dtype})).users["user_id"].tolist() == ["1", str(least - 1)]
        message = (
            rf"interactions: row 1 has user .* exact only below {least:,} \(1 such rows\).*pd.read_csv\(..., dtype=str"
        )
        with pytest.raises(DataError, match=message):
            read_frames(two.astype({"user": dtype}))
        items = pd.DataFrame({"item": [1e20, 2.0]}, dtype=dtype)
        with pytest.raises(DataError, match=r"items: row 0 has item .* Read the column as text"):
            read_frames(pd.DataFrame({"user": ["u"], "item": ["2"]}), items)

    @pytest.mark.parametrize("number", [np.inf, -np.inf])
    def test_an_infinite_id_is_refused(self, number):
        with pytest.raises(DataError, match=r"interactions: row 0 has item -?inf.* Read the column as text"):
            read_frames(pd.DataFrame({"user": ["u", "v"], "item": [number, 1.0]}))

    @pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t"), (".csv", ";")])
    def test_what_is_text_in_a_file_stays_as_written(self, tmp_path, suffix, separator):
        """Years beside an empty cell, codes with zeros, a book called 007: pandas would take them for numbers."""
        log = [("user", "item", "words"), ("u", "1", "10"), ("v", "2", "")]
        items = [("item", "name", "text", "year", "image", "pages"), ("1", "007", "1.50", "1984", "00123", "10"),
                 ("2", "", "", "", "", "")]  # fmt: skip
        for name, rows in (("log", log), ("items", items)):
            (tmp_path / f"{name}{suffix}").write_text("".join(separator.join(row) + "\n" for row in rows))
        (tmp_path / "pictures").mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / "pictures" / "00123.png")
        files = tmp_path / f"log{suffix}", tmp_path / f"items{suffix}"
        shop = read_frames(*files, images=tmp_path / "pictures", title="name", text=("name", "year"), review="words")
        assert shop.items["title"].fillna("").tolist() == ["007", ""] and shop.items["text"].tolist() == [
            "007. 1984",
            "",
        ]
        assert shop.items["image"].tolist() == ["00123.png", ""] and shop.interactions["review"].tolist() == ["10", ""]
        assert shop.items["pages"].tolist()[0] == 10, "what is no text is a number"
        usual = read_frames(*(pd.DataFrame(rows[1:], columns=rows[0]) for rows in (log, items)))
        assert read_frames(*files).items["text"].fillna("").tolist() == usual.items["text"].tolist() == ["1.50", ""]

    def test_numbers_of_a_frame_become_text_without_a_point(self):
        """A year is a number with a point as soon as one is missing."""
        items = pd.DataFrame({"item": ["a", "b", "c"], "year": [1984.0, np.nan, 3.5], "part": [1, 2, 3],
                              "odd": pd.Series([7.0, "x", None], dtype=object)})  # fmt: skip
        log = pd.DataFrame({"user": ["u", "v"], "item": ["a", "b"], "review": [10.0, np.nan]})
        shop = read_frames(log, items, title="year", text=("part", "year", "odd"))
        assert shop.items["title"].tolist() == ["1984", "", "3.5"]
        assert shop.items["text"].tolist() == ["1. 1984. 7", "2. x", "3. 3.5"]
        assert shop.items["odd"].tolist() == ["7", "x", ""] and shop.items["year"].tolist()[0] == 1984
        assert shop.interactions["review"].tolist() == ["10", ""]
        assert read_frames(log, items.rename(columns={"year": "title"})).items["title"].tolist() == ["1984", "", "3.5"]

    def test_numbers_name_pictures_of_a_frame(self, tmp_path):
        Image.new("RGB", (4, 4)).save(tmp_path / "12.png")
        items = pd.DataFrame({"item": ["a", "b", "c", "d"], "image": [12.0, np.nan, np.nan, np.nan]})
        assert read_frames(LOG, items, images=tmp_path).items["image"].tolist() == ["12.png", "", "", ""]

    def test_ratings_with_decimal_points_between_semicolons(self, tmp_path):
        """A file that is parted as Excel does where the comma is the decimal sign, written by another program."""
        (tmp_path / "log.csv").write_text("user;item;rating\nu;a;4.5\nv;b;3\n")
        assert read_frames(tmp_path / "log.csv").interactions["rating"].tolist() == [4.5, 3]
        (tmp_path / "log.csv").write_text("user;item;rating\nu;a;4.5\nv;b;3,5\n")
        with pytest.raises(DataError, match=r"column 'rating' holds '3,5' in row 1 .*decimal point.*with a comma"):
            read_frames(tmp_path / "log.csv")
        (tmp_path / "log.csv").write_text("user;item;rating\nu;a;4.5\nv;b;\n")
        with pytest.raises(DataError, match=r"row 1 has rating nan \(1 such rows\)"):
            read_frames(tmp_path / "log.csv")
        with pytest.raises(DataError, match=r"column 'rating' holds 'b' in row 1 where numbers are needed"):
            read_frames(LOG.assign(rating=["1", "b", "c", "4"]))

    def test_points_that_may_part_thousands_are_refused(self, tmp_path):
        (tmp_path / "log.csv").write_text("user;item;rating\nu;a;12\nv;b;1.234\nw;b;2.500\n")
        message = r"log.csv: row 1 has rating '1.234', which reads as 1.234 and, .*, as 1234 \(2 such rows\)\. Remove"
        with pytest.raises(DataError, match=message):
            read_frames(tmp_path / "log.csv")
        for cells in (["12", "1.234", "2.5"], ["0.125", "0.500", "1"]):  # one that cannot be thousands settles it
            rows = "".join(f"u{n};a;{cell}\n" for n, cell in enumerate(cells))
            (tmp_path / "log.csv").write_text(f"user;item;rating\n{rows}")
            ratings = read_frames(tmp_path / "log.csv").interactions["rating"]
            np.testing.assert_allclose(ratings, [float(cell) for cell in cells], rtol=1e-6)

    @pytest.mark.parametrize("ratings", [[4, 5.0, 3, 1], [Decimal("4"), Decimal("5"), Decimal("3"), 1]])
    def test_numbers_that_came_as_objects_are_ratings(self, ratings):
        table = LOG.assign(rating=pd.Series(ratings, dtype=object))
        assert read_frames(table).interactions["rating"].tolist() == [4, 5, 3, 1]

    def test_a_data_set_takes_numbers_that_came_as_objects(self):
        users, items = pd.DataFrame({"user_id": ["u"]}), pd.DataFrame({"item_id": ["a", "b"]})
        rows = pd.DataFrame({"user": [0, 0], "item": [0, 1], "rating": pd.Series([4, 5.0], dtype=object)})
        shop = MultimodalDataset(name="x", users=users, items=items, interactions=rows)
        assert shop.interactions["rating"].tolist() == [4, 5]

    def test_a_cell_is_blamed_only_where_something_is_wrong(self):
        with pytest.raises(DataError, match=r"holds None in row 2 where numbers are needed"):
            read_frames(LOG.assign(rating=pd.Series([4, Decimal("5"), None, 3], dtype=object)))
        with pytest.raises(DataError, match=r"holds a number as text, '3', in row 2; convert it with pd.to_numeric"):
            read_frames(LOG.assign(rating=pd.Series([4, 5.5, "3", 1], dtype=object)))

    def test_text_becomes_words_without_a_call_for_each_cell(self, monkeypatch):
        monkeypatch.setattr(tables, "word", lambda value: pytest.fail("called"))
        for dtype in (object, "string"):
            assert words(pd.Series(["a", None, "7"], dtype=dtype)).tolist() == ["a", "", "7"]

    def test_a_set_becomes_the_same_text_in_every_process(self):
        """Its own order follows the hashes of its words, which are others in every process."""
        program = (
            "import pandas as pd\nfrom mmrec_lite.data.readers import read_frames\n"
            "items = pd.DataFrame({'item': ['a', 'b'], 'tags': [set('abcdefgh'), frozenset('xyzuvw')]})\n"
            "print(read_frames(pd.DataFrame({'user': ['u'], 'item': ['a']}), items).items['tags'].tolist())"
        )
        said = {
            subprocess.run(
                [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, check=True,
                capture_output=True, text=True, cwd=Path(__file__).parents[2],
            ).stdout.strip()
            for seed in "12"
        }  # fmt: skip
        assert said == {"['a, b, c, d, e, f, g, h', 'u, v, w, x, y, z']"}

    def test_without_an_items_table_features_number_the_items(self):
        log = pd.DataFrame({"user": [0, 1, 2], "item": [2, 0, 3]})
        shop = read_frames(log, features={"audio": np.ones((5, 2))})
        assert shop.n_items == 5 and shop.interactions["item"].tolist() == [2, 0, 3]

    def test_without_items_and_features_the_log_names_the_items(self):
        shop = read_frames(pd.DataFrame({"user": [5, 5], "item": [10, 9]}))
        assert shop.items["item_id"].tolist() == ["9", "10"] and shop.users["user_id"].tolist() == ["5"]

    def test_columns_of_other_names(self):
        log = LOG.rename(columns={"user": "uid", "item": "asin", "timestamp": "when"}).assign(part=["train"] * 4)
        items = ITEMS.rename(columns={"item": "id"})
        shop = read_frames(
            log, items, user="uid", item="asin", item_key="id", timestamp="when", split="part", title="brand",
            text=("title", "brand"),
        )  # fmt: skip
        assert shop.card["columns"] == {
            "user": "uid", "item": "asin", "timestamp": "when", "rating": "rating", "split": "part"
        }  # fmt: skip
        assert shop.items["title"].isna().tolist() == [False, True, False, False]
        assert shop.items["text"].tolist() == ["C. x", "A", "D. y", "B. x"]

    def test_parts_by_other_words(self):
        shop = read_frames(LOG.assign(split=["Train", "val", "dev ", "TEST"]))
        assert shop.interactions["split"].tolist() == ["train", "valid", "valid", "test"]

    def test_missing_reviews_are_empty(self):
        shop = read_frames(LOG.assign(review=["good", None, np.nan, "poor"]))
        assert shop.interactions["review"].tolist() == ["good", "", "", "poor"]

    def test_lists_and_dates_in_the_items_table_become_text(self):
        day = pd.to_datetime(["2020-01-02", None, "2021-01-01", "2022-01-01"])
        shop = read_frames(LOG, ITEMS.assign(tags=[["a", "b"], [], None, ["c"]], day=day))
        assert shop.items["tags"].tolist() == ["a, b", "", "", "c"]
        assert shop.items["day"].tolist()[:2] == ["2020-01-02T00:00:00", ""]

    def test_duplicates_keep_the_first_row(self):
        twice = pd.concat([LOG, LOG.iloc[[1]].assign(rating=1)])
        shop = read_frames(twice, drop_duplicates=True)
        assert len(shop) == 4 and shop.interactions["rating"].tolist() == [5, 4, 3, 2]
        assert shop.card["rows"] == {"read": 5, "kept": 4}

    def test_the_core_is_taken_again_and_again(self):
        """Dropping item z leaves user 3 with one row; dropping that leaves item y with one."""
        log = pd.DataFrame(
            [(1, "a"), (1, "b"), (2, "a"), (2, "b"), (2, "y"), (3, "y"), (3, "z")], columns=["user", "item"]
        )
        items = pd.DataFrame({"item": list("zyxba")})
        shop = read_frames(log, items, {"image": np.arange(10).reshape(5, 2)}, min_user=2, min_item=2)
        assert pairs(shop) == [("1", "a"), ("1", "b"), ("2", "a"), ("2", "b")]
        assert shop.items["item_id"].tolist() == ["b", "a"]
        np.testing.assert_array_equal(shop.features["image"], [[6, 7], [8, 9]])
        assert read_frames(log, items, min_user=3).n_items == 5  # min_item=0 keeps items that nobody takes

    def test_every_filter_is_counted_as_the_other_readers_do(self):
        rows = [(1, "a"), (1, "b"), (2, "a"), (2, "b"), (2, "y"), (3, "y"), (3, "z"), (3, "z")]
        log = Log("log")
        for place, (user, item) in enumerate(rows):
            log.add(str(user), item, place)
        log.closed().filter(Filters(2, 2))
        table = pd.DataFrame(rows, columns=["user", "item"])
        shop = read_frames(table, pd.DataFrame({"item": list("zyxba")}), drop_duplicates=True, min_user=2, min_item=2)
        assert shop.card["counts"] == log.counts
        assert [(row["interactions"], row["users"], row["items"]) for row in log.counts] == [
            (8, 3, 4), (7, 3, 4), (4, 2, 2),
        ]  # fmt: skip
        plain = read_frames(table.iloc[:7])
        assert plain.card["counts"] == [{"after": "read", "interactions": 7, "users": 3, "items": 4}]


class TestMissing:
    def test_zeros_are_values_unless_told_otherwise(self):
        plain = read_frames(LOG, ITEMS, {"image": IMAGE})
        assert plain.present["image"].all()
        assert plain.card["notes"] == ["image: 1 rows of zeros taken as they are (missing='zero': items lack it)"]
        told = read_frames(LOG, ITEMS, {"image": IMAGE}, missing="zero")
        assert told.present["image"].tolist() == [True, True, False, True]
        assert told.card["notes"] == ["image: 1 of 4 items lack it"]

    def test_nan_by_modality(self):
        holes = IMAGE.copy()
        holes[2] = np.nan
        shop = read_frames(LOG, ITEMS, {"image": holes, "text": IMAGE}, missing={"image": "nan"})
        assert shop.present["image"].tolist() == [True, True, False, True] and shop.present["text"].all()
        assert not shop.features["image"][2].any()

    @pytest.mark.parametrize(
        ("missing", "message"),
        [
            (None, r"features\['image'\]: row 1 holds NaN, infinity .* \(2 such rows\).*missing='nan'"),
            ("zero", "row 1 holds NaN"),
            ("nan", r"row 1 holds NaN, infinity .* \(1 such rows\)"),  # NaN in part is no sign of absence
            ("none", "unknown mark 'none'; there are: zero, nan"),
            ({"audio": "zero"}, "unknown modality 'audio'; the features are: image"),
        ],
    )
    def test_refused(self, missing, message):
        holes = IMAGE.copy()
        holes[1, 0] = holes[2] = np.nan
        with pytest.raises(DataError, match=message):
            read_frames(LOG, ITEMS, {"image": holes}, missing=missing)


class TestTimes:
    @pytest.mark.parametrize(
        ("values", "unit", "expected", "how"),
        [
            ([1_600_000_000, 1_700_000_000], None, [1_600_000_000, 1_700_000_000], "seconds"),
            ([1_600_000_000_500, 1_700_000_000_000], None, [1_600_000_000, 1_700_000_000], "ms, floored"),
            ([1_600_000_000_000_000], None, [1_600_000_000], "us, floored"),
            ([1_600_000_000_000_000_000], None, [1_600_000_000], "ns, floored"),
            ([0, 1, 2], None, [0, 1, 2], "order only, no dates"),
            ([5, 2_000_000_000], "s", [5, 2_000_000_000], "seconds"),
            ([1.6e9, 1.7e9], None, [1_600_000_000, 1_700_000_000], "seconds"),
            (["1970-01-02", "1970-01-01T00:00:05"], None, [86_400, 5], "dates (UTC)"),
            (["1970-01-01T02:00:00+02:00"], None, [0], "dates (UTC)"),
            (pd.to_datetime(["1970-01-01 00:01:00"]), None, [60], "dates (UTC)"),
        ],
    )
    def test_seconds(self, values, unit, expected, how):
        whole, _, sentence = seconds(pd.Series(values, name="when"), "log", unit)
        assert whole.tolist() == expected and whole.dtype == np.int64
        assert how in sentence and "'when'" in sentence

    def test_years_that_pandas_cannot_hold_are_shown(self):
        """A year has 31,556,952 seconds on average."""
        shop = read_frames(LOG.assign(timestamp=[1_600_000_000_000, 1_600_000_000, 7, 10**17]), time_unit="s")
        first, last = shop.summary()["time"].split(" to ")
        assert first == "1970-01-01" and int(last.split("-")[0]) == pytest.approx(1970 + 10**17 / 31_556_952, rel=1e-6)

    def test_order_within_a_second_is_kept_by_sorting(self):
        log = pd.DataFrame(
            {
                "user": [1, 1, 1],
                "item": [1, 2, 3],
                "timestamp": [1_600_000_000_900, 1_600_000_000_100, 1_600_000_000_500],
            }
        )
        shop = read_frames(log)
        assert [item for _, item in pairs(shop)] == ["2", "3", "1"]
        assert "rows sorted by time, since whole seconds do not hold their order" in shop.card["notes"]
        whole = read_frames(log.assign(timestamp=1_600_000_000_000))  # nothing finer to go by: the table's order
        assert [item for _, item in pairs(whole)] == ["1", "2", "3"]

    @pytest.mark.parametrize(
        ("values", "unit", "message"),
        [
            ([1.6e9, np.nan], None, "log: row 1 has when nan, which is no whole number"),
            ([np.inf, 1.6e9], None, "row 0 has when inf"),
            ([1.6e9, 1.6e9 + 0.5], None, r"row 1 has when 1600000000\.5"),
            ([1_600_000_000, 1_600_000_000_000], None, "in row 0 reads as 's' but .* in row 1 as 'ms'.*time_unit"),
            ([0, 1_600_000_000], None, "0 in row 0 reads as 'order' but 1600000000 in row 1 as 's'"),
            (["2020-01-01", "last week"], None, "row 1 has when 'last week', which is no date .*ISO 8601"),
            (["31.12.2025", "12.31.2025"], None, "row 1 has when '12.31.2025', which is no date"),
            (["31.12.2025", "12/31/2025"], None, "row 1 has when '12/31/2025', which is no date"),
            (["31.12.2025", "31.12.25"], None, "row 1 has when '31.12.25', which is no date"),
            (["2020-01-01", None], None, r"row 1 has when .* no date .*\(1 such rows\)"),
            ([1], "minutes", "unknown time_unit 'minutes'; there are: order, s, ms, us, ns"),
        ],
    )
    def test_refused(self, values, unit, message):
        with pytest.raises(DataError, match=message):
            seconds(pd.Series(values, name="when"), "log", unit)


class TestPictures:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        root = tmp_path / "pictures"
        root.mkdir()
        for name, colour in (("a.png", "red"), ("b.jpg", "blue"), ("other.png", "green")):
            Image.new("RGB", (4, 4), colour).save(root / name)
        (root / "notes.txt").write_text("no picture")
        return root

    def test_by_item_id(self, folder):
        shop = read_frames(LOG, ITEMS, images=folder)
        assert shop.items["image"].tolist() == ["", "a.png", "", "b.jpg"]
        assert shop.image(1).getpixel((0, 0)) == (255, 0, 0) and shop.image(0) is None
        assert shop.card["notes"] == ["pictures: 2 of 4 items have one, 1 files belong to no item"]

    def test_by_column_with_or_without_ending(self, folder):
        items = ITEMS.assign(file=["other.png", "a", None, ""])
        assert read_frames(LOG, items, images=folder, image="file").items["image"].tolist() == [
            "other.png",
            "a.png",
            "",
            "",
        ]

    def test_accents_in_two_spellings_meet(self, tmp_path):
        one, two = "caf\xe9", "cafe\u0301"  # é as one character, and as macOS writes it
        Image.new("RGB", (4, 4)).save(tmp_path / f"{two}.png")
        log = pd.DataFrame({"user": ["u", "v"], "item": [one, "x"]})
        assert read_frames(log, images=tmp_path).items["image"].tolist() == [f"{two}.png", ""]
        items = pd.DataFrame({"item": [one, "x"], "image": [f"{one}.png", None]})
        assert read_frames(log, items, images=tmp_path).items["image"].tolist() == [f"{two}.png", ""]
        assert read_frames(log, items, images=tmp_path).image(0).size == (4, 4)

    def test_refused(self, folder, tmp_path):
        with pytest.raises(DataError, match=r"row 0 names the image 'gone.png', .* \(1 such rows\)"):
            read_frames(LOG, ITEMS.assign(image=["gone.png", "a.png", "", ""]), images=folder)
        with pytest.raises(DataError, match=r"none of the 3 pictures in .* is called after an item id, such as '1'"):
            read_frames(pd.DataFrame({"user": [1], "item": [1]}), images=folder)
        with pytest.raises(DataError, match="neither a folder nor a zip archive"):
            read_frames(LOG, images=tmp_path / "gone")
        (folder / "a.jpg").write_bytes((folder / "b.jpg").read_bytes())
        with pytest.raises(DataError, match=r"'a.jpg' and 'a.png' in .* both fit 'a'"):
            read_frames(LOG, ITEMS.assign(image=["", "a", "", ""]), images=folder)
        with pytest.raises(DataError, match=r"column 'image' names no picture"):
            read_frames(LOG, ITEMS.assign(image=["", None, "", ""]), images=folder)
        (folder / "b_1|x.jpg").write_bytes((folder / "b.jpg").read_bytes())
        (folder / "b").mkdir()
        (folder / "b_1|x.jpg").rename(folder / "b" / "1|x.jpg")
        with pytest.raises(DataError, match=r"'b/1\|x.jpg' in .* has a \|"):
            read_frames(LOG, ITEMS, images=folder)

    def test_several_pictures_an_item(self, folder, tmp_path):
        picture = (folder / "b.jpg").read_bytes()
        (folder / "b").mkdir()
        for name in ("b_10.jpg", "b_2.jpg", "b/side.jpg"):
            (folder / name).write_bytes(picture)
        shop = read_frames(LOG, ITEMS, images=folder)
        assert shop.items["image"].tolist() == ["", "a.png", "", "b.jpg"]
        assert shop.items["images"].tolist() == ["", "a.png", "", "b.jpg|b/side.jpg|b_2.jpg|b_10.jpg"]
        assert shop.card["notes"] == ["pictures: 2 of 4 items have one, 5 in all, 1 files belong to no item"]
        shop.save(tmp_path / "saved")
        with zipfile.ZipFile(tmp_path / "saved" / "images.zip") as archive:
            assert sorted(archive.namelist()) == ["a.png", "b.jpg", "b/side.jpg", "b_10.jpg", "b_2.jpg"]

    @pytest.mark.parametrize("named", [False, True])
    def test_a_column_images_of_one_s_own_is_no_list_of_pictures(self, folder, tmp_path, named):
        """Counts, addresses, other files: they must not stand for what the items' pictures are."""
        items = ITEMS.assign(images=["3", "http://x/y.jpg", None, "5"])
        items = items.assign(image=["", "a.png", "", ""]) if named else items
        shop = read_frames(LOG, items, images=folder)
        assert "images" not in shop.items
        assert shop.items["images_given"].fillna("").tolist() == ["3", "http://x/y.jpg", "", "5"]
        assert shop.card["notes"][-1].endswith("; the column 'images' is now called 'images_given'")
        shop.save(tmp_path / "saved")
        (folder / "b_2.jpg").write_bytes((folder / "b.jpg").read_bytes())
        if not named:
            assert read_frames(LOG, items, images=folder).items["images"].tolist() == ["", "a.png", "", "b.jpg|b_2.jpg"]

    def test_lists_of_pictures_that_are_there_are_kept(self, folder, tmp_path):
        """Also what an export of ours contains."""
        for name in ("a_2.png", "b_2.jpg"):
            (folder / name).write_bytes((folder / "b.jpg").read_bytes())
        items = ITEMS.assign(image=["other.png", "a.png", "", "b"], images=["", "a.png|other.png", None, "b.jpg"])
        for table, options in ((items, {}), (items.drop(columns="image"), {}), (items, {"image": "images"})):
            shop = read_frames(LOG, table, images=folder, **options)
            first = "other.png" if "image" in table and not options else ""
            assert shop.items["image"].tolist() == [first, "a.png", "", "b.jpg"]
            assert shop.items["images"].tolist() == [first, "a.png|other.png", "", "b.jpg"]
            assert "images_given" not in shop.items and "images_given" not in shop.card["notes"][-1]
        with pytest.raises(DataError, match=r"row 1 names the image 'gone\.png' in column 'images'"):
            read_frames(LOG, items.assign(images=["", "a.png|gone.png", None, "b.jpg"]), images=folder)

    def test_digits_of_every_script_order_pictures(self):
        """² and ① are digits, but no decimal ones; an archive's names may have more of them than Python reads."""
        long = "9" * 5000
        paths = ["a/①.jpg", "a/².jpg", f"a/{long}.jpg", "a/10.jpg", "a/9.jpg", "a/٣.jpg", "a/x.jpg"]
        found = pictures_by_item(paths, ["a"])["a"]
        assert sorted(found) == sorted(paths) and [path for path in found if path[2:-4].isascii()] == [
            "a/9.jpg", "a/10.jpg", f"a/{long}.jpg", "a/x.jpg",
        ]  # fmt: skip

    def test_a_folder_called_after_an_item_outranks_the_files_names(self):
        """Catalogues number items and pictures alike: 12/1.jpg is the first picture of 12, and none of 1."""
        paths = ["12/1.jpg", "12/2.jpg", "7/1.jpg", "1/1.jpg", "1/2.jpg"]
        assert pictures_by_item(paths, ["1", "2", "7", "12"]) == {
            "12": ["12/1.jpg", "12/2.jpg"], "7": ["7/1.jpg"], "1": ["1/1.jpg", "1/2.jpg"],
        }  # fmt: skip
        assert pictures_by_item(["photos/12/1.jpg", "photos/1.jpg", "photos/1_2.jpg"], ["1", "12"]) == {
            "12": ["photos/12/1.jpg"], "1": ["photos/1.jpg", "photos/1_2.jpg"],
        }, "a folder that is no item's says nothing"  # fmt: skip
        assert pictures_by_item(["1.jpg", "1_2.jpg", "2-3.png"], ["1", "2", ".", ""]) == {
            "1": ["1.jpg", "1_2.jpg"], "2": ["2-3.png"],
        }, "nor does lying in no folder"  # fmt: skip
        assert pictures_by_item(["a/b.jpg", "a/b/1.jpg", "a/1.jpg"], ["1", "a", "b", "a/b"]) == {
            "a/b": ["a/b.jpg", "a/b/1.jpg"], "a": ["a/1.jpg"],
        }, "an id with a slash"  # fmt: skip

    def test_what_a_mac_writes_beside_each_file_is_no_picture(self, folder):
        (folder / "__MACOSX").mkdir()
        for name in ("__MACOSX/._a.png", "._b.jpg"):
            (folder / name).write_bytes(b"not a picture")
        assert not [path for path in picture_paths(folder) if "._" in path] and "a.png" in picture_paths(folder)

    def test_an_id_with_an_ending(self, folder):
        log = pd.DataFrame({"user": ["u", "v"], "item": ["a.png", "x"]})
        assert read_frames(log, images=folder).items["image"].tolist() == ["a.png", ""]


def log(**columns) -> pd.DataFrame:
    return LOG.assign(**columns)


REFUSED = {
    "no user column": (
        {"interactions": LOG, "user": "uid"},
        r"interactions: there is no column 'uid'; there are: user, item, timestamp, rating\..*user=\.\.\. \(--user",
    ),
    "no time column": ({"interactions": LOG, "timestamp": "when"}, r"no column 'when'.*timestamp=\.\.\. \(--timestamp"),
    "no split column": ({"interactions": LOG, "split": "fold"}, "no column 'fold'"),
    "no key in items": (
        {"interactions": LOG, "items": ITEMS, "item_key": "asin"},
        r"items: there is no column 'asin'; there are: item, title, brand\..*item_key=\.\.\. \(--item-key",
    ),
    "no title column": (
        {"interactions": LOG, "items": ITEMS, "title": "name"},
        r"items: there is no column 'name'.*title=",
    ),
    "empty log": ({"interactions": LOG.iloc[:0]}, "interactions: the table is empty"),
    "empty items": ({"interactions": LOG, "items": ITEMS.iloc[:0]}, "items: the table is empty"),
    "missing user": ({"interactions": log(user=["a", None, "b", "c"])}, r"row 1 has no user \(1 such rows\)"),
    "unknown item": (
        {"interactions": LOG, "items": ITEMS.iloc[1:]},
        r"interactions: row 3 has item 'c', which is not among the 3 items of items; .*Add the items",
    ),
    "id beyond the features": (
        {"interactions": pd.DataFrame({"user": [1, 1], "item": [4, 5]}), "features": {"image": np.ones((5, 2))}},
        r"row 1 has item '5', which is not among the 5 items of features\['image'\]",
    ),
    "duplicates": (
        {"interactions": pd.concat([LOG, LOG.iloc[[1]]])},
        r"rows 1 and 4 hold the same pair \(user 'u10', item 'a'\); .*drop_duplicates=True \(--drop-duplicates\)",
    ),
    "item twice": ({"interactions": LOG, "items": ITEMS.assign(item=list("aabc"))}, "rows 0 and 1 share the item 'a'"),
    "two id columns": (
        {"interactions": LOG, "items": ITEMS.assign(item_id=list("abcd"))},
        "there is a column 'item_id' beside the ids in 'item'; pass item_key='item_id'",
    ),
    "one feature row short": (
        {"interactions": LOG, "items": ITEMS, "features": {"image": IMAGE[:-1]}},
        r"features\['image'\] has 3 rows, but items has 4: row i .* missing='zero'",
    ),
    "features of two lengths": (
        {
            "interactions": pd.DataFrame({"user": [1], "item": [0]}),
            "features": {"a": IMAGE[:3], "b": IMAGE[:2]},
        },
        r"features\['b'\] has 2 rows, but features\['a'\] has 3",
    ),
    "flat features": ({"interactions": LOG, "items": ITEMS, "features": {"image": np.ones(4)}}, r"got \(4,\), float64"),
    "modality name": ({"interactions": LOG, "items": ITEMS, "features": {"an image": IMAGE}}, "is no usable name"),
    "rating text": ({"interactions": log(rating=list("abcd"))}, "column 'rating' holds .* numbers are needed"),
    "rating missing": ({"interactions": log(rating=[1, 2, np.nan, 4])}, "row 2 has rating nan"),
    "part": ({"interactions": log(split=["train", "held out", "valid", "test"])}, "row 1 has split 'held out'"),
    "core of nothing": ({"interactions": LOG, "min_user": 3}, "min_user=3, min_item=0 leave no row; lower them"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_row_and_remedy(arguments, message):
    with pytest.raises(DataError, match=message):
        read_frames(**arguments)


class TestFiles:
    def test_absent(self, tmp_path):
        with pytest.raises(DataError, match=r"interactions: there is no file .*log.csv"):
            read_frames(tmp_path / "log.csv")
        with pytest.raises(DataError, match=r"features\['image'\]: there is no file"):
            read_frames(LOG, ITEMS, {"image": tmp_path / "image.npy"})

    def test_unreadable(self, tmp_path):
        (tmp_path / "log.xlsx").write_text("x")
        with pytest.raises(DataError, match=r"log.xlsx: a table is read from .parquet, .csv or .tsv"):
            read_frames(tmp_path / "log.xlsx")
        (tmp_path / "log.csv").write_text("")
        with pytest.raises(DataError, match=r"log.csv: the file is empty"):
            read_frames(tmp_path / "log.csv")
        (tmp_path / "log.csv").write_text("user,item\n1,2,3\n4,5,6\n")
        with pytest.raises(DataError, match=r"log.csv: the rows have more cells than the line of column names"):
            read_frames(tmp_path / "log.csv")
        (tmp_path / "log.parquet").write_text("user,item")
        with pytest.raises(DataError, match=r"log.parquet: not readable as .parquet"):
            read_frames(tmp_path / "log.parquet")

    def test_pickled_features_are_never_opened(self, tmp_path):
        np.save(tmp_path / "image.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
        with pytest.raises(DataError, match=r"image.npy: not readable as a matrix of numbers .*allow_pickle=False"):
            read_frames(LOG, ITEMS, {"image": tmp_path / "image.npy"})
        (tmp_path / "image.csv").write_text("1,2")
        with pytest.raises(DataError, match=r"image.csv: features are read from .npy"):
            read_frames(LOG, ITEMS, {"image": tmp_path / "image.csv"})


@pytest.mark.parametrize("damage", ["cut short", "overwritten"])
def test_a_damaged_gzip_file_is_named(tmp_path, damage):
    path = tmp_path / "log.csv.gz"
    pd.DataFrame({"user": np.arange(20_000), "item": np.arange(20_000) * 7919 % 20_011}).to_csv(path, index=False)
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + (b"\xff" * 999 + content[middle + 999 :] if damage == "overwritten" else b""))
    with pytest.raises(DataError, match=r"log.csv.gz: not readable as .csv"):
        read_frames(path)


def test_natural_order():
    assert natural_order(pd.Series(["10", "9", "010", "9"])) == ["9", "010", "10"]
    assert natural_order(pd.Series(["u10", "u9"])) == ["u10", "u9"]


class TestWhatASpreadsheetDoes:
    """Ids, dates and columns that come damaged: refused, with the row and what to do."""

    def test_ids_shortened_to_powers_of_ten(self, tmp_path):
        (tmp_path / "orders.csv").write_text("user;item\nb;1\n4,00638E+12;1\n4,00638E+12;2\n")
        with pytest.raises(DataError, match=r"row 1 has user '4,00638E\+12', which is no whole id .*\(2 such rows\)"):
            read_frames(tmp_path / "orders.csv")
        kept = read_frames(pd.DataFrame({"user": ["E+12", "4E+1x"], "item": ["a", "b"]}))
        assert kept.users["user_id"].tolist() == ["4E+1x", "E+12"]

    @pytest.mark.parametrize("blank", ["", "  "])
    @pytest.mark.parametrize("side", ["user", "item"])
    def test_blank_ids_are_nobody_s(self, tmp_path, side, blank):
        log = pd.DataFrame({"user": ["a", "b", "c"], "item": ["x", "y", "z"]})
        log.loc[1, side] = blank
        log.to_parquet(tmp_path / "log.parquet")
        for source in (log, tmp_path / "log.parquet"):
            with pytest.raises(DataError, match=f"row 1 has no {side} \\(1 such rows\\)"):
                read_frames(source)

    @pytest.mark.parametrize(
        "times", [[20240101120000, 20240102120000], [202401011200, 202401021200], [1, 99999999999]]
    )
    def test_dates_written_as_one_number(self, times):
        log = pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"], "timestamp": times})
        with pytest.raises(DataError, match=r"If it is a date without separators, write it as|reads as 'order' but"):
            read_frames(log)
        in_ms = log.assign(timestamp=[1704110400000, 1704196800000])
        assert read_frames(in_ms).interactions["timestamp"].tolist() == [1704110400, 1704196800]
        assert len(read_frames(log.assign(timestamp=[20240101, 20240102])).interactions) == 2  # in order, no dates
        assert len(read_frames(log.assign(timestamp=[202401011200, 202401021200]), time_unit="ms").interactions) == 2

    def test_two_columns_of_one_name(self, tmp_path):
        (tmp_path / "orders.csv").write_text("user,item,timestamp,timestamp\na,x,1,2\n")
        with pytest.raises(DataError, match=r"orders.csv: two columns are called 'timestamp'"):
            read_frames(tmp_path / "orders.csv")
        twice = pd.DataFrame([["a", "x", "y"]], columns=["user", "item", "item"])
        with pytest.raises(DataError, match="interactions: two columns are called 'item'"):
            read_frames(twice)
        with pytest.raises(DataError, match="items: two columns are called 'title'"):
            read_frames(LOG, pd.DataFrame([["a", "x", "y"]], columns=["item", "title", "title"]))

    @pytest.mark.parametrize(
        ("options", "told"),
        [({"item_key": "sku"}, "--item-key.*pass items="), ({"missing": "zero"}, "--missing.*pass features="),
         ({"time_unit": "ms"}, "--time-unit.*name timestamp="), ({"title": "item"}, "pass items=... .--items"),
         ({"text": ["item"]}, "pass items=... .--items"), ({"image": "file"}, "--image.*pass images="),
         ({"drop_unknown": True}, "--drop-unknown.*pass items=")],
    )  # fmt: skip
    def test_options_that_have_nothing_to_work_on(self, options, told):
        log = pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"]})
        with pytest.raises(DataError, match=told):
            read_frames(log, **options)

    def test_what_is_no_table(self):
        with pytest.raises(DataError, match="interactions: give a file's name or a pandas data frame, not a list"):
            read_frames([{"user": "a", "item": "x"}])


SWALLOWED = {
    "two reviews": 'user\titem\treview\nu1\ta\tok\nu1\tb\t"Great\nu2\ta\tok\nu2\tb\t"Super\nu3\ta\tok\n',
    "sizes in inches": 'user,item,review\nu1,a,ok\nu1,b,"5 inch\nu2,a,ok\nu2,b,"7 inch\nu3,a,ok\n',
}


@pytest.mark.parametrize("text", SWALLOWED.values(), ids=SWALLOWED)
@pytest.mark.parametrize("packed", [False, True])
def test_rows_between_two_quotation_marks_are_not_lost(tmp_path, text, packed):
    """pandas makes one cell of them: 3 of 5 orders were left, and the card said that 3 were read."""
    name = ("o.tsv" if "\t" in text else "o.csv") + (".gz" if packed else "")
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    with pytest.raises(
        DataError, match=r"row 1 has a cell that a quotation mark opens and that ends in line 5, in the mi"
    ):
        read_frames(tmp_path / name)


def test_line_ends_in_quoted_cells_are_words(tmp_path):
    text = 'user,item,review\nu1,a,"Good, cheap, fine\nAgain, yes, ""really"""\nu2,a,ok\nu2,b,5" disk\n'
    (tmp_path / "o.csv").write_text(text)
    data = read_frames(tmp_path / "o.csv")
    assert sorted(data.interactions["review"]) == ['5" disk', 'Good, cheap, fine\nAgain, yes, "really"', "ok"]


@pytest.mark.parametrize(("sign", "kind"), [(";", ","), (",", ".")])
def test_times_that_a_spreadsheet_shortened_are_refused(tmp_path, sign, kind):
    """Four digits of milliseconds are days: orders of one day became ties."""
    rows = [["user", "item", "timestamp"], ["u1", "a", f"1{kind}7067E+12"], ["u2", "a", f"1{kind}70671E+12"]]
    (tmp_path / "o.csv").write_text("".join(f"{sign.join(row)}\n" for row in rows))
    with pytest.raises(DataError, match=r"row 0 has timestamp '1.7067E\+12', which is no whole time"):
        read_frames(tmp_path / "o.csv")


def test_times_written_as_text_are_those_of_numbers(tmp_path):
    (tmp_path / "o.csv").write_text("user,item,timestamp\nu1,a,1600000000123\nu1,b,1600000000456\nu2,a,1600000001000\n")
    (tmp_path / "d.csv").write_text("user,item,timestamp\nu1,a,2020-09-13\nu1,b,2020-09-14\nu2,a,2020-09-15\n")
    assert read_frames(tmp_path / "o.csv").interactions["timestamp"].tolist() == [1600000000, 1600000000, 1600000001]
    assert read_frames(tmp_path / "d.csv").interactions["timestamp"].tolist()[0] == 1599955200
    with pytest.raises(DataError, match=r"timestamp 1600000000123, which is no number of seconds before 2099"):
        read_frames(tmp_path / "o.csv", time_unit="s")
    with pytest.raises(DataError, match=r"timestamp holds dates, which have no time_unit='ms'; leave it out"):
        read_frames(tmp_path / "d.csv", time_unit="ms")


def test_html_is_no_text():
    """A cell of tags alone passed for a text, and every description's <div> for what items have in common."""
    items = pd.DataFrame(
        {
            "item": list("abcd"),
            "title": ["Red shoe", "R&D <3", "A &lt; B", "Lamp"],
            "text": ["<p>&nbsp;</p>", "a < b and c > d", "plain", "<div style='x'>A warm<br/>lamp.</div>"],
        }
    )
    orders = pd.DataFrame({"user": ["u"] * 4, "item": list("abcd"), "review": ["<b>Good</b>", "so<so", "ok", "1 > 0"]})
    data = read_frames(orders, items)
    assert data.items["title"].tolist() == ["Red shoe", "R&D <3", "A < B", "Lamp"]
    assert data.items["text"].tolist() == ["", "a < b and c > d", "plain", "A warm lamp."]
    assert data.interactions["review"].tolist() == ["Good", "so<so", "ok", "1 > 0"]
    assert [note for note in data.card["notes"] if "HTML" in note] == [
        "title: HTML was taken out of 1 cells",
        "text: HTML was taken out of 2 cells",
        "review: HTML was taken out of 1 cells",
    ]


@pytest.mark.parametrize(
    ("wanted", "there"), [("000", "0"), ("SKU-1 ", "sku-1"), ("Gro\u0308ße", "Größe"), ("7.0", "7")]
)
def test_items_dropped_for_their_spelling_are_named(wanted, there):
    orders = pd.DataFrame({"user": ["u", "u", "v"], "item": [wanted, "other", "unknown"]})
    data = read_frames(orders, pd.DataFrame({"item": [there, "other"]}), drop_unknown=True)
    (note,) = [note for note in data.card["notes"] if "lacks" in note]
    assert note.startswith("items: 1 of the 2 that the table lacks") and f"{wanted!r} and {there!r}" in note


def test_bytes_are_words_and_whole_decimals_whole(tmp_path):
    """Spark and Hive write strings as bytes: ids were "b'i1'"."""
    table = pa.table({
        "user": pa.array([b"u1", "é".encode()], pa.binary()), "item": pa.array([Decimal("12.00"), Decimal("12.50")]),
        "review": pa.array([b"good", None], pa.binary()),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "o.parquet")
    data = read_frames(tmp_path / "o.parquet")
    assert data.users["user_id"].tolist() == ["u1", "é"] and data.items["item_id"].tolist() == ["12", "12.50"]
    assert data.interactions["review"].tolist() == ["good", ""]
    with pytest.raises(DataError, match="holds bytes that are not UTF-8"):
        read_frames(pd.DataFrame({"user": [b"\xff\xfe"], "item": ["a"]}))


def pictures(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), "red").save(folder / name)


@pytest.mark.parametrize("form", ["a{0}.png|b{0}.png", "a{0}|b{0}", "a{0}.png, b{0}.png", None])
def test_one_lost_file_does_not_cost_the_lists_of_all(tmp_path, form):
    pictures(tmp_path, [f"{side}{n}.png" for n in range(3) for side in "ab"])
    cells = [form.format(n) if form else [f"a{n}.png", f"b{n}.png"] for n in range(3)]
    items = pd.DataFrame({"item": list("xyz"), "images": cells, "image": [f"a{n}.png" for n in range(3)]})
    orders = pd.DataFrame({"user": ["u"] * 3, "item": list("xyz")})
    assert read_frames(orders, items, images=tmp_path).items["images"].tolist() == [
        f"a{n}.png|b{n}.png" for n in range(3)
    ]
    (tmp_path / "b1.png").unlink()
    for table in (items, items.drop(columns="image")):
        with pytest.raises(DataError, match=r"row 1 names the image 'b1(\.png)?' in column 'images', which is not in"):
            read_frames(orders, table, images=tmp_path)


def test_folders_that_only_part_many_files_are_no_items(tmp_path):
    """0/10.png was a picture of item 0: ten items had three foreign pictures each, thirty had none."""
    pictures(tmp_path / "parted", [f"{n % 3}/{n}.png" for n in range(9)])
    pictures(tmp_path / "own", [f"{n}/{k}.png" for n in range(9) for k in (1, 2)])
    orders = pd.DataFrame({"user": ["u"] * 9, "item": [str(n) for n in range(9)]})
    with pytest.raises(
        DataError, match=r"'0/3.png' in .* fits item '0' by its folder and '3' by its name, as 6 files do"
    ):
        read_frames(orders, images=tmp_path / "parted")
    assert (read_frames(orders, images=tmp_path / "own").items["image"] == [f"{n}/1.png" for n in range(9)]).all()
