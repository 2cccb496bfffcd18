"""The stages that have no plain form to stand beside, and what a second process is worth to a sweep."""

from __future__ import annotations

import pytest

from tests.benchmarks import worlds
from tests.benchmarks.pamd import RELEASED
from tests.benchmarks.process import in_a_process

CONTENT = {"modalities": "text,image,graph"}  # the generated shop has no reviews
STAGES = {
    "MCPTR, pre-training": ("mcptr", "pretrain", CONTENT, 20),
    "MCPTR, pre-training w/o CIMA": ("mcptr", "pretrain", CONTENT | {"variant": "w/o CIMA"}, 20),
    "MCPTR, fine-tuning": ("mcptr", "recommend", CONTENT, 12),
}
PAMD = {"PAMD as released": RELEASED | {"batch_size": 1024}, "PAMD": {"batch_size": 1024}}


@pytest.mark.benchmark(group="one epoch of PAMD's pre-training, Baby size")
@pytest.mark.parametrize("label", PAMD)
def test_pamd(benchmark, bench_data, label):
    folder = worlds.folder(bench_data)
    in_a_process(benchmark, label, "stages", "epoch", "pamd", "pretrain", folder, PAMD[label], "--batches", 6)


@pytest.mark.benchmark(group="one epoch of MCPTR's stages, Baby size")
@pytest.mark.parametrize("label", STAGES)
def test_mcptr(benchmark, bench_data, label):
    method, stage, hyper, batches = STAGES[label]
    folder = worlds.folder(bench_data)
    in_a_process(benchmark, label, "stages", "epoch", method, stage, folder, hyper, "--batches", batches)


@pytest.mark.benchmark(group="a sweep of eight trainings on the shop")
@pytest.mark.parametrize("jobs", [1, 2])
def test_sweep(benchmark, jobs):
    in_a_process(benchmark, f"{jobs} process{'es' * (jobs > 1)}", "stages", "sweep", jobs)


@pytest.mark.benchmark(group="until the data are there")
@pytest.mark.parametrize("what", ["load", "ratio", "kfold", "cold-items"])
def test_data(benchmark, bench_data, what):
    if what == "load":
        in_a_process(benchmark, "Bazaar, loaded", "stages", "load", "bazaar")
    else:
        folder = worlds.folder(bench_data)
        in_a_process(benchmark, f"Baby size, split by {what}", "stages", "split", what, folder)
