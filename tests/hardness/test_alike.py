"""What must not matter does not: numbering, order, workers, a second run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite.checking import small_split
from mmrec_lite.data import IndexedVectors, MultimodalDataset
from mmrec_lite.methods import REGISTRY
from tests.hardness.worlds import TRAINED, small, whole_shop
from tests.tiny import tiny_shop

NUMBERED = [name for name in REGISTRY if name not in ("random", "oracle")]


@pytest.mark.parametrize("name", TRAINED)
def test_the_same_seed_gives_the_same_bits(name, tried):
    split = mm.split(whole_shop(), "given")

    def once():
        model = mm.create(name, split, seed=5, **small(name))
        mm.fit(model, split, progress=False)
        return mm.evaluate(model, split, ks=(5, 20)).metrics, model.state_dict()

    (first, weights), (second, again) = once(), once()
    assert first == second
    assert all(torch.equal(a, b) for a, b in zip(weights.values(), again.values(), strict=True))
    tried("trained again with the same seed, by trained method", 1, "metrics and weights equal bit by bit")


@pytest.fixture
def two_threads():
    """A laptop's: the other tests run with one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shelf():
    """300 products of the shop: enough orders for batches whose gradients PyTorch shares out to threads."""
    return small_split()


@pytest.mark.parametrize("name", TRAINED)
def test_two_threads_give_the_same_bits_again(name, shelf, two_threads, tried):
    def once():
        model = mm.create(name, shelf, profile="lecture", seed=5)
        mm.fit(model, shelf, epochs=2, progress=False)
        return mm.evaluate(model, shelf, ks=(5, 20)).metrics, model.state_dict()

    (first, weights), (second, again) = once(), once()
    assert first == second
    assert [key for key, value in weights.items() if not torch.equal(value, again[key])] == []
    tried(
        "trained again with the same seed, on two threads, by trained method", 1, "metrics and weights equal bit by bit"
    )


@pytest.mark.parametrize("before", [False, True])
def test_what_makes_sums_repeatable_is_put_back(before):
    split, seen = mm.split(whole_shop(), "given"), []
    model = mm.create("mf", split, dim=4)
    plain = model.loss

    def loss(batch):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return plain(batch)

    model.loss = loss
    torch.use_deterministic_algorithms(before)
    try:
        mm.fit(model, split, epochs=1, progress=False)
        assert seen and all(seen)
        assert torch.are_deterministic_algorithms_enabled() is before
        assert torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.use_deterministic_algorithms(False)


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


WITH_MODALITIES = [name for name in REGISTRY if "modalities" in REGISTRY[name].Config.model_fields]


@pytest.mark.parametrize("name", WITH_MODALITIES)
def test_the_order_in_which_modalities_are_named_does_not_matter(name, tried):
    """Their names in another order: the same weights by name, the same scores.

    VBPR alone lays features side by side: there its two weights' rows move with them.
    """
    split, orders = mm.split(whole_shop(), "given"), (("image", "text"), ("text", "image"))
    first, second = (mm.create(name, split, seed=1, modalities=order, **small(name)) for order in orders)
    if name in TRAINED:
        mm.fit(first, split, epochs=1, progress=False)
    state, shapes = first.state_dict(), {key: value.shape for key, value in second.state_dict().items()}
    assert {key: value.shape for key, value in state.items()} == shapes
    if name == "vbpr":
        width = split.dataset.features["image"].shape[1]
        state |= {key: torch.cat([state[key][width:], state[key][:width]]) for key in ("project", "content_bias")}
    second.load_state_dict(state)
    first.eval(), second.eval()
    users = torch.arange(split.n_users)
    torch.testing.assert_close(first.score(users), second.score(users), rtol=1e-4, atol=1e-5)
    tried("modalities named in another order, by method that has some", 1, "scores equal to 1e-4")


def test_the_methods_that_read_modalities():
    """A new one joins the test above by itself; this list is here to be read."""
    assert WITH_MODALITIES == ["content_knn", "vbpr", "micro", "pamd", "mcptr", "mp4sr"]


def test_the_order_of_runs_in_a_sweep_does_not_matter(tried):
    shop, metrics = whole_shop(), []
    for methods, seeds in ((("mf", "lightgcn"), (0, 1)), (("lightgcn", "mf"), (1, 0))):
        rows = mm.sweep(methods, shop, seeds=seeds, protocol="given", progress=False, epochs=2, dim=4)
        rows = rows.sort_values(["method", "seed"]).reset_index(drop=True)
        metrics.append(rows[[column for column in rows if "@" in column]])
    pd.testing.assert_frame_equal(*metrics, check_exact=True)
    tried("runs of a sweep in another order", 4, "metrics equal bit by bit")


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


# Kept so small that a training takes seconds; PAMD is not among them: it ranks no item that was in no training row.
CONTENT = {
    "micro": {"dim": 16, "k": 5, "epochs": 25, "batch_size": 256, "lr": 0.01, "negatives": 32},
    "micro cf+feats": {"variant": "cf+feats", "dim": 16, "k": 5, "epochs": 25, "batch_size": 256, "lr": 0.01},
    "mcptr": {"dim": 16, "epochs": 25, "pretrain_epochs": 10, "batch_size": 256, "lr": 0.01, "adapter_dim": 8,
              "modalities": ("image", "text")},
    "mp4sr": {"dim": 16, "epochs": 15, "pretrain_epochs": 5, "batch_size": 128, "lr": 3e-3, "finetune_lr": 3e-3,
              "ids": False, "modalities": ("text",), "experts": 2, "attention_dim": 4},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CONTENT)
def test_shuffled_features_lose_what_a_trained_method_had_of_them(case, tried):
    """Two tastes, which of items nobody has bought features alone tell: shuffled, those are ranked by chance."""
    name, gains = case.split()[0], {}
    for label in ("real", "shuffled"):
        gains[label] = []
        for seed in (0, 1):
            shop = tiny_shop(n_users=150, n_items=150, per_user=12, seed=seed)
            if label == "shuffled":
                order = np.random.default_rng(seed + 100).permutation(shop.n_items)
                shop = shop.replace(features={key: values[order] for key, values in shop.features.items()})
            asked = {"protocol": "cold-items", "candidates": "held-out", "ks": (5,)}
            found, chance = (mm.run(method, shop, **asked, **more).metrics["ndcg@5"]
                             for method, more in ((name, CONTENT[case]), ("random", {})))  # fmt: skip
            gains[label].append(found - chance)
    means = {label: float(np.mean(values)) for label, values in gains.items()}
    assert means["real"] > 0.06 and abs(means["shuffled"]) < 0.045, gains
    tried("feature rows shuffled between items, for trained methods and cold items", 2, "the ranking falls to chance")
