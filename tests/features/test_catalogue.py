"""A data set that is encoded again: nothing of an earlier encoder stays beside the new one's."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmrec_lite.data import IndexedVectors
from mmrec_lite.features import add_features
from tests.features.test_cache import Cached
from tests.features.test_encoding import Colour, catalogue


class Other(Cached):
    """Another text model, whose vectors have a third number."""

    fingerprint = "0" * 64

    def encode(self, texts, **options):
        vectors = super().encode(texts, **options)
        return np.hstack([vectors, np.ones((len(vectors), 1))]) if "batch_size" in options else vectors


@pytest.fixture
def data(tmp_path):
    """Two items with a picture; of the texts' words that stand in two of them the image encoder knows none."""
    for colour in ("red", "green"):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{colour}.png")
    return catalogue(tmp_path, text=["A red cup. It is red.", "A cup.", "", "A hat."],
                     image=["red.png", "green.png", "", ""])  # fmt: skip


@pytest.fixture
def encoded(data):
    return add_features(data, Cached(), Colour(), keywords=1, vocabulary=["red", "green"])[0]


def width(data, name: str) -> int:
    return data.sequences[name].vectors.shape[1]


def test_the_words_of_pictures_follow_the_text_encoder(encoded):
    again, _ = add_features(encoded, Other())
    assert [width(again, name) for name in ("sentences", "reviews", "keywords")] == [3, 3, 3]
    assert again.texts == encoded.texts
    np.testing.assert_array_equal(again.sequences["keywords"].vectors, Other().encode(["red", "green"]))
    np.testing.assert_array_equal(again.sequences["keywords"].index, encoded.sequences["keywords"].index)
    assert again.items["keywords"].tolist() == encoded.items["keywords"].tolist() == ["red", "green", "", ""]
    assert again.card["encoders"]["keywords"] == encoded.card["encoders"]["keywords"] and "notes" not in again.card


def test_every_picture_of_an_item_has_words_of_its_own(data):
    """MP4SR Eq. 2 describes picture by picture; the words of their mean would be those of neither."""
    names = {"0": ["red.png", "missing.png", "green.png"], "1": ["green.png"], "3": ["missing.png"]}
    several, _ = add_features(
        data, Cached(), Colour(), keywords=1, vocabulary=["red", "green"],
        pictures={item: names.get(str(row), []) for row, item in enumerate(data.items["item_id"])},
    )  # fmt: skip
    assert several.items["keywords"].tolist() == ["red | green", "green", "", ""]
    assert several.texts["keywords"] == ["red", "green"]
    assert several.sequences["keywords"].index.tolist() == [[0, 1], [1, -1], [-1, -1], [-1, -1]]
    assert several.present["image"].tolist() == [True, True, False, False]


def test_what_is_not_made_again_is_encoded_from_its_wording(encoded):
    again, _ = add_features(encoded, Other(), sentences=False, reviews=False)
    assert again.texts == encoded.texts
    for name in ("sentences", "reviews"):
        np.testing.assert_array_equal(again.sequences[name].vectors, Other().encode(encoded.texts[name]))
        np.testing.assert_array_equal(again.sequences[name].index, encoded.sequences[name].index)
    assert again.sequences["reviews"].rows == "interactions"


def test_what_has_no_wording_goes_and_what_is_no_text_s_stays(encoded):
    mute = encoded.replace(
        sequences=encoded.sequences | {"sounds": IndexedVectors(np.ones((1, 2)), np.zeros((4, 1), dtype=int))},
        texts={name: words for name, words in encoded.texts.items() if name == "sentences"},
    )
    again, _ = add_features(mute, Other(), reviews=False)
    assert sorted(again.sequences) == ["sentences", "sounds"] and "keywords" not in again.items
    assert again.card["notes"] == [
        f"the sequence {name} is left out: its wording is not kept, so none cannot encode it again"
        for name in ("reviews", "keywords")
    ]


def test_no_words_stay_of_pictures_that_were_encoded_again(encoded):
    alone, _ = add_features(encoded, image=Colour())
    few, _ = add_features(encoded, Cached(), Colour(), keywords=1)
    none, _ = add_features(encoded, Cached(), Colour(), keywords=0)
    for again in (alone, few, none):
        assert sorted(again.sequences) == sorted(again.texts) == ["reviews", "sentences"]
        assert "keywords" not in again.items
    said = [again.card["encoders"].get("keywords") for again in (alone, few, none)]
    assert said == [
        "left out: the pictures were encoded again without a text encoder for their words",
        "left out: 1 words a picture, but of the texts' words the image encoder knows 0",
        None,
    ]
    assert "keywords" not in add_features(encoded.replace(sequences={}, texts={}), image=Colour())[0].card["encoders"]


def test_a_column_of_ones_own_is_kept_under_another_name(data):
    mine = data.replace(items=data.items.assign(keywords=list("wxyz")), card={"notes": ["mine"]})
    assert add_features(mine, Cached())[0].items["keywords"].tolist() == list("wxyz")
    for _ in range(2):
        mine, _ = add_features(mine, Cached(), Colour(), keywords=1, vocabulary=["red", "green"])
        assert mine.items["keywords"].tolist() == ["red", "green", "", ""]
        assert mine.items["keywords_given"].tolist() == list("wxyz")
        assert mine.card["notes"] == [
            "mine",
            "items: the column keywords is now keywords_given, for keywords are the words of the pictures",
        ]


def test_an_item_without_a_text_speaks_by_its_title(tmp_path):
    titled = catalogue(tmp_path, text=["A red cup.", "", "  ", ""], title=["Cup", "Chair", "Hat", ""])
    made, _ = add_features(titled, Cached())
    assert made.present["text"].tolist() == [True, True, True, False]
    alone, _ = add_features(catalogue(tmp_path, text=["A red cup.", "Chair", "Hat", ""]), Cached())
    np.testing.assert_array_equal(made.features["text"], alone.features["text"])
