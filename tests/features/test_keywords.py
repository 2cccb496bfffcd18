"""Pictures to words."""

from __future__ import annotations

import numpy as np
import pytest

import mmrec_lite as mm
from mmrec_lite.data.bazaar import vocabulary as v
from mmrec_lite.features import image_to_words, word_list


class Plane:
    """A CLIP of two dimensions: red lies right, blue lies up, purple between, and 'oak' means nothing to it."""

    places = {"red": (1, 0), "blue": (0, 1), "purple": (0.7, 0.7)}  # noqa: RUF012

    def knows(self, words):
        return np.array([word in self.places for word in words])

    def encode_texts(self, words):
        return np.array([self.places[word] for word in words], dtype=np.float32)


def test_the_nearest_words_come_first_and_unknown_ones_never():
    pictures = np.array([(1, 0.1), (0, 1), (0, 0)], dtype=np.float16)
    words = image_to_words(pictures, Plane(), ["oak", "red", "purple", "blue", "red"], n=2)
    assert words == [["red", "purple"], ["blue", "purple"], []]


def test_the_vocabulary_may_come_from_the_catalogue():
    texts = ["A red and purple mug made of oak.", "The red oak, purple or blue?", "Blue!"]
    assert word_list(texts) == ["blue", "oak", "purple", "red"]
    assert word_list(texts, at_least=1, most=2) == ["blue", "oak"]
    assert image_to_words(np.array([[0.0, 1.0]]), Plane(), texts=texts, n=1) == [["blue"]]


def test_wrong_use_is_refused():
    picture = np.ones((1, 2), dtype=np.float32)
    with pytest.raises(ValueError, match="give a vocabulary"):
        image_to_words(picture, Plane())
    with pytest.raises(ValueError, match="n=15 words a picture were asked for, but the encoder knows 2"):
        image_to_words(picture, Plane(), ["red", "oak", "blue"])


def test_shipped_keywords_say_what_is_to_be_seen():
    shop = mm.load("bazaar")
    for name, words in (("category", v.CATEGORIES), ("hue", v.HUES)):
        hits = [words[k] in text for k, text in zip(shop.truth[f"item_{name}"], shop.items["keywords"], strict=True)]
        assert np.mean(hits) > 0.6, name
