"""Small valid files of every source, and what each reader promises: a valid data set, or an error that names a file."""

from __future__ import annotations

import io
import json
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from mmrec_lite.data import DataError, MultimodalDataset, split
from mmrec_lite.data.readers import (
    Filters,
    read_amazon_2014,
    read_amazon_2018,
    read_amazon_2023,
    read_goodreads,
    read_mmrec,
    read_mmssl,
    read_movielens,
    read_recbole,
    read_yelp,
)

ALL = Filters(1, 1)
PAIRS = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]  # user, item


@dataclass(frozen=True)
class Format:
    """A source: its files by name, and how they are read from their folder."""

    files: dict[str, bytes]
    read: Callable[[Path], MultimodalDataset]


def lines(*rows: object, form: Callable[[object], str] = json.dumps) -> bytes:
    return "".join(form(row) + "\n" for row in rows).encode()


def packed(matrix: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(matrix, dtype=np.float32))
    return stream.getvalue()


def pickled(entries: list[tuple[int, int]]) -> bytes:
    rows, columns = zip(*entries, strict=True)
    return pickle.dumps(sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(3, 3)), protocol=2)


def _amazon(user: str, item: str, rating: str, time: str, per_second: int, words: dict) -> bytes:
    return lines(*(
        {user: f"A{u}", item: f"B{i}", rating: 4.0, time: (1_500_000_000 + n) * per_second, **words}
        for n, (u, i) in enumerate(PAIRS)
    ))  # fmt: skip


_WORDS = {"reviewText": "Good, <b>really</b>.", "summary": "A+"}
FORMATS = {
    "amazon-2014": Format(
        {
            "reviews.json": _amazon("reviewerID", "asin", "overall", "unixReviewTime", 1, _WORDS),
            "meta.json": lines(
                {"asin": "B0", "title": "One", "price": 3.2, "categories": [["Toys", "Balls"]], "imUrl": "x"},
                {"asin": "B1", "title": 'The "big" one', "description": "Round & red"}, form=repr,
            ),
        },
        lambda f: read_amazon_2014(f / "reviews.json", f / "meta.json", filters=ALL),
    ),
    "amazon-2018": Format(
        {
            "reviews.json": _amazon("reviewerID", "asin", "overall", "unixReviewTime", 1, _WORDS),
            "meta.json": lines(
                {"asin": "B0", "title": "One", "price": "$1,025.00", "category": ["a", "b"], "feature": ["x"],
                 "description": ["y"], "imageURL": ["u"]},
            ),
        },
        lambda f: read_amazon_2018(f / "reviews.json", f / "meta.json", filters=ALL),
    ),
    "amazon-2023": Format(
        {
            "reviews.jsonl": _amazon("user_id", "parent_asin", "rating", "timestamp", 1000, {"title": "T"}),
            "meta.jsonl": lines(
                {"parent_asin": "B0", "title": "One", "price": 12.5, "store": "S", "categories": ["a"], "features": [],
                 "description": [], "images": [{"thumb": "t", "large": "l", "hi_res": None}]},
            ),
        },
        lambda f: read_amazon_2023(f / "reviews.jsonl", f / "meta.jsonl", filters=ALL),
    ),
    "goodreads": Format(
        {
            "interactions.json": lines(*(
                {"user_id": f"u{u}", "book_id": str(i), "is_read": True, "rating": 4, "review_text_incomplete": "ok",
                 "date_added": "Fri Aug 25 13:55:02 -0700 2017"} for u, i in PAIRS
            )),
            "books.json": lines({"book_id": "0", "title": "A", "description": "B", "image_url": "u",
                                 "popular_shelves": [{"count": "3", "name": "to-read"}]}),
        },
        lambda f: read_goodreads(f / "interactions.json", f / "books.json", filters=ALL),
    ),
    "yelp": Format(
        {
            "review.json": lines(*(
                {"user_id": f"u{u}", "business_id": f"b{i}", "stars": 4.0, "text": "So.", "date": "2018-07-07 22:09:11"}
                for u, i in PAIRS
            )),
            "business.json": lines({"business_id": "b0", "name": "P", "city": "Reno", "categories": "Pizza, Bars"}),
        },
        lambda f: read_yelp(f / "review.json", f / "business.json", filters=ALL),
    ),
    "movielens": Format(
        {
            "ratings.csv": b"userId,movieId,rating,timestamp\n"
            + "".join(f"{u + 1},{i + 1},4.5,{964_982_703 + n}\n" for n, (u, i) in enumerate(PAIRS)).encode(),
            "movies.csv": b'movieId,title,genres\n1,"Usual, The (95)",Crime|Thriller\n2,B,(no genres listed)\n3,C,D\n',
        },
        lambda f: read_movielens(f, filters=ALL),
    ),
    "movielens-2003": Format(
        {
            "ratings.dat": "".join(f"{u + 1}::{i + 1}::4::{10**9 + n}\n" for n, (u, i) in enumerate(PAIRS)).encode(),
            "movies.dat": "1::Misérables, Les (1995)::Drama|Musical\n2::B::D\n3::C::D\n".encode("latin-1"),
        },
        lambda f: read_movielens(f, filters=ALL),
    ),
    "mmrec": Format(
        {
            "baby.inter": b"userID\titemID\trating\ttimestamp\tx_label\n"
            + "".join(f"{u}\t{i}\t5.0\t{1_369_699_200 + n}\t{n % 3}\n" for n, (u, i) in enumerate(PAIRS)).encode(),
            "image_feat.npy": packed([[1, 2], [3, 4], [5, 6]]),
        },
        lambda f: read_mmrec(f / "baby.inter", {"image": f / "image_feat.npy"}),
    ),
    "recbole": Format(
        {
            "ml.inter": b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
            + "".join(f"u{u}\t{i}\t4\t{874_724_710 + n}\n" for n, (u, i) in enumerate(PAIRS)).encode(),
            "ml.item": b'item_id:token\ttitle:token_seq\tprice:float\n0\tA "quoted" one\t\n1\tB\t2.5\n2\tC\t1\n',
            "text.npy": packed([[1.0], [2.0], [3.0]]),
        },
        lambda f: read_recbole(f, "ml", {"text": f / "text.npy"}),
    ),
    "mmssl": Format(
        {
            "trnMat.pkl": pickled([(0, 0), (0, 1), (1, 0)]),
            "valMat.pkl": pickled([(0, 2), (1, 1)]),
            "tstMat.pkl": pickled([(2, 0)]),
            "image_feat.npy": packed([[1, 2], [3, 4], [5, 6]]),
        },
        lambda f: read_mmssl(f),
    ),
}  # fmt: skip


