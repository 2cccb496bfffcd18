"""Sequences on real data: what is read and encoded; the data may not ship, so the tests skip where they are absent."""

from __future__ import annotations

import numpy as np
import torch

import mmrec_lite as mm
from mmrec_lite.data.sequences import SequenceBatches
from tests.real_data import beauty


def test_beauty_trains_on_its_order_with_text_alone(shared_data):
    data = beauty(shared_data("amazon_beauty"))
    rng = np.random.default_rng(0)  # the phrases' encoder takes minutes: vectors stand in, the wiring is what is tested
    vectors = rng.normal(size=(data.n_items, 16)).astype(np.float32)
    data = data.replace(features={"text": vectors})
    split = mm.split(data, "given")
    assert SequenceBatches(split, 1024).n_cases == len(split.train) - data.n_users == 131_413
    small = {"dim": 8, "inner": 8, "experts": 2, "modalities": "text", "batch_size": 4096}
    model = mm.create("mp4sr", split, **small)
    for stage in model.stages():
        model.train()
        batch = next(iter(stage.batches(torch.Generator().manual_seed(0))))
        terms = stage.loss(batch)
        assert all(torch.isfinite(value) for value in terms.values())
    user = int(split.users("test")[5])
    table = data.interactions[data.interactions["user"] == user].sort_values("timestamp")["item"].to_numpy()
    read = split.sequences(split.history_parts("test"))
    np.testing.assert_array_equal(read.items[read.indptr[user] : read.indptr[user + 1]], table[:-1])
