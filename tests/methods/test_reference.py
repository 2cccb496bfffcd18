"""References against loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

import mmrec_lite as mm
from mmrec_lite.data.masking import mask_modalities
from tests.tiny import tiny_shop


@pytest.fixture(scope="module")
def split():
    return mm.split(tiny_shop(), "ratio", seed=0)


def test_item_knn_is_scikit_learns_cosine_summed_over_the_history(split):
    history = split.matrix("train").toarray()
    expected = history @ cosine_similarity(history.T)
    got = mm.create("item_knn", split).score(torch.arange(split.n_users))
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)


def test_content_knn_is_the_mean_cosine_to_the_histories_mean(split):
    users = [3, 8]
    expected = 0.0
    for name in ("image", "text"):
        x = split.dataset.features[name].astype(np.float64)
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        profiles = np.stack([x[split.history(u)].mean(0) for u in users])
        expected = expected + cosine_similarity(profiles, x) / 2
    got = mm.create("content_knn", split).score(torch.tensor(users))
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)


def test_popularity_counts_training_interactions_only(split):
    got = mm.create("popularity", split).score(torch.tensor([0, 1]))
    expected = np.bincount(split.dataset.interactions["item"].to_numpy()[split.train], minlength=split.n_items)
    assert got.tolist() == [expected.tolist()] * 2


def test_random_depends_on_seed_and_user_alone(split):
    a = mm.create("random", split, seed=1)
    assert torch.equal(a.score(torch.tensor([4, 2]))[1], a.score(torch.tensor([2]))[0])
    assert not torch.equal(a.score(torch.tensor([2])), mm.create("random", split, seed=2).score(torch.tensor([2])))


def test_what_the_data_lack_is_said(split):
    with pytest.raises(ValueError, match="oracle needs a planted truth, which data set 'tiny' does not have"):
        mm.create("oracle", split)
    bare = mm.split(split.dataset.replace(features={}), "ratio")
    with pytest.raises(ValueError, match="content_knn needs features, but data set 'tiny' has none"):
        mm.create("content_knn", bare)


def test_an_oracle_may_know_some_groups_alone():
    from mmrec_lite.data.bazaar import oracle_scores

    shop = mm.load("bazaar")
    parts, users = mm.split(shop, "leave-one-out"), torch.tensor([4, 2])
    whole, last, image, none = (
        mm.create("oracle", parts, **hyper).score(users).numpy()
        for hyper in ({}, {"at": "end"}, {"groups": "image_only", "at": "end"}, {"groups": ()})
    )
    np.testing.assert_array_equal(whole, oracle_scores(shop, users.numpy()))
    np.testing.assert_array_equal(last, oracle_scores(shop, users.numpy(), at="end"))
    np.testing.assert_array_equal(image, oracle_scores(shop, users.numpy(), at="end", groups=("image_only",)))
    np.testing.assert_allclose(none, np.tile(shop.truth["item_popularity"], (2, 1)))
    with pytest.raises(ValueError, match="unknown factor group 'colour'"):
        mm.create("oracle", parts, groups=("colour",))
    with pytest.raises(ValueError, match="at = 'noon' is refused"):
        mm.create("oracle", parts, at="noon")


@pytest.mark.parametrize("name", ["random", "popularity", "item_knn", "content_knn"])
def test_what_is_not_trained_goes_through_a_whole_run(name):
    """fit leaves its history at the model; a buffer of that name once stopped item_knn here."""
    assert mm.run(name, tiny_shop()).metrics["recall@20"] > 0


def test_chance_takes_any_seed():
    split = mm.split(tiny_shop())
    far, near = (mm.create("random", split, seed=seed).score(torch.arange(3)) for seed in (2**62, 5))
    assert far.shape == near.shape and not torch.equal(far, near)


def test_an_item_that_lacks_a_modality_is_ranked_by_what_it_has():
    """Its missing cosine counted as 0: of 215 held-out items without a picture none was ever recommended."""
    shop = mask_modalities(tiny_shop(), 0.3, modalities="image", seed=0)
    split = mm.split(shop)
    model, users = mm.create("content_knn", split), np.arange(shop.n_users)
    scores = model.score(torch.from_numpy(users)).double().numpy()
    history, there = split.matrix("train").toarray() > 0, shop.present["image"]
    cosines = {}
    for name in ("image", "text"):
        unit = shop.dense(name) / np.maximum(np.linalg.norm(shop.dense(name), axis=1, keepdims=True), 1e-12)
        mean = np.stack([unit[own].sum(axis=0) for own in history])
        cosines[name] = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12) @ unit.T
    both = (cosines["image"] + cosines["text"]) / 2
    np.testing.assert_allclose(scores[:, there], both[:, there], atol=1e-6)
    for user in users:
        known, text = both[user, there], cosines["text"][user]
        place = (text[~there] - text.mean()) / text.std(ddof=1)
        np.testing.assert_allclose(scores[user, ~there], known.mean() + known.std(ddof=1) * place, atol=1e-5)
    bare = shop.replace(present={name: np.zeros(shop.n_items, dtype=bool) | (name == "text") for name in shop.present},
                        features={n: v * (n == "text") for n, v in shop.features.items()})  # fmt: skip
    alone = mm.create("content_knn", mm.split(bare)).score(torch.from_numpy(users)).numpy()
    order = np.argsort(cosines["text"], axis=1)
    assert (np.diff(np.take_along_axis(alone, order, axis=1), axis=1) >= -1e-6).all()  # nobody has both: by text alone
