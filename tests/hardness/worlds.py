"""A small shop that has everything any method reads, and the smallest settings of each method."""

from __future__ import annotations

import numpy as np

from mmrec_lite.data import IndexedVectors, MultimodalDataset
from mmrec_lite.methods import REGISTRY
from tests.tiny import tiny_shop

TRAINED = [name for name in REGISTRY if name not in ("random", "popularity", "item_knn", "content_knn", "oracle")]
SMALL = {
    "dim": 8,
    "batch_size": 64,
    "k": 4,
    "inner": 16,
    "experts": 3,
    "attention_dim": 4,
    "adapter_dim": 10,
    "hidden": 8,
    "n_candidates": 5,
}


def small(name: str, epochs: int = 2) -> dict:
    """Those of the smallest settings that the method has, with as many epochs in every stage."""
    settings = SMALL | {"epochs": epochs, "pretrain_epochs": epochs}
    return {key: value for key, value in settings.items() if key in REGISTRY[name].Config.model_fields}


def whole_shop(seed: int = 0) -> MultimodalDataset:
    """The tiny shop with reviews, sentences and keywords, split by each user's time: 6 train, 1 valid, 1 test."""
    shop, rng = tiny_shop(seed=seed), np.random.default_rng(seed + 1)
    table = shop.interactions.assign(split=np.tile(["train"] * 6 + ["valid", "test"], shop.n_users))
    side = table["item"].to_numpy() % 2
    reviews = (np.outer(2 * side - 1, rng.normal(size=6)) + rng.normal(size=(len(table), 6))).astype(np.float32)

    def told(n: int, width: int, most: int) -> IndexedVectors:
        vectors = rng.normal(size=(n, width)).astype(np.float32)
        index = np.full((shop.n_items, most), -1)
        for item in range(shop.n_items):
            count = rng.integers(1, most + 1)
            index[item, :count] = rng.integers(0, n // 2, size=count) + n // 2 * (item % 2)
        return IndexedVectors(vectors, index)

    return shop.replace(
        interactions=table,
        sequences={
            "sentences": told(20, 6, 4),
            "keywords": told(12, 6, 3),
            "reviews": IndexedVectors(reviews, np.arange(len(table), dtype=np.int32)[:, None], rows="interactions"),
        },
    )
