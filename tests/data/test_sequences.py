"""Batches of sequences: every case once, little padding, long histories in stretches; what a test may read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.data.sequences import SequenceBatches, last_items


def shop(lengths, n_items=90, **columns) -> MultimodalDataset:
    """User u takes items 0, 1, ... in time order, lengths[u] of them; rows shuffled."""
    rows = [(user, item, 10 * item) for user, n in enumerate(lengths) for item in range(n)]
    table = pd.DataFrame(rows, columns=["user", "item", "timestamp"]).assign(**columns)
    return MultimodalDataset(
        name="steps",
        users=pd.DataFrame({"user_id": [f"u{u}" for u in range(len(lengths))]}),
        items=pd.DataFrame({"item_id": [f"i{i}" for i in range(n_items)]}),
        interactions=table.sample(frac=1, random_state=0).reset_index(drop=True),
    )


def cases(batches, seed=0) -> list[tuple[int, int]]:
    """(last item read, next item) of all training cases of an epoch."""
    out = []
    for batch in batches(torch.Generator().manual_seed(seed)):
        assert (batch.lengths >= 2).all() and batch.items.shape[1] == int(batch.lengths.max())
        there = batch.cases
        out += list(zip(batch.items[:, :-1][there].tolist(), batch.items[:, 1:][there].tolist(), strict=True))
    return out


LENGTHS = [3, 9, 4, 80, 30, 2, 5, 12]


@pytest.mark.parametrize("length", [3, 10, 50])
@pytest.mark.parametrize("batch_size", [1, 16, 1000])
def test_every_item_after_the_first_is_a_case_once(length, batch_size):
    split = mm.split(shop(LENGTHS), "leave-one-out")
    batches = SequenceBatches(split, batch_size, length)
    expected = sorted((i, i + 1) for n in split.train_lengths for i in range(n - 1))
    assert sorted(cases(batches)) == expected and batches.n_cases == len(expected)
    assert max(b.items.shape[1] for b in batches(torch.Generator())) <= length + 1


def test_the_latest_stretch_is_the_one_that_scoring_reads():
    split = mm.split(shop(LENGTHS), "leave-one-out")
    batches = SequenceBatches(split, 10**6, 50)
    (batch,) = batches(torch.Generator().manual_seed(0))
    longest = batch.items[batch.lengths == 51][0]
    assert longest.tolist() == list(range(27, 78))  # 78 training items: the last 51, then the 27 before and one more
    assert sorted(batch.lengths.tolist())[-2:] == [28, 51]
    items, lengths = last_items(split.train_sequences(), np.array([3, 0]), 50)
    assert items[0].tolist() == list(range(28, 78)) and lengths.tolist() == [50, 1] and items[1, 0] == 0


def test_batches_are_of_like_length_and_depend_on_the_generator_alone():
    rng = np.random.default_rng(0)
    split = mm.split(shop(3 + rng.geometric(0.12, size=600).clip(max=60)), "leave-one-out")
    batches = SequenceBatches(split, 128, 50)
    epoch = [list(batches(torch.Generator().manual_seed(s))) for s in (0, 0, 1)]
    assert all(torch.equal(a.items, b.items) for a, b in zip(epoch[0], epoch[1], strict=True))
    assert not all(
        a.items.shape == b.items.shape and torch.equal(a.items, b.items) for a, b in zip(*epoch[1:], strict=False)
    )
    real = sum(int(b.cases.sum()) for b in epoch[0])
    assert real / sum(b.cases.numel() for b in epoch[0]) > 0.85
    assert abs(len(epoch[0]) - len(batches)) <= 1


def test_items_can_be_left_out():
    split = mm.split(shop(LENGTHS), "leave-one-out")
    keep = np.arange(split.n_items) % 2 == 0
    assert set(cases(SequenceBatches(split, 16, 50, keep))) == {(i, i + 2) for i in range(0, 76, 2)}
    with pytest.raises(DataError, match="no user has two training items of those kept"):
        SequenceBatches(split, 16, 50, np.zeros(split.n_items, dtype=bool))


def test_what_a_test_may_read():
    data = shop(LENGTHS)
    assert mm.split(data, "leave-one-out").history_parts("test") == ("train", "valid")
    assert mm.split(data, "leave-one-out").history_parts("valid") == ("train",)
    for by in ("random", "time"):
        assert mm.split(data, "ratio", by=by).history_parts("test") == ("train",)
    assert mm.split(data, "kfold").history_parts("test") == ("train",)


def test_a_given_split_is_leave_one_out_where_it_is_one():
    data = shop(LENGTHS)
    base = mm.split(data, "leave-one-out")
    part = np.full(len(data), "train", dtype=object)
    part[base.valid], part[base.test] = "valid", "test"

    def given(part):
        return mm.split(data.replace(interactions=data.interactions.assign(split=part)), "given")

    assert given(part).history_parts("test") == ("train", "valid")
    swapped = part.copy()
    swapped[base.valid[0]], swapped[base.test[0]] = "test", "valid"
    assert given(swapped).history_parts("test") == ("train",)
    two = part.copy()
    two[base.train[0]] = "valid"
    assert given(two).history_parts("test") == ("train",)
