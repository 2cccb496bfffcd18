"""Readers of the public sources, on small files in each source's exact format."""

from __future__ import annotations

import gzip
import json
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmrec_lite.data import DataError, MultimodalDataset, split
from mmrec_lite.data.readers import (
    Filters,
    movielens,
    read_amazon_2014,
    read_amazon_2018,
    read_amazon_2023,
    read_frames,
    read_goodreads,
    read_mmrec,
    read_mmssl,
    read_movielens,
    read_recbole,
    read_yelp,
    streaming,
)
from mmrec_lite.data.readers.streaming import literal, plain, records, seconds_of, written

ALL = Filters(1, 1)
ASINS = ["0000031852", "B00AAAAAA1", "B00AAAAAA2"]
PAIRS = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]  # user, product


def packed(path: Path, lines: list[str]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)
    return path


def reviews_2014(folder: Path, more: tuple[str, ...] = ()) -> Path:
    lines = [
        json.dumps({"reviewerID": f"A{user}", "asin": ASINS[item], "reviewerName": "J.", "helpful": [0, 1],
                    "reviewText": f"I like it, {user}.", "overall": float(1 + item), "summary": "Nice",
                    "unixReviewTime": 1_300_000_000 + 86_400 * n, "reviewTime": "03 13, 2011"})
        for n, (user, item) in enumerate(PAIRS)
    ]  # fmt: skip
    return packed(folder / "reviews_Toys_5.json.gz", [*lines, *more])


def meta_2014(folder: Path) -> Path:
    rows = [
        {"asin": ASINS[0], "title": "Girls' Ballet Tutu", "price": 3.17, "brand": "Coxlures",
         "imUrl": "http://x/y.jpg", "categories": [["Sports", "Dance"]], "description": "A <b>pink</b> tutu &amp; more",
         "related": {"also_bought": ["B1"]}, "salesRank": {"Toys": 211836}},
        {"asin": ASINS[1], "title": 'The "big" one'},
        {"asin": "B00NOBODY0", "title": "never taken"},
    ]  # fmt: skip
    return packed(folder / "meta_Toys.json.gz", [repr(row) for row in rows])


def image_file(folder: Path) -> Path:
    path = folder / "image_features_Toys.b"
    with path.open("wb") as file:
        for n, asin in enumerate(["B00NOBODY0", ASINS[1], ASINS[0]]):
            file.write(asin.encode() + np.full(4096, n, dtype="<f4").tobytes())
    return path


