"""Data sets side by side."""

from __future__ import annotations

import numpy as np
import pytest

import mmrec_lite as mm
from mmrec_lite.data import DataError, IndexedVectors
from mmrec_lite.data.joining import join, part_of
from tests.methods.test_mp4sr import assert_took_over
from tests.tiny import tiny_shop


def two():
    rng = np.random.default_rng(0)
    shops = []
    for n, (users, items, most) in enumerate(((12, 20, 2), (15, 25, 4))):
        shop = tiny_shop(n_users=users, n_items=items, seed=n)
        index = rng.integers(-1, 9, size=(items, most))
        told = IndexedVectors(rng.normal(size=(9, 6)).astype(np.float32), index)
        shops.append(shop.replace(name=f"shop{n}", sequences={"sentences": told, "keywords": told}))
    return shops


@pytest.mark.parametrize("items", [[30], [-31], np.ones(29, dtype=bool), [0.5], ["a"]])
def test_items_that_are_not_there_are_no_part(items):
    with pytest.raises(DataError, match=r"part_of: items is a mask of 30 or rows 0\.\.29: "):
        part_of(tiny_shop(), items)


def test_nothing_moves_but_the_numbers():
    a, b = two()
    both = join([a, b])
    assert (both.n_users, both.n_items, len(both)) == (27, 45, len(a) + len(b))
    later = both.interactions[len(a) :].reset_index(drop=True)
    assert ((later["user"] - 12) == b.interactions["user"]).all() and (
        (later["item"] - 20) == b.interactions["item"]
    ).all()
    assert np.array_equal(both.features["image"][20:], b.features["image"])
    rows = [20, 31, 44]
    assert np.array_equal(both.sequences["sentences"].gather(rows), b.sequences["sentences"].gather([0, 11, 24]))
    assert np.array_equal(both.sequences["sentences"].gather([3])[:, :2], a.sequences["sentences"].gather([3]))
    assert both.users["user_id"][12] == "shop1:u0"


def test_what_is_held_out_alone_is_held_out_together():
    a, b = two()
    one, together = mm.split(b, "leave-one-out"), mm.split(join([a, b]), "leave-one-out")
    assert np.array_equal(together.test[together.test >= len(a)] - len(a), one.test)


def test_a_larger_corpus_pretrains_for_a_smaller_one(tmp_path):
    a, b = two()
    small = {"dim": 8, "inner": 8, "experts": 2, "attention_dim": 4}
    corpus = mm.split(join([a, b]), "leave-one-out")
    large = mm.create("mp4sr", corpus, **small)
    mm.fit(large, corpus, epochs=1, stages=["pretrain"], progress=False)
    split = mm.split(b, "leave-one-out")
    model = mm.create("mp4sr", split, **small)
    model.load_pretrained(large.save_pretrained(tmp_path / "large.safetensors"))
    assert_took_over(model, large.state_dict())
    mm.fit(model, split, epochs=1, stages=["recommend"], progress=False)
    assert np.isfinite(mm.evaluate(model, split).metrics["recall@20"])


def test_what_does_not_fit_is_refused():
    a, b = two()
    with pytest.raises(DataError, match="two or more data sets of different names"):
        join([a, a])
    with pytest.raises(DataError, match=r"features\['image'\] differ in width \(shop0 12, shop1 7\)"):
        join([a, b.replace(features={"image": np.ones((25, 7), dtype=np.float32)})])
