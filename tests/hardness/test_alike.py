"""What must not matter does not: numbering, order, workers, a second run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite.data import IndexedVectors, MultimodalDataset
from mmrec_lite.methods import REGISTRY
from tests.hardness.worlds import TRAINED, small, whole_shop

NUMBERED = [name for name in REGISTRY if name not in ("random", "oracle")]


@pytest.mark.parametrize("name", TRAINED)
def test_the_same_seed_gives_the_same_bits(name):
    split = mm.split(whole_shop(), "given")

    def once():
        model = mm.create(name, split, seed=5, **small(name))
        mm.fit(model, split, progress=False)
        return mm.evaluate(model, split, ks=(5, 20)).metrics, model.state_dict()

    (first, weights), (second, again) = once(), once()
    assert first == second
    assert all(torch.equal(a, b) for a, b in zip(weights.values(), again.values(), strict=True))


def renumbered(shop: MultimodalDataset, users: np.ndarray, items: np.ndarray) -> MultimodalDataset:
    """The same shop whose user u was user users[u], and whose item i was item items[i]."""
    new_user, new_item = np.argsort(users), np.argsort(items)
    table = shop.interactions
    table = table.assign(user=new_user[table["user"]], item=new_item[table["item"]])
    sequences = {}
    for name, vectors in shop.sequences.items():
        index = vectors.index[items] if vectors.rows == "items" else vectors.index
        sequences[name] = IndexedVectors(vectors.vectors, index, rows=vectors.rows)
    return shop.replace(
        users=shop.users.iloc[users].reset_index(drop=True),
        items=shop.items.iloc[items].reset_index(drop=True),
        interactions=table,
        features={name: values[items] for name, values in shop.features.items()},
        present={name: values[items] for name, values in shop.present.items()},
        sequences=sequences,
    )


def moved(tensor: torch.Tensor, users: np.ndarray, items: np.ndarray) -> torch.Tensor:
    """A weight with one row a user or an item, in the new numbering (the shop's two sizes differ from all widths)."""
    for rows in (users, items):
        if tensor.ndim and len(tensor) == len(rows):
            return tensor[torch.from_numpy(rows)]
    return tensor


@pytest.mark.parametrize("name", NUMBERED)
def test_renumbering_users_and_items_renumbers_the_scores(name, tried):
    """The weights of one model, moved to a shop that is numbered differently, give the moved scores."""
    shop, rng = whole_shop(), np.random.default_rng(0)
    users, items = rng.permutation(shop.n_users), rng.permutation(shop.n_items)
    splits = [mm.split(data, "given") for data in (shop, renumbered(shop, users, items))]
    first, second = (mm.create(name, split, seed=1, **small(name)) for split in splits)
    if name in TRAINED:
        mm.fit(first, splits[0], epochs=1, progress=False)
    with torch.no_grad():
        for parameter, other in zip(first.parameters(), second.parameters(), strict=True):
            other.copy_(moved(parameter, users, items))
        for buffer, other in zip(first.buffers(), second.buffers(), strict=True):
            if not buffer.ndim:  # a flag, such as "fine-tuning has begun"; larger buffers come from the split
                other.copy_(buffer)
    first.eval(), second.eval()
    expected = first.score(torch.from_numpy(users))[:, torch.from_numpy(items)]
    torch.testing.assert_close(second.score(torch.arange(shop.n_users)), expected, rtol=1e-3, atol=1e-4)
    tried("users and items renumbered: scores renumbered, by method", 1, "equal to 1e-4")


@pytest.mark.parametrize("name", ["micro", "pamd", "mcptr", "mp4sr", "content_knn"])
def test_the_order_in_which_modalities_are_named_does_not_matter(name):
    """Their names in another order: the same weights by name, the same scores."""
    split = mm.split(whole_shop(), "given")
    first, second = (
        mm.create(name, split, seed=1, modalities=order, **small(name))
        for order in (("image", "text"), ("text", "image"))
    )
    state, shapes = first.state_dict(), {key: value.shape for key, value in second.state_dict().items()}
    if state.keys() != shapes.keys() or any(state[key].shape != shape for key, shape in shapes.items()):
        pytest.skip(f"{name} keeps its modalities' weights in one tensor, in the order they were named")
    second.load_state_dict(state)
    first.eval(), second.eval()
    users = torch.arange(split.n_users)
    torch.testing.assert_close(first.score(users), second.score(users), rtol=1e-4, atol=1e-5)


def test_the_order_of_runs_in_a_sweep_does_not_matter(tmp_path):
    shop, metrics = whole_shop(), []
    for methods, seeds in ((("mf", "lightgcn"), (0, 1)), (("lightgcn", "mf"), (1, 0))):
        rows = mm.sweep(methods, shop, seeds=seeds, protocol="given", progress=False, epochs=2, dim=4)
        rows = rows.sort_values(["method", "seed"]).reset_index(drop=True)
        metrics.append(rows[[column for column in rows if "@" in column]])
    pd.testing.assert_frame_equal(*metrics, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["image", "text"])
def test_shuffled_features_lose_what_content_gave(modality, tried):
    """The shop's features, given to other items: the nearest neighbours' ranking falls back to chance."""
    shop = mm.load("bazaar")
    rng = np.random.default_rng(0)
    order = rng.permutation(shop.n_items)
    shuffled = shop.replace(features={name: values[order] for name, values in shop.features.items()})
    figures = {}
    for label, data in (("real", shop), ("shuffled", shuffled)):
        result = mm.run("content_knn", data, modalities=(modality,))
        figures[label] = result.metrics["recall@20"]
    chance = mm.run("random", shop).metrics["recall@20"]
    assert figures["real"] > 4 * chance and figures["shuffled"] < 2 * chance, (figures, chance)
    tried("feature rows shuffled between items", 1, "content's ranking falls to chance")
