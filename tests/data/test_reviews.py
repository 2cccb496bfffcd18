"""Mean reviews against a loop, and that no held-out review is read."""

from __future__ import annotations

import numpy as np
import pytest

import mmrec_lite as mm
from mmrec_lite.data import DataError, IndexedVectors, mean_reviews
from tests.tiny import tiny_shop


def reviewed_shop(seed: int = 0, written: float = 0.7):
    """Each interaction has 0 to 3 vectors, some of them shared."""
    shop, rng = tiny_shop(), np.random.default_rng(seed)
    index = rng.integers(50, size=(len(shop), 3)).astype(np.int32)
    lengths = np.where(rng.random(len(shop)) < written, rng.integers(1, 4, len(shop)), 0)
    lengths[shop.interactions["user"] == 5] = 0
    index[np.arange(3) >= lengths[:, None]] = -1
    vectors = rng.normal(size=(50, 6)).astype(np.float32)
    return shop.replace(sequences={"reviews": IndexedVectors(vectors, index, rows="interactions")})


@pytest.mark.parametrize("side", ["user", "item"])
def test_mean_reviews_are_the_loops(side):
    split = mm.split(reviewed_shop(), "ratio", seed=0)
    reviews, table = split.dataset.sequences["reviews"], split.dataset.interactions
    means, written = mean_reviews(split, side)
    for n in range(len(means)):
        own = [
            reviews.vectors[reviews.index[row][reviews.index[row] >= 0]].mean(axis=0)
            for row in split.train
            if table.at[row, side] == n and (reviews.index[row] >= 0).any()
        ]
        assert written[n] == bool(own)
        np.testing.assert_allclose(means[n], np.mean(own, axis=0) if own else np.zeros(6), atol=1e-6)
    assert side == "item" or (not written[5] and not means[5].any())


@pytest.mark.parametrize("side", ["user", "item"])
def test_a_held_out_review_is_never_read(side):
    """Whatever stands in validation and test rows, the means are the same bits."""
    shop = reviewed_shop()
    split = mm.split(shop, "ratio", seed=0)
    reviews = shop.sequences["reviews"]
    index = reviews.index.copy()
    index[np.concatenate([split.valid, split.test])] = 7
    other = mm.split(
        shop.replace(sequences={"reviews": IndexedVectors(reviews.vectors, index, rows="interactions")}),
        "ratio",
        seed=0,
    )
    assert np.array_equal(split.train, other.train) and split.hash != other.hash
    for a, b in zip(mean_reviews(split, side), mean_reviews(other, side), strict=True):
        assert np.array_equal(a, b)


def test_without_review_vectors_the_remedy_is_named():
    split = mm.split(tiny_shop(), "ratio", seed=0)
    with pytest.raises(DataError, match=r"no review vectors.*encode_sentences"):
        mean_reviews(split)
    with pytest.raises(DataError, match="side = 'shop' is unknown"):
        mean_reviews(mm.split(reviewed_shop(), "ratio", seed=0), "shop")
