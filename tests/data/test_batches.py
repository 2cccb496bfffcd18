"""Training triples: every pair once, negatives that are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import mmrec_lite as mm
from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.data import batches as batches_module
from mmrec_lite.data.batches import PairBatches
from tests.tiny import tiny_shop


def epoch(batches, seed=0):
    parts = list(batches(torch.Generator().manual_seed(seed)))
    return parts, [torch.cat(column).numpy() for column in zip(*parts, strict=True)]


def test_an_epoch_has_every_pair_once_and_no_observed_negative():
    split = mm.split(tiny_shop(), "ratio", seed=0)
    batches = PairBatches(split, 50)
    parts, (users, positives, negatives) = epoch(batches)
    assert len(parts) == len(batches) and {len(p.users) for p in parts[:-1]} == {50}
    assert sorted(zip(users, positives, strict=True)) == sorted(zip(*split.pairs("train"), strict=True))
    assert not split.matrix("train").toarray()[users, negatives].any()
    _, again = epoch(batches)
    _, other = epoch(batches, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip((users, positives, negatives), again, strict=True))
    assert not np.array_equal(negatives, other[2])


def test_negatives_are_uniform_over_what_the_user_did_not_take():
    split = mm.split(tiny_shop(n_users=6, n_items=12, per_user=5), "ratio", seed=0)
    batches = PairBatches(split, 64)
    drawn = batches.draw(np.zeros(20_000, dtype=np.int64), torch.Generator().manual_seed(0))
    counts = np.bincount(drawn, minlength=12)
    free = split.matrix("train").toarray()[0] == 0
    assert (counts[~free] == 0).all() and stats.chisquare(counts[free]).pvalue > 1e-3


@pytest.mark.parametrize("protocol", ["ratio", "cold-items"])
def test_whoever_took_nearly_everything_has_uniform_negatives_too(protocol, monkeypatch):
    monkeypatch.setattr(batches_module, "ROUNDS", 1)  # who met an observed item once is drawn exactly
    split = mm.split(tiny_shop(n_users=6, n_items=12, per_user=9), protocol, seed=0)
    batches, taken = PairBatches(split, 64), split.matrix("train").toarray() > 0
    for user in np.unique(batches.users):
        drawn = batches.draw(np.full(20_000, user), torch.Generator().manual_seed(0))
        counts, free = np.bincount(drawn, minlength=12), ~taken[user] & np.isin(np.arange(12), batches.pool)
        assert (counts[~free] == 0).all() and (free.sum() == 1 or stats.chisquare(counts[free]).pvalue > 1e-3)


def test_held_out_cold_items_are_never_negatives():
    split = mm.split(tiny_shop(), "cold-items", seed=0)
    _, (_, _, negatives) = epoch(PairBatches(split, 64))
    held = np.concatenate(list(split.held_out_items.values()))
    assert not np.isin(negatives, held).any()


def shop_of(pairs, n_users, n_items):
    return MultimodalDataset(
        name="small",
        users=pd.DataFrame({"user_id": [str(u) for u in range(n_users)]}),
        items=pd.DataFrame({"item_id": [str(i) for i in range(n_items)]}),
        interactions=pd.DataFrame([(u, i, p) for u, i, p in pairs], columns=["user", "item", "split"]),
    )


def test_a_user_who_took_everything_is_left_out():
    pairs = [(0, 0, "train"), (0, 1, "train"), (1, 0, "train"), (1, 1, "test"), (2, 0, "valid")]
    split = mm.split(shop_of(pairs, 3, 2), "given")
    _, (users, _, negatives) = epoch(PairBatches(split, 8))
    assert users.tolist() == [1] and negatives.tolist() == [1]


def test_when_everybody_took_everything_there_is_nothing_to_learn():
    pairs = [(0, 0, "train"), (1, 0, "valid"), (2, 0, "test")]
    split = mm.split(shop_of(pairs, 3, 1), "given")
    with pytest.raises(DataError, match="every user took all 1 items on sale"):
        PairBatches(split, 8)


def test_several_negatives_a_pair():
    """n columns, none observed, repeatable; one column is drawn like the others."""
    split = mm.split(tiny_shop(), "ratio", seed=0)
    parts, (users, positives, negatives) = epoch(PairBatches(split, 50, n_negatives=7))
    assert parts[0].negatives.shape == (50, 7) and negatives.shape == (len(users), 7)
    assert sorted(zip(users, positives, strict=True)) == sorted(zip(*split.pairs("train"), strict=True))
    assert not split.matrix("train").toarray()[users[:, None], negatives].any()
    assert np.array_equal(epoch(PairBatches(split, 50, n_negatives=7))[1][2], negatives)
    assert epoch(PairBatches(split, 50, n_negatives=1))[0][0].negatives.shape == (50, 1)
    assert (negatives != negatives[:, :1]).any()
