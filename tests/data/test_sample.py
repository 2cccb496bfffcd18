"""The sample catalogue, and the control whose features belong to other items."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite.data import DataError
from mmrec_lite.data.readers import read_frames
from mmrec_lite.data.sample import shuffle_features, write_sample_catalogue


def test_three_files_as_a_shop_has_them(tmp_path):
    files = write_sample_catalogue(tmp_path, items=120, seed=1)
    orders, products = pd.read_csv(files.orders), pd.read_csv(files.products)
    assert orders.columns.tolist() == ["customer", "sku", "ordered_at", "stars"] and len(products) == 120
    assert set(orders["sku"]) == set(products["sku"])
    photos = list(files.photos.iterdir())
    assert len({path.stem.split("_")[0] for path in photos}) == 117, "one of every 40 is not there"
    assert sum(path.stat().st_size == 0 for path in photos) >= 3
    data = read_frames(
        files.orders, files.products, user="customer", item="sku", timestamp="ordered_at", rating="stars",
        title="name", text=("name", "description"),
    )  # fmt: skip
    shop = mm.load("bazaar")
    assert data.n_items == 120
    name = dict(zip(data.items["item_id"], data.items["title"], strict=True))
    assert set(name.values()) <= set(shop.items["title"])
    again = write_sample_catalogue(tmp_path / "again", items=120, seed=1)
    assert again.orders.read_bytes() == files.orders.read_bytes()
    with pytest.raises(DataError, match="has no pictures to write"):
        write_sample_catalogue(tmp_path / "x", source=data)


def test_shuffled_features_are_the_same_vectors_of_other_items():
    shop = mm.load("bazaar")
    wrong = shuffle_features(shop, seed=2)
    order = np.random.default_rng(2).permutation(shop.n_items)
    assert (order != np.arange(shop.n_items)).mean() > 0.99
    for modality in shop.modalities:
        np.testing.assert_array_equal(wrong.features[modality], shop.features[modality][order])
    pd.testing.assert_frame_equal(wrong.interactions, shop.interactions)
    assert wrong.hash != shop.hash


def test_sentences_are_shuffled_with_the_features():
    shop = mm.load("bazaar")
    other = shuffle_features(shop, seed=3)
    order = np.random.default_rng(3).permutation(shop.n_items)
    assert {part.rows for part in shop.sequences.values()} == {"items", "interactions"}
    for name, part in shop.sequences.items():
        expected = part.index[order] if part.rows == "items" else part.index
        np.testing.assert_array_equal(other.sequences[name].index, expected)
    split = mm.split(other, "leave-one-out")
    hyper = {"profile": "lecture", "variant": "w/o pre-train"}
    a, b = (mm.create("mp4sr", s, **hyper).eval() for s in (mm.split(shop, "leave-one-out"), split))
    b.load_state_dict(a.state_dict())
    with torch.no_grad():
        assert not torch.allclose(a.item_vectors("text"), b.item_vectors("text"))
        torch.testing.assert_close(a.item_vectors("text")[torch.from_numpy(order)], b.item_vectors("text"))
