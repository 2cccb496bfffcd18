"""Nothing held out reaches training: canaries put into the held-out parts change no bit of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite.data import IndexedVectors, MultimodalDataset
from mmrec_lite.methods import REGISTRY
from tests.hardness.worlds import TRAINED, small, whole_shop

UNTRAINED = ["popularity", "item_knn", "content_knn"]


def with_canaries(shop: MultimodalDataset, part: str, seed: int = 7) -> MultimodalDataset:
    """The same shop, whose held-out rows name other items, ratings of reviews that shout, and other hours."""
    rng = np.random.default_rng(seed)
    table = shop.interactions.copy()
    held = np.flatnonzero(table["split"] == part)
    for row in held:
        taken = table.loc[table["user"] == table.at[row, "user"], "item"]
        table.at[row, "item"] = rng.choice(np.setdiff1d(np.arange(shop.n_items), taken))
    if part == "test":  # the order within a user stays: a history is read in it
        table.loc[held, "timestamp"] += 500
    reviews = shop.sequences["reviews"]
    vectors = reviews.vectors.copy()
    vectors[reviews.index[held, 0]] = 1e3 * rng.normal(size=(len(held), vectors.shape[1]))
    shouted = IndexedVectors(vectors, reviews.index, rows="interactions")
    return shop.replace(interactions=table, sequences={**shop.sequences, "reviews": shouted})


def train(shop: MultimodalDataset, name: str):
    split = mm.split(shop, "given")
    model = mm.create(name, split, seed=3, **small(name))
    return model, mm.fit(model, split, progress=False).frame


@pytest.mark.parametrize("name", TRAINED)
def test_a_canary_in_the_test_part_changes_no_weight(name):
    shop = whole_shop()
    (clean, history), (told, again) = train(shop, name), train(with_canaries(shop, "test"), name)
    for (key, value), other in zip(clean.state_dict().items(), told.state_dict().values(), strict=True):
        assert torch.equal(value, other), f"{name}: {key} depends on the test part"
    assert history.drop(columns="seconds").equals(again.drop(columns="seconds"))


@pytest.mark.parametrize("name", TRAINED)
def test_a_canary_in_the_validation_part_chooses_the_epoch_and_nothing_else(name):
    shop = whole_shop()
    (_, history), (_, again) = train(shop, name), train(with_canaries(shop, "valid"), name)
    first = history["stage"] == history["stage"].iloc[0]  # a later stage starts from the epoch that validation chose
    terms = [column for column in history if column != "seconds" and not column.startswith("valid")]
    assert history.loc[first, terms].equals(again.loc[first, terms])


@pytest.mark.parametrize("name", UNTRAINED)
@pytest.mark.parametrize("part", ["valid", "test"])
def test_references_read_the_training_part_alone(name, part):
    shop = whole_shop()
    scores = []
    for data in (shop, with_canaries(shop, part)):
        split = mm.split(data, "given")
        scores.append(mm.create(name, split).score(torch.arange(data.n_users)))
    assert torch.equal(*scores)


def test_every_method_is_held_to_it():
    """Random and the oracle read nothing, or everything by design; all others stand in the tests above."""
    assert set(REGISTRY) == {*TRAINED, *UNTRAINED, "random", "oracle"}


@pytest.mark.parametrize("name", ["mf", "mp4sr"])
def test_the_canary_sings_when_it_may(name):
    """In the training part the same change must be seen, or the tests above could not fail."""
    shop = whole_shop()
    (clean, _), (told, _) = train(shop, name), train(with_canaries(shop, "train"), name)
    same = [torch.equal(a, b) for a, b in zip(clean.state_dict().values(), told.state_dict().values(), strict=True)]
    assert not all(same)