_USED: set[int] = set()  # of data sets that were split, saved and loaded in this process: hashes


def held(form: Format, changed: dict[str, bytes]) -> MultimodalDataset | str:
    """Read a format with some of its files changed: the data set, valid, described, split and saved, or the refusal.

    AssertionError, or whatever else the reader raised, where its promise is broken.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "set"
        folder.mkdir()
        for name, content in (form.files | changed).items():
            (folder / name).write_bytes(content)
        try:
            data = form.read(folder)
        except DataError as error:
            assert any(name.split(".")[0] in str(error) for name in [*form.files, "set:"]), f"no file named: {error}"
            return str(error)
        check_valid(data)
        types = [list(map(repr, table.dtypes.items())) for table in (data.users, data.items, data.interactions)]
        same = hash(repr((data.name, data.hash, data.card["notes"], types)))
        if same not in _USED:  # most damage changes nothing that is kept; the same again would do the same
            check_used(data)
            data.save(Path(place) / "saved")
            assert MultimodalDataset.load(Path(place) / "saved").hash == data.hash
            _USED.add(same)
        return data


def check_used(dataset: MultimodalDataset) -> None:
    """What everybody does first with a data set: look at it, and split it, by time where it has one."""
    assert len(dataset.summary())
    if "timestamp" in dataset.interactions:
        assert dataset.interactions["timestamp"].between(0, 4_102_444_799).all(), "before 1970, or after 2099"
    for protocol in ("ratio", "leave-one-out"):
        try:
            parts = split(dataset, protocol, by="time" if "timestamp" in dataset.interactions else None)
        except DataError as error:  # a handful of rows may leave a part empty
            assert len(str(error)) > 30, error
            continue
        rows = np.concatenate([parts.train, parts.valid, parts.test])
        assert len(np.unique(rows)) == len(rows) <= len(dataset)


def check_valid(dataset: MultimodalDataset) -> None:
    """What every data set promises, checked by plain pandas."""
    table = dataset.interactions
    assert len(table) and not table.duplicated(["user", "item"]).any()
    assert table["user"].between(0, dataset.n_users - 1).all() and table["item"].between(0, dataset.n_items - 1).all()
    assert dataset.users["user_id"].is_unique and dataset.items["item_id"].is_unique
    assert all(isinstance(name, str) for name in dataset.items["item_id"])
    for name, values in dataset.features.items():
        assert values.shape[0] == dataset.n_items and np.isfinite(values[dataset.present[name]]).all()
