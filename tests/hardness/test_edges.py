"""Catalogues at the edge for every method, a novel for a description, and what is said twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mmrec_lite as mm
from mmrec_lite.data import MultimodalDataset
from mmrec_lite.data.readers import read_frames
from mmrec_lite.methods import REGISTRY
from tests.hardness.test_fuzz import EXTREMES
from tests.hardness.worlds import TRAINED, small, whole_shop


def one_user_has_everything(shop: MultimodalDataset) -> MultimodalDataset:
    """User 0 gets every item of the shop in the training part, beside what is tested."""
    table = shop.interactions
    mine = table[table["user"] == 0]
    more = np.setdiff1d(np.arange(shop.n_items), mine["item"])
    rows = pd.DataFrame({"user": 0, "item": more, "timestamp": mine["timestamp"].min() - 1, "split": "train"})
    sequences = {name: vectors for name, vectors in shop.sequences.items() if vectors.rows == "items"}
    return shop.replace(interactions=pd.concat([table, rows], ignore_index=True), sequences=sequences)


def constant(shop: MultimodalDataset, modality: str) -> MultimodalDataset:
    """Every item has the same vector there."""
    return shop.replace(features=shop.features | {modality: np.ones_like(shop.features[modality])})


def nobody_bought(shop: MultimodalDataset) -> MultimodalDataset:
    """A third of the items are in nobody's training part."""
    table = shop.interactions
    kept = (table["item"] % 3 != 0) | (table["split"] != "train")
    sequences = {name: vectors for name, vectors in shop.sequences.items() if vectors.rows == "items"}
    return shop.replace(interactions=table[kept].reset_index(drop=True), sequences=sequences)


WORLDS = {
    "a user who has everything": one_user_has_everything,
    "a constant modality": lambda shop: constant(shop, "image"),
    "all features equal": lambda shop: constant(constant(shop, "image"), "text"),
    "items nobody bought": nobody_bought,
}


@pytest.mark.parametrize("name", [name for name in REGISTRY if name != "oracle"])
@pytest.mark.parametrize("world", WORLDS)
def test_every_method_lives_with_it(world, name, tried):
    """Finite losses, weights and scores, and metrics in [0, 1]."""
    split = mm.split(WORLDS[world](whole_shop()), "given")
    model = mm.create(name, split, seed=0, **small(name) if name in TRAINED else {})
    if name in TRAINED:
        history = mm.fit(model, split, progress=False).frame
        assert np.isfinite(history["loss"]).all()
        assert all(value.isfinite().all() for value in model.state_dict().values() if value.is_floating_point())
    metrics = mm.evaluate(model, split, ks=(5, 20)).metrics
    assert all(0 <= value <= 1 for value in metrics.values()), metrics
    tried("odd worlds (constant modality, a user with everything, ...) x every method", 1, "finite; metrics in [0, 1]")


def test_a_million_characters(tmp_path, tried):
    novel = "All about it. " * 72_000
    table = pd.DataFrame(EXTREMES["everybody has everything"], columns=["user", "item"])
    items = pd.DataFrame({"item": sorted(table["item"].unique()), "title": novel, "text": novel})
    shop = read_frames(table, items, title="title", text="text")
    shop.save(tmp_path / "shop")
    again = MultimodalDataset.load(tmp_path / "shop")
    assert again.hash == shop.hash and again.items["text"].str.len().min() > 1_000_000
    assert len(repr(again)) < 10_000 and len(again.summary().to_frame().to_html()) < 100_000
    tried("descriptions of a million characters", len(items), "read, saved, loaded")


def test_a_million_characters_are_split_into_their_sentences(tried):
    """Window by window, in order and none lost; of a text that long only the first few are looked for by default."""
    pytest.importorskip("pysbd")
    from mmrec_lite.features import split_sentences

    expected = [f"Thing {n} is made of wood." for n in range(40_000)]
    novel = " ".join(expected)
    assert len(novel) > 1_000_000
    assert split_sentences(novel) == expected[:10]
    assert split_sentences(novel, most=len(expected) + 1) == expected
    tried("a text of a million characters, split by pysbd", 1, "every sentence, in order")


@pytest.mark.parametrize("name", ["mf", "micro"])
def test_saying_it_twice_changes_nothing(name, tmp_path, tried):
    """Rows repeated in the source and dropped by the reader; a data set made anew from its own parts, saved, loaded."""
    table = whole_shop().interactions.assign(user=lambda t: "u" + t["user"].astype(str))
    features = {name: values.astype(np.float32) for name, values in whole_shop().features.items()}
    items = pd.DataFrame({"item": np.arange(whole_shop().n_items)})
    once = read_frames(table, items, features, timestamp="timestamp", split="split")
    repeated = pd.concat([table, table.iloc[::3]], ignore_index=True)
    twice = read_frames(repeated, items, features, timestamp="timestamp", split="split", drop_duplicates=True)
    twice.replace().save(tmp_path / "shop")
    found = []
    for shop in (once, MultimodalDataset.load(tmp_path / "shop")):
        split = mm.split(shop, "given")
        model = mm.create(name, split, seed=0, **small(name))
        mm.fit(model, split, progress=False)
        found.append(mm.evaluate(model, split, ks=(5, 20)).metrics)
    assert found[0] == found[1]
    tried("repeated rows dropped, data set made anew, saved, loaded", 1, "metrics equal bit by bit")
