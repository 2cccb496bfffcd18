"""The data set: what it accepts, what it refuses and in which words, and that a folder gives back what was saved."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmrec_lite.data import DataError, IndexedVectors, MultimodalDataset, load
from mmrec_lite.data import dataset as dataset_module
from tests.tiny import tiny_shop


def parts(**changes):
    """The keyword arguments of a small data set with everything in it: 2 users, 3 items, 4 interactions."""
    sentences = IndexedVectors(
        vectors=np.arange(8, dtype=np.float16).reshape(4, 2), index=np.array([[0, 1], [2, -1], [-1, -1]])
    )
    reviews = IndexedVectors(
        vectors=np.eye(2, dtype=np.float32), index=np.array([[0], [-1], [1], [1]]), rows="interactions"
    )
    arguments = {
        "name": "tiny",
        "users": pd.DataFrame({"user_id": ["anna", "bert"]}),
        "items": pd.DataFrame({"item_id": ["x", "y", "z"], "title": ["X", None, "Z"], "price": [1.5, np.nan, 3.0]}),
        "interactions": pd.DataFrame(
            {
                "user": [0, 0, 1, 1],
                "item": [0, 1, 1, 2],
                "timestamp": [30, 10, 20, 40],
                "rating": [5.0, 4.0, 3.5, 1.0],
                "review": ["good", None, "fine", "poor"],
                "split": ["train", "train", "valid", "test"],
            }
        ),
        "features": {"image": np.array([[1, 2], [3, 4], [0, 0]], dtype=np.float16), "text": np.ones((3, 5))},
        "present": {"image": np.array([True, True, False])},
        "sequences": {"sentences": sentences, "reviews": reviews},
        "texts": {"sentences": ["a", "b", "c", "d"]},
        "truth": {"user_taste": np.ones((2, 3)), "item_common": np.zeros((3, 4)), "user_item_utility": np.ones((2, 3))},
        "card": {"source": "by hand", "counts": [1, 2]},
    }
    return arguments | changes


def make(**changes) -> MultimodalDataset:
    return MultimodalDataset(**parts(**changes))


def interactions(**columns) -> pd.DataFrame:
    return parts()["interactions"].assign(**columns)


def test_counts_names_and_types():
    shop = make()
    assert (shop.n_users, shop.n_items, len(shop)) == (2, 3, 4)
    assert shop.modalities == ("image", "text")
    assert shop.density == pytest.approx(4 / 6)
    assert repr(shop) == "MultimodalDataset('tiny': 2 users, 3 items, 4 interactions; image 2-d, text 5-d)"
    types = {column: str(dtype) for column, dtype in shop.interactions.dtypes.items()}
    assert types["user"] == types["item"] == "int32" and types["timestamp"] == "int64" and types["rating"] == "float32"
    assert shop.features["image"].dtype == np.float16 and shop.features["text"].dtype == np.float32
    assert shop.present["image"].tolist() == [True, True, False] and shop.present["text"].all()
    assert shop.interactions["review"].tolist() == ["good", "", "fine", "poor"]


def test_summary_says_what_is_there():
    summary = make().summary()
    assert summary["interactions"] == 4 and summary["items nobody took"] == 0
    assert summary["feature image"] == "2-d float16, present for 66.7% of the items"
    assert summary["time"] == "order only, no dates"
    dated = make(interactions=interactions(timestamp=[1506902400, 1506902401, 1506988800, 1507000000]))
    assert dated.summary()["time"] == "2017-10-02 to 2017-10-03"


def test_numeric_original_ids_become_strings():
    shop = make(users=pd.DataFrame({"user_id": [7, 8]}))
    assert shop.users["user_id"].tolist() == ["7", "8"]


def test_features_cannot_be_written_but_dense_gives_a_copy():
    shop = make()
    with pytest.raises(ValueError, match="read-only"):
        shop.features["image"][0] = 0
    copy = shop.dense("image")
    copy[:] = 9
    assert copy.dtype == np.float32 and shop.features["image"][0, 0] == 1


def test_the_callers_array_stays_writable_and_the_frames_are_copies():
    arguments = parts()
    shop = MultimodalDataset(**arguments)
    arguments["features"]["image"][2] = 0
    arguments["interactions"].loc[0, "item"] = 2
    assert shop.interactions["item"].tolist() == [0, 1, 1, 2]


def test_replace_checks_again_and_keeps_what_still_fits():
    shop = make()
    changed = shop.replace(features={"image": shop.features["image"]})
    assert changed.modalities == ("image",) and not changed.present["image"][2]
    assert changed.hash != shop.hash
    with pytest.raises(DataError, match="2 rows"):
        shop.replace(features={"image": np.ones((2, 2))})


def test_check_modalities_names_those_there_are():
    shop = make()
    assert shop.check_modalities("text") == ("text",)
    assert shop.check_modalities(["text", "image"]) == ("text", "image")
    with pytest.raises(DataError, match="data set 'tiny': unknown modality 'audio'; it has: image, text"):
        shop.check_modalities(("image", "audio"))
    with pytest.raises(DataError, match="unknown modality 'audio'"):
        shop.dense("audio")


REFUSED = {
    "name": ({"name": "a b/c"}, "data set 'a b/c' is no usable name"),
    "users not a frame": ({"users": [1, 2]}, "users: expected a pandas DataFrame, got list"),
    "no id column": ({"users": pd.DataFrame({"id": [1, 2]})}, "users: column 'user_id' is missing; there are: id"),
    "empty items": ({"items": pd.DataFrame({"item_id": []})}, "items: the table is empty"),
    "repeated id": ({"items": pd.DataFrame({"item_id": list("xyx")})}, "items: rows 0 and 2 share the item_id 'x'"),
    "missing id": ({"users": pd.DataFrame({"user_id": ["a", None]})}, "users: row 1 has no user_id"),
    "list column": (
        {"items": pd.DataFrame({"item_id": list("xyz"), "tags": ["a", ["b"], "c"]})},
        "items: column 'tags' holds list in row 1; .* join them",
    ),
    "empty interactions": ({"interactions": interactions().iloc[:0]}, "interactions: the table is empty"),
    "no item column": (
        {"interactions": interactions().drop(columns="item")},
        "interactions: column 'item' is missing; there are: user, timestamp, rating, review, split",
    ),
    "item out of range": (
        {"interactions": interactions(item=[0, 1, 3, 2])},
        r"interactions: row 2 has item 3, but the items table has rows 0\.\.2 \(1 such rows\)",
    ),
    "negative user": ({"interactions": interactions(user=[0, -1, 1, 1])}, "interactions: row 1 has user -1"),
    "fractional item": ({"interactions": interactions(item=[0, 0.5, 1, 2])}, "row 1 has item 0.5, .* no whole number"),
    "text as item": ({"interactions": interactions(item=list("abcd"))}, "column 'item' holds .* whole numbers"),
    "duplicate": (
        {"interactions": interactions(item=[1, 1, 1, 2])},
        r"rows 0 and 1 hold the same pair \(user 0, item 1\); 1 rows repeat .*drop_duplicates=True",
    ),
    "time missing": ({"interactions": interactions(timestamp=[1, np.nan, 2, 3])}, "row 1 has timestamp nan"),
    "time infinite": ({"interactions": interactions(timestamp=[1, 2, np.inf, 3])}, "row 2 has timestamp inf"),
    "time fractional": ({"interactions": interactions(timestamp=[1, 2, 3, 4.5])}, "row 3 has timestamp 4.5"),
    "rating missing": ({"interactions": interactions(rating=[1, 2, 3, np.nan])}, "row 3 has rating nan"),
    "rating too big": ({"interactions": interactions(rating=[1, 1e60, 3, 4])}, r"row 1 has rating 1e\+60"),
    "review number": ({"interactions": interactions(review=[1, 2, 3, 4])}, "column 'review' holds int64, not text"),
    "unknown part": (
        {"interactions": interactions(split=["train", "dev", "valid", "test"])},
        "row 1 has split 'dev' .* one of: train, valid, test",
    ),
    "short features": (
        {"features": {"image": np.ones((2, 4))}, "present": {}},
        r"features\['image'\] has 2 rows, but the items table has 3: row i describes item i",
    ),
    "NaN features": (
        {"features": {"image": np.array([[1.0], [np.nan], [2.0]])}, "present": {}},
        r"features\['image'\]: row 1 holds NaN or infinity \(1 such rows\)",
    ),
    "overflowing features": (
        {"features": {"image": np.array([[1.0], [2.0], [1e300]])}, "present": {}},
        "row 2 holds NaN or infinity",
    ),
    "flat features": ({"features": {"image": np.ones(3)}, "present": {}}, r"expected a matrix .* got shape \(3,\)"),
    "no columns": ({"features": {"image": np.ones((3, 0))}, "present": {}}, "the vectors have no columns"),
    "features as lists": ({"features": {"image": [[1], [2], [3]]}, "present": {}}, "got list"),
    "modality name": ({"features": {"my image": np.ones((3, 1))}, "present": {}}, "modality 'my image' is no usable"),
    "present unknown": ({"present": {"audio": np.ones(3, bool)}}, "unknown modality 'audio'; .*: image, text"),
    "present shape": ({"present": {"image": np.ones(2, bool)}}, "expected 3 booleans"),
    "absent but not zero": (
        {"present": {"image": np.array([True, False, True])}},
        r"item 1 is marked as lacking it, yet features\['image'\]\[1\] is not zero \(1 such items\)",
    ),
    "truth name": ({"truth": {"taste": np.ones(2)}}, "must begin with 'user_' or 'item_'"),
    "truth rows": ({"truth": {"item_common": np.ones((2, 3))}}, r"expected 3 rows \(one for each item\)"),
    "sequence rows": (
        {"sequences": {"reviews": IndexedVectors(np.eye(2), np.zeros((3, 1), int), "interactions")}, "texts": {}},
        r"sequences\['reviews'\] has 3 rows, but there are 4 interactions",
    ),
    "sequence type": ({"sequences": {"reviews": np.eye(3)}, "texts": {}}, "expected IndexedVectors, got ndarray"),
    "texts unknown": ({"texts": {"keywords": []}}, "unknown sequence 'keywords'; there are: sentences, reviews"),
    "texts short": ({"texts": {"sentences": ["a"]}}, "expected 4 strings, one a vector; got 1"),
    "card": ({"card": {"when": object()}}, "card: .* not JSON serializable"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_table_row_and_remedy(changes, message):
    with pytest.raises(DataError, match=message):
        make(**changes)


def test_nullable_and_categorical_columns_are_taken():
    items = pd.DataFrame(
        {"item_id": list("xyz"), "n": pd.array([1, None, 3], dtype="Int64"), "kind": pd.Categorical(["a", "b", "a"])}
    )
    shop = make(items=items)
    assert shop.items["n"].dtype == float and shop.items["kind"].tolist() == ["a", "b", "a"]


class TestIndexedVectors:
    def test_gather_pads_with_zeros(self):
        sentences = make().sequences["sentences"]
        block = sentences.gather([2, 0])
        assert block.dtype == np.float32 and block.shape == (2, 2, 2)
        np.testing.assert_array_equal(block, [[[0, 0], [0, 0]], [[0, 1], [2, 3]]])
        np.testing.assert_array_equal(sentences.mask, [[True, True], [True, False], [False, False]])

    def test_mean_agrees_with_a_loop(self):
        rng = np.random.default_rng(0)
        index = rng.integers(-1, 7, size=(20, 5))
        sequence = IndexedVectors(rng.normal(size=(7, 3)).astype(np.float32), index)
        expected = [sequence.vectors[row[row >= 0]].mean(axis=0) if (row >= 0).any() else np.zeros(3) for row in index]
        assert sequence.mean().dtype == np.float32
        np.testing.assert_allclose(sequence.mean(), expected, atol=1e-6)

    def test_no_vectors_at_all(self):
        empty = IndexedVectors(np.zeros((0, 3), np.float32), np.full((2, 4), -1))
        assert not empty.gather([0, 1]).any() and empty.mean().shape == (2, 3) and not empty.mean().any()

    @pytest.mark.parametrize(
        ("index", "rows", "message"),
        [
            ([[0, 4]], "items", r"row 0 points outside the 4 vectors: \[0, 4\]"),
            ([[0, 1], [-2, 0]], "items", "row 1 points outside"),
            ([[0.5]], "items", "expected whole numbers"),
            ([0, 1], "items", "expected whole numbers"),
            ([[0]], "users", "'users' is neither 'items' nor 'interactions'"),
        ],
    )
    def test_refused(self, index, rows, message):
        with pytest.raises(DataError, match=message):
            IndexedVectors(np.ones((4, 2)), np.array(index), rows)


class TestHash:
    def test_same_content_same_hash_whatever_the_order_of_columns(self):
        turned = interactions()[["split", "review", "item", "user", "rating", "timestamp"]]
        assert make().hash == make(interactions=turned).hash

    def test_name_and_card_stay_out(self):
        assert make().hash == make(name="other", card={}).hash

    @pytest.mark.parametrize(
        "changes",
        [
            {"interactions": interactions(timestamp=[30, 10, 20, 41])},
            {"interactions": interactions(review=["good", "good", "fine", "poor"])},
            {"items": pd.DataFrame({"item_id": list("xyz")})},
            {"features": {"image": np.array([[1, 2], [3, 5], [0, 0]], np.float16), "text": np.ones((3, 5))}},
            {"present": {}},
            {"truth": {}},
            {"texts": {"sentences": list("abce")}},
        ],
    )
    def test_any_content_counts(self, changes):
        assert make(**changes).hash != make().hash


class TestDisk:
    def test_a_folder_gives_back_what_was_saved(self, tmp_path):
        shop = make()
        assert shop.save(tmp_path / "shop") == tmp_path / "shop"
        back = MultimodalDataset.load(tmp_path / "shop")
        assert back.hash == shop.hash and back.name == "tiny" and back.card == shop.card
        assert back.modalities == shop.modalities and back.texts == shop.texts
        assert back.sequences["reviews"].rows == "interactions"
        assert back.items["title"].isna().tolist() == [False, True, False]
        pd.testing.assert_frame_equal(back.interactions, shop.interactions, check_dtype=False)
        for name, values in shop.truth.items():
            np.testing.assert_array_equal(back.truth[name], values)
        assert load(str(tmp_path / "shop")).hash == shop.hash
        assert load(back) is back

    def test_it_leaves_nothing_beside_and_no_pickle_inside(self, tmp_path):
        make().save(tmp_path / "shop")
        assert [path.name for path in tmp_path.iterdir()] == ["shop"]
        suffixes = {path.suffix for path in (tmp_path / "shop").rglob("*") if path.is_file()}
        assert suffixes == {".json", ".npy", ".parquet"}

    def test_saving_twice_gives_the_same_bytes(self, tmp_path):
        make().save(tmp_path / "a")
        make().save(tmp_path / "b")
        first, second = (json.loads((tmp_path / name / "dataset.json").read_text()) for name in "ab")
        assert first == second

    def test_an_occupied_folder_is_refused_and_replaced_only_if_it_is_a_data_set(self, tmp_path):
        shop = make()
        shop.save(tmp_path / "shop")
        with pytest.raises(DataError, match=r"is not empty; .* overwrite=True"):
            shop.save(tmp_path / "shop")
        make(card={"second": True}).save(tmp_path / "shop", overwrite=True)
        assert MultimodalDataset.load(tmp_path / "shop").card == {"second": True}
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
        with pytest.raises(DataError, match="will not be overwritten"):
            shop.save(tmp_path / "thesis", overwrite=True)
        assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"

    def test_a_failed_save_leaves_the_old_folder(self, tmp_path, monkeypatch):
        shop = make()
        shop.save(tmp_path / "shop")

        def full_disk(*args, **kwargs):
            raise OSError("no space left on device")

        monkeypatch.setattr(np, "save", full_disk)
        with pytest.raises(OSError, match="no space"):
            make(card={"second": True}).save(tmp_path / "shop", overwrite=True)
        assert MultimodalDataset.load(tmp_path / "shop").card == shop.card
        assert [path.name for path in tmp_path.iterdir()] == ["shop"]

    def test_a_changed_file_is_refused(self, tmp_path):
        make().save(tmp_path / "shop")
        np.save(tmp_path / "shop" / "features" / "image.npy", np.zeros((3, 2), np.float16))
        with pytest.raises(DataError, match=r"features/image.npy is not the file that was saved \(SHA-256 differs\)"):
            MultimodalDataset.load(tmp_path / "shop")

    def test_a_missing_file_is_refused(self, tmp_path):
        make().save(tmp_path / "shop")
        (tmp_path / "shop" / "users.parquet").unlink()
        with pytest.raises(DataError, match=r"users.parquet is missing"):
            MultimodalDataset.load(tmp_path / "shop")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"version": 99}, "format version 99, this mmrec_lite reads version 1"),
            ({"format": "other"}, "does not describe an mmrec_lite data set"),
            ({"features": None}, "'features' is missing or damaged"),
            ({"features": ["../../other"]}, "'features/../../other.npy' is asked for, but not listed"),
            ({"images": "/etc/hosts"}, "'/etc/hosts' is asked for, but not listed"),
        ],
    )
    def test_another_format_is_refused(self, tmp_path, change, message):
        make().save(tmp_path / "shop")
        index = tmp_path / "shop" / "dataset.json"
        index.write_text(json.dumps(json.loads(index.read_text()) | change))
        with pytest.raises(DataError, match=message):
            MultimodalDataset.load(tmp_path / "shop")

    def test_folders_that_are_no_data_set(self, tmp_path):
        with pytest.raises(DataError, match=r"there is no dataset.json in it.*mmrec data prepare"):
            load(tmp_path)
        with pytest.raises(DataError, match=r"there is no data set 'nowhere'. The embedded one is called 'bazaar'"):
            load("nowhere")

    def test_a_path_called_bazaar_is_the_shop_or_the_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        shop = load("bazaar")
        assert load(Path("bazaar")).hash == shop.hash
        mine = make()
        mine.save("bazaar")
        assert load(Path("bazaar")).hash == load("./bazaar").hash == mine.hash
        assert load("bazaar").hash == shop.hash


class TestPictures:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        root = tmp_path / "pictures"
        root.mkdir()
        for name, colour in (("x.png", "red"), ("z.png", "blue"), ("unused.png", "green")):
            Image.new("RGB", (4, 4), colour).save(root / name)
        return root

    @staticmethod
    def shop(root, names=("x.png", "", "z.png")) -> MultimodalDataset:
        return make(items=pd.DataFrame({"item_id": list("xyz"), "image": list(names)}), image_root=root)

    def test_from_folder_archive_and_saved(self, folder, tmp_path):
        archive = tmp_path / "pictures.zip"
        with zipfile.ZipFile(archive, "w") as target:
            for path in folder.iterdir():
                target.write(path, path.name)
        shop = self.shop(folder)
        shop.save(tmp_path / "shop")
        for source in (shop, self.shop(archive), MultimodalDataset.load(tmp_path / "shop")):
            assert source.image(0).getpixel((0, 0)) == (255, 0, 0)
            assert source.image(1) is None
            assert source.image(2).getpixel((0, 0)) == (0, 0, 255)
        with zipfile.ZipFile(tmp_path / "shop" / "images.zip") as saved:
            assert saved.namelist() == ["x.png", "z.png"]

    def test_none_without_pictures(self):
        assert make().image(0) is None

    def test_refused(self, folder):
        with pytest.raises(DataError, match=r"there is no item 3; items are numbered 0..2"):
            self.shop(folder).image(3)
        with pytest.raises(DataError, match=r"image 'gone.png' is not in"):
            self.shop(folder, ("gone.png", "", "")).image(0)
        with pytest.raises(DataError, match="must stay inside pictures"):
            self.shop(folder, ("../secret.png", "", "")).image(0)
        (folder / "x.png").write_bytes(b"not a picture")
        with pytest.raises(DataError, match=r"image 'x.png' of item 0 cannot be decoded"):
            self.shop(folder).image(0)


def test_the_hash_of_words_is_that_of_one_json_list(monkeypatch):
    """It is taken piece by piece; the digest is the one that saved data sets have."""
    words = pd.Series(["é", None, "", 'say "no", please', "x"])
    for rows in (0, 1, 2, 5):
        for size in (1, 2, 4, 100):
            monkeypatch.setattr(dataset_module, "_PIECE", size)
            digest = hashlib.sha256()
            dataset_module._feed_column(digest, "items.a", words[:rows].astype(object))
            whole = f"items.a|{json.dumps(words[:rows].astype(object).where(words[:rows].notna(), None).tolist())}|"
            assert digest.hexdigest() == hashlib.sha256(whole.encode()).hexdigest()


def test_a_modality_named_twice_is_refused():
    """It would count twice."""
    with pytest.raises(DataError, match="image, image: name each of them once"):
        tiny_shop().check_modalities(("image", "image"))
