"""The pilot study against plain loops over users and pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

import mmrec_lite as mm
from mmrec_lite import plots
from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.similarity import cosine_samples, mean_cosines, nearest_items, users_with_similar_items


@pytest.fixture(scope="module")
def small() -> MultimodalDataset:
    rng = np.random.default_rng(4)
    pairs = sorted({(int(u), int(i)) for u, i in zip(rng.integers(0, 9, 40), rng.integers(0, 14, 40), strict=True)})
    present = np.ones(14, dtype=bool)
    present[[2, 7]] = False
    vectors = rng.normal(size=(14, 5)).astype(np.float32) * present[:, None]
    return MultimodalDataset(
        name="small",
        users=pd.DataFrame({"user_id": [str(n) for n in range(9)]}),
        items=pd.DataFrame({"item_id": [str(n) for n in range(14)]}),
        interactions=pd.DataFrame(pairs, columns=["user", "item"]),
        features={"x": vectors, "y": rng.normal(size=(14, 3)).astype(np.float32)},
        present={"x": present, "y": np.ones(14, dtype=bool)},
    )


def cosine(data, a, b, modality="x"):
    x, y = (data.features[modality][n].astype(float) for n in (a, b))
    return x @ y / np.linalg.norm(x) / np.linalg.norm(y)


def baskets(data) -> list[list[int]]:
    there = data.present["x"]
    return [[i for i in items if there[i]] for _, items in data.interactions.groupby("user")["item"]]


def test_means_over_all_pairs_and_over_pairs_taken_together(small):
    there = np.flatnonzero(small.present["x"])
    everything = np.mean([cosine(small, a, b) for a, b in combinations(there, 2)])
    pairs = {pair for basket in baskets(small) for pair in combinations(sorted(basket), 2)}
    together = np.mean([cosine(small, a, b) for a, b in pairs])
    np.testing.assert_allclose(mean_cosines(small, "x"), (everything, together), atol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_users_with_two_similar_items(small, k):
    there = np.flatnonzero(small.present["x"])
    near = {a: set(sorted((b for b in there if b != a), key=lambda b, a=a: -cosine(small, a, b))[:k]) for a in there}
    hits = [any(b in near[a] or a in near[b] for a, b in combinations(basket, 2)) for basket in baskets(small)]
    assert users_with_similar_items(small, "x", [k])[k] == pytest.approx(sum(hits) / small.n_users)


def test_the_most_similar_may_be_unlike(small):
    """Rank counts: of twelve items the eleven others are the eleven nearest, also those of a negative cosine."""
    unlike = min(combinations(np.flatnonzero(small.present["x"]).tolist(), 2), key=lambda pair: cosine(small, *pair))
    data = small.replace(interactions=pd.DataFrame([(user, item) for user in range(9) for item in unlike],
                                                   columns=["user", "item"]))  # fmt: skip
    assert users_with_similar_items(data, "x", [1, 11]).tolist() == [0, 1]


def test_samples_have_the_means(small):
    random, together = cosine_samples(small, "x", 50_000)
    means = mean_cosines(small, "x")
    assert random.mean() == pytest.approx(means[0], abs=0.01) and together.mean() == pytest.approx(means[1], abs=1e-5)


def test_neighbours_by_one_and_by_both(small):
    for names in (("x",), ("x", "y")):
        others = [n for n in np.flatnonzero(small.present["x"]) if n != 0]
        expected = sorted(others, key=lambda n: -sum(cosine(small, 0, n, name) for name in names))
        assert nearest_items(small, 0, names, 4).tolist() == expected[:4]
    with pytest.raises(DataError, match="item 2 lacks one of x"):
        nearest_items(small, 2, "x")


@pytest.mark.parametrize("item", [-1, 14])
def test_a_number_that_is_no_item_s_is_refused(small, item):
    with pytest.raises(DataError, match=f"there is no item {item}; items are numbered 0..13"):
        nearest_items(small, item, "y")


def test_permuted_vectors_are_what_chance_gives():
    shop = mm.load("bazaar")
    real = users_with_similar_items(shop, "image", [5])[5]
    chance, other = (users_with_similar_items(shop, "image", [5], shuffled=True, seed=seed)[5] for seed in (0, 1))
    assert real > 2 * chance and chance != other
    assert users_with_similar_items(shop, "image", [5], shuffled=True)[5] == chance
    with pytest.raises(ValueError, match="seed = 0 is of the permutation; pass shuffled=True as well"):
        users_with_similar_items(shop, "image", [5], seed=0)
    with pytest.raises(DataError, match="k = 2500 neighbours were asked for"):
        users_with_similar_items(shop, "image", [2500])


def test_histograms_show_both_kinds_of_pairs():
    rng = np.random.default_rng(0)
    figure = plots.cosine_histograms(
        {"text": (rng.uniform(-1, 0, 500), rng.uniform(0, 1, 400)), "image": (rng.uniform(size=9), rng.uniform(size=9))}
    )
    left = figure.axes[0]
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["text", "image"]
    bars = np.array([bar.get_height() * bar.get_width() for bar in left.containers[0]])
    assert bars.sum() == pytest.approx(1) and len(left.lines) == 2
    assert [round(float(line.get_xdata()[0]), 1) for line in left.lines] == [-0.5, 0.5]


def test_a_list_is_never_filled_up_with_the_item_itself(small):
    near = nearest_items(small, 0, "x", n=small.n_items + 3)
    there = np.flatnonzero(small.present["x"])
    assert sorted(near) == sorted(set(there) - {0})


def test_equal_items_are_in_the_histogram(small):
    """Their cosines come out as 1.0000001, right of the last edge."""
    vectors = np.random.default_rng(0).normal(size=small.features["x"].shape).astype(np.float32)
    vectors[1::2] = 1.7 * vectors[::2][: len(vectors[1::2])]
    alike = small.replace(features={"x": vectors}, present={"x": np.ones(len(vectors), dtype=bool)})
    samples = cosine_samples(alike, "x")
    assert max(values.max() for values in samples) <= 1
    for random, together in (samples, (np.ones(5), np.ones(7))):
        ax = plots.cosine_histograms({"x": (random, together)}).axes[0]
        bars = ax.containers[0]
        assert sum(bar.get_height() * bar.get_width() for bar in bars) == pytest.approx(1)
