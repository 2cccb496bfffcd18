"""MixGCF beside a plain form: negatives drawn pair by pair in Python, every mixed candidate of every layer built."""

from __future__ import annotations

import pytest
import torch

from mmrec_lite.nn.mixgcf import mixgcf_negatives
from tests.benchmarks import worlds
from tests.benchmarks.measure import PlainMixGCF
from tests.benchmarks.process import in_a_process

EPOCHS = {"MixGCF, plain": ("mixgcf-plain", {}, 3), "MixGCF": ("mixgcf", {}, 12), "LightGCN": ("lightgcn", {}, 20)}


def test_the_plain_form_makes_the_same_negatives():
    """What is compared is the same computation."""
    generator = torch.Generator().manual_seed(0)
    layers = [torch.randn(30, 4, generator=generator, dtype=torch.float64) for _ in range(3)]
    users = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    positives, candidates = torch.randint(30, (5,), generator=generator), torch.randint(30, (5, 7), generator=generator)
    alpha = torch.rand(3, 5, 1, generator=generator, dtype=torch.float64)
    ours = mixgcf_negatives(users, layers, positives, candidates, alpha)
    plain = PlainMixGCF.mix(users, torch.stack(layers, dim=1), positives, candidates, alpha.permute(1, 2, 0)[..., None])
    torch.testing.assert_close(plain.transpose(0, 1), ours)


@pytest.mark.benchmark(group="one epoch of MixGCF, Baby size")
@pytest.mark.parametrize("label", EPOCHS)
def test_epoch(benchmark, bench_data, label):
    method, hyper, batches = EPOCHS[label]
    folder = worlds.folder(bench_data)
    in_a_process(benchmark, label, "measure", "epoch", method, folder, hyper, "--batches", batches)