class TestAmazon2014:
    def test_reviews_literal_products_and_picture_vectors(self, tmp_path):
        data = read_amazon_2014(
            reviews_2014(tmp_path), meta_2014(tmp_path), image_file(tmp_path), filters=ALL, name="toys"
        )
        assert (data.n_users, data.n_items, len(data)) == (3, 3, 6)
        assert data.items["item_id"].tolist() == ASINS
        first = data.items.iloc[0]
        assert first["title"] == "Girls' Ballet Tutu" and first["price"] == pytest.approx(3.17)
        assert first["text"] == "Girls' Ballet Tutu. Coxlures. Dance. A pink tutu & more"
        assert data.items["title"].tolist()[1:] == ['The "big" one', ""]
        assert data.present["image"].tolist() == [True, True, False]
        assert data.features["image"].shape == (3, 4096) and data.features["image"][0, 0] == 2
        assert data.interactions["review"][0] == "Nice. I like it, 0."
        assert data.interactions["timestamp"][1] - data.interactions["timestamp"][0] == 86_400

    def test_filters_are_counted_on_the_card_and_sources_hashed(self, tmp_path):
        data = read_amazon_2014(
            reviews_2014(tmp_path, (json.dumps({"reviewerID": "A0", "asin": ASINS[0], "overall": 5.0,
                                                "unixReviewTime": 1}), "{not json", "{}")),
            filters=Filters(2, 2, min_rating=1), with_reviews=False,
        )  # fmt: skip
        assert [row["interactions"] for row in data.card["counts"]] == [7, 7, 6, 4]
        assert [row["users"] for row in data.card["counts"]] == [3, 3, 3, 2]
        assert [row["items"] for row in data.card["counts"]] == [3, 3, 3, 2]
        assert "2 lines could not be read (line 8, 9)" in data.card["notes"][0]
        assert len(data.card["files"]["reviews"]["sha256"]) == 64 and data.card["reader"] == "amazon-2014"
        assert "review" not in data.interactions and data.name == "reviews_Toys_5"

    def test_pictures_of_ones_own(self, tmp_path):
        (tmp_path / "pictures").mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / "pictures" / f"{ASINS[1]}.jpg")
        data = read_amazon_2014(reviews_2014(tmp_path), images=tmp_path / "pictures", filters=ALL)
        assert data.items["image"].tolist() == ["", f"{ASINS[1]}.jpg", ""] and data.image(1).size == (4, 4)

    def test_files_of_another_category_are_refused(self, tmp_path):
        reviews = reviews_2014(tmp_path)
        message = r"tells of none of the 3 items that are left, such as '0000031852'\. Is it the file of another categ"
        other = packed(tmp_path / "meta_Other.json.gz", [repr({"asin": "B00NOBODY0", "title": "never taken"})])
        with pytest.raises(DataError, match=rf"meta_Other.json.gz: {message}"):
            read_amazon_2014(reviews, other, filters=ALL)
        whole = image_file(tmp_path).read_bytes()
        (tmp_path / "other.b").write_bytes(whole[: len(whole) // 3])
        with pytest.raises(DataError, match=rf"other.b: {message}"):
            read_amazon_2014(reviews, image_features=tmp_path / "other.b", filters=ALL)

    def test_rows_of_zeros_are_noted_and_may_mean_that_there_is_none(self, tmp_path):
        reviews, features = reviews_2014(tmp_path), image_file(tmp_path)
        content = features.read_bytes()
        size = len(content) // 3  # the second record's numbers become zeros
        features.write_bytes(content[: size + 10] + bytes(size - 10) + content[2 * size :])
        there = "image: 2 of 3 items have a row in image_features_Toys.b"
        data = read_amazon_2014(reviews, image_features=features, filters=ALL)
        assert data.present["image"].tolist() == [True, True, False]
        zeros = "image: 1 rows of zeros taken as they are (missing='zero': items lack it)"
        assert data.card["notes"] == [there, zeros]
        data = read_amazon_2014(reviews, image_features=features, filters=ALL, missing="zero")
        assert data.present["image"].tolist() == [True, False, False] and data.features["image"][0, 0] == 2
        assert data.card["notes"] == [there, "image: 1 of 2 items lack it"]

    def test_a_literal_is_never_called(self):
        assert literal("{'a': [1, None, True]}\n") == {"a": [1, None, True]}
        with pytest.raises(ValueError, match="malformed"):
            literal("{'a': __import__('os').getcwd()}")

    def test_damaged_files_are_named(self, tmp_path):
        good = reviews_2014(tmp_path).read_bytes()
        (tmp_path / "cut.json.gz").write_bytes(good[:-30])
        with pytest.raises(DataError, match=r"cut.json.gz: the archive is damaged or cut short"):
            read_amazon_2014(tmp_path / "cut.json.gz", filters=ALL)
        with pytest.raises(DataError, match=r"line 1 is not one object"):
            read_amazon_2014(packed(tmp_path / "csv.gz", ["user,item"]), filters=ALL)
        with pytest.raises(DataError, match="there is no file"):
            read_amazon_2014(tmp_path / "nowhere.json", filters=ALL)
        whole = image_file(tmp_path).read_bytes()
        (tmp_path / "cut.b").write_bytes(whole[:-1])
        with pytest.raises(DataError, match=r"cut.b: the last record is cut short"):
            read_amazon_2014(reviews_2014(tmp_path), image_features=tmp_path / "cut.b", filters=ALL)
        (tmp_path / "cut.b.gz").write_bytes(gzip.compress(whole)[:-20])
        with pytest.raises(DataError, match=r"cut.b.gz: the archive is damaged or cut short"):
            read_amazon_2014(reviews_2014(tmp_path), image_features=tmp_path / "cut.b.gz", filters=ALL)


def test_amazon_2018(tmp_path):
    reviews = [
        {"overall": 5.0, "verified": True, "reviewTime": "10 1, 2017", "reviewerID": f"A{user}", "asin": ASINS[item],
         "reviewText": "Love it.", "summary": "A+", "unixReviewTime": 1_506_902_400 + n, "style": {"Color:": " Red"}}
        for n, (user, item) in enumerate(PAIRS)
    ]  # fmt: skip
    meta = {"category": ["Gift Cards", "Cards"], "description": ["One.", "", "Two"], "title": "eGift",
            "brand": "Amazon",
            "feature": ["No fees"], "price": "$1,025.00", "imageURL": ["http://low"], "imageURLHighRes": ["http://a", "http://b"],
            "asin": ASINS[0], "also_buy": []}  # fmt: skip
    bare = {"asin": ASINS[1], "title": "Bare", "price": "", "category": [], "description": [], "feature": []}
    path = tmp_path / "Gift_Cards_5.json"
    path.write_text("\n".join(map(json.dumps, reviews)) + "\n")
    data = read_amazon_2018(path, packed(tmp_path / "meta.json.gz", [json.dumps(meta), json.dumps(bare)]), filters=ALL)
    first = data.items.iloc[0]
    assert first["text"] == "eGift. Amazon. Cards. No fees. One. Two"
    assert (
        first["price"] == 1025
        and first["image_url"] == "http://a|http://b"
        and first["category"] == "Gift Cards > Cards"
    )
    assert data.items["text"][1] == "Bare" and np.isnan(data.items["price"][1])
    assert data.interactions["review"][0] == "A+. Love it." and data.card["reader"] == "amazon-2018"


def test_amazon_2023_has_parents_and_milliseconds(tmp_path):
    reviews = [
        {"rating": 4.0, "title": "Ok", "text": "Fine<br />really", "images": [], "asin": f"CHILD{n}",
         "parent_asin": ASINS[item], "user_id": f"A{user}", "timestamp": 1_588_687_728_923 - n, "helpful_vote": 0,
         "verified_purchase": True}
        for n, (user, item) in enumerate(PAIRS)
    ]  # fmt: skip
    meta = {"main_category": "All Beauty", "title": "Howard Leather", "average_rating": 4.8, "rating_number": 10,
            "features": ["Strong."], "description": [], "price": 12.5, "store": "Howard", "categories": [],
            "images": [{"thumb": "t", "large": "l", "variant": "MAIN", "hi_res": None}], "videos": [], "details": {},
            "parent_asin": ASINS[0], "bought_together": None}  # fmt: skip
    data = read_amazon_2023(
        packed(tmp_path / "All_Beauty.jsonl.gz", [json.dumps(row) for row in reviews]),
        packed(tmp_path / "meta.jsonl.gz", [json.dumps(meta)]),
        filters=ALL,
    )
    assert data.items["item_id"].tolist() == ASINS and data.name == "All_Beauty"
    assert data.items["text"][0] == "Howard Leather. Howard. Strong." and data.items["image_url"][0] == "l"
    assert data.items["category"][0] == "All Beauty"
    assert (data.interactions["timestamp"] == 1_588_687_728).all()
    assert data.interactions["user"].tolist() == [2, 1, 1, 0, 0, 0], "rows come in the order of the milliseconds"
    assert data.interactions["review"][0] == "Ok. Fine really"


def test_goodreads(tmp_path):
    rows = [
        {"user_id": f"u{user}", "book_id": str(10 + item), "review_id": str(n), "is_read": n != 5, "rating": n % 6,
         "review_text_incomplete": "Good" if n == 0 else "", "date_added": "Fri Aug 25 13:55:02 -0700 2017",
         "date_updated": "", "read_at": "", "started_at": ""}
        for n, (user, item) in enumerate(PAIRS)
    ]  # fmt: skip
    books = [{"book_id": "10", "title": "The <i>Book</i>", "description": "Long ago.", "image_url": "http://b",
              "popular_shelves": [{"count": "3", "name": "to-read"}, {"count": "1", "name": "poetry"}]}]  # fmt: skip
    log = packed(tmp_path / "goodreads_interactions_poetry.json.gz", [json.dumps(row) for row in rows])
    data = read_goodreads(log, packed(tmp_path / "books.json.gz", [json.dumps(row) for row in books]), filters=ALL)
    assert len(data) == 5 and "1 rows left out" in data.card["notes"][0]
    assert data.items["text"].tolist() == ["The Book. Long ago.", "", ""]
    assert data.items["shelves"][0] == "to-read, poetry" and data.interactions["review"][0] == "Good"
    assert pd.Timestamp(data.interactions["timestamp"][0], unit="s").isoformat() == "2017-08-25T20:55:02"
    assert len(read_goodreads(log, filters=ALL, read_only=False)) == 6
    assert len(read_goodreads(log, filters=Filters(1, 1, min_rating=1))) == 4, "a rating of 0 means none"
    other = packed(tmp_path / "other.json.gz", [json.dumps(books[0] | {"book_id": "99"})])
    with pytest.raises(DataError, match=r"other.json.gz: tells of none of the 3 items that are left, such as '10'"):
        read_goodreads(log, other, filters=ALL)


def yelp_files(folder: Path) -> dict[str, Path]:
    reviews = [
        {"review_id": str(n), "user_id": f"u{user}", "business_id": f"b{item}", "stars": 4.0, "useful": 0, "funny": 0,
         "cool": 0, "text": "Tasty.\n\nVery.", "date": "2018-07-07 22:09:11"}
        for n, (user, item) in enumerate(PAIRS)
    ]  # fmt: skip
    business = [
        {"business_id": f"b{n}", "name": f"Place {n}", "city": "Reno", "categories": cats, "attributes": None}
        for n, cats in enumerate(["Pizza, Restaurants", None, "Shopping"])
    ]
    photos = [{"photo_id": f"p{n}", "business_id": "b0", "caption": "", "label": "food"} for n in range(3)]
    paths = {}
    for key, rows in (("review", reviews), ("business", business), ("photos", photos)):
        paths[key] = folder / f"{key}.json"
        paths[key].write_text("\n".join(map(json.dumps, rows)) + "\n")
    paths["images"] = folder / "photos"
    paths["images"].mkdir()
    for n in (0, 2):
        Image.new("RGB", (4, 4), (n, 0, 0)).save(paths["images"] / f"p{n}.jpg")
    return paths


def test_yelp_with_several_photos(tmp_path):
    files = yelp_files(tmp_path)
    data = read_yelp(files["review"], files["business"], files["photos"], files["images"], filters=ALL)
    assert data.items["images"].tolist() == ["p0.jpg|p2.jpg", "", ""] and data.items["image"][0] == "p0.jpg"
    assert data.items["text"][0] == "Place 0. Pizza, Restaurants. Reno" and data.items["text"][1] == "Place 1. Reno"
    assert "1 files are not there" in data.card["notes"][-1] or any("1 files" in note for note in data.card["notes"])
    assert pd.Timestamp(data.interactions["timestamp"][0], unit="s").isoformat() == "2018-07-07T22:09:11"
    assert data.interactions["review"][0] == "Tasty. Very."
    data.save(tmp_path / "saved")
    assert MultimodalDataset.load(tmp_path / "saved").image(0).size == (4, 4)
    food = read_yelp(files["review"], files["business"], category="Restaurants", filters=ALL)
    assert food.n_items == 1 and len(food) == 3
    with pytest.raises(DataError, match="no business has the category 'Pub'"):
        read_yelp(files["review"], files["business"], category="Pub")
    with pytest.raises(DataError, match="go together"):
        read_yelp(files["review"], photos=files["photos"])


def test_yelps_photos_in_an_archive_or_nowhere(tmp_path):
    files = yelp_files(tmp_path)
    archive = Path(shutil.make_archive(str(tmp_path / "photos"), "zip", files["images"]))
    data = read_yelp(files["review"], photos=files["photos"], images=archive, filters=ALL)
    assert data.items["images"].tolist() == ["p0.jpg|p2.jpg", "", ""] and data.image(0).size == (4, 4)
    for wrong in (tmp_path / "nowhere", files["photos"]):
        with pytest.raises(DataError, match="is neither a folder nor a zip archive"):
            read_yelp(files["review"], photos=files["photos"], images=wrong, filters=ALL)


def test_yelps_photos_in_folders_of_the_folder_or_archive(tmp_path):
    """Yelp's own archive has them in photos/."""
    files = yelp_files(tmp_path)
    (tmp_path / "all").mkdir()
    files["images"].rename(tmp_path / "all" / "photos")
    archive = Path(shutil.make_archive(str(tmp_path / "yelp"), "zip", tmp_path / "all"))
    for images in (tmp_path / "all", archive):
        data = read_yelp(files["review"], photos=files["photos"], images=images, filters=ALL)
        assert data.items["images"].tolist() == ["photos/p0.jpg|photos/p2.jpg", "", ""]
        assert data.image(0).size == (4, 4)


def test_yelps_files_that_fit_no_business_are_refused(tmp_path):
    files = yelp_files(tmp_path)
    for path in files["images"].iterdir():
        path.rename(path.with_name(f"other-{path.name}"))
    with pytest.raises(
        DataError, match=r"none of the 3 photos that photos.json names, such as 'p0.jpg', is among the 2"
    ):
        read_yelp(files["review"], photos=files["photos"], images=files["images"], filters=ALL)
    for key in ("photos", "business"):
        files[key].write_text(files[key].read_text().replace('"business_id": "b', '"business_id": "x'))
    for options in ({"photos": files["photos"], "images": files["images"]}, {"business": files["business"]}):
        with pytest.raises(DataError, match=r".json: tells of none of the 3 items that are left, such as 'b0'"):
            read_yelp(files["review"], filters=ALL, **options)


@pytest.fixture
def movies(tmp_path) -> Path:
    log = pd.DataFrame({"userId": [1, 1, 2, 2, 10], "movieId": [1, 20, 1, 20, 3], "rating": [4.0, 0.5, 3, 5, 5],
                        "timestamp": np.arange(5) + 964_982_703})  # fmt: skip
    log.to_csv(tmp_path / "ratings.csv", index=False)
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\n1,"Usual Suspects, The (1995)",Crime|Thriller\n3,B,(no genres listed)\n20,C,Drama\n'
    )
    (tmp_path / "links.csv").write_text("movieId,imdbId,tmdbId\n1,0114814,629\n3,1,\n20,2,77\n")
    return tmp_path


def test_movielens_with_posters_and_overviews(movies):
    (movies / "posters").mkdir()
    Image.new("RGB", (2, 3)).save(movies / "posters" / "20.jpg")
    pd.DataFrame({"tmdbId": ["629", "77"], "overview": ["Five men.", None]}).to_csv(movies / "tmdb.csv", index=False)
    data = read_movielens(movies, movies / "tmdb.csv", movies / "posters", filters=ALL, name="ml")
    assert data.items["item_id"].tolist() == ["1", "3", "20"] and data.users["user_id"].tolist() == ["1", "2", "10"]
    assert data.items["text"][0] == "Usual Suspects, The (1995). Crime, Thriller. Five men."
    assert data.items["genres"][1] == "" and data.items["image"].tolist() == ["", "", "20.jpg"]
    assert "1 of 3 movies have an overview" in data.card["notes"]
    assert len(read_movielens(movies, filters=Filters(2, 2))) == 4


def test_movies_that_share_a_tmdb_id_share_its_overview(movies):
    (movies / "links.csv").write_text("movieId,imdbId,tmdbId\n1,0114814,629\n3,1,\n20,2,629\n")
    pd.DataFrame({"tmdbId": ["629", None], "overview": ["Five men.", "Lost."]}).to_csv(movies / "t.csv", index=False)
    data = read_movielens(movies, movies / "t.csv", filters=ALL)
    assert [text.endswith(". Five men.") for text in data.items["text"]] == [True, False, True]
    (movies / "links.csv").write_text("movieId,imdbId\n1,0114814\n")
    with pytest.raises(DataError, match=r"links.csv: there is no column 'tmdbId'"):
        read_movielens(movies, movies / "t.csv", filters=ALL)


OVERVIEWS = ["Five men.", "Lost.", "Alone."]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(("key", "ids"), [("movieId", [1.0, None, 20.0]), ("tmdbId", [629.0, None, 77.0])])
def test_overviews_by_numbers_that_pandas_made_floats(movies, suffix, key, ids):
    """An empty cell makes a column of whole numbers one of floats, and 629 is written as 629.0."""
    table, path = pd.DataFrame({key: ids, "overview": OVERVIEWS}), movies / f"overviews{suffix}"
    write = table.to_csv if suffix == ".csv" else table.to_parquet
    write(path, index=False)
    for name in ("links.csv", "movies.csv"):
        columns = pd.read_csv(movies / name, dtype={"imdbId": str}, keep_default_na=False)
        columns.assign(movieId=columns["movieId"].astype(float)).to_csv(movies / name, index=False)
        data = read_movielens(movies, path, filters=ALL)
        assert [text.split(". ")[-1] for text in data.items["text"]] == ["Five men.", "B.", "Alone."]
        assert data.card["notes"] == ["2 of 3 movies have an overview"]


def test_overviews_that_are_numbers_or_come_twice(movies):
    path = movies / "overviews.parquet"
    pd.DataFrame({"movieId": [1, 20], "overview": [1984, 2001]}).to_parquet(path)
    assert read_movielens(movies, path, filters=ALL).items["text"][2] == "C. Drama. 2001"
    pd.DataFrame({"movieId": [1, 1, 20, 1], "overview": [None, *OVERVIEWS]}).to_parquet(path)
    data = read_movielens(movies, path, filters=ALL)
    assert [text.split(". ", 2)[-1] for text in data.items["text"]] == ["Five men.", "B.", "Lost."]
    twice = "overviews.parquet: 1 overviews of movies that had one already are left out"
    assert data.card["notes"] == ["2 of 3 movies have an overview", twice]


def test_tables_that_fit_no_movie_are_refused(movies):
    for table in ({"movieId": [99], "overview": ["x"]}, {"tmdbId": [99], "overview": ["x"]},
                  {"movieId": [1], "overview": [" "]}):  # fmt: skip
        pd.DataFrame(table).to_csv(movies / "t.csv", index=False)
        key = next(iter(table))
        with pytest.raises(
            DataError, match=f"t.csv: none of its 1 rows has an overview of one of the 3.*'{key}' holds"
        ):
            read_movielens(movies, movies / "t.csv", filters=ALL)
    pd.DataFrame({"movieId": [1, "tt0114814"], "overview": ["x", "y"]}).to_csv(movies / "t.csv", index=False)
    with pytest.raises(DataError, match=r"t.csv: row 1 has movieId 'tt0114814', which is no whole number"):
        read_movielens(movies, movies / "t.csv", filters=ALL)
    (movies / "movies.csv").write_text("movieId,title,genres\n99,A,Drama\n")
    with pytest.raises(DataError, match=r"movies.csv: tells of none of the 3 items that are left, such as '1'"):
        read_movielens(movies, filters=ALL)


def test_titles_that_pandas_takes_for_missing(movies):
    (movies / "movies.csv").write_text("movieId,title,genres\n1,NA,Drama\n3,,None\n20,1984,\n")
    data = read_movielens(movies, filters=ALL)
    assert data.items["title"].tolist() == ["NA", "", "1984"] and data.items["genres"].tolist() == ["Drama", "None", ""]
    assert data.items["text"].tolist() == ["NA. Drama", "None", "1984."]


def test_movielens_10m_is_utf_8(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::1::5::978300760\n2::1::3::978300761\n")
    (tmp_path / "movies.dat").write_bytes("1::Misérables, Les (1995)::Drama|Musical\n".encode())
    assert read_movielens(tmp_path, filters=ALL).items["title"].tolist() == ["Misérables, Les (1995)"]


def test_movielens_of_2003_has_latin_letters(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::1::5::978300760\n2::1::3::978300761\n")
    (tmp_path / "movies.dat").write_bytes("1::Misérables, Les (1995)::Drama|Musical\n".encode("latin-1"))
    data = read_movielens(tmp_path, filters=ALL)
    assert data.items["title"].tolist() == ["Misérables, Les (1995)"] and data.n_users == 2
    with pytest.raises(DataError, match=r"neither ratings.csv nor ratings.dat"):
        read_movielens(tmp_path / "nowhere")


def test_dates_of_both_kinds():
    assert seconds_of("1970-01-02 00:00:01") == 86_401
    assert seconds_of("Thu Jan 01 01:00:00 +0100 1970") == 0
    with pytest.raises(ValueError):
        seconds_of("yesterday")


def test_markup_leaves_a_text():
    assert plain("<style>p{x}</style>A  <b>b</b> &lt;c&gt;\n d") == "A b <c> d"
    assert (
        plain(["One", None, "", "Two."]) == "One. Two."
        and plain(None) == ""
        and plain("1 < 2 and 3 > 2") == "1 < 2 and 3 > 2"
    )


def test_lines_are_counted_over_blank_ones(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert list(records(path)) == [(0, {"a": 1}), (2, {"a": 2})]


def test_a_line_without_end_is_not_held(tmp_path, monkeypatch):
    """A packed file of some kilobytes can unpack to one line of gigabytes, and a JSON array has no line breaks."""
    monkeypatch.setattr(streaming, "LONGEST_LINE", 1000)
    good = json.dumps({"a": "x" * (1000 - len('{"a": ""}') - 1)}) + "\n"
    assert len(good) == 1000
    (tmp_path / "plain.json").write_text(good + good[:-1])
    assert [line for line, _ in records(tmp_path / "plain.json")] == [0, 1]
    for name, content in (("long.json", good + good.replace("x", "xx", 1)), ("long.json.gz", good + "x" * 10**6)):
        write = gzip.compress if name.endswith("gz") else bytes
        (tmp_path / name).write_bytes(write(content.encode()))
        bad = []
        with pytest.raises(DataError, match=rf"{name}: line 2 is longer than 1,000 bytes; one object a line is read"):
            list(records(tmp_path / name, bad=bad))
        assert bad == []


def test_memory_stays_below_a_bomb(tmp_path):
    with gzip.open(tmp_path / "bomb.json.gz", "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(bytes(2**20))
    assert (tmp_path / "bomb.json.gz").stat().st_size < 2**21
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"line 1 is longer than 67,108,864 bytes"):
            list(records(tmp_path / "bomb.json.gz"))
        assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    finally:
        tracemalloc.stop()


def test_words_are_fetched_for_some_lines_and_packed(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "_PIECE", 2)
    path = packed(tmp_path / "x.json.gz", [*(json.dumps({"a": f"é{n}"}) for n in range(9)), "{not json"])
    for places in ([0, 3, 4, 5, 8], [5, 0, 8, 4, 3], [7]):
        texts = written(path, np.array(places), lambda row: row["a"])
        assert texts.to_pylist() == [f"é{n}" for n in places] and texts.type == "large_string"
    with pytest.raises(DataError, match=r"x.json.gz: the file changed while it was read"):
        written(path, np.array([3, 9]), lambda row: row["a"])


@pytest.mark.skipif(pd.__version__ < "3", reason="pandas 2 holds words as Python's strings")
def test_what_was_written_is_held_once_and_not_as_python_s_strings(tmp_path):
    """Read, hashed and saved: of 30 MB of words Python never holds more than half (it does not see Arrow's memory)."""
    path = tmp_path / "Many.json.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        for n in range(30_000):
            row = {"reviewerID": f"A{n // 100}", "asin": f"B{n % 100}", "overall": 5.0, "unixReviewTime": 10**9 + n}
            file.write(json.dumps(row | {"reviewText": f"{n} " + "x" * 1000}) + "\n")
    tracemalloc.start()
    try:
        data = read_amazon_2014(path)
        data.save(tmp_path / "saved")
        assert tracemalloc.get_traced_memory()[1] < 15_000_000
    finally:
        tracemalloc.stop()
    assert data.interactions["review"][29_999] == "29999 " + "x" * 1000 and len(data) == 30_000


def test_a_time_of_another_unit_costs_its_row_alone(tmp_path):
    lines = gzip.decompress(reviews_2014(tmp_path).read_bytes()).decode().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | {"unixReviewTime": 1_600_000_000_000})
    data = read_amazon_2014(packed(tmp_path / "mixed.json.gz", lines), filters=ALL)
    assert len(data) == 5 and data.summary()["time"] == "2011-03-13 to 2011-03-18"
    assert data.card["notes"] == [
        "mixed.json.gz: 1 lines could not be read (line 3)",
        "mixed.json.gz: 1 times, as seconds, do not lie between 1970 and 2099",
    ]
    with pytest.raises(DataError, match=r"not one interaction.*6 lines .*\(line 1.*6 times, as milliseconds"):
        read_amazon_2023(
            packed(tmp_path / "far.jsonl.gz", [
                json.dumps({"user_id": "u", "parent_asin": "i", "rating": 1, "timestamp": 10**16}) for _ in range(6)
            ])
        )  # fmt: skip


def test_a_table_s_time_of_another_unit_is_refused_with_its_row(movies, tmp_path):
    table = pd.read_csv(movies / "ratings.csv")
    table.loc[3, "timestamp"] = 1_600_000_000_000
    table.to_csv(movies / "ratings.csv", index=False)
    message = r"row 3 has timestamp 1600000000000, which is no number of seconds between 1970 and 2099 \(1 such rows\)"
    with pytest.raises(DataError, match=rf"ratings.csv: {message}"):
        read_movielens(movies, filters=ALL)
    (tmp_path / "baby.inter").write_text(
        "userID\titemID\ttimestamp\n" + "".join(f"0\t{n}\t{1_600_000_000_000 if n == 3 else n}\n" for n in range(5))
    )
    with pytest.raises(DataError, match=rf"baby.inter: {message}"):
        read_mmrec(tmp_path / "baby.inter")


def test_a_name_that_cannot_be_used_costs_no_reading(tmp_path, monkeypatch):
    """Nothing lies where the readers are sent: the refusal of the name came first."""
    odd = tmp_path / "Gift Cards (1)"
    readers = {
        read_amazon_2014: "x.json.gz", read_amazon_2018: "x.json.gz", read_amazon_2023: "x.jsonl.gz",
        read_goodreads: "x.json.gz", read_movielens: "x", read_mmrec: "x.inter", read_mmssl: "x", read_recbole: "x",
        read_frames: "x/x.csv",
    }  # fmt: skip
    for reader, file in readers.items():
        with pytest.raises(DataError, match=r"'a b' is no usable name"):
            reader(tmp_path / file, name="a b")
        if reader is not read_frames:  # which makes a name that is usable
            with pytest.raises(DataError, match=r"pass name=\.\.\., for 'Gift Cards \(1\)' is no usable name"):
                reader(odd.with_suffix(Path(file).suffix))
    with pytest.raises(DataError, match=r"'a b' is no usable name"):
        read_yelp(tmp_path / "x.json", name="a b")


def test_movielens_out_of_the_zip_it_comes_in(movies, tmp_path, monkeypatch):
    pd.DataFrame({"tmdbId": ["629", "77"], "overview": ["Five men.", None]}).to_csv(tmp_path / "tmdb.csv", index=False)
    names = ("ratings.csv", "movies.csv", "links.csv")
    for folder in ("ml-latest-small/", ""):
        with zipfile.ZipFile(tmp_path / "ml-latest-small.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.write(movies / name, folder + name)
        data = read_movielens(tmp_path / "ml-latest-small.zip", tmp_path / "tmdb.csv", filters=ALL)
        apart = read_movielens(movies, tmp_path / "tmdb.csv", filters=ALL, name="ml")
        assert data.hash == apart.hash and data.name == "ml-latest-small"
        assert data.card["files"]["zip"]["name"] == "ml-latest-small.zip"
    with monkeypatch.context() as patched, pytest.raises(DataError, match=r"has 1.. bytes, more than any Movie"):
        patched.setattr(movielens, "_LARGEST", 100)
        read_movielens(tmp_path / "ml-latest-small.zip")
    whole = (tmp_path / "ml-latest-small.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    with pytest.raises(DataError, match=r"cut.zip is neither a folder nor a zip archive; was it cut short"):
        read_movielens(tmp_path / "cut.zip")
    at = whole.index(b"PK\x03\x04") + 30 + len("ratings.csv") + 20
    (tmp_path / "hurt.zip").write_bytes(whole[:at] + bytes(20) + whole[at + 20 :])
    with pytest.raises(DataError, match=r"ratings.csv: not readable as a table"):
        read_movielens(tmp_path / "hurt.zip", filters=ALL)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("ml-100k/u.data", "1\t1\t5\t1\n")
    with pytest.raises(DataError, match=r"neither ratings.csv nor ratings.dat in .*other.zip"):
        read_movielens(tmp_path / "other.zip")


def test_movielens_1m_out_of_its_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "ml-1m.zip", "w") as archive:
        archive.writestr("ml-1m/ratings.dat", "1::1::5::978300760\n2::1::3::978300761\n")
        archive.writestr("ml-1m/movies.dat", "1::Misérables, Les (1995)::Drama|Musical\n".encode("latin-1"))
    data = read_movielens(tmp_path / "ml-1m.zip", filters=ALL)
    assert data.items["title"].tolist() == ["Misérables, Les (1995)"] and data.name == "ml-1m"


# On real data ---------------------------------------------------------------------------------------------------------


def test_giftcards_as_amazon_2018_files(shared_data, tmp_path):
    """The real reviews, written in the source's format, come back as the tables they were."""
    folder = shared_data("amazon_giftcards")
    log, items = pd.read_parquet(folder / "interactions.parquet"), pd.read_parquet(folder / "items.parquet")
    asin = items["asin"].to_numpy()
    lines = [
        json.dumps({"reviewerID": f"U{row.user:05d}", "asin": asin[row.item], "overall": float(row.rating),
                    "unixReviewTime": int(row.timestamp), "reviewText": row.review, "summary": row.summary})
        for row in log.itertuples()
    ]  # fmt: skip
    products = [
        json.dumps({"asin": row.asin, "title": row.title, "brand": row.brand, "description": [row.description]})
        for row in items.itertuples()
    ]
    data = read_amazon_2018(
        packed(tmp_path / "Gift_Cards_5.json.gz", lines), packed(tmp_path / "meta.json.gz", products), filters=ALL
    )
    assert (data.n_users, data.n_items, len(data)) == (458, 148, 2_965)
    theirs = log.assign(item=asin[log["item"]]).sort_values(["user", "item"])
    ours = data.interactions.assign(item=data.items["item_id"].to_numpy()[data.interactions["item"]])
    ours = ours.sort_values(["user", "item"])
    for column in ("user", "item", "rating", "timestamp"):
        np.testing.assert_array_equal(ours[column].to_numpy(), theirs[column].to_numpy())
    assert len(split(data, "leave-one-out").test) == 458
    # The published 5-core held 7 repeated pairs: without them it is no 5-core any more, and the filter goes on.
    core = read_amazon_2018(tmp_path / "Gift_Cards_5.json.gz")
    assert (core.n_users, core.n_items, len(core)) == (453, 147, 2_941)
    assert core.interactions["user"].value_counts().min() == 5 == core.interactions["item"].value_counts().min()


def test_movielens_small_from_csv(shared_data, tmp_path):
    """The real ratings in ml-latest's own files, with overviews and posters."""
    folder = shared_data("movielens_small_mm")
    log, items = pd.read_parquet(folder / "interactions.parquet"), pd.read_parquet(folder / "items.parquet")
    number = items["movieId"].to_numpy()
    table = pd.DataFrame({"userId": log["user"] + 1, "movieId": number[log["item"]], "rating": log["rating"]})
    table.assign(timestamp=log["timestamp"]).to_csv(tmp_path / "ratings.csv", index=False)
    items[["movieId", "title", "genres"]].to_csv(tmp_path / "movies.csv", index=False)
    items[["movieId", "overview"]].to_csv(tmp_path / "overviews.csv", index=False)
    (tmp_path / "posters").mkdir()
    for row in items.head(50).itertuples():
        if row.has_image:
            source = folder / "images" / f"{row.item}.jpg"
            (tmp_path / "posters" / f"{row.movieId}.jpg").write_bytes(source.read_bytes())
    data = read_movielens(tmp_path, tmp_path / "overviews.csv", tmp_path / "posters", filters=ALL)
    assert (data.n_users, data.n_items, len(data)) == (610, 3_650, 90_274)
    assert data.items["text"][0].startswith("Toy Story (1995). Adventure, Animation, Children, Comedy, Fantasy. Led by")
    assert "3636 of 3650 movies have an overview" in data.card["notes"]
