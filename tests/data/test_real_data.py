"""The reader on real data: counts as their authors give them, and the published splits.

The data may not be published with the project: the tests skip where the folder is absent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmrec_lite.data import MultimodalDataset, split
from mmrec_lite.data.readers import read_frames
from tests.real_data import films

Find = Callable[[str], Path]


@pytest.fixture(scope="module")
def tiktok(shared_data: Find) -> MultimodalDataset:
    folder = shared_data("tiktok")
    features = {name: folder / f"{name}_feat.npy" for name in ("image", "audio")}
    return read_frames(folder / "interactions.parquet", features=features)


def test_tiktok_with_its_published_split(tiktok):
    assert (tiktok.n_users, tiktok.n_items, len(tiktok)) == (9_308, 6_710, 68_722)
    assert tiktok.modalities == ("image", "audio") and tiktok.features["audio"].shape == (6_710, 128)
    given = split(tiktok, "given")
    assert [len(given.train), len(given.valid), len(given.test)] == [59_541, 3_051, 6_130]
    assert (given.train_counts == 0).sum() == 465  # cold items, and
    assert (given.train_lengths == 0).sum() == 10  # users without training items, as its README counts them
    assert given.matrix("train").nnz == 59_541


def test_tiktok_survives_the_disk(tiktok, tmp_path):
    tiktok.save(tmp_path / "tiktok")
    back = MultimodalDataset.load(tmp_path / "tiktok")
    assert back.hash == tiktok.hash and split(back, "given").hash == split(tiktok, "given").hash


def test_movielens_with_posters_and_times(shared_data):
    movies = films(shared_data("movielens_small_mm"))
    assert (movies.n_users, movies.n_items, len(movies)) == (610, 3_650, 90_274)
    assert (movies.items["image"] != "").sum() == 3_628
    assert movies.image(0).size == (96, 144)
    assert movies.items["text"][0].startswith("Toy Story (1995). Led by Woody")
    assert movies.summary()["time"] == "1996-03-29 to 2018-09-24"
    ours, theirs = split(movies, "leave-one-out"), split(movies, "given")
    for part in ("train", "valid", "test"):
        np.testing.assert_array_equal(getattr(ours, part), getattr(theirs, part))


def test_giftcards_with_reviews_and_missing_pictures(shared_data):
    folder = shared_data("amazon_giftcards")
    cards = read_frames(
        folder / "interactions.parquet",
        folder / "items.parquet",
        {name: folder / f"{name}_feat.npy" for name in ("image", "text")},
        folder / "images",
        missing={"image": "zero"},
    )
    assert (cards.n_users, cards.n_items, len(cards)) == (458, 148, 2_965)
    assert cards.present["image"].sum() == 115 and cards.present["text"].all()
    # Three sources say which items have a picture: the features, the files and the catalogue's own column.
    np.testing.assert_array_equal(cards.present["image"], cards.items["image"] != "")
    np.testing.assert_array_equal(cards.present["image"], cards.items["has_image"])
    assert (cards.interactions["review"] == "").sum() == 6
    ratio = split(cards, "ratio")
    assert np.isin(ratio.review_rows(), ratio.train).all()


def test_beauty_has_an_order_but_no_dates(shared_data):
    folder = shared_data("amazon_beauty")
    beauty = read_frames(
        folder / "interactions.parquet",
        folder / "items.parquet",
        {"text": folder / "text_feat.npy"},
        timestamp="pos",
        split="split_loo",
        missing="zero",
    )
    assert (beauty.n_users, beauty.n_items, len(beauty)) == (22_363, 12_101, 198_502)
    assert beauty.card["time"] == "column 'pos': order only, no dates"
    ours, theirs = split(beauty, "leave-one-out"), split(beauty, "given")
    assert len(ours.test) == 22_363
    np.testing.assert_array_equal(ours.test, theirs.test)
    np.testing.assert_array_equal(ours.valid, theirs.valid)
