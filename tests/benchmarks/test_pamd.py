"""PAMD's recommendation stage and its sampled evaluation beside the loop that the released program runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mmrec_lite as mm
from tests.benchmarks import worlds
from tests.benchmarks.pamd import RELEASED, PlainPAMD
from tests.benchmarks.process import in_a_process
from tests.tiny import tiny_shop

BATCH = {"batch_size": 1024}
EPOCHS = {
    "PAMD as released, plain loop": ("pamd-plain", RELEASED | BATCH, 6),
    "PAMD as released": ("pamd", RELEASED | BATCH, 30),
    "PAMD as released, encoders frozen": ("pamd", RELEASED | BATCH | {"encoder_lr": 0}, 60),
    "PAMD": ("pamd", BATCH, 30),
    "PAMD, encoders frozen": ("pamd", BATCH | {"encoder_lr": 0}, 60),
}
OWN_BATCHES = {  # the released program's
    "PAMD as released, plain loop": ("pamd-plain", RELEASED | {"batch_size": 100}, 60),
    "PAMD as released": ("pamd", RELEASED | {"batch_size": 100}, 300),
}
SAMPLED = {
    "PAMD as released, plain loop": ("pamd-plain", RELEASED),
    "PAMD as released": ("pamd", RELEASED),
    "PAMD": ("pamd", {}),
}


@pytest.fixture(scope="module")
def folder(bench_data):
    return worlds.folder(bench_data)


def test_the_plain_loop_scores_what_the_method_scores():
    """What is compared is the same computation."""
    split = mm.split(tiny_shop(), "ratio", seed=0)
    plain = PlainPAMD(split, PlainPAMD.Config(**RELEASED | {"dim": 8}), 0).double()
    users = torch.arange(split.n_users).repeat_interleave(split.n_items)
    items = torch.arange(split.n_items).repeat(split.n_users)
    with torch.no_grad():
        ours = plain.score(torch.arange(split.n_users)).flatten()
        np.testing.assert_allclose(plain.pair_scores(users, items), ours, rtol=1e-9, atol=1e-12)


@pytest.mark.benchmark(group="one epoch of PAMD's recommendation stage, Baby size")
@pytest.mark.parametrize("label", EPOCHS)
def test_epoch(benchmark, folder, label):
    method, hyper, batches = EPOCHS[label]
    in_a_process(benchmark, label, "pamd", "recommend", method, folder, hyper, "--batches", batches)


@pytest.mark.benchmark(group="one epoch of PAMD's recommendation stage in batches of 100, Baby size")
@pytest.mark.parametrize("label", OWN_BATCHES)
def test_epoch_in_small_batches(benchmark, folder, label):
    method, hyper, batches = OWN_BATCHES[label]
    in_a_process(benchmark, label, "pamd", "recommend", method, folder, hyper, "--batches", batches)


@pytest.mark.benchmark(group="PAMD's evaluation against 1,000 sampled items a user, Baby size")
@pytest.mark.parametrize("label", SAMPLED)
def test_sampled_evaluation(benchmark, folder, label):
    method, hyper = SAMPLED[label]
    in_a_process(benchmark, label, "pamd", "sampled", method, folder, hyper)
