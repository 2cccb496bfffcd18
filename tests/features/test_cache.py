"""Vectors on disk: found again, resumed after a kill, only what is new encoded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrec_lite.features.cache import VectorCache, content_key, folder_fingerprint, model_fingerprint
from mmrec_lite.features.device import choose_device
from tests.features.test_text import Counting


class Cached(Counting):
    fingerprint = "f" * 64


def test_vectors_come_back_in_the_order_asked_for(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(7, 3)).astype(np.float32)
    keys = [content_key(str(n)) for n in range(7)]
    cache = VectorCache(tmp_path, "a" * 64)
    cache.add(keys[:4], vectors[:4])
    cache.add(keys[4:], vectors[4:])
    again = VectorCache(tmp_path, "a" * 64)
    order = [6, 0, 3, 3, 5]
    assert len(again) == 7 and keys[2] in again and content_key("other") not in again
    np.testing.assert_array_equal(again.get([keys[n] for n in order]), vectors[order])
    assert len(VectorCache(tmp_path, "b" * 64)) == 0, "another model has other vectors"


def test_two_writers_do_not_overwrite_each_other(tmp_path):
    one, two = VectorCache(tmp_path, "a" * 64), VectorCache(tmp_path, "a" * 64)
    one.add([content_key("x")], np.ones((1, 2)))
    two.add([content_key("y")], np.zeros((1, 2)))
    assert len(VectorCache(tmp_path, "a" * 64)) == 2


def test_a_second_run_encodes_only_what_is_new(tmp_path):
    first = Cached(cache=tmp_path)
    plain = Cached().encode(["bb", "a a", "bb"])
    np.testing.assert_array_equal(first.encode(["bb", "a a", "bb"]), plain)
    second = Cached(cache=tmp_path)
    np.testing.assert_array_equal(second.encode(["new one", "bb", "a a"]), [[7, 1], [2, 0], [3, 1]])
    assert second.calls == [["new one"]] and second.encoded == 1


def test_a_killed_run_goes_on_where_it_wrote_last(tmp_path, monkeypatch):
    monkeypatch.setattr("mmrec_lite.features.text._SHARD", 1)

    class Killed(Cached):
        def encode(self, texts, **options):
            if "batch_size" in options and len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().encode(texts, **options)

    texts = ["x" * n for n in range(1, 9)]
    with pytest.raises(KeyboardInterrupt):
        Killed(cache=tmp_path, batch_size=2).encode(texts)
    after = Cached(cache=tmp_path, batch_size=2)
    assert after.encode(texts)[:, 0].tolist() == list(range(1, 9))
    assert [len(text) for call in after.calls for text in call] == [4, 3, 2, 1]  # longest first: 8, 7, 6, 5 were kept


def test_a_damaged_shard_is_named(tmp_path):
    cache = VectorCache(tmp_path, "a" * 64)
    cache.add([content_key("x")], np.ones((1, 2)))
    with pytest.raises(ValueError, match="1 keys but 2 vectors"):
        cache.add([content_key("y")], np.ones((2, 2)))
    with pytest.raises(ValueError, match="width 3 among others of width 2"):
        cache.add([content_key("y")], np.ones((1, 3)))
    assert len(VectorCache(tmp_path, "a" * 64)) == 1, "a refused shard is not written"
    (cache.folder / "000000.npy").write_bytes(b"\x93NUMPY cut")
    with pytest.raises(ValueError, match=r"000000.npy: not a shard of vectors .*delete this file"):
        VectorCache(tmp_path, "a" * 64)


def test_the_fingerprint_is_of_what_a_model_is(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(b"123")
    assert folder_fingerprint(tmp_path / "a") == folder_fingerprint(tmp_path / "b")
    (tmp_path / "b" / "weights").write_bytes(b"124")
    assert folder_fingerprint(tmp_path / "a") != folder_fingerprint(tmp_path / "b")
    weights = {"w": torch.ones(2, 3), "n": torch.tensor(3)}
    same = model_fingerprint(dict(reversed(weights.items())).items(), "squash")
    assert model_fingerprint(weights.items(), "squash") == same
    assert model_fingerprint(weights.items(), "crop") != same
    assert model_fingerprint((weights | {"w": torch.zeros(2, 3)}).items(), "squash") != same


def test_a_device_that_is_not_there_is_refused():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="device 'abacus' cannot be used"):
        choose_device("abacus")
